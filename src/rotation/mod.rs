//! Rotation of upstream keys without a touch, and keys that clients have made.
//!
//! `tenants/course.rs` decides what comes next, the journal in the store remembers it, and this does it:
//! `panel` asks the panel, `work` takes one step after the other, by its `acts`, and `schedule` says when a
//! key is too old. Whoever has the lease of a rotation works on it: the command that began it, or any
//! server that finds it due and can open its keys. A command therefore needs no server, and what it leaves
//! unfinished a server finishes; of several servers one does. Meanwhile requests may be `held` back; a key
//! that a client has made is a `catch`.
//!
//! A server has two loops for each upstream, one of them for what requests are held back for alone: a
//! panel that does not answer holds up nobody else's rotations, and of one panel that does, no other
//! rotation those that are waited for.
//!
//! Its limits:
//!
//! - A process that is stopped for longer than its lease between writing that it asks for a key and asking
//!   for it (a suspended machine) may ask when another has looked and found none. It then finds its lease
//!   gone, and the key that it made is left in the panel.
//! - A lease ends by the wall clock of whoever looks at it. Where the clocks of two servers are apart by
//!   more than `lease`, one takes what the other still works on: the other finds its lease gone with the
//!   next step that it writes, but what both have asked of the panel until then was asked twice.
//! - A server that cannot read the store for longer than `drain` goes on sending the key that was replaced
//!   meanwhile, and that whoever rotated it has removed by then: its requests are refused until it reads
//!   again. `tollgate_store_up` says so; `drain` is to be longer than the outage of a store that is to go
//!   unnoticed, and than the slowest request that was sent with the old key.

mod acts;
mod catch;
mod held;
mod panel;
mod schedule;
mod work;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;
use futures_util::future::{join_all, join3};
use tokio_util::sync::CancellationToken;

pub use self::{
    catch::{Caught, Uncaught, Wish},
    held::Patience,
    panel::Panel,
    work::Worked,
};
use crate::{
    audit::event::Actor,
    auth::keyring::{Keyring, VaultError, random},
    clock::unix,
    error_chain::error_chain,
    metrics::Metrics,
    settings::Problems,
    tenants::{
        self,
        course::{Facts, Way},
        directory::Directory,
        record::RotationRecord,
        secret::Vault,
        store::{Edit, Store, StoreError, rotations::Lease},
    },
};

crate::section! {
    /// The rotation of upstream keys.
    pub struct Config {
        /// How old the key of a credential may become before it is rotated; without it none is.
        pub interval: Option<Duration> = None,
        /// How long the old key stays good after the switch, for requests that carry it.
        pub drain: Duration = Duration::from_secs(75),
        /// How long every server is given to see that a key is about to be replaced.
        pub notice: Duration = Duration::from_secs(1),
        /// How long the panel may act on a request whose answer did not come; longer than it is waited for.
        pub settle: Duration = Duration::from_secs(90),
        /// How long nobody else takes up a rotation whose process has died.
        pub lease: Duration = Duration::from_secs(30),
        /// How long a request waits for a key that is being replaced.
        pub max_wait: Duration = Duration::from_secs(20),
        /// How many requests wait so; further ones are refused with 503.
        pub max_waiting: usize = 1024,
        /// How many keys of an upstream are kept that no credential has: those that wait for an owner,
        /// and those that an ended rotation has left.
        pub max_kept: u32 = 100,
        /// How long a key that the panel has made is kept in memory while the store does not take it; then
        /// it is lost.
        pub store_patience: Duration = Duration::from_secs(600),
        /// How long what is known of an ended rotation is kept.
        pub retention: Duration = Duration::from_secs(90 * 86_400),
    }
}

/// What works on rotations.
pub struct Rotor {
    config: Config,
    store_config: tenants::Config,
    keyring: ArcSwap<Keyring>,
    actor: Actor,
    panels: HashMap<String, Panel>,
    metrics: Arc<Metrics>,
    /// By which the leases of this process are known.
    holder: String,
    /// How often it has begun to work: each time with a lease of its own, so that of a server's own look
    /// and a client's request one works.
    works: AtomicU64,
    /// None until it is needed, and after a failure.
    store: Mutex<Option<Store>>,
}

