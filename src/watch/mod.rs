//! Sees through what is unsettled: the panel's transactions are looked at until each has ended.
//!
//! The panel answers 201 and does the work later, with no word to anybody when it is done. Whoever
//! caches its replies either keeps none for as long as the work may take, or looks. This looks, as
//! long as something is held ([`Hold`]), in the name of an
//! administrator where there is one, else of the credential that wrote. `ledger` decides, `rounds`
//! goes and looks. `search` looks for what a single request may have begun.
//!
//! Why not the machine itself: a look at each machine that is held would cost a request for each,
//! and a transaction says what else hangs on it.

mod candidates;
mod ledger;
#[cfg(test)]
mod model;
mod rounds;
mod search;
mod turns;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    ledger::{Entry, Ledger, Terms},
    turns::Turns,
};
use crate::{
    api::routes::RouteTable,
    cache::{
        coherence::Change,
        partition::{Breadth, Felt, Hold, Partition},
        touch::{Named, Settle, Unsettled},
    },
    clock::{Clock, millis},
    limit::{Limit, Quota},
    metrics::Metrics,
    settings::Problems,
    site::Site,
    tenants::{directory::Directory, snapshot::Credential},
    transcode::transactions::Subject,
    vocabulary::Unrest,
};

crate::section! {
    /// The watch over the panel's transactions.
    pub struct Config {
        /// Whether transactions are looked at while something is unsettled. If not, what a write
        /// leaves open is unsettled for `cache.settle_window`.
        pub enabled: bool = true,
        /// Whether they are looked at all the time, at least every `max_interval`, where a
        /// credential with `reach = "all"` exists: what is done in the panel's own pages is then
        /// seen within it, as far as it has a transaction.
        pub always: bool = false,
        /// The time between two looks while something happens.
        pub interval: Duration = Duration::from_millis(500),
        /// The greatest time between two looks; it doubles up to this while nothing happens.
        pub max_interval: Duration = Duration::from_secs(5),
        /// How many transactions a page has.
        pub page_size: usize = 100,
        /// How many pages one look reads at most; if more is new, everything is touched.
        pub max_pages: usize = 10,
        /// How long one look may take.
        pub timeout: Duration = Duration::from_secs(20),
        /// How long a transaction is waited for at most.
        pub max_wait: Duration = Duration::from_secs(1800),
        /// Looks a second of each upstream, all its watches together.
        pub looks_per_second: u32 = 20,
        /// How many requests with an `Idempotency-Key` and an unknown outcome have their transactions
        /// looked for at once; for others that is done when they are repeated.
        pub max_searches: usize = 16,
    }
}

/// Every watch of the process.
pub struct Watches {
    config: Config,
    terms: Terms,
    sites: HashMap<String, Arc<Site>>,
    budgets: HashMap<String, Limit>,
    directory: Arc<Directory>,
    routes: Arc<RouteTable>,
    clock: Clock,
    metrics: Arc<Metrics>,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// By the partition of the credential that looks.
    each: Mutex<HashMap<u64, Arc<Watch>>>,
    /// The lines of the requests whose transactions are being looked for.
    searching: Mutex<Turns>,
}

/// What the watches are made from.
pub struct Parts {
    /// The settings.
    pub config: Config,
    /// How long an outcome that nobody knows is open.
    pub settle_window: Duration,
    /// The upstreams.
    pub sites: HashMap<String, Arc<Site>>,
    /// Whose credentials look.
    pub directory: Arc<Directory>,
    /// What a transaction touches.
    pub routes: Arc<RouteTable>,
    /// The time.
    pub clock: Clock,
    /// The series.
    pub metrics: Arc<Metrics>,
    /// Ends all watches.
    pub stop: CancellationToken,
}

/// One credential that looks, and what it looks for.
struct Watch {
    /// Gone when it was removed while something was held.
    credential: Option<Arc<Credential>>,
    ledger: Mutex<Ledger<Key, Hold>>,
    wake: Notify,
}

/// What is held, by whom.
///
/// By what it is about, too: the same change may be waited for by different transactions. And by
/// whether it is a removal, whose end may change more.
type Key = (u64, Change, Breadth, Option<Subject>, bool);

impl Config {
    /// Adds what is wrong with the values as such.
    pub fn validate(&self, problems: &mut Problems) {
        if self.interval.is_zero() || self.interval > self.max_interval {
            let wanted = "must be longer than 0 and not longer than watch.max_interval";
            problems.add(None, "watch.interval", wanted);
        }
        if !(1..=1000).contains(&self.page_size) {
            problems.add(None, "watch.page_size", "must be from 1 to 1000");
        }
        if self.max_pages == 0 {
            problems.add(None, "watch.max_pages", "must be at least 1");
        }
        if self.looks_per_second == 0 {
            let wanted = "must be at least 1; watch.enabled = false looks at nothing";
            problems.add(None, "watch.looks_per_second", wanted);
        }
    }
}

