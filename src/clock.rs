//! The time of the process: in milliseconds, by which entries and windows are dated, and as governor counts
//! it for quotas.

use std::{
    sync::LazyLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use governor::clock::{DefaultClock, QuantaInstant};
use tokio::time::Instant;

/// Counts from when it was made; a paused runtime pauses it too.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// Milliseconds since the start.
    pub fn now(self) -> u64 {
        self.at(Instant::now())
    }

    /// A moment, for whoever has it already.
    pub fn at(self, moment: Instant) -> u64 {
        millis(moment.saturating_duration_since(self.started))
    }

    /// The time that is so much later than now.
    pub fn after(self, wait: Duration) -> u64 {
        self.now().saturating_add(millis(wait))
    }
}

/// The clock of all quotas of a second, in nanoseconds. governor's own is 40 bytes, and each limiter would have a copy:
/// one more place in memory for every request to look at.
#[derive(Clone, Copy, Debug)]
pub struct QuotaClock;

impl governor::clock::Clock for QuotaClock {
    type Instant = QuantaInstant;

    fn now(&self) -> QuantaInstant {
        static CLOCK: LazyLock<DefaultClock> = LazyLock::new(DefaultClock::default);
        CLOCK.now()
    }
}

/// A moment of the calendar as a Unix time, in seconds.
pub fn unix(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// A moment of the calendar as a Unix time, in milliseconds.
pub fn unix_millis(time: SystemTime) -> u64 {
    millis(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// A duration in the unit of the clock.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