/// Of which rotations it was said a while ago that they stand still, and when.
#[derive(Default)]
struct Told(HashMap<i64, Instant>);

/// What a rotor is made from.
pub struct Parts {
    /// The settings.
    pub config: Config,
    /// Where the store is.
    pub store: tenants::Config,
    /// The keys of the store.
    pub keyring: Arc<Keyring>,
    /// Who it works for, for the audit log.
    pub actor: Actor,
    /// The upstreams by name.
    pub panels: HashMap<String, Panel>,
    /// The series.
    pub metrics: Arc<Metrics>,
}

/// How often a server looks whether a rotation is due.
const LOOK: Duration = Duration::from_millis(250);

/// How often it is said of a rotation that it stands still. What nobody has a lease of is looked at with
/// each tick: another master key may be read at any moment, and open what did not.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// How often ended rotations are looked for that are too old.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);

impl Config {
    /// Adds what is wrong with the values as such.
    pub fn validate(&self, problems: &mut Problems) {
        if self.interval.is_some_and(|interval| interval.is_zero()) {
            let wanted = "must be longer than 0; without it no key is rotated";
            problems.add(None, "rotation.interval", wanted);
        }
        if self.lease < Duration::from_secs(2) {
            problems.add(None, "rotation.lease", "must be at least \"2s\"");
        }
        if self.max_kept == 0 {
            problems.add(None, "rotation.max_kept", "must be at least 1");
        }
        // By them it is known what was tried a short while ago.
        if self.retention < schedule::RETRY {
            problems.add(None, "rotation.retention", "must be at least \"1d\"");
        }
    }
}

