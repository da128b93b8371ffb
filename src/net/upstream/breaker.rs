//! The breaker: an upstream that is down is not asked by everybody who waits for it.
//!
//! After so many failures in a row it opens: nothing is sent but one request in each interval, which
//! finds out whether the upstream is back. The first success closes it. What counts is whether the
//! upstream as a whole can answer: a connection that cannot be made or breaks, no reply in time, and
//! the statuses by which a proxy in front of it says the same. An error of one of its pages is none:
//! what fails again and again counts once, and does not find out for the others.

use std::time::Duration;

use http::{HeaderValue, StatusCode};
use tokio::time::Instant;

/// Whether requests go through.
#[derive(Debug)]
pub(super) struct Breaker {
    state: State,
    /// Failures in a row that open it; 0 never does.
    threshold: u32,
    interval: Duration,
    /// What failed last.
    last: Option<u64>,
}

#[derive(Debug)]
enum State {
    Closed {
        failures: u32,
    },
    /// The next request that goes through does so then.
    Open {
        next: Instant,
    },
}

/// The upstream may wish to be left alone, but not for longer than this.
const LONGEST_REST: Duration = Duration::from_secs(60);

impl Breaker {
    pub(super) fn new(threshold: u32, interval: Duration) -> Self {
        Self { state: State::Closed { failures: 0 }, threshold, interval, last: None }
    }

    /// Lets a request through, or says how long it is until one is. `asked` tells what is asked for
    /// from what else may be; none is for a request that may change something.
    pub(super) fn enter(&mut self, now: Instant, asked: Option<u64>) -> Result<(), Duration> {
        match self.state {
            State::Closed { .. } => Ok(()),
            State::Open { next } if next > now => Err(next - now),
            // Others first, if there are any: of a write that fails nobody may know what it did.
            State::Open { next }
                if (asked.is_none() || self.last == asked) && next + self.interval > now =>
            {
                Err(next + self.interval - now)
            }
            State::Open { .. } => {
                self.state = State::Open { next: now + self.interval };
                Ok(())
            }
        }
    }

    /// The upstream has answered.
    pub(super) fn succeeded(&mut self) {
        self.last = None;
        self.state = State::Closed { failures: 0 };
    }

    /// It has not, or only that it cannot, and wishes to rest for so long; without `asked` it failed
    /// whatever was asked for. Says whether the breaker has opened by it.
    pub(super) fn failed(
        &mut self,
        now: Instant,
        asked: Option<u64>,
        rest: Option<Duration>,
    ) -> bool {
        let again = asked.is_some() && self.last == asked;
        self.last = asked;
        let next = now + rest.unwrap_or_default().max(self.interval);
        match &mut self.state {
            State::Open { next: at } => {
                // An interval after it was tried, and not after that has failed: the upstream may have
                // come back in between.
                if let Some(rest) = rest {
                    *at = (now + rest).max(*at);
                }
                false
            }
            State::Closed { .. } if again => false,
            State::Closed { failures } => {
                *failures += 1;
                let opens = self.threshold > 0 && *failures >= self.threshold;
                if opens {
                    self.state = State::Open { next };
                }
                opens
            }
        }
    }
}

/// Whether a reply says that the upstream as a whole cannot answer.
pub(super) fn is_down(status: StatusCode) -> bool {
    let down =
        [StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT];
    down.contains(&status)
}

/// For how long the upstream wishes to be left alone, if its `Retry-After` says so in seconds, within a
/// bound.
pub fn rest(wish: Option<&HeaderValue>) -> Option<Duration> {
    let seconds = wish?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_REST))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::new(3, SECOND);
        assert_eq!([(); 3].map(|()| breaker.failed(now, None, None)), [false, false, true]);
        breaker
    }

    #[tokio::test(start_paused = true)]
    async fn it_opens_after_failures_in_a_row() {
        let now = Instant::now();
        let mut breaker = Breaker::new(3, SECOND);
        for _ in 0..5 {
            breaker.failed(now, None, None);
            breaker.failed(now, None, None);
            assert_eq!(breaker.enter(now, Some(0)), Ok(()));
            breaker.succeeded();
        }
        assert_eq!(opened(now).enter(now, Some(0)), Err(SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn one_request_in_each_interval_finds_out() {
        let now = Instant::now();
        let mut breaker = opened(now);
        for second in 1..4 {
            let then = now + SECOND * second;
            assert_eq!(breaker.enter(then, Some(0)), Ok(()));
            assert_eq!(breaker.enter(then, Some(0)), Err(SECOND));
            assert!(!breaker.failed(then, None, None));
        }
        let then = now + SECOND * 4;
        assert_eq!(breaker.enter(then, Some(0)), Ok(()));
        breaker.succeeded();
        assert_eq!((breaker.enter(then, Some(0)), breaker.enter(then, Some(0))), (Ok(()), Ok(())));
    }

    #[tokio::test(start_paused = true)]
    async fn the_interval_is_counted_from_when_it_was_tried() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let (tried, failed) = (now + SECOND, now + SECOND * 5 / 4);
        assert_eq!(breaker.enter(tried, Some(0)), Ok(()));
        breaker.failed(failed, Some(0), None);
        assert_eq!(breaker.enter(failed, Some(1)), Err(SECOND * 3 / 4));
        // A wish for rest counts from when it was heard.
        breaker.failed(failed, Some(0), Some(SECOND * 2));
        assert_eq!(breaker.enter(failed, Some(1)), Err(SECOND * 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_does_not_find_out_where_a_read_may() {
        let now = Instant::now();
        let mut breaker = opened(now);
        assert_eq!(breaker.enter(now + SECOND, None), Err(SECOND));
        assert_eq!(breaker.enter(now + SECOND, Some(0)), Ok(()));
        // When nobody reads, somebody has to.
        assert_eq!(breaker.enter(now + SECOND * 3, None), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn the_upstream_may_wish_for_rest_within_a_bound() {
        let now = Instant::now();
        let wait = |rest: Duration| {
            let mut breaker = Breaker::new(1, SECOND);
            breaker.failed(now, None, Some(rest));
            breaker.enter(now, Some(0)).expect_err("open")
        };
        assert_eq!(wait(SECOND * 7), SECOND * 7);
        assert_eq!(wait(Duration::ZERO), SECOND);
        let wished = |text| rest(Some(&HeaderValue::from_static(text)));
        assert_eq!(wished("7"), Some(SECOND * 7));
        assert_eq!(wished("100000"), Some(LONGEST_REST));
        assert_eq!((wished("soon"), rest(None)), (None, None));
    }

    #[tokio::test(start_paused = true)]
    async fn it_can_be_switched_off() {
        let now = Instant::now();
        let mut breaker = Breaker::new(0, SECOND);
        assert!(
            (0..100)
                .all(|_| !breaker.failed(now, None, None) && breaker.enter(now, Some(0)).is_ok())
        );
    }

    #[tokio::test(start_paused = true)]
    async fn one_page_that_fails_is_not_the_upstream() {
        let now = Instant::now();
        let mut breaker = Breaker::new(3, SECOND);
        assert!((0..100).all(|_| !breaker.failed(now, Some(7), None)));
        assert_eq!([8, 9].map(|asked| breaker.failed(now, Some(asked), None)), [false, true]);
        // What failed last lets others find out.
        let then = now + SECOND;
        assert_eq!(breaker.enter(then, Some(9)), Err(SECOND));
        assert_eq!(breaker.enter(then, Some(7)), Ok(()));
        breaker.succeeded();
        assert_eq!(breaker.enter(then, Some(9)), Ok(()));
    }
}
