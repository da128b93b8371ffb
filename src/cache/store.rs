//! Where entries live: moka, bounded by weight, with a lifetime for each entry.
//!
//! moka decides what stays; whether an entry is true is decided by its stamp on every hit. So no
//! invalidation ever has to find the entries that it is about, and moka's predicates, which every
//! read would pay for, are not used.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use moka::{Expiry, notification::RemovalCause, sync::Cache};
use prometheus::IntCounter;

use super::{entry::Stored, key::Key};
use crate::settings::ByteSize;

/// Entries by key.
#[derive(Debug)]
pub struct Store {
    entries: Cache<Key, Arc<Stored>>,
}

/// Lets each entry leave when it is of no use any more.
struct Lifetimes;

/// An insert carries the lifetime that is left, because moka reads its own clock.
impl Expiry<Key, Arc<Stored>> for Lifetimes {
    fn expire_after_create(
        &self,
        _key: &Key,
        value: &Arc<Stored>,
        _created_at: Instant,
    ) -> Option<Duration> {
        Some(Duration::from_millis(value.lifetime()))
    }

    fn expire_after_update(
        &self,
        _key: &Key,
        value: &Arc<Stored>,
        _updated_at: Instant,
        _left: Option<Duration>,
    ) -> Option<Duration> {
        Some(Duration::from_millis(value.lifetime()))
    }
}

impl Store {
    /// A store of so many bytes; what leaves for want of room or for age is counted.
    pub fn new(capacity: ByteSize, evictions: IntCounter) -> Self {
        let weigh = |key: &Key, value: &Arc<Stored>| {
            u32::try_from(key.weight() + value.weight()).unwrap_or(u32::MAX)
        };
        let removed = move |_: Arc<Key>, _: Arc<Stored>, cause: RemovalCause| match cause {
            RemovalCause::Expired | RemovalCause::Size => evictions.inc(),
            RemovalCause::Explicit | RemovalCause::Replaced => {}
        };
        let entries = Cache::builder()
            .max_capacity(capacity.0)
            .weigher(weigh)
            .expire_after(Lifetimes)
            .eviction_listener(removed)
            .build();
        Self { entries }
    }

    /// What is kept under a key.
    pub fn get(&self, key: &Key) -> Option<Arc<Stored>> {
        self.entries.get(key)
    }

    /// Keeps something under a key.
    pub fn insert(&self, key: Key, value: Arc<Stored>) {
        self.entries.insert(key, value);
    }

    /// Does the work that moka puts off; a timer calls it, because moka has no thread for it.
    pub fn housekeep(&self) {
        self.entries.run_pending_tasks();
    }

    /// How many entries there are, roughly.
    pub fn entries(&self) -> u64 {
        self.entries.entry_count()
    }

    /// How many bytes they take, roughly.
    pub fn bytes(&self) -> u64 {
        self.entries.weighted_size()
    }
}