impl Watches {
    /// Watches that look at nothing yet.
    pub fn new(parts: Parts) -> Arc<Self> {
        let Parts { config, settle_window, sites, directory, routes, clock, metrics, stop } = parts;
        let terms = Terms { window: millis(settle_window), cap: millis(config.max_wait) };
        let quota = Quota { per_second: config.looks_per_second, burst: config.looks_per_second };
        let budget = |name: &String| (name.clone(), Limit::new("looks", quota));
        Arc::new(Self {
            terms,
            budgets: sites.keys().map(budget).collect(),
            config,
            sites,
            directory,
            routes,
            clock,
            metrics,
            tasks: TaskTracker::new(),
            stop,
            each: Mutex::default(),
            searching: Mutex::default(),
        })
    }

    /// Where it is wished for, looks all the time; returns at the end of the process, when no watch
    /// looks any more.
    pub async fn keep(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(self.config.max_interval);
        while self.stop.run_until_cancelled(ticks.tick()).await.is_some() {
            if !(self.config.always && self.config.enabled) {
                self.stop.cancelled().await;
                break;
            }
            let snapshot = self.directory.snapshot();
            for administrator in snapshot.administrators() {
                let mut each = self.each();
                self.watch(&mut each, administrator.partition.id(), Some(administrator));
            }
        }
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// The watch of a credential; it begins when there is none.
    fn watch(
        self: &Arc<Self>,
        each: &mut HashMap<u64, Arc<Watch>>,
        id: u64,
        credential: Option<&Arc<Credential>>,
    ) -> Arc<Watch> {
        let watch = each.entry(id).or_insert_with(|| {
            let watch = Arc::new(Watch {
                credential: credential.cloned(),
                ledger: Mutex::new(Ledger::new(self.terms)),
                wake: Notify::new(),
            });
            self.tasks.spawn(rounds::go(Arc::clone(self), id, Arc::clone(&watch)));
            watch
        });
        Arc::clone(watch)
    }

    /// Whether the credential of a partition is the administrator that looks all the time.
    fn rules(&self, partition: u64) -> bool {
        let snapshot = self.directory.snapshot();
        snapshot.administrators().any(|credential| credential.partition.id() == partition)
    }

    /// Who looks for what this partition's credential has left open.
    fn looker(&self, partition: &Partition) -> (u64, Option<Arc<Credential>>) {
        let credential = self.directory.snapshot().looker(partition.id()).cloned();
        let id = credential.as_ref().map_or(partition.id(), |looker| looker.partition.id());
        (id, credential)
    }

    /// What transactions call an item.
    fn subject(&self, item: Option<&Named>, partition: &Partition) -> Option<Subject> {
        let item = item?;
        let kind = self.routes.item_kinds().iter().find(|kind| kind.family == item.family)?;
        let number = |name: &str| name.parse().ok();
        let other = || partition.upstream().names().other(item.family, &item.name);
        let id = number(&item.name).or_else(|| number(&other()?))?;
        Some(Subject { kind: kind.kind.clone(), id })
    }

    fn each(&self) -> MutexGuard<'_, HashMap<u64, Arc<Watch>>> {
        self.each.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    fn ledger(&self) -> MutexGuard<'_, Ledger<Key, Hold>> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The handle by which layers hand over what they leave open.
#[derive(Clone)]
pub struct Settler(pub Arc<Watches>);

impl Settle for Settler {
    fn settle(&self, unsettled: Unsettled) {
        let watches = &self.0;
        let felt = unsettled.hold.felt();
        let (id, credential) = watches.looker(felt.partition());
        let subject = watches.subject(unsettled.item.as_ref(), felt.partition());
        let entry = Entry {
            key: key(felt, subject.clone(), unsettled.hold.is_removal()),
            subject,
            unknown: unsettled.why == Unrest::Unknown,
            guard: unsettled.hold,
        };
        let now = watches.clock.now();
        let mut each = watches.each();
        let watch = watches.watch(&mut each, id, credential.as_ref());
        let mut ledger = watch.ledger();
        let before = ledger.len();
        let twice = ledger.add(now, entry);
        watches.metrics.unsettled.waiting.add(i64::from(ledger.len() > before));
        drop((ledger, each));
        drop(twice);
        watch.wake.notify_one();
    }

    fn holds(&self, felt: &Felt, item: Option<&Named>) -> bool {
        let (id, _) = self.0.looker(felt.partition());
        let key = key(felt, self.0.subject(item, felt.partition()), false);
        self.0.each().get(&id).is_some_and(|watch| watch.ledger().holds(&key))
    }
}

fn key(felt: &Felt, subject: Option<Subject>, removal: bool) -> Key {
    let (partition, change, breadth) = felt.key();
    (partition, change, breadth, subject, removal)
}
