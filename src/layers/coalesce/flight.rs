//! One fetch under way: who waits for it, who tells them, and whose turn it is.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::{Notify, watch};

use super::Hangar;
use crate::{
    cache::{
        coherence::{Stamp, View},
        entry::Representation,
        key::Key,
    },
    layers::Answer,
    rejection::Rejection,
    tenants::snapshot::Credential,
    vocabulary::NotStored,
};

/// One fetch, as those see it who wait for it.
pub(super) struct Flight {
    outcome: watch::Receiver<Option<Outcome>>,
    /// Kept until the leader's task takes it.
    teller: Mutex<Option<watch::Sender<Option<Outcome>>>>,
    /// For a flight that waits for its turn: the stamp of its start.
    started: OnceLock<Stamp>,
    turn: Notify,
}

/// Ends a flight whatever becomes of its task.
pub(super) struct Landing {
    pub(super) hangar: Arc<Hangar>,
    pub(super) key: Key,
    pub(super) credential: Arc<Credential>,
    pub(super) view: View,
    pub(super) id: u64,
}

/// What a fetch brought.
#[derive(Clone)]
pub(super) enum Outcome {
    /// A representation that everybody may be shown.
    Shared(Arc<Representation>, Option<NotStored>),
    /// Too large to hold: the first to take it streams it, the others fetch it themselves.
    Streamed(Arc<Mutex<Option<Answer>>>),
    /// Nothing.
    Refused(Rejection),
}

impl Flight {
    /// A flight that nobody has told anything of.
    pub(super) fn new() -> Arc<Self> {
        let (teller, outcome) = watch::channel(None);
        let teller = Mutex::new(Some(teller));
        Arc::new(Self { outcome, teller, started: OnceLock::new(), turn: Notify::new() })
    }

    /// The end that is told; none when a task has it already.
    pub(super) fn take_teller(&self) -> Option<watch::Sender<Option<Outcome>>> {
        self.teller.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// For the leader of a flight that waits: the stamp of its start.
    pub(super) async fn wait_for_turn(&self) -> Stamp {
        loop {
            if let Some(stamp) = self.started.get() {
                return stamp.clone();
            }
            self.turn.notified().await;
        }
    }

    /// Gives the leader its turn, once.
    pub(super) fn start(&self, stamp: Stamp) {
        drop(self.started.set(stamp));
        self.turn.notify_one();
    }

    /// Waits for the outcome.
    pub(super) async fn landed(&self) -> Outcome {
        let mut outcome = self.outcome.clone();
        let told = outcome.wait_for(Option::is_some).await.ok().and_then(|told| told.clone());
        // A task that panicked has told nothing and dropped its end.
        told.unwrap_or(Outcome::Refused(Rejection::Panicked))
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        let restamp = || self.credential.partition.stamp(self.view);
        let now = self.hangar.shelf.clock.now();
        let next = self.hangar.flights().finish(&self.key, self.id, now, restamp);
        if let Some((flight, stamp)) = next {
            flight.start(stamp);
        }
    }
}
