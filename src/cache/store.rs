//! Where entries live: moka, bounded by weight, with a lifetime for each entry.
//!
//! moka decides what stays; whether an entry is true is decided by its stamp on every hit. So no
//! invalidation ever has to find the entries that it is about, and moka's predicates, which every
//! read would pay for, are not used. What is no invalidation may look at all of them, off the request
//! path.
//!
//! moka accounts for what is inserted only now and then, after some hundred inserts; with large
//! entries that is a multiple of a small bound. So whoever inserts makes it do so as soon as a share
//! of the bound is not accounted for.

use std::{
    hash::Hash,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use moka::{Equivalent, Expiry, notification::RemovalCause, sync::Cache};
use prometheus::IntCounter;

use super::{entry::Stored, key::Key};
use crate::settings::ByteSize;

/// Entries by key.
#[derive(Debug)]
pub struct Store {
    entries: Cache<Key, Arc<Stored>>,
    /// Bytes that were inserted since the last time that moka did its work.
    unaccounted: AtomicU64,
    /// So many of them are too many.
    most_unaccounted: u64,
}

/// The part of the bound that may be exceeded before moka is made to look.
const SLACK: u64 = 32;

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
        let most_unaccounted = capacity.0 / SLACK;
        Self { entries, unaccounted: AtomicU64::new(0), most_unaccounted }
    }

    /// What is kept under a key.
    pub fn get<T>(&self, key: &Key<T>) -> Option<Arc<Stored>>
    where
        Key<T>: Equivalent<Key> + Hash,
    {
        self.entries.get(key)
    }

    /// Keeps something under a key.
    pub fn insert(&self, key: Key, value: Arc<Stored>) {
        let weight = (key.weight() + value.weight()) as u64;
        self.entries.insert(key, value);
        let before = self.unaccounted.fetch_add(weight, Ordering::Relaxed);
        if before + weight > self.most_unaccounted {
            self.housekeep();
        }
    }

    /// Does the work that moka puts off; a timer calls it, because moka has no thread for it.
    pub fn housekeep(&self) {
        self.unaccounted.store(0, Ordering::Relaxed);
        self.entries.run_pending_tasks();
    }

    /// Removes what is kept under a key.
    pub fn remove(&self, key: &Key) {
        self.entries.invalidate(key);
    }

    /// All that is kept. What was inserted before is among it; reads and inserts go on meanwhile.
    pub fn iter(&self) -> impl Iterator<Item = (Arc<Key>, Arc<Stored>)> {
        self.entries.iter()
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

#[cfg(test)]
mod tests {
    use std::sync::Weak;

    use bytes::Bytes;
    use http::{HeaderMap, StatusCode};

    use super::*;
    use crate::{
        api::families::FamilySet,
        cache::{
            coherence::{Epochs, Stamp, View},
            entry::{Entry, Representation},
            names::Names,
            partition::{Commons, Partition},
        },
        vocabulary::Secrecy,
    };

    fn partition() -> Partition {
        let none = FamilySet::EMPTY;
        let commons = Arc::new(Commons::new(1, none, none, Names::new(1)));
        Partition::new(Arc::new(Epochs::new(1, none)), commons, true)
    }

    fn entry(bytes: usize) -> Arc<Stored> {
        let body = Bytes::from(vec![b'x'; bytes]);
        let shown = Representation::new(StatusCode::OK, &HeaderMap::new(), body);
        let (view, stamp) = (View::default(), Stamp::empty());
        Arc::new(Stored::Entry(Entry::new(shown, view, stamp, 0, 60_000, 0)))
    }

    #[test]
    fn the_bound_holds_while_large_entries_come_fast() {
        // Large beside what moka still frees a moment later, which is some entries.
        const CAPACITY: u64 = 64 << 20;
        const BODY: usize = 200 << 10;
        let evictions = IntCounter::new("evictions", "Evictions.").expect("a valid name");
        let store = Store::new(ByteSize(CAPACITY), evictions);
        let partition = partition();
        let mut kept: Vec<Weak<Stored>> = Vec::new();
        let mut most = 0;
        for n in 0..3000 {
            let target = format!("/virtual_machines/{n}.json").parse().expect("a target");
            let value = entry(BODY);
            kept.push(Arc::downgrade(&value));
            store.insert(Key::new(&partition, Secrecy::Hidden, target, None), value);
            kept.retain(|value| value.strong_count() > 0);
            most = most.max(kept.len() * BODY);
        }
        let bound = usize::try_from(CAPACITY + CAPACITY / 10).expect("a small number");
        assert!((bound / 2..=bound).contains(&most), "{most} bytes were held");
    }
}
