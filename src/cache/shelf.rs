//! The entries and all by which they are judged: what the cache and the fetches share.

use std::sync::Arc;

use super::{
    coherence::Stamp,
    entry::{Config, Entry, Representation, Stored},
    key::Key,
    store::Store,
};
use crate::{
    api::routes::RouteTable,
    clock::{Clock, millis},
    metrics::Metrics,
    vocabulary::RouteClass,
};

/// The entries, and what it takes to judge them.
pub struct Shelf {
    /// The entries.
    pub store: Store,
    /// The routes.
    pub routes: Arc<RouteTable>,
    /// The lifetimes.
    pub config: Config,
    /// The time.
    pub clock: Clock,
    /// The series.
    pub metrics: Arc<Metrics>,
}

impl Shelf {
    /// Keeps a representation for as long as its class lives.
    pub fn keep(&self, key: &Key, stamp: &Stamp, class: RouteClass, shown: Representation) {
        let Some(lifetime) = self.config.lifetime(class) else { return };
        let stored_at = self.clock.now();
        let entry = Entry {
            representation: shown,
            stamp: stamp.clone(),
            stored_at,
            fresh_until: stored_at.saturating_add(millis(lifetime)),
        };
        self.store.insert(key.clone(), Arc::new(Stored::Entry(entry)));
    }

    /// Remembers for a while that what is under a key cannot be kept.
    pub fn mark_uncacheable(&self, key: &Key) {
        let lifetime = millis(self.config.uncacheable_lifetime);
        self.store.insert(key.clone(), Arc::new(Stored::Uncacheable { lifetime }));
    }
}
