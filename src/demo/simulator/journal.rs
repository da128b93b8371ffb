//! What the simulator was asked, in order, up to a bound.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Method};
use tokio::time::Instant;

/// How many requests are remembered; the oldest are forgotten first.
const REMEMBERED: usize = 100_000;

/// How much of a body is remembered.
const REMEMBERED_BODY: usize = 64 << 10;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The method on the request line, before any override.
    pub method: Method,
    /// The target on the request line, byte for byte.
    pub target: String,
    /// The headers as they came.
    pub headers: HeaderMap,
    /// The body's first 64 KiB.
    pub body: Bytes,
    /// Whether the body arrived whole.
    pub complete: bool,
    /// The login of the user it spoke for.
    pub user: Option<String>,
    /// When its body had been read.
    pub at: Instant,
}

#[derive(Debug, Default)]
pub(crate) struct Journal(Mutex<VecDeque<Seen>>);

impl Journal {
    pub(crate) fn add(&self, mut seen: Seen) {
        seen.body.truncate(REMEMBERED_BODY);
        let mut all = self.lock();
        if all.len() == REMEMBERED {
            all.pop_front();
        }
        all.push_back(seen);
    }

    pub(crate) fn all(&self) -> Vec<Seen> {
        self.lock().iter().cloned().collect()
    }

    pub(crate) fn count(&self, matches: impl Fn(&Seen) -> bool) -> usize {
        self.lock().iter().filter(|seen| matches(seen)).count()
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
