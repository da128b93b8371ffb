//! How often a request may be sent again: a share of all requests, and a few a second.
//!
//! Without a budget, an upstream that breaks connections under load is sent twice the load.

use tokio::time::Instant;

/// A bucket that requests and time fill, and retries empty.
pub(super) struct RetryBudget {
    per_request: f64,
    per_second: f64,
    saved: f64,
    counted_until: Instant,
}

/// What may be saved up at most, beyond a second's worth: a burst after a quiet hour stays small.
const MOST_SAVED: f64 = 10.0;

impl RetryBudget {
    /// A bucket that holds one second's worth.
    pub(super) fn new(percent: u32, per_second: u32, now: Instant) -> Self {
        let per_second = f64::from(per_second);
        let per_request = f64::from(percent) / 100.0;
        Self { per_request, per_second, saved: per_second, counted_until: now }
    }

    /// A request was sent for the first time.
    pub(super) fn deposit(&mut self) {
        self.save(self.per_request);
    }

    /// Whether one may be sent again now; if so, it is paid for.
    pub(super) fn withdraw(&mut self, now: Instant) -> bool {
        let seconds = now.saturating_duration_since(self.counted_until).as_secs_f64();
        self.counted_until = now;
        self.save(seconds * self.per_second);
        let enough = self.saved >= 1.0;
        if enough {
            self.saved -= 1.0;
        }
        enough
    }

    fn save(&mut self, amount: f64) {
        self.saved = (self.saved + amount).min(MOST_SAVED + self.per_second);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn withdrawals(budget: &mut RetryBudget, now: Instant) -> usize {
        (0..1000).take_while(|_| budget.withdraw(now)).count()
    }

    #[test]
    fn it_allows_a_share_of_the_requests() {
        let now = Instant::now();
        let mut budget = RetryBudget::new(10, 0, now);
        assert_eq!(withdrawals(&mut budget, now), 0);
        (0..55).for_each(|_| budget.deposit());
        assert_eq!(withdrawals(&mut budget, now), 5);
    }

    #[test]
    fn it_allows_a_few_a_second_without_any_load() {
        let now = Instant::now();
        let mut budget = RetryBudget::new(10, 2, now);
        assert_eq!(withdrawals(&mut budget, now), 2);
        assert_eq!(withdrawals(&mut budget, now + Duration::from_secs(1)), 2);
    }

    #[test]
    fn what_is_saved_is_bounded() {
        let now = Instant::now();
        let mut budget = RetryBudget::new(100, 1, now);
        (0..10_000).for_each(|_| budget.deposit());
        assert_eq!(withdrawals(&mut budget, now + Duration::from_secs(3600)), 11);
    }

    #[test]
    fn a_budget_of_nothing_allows_nothing() {
        let now = Instant::now();
        let mut budget = RetryBudget::new(0, 0, now);
        (0..1000).for_each(|_| budget.deposit());
        assert_eq!(withdrawals(&mut budget, now + Duration::from_secs(3600)), 0);
    }
}
