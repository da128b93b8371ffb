//! One fetch under way: who waits for it, who tells them, and whose turn it is.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use http::StatusCode;
use tokio::sync::{Notify, OnceCell, watch};

use super::Hangar;
use crate::{
    cache::{
        coherence::Stamp,
        dependence::{Dependence, Stamps},
        entry::{Representation, Stored},
        key::Key,
    },
    call::Miss,
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
    /// For a flight that waits for its turn: the stamps of its start.
    started: OnceLock<Stamps>,
    turn: Notify,
}

/// Ends a flight whatever becomes of its task.
pub(super) struct Landing {
    pub(super) hangar: Arc<Hangar>,
    pub(super) key: Key,
    pub(super) credential: Arc<Credential>,
    pub(super) dependence: Dependence,
    pub(super) id: u64,
}

/// What a fetch brought.
#[derive(Clone)]
pub(super) enum Outcome {
    /// A representation that everybody may be shown.
    Shared(Arc<Brought>),
    /// Too large to hold: the first to take it streams it, the others fetch it themselves.
    Streamed(Arc<Mutex<Option<Answer>>>),
    /// Nothing.
    Refused(Rejection),
}

/// A representation as a fetch brought it.
pub(super) struct Brought {
    pub(super) representation: Representation,
    /// As what it is kept, or why it is not.
    pub(super) kept: Result<Arc<Stored>, NotStored>,
    /// The upstream has said that it is what was kept.
    pub(super) not_modified: bool,
    /// Of what is not there, when the fetch began.
    pub(super) absent: Stamp,
    /// The same in the other format, once a reader of that has asked for it; none if it does not fit.
    pub(super) derived: OnceCell<Option<Representation>>,
}

impl Brought {
    /// Why it is not kept, if it is not.
    pub(super) fn not_stored(&self) -> Option<NotStored> {
        self.kept.as_ref().err().copied()
    }
}

impl Outcome {
    /// Whether it says that something is not there, and may have been asked for before something was
    /// made that this reader must be shown. It was not if both began under one stamp; nor if nothing
    /// has been made since it was asked for, as of a flight that this reader has waited for.
    pub(super) fn is_of_an_older_absence(&self, miss: &Miss) -> bool {
        let Self::Shared(brought) = self else { return false };
        let (status, absent) = (brought.representation.status, &brought.absent);
        let partition = &miss.exchange.call.caller.credential().partition;
        status == StatusCode::NOT_FOUND
            && *absent != miss.stamps.absent
            && !partition.is_current(miss.dependence.view_of(status), absent)
    }
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

    /// For the leader of a flight that waits: the stamps of its start.
    pub(super) async fn wait_for_turn(&self) -> Stamps {
        loop {
            if let Some(stamps) = self.started.get() {
                return stamps.clone();
            }
            self.turn.notified().await;
        }
    }

    /// Gives the leader its turn, once.
    pub(super) fn start(&self, stamps: Stamps) {
        drop(self.started.set(stamps));
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
        let stamps = || self.dependence.stamps(&self.credential.partition);
        let now = self.hangar.shelf.clock.now();
        let next = self.hangar.flights().finish(&self.key, self.id, now, || stamps().shown);
        if let Some((flight, shown)) = next {
            flight.start(Stamps { shown, ..stamps() });
        }
    }
}