impl Rotor {
    /// One that has nothing to do yet.
    pub fn new(parts: Parts) -> Result<Self, VaultError> {
        let Parts { config, store, keyring, actor, panels, metrics } = parts;
        let holder = random::<16>()?.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self {
            config,
            store_config: store,
            keyring: ArcSwap::new(keyring),
            actor,
            panels,
            metrics,
            holder,
            works: AtomicU64::new(0),
            store: Mutex::default(),
        })
    }

    /// Opens the keys of the store with another master key from now on.
    pub fn use_keyring(&self, keyring: Arc<Keyring>) {
        self.keyring.store(keyring);
    }

    /// Plans the rotation of a credential's key, and gives its row.
    pub async fn plan(
        self: &Arc<Self>,
        name: &str,
        way: Way,
        facts: Facts,
    ) -> Result<i64, StoreError> {
        let name = name.to_owned();
        self.edit(move |edit, vault| edit.plan_rotation(vault, &name, way, &facts)).await
    }

    /// How far a rotation is.
    pub async fn look(self: &Arc<Self>, row: i64) -> Result<Option<RotationRecord>, StoreError> {
        self.with_store(move |store, _| store.rotation(row)).await
    }

    /// The rotation of a credential that has not ended.
    pub async fn open(self: &Arc<Self>, name: &str) -> Result<Option<i64>, StoreError> {
        let name = name.to_owned();
        self.with_store(move |store, _| store.open_rotation(&name)).await
    }

    /// Works on whatever is due, and on what the schedule says, until the end of the process.
    pub async fn keep(self: Arc<Self>, directory: Arc<Directory>, shutdown: CancellationToken) {
        let loops = self.panels.keys().flat_map(|upstream| {
            [true, false].map(|held| self.keep_up(upstream, held, &directory, &shutdown))
        });
        join3(join_all(loops), self.keep_schedule(&shutdown), self.keep_no_longer(&shutdown)).await;
    }

    async fn keep_no_longer(self: &Arc<Self>, shutdown: &CancellationToken) {
        let mut ticks = ticks(PRUNE_EVERY);
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            if let Err(error) = self.prune().await {
                tracing::warn!(reason = error_chain(&error), "ended rotations are not deleted");
            }
        }
    }

    /// Works on what is due of an upstream, one after the other: on what requests are held back for, or on
    /// the rest.
    async fn keep_up(
        self: &Arc<Self>,
        upstream: &str,
        held: bool,
        directory: &Directory,
        shutdown: &CancellationToken,
    ) {
        let mut ticks = ticks(LOOK);
        let mut told = Told::default();
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            let now = now_in_millis();
            let open: Vec<i64> = {
                let snapshot = directory.snapshot();
                let open = snapshot.rotating().open().iter();
                let own = open.filter(|r| r.upstream == upstream && r.held == held);
                own.filter(|r| r.due <= now && r.leased <= now).map(|r| r.row).collect()
            };
            for row in open {
                if shutdown.is_cancelled() {
                    return;
                }
                if let Err(error) = self.work_until(shutdown, row, |_| ()).await
                    && told.is_to_be_told(row, Instant::now())
                {
                    tracing::warn!(reason = error_chain(&error), "a rotation stands still");
                }
            }
        }
    }

    /// Deletes what is known of rotations that ended too long ago, some at a time.
    async fn prune(self: &Arc<Self>) -> Result<(), StoreError> {
        let age = i64::try_from(self.config.retention.as_secs()).unwrap_or(i64::MAX);
        let before = unix_now().saturating_sub(age);
        while self.with_store(move |store, _| store.prune_rotations(before)).await? {}
        Ok(())
    }

    /// Changes the store, off the runtime's own threads.
    async fn edit<T: Send + 'static>(
        self: &Arc<Self>,
        change: impl FnOnce(&Edit<'_>, &Vault<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.with_store(move |store, vault| store.edit(unix_now(), |edit| change(edit, vault)))
            .await
    }

    async fn with_store<T: Send + 'static>(
        self: &Arc<Self>,
        ask: impl FnOnce(&mut Store, &Vault<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let rotor = Arc::clone(self);
        let asked = tokio::task::spawn_blocking(move || rotor.ask_store(ask)).await;
        asked.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }

    fn ask_store<T>(
        &self,
        ask: impl FnOnce(&mut Store, &Vault<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let keyring = &*self.keyring.load_full();
        let mut kept = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let store = match &mut *kept {
            Some(store) => store,
            none => {
                none.insert(Store::open(&self.store_config)?.audited(self.actor.clone(), keyring))
            }
        };
        let origin = |name: &str| self.panels.get(name).map(Panel::origin);
        let asked = ask(store, &Vault { keyring, origin: &origin });
        // A connection that failed once is not asked again.
        if asked.as_ref().is_err_and(StoreError::is_of_the_connection) {
            *kept = None;
        }
        asked
    }

    fn new_holder(&self) -> String {
        let work = self.works.fetch_add(1, Ordering::Relaxed);
        format!("{}-{work}", self.holder)
    }

    fn lease(&self, holder: &str) -> (String, i64) {
        let until = now_in_millis().saturating_add(millis(self.config.lease));
        (holder.to_owned(), until)
    }
}

impl Told {
    /// Whether it is to be said again of a rotation that it stands still; then it has been.
    fn is_to_be_told(&mut self, row: i64, now: Instant) -> bool {
        self.0.retain(|_, at| now.saturating_duration_since(*at) < TELL_EVERY);
        let is_new = !self.0.contains_key(&row);
        self.0.entry(row).or_insert(now);
        is_new
    }
}

/// Looks this often, and later where one has taken long.
fn ticks(every: Duration) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks
}

fn lease_of((holder, until): &(String, i64)) -> Lease<'_> {
    Lease { holder, until: *until }
}

fn unix_now() -> i64 {
    unix(SystemTime::now())
}

/// The Unix time in milliseconds.
pub fn now_in_millis() -> i64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// How long it is until a Unix time in milliseconds.
fn until(time: i64) -> Duration {
    let left = time.saturating_sub(now_in_millis());
    Duration::from_millis(u64::try_from(left).unwrap_or(0))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
