//! A timer that costs nothing while what it guards is in time.
//!
//! Each request and each wait for a piece of a body has a deadline, and nearly none is ever
//! reached. So the timer of a connection is not moved for every one of them: it stays where it was
//! set, fires once in a while, sees that the deadline has moved on, and moves there.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::time::{Instant, Sleep, sleep_until};

/// One timer for all deadlines of a connection, one after the other.
#[derive(Default)]
pub(super) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Ready when `at` has passed; until then the task is woken no later than that.
    pub(super) fn poll(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.0.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if timer.deadline() > at {
            timer.as_mut().reset(at);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() == at {
                return Poll::Ready(());
            }
            timer.as_mut().reset(at);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_rings_at_the_deadline_it_is_asked_for() {
        let mut alarm = Alarm::default();
        let start = Instant::now();
        // Later, sooner, and later again than where the timer stands.
        for (seconds, passed) in [(60, 60), (65, 65), (70, 70)] {
            let at = start + Duration::from_secs(seconds);
            let far = start + Duration::from_secs(1000);
            let once = poll_fn(|cx| Poll::Ready(alarm.poll(far, cx))).await;
            assert!(once.is_pending());
            poll_fn(|cx| alarm.poll(at, cx)).await;
            assert_eq!(start.elapsed(), Duration::from_secs(passed));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_that_fired_too_early_moves_on() {
        let mut alarm = Alarm::default();
        let start = Instant::now();
        let soon = start + Duration::from_secs(1);
        assert!(poll_fn(|cx| Poll::Ready(alarm.poll(soon, cx))).await.is_pending());
        poll_fn(|cx| alarm.poll(start + Duration::from_secs(9), cx)).await;
        assert_eq!(start.elapsed(), Duration::from_secs(9));
    }
}
