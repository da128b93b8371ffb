//! The entries and all by which they are judged: what the cache and the fetches share.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use super::{
    cause::Cause,
    coherence::{Change, Stamp},
    dependence::Dependence,
    entry::{Config, Entry, Lifetime, Representation, Stored},
    key::Key,
    partition::Partition,
    store::Store,
};
use crate::{
    api::{families::FamilySet, routes::RouteTable},
    clock::{Clock, millis},
    metrics::Metrics,
    vocabulary::{InvalidationCause, NotStored},
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
    /// The partitions whose share is used up; what they have that is of little use is cleared away.
    crowded: Mutex<HashMap<u64, Arc<Partition>>>,
    /// Held while an entry is put in, so that a soft purge finds the entry, or the entry finds the
    /// soft purge.
    softening: RwLock<Softening>,
}

/// The soft purges so far.
#[derive(Debug, Default)]
struct Softening {
    /// When the last one was, in milliseconds of the process.
    at: Option<u64>,
    /// How many are looking for what they are about.
    running: usize,
}

/// What a soft purge is about: of each partition by its number, what no longer counts as fresh.
pub type Softened = HashMap<u64, (Arc<Partition>, Change)>;

/// What is known of a fetch besides what it brought.
#[derive(Clone, Copy, Debug)]
pub struct Filled<'a> {
    /// The epochs when it began.
    pub stamp: &'a Stamp,
    /// What it depends on, and the class of its route.
    pub dependence: Dependence,
    /// Nothing is under way that may change what it shows.
    pub settled: bool,
    /// When the upstream was asked, in milliseconds of the process.
    pub asked_at: u64,
}

impl Shelf {
    /// An empty one.
    pub fn new(
        config: Config,
        routes: Arc<RouteTable>,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        let store = Store::new(config.capacity, metrics.cache.evictions.clone());
        let (crowded, softening) = (Mutex::default(), RwLock::default());
        Self { store, routes, config, clock, metrics, crowded, softening }
    }

    /// Keeps a representation for as long as its class and its status live. While what it shows is
    /// unsettled it is fresh for a moment from when the upstream was asked, and then of use only where
    /// the upstream cannot say what has become of it. What was derived from what it follows goes.
    pub fn keep(
        &self,
        key: &Key,
        partition: &Arc<Partition>,
        filled: Filled<'_>,
        shown: Representation,
    ) -> Result<Arc<Stored>, NotStored> {
        let Dependence { class, .. } = filled.dependence;
        let lifetime = self.config.lifetime_of(class, shown.status);
        let Lifetime { fresh, stale } = lifetime.ok_or(NotStored::Status)?;
        // What is found by no request is judged by what its stamp was taken of.
        let view = filled.dependence.view_of(shown.status);
        let (now, asked_at) = (self.clock.now(), filled.asked_at);
        if self.has_newer(key, partition, asked_at) {
            return Err(NotStored::Overtaken);
        }
        let (fresh_until, stale) = if filled.settled {
            // Not from when it was asked for: the slowest lists are those that are worth keeping.
            (now.saturating_add(millis(fresh)), stale)
        } else {
            let moment = fresh.min(self.config.unsettled_lifetime);
            (asked_at.saturating_add(millis(moment)), stale.min(self.config.stale_if_error))
        };
        if fresh_until <= now && stale.is_zero() {
            self.forget(key, asked_at);
            return Err(NotStored::Unsettled);
        }
        let stamp = filled.stamp.clone();
        let mut entry = Entry::new(shown, view, stamp, asked_at, fresh_until, millis(stale));
        entry.settled = filled.settled;
        let entry = self.housed(key, partition, entry)?;
        self.forget_derived_from(key, asked_at);
        let softening = self.softening.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = softening.at.filter(|at| asked_at <= *at) {
            // Maybe what it shows was not even meant: that costs a fetch.
            entry.soften(at);
        }
        Ok(self.put(key, entry))
    }

    /// Keeps what was derived from an entry, for as long as that: if that is still what is kept, and
    /// nothing newer has been fetched.
    pub fn keep_derived(
        &self,
        key: &Key,
        partition: &Arc<Partition>,
        source: (&Key, &Arc<Stored>),
        shown: Representation,
    ) -> Result<Arc<Stored>, NotStored> {
        let Stored::Entry(entry) = &**source.1 else { return Err(NotStored::Overtaken) };
        let is_kept = self.store.get(source.0).is_some_and(|kept| Arc::ptr_eq(&kept, source.1));
        if !is_kept || self.has_newer(key, partition, entry.asked_at) {
            return Err(NotStored::Overtaken);
        }
        let softening = self.softening.read().unwrap_or_else(PoisonError::into_inner);
        if softening.running > 0 {
            // Nobody knows whether its source has been looked at.
            return Err(NotStored::Overtaken);
        }
        let derived = self.housed(key, partition, entry.derived(shown))?;
        Ok(self.put(key, derived))
    }

