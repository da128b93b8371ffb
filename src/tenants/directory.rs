//! The directory: the snapshot in force, and the watch that follows the store.
//!
//! While the store cannot be read, what was read last stays in force, and is said to.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use arc_swap::{ArcSwap, Guard};
use tokio::{
    sync::{Notify, futures::Notified},
    time::MissedTickBehavior,
};
use tokio_util::sync::CancellationToken;

use super::{
    Config,
    master_key::{self, NoMasterKey},
    record::Records,
    snapshot::{Grant, Snapshot, Surroundings},
    store::{
        Store, StoreError,
        announcements::Announcements,
        audit::{Memory, PruneError, Pruned},
    },
    uses::Written,
};
use crate::{
    audit::event::{Actor, ActorKind, Event},
    auth::keyring::{Keyring, Mac},
    cache::cause::Cause,
    clock::unix,
    error_chain::error_chain,
    metrics::{
        Metrics,
        reloads::{Reload, Success},
    },
    vocabulary::InvalidationCause,
};

/// Who may call, at every moment.
pub struct Directory {
    current: ArcSwap<Snapshot>,
    keyring: Arc<Keyring>,
    /// The same keys, as the master key that was read last opens them.
    sealing: ArcSwap<Keyring>,
    surroundings: Surroundings,
    metrics: Arc<Metrics>,
    config: Config,
    reader: Mutex<Reader>,
    /// What the server has to write goes over a connection of its own: it may have to wait for the
    /// turns of others, and whoever follows the store may not.
    writer: Mutex<Writer>,
    written: Written,
    /// Whether the use of tokens could not be written down last.
    behind: AtomicBool,
    /// Tells those who wait for another snapshot.
    changed: Notify,
}

struct Reader {
    /// None after a failure: a connection that failed once is not asked again.
    store: Option<Store>,
    /// The revision that the snapshot in force was built from; none makes the next poll rebuild.
    seen: Option<i64>,
    /// The same keys, but opened with the master key that came in the place of the first.
    rewrapped: Option<Arc<Keyring>>,
}

/// Why a master key has not come in the place of the one that was.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// There is none.
    #[error(transparent)]
    NoKey(#[from] NoMasterKey),
    /// It is not the store's.
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Default)]
struct Writer {
    /// None after a failure, likewise.
    store: Option<Store>,
    memory: Memory,
}

/// A bound for operators who set none: to ask a file more often serves nobody.
const POLL_MIN: Duration = Duration::from_millis(10);

/// How many of the records that were left out a log line names.
const NAMED: usize = 5;

impl Directory {
    /// Opens the store and builds the first snapshot.
    pub fn open(
        config: &Config,
        keyring: Keyring,
        surroundings: Surroundings,
        metrics: Arc<Metrics>,
    ) -> Result<Self, StoreError> {
        let mut store = Store::open(config)?;
        let keyring = Arc::new(store.unlock(keyring, unix(SystemTime::now()))?);
        let store = Some(audited(store, &keyring));
        let directory = Self {
            current: ArcSwap::default(),
            sealing: ArcSwap::from(Arc::clone(&keyring)),
            keyring,
            surroundings,
            metrics,
            config: config.clone(),
            reader: Mutex::new(Reader { store, seen: None, rewrapped: None }),
            writer: Mutex::default(),
            written: Written::default(),
            behind: AtomicBool::new(false),
            changed: Notify::new(),
        };
        directory.reload()?;
        // What was counted before this process began counts on.
        directory.write_uses();
        Ok(directory)
    }

    /// The keys by which tokens are recognized.
    pub fn keyring(&self) -> &Arc<Keyring> {
        &self.keyring
    }

    /// The keys, for whoever seals: what is wrapped anew is opened by the master key in force alone.
    pub fn sealing_keyring(&self) -> Arc<Keyring> {
        self.sealing.load_full()
    }

    /// The snapshot in force.
    pub fn snapshot(&self) -> Guard<Arc<Snapshot>> {
        self.current.load()
    }

    /// Ends with the next snapshot that is put in force, from now on and not from when it is awaited.
    pub fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// What a token gives at this moment.
    pub fn find(&self, mac: &Mac) -> Option<Arc<Grant>> {
        self.current.load().find(mac).cloned()
    }

