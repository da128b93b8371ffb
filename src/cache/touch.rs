//! The guard of a write: whatever becomes of it, what it touches is invalidated.
//!
//! 1. Nothing happens before the write is about to be sent: one that never was, touches nothing.
//! 2. It bumps before the first byte, on the head of the reply, and at the end; dropping it is an
//!    end too, so a timeout, a client that went away and a panic are no gaps.
//! 3. An end that nobody saw through is an outcome that nobody knows: the upstream may still apply
//!    the write, and for the settle window nothing is kept of what it touches.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use super::{coherence::Epochs, partition::Partition};
use crate::{
    api::families::FamilySet, clock::Clock, metrics::Metrics, vocabulary::InvalidationCause,
};

/// A write and what it touches.
pub struct Touch {
    place: Place,
    families: FamilySet,
    window: Duration,
    clock: Clock,
    metrics: Arc<Metrics>,
    stage: AtomicU8,
}

/// Whose epochs are bumped.
pub enum Place {
    /// Those that every partition of the upstream depends on.
    Upstream(Arc<Epochs>),
    /// Those of one partition.
    Partition(Arc<Partition>),
}

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// What it touches shows its outcome from now on.
    Settled,
    /// It goes on upstream, or nobody knows.
    Open,
}

const UNSENT: u8 = 0;
const SENT: u8 = 1;
const ENDED: u8 = 2;

impl Touch {
    /// A write that has not been sent yet.
    pub fn new(
        place: Place,
        families: FamilySet,
        window: Duration,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { place, families, window, clock, metrics, stage: AtomicU8::new(UNSENT) }
    }

    /// The first byte is about to be sent.
    pub fn sent(&self) {
        if self.stage.compare_exchange(UNSENT, SENT, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            self.epochs().begin(self.families);
            self.count(InvalidationCause::WriteSent);
        }
    }

    /// The head of the reply has arrived; called before the writer sees it.
    pub fn answered(&self) {
        self.epochs().touch(self.families);
        self.count(InvalidationCause::WriteAnswered);
    }

    /// It has ended. The first end counts.
    pub fn end(&self, settlement: Settlement) {
        if self.stage.compare_exchange(SENT, ENDED, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            let until = match settlement {
                Settlement::Settled => 0,
                Settlement::Open => self.clock.after(self.window),
            };
            self.epochs().end(self.families, until);
            self.count(InvalidationCause::WriteEnded);
        }
    }

    fn epochs(&self) -> &Epochs {
        match &self.place {
            Place::Upstream(epochs) => epochs,
            Place::Partition(partition) => partition.own(),
        }
    }

    fn count(&self, cause: InvalidationCause) {
        let cause = match &self.place {
            Place::Upstream(_) => cause,
            Place::Partition(_) => InvalidationCause::UnlistedRead,
        };
        self.metrics.invalidations.of(cause).inc();
    }
}

impl Drop for Touch {
    fn drop(&mut self) {
        self.end(Settlement::Open);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::coherence::Stamp;

    fn touch(epochs: &Arc<Epochs>) -> Touch {
        let place = Place::Upstream(Arc::clone(epochs));
        let window = Duration::from_secs(120);
        Touch::new(place, FamilySet::one(0), window, Clock::start(), Arc::default())
    }

    fn stamp_at(epochs: &Epochs, now: u64) -> Stamp {
        let mut stamp = Stamp::empty();
        epochs.stamp(FamilySet::one(0), now, &mut stamp);
        stamp
    }

    fn stamp(epochs: &Epochs) -> Stamp {
        stamp_at(epochs, u64::MAX)
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_was_never_sent_touches_nothing() {
        let epochs = Arc::new(Epochs::new(1));
        let before = stamp(&epochs);
        drop(touch(&epochs));
        assert_eq!(stamp(&epochs), before);
        assert!(stamp_at(&epochs, 0).is_settled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_bumps_at_every_stage() {
        let epochs = Arc::new(Epochs::new(1));
        let touch = touch(&epochs);
        let mut seen = vec![stamp(&epochs)];
        touch.sent();
        seen.push(stamp(&epochs));
        assert!(!stamp(&epochs).is_settled(), "a write is under way");
        touch.answered();
        seen.push(stamp(&epochs));
        touch.end(Settlement::Settled);
        seen.push(stamp(&epochs));
        seen.dedup();
        assert_eq!(seen.len(), 4);
        assert!(stamp_at(&epochs, 0).is_settled());
        let ended = stamp(&epochs);
        drop(touch);
        assert_eq!(stamp(&epochs), ended, "the first end counts");
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_that_nobody_saw_leaves_a_window() {
        let epochs = Arc::new(Epochs::new(1));
        let touch = touch(&epochs);
        touch.sent();
        drop(touch);
        assert!(!stamp_at(&epochs, 119_999).is_settled());
        assert!(stamp_at(&epochs, 120_000).is_settled());
    }
}
