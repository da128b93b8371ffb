//! Whose turn it is to be looked for, and who has to wait a while for another.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use tokio::time::Instant;

/// Lines of requests, each looked for once at a time and so many at once.
#[derive(Debug, Default)]
pub(super) struct Turns {
    under_way: HashSet<i64>,
    /// Until when those are not looked for again of which nothing was found. They keep nobody waiting.
    resting: HashMap<i64, Instant>,
}

/// So many rest for each that may be looked for at once. If more would, they are looked for again at once,
/// and their looks are bounded all the same.
const RESTING: usize = 64;

impl Turns {
    /// Takes a turn, if the same is not looked for already, does not rest, and not so much else is.
    pub(super) fn take(&mut self, row: i64, most: usize, now: Instant) -> bool {
        self.resting.retain(|_, until| *until > now);
        let free = self.under_way.len() < most && !self.resting.contains_key(&row);
        free && self.under_way.insert(row)
    }

    /// Gives a turn back.
    pub(super) fn end(&mut self, row: i64) {
        self.under_way.remove(&row);
    }

    /// Has a line rest for a while.
    pub(super) fn rest(&mut self, row: i64, most: usize, now: Instant, pause: Duration) {
        self.resting.retain(|_, until| *until > now);
        if self.resting.len() < most.saturating_mul(RESTING) {
            self.resting.insert(row, now + pause);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(5);

    #[test]
    fn so_many_are_looked_for_at_once_and_each_once() {
        let (mut turns, now) = (Turns::default(), Instant::now());
        assert!(turns.take(1, 2, now) && turns.take(2, 2, now));
        assert!(!turns.take(1, 3, now), "it is looked for already");
        assert!(!turns.take(3, 2, now), "so much else is");
        turns.end(2);
        assert!(turns.take(3, 2, now));
        assert!(!turns.take(4, 0, now));
    }

    #[test]
    fn of_which_nothing_was_found_keeps_no_other_waiting() {
        let (mut turns, now) = (Turns::default(), Instant::now());
        assert!(turns.take(1, 1, now));
        turns.rest(1, 1, now, PAUSE);
        turns.end(1);
        assert!(turns.take(2, 1, now), "another tenant's");
        turns.end(2);
        assert!(!turns.take(1, 1, now + PAUSE / 2));
        assert!(turns.take(1, 1, now + PAUSE));
    }

    #[test]
    fn so_many_rest() {
        let (mut turns, now) = (Turns::default(), Instant::now());
        for row in 0..1000 {
            turns.rest(row, 1, now, PAUSE);
        }
        assert_eq!(turns.resting.len(), RESTING);
        turns.rest(0, 1, now + PAUSE, PAUSE);
        assert_eq!(turns.resting.len(), 1);
    }
}
