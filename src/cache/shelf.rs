//! The entries and all by which they are judged: what the cache and the fetches share.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    coherence::Stamp,
    entry::{Config, Entry, Lifetime, Representation, Stored},
    key::Key,
    partition::Partition,
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
    /// The partitions whose share is used up; what they have over its lifetime is cleared away.
    pub crowded: Mutex<HashSet<u64>>,
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
    /// Keeps a representation for as long as its class and its status live; while what it shows is
    /// unsettled, for a moment from when the upstream was asked. Says whether there was room for it.
    pub fn keep(
        &self,
        key: &Key,
        partition: &Partition,
        filled: Filled<'_>,
        shown: Representation,
    ) -> bool {
        let Some(Lifetime { fresh, stale }) = self.config.lifetime_of(filled.class, shown.status)
        else {
            return true;
        };
        let (now, asked_at) = (self.clock.now(), filled.asked_at);
        let (fresh_until, stale) = if filled.settled {
            // Not from when it was asked for: the slowest lists are those that are worth keeping.
            (now.saturating_add(millis(fresh)), stale)
        } else {
            let moment = fresh.min(self.config.unsettled_lifetime);
            (asked_at.saturating_add(millis(moment)), Duration::ZERO)
        };
        if fresh_until <= now {
            return true;
        }
        let bytes = (key.weight() + shown.weight()) as u64;
        let Some(room) = partition.room(bytes, self.config.share()) else {
            // What stands there is outdated, and takes the room of its successor.
            self.store.remove(key);
            self.crowded().insert(partition.id());
            return false;
        };
        let stamp = filled.stamp.clone();
        let usable_until = fresh_until.saturating_add(millis(stale));
        let entry = Entry::new(shown, stamp, asked_at, fresh_until, usable_until).taking(room);
        self.store.insert(key.clone(), Arc::new(Stored::Entry(entry)));
        true
    }

    /// Does what is put off; called now and then, off the request path.
    pub fn housekeep(&self) {
        let crowded = std::mem::take(&mut *self.crowded());
        if !crowded.is_empty() {
            self.store.clear_expired(self.clock.now(), &crowded);
        }
        self.store.housekeep();
    }

    fn crowded(&self) -> MutexGuard<'_, HashSet<u64>> {
        self.crowded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers for a while that what is under a key cannot be kept.
    pub fn mark_uncacheable(&self, key: &Key) {
        let lifetime = millis(self.config.uncacheable_lifetime);
        self.store.insert(key.clone(), Arc::new(Stored::Uncacheable { lifetime }));
    }
}
