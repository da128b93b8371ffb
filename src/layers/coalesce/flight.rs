//! One fetch under way: who waits for it, who tells them, and whose turn it is.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use http::StatusCode;
use tokio::sync::{Notify, watch};

use crate::{
    cache::{coherence::Stamp, dependence::Stamps, entry::Representation},
    layers::Answer,
    rejection::Rejection,
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
    pub(super) not_stored: Option<NotStored>,
    /// The upstream has said that it is what was kept.
    pub(super) not_modified: bool,
    /// Of what is not there, when the fetch began.
    pub(super) absent: Stamp,
}

impl Outcome {
    /// Whether it says that something is not there, and was asked for before something was made
    /// that whoever began under these stamps must be shown.
    pub(super) fn is_of_an_older_absence(&self, stamps: &Stamps) -> bool {
        match self {
            Self::Shared(brought) => {
                brought.representation.status == StatusCode::NOT_FOUND
                    && brought.absent != stamps.absent
            }
            Self::Streamed(_) | Self::Refused(_) => false,
        }
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