    /// Whether the store could be read when it was asked last.
    pub fn is_current(&self) -> bool {
        self.metrics.store.up.get() == 1
    }

    /// Reads the store and puts a new snapshot in force; on an error the old one stays.
    pub fn reload(&self) -> Result<(), StoreError> {
        self.follow(&mut self.reader(), false)
    }

    /// Reads the master key anew, for an operator who has wrapped the store's keys with another one, and
    /// gives the keys as that one opens them.
    pub fn reload_master_key(&self, variable: Option<&str>) -> Result<Arc<Keyring>, NotTaken> {
        let master = master_key::keyring(&self.config, variable)?;
        let mut store = Store::open(&self.config)?;
        let keyring = Arc::new(store.unlock(master, unix(SystemTime::now()))?);
        self.reader().rewrapped = Some(Arc::clone(&keyring));
        self.sealing.store(Arc::clone(&keyring));
        Ok(keyring)
    }

    /// Follows the store, and writes down the use of tokens, until the shutdown.
    pub async fn watch(self: Arc<Self>, shutdown: CancellationToken) {
        let changed = Notify::new();
        tokio::join!(
            self.listen(&changed, &shutdown),
            self.keep_up(&changed, &shutdown),
            self.keep_account(&shutdown),
        );
    }

    /// Hears that somebody has changed the store. Nothing else interrupts that: to connect may take
    /// longer than it is between two polls.
    async fn listen(&self, changed: &Notify, shutdown: &CancellationToken) {
        let mut announcements = Announcements::of(&self.config.store, self.config.store_timeout);
        while shutdown.run_until_cancelled(announcements.next()).await.is_some() {
            changed.notify_one();
        }
    }

