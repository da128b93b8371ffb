//! A mark: the epoch of one thing that can change, and what raised it last.

use std::sync::atomic::{AtomicU64, Ordering};

use super::cause::Cause;
use crate::vocabulary::Noted as _;

/// The atomic counter that epochs are made of.
pub trait Cell: Send + Sync {
    /// A counter at zero.
    fn zero() -> Self;
    /// Its value; no later read of this thread happens before it.
    fn load(&self) -> u64;
    /// Raises it by one, in the one order that all threads agree on.
    fn increment(&self);
    /// Lowers it by one.
    fn decrement(&self);
}

/// One epoch, and what is known of it.
#[derive(Debug)]
pub(super) struct Mark<C> {
    pub(super) epoch: C,
    /// Writes between their first and their last bump.
    pub(super) writing: C,
    /// What raised it last, as a packed [`Cause`]; 0 when nobody knows.
    cause: AtomicU64,
    /// When that was said, by [`next_said`].
    said: AtomicU64,
}

/// What raised an epoch, and when; what is greater is later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Raised {
    said: u64,
    cause: u64,
}

impl Cell for AtomicU64 {
    fn zero() -> Self {
        Self::new(0)
    }

    fn load(&self) -> u64 {
        self.load(Ordering::Acquire)
    }

    fn increment(&self) {
        self.fetch_add(1, Ordering::SeqCst);
    }

    fn decrement(&self) {
        self.fetch_sub(1, Ordering::SeqCst);
    }
}

impl<C: Cell> Mark<C> {
    pub(super) fn new() -> Self {
        Self {
            epoch: C::zero(),
            writing: C::zero(),
            cause: AtomicU64::new(0),
            said: AtomicU64::new(0),
        }
    }
}

impl<C> Mark<C> {
    // What explains need not agree with what decides: two that say something at once may leave the
    // cause of one with the time of the other.
    pub(super) fn say(&self, said: u64, cause: Cause) {
        self.cause.store(cause.pack(), Ordering::Relaxed);
        self.said.store(said, Ordering::Relaxed);
    }

    pub(super) fn raised(&self) -> Option<Raised> {
        let cause = self.cause.load(Ordering::Relaxed);
        (cause != 0).then(|| Raised { said: self.said.load(Ordering::Relaxed), cause })
    }
}

impl Raised {
    /// What it was.
    pub fn cause(self) -> Option<Cause> {
        Cause::unpack(self.cause)
    }
}

/// The order in which causes are said.
pub(super) fn next_said() -> u64 {
    static SAID: AtomicU64 = AtomicU64::new(0);
    SAID.fetch_add(1, Ordering::Relaxed)
}
