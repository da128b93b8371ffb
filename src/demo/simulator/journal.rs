//! What the simulator was asked, in order, up to a bound.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Method};
use tokio::time::Instant;

/// How many requests are remembered; the oldest are forgotten first.
const REMEMBERED: usize = 50_000;

/// How much of a body is remembered, and of all bodies together.
const REMEMBERED_BODY: usize = 64 << 10;
const REMEMBERED_BODIES: usize = 128 << 20;

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
pub(crate) struct Journal(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    all: VecDeque<Seen>,
    body_bytes: usize,
}

impl Journal {
    pub(crate) fn add(&self, mut seen: Seen) {
        // A copy, so that the rest of a large body is not kept alive by its beginning.
        seen.body = Bytes::copy_from_slice(&seen.body[..seen.body.len().min(REMEMBERED_BODY)]);
        let mut entries = self.lock();
        entries.body_bytes += seen.body.len();
        entries.all.push_back(seen);
        while entries.all.len() > REMEMBERED || entries.body_bytes > REMEMBERED_BODIES {
            let Some(oldest) = entries.all.pop_front() else { break };
            entries.body_bytes -= oldest.body.len();
        }
    }

    pub(crate) fn all(&self) -> Vec<Seen> {
        self.lock().all.iter().cloned().collect()
    }

    pub(crate) fn count(&self, matches: impl Fn(&Seen) -> bool) -> usize {
        self.lock().all.iter().filter(|seen| matches(seen)).count()
    }

    pub(crate) fn clear(&self) {
        *self.lock() = Entries::default();
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
