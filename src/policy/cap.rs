//! At most so many in any window of a length, exactly.
//!
//! A token bucket and counters of a fixed window let up to twice as many through in some windows.
//! What is capped here is rare and matters one by one, so each time is remembered for as long as it
//! counts: at most as many as the cap allows, and none before something is taken.
//!
//! 1. What is taken at a time counts from then on, for the length of the window; when that has
//!    passed it counts no more.
//! 2. Time does not go back: an earlier time than another one had counts as that one's. Two threads
//!    may read the clock in one order and come here in the other.
//! 3. What is given back has never been taken.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// A cap with what has been taken of it.
#[derive(Debug)]
pub struct Cap {
    at_most: u32,
    window_ms: u64,
    state: Mutex<State>,
}

/// All are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// After so many milliseconds the next one is free, unless somebody else takes it.
    pub retry_after_ms: u64,
}

#[derive(Debug, Default)]
struct State {
    /// The latest time that anybody came with.
    latest: u64,
    /// What counts at that time, the oldest first.
    taken: VecDeque<Taken>,
}

#[derive(Clone, Copy, Debug)]
struct Taken {
    /// The time from which it counts.
    at: u64,
    /// The time that whoever took it came with, and gives it back by.
    said: u64,
}

impl Cap {
    /// A cap of which nothing is taken: at most so many in any window of so many milliseconds. With
    /// none at most it is always full.
    pub fn new(at_most: u32, window_ms: u64) -> Self {
        Self { at_most, window_ms, state: Mutex::default() }
    }

    /// Takes one. Times are milliseconds of a clock that is not set, such as that of the process.
    pub fn take(&self, now_ms: u64) -> Result<(), Full> {
        let mut state = self.state();
        let latest = state.latest.max(now_ms);
        state.latest = latest;
        while state.taken.front().is_some_and(|first| self.end_of(first) <= latest) {
            state.taken.pop_front();
        }
        if state.taken.len() < self.at_most as usize {
            state.taken.push_back(Taken { at: latest, said: now_ms });
            return Ok(());
        }
        let free = state.taken.front().map(|first| self.end_of(first).saturating_sub(now_ms));
        Err(Full { retry_after_ms: free.unwrap_or(self.window_ms) })
    }

    /// Gives back what was taken with a time, for a request that provably never was sent. Does
    /// nothing when it counts no more.
    pub fn give_back(&self, at_ms: u64) {
        let mut state = self.state();
        // Of several the first, which leaves the one that counts longer.
        if let Some(place) = state.taken.iter().position(|taken| taken.said == at_ms) {
            state.taken.remove(place);
        }
    }

    fn end_of(&self, taken: &Taken) -> u64 {
        taken.at.saturating_add(self.window_ms)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::Index};

    use super::*;

    /// Whoever remembers every time that was ever taken and not given back.
    struct Naive {
        at_most: usize,
        window: u64,
        latest: u64,
        /// From when each counts, and the time that was said.
        all: Vec<(u64, u64)>,
    }

    impl Naive {
        fn take(&mut self, said: u64) -> Result<(), Full> {
            self.latest = self.latest.max(said);
            let (latest, window) = (self.latest, self.window);
            let counted = self.all.iter().filter(|(at, _)| at + window > latest);
            if counted.clone().count() < self.at_most {
                self.all.push((latest, said));
                return Ok(());
            }
            let oldest = counted.map(|(at, _)| *at).min().expect("at least one is counted");
            Err(Full { retry_after_ms: oldest + window - said })
        }

        fn give_back(&mut self, said: u64) {
            let (latest, window) = (self.latest, self.window);
            let counts = |(at, by): &(u64, u64)| *by == said && at + window > latest;
            if let Some(place) = self.all.iter().position(counts) {
                self.all.remove(place);
            }
        }

        fn most_in_a_window(&self) -> usize {
            let within = |start: u64| {
                self.all.iter().filter(|(at, _)| (start..start + self.window).contains(at)).count()
            };
            self.all.iter().map(|(at, _)| within(*at)).max().unwrap_or(0)
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// So much later, by a clock that was read so much earlier.
        Take(u64, u64),
        /// One of those that were taken.
        GiveBack(Index),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0_u64..20, 0_u64..4).prop_map(|(wait, behind)| Step::Take(wait, behind)),
            1 => any::<Index>().prop_map(Step::GiveBack),
        ]
    }

    #[test]
    fn a_window_slides() {
        let cap = Cap::new(2, 100);
        assert_eq!((cap.take(0), cap.take(60)), (Ok(()), Ok(())));
        assert_eq!(cap.take(99), Err(Full { retry_after_ms: 1 }));
        assert_eq!(cap.take(100), Ok(()));
        // A fixed window would begin anew here.
        assert_eq!(cap.take(101), Err(Full { retry_after_ms: 59 }));
        assert_eq!(cap.take(160), Ok(()));
    }

    #[test]
    fn what_was_refused_does_not_count() {
        let cap = Cap::new(1, 100);
        assert_eq!(cap.take(0), Ok(()));
        assert!((1..100).all(|now| cap.take(now).is_err()));
        assert_eq!(cap.take(100), Ok(()));
    }

    #[test]
    fn what_is_given_back_is_free_again() {
        let cap = Cap::new(1, 100);
        assert_eq!(cap.take(5), Ok(()));
        cap.give_back(4);
        assert!(cap.take(6).is_err());
        cap.give_back(5);
        assert_eq!(cap.take(7), Ok(()));
        assert!(cap.take(106).is_err());
    }

    #[test]
    fn what_counts_no_more_gives_nobody_a_place() {
        let cap = Cap::new(1, 100);
        assert_eq!((cap.take(0), cap.take(100)), (Ok(()), Ok(())));
        cap.give_back(0);
        assert_eq!(cap.take(101), Err(Full { retry_after_ms: 99 }));
    }

    #[test]
    fn an_earlier_time_counts_as_the_latest() {
        let cap = Cap::new(2, 100);
        assert_eq!((cap.take(50), cap.take(40)), (Ok(()), Ok(())));
        assert_eq!(cap.take(149), Err(Full { retry_after_ms: 1 }));
        cap.give_back(40);
        assert_eq!(cap.take(149), Ok(()));
    }

    #[test]
    fn with_none_at_most_it_is_full() {
        assert_eq!(Cap::new(0, 100).take(7), Err(Full { retry_after_ms: 100 }));
    }

    proptest! {
        #[test]
        fn it_says_what_whoever_remembers_every_time_says(
            at_most in 1_u32..6,
            window in 1_u64..60,
            steps in vec(step(), 1..200),
        ) {
            let cap = Cap::new(at_most, window);
            let mut naive = Naive { at_most: at_most as usize, window, latest: 0, all: Vec::new() };
            let (mut now, mut said) = (0_u64, Vec::new());
            for step in steps {
                match step {
                    Step::Take(wait, behind) => {
                        now += wait;
                        let read = now.saturating_sub(behind);
                        let taken = cap.take(read);
                        prop_assert_eq!(taken, naive.take(read));
                        if taken.is_ok() {
                            said.push(read);
                        }
                    }
                    Step::GiveBack(index) if !said.is_empty() => {
                        let read = said.swap_remove(index.index(said.len()));
                        cap.give_back(read);
                        naive.give_back(read);
                    }
                    Step::GiveBack(_) => {}
                }
                prop_assert!(cap.state().taken.len() <= naive.at_most);
            }
            prop_assert!(naive.most_in_a_window() <= naive.at_most);
        }
    }
}
