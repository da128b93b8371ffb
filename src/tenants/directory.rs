//! The directory: the snapshot in force, and the watch that follows the store.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::{ArcSwap, Guard};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::{
    Config,
    record::Records,
    snapshot::{Grant, Snapshot, Surroundings},
    store::{Store, StoreError},
};
use crate::{
    auth::keyring::{Keyring, Mac},
    cache::cause::Cause,
    error_chain::error_chain,
    metrics::Metrics,
    vocabulary::{InvalidationCause, Reload, Success},
};

/// Who may call, at every moment.
pub struct Directory {
    current: ArcSwap<Snapshot>,
    keyring: Keyring,
    surroundings: Surroundings,
    metrics: Arc<Metrics>,
    poll_interval: Duration,
    reader: Mutex<Reader>,
}

struct Reader {
    store: Store,
    /// The version that the snapshot in force was built from; none makes the next poll rebuild.
    seen: Option<i64>,
    /// Whether the last rebuild failed, and was reported.
    failing: bool,
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
        let store = Store::open(&config.store)?;
        let directory = Self {
            current: ArcSwap::default(),
            keyring,
            surroundings,
            metrics,
            poll_interval: config.poll_interval.max(POLL_MIN),
            reader: Mutex::new(Reader { store, seen: None, failing: false }),
        };
        directory.reload()?;
        Ok(directory)
    }

    /// The keys by which tokens are recognized.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// The snapshot in force.
    pub fn snapshot(&self) -> Guard<Arc<Snapshot>> {
        self.current.load()
    }

    /// What a token gives at this moment.
    pub fn find(&self, mac: &Mac) -> Option<Arc<Grant>> {
        self.current.load().find(mac).cloned()
    }

    /// Reads the store and puts a new snapshot in force; on an error the old one stays.
    pub fn reload(&self) -> Result<(), StoreError> {
        self.rebuild(&mut self.reader())
    }

    /// Follows the store until the shutdown.
    pub async fn watch(self: Arc<Self>, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(self.poll_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let directory = Arc::clone(&self);
            if let Err(error) = tokio::task::spawn_blocking(move || directory.poll()).await {
                tracing::error!(%error, "the store could not be polled");
            }
        }
    }

    /// Rebuilds if another process has changed the store; reports a failure once.
    fn poll(&self) {
        let mut reader = self.reader();
        let polled = match reader.store.version() {
            Ok(version) if reader.seen == Some(version) => return,
            Ok(_) => self.rebuild(&mut reader),
            Err(error) => Err(self.failed(error)),
        };
        match polled {
            Ok(()) => reader.failing = false,
            Err(error) => {
                if !reader.failing {
                    let reason = error_chain(&error);
                    tracing::error!(reason, "tenants not reloaded; what was in force stays");
                }
                reader.failing = true;
                reader.seen = None;
            }
        }
    }

    fn rebuild(&self, reader: &mut Reader) -> Result<(), StoreError> {
        // The version comes first: a change in between is then seen by the next poll.
        let read = |store: &Store| Ok((store.version()?, store.records()?));
        let (version, records) = read(&reader.store).map_err(|error| self.failed(error))?;
        self.put_in_force(&records);
        reader.seen = Some(version);
        self.metrics.reloads.of(Reload::Tenants, Success::Ok).inc();
        Ok(())
    }

    fn put_in_force(&self, records: &Records) {
        let previous = self.current.load_full();
        let next = Snapshot::build(records, &self.keyring, &self.surroundings, &previous);
        if next.left_out() != previous.left_out() && !next.left_out().is_empty() {
            let left_out = next.left_out();
            let named: Vec<String> = left_out.iter().take(NAMED).map(ToString::to_string).collect();
            tracing::warn!(count = left_out.len(), first = ?named, "records that cannot be used");
        }
        self.metrics.tokens.set(i64::try_from(next.tokens()).unwrap_or(i64::MAX));
        let vault_changed = next.vault_version() != previous.vault_version();
        let next = Arc::new(next);
        self.current.store(Arc::clone(&next));
        if vault_changed {
            // What was kept, or is being fetched, was not searched for the secrets that are new.
            let cause = InvalidationCause::Vault;
            for partition in next.partitions() {
                partition.account().touch_all(Cause::Other(cause));
            }
            self.metrics.invalidations.of(cause).inc();
        }
    }

    fn failed(&self, error: StoreError) -> StoreError {
        self.metrics.reloads.of(Reload::Tenants, Success::Failed).inc();
        error
    }

    fn reader(&self) -> std::sync::MutexGuard<'_, Reader> {
        // Whoever panicked left the reader whole: it only ever marks what was read.
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