    /// Takes the room of an entry, if its partition has it.
    fn housed(
        &self,
        key: &Key,
        partition: &Arc<Partition>,
        entry: Entry,
    ) -> Result<Entry, NotStored> {
        let bytes = (key.weight() + entry.representation.weight()) as u64;
        if let Some(room) = partition.room(bytes, self.config.share()) {
            return Ok(entry.taking(room));
        }
        // What stands there is outdated, and takes the room of its successor.
        self.forget(key, entry.asked_at);
        self.crowded().insert(partition.id(), Arc::clone(partition));
        Err(NotStored::Share)
    }

    fn put(&self, key: &Key, mut entry: Entry) -> Arc<Stored> {
        entry.digest = Some(key.digest());
        let stored = Arc::new(Stored::Entry(entry));
        self.store.insert(key.to_keep(), Arc::clone(&stored));
        stored
    }

    /// Removes all that was derived from the other format.
    pub fn forget_derived(&self) {
        for (key, stored) in self.store.iter() {
            if matches!(&*stored, Stored::Entry(entry) if entry.derived) {
                self.store.remove(&key);
            }
        }
    }

    /// Removes what is under a key, unless it was asked for later: a newer answer, though it be not
    /// kept, is not followed by an older one, nor by what was derived from one.
    pub fn forget(&self, key: &Key, asked_at: u64) {
        self.forget_derived_from(key, asked_at);
        if let Some(stored) = self.store.get(key)
            && let Stored::Entry(entry) = &*stored
            && entry.asked_at <= asked_at
        {
            self.store.remove(key);
        }
    }

    /// Removes what was derived from what is under a key, unless that was asked for later.
    pub fn forget_derived_from(&self, key: &Key, asked_at: u64) {
        if let Some(other) = key.in_other_format()
            && let Some(stored) = self.store.get(&other)
            && let Stored::Entry(entry) = &*stored
            && entry.derived
            && entry.asked_at <= asked_at
        {
            self.store.remove(&other);
        }
    }

    /// Whether what is kept was asked for later and has not been touched.
    fn has_newer(&self, key: &Key, partition: &Partition, asked_at: u64) -> bool {
        let stored = self.store.get(key);
        matches!(stored.as_deref(), Some(Stored::Entry(entry))
            if entry.asked_at > asked_at && partition.is_current(entry.view, &entry.stamp))
    }

    /// The upstream refused what a credential asked for: what it may see has changed behind our back.
    pub fn forbidden(&self, partition: &Partition, families: FamilySet) {
        let (all, cause) = (Change::whole(families), InvalidationCause::Forbidden);
        partition.account().because(all, Cause::Other(cause));
        partition.account().touch(all);
        self.metrics.cache.invalidations.of(cause).inc();
    }

    /// Does what is put off; called now and then, off the request path.
    pub fn housekeep(&self) {
        let crowded = std::mem::take(&mut *self.crowded());
        if !crowded.is_empty() {
            self.clear(&crowded);
        }
        self.store.housekeep();
    }

    /// Removes what these partitions have that is never shown again, because it was touched, or only
    /// if there is nothing better, because its lifetime is over.
    fn clear(&self, partitions: &HashMap<u64, Arc<Partition>>) {
        let now = self.clock.now();
        for (key, stored) in self.store.iter() {
            let Some(partition) = partitions.get(&key.partition()) else { continue };
            let Stored::Entry(entry) = &*stored else { continue };
            if !entry.is_fresh(now) || !partition.is_current(entry.view, &entry.stamp) {
                self.store.remove(&key);
            }
        }
    }

    /// Ends the lifetime of what was asked for until now and shows any of some changes: it is fetched
    /// anew for whoever asks next, and shown stale as if its lifetime had just passed. Says how many
    /// entries would have been shown as fresh.
    ///
    /// All that is kept is looked at, so this is for a thread that may be busy for a while. What is
    /// being fetched, or is asked for within this millisecond, is kept as stale, whatever it shows.
    pub fn soften(&self, changes: &Softened) -> usize {
        let softening = || self.softening.write().unwrap_or_else(PoisonError::into_inner);
        let now = {
            let mut softening = softening();
            softening.running += 1;
            *softening.at.insert(self.clock.now())
        };
        let precise = self.routes.precise();
        let mut count = 0;
        for (key, stored) in self.store.iter() {
            let Some((partition, change)) = changes.get(&key.partition()) else { continue };
            let Stored::Entry(entry) = &*stored else { continue };
            if entry.asked_at <= now && change.shows_in(entry.view, precise) && entry.soften(now) {
                // What was touched would not have been shown.
                count += usize::from(partition.is_current(entry.view, &entry.stamp));
            }
        }
        softening().running -= 1;
        count
    }

    fn crowded(&self) -> MutexGuard<'_, HashMap<u64, Arc<Partition>>> {
        self.crowded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers for a while that what is under a key cannot be kept.
    pub fn mark_uncacheable(&self, key: &Key) {
        let lifetime = millis(self.config.uncacheable_lifetime);
        self.store.insert(key.to_keep(), Arc::new(Stored::Uncacheable { lifetime }));
    }
}

#[cfg(test)]
mod tests;
