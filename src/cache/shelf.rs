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
    /// When the last soft purge was, in milliseconds of the process. It is held while an entry is put
    /// in, so that a soft purge finds the entry, or the entry finds the soft purge.
    softened_at: RwLock<Option<u64>>,
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
        let store = Store::new(config.capacity, metrics.cache_evictions.clone());
        let (crowded, softened_at) = (Mutex::default(), RwLock::default());
        Self { store, routes, config, clock, metrics, crowded, softened_at }
    }

    /// Keeps a representation for as long as its class and its status live. While what it shows is
    /// unsettled it is fresh for a moment from when the upstream was asked, and then of use only where
    /// the upstream cannot say what has become of it. Says why not, if it is not kept.
    pub fn keep(
        &self,
        key: &Key,
        partition: &Arc<Partition>,
        filled: Filled<'_>,
        shown: Representation,
    ) -> Option<NotStored> {
        let Dependence { class, .. } = filled.dependence;
        let Some(Lifetime { fresh, stale }) = self.config.lifetime_of(class, shown.status) else {
            return Some(NotStored::Status);
        };
        // What is found by no request is judged by what its stamp was taken of.
        let view = filled.dependence.view_of(shown.status);
        let (now, asked_at) = (self.clock.now(), filled.asked_at);
        if self.has_newer(key, partition, asked_at) {
            return Some(NotStored::Overtaken);
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
            return Some(NotStored::Unsettled);
        }
        let stamp = filled.stamp.clone();
        let mut entry = Entry::new(shown, view, stamp, asked_at, fresh_until, millis(stale));
        entry.settled = filled.settled;
        self.put(key, partition, entry)
    }

    /// Puts an entry in, if its partition has room for it.
    fn put(&self, key: &Key, partition: &Arc<Partition>, entry: Entry) -> Option<NotStored> {
        let asked_at = entry.asked_at;
        let bytes = (key.weight() + entry.representation.weight()) as u64;
        let Some(room) = partition.room(bytes, self.config.share()) else {
            // What stands there is outdated, and takes the room of its successor.
            self.forget(key, asked_at);
            self.crowded().insert(partition.id(), Arc::clone(partition));
            return Some(NotStored::Share);
        };
        let entry = entry.taking(room);
        let softened_at = self.softened_at.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = softened_at.filter(|at| asked_at <= *at) {
            // Maybe what it shows was not even meant: that costs a fetch.
            entry.soften(at);
        }
        self.store.insert(key.clone(), Arc::new(Stored::Entry(entry)));
        None
    }

    /// Keeps what was derived from an entry, for as long as that.
    pub fn keep_derived(
        &self,
        key: &Key,
        partition: &Arc<Partition>,
        source: &Entry,
        shown: Representation,
    ) -> Option<NotStored> {
        self.put(key, partition, source.derived(shown))
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
    /// kept, is not followed by an older one.
    pub fn forget(&self, key: &Key, asked_at: u64) {
        if let Some(stored) = self.store.get(key)
            && let Stored::Entry(entry) = &*stored
            && entry.asked_at <= asked_at
        {
            self.store.remove(key);
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
        self.metrics.invalidations.of(cause).inc();
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
        let now = {
            let mut at = self.softened_at.write().unwrap_or_else(PoisonError::into_inner);
            *at.insert(self.clock.now())
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
        count
    }

    fn crowded(&self) -> MutexGuard<'_, HashMap<u64, Arc<Partition>>> {
        self.crowded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers for a while that what is under a key cannot be kept.
    pub fn mark_uncacheable(&self, key: &Key) {
        let lifetime = millis(self.config.uncacheable_lifetime);
        self.store.insert(key.clone(), Arc::new(Stored::Uncacheable { lifetime }));
    }
}

#[cfg(test)]
mod tests {
    use std::{
        thread,
        time::{Duration, Instant},
    };

    use bytes::Bytes;
    use http::{HeaderMap, StatusCode};

    use super::*;
    use crate::{
        api::families::FamilySet,
        cache::{
            coherence::{Epochs, View},
            names::Names,
            partition::Commons,
        },
        settings::ByteSize,
        vocabulary::RouteClass,
    };

    struct Setting {
        shelf: Shelf,
        partition: Arc<Partition>,
        view: View,
    }

    impl Setting {
        /// A partition whose share is a MiB.
        fn new() -> Self {
            let routes = Arc::new(RouteTable::new(&[]).expect("the table itself"));
            let config = Config {
                capacity: ByteSize::mib(10),
                max_partition_percent: 10,
                ..Config::default()
            };
            let (families, none) = (routes.families().len(), FamilySet::EMPTY);
            let commons = Arc::new(Commons::new(families, none, none, Names::new(1)));
            let account = Arc::new(Epochs::new(families, none));
            let partition = Arc::new(Partition::new(account, commons, true));
            let view = View::of(routes.families().all());
            let shelf = Shelf::new(config, routes, Clock::start(), Arc::new(Metrics::new()));
            Self { shelf, partition, view }
        }

        fn key(&self, number: u32) -> Key {
            let target = format!("/virtual_machines/{number}.json").parse().expect("a target");
            Key::new(&self.partition, target, None)
        }

        /// Keeps something of 200 KiB that was asked for now; says whether there was room.
        fn keep(&self, number: u32) -> bool {
            self.keep_of(number, self.shelf.clock.now()).is_none()
        }

        fn keep_of(&self, number: u32, asked_at: u64) -> Option<NotStored> {
            let stamp = &self.partition.stamp(self.view);
            let dependence = Dependence { view: self.view, class: RouteClass::Inventory };
            let filled = Filled { stamp, dependence, settled: true, asked_at };
            let body = Bytes::from(vec![b'x'; 200 << 10]);
            let shown = Representation::new(StatusCode::OK, HeaderMap::new(), body);
            self.shelf.keep(&self.key(number), &self.partition, filled, shown)
        }
    }

    #[test]
    fn what_was_touched_gives_its_room_back_when_it_is_wanted() {
        let setting = Setting::new();
        let kept = (0..9).filter(|number| setting.keep(*number)).count();
        assert_eq!(kept, 5);
        setting.shelf.housekeep();
        assert!(!setting.keep(9), "what is fresh is not cleared away");
        setting.partition.account().touch(Change::whole(setting.view.families));
        assert!(!setting.keep(9));
        // moka lets go of what it removed when no thread looks at it any more.
        let patience = Instant::now() + Duration::from_secs(10);
        while !setting.keep(9) {
            assert!(Instant::now() < patience, "what was touched keeps its room");
            setting.shelf.housekeep();
            thread::yield_now();
        }
    }

    #[test]
    fn a_newer_answer_is_not_followed_by_an_older_one() {
        let setting = Setting::new();
        let kept = || setting.shelf.store.get(&setting.key(1)).is_some();
        assert_eq!(setting.keep_of(1, 20), None);
        assert_eq!(setting.keep_of(1, 19), Some(NotStored::Overtaken));
        setting.shelf.forget(&setting.key(1), 19);
        assert!(kept());
        setting.shelf.forget(&setting.key(1), 20);
        assert!(!kept());
        // What was touched is nobody's successor.
        assert_eq!(setting.keep_of(1, 20), None);
        setting.partition.account().touch(Change::whole(setting.view.families));
        assert_eq!(setting.keep_of(1, 19), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_asked_for_later_is_not_softened() {
        let setting = Setting::new();
        let all = Change::whole(setting.view.families);
        let partition = Arc::clone(&setting.partition);
        let changes = HashMap::from([(partition.id(), (partition, all))]);
        let fresh = || {
            let now = setting.shelf.clock.now();
            let all = setting.shelf.store.iter();
            all.filter(|(_, kept)| matches!(&**kept, Stored::Entry(e) if e.is_fresh(now))).count()
        };
        assert!(setting.keep(1));
        assert_eq!((setting.shelf.soften(&changes), fresh()), (1, 0));
        assert!(setting.keep(2));
        assert_eq!(fresh(), 0, "it may have been asked for before");
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(setting.keep(3));
        assert_eq!((fresh(), setting.shelf.soften(&HashMap::new())), (1, 0));
        assert_eq!((fresh(), setting.shelf.soften(&changes)), (1, 1));
    }
}