    async fn keep_up(self: &Arc<Self>, changed: &Notify, shutdown: &CancellationToken) {
        let mut ticks = tokio::time::interval(self.config.poll_interval.max(POLL_MIN));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => {}
                () = changed.notified() => {}
            }
            self.aside(Self::poll).await;
        }
    }

    async fn keep_account(self: &Arc<Self>, shutdown: &CancellationToken) {
        let mut ticks = tokio::time::interval(self.config.usage_interval.max(POLL_MIN));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            self.aside(Self::write_uses).await;
        }
        self.aside(Self::write_uses).await;
        if self.behind.load(Relaxed) {
            tracing::warn!("the use of tokens since it was last written down is lost");
        }
    }

    /// Does what blocks, where it may.
    async fn aside(self: &Arc<Self>, work: fn(&Self)) {
        let directory = Arc::clone(self);
        if let Err(error) = tokio::task::spawn_blocking(move || work(&directory)).await {
            tracing::error!(%error, "the store could not be asked");
        }
    }

    /// Writes down when and how much tokens were used; what cannot be written now is written later.
    /// Reports the first failure, and its end.
    fn write_uses(&self) {
        let now = unix(SystemTime::now());
        let written = self.writing(|store, _| self.written.write(&self.current.load(), store, now));
        let failing = self.behind.swap(written.is_err(), Relaxed);
        match written {
            Ok(()) if failing => tracing::info!("the use of tokens is written down again"),
            Err(error) if !failing => {
                let reason = error_chain(&error);
                tracing::warn!(reason, "the use of tokens was not written down");
            }
            Ok(()) | Err(_) => {}
        }
    }

    /// Writes; a connection that failed once is not asked again.
    fn writing<T, E: From<StoreError>>(
        &self,
        write: impl FnOnce(&mut Store, &mut Memory) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let Writer { store, memory } = &mut *writer;
        let mut open = match store.take() {
            Some(open) => open,
            None => open(&self.config, &self.keyring)?,
        };
        let written = write(&mut open, memory);
        if written.is_ok() {
            *store = Some(open);
        }
        written
    }

    /// Rebuilds if somebody has changed the store; reports the first failure, and its end.
    fn poll(&self) {
        let mut reader = self.reader();
        let failing = reader.store.is_none();
        match self.follow(&mut reader, true) {
            Ok(()) if failing => tracing::info!("the store can be read again"),
            Ok(()) => {}
            Err(_) if failing => {}
            Err(error) => {
                let reason = error_chain(&error);
                tracing::error!(reason, "tenants not reloaded; what was in force stays");
            }
        }
    }

    /// Reads the store, or only its revision where that says that nothing has changed.
    fn follow(&self, reader: &mut Reader, unless_seen: bool) -> Result<(), StoreError> {
        let read = self.read(reader, unless_seen);
        self.metrics.store.up.set(i64::from(read.is_ok()));
        let Some((revision, records)) = read.inspect_err(|_| {
            self.metrics.reloads.tried.of(Reload::Tenants, Success::Failed).inc();
            reader.forget();
        })?
        else {
            self.metrics.store.followed.set(unix(SystemTime::now()));
            return Ok(());
        };
        self.put_in_force(&records, reader.rewrapped.as_ref().unwrap_or(&self.keyring));
        reader.seen = Some(revision);
        self.metrics.store.followed.set(unix(SystemTime::now()));
        self.metrics.reloads.tried.of(Reload::Tenants, Success::Ok).inc();
        Ok(())
    }

    fn read(
        &self,
        Reader { store, seen, .. }: &mut Reader,
        unless_seen: bool,
    ) -> Result<Option<(i64, Records)>, StoreError> {
        let store = match store {
            Some(store) => store,
            None => store.insert(open(&self.config, &self.keyring)?),
        };
        if unless_seen && *seen == Some(store.revision()?) {
            return Ok(None);
        }
        store.read().map(Some)
    }

    /// Appends to the audit log what the server has seen. What could not be appended comes first when
    /// it is tried again.
    pub fn append_audit(&self, events: &[(i64, Event)]) -> Result<(), StoreError> {
        self.writing(|store, memory| store.append_audit(events, memory))
    }

    /// Deletes what is older than a Unix time from the audit log, some of it at a time.
    pub fn prune_audit(&self, before: i64, now: i64) -> Result<Pruned, PruneError> {
        self.writing(|store, _| store.prune_audit(before, now))
    }

    fn put_in_force(&self, records: &Records, keyring: &Keyring) {
        let previous = self.current.load_full();
        let next = Snapshot::build(records, keyring, &self.surroundings, &previous);
        if next.left_out() != previous.left_out() && !next.left_out().is_empty() {
            let left_out = next.left_out();
            let named: Vec<String> = left_out.iter().take(NAMED).map(ToString::to_string).collect();
            tracing::warn!(count = left_out.len(), first = ?named, "records that cannot be used");
        }
        if next.behind() > 0 && previous.behind() == 0 {
            tracing::warn!(
                count = next.behind(),
                "credentials were sealed anew under another master key; they are used as they were \
                 until that key is read, by SIGHUP or a restart"
            );
        }
        let names = next.credentials().map(|credential| credential.name.as_str());
        self.metrics.credentials.follow(names, self.config.credential_series);
        self.metrics.reloads.tokens.set(i64::try_from(next.tokens()).unwrap_or(i64::MAX));
        let vault_changed = next.vault_version() != previous.vault_version();
        if vault_changed {
            (self.surroundings.vault)(&next);
        }
        let open = next.rotating().open().len();
        self.metrics.rotations.open.set(i64::try_from(open).unwrap_or(i64::MAX));
        let next = Arc::new(next);
        self.current.store(Arc::clone(&next));
        self.changed.notify_waiters();
        if vault_changed {
            // What was kept, or is being fetched, was not searched for the secrets that are new.
            let cause = InvalidationCause::Vault;
            for partition in next.partitions() {
                partition.account().touch_all(Cause::Other(cause));
            }
            self.metrics.cache.invalidations.of(cause).inc();
        }
    }

    fn reader(&self) -> std::sync::MutexGuard<'_, Reader> {
        // Whoever panicked left the reader whole: it only ever marks what was read.
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader {
    /// A connection that failed once is not asked again.
    fn forget(&mut self) {
        (self.store, self.seen) = (None, None);
    }
}

fn open(config: &Config, keyring: &Keyring) -> Result<Store, StoreError> {
    Ok(audited(Store::open(config)?, keyring))
}

fn audited(store: Store, keyring: &Keyring) -> Store {
    store.audited(Actor::unnamed(ActorKind::Server), keyring)
}

#[cfg(test)]
mod tests;
