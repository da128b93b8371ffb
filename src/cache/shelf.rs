//! The entries and all by which they are judged: what the cache and the fetches share.

use std::{sync::Arc, time::Duration};

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

/// What is known of a fetch besides what it brought.
#[derive(Clone, Copy, Debug)]
pub struct Filled<'a> {
    /// The epochs when it began.
    pub stamp: &'a Stamp,
    /// The class of its route.
    pub class: RouteClass,
    /// Nothing is under way that may change what it shows.
    pub settled: bool,
    /// When the upstream was asked, in milliseconds of the process.
    pub asked_at: u64,
}

impl Shelf {
    /// Keeps a representation for as long as its class lives; while what it shows is unsettled, for a
    /// moment from when the upstream was asked.
    pub fn keep(&self, key: &Key, filled: Filled<'_>, shown: Representation) {
        let Some(lifetime) = self.config.lifetime(filled.class) else { return };
        let (now, asked_at) = (self.clock.now(), filled.asked_at);
        let (fresh_until, stale) = if filled.settled {
            // Not from when it was asked for: the slowest lists are those that are worth keeping.
            let stale = self.config.stale_if_error.max(self.config.stale_while_revalidate);
            (now.saturating_add(millis(lifetime)), stale)
        } else {
            let moment = lifetime.min(self.config.unsettled_lifetime);
            (asked_at.saturating_add(millis(moment)), Duration::ZERO)
        };
        if fresh_until > now {
            let stamp = filled.stamp.clone();
            let usable_until = fresh_until.saturating_add(millis(stale));
            let entry = Entry::new(shown, stamp, asked_at, fresh_until, usable_until);
            self.store.insert(key.clone(), Arc::new(Stored::Entry(entry)));
        }
    }

    /// Remembers for a while that what is under a key cannot be kept.
    pub fn mark_uncacheable(&self, key: &Key) {
        let lifetime = millis(self.config.uncacheable_lifetime);
        self.store.insert(key.clone(), Arc::new(Stored::Uncacheable { lifetime }));
    }
}
