//! What a connection waits for, and until when: the deadlines that are not one read or one write.
//!
//! The reading side, the writing side and every exchange note here what they do; the task of the
//! connection asks [`Activity::due`]. A note costs an atomic, and a look at the clock only where
//! something begins or ends, so that no timer is made, armed or dropped for a request.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{Config, after};
use crate::vocabulary::ConnectionEnd;

/// The notes about one connection.
#[derive(Debug)]
pub(super) struct Activity {
    born: Instant,
    /// An [`Awaits`], as a number.
    awaits: AtomicU8,
    /// Since when, in milliseconds after `born`.
    since: AtomicU64,
    /// Requests whose reply has not been handed over to hyper whole.
    in_flight: AtomicU32,
    /// The socket takes no more bytes; the stall deadline of the writing side runs.
    writing: AtomicBool,
    stalled: AtomicBool,
    /// Requests that have begun.
    begun: AtomicU64,
    /// HTTP/1.1 only: requests of which all has come.
    complete: AtomicU64,
}

/// What has to come next from the client while no request is in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Awaits {
    /// Anything at all.
    FirstByte = 0,
    /// The rest of a head, or of the HTTP/2 preface.
    Head = 1,
    /// Another request.
    Request = 2,
}

/// A request in flight, until its reply was handed over or it was abandoned.
#[derive(Debug)]
pub(super) struct Exchange {
    activity: Arc<Activity>,
    /// Which request of the connection it is, from one.
    ordinal: u64,
}

impl Activity {
    pub(super) fn new(now: Instant) -> Arc<Self> {
        Arc::new(Self {
            born: now,
            awaits: AtomicU8::new(Awaits::FirstByte as u8),
            since: AtomicU64::new(0),
            in_flight: AtomicU32::new(0),
            writing: AtomicBool::new(false),
            stalled: AtomicBool::new(false),
            begun: AtomicU64::new(0),
            complete: AtomicU64::new(0),
        })
    }

    /// The handshake is done: from here on the client has to say something.
    pub(super) fn opened(&self, now: Instant) {
        self.since.store(self.age(now), Relaxed);
    }

    /// What the bytes so far make the connection wait for.
    pub(super) fn await_next(&self, next: Awaits) {
        // Only the reading side says what is awaited, so nothing comes between.
        if self.awaits.load(Relaxed) != next as u8 {
            self.awaits.store(next as u8, Relaxed);
            self.since.store(self.age(Instant::now()), Relaxed);
        }
    }

    /// Whether not a byte has come after the handshake.
    pub(super) fn is_unused(&self) -> bool {
        self.awaits.load(Relaxed) == Awaits::FirstByte as u8
    }

    /// A request begins.
    pub(super) fn begin(self: &Arc<Self>) -> Exchange {
        self.in_flight.fetch_add(1, Relaxed);
        // Only the task of the connection begins requests, so nothing comes between.
        let ordinal = self.begun.load(Relaxed) + 1;
        self.begun.store(ordinal, Relaxed);
        Exchange { activity: Arc::clone(self), ordinal }
    }

    /// Of how many requests all has come.
    pub(super) fn set_complete(&self, requests: u64) {
        self.complete.store(requests, Relaxed);
    }

    /// Whether the socket is full.
    pub(super) fn set_writing(&self, writing: bool) {
        self.writing.store(writing, Relaxed);
    }

    /// The client did not read in time.
    pub(super) fn set_stalled(&self) {
        self.stalled.store(true, Relaxed);
    }

    /// Whether the client did not read in time.
    pub(super) fn is_stalled(&self) -> bool {
        self.stalled.load(Relaxed)
    }

    /// When the connection ends, and why, if nothing happens; none while it waits for us, or for
    /// what has a deadline of its own.
    pub(super) fn due(&self, config: &Config) -> Option<(Instant, ConnectionEnd)> {
        if self.in_flight.load(Relaxed) > 0 || self.writing.load(Relaxed) {
            return None;
        }
        let (patience, end) = match self.awaits.load(Relaxed) {
            0 => (config.first_byte_timeout, ConnectionEnd::FirstByteTimeout),
            1 => (config.head_timeout, ConnectionEnd::HeadTimeout),
            _ => (config.idle_timeout, ConnectionEnd::Idle),
        };
        let since = Duration::from_millis(self.since.load(Relaxed));
        Some((after(self.born + since, patience), end))
    }

    fn age(&self, now: Instant) -> u64 {
        let age = now.saturating_duration_since(self.born);
        u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
    }
}

impl Exchange {
    /// HTTP/1.1 only: whether a part of the request is still to come, behind which no other
    /// request can be found unless it is read.
    pub(super) fn is_unfinished(&self) -> bool {
        self.activity.complete.load(Relaxed) < self.ordinal
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let activity = &self.activity;
        if activity.in_flight.fetch_sub(1, Relaxed) == 1 {
            activity.since.store(activity.age(Instant::now()), Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn config() -> Config {
        Config {
            first_byte_timeout: SECOND,
            head_timeout: 2 * SECOND,
            idle_timeout: 3 * SECOND,
            ..Config::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_state_has_its_deadline_from_when_it_began() {
        let born = Instant::now();
        let activity = Activity::new(born);
        let due = || activity.due(&config()).map(|(at, end)| (at - born, end));
        assert_eq!(due(), Some((SECOND, ConnectionEnd::FirstByteTimeout)));
        tokio::time::advance(SECOND).await;
        activity.await_next(Awaits::Head);
        assert_eq!(due(), Some((3 * SECOND, ConnectionEnd::HeadTimeout)));
        tokio::time::advance(SECOND).await;
        activity.await_next(Awaits::Head);
        assert_eq!(due(), Some((3 * SECOND, ConnectionEnd::HeadTimeout)), "dribbling wins no time");
        activity.await_next(Awaits::Request);
        assert_eq!(due(), Some((5 * SECOND, ConnectionEnd::Idle)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_in_flight_or_a_full_socket_has_no_deadline_here() {
        let born = Instant::now();
        let activity = Activity::new(born);
        activity.await_next(Awaits::Request);
        let exchanges = [activity.begin(), activity.begin()];
        assert_eq!(activity.due(&config()), None);
        tokio::time::advance(10 * SECOND).await;
        drop(exchanges);
        let idle = Some((born + 13 * SECOND, ConnectionEnd::Idle));
        assert_eq!(activity.due(&config()), idle);
        activity.set_writing(true);
        assert_eq!(activity.due(&config()), None);
        activity.set_writing(false);
        assert_eq!(activity.due(&config()), idle);
    }
}
