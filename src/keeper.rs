//! Keeps what became of idempotent requests: asks the store, and lets those wait who find their key in
//! use.
//!
//! No SQL runs where requests are served: one thread has a connection of its own, which is made when
//! the first key comes, and a bounded queue. Whoever asks waits so long at most as the store may take.
//! A [`Claim`] is a key that is taken. However it ends, even by a panic or with its client, the line is
//! ended; where that cannot be written, the line says `sent`, and is unknown once its lease is over.

mod clerk;
pub mod lost;

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, SystemTime},
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    clerk::{Clerk, Job},
    lost::{Lost, Search, Span, Trace},
};
use crate::{
    auth::keyring::{Keyring, Mac},
    clock::{millis, unix_millis},
    idempotency::{Config, End, Entry, Keys, Reply, Slot},
    limit::in_flight::Gate,
    metrics::Metrics,
    tenants::{self, store::idempotency::Wish},
};

/// What is kept of idempotent requests.
pub struct Keeper {
    /// The settings.
    pub config: Config,
    /// The keys by which requests are known and replies are sealed.
    pub keys: Keys,
    /// Who may wait.
    pub waiting: Gate,
    /// Who waits for requests when the process ends.
    pub tasks: TaskTracker,
    /// The series.
    pub metrics: Arc<Metrics>,
    jobs: mpsc::Sender<Job>,
    /// What this process has under way, by key: the line, and what closes at its end.
    live: Mutex<HashMap<Slot, (i64, watch::Receiver<()>)>>,
    search: Arc<dyn Search>,
    patience: Duration,
}

/// What came of taking a key.
pub enum Found {
    /// It was free.
    Claimed(Claim),
    /// It is taken.
    Known(Entry),
    /// The tenant has as many as are kept.
    Full,
}

/// The store cannot be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store cannot be asked")]
pub struct Away;

/// A key that is taken by this request.
pub struct Claim {
    keeper: Arc<Keeper>,
    slot: Slot,
    row: i64,
    span: Span,
    stage: Stage,
    /// Closes with the claim, and so wakes who waits for it.
    _live: watch::Sender<()>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing has been sent: the key is freed.
    Unsent,
    /// The request may have been sent, with a credential in this generation: its outcome is unknown.
    Sent { generation: i64 },
    /// The line has been ended.
    Ended,
}

/// How often lines that have expired are looked for.
const PRUNE_EVERY: Duration = Duration::from_secs(60);

/// How long it is waited before an end is written again that could not be written.
const RETRY: Duration = Duration::from_millis(500);

impl Keeper {
    /// Starts the thread that asks the store.
    pub fn start(
        config: &Config,
        store: &tenants::Config,
        keyring: &Keyring,
        search: Arc<dyn Search>,
        tasks: TaskTracker,
        metrics: Arc<Metrics>,
    ) -> io::Result<Arc<Self>> {
        let (jobs, questions) = mpsc::channel(config.queue.max(1));
        let clerk = Clerk::new(store.clone(), questions);
        thread::Builder::new().name("idempotency".to_owned()).spawn(move || clerk.run())?;
        Ok(Arc::new(Self {
            config: config.clone(),
            keys: Keys::new(keyring),
            waiting: Gate::new(config.max_waiting),
            tasks,
            metrics,
            jobs,
            live: Mutex::default(),
            search,
            patience: store.store_timeout,
        }))
    }

    /// Takes a key for a request with this print and number, or tells what is known of it.
    pub async fn claim(
        self: &Arc<Self>,
        slot: Slot,
        print: Mac,
        first: u64,
    ) -> Result<Found, Away> {
        let now = now();
        let later =
            |wait: Duration| now.saturating_add(i64::try_from(millis(wait)).unwrap_or(i64::MAX));
        let wish = Wish {
            print,
            first,
            now,
            lease: later(self.config.lease),
            expires: later(self.config.retention),
            most: self.config.max_keys_per_tenant,
            key_id: self.keys.id().as_str().to_owned(),
        };
        let (answer, answered) = oneshot::channel();
        let job = Job::Claim { keeper: Arc::clone(self), slot, wish: Box::new(wish), answer };
        // What is claimed after nobody waits any more is let go of by being dropped.
        self.jobs.try_send(job).map_err(|_| Away)?;
        timeout(self.patience, answered).await.map_err(|_| Away)?.map_err(|_| Away)?
    }

