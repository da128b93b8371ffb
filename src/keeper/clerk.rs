//! The thread that asks the store for the keeper, one question after the other.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, oneshot};

use super::{Away, Claim, Found, Keeper, lost::Span};
use crate::{
    error_chain::error_chain,
    idempotency::{End, Slot},
    tenants::{
        Config,
        store::{
            Store, StoreError,
            idempotency::{Claimed, Wish},
        },
    },
};

/// What is asked of the store.
pub(super) enum Job {
    /// To take a key.
    Claim {
        /// Whose claim it will be.
        keeper: Arc<Keeper>,
        /// Which key.
        slot: Slot,
        /// What is written of it.
        wish: Box<Wish>,
        /// Who waits.
        answer: oneshot::Sender<Result<Found, Away>>,
    },
    /// To end a line.
    End {
        /// Which.
        row: i64,
        /// How.
        end: End,
        /// Who waits, if anybody does.
        answer: Option<oneshot::Sender<Result<(), Away>>>,
    },
    /// To write down what a request of unknown outcome may have begun.
    Name {
        /// Which line.
        row: i64,
        /// The numbers of the transactions.
        transactions: Box<[u64]>,
    },
    /// To delete what has expired.
    Prune {
        /// The time.
        now: i64,
        /// Who is told whether there may be more.
        answer: oneshot::Sender<Result<bool, Away>>,
    },
}

/// Who asks.
pub(super) struct Clerk {
    config: Config,
    jobs: mpsc::Receiver<Job>,
    store: Option<Store>,
    /// The store failed; until then it is not asked, so that those who wait are told at once.
    rests: Option<Instant>,
    /// Ends that could not be written, and that nobody waits for.
    unwritten: Vec<(i64, End)>,
}

/// More are ended by their lease.
const UNWRITTEN_MAX: usize = 1024;

/// How long a store rests that has failed.
const REST: Duration = Duration::from_secs(1);

impl Clerk {
    pub(super) fn new(config: Config, jobs: mpsc::Receiver<Job>) -> Self {
        Self { config, jobs, store: None, rests: None, unwritten: Vec::new() }
    }

    /// Writes what could not be written before.
    fn catch_up(&mut self) {
        while let Some((row, end)) = self.unwritten.pop() {
            if self.ask(|store| store.end_key(row, &end)).is_err() {
                self.unwritten.push((row, end));
                return;
            }
        }
    }

    /// Asks until nobody can have another question.
    pub(super) fn run(mut self) {
        while let Some(job) = self.jobs.blocking_recv() {
            self.catch_up();
            match job {
                Job::Claim { keeper, slot, wish, answer } => {
                    // Nobody waits for it any more, and nothing was written.
                    if answer.is_closed() {
                        continue;
                    }
                    let claimed = self.ask(|store| store.claim_key(&slot, &wish));
                    let found = claimed.map(|claimed| match claimed {
                        Claimed::New(row) => {
                            let span = Span { sent: wish.now, lease: wish.lease };
                            Found::Claimed(Claim::new(keeper, slot, row, span))
                        }
                        Claimed::Known(entry) => Found::Known(entry),
                        Claimed::Full => Found::Full,
                    });
                    // A claim that nobody takes is dropped, and lets go of its key.
                    drop(answer.send(found));
                }
                Job::End { row, end, answer } => {
                    let ended = self.ask(|store| store.end_key(row, &end)).map(drop);
                    match answer {
                        // Who does not wait knows no more than who was told.
                        Some(answer) => drop(answer.send(ended)),
                        // Nobody else would end it before its lease does.
                        None if ended.is_err() && self.unwritten.len() < UNWRITTEN_MAX => {
                            self.unwritten.push((row, end));
                        }
                        None => {}
                    }
                }
                // Where it cannot be written, it is looked for again when it is asked for again.
                Job::Name { row, transactions } => {
                    let _ = self.ask(|store| store.name_transactions(row, &transactions));
                }
                Job::Prune { now, answer } => {
                    let _ = answer.send(self.ask(|store| store.prune_keys(now)));
                }
            }
        }
    }

    fn ask<T>(
        &mut self,
        question: impl FnOnce(&mut Store) -> Result<T, StoreError>,
    ) -> Result<T, Away> {
        if self.rests.is_some_and(|until| Instant::now() < until) {
            return Err(Away);
        }
        let asked = match &mut self.store {
            Some(store) => question(store),
            none => Store::open(&self.config).and_then(|store| question(none.insert(store))),
        };
        match asked {
            Ok(answer) => {
                if self.rests.take().is_some() {
                    tracing::info!("the store takes idempotency keys again");
                }
                Ok(answer)
            }
            Err(error) => {
                let reason = error_chain(&error);
                if self.rests.is_none() {
                    tracing::error!(reason, "the store takes no idempotency keys");
                }
                // A connection that failed once is not asked again.
                self.store = None;
                self.rests = Some(Instant::now() + REST);
                Err(Away)
            }
        }
    }
}