    /// Closes when what this process has under way with a key has ended; none if it has nothing.
    pub fn under_way(&self, slot: &Slot) -> Option<watch::Receiver<()>> {
        self.live().get(slot).map(|(_, live)| live.clone())
    }

    /// Deletes what has expired, now and then until the shutdown.
    pub async fn prune(self: Arc<Self>, shutdown: CancellationToken) {
        if !self.config.enabled {
            return;
        }
        let mut ticks = tokio::time::interval(PRUNE_EVERY);
        // The first tick is at once, and there may be no key to come in this process.
        ticks.tick().await;
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            // Some at a time, so that requests have their turn between.
            while self.prune_some().await == Ok(true) {}
        }
    }

    /// Whether there may be more.
    async fn prune_some(&self) -> Result<bool, Away> {
        let (answer, answered) = oneshot::channel();
        self.jobs.try_send(Job::Prune { now: now(), answer }).map_err(|_| Away)?;
        answered.await.map_err(|_| Away)?
    }

    fn live(&self) -> MutexGuard<'_, HashMap<Slot, (i64, watch::Receiver<()>)>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim {
    /// A line that was written just now.
    fn new(keeper: Arc<Keeper>, slot: Slot, row: i64, span: Span) -> Self {
        let (live, ends) = watch::channel(());
        keeper.live().insert(slot, (row, ends));
        Self { keeper, slot, row, span, stage: Stage::Unsent, _live: live }
    }

    /// From now on the request may be sent with a credential in this generation, and only an answer says
    /// what became of it.
    pub fn sent(&mut self, generation: i64) {
        self.stage = Stage::Sent { generation };
    }

    /// That a reply was given, with the reply itself if it can be sealed.
    pub fn sealed(&self, reply: &Reply) -> End {
        let Stage::Sent { generation } = self.stage else { return End::Unkept };
        let sealed = self.keeper.keys.seal(&self.slot, self.row, reply);
        sealed.map_or(End::Unkept, |sealed| End::Answered { reply: sealed.into(), generation })
    }

    /// Its request, for who looks for what it may have begun.
    pub fn lost(&self, trace: Trace) -> Lost {
        Lost { row: self.row, span: self.span, trace }
    }

    /// Writes how it ended. What cannot be written now is tried again beside the request, as long as
    /// others would wait for it.
    pub async fn end(mut self, end: End) {
        if self.write(&end).await.is_ok() {
            return;
        }
        let tasks = self.keeper.tasks.clone();
        tasks.spawn(self.insist(end));
    }

    async fn insist(mut self, end: End) {
        let until = Instant::now() + self.keeper.config.lease;
        while Instant::now() < until {
            sleep(RETRY).await;
            if self.write(&end).await.is_ok() {
                return;
            }
        }
        tracing::error!("what a request with an Idempotency-Key was answered was not written down");
    }

    async fn write(&mut self, end: &End) -> Result<(), Away> {
        let (answer, answered) = oneshot::channel();
        let job = Job::End { row: self.row, end: end.clone(), answer: Some(answer) };
        let asked = async {
            self.keeper.jobs.send(job).await.map_err(|_| Away)?;
            answered.await.map_err(|_| Away)?
        };
        timeout(self.keeper.patience, asked).await.map_err(|_| Away)??;
        self.stage = Stage::Ended;
        Ok(())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let end = match self.stage {
            Stage::Ended => None,
            Stage::Unsent => Some(End::Released),
            Stage::Sent { .. } => Some(End::Unknown),
        };
        if let Some(end) = end {
            // Where there is no room for it, the lease ends it.
            let _ = self.keeper.jobs.try_send(Job::End { row: self.row, end, answer: None });
        }
        let mut live = self.keeper.live();
        // The key may have been freed and taken again by now.
        if live.get(&self.slot).is_some_and(|(row, _)| *row == self.row) {
            live.remove(&self.slot);
        }
    }
}

/// The time that the servers of a store have in common, in milliseconds.
pub fn now() -> i64 {
    i64::try_from(unix_millis(SystemTime::now())).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
