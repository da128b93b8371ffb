//! At most so many in any window of a length, whoever else counts, and however often it begins anew.
//!
//! A token bucket and counters of a fixed window let up to twice as many through in some windows. To
//! remember each time would be exact, and too much to be written down and shared. So a window is cut
//! in [`SLOTS`] slots, and what is taken is dated at the end of its slot.
//!
//! 1. What is taken counts from then on, for the length of the window and at most a slot longer. So no
//!    window ever has more than the cap; a place may be free again so much later than it could be.
//! 2. Time does not go back: an earlier time than another one had counts as that one's. Two threads
//!    may read the clock in one order and come here in the other.
//! 3. What is given back has never been taken.
//! 4. Whoever counts for a store writes down what is new here, and is told what all have written: that
//!    counts, with what is not written yet. It may be more than the cap allows, since they did not know
//!    of each other.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// So many in any window of a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// How many; with none it is always full.
    pub at_most: u32,
    /// The length of the window in milliseconds; at least 1.
    pub window_ms: u64,
}

/// What has been taken: how many, by their dates.
///
/// There are as many dates as a window has slots, and one more.
#[derive(Debug, Default)]
pub struct Acts(Mutex<State>);

/// All are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// After so many milliseconds the next one is free, unless somebody else takes it.
    pub retry_after_ms: u64,
}

/// In how many slots a window is cut: those of an hour have a minute, those of a day have 24.
pub const SLOTS: u64 = 60;

#[derive(Clone, Debug, Default)]
struct State {
    /// The latest time that anybody came with.
    latest: u64,
    /// How many count, by their dates.
    taken: BTreeMap<u64, u64>,
    /// How many of those are not written down yet; below zero for what was given back.
    unwritten: BTreeMap<u64, i64>,
}

impl Window {
    /// When what is taken at a time is dated.
    fn date(self, now_ms: u64) -> u64 {
        let slot = self.window_ms.div_ceil(SLOTS).max(1);
        (now_ms / slot).saturating_add(1).saturating_mul(slot)
    }

    /// From when on what is dated so counts no more.
    pub fn end_of(self, date: u64) -> u64 {
        date.saturating_add(self.window_ms)
    }
}

impl Acts {
    /// Takes one, and says how it is dated. Times and dates are milliseconds of a clock that all who
    /// count have in common.
    pub fn take(&self, window: Window, now_ms: u64) -> Result<u64, Full> {
        let mut state = self.state();
        state.latest = state.latest.max(now_ms);
        state.forget(window);
        let taken: u64 = state.taken.values().sum();
        if taken < u64::from(window.at_most) {
            let date = window.date(state.latest);
            *state.taken.entry(date).or_default() += 1;
            state.note(date, 1);
            return Ok(date);
        }
        // So many have to go until there are fewer than the cap.
        let mut left = taken;
        let last = state.taken.iter().find(|(_, number)| {
            left -= **number;
            left < u64::from(window.at_most)
        });
        let free = last.map(|(date, _)| window.end_of(*date).saturating_sub(now_ms));
        Err(Full { retry_after_ms: free.unwrap_or(window.window_ms) })
    }

    /// Gives back one that was dated so, for a request that provably never was sent. Does nothing when
    /// it counts no more.
    pub fn give_back(&self, date: u64) {
        let mut state = self.state();
        if let Some(number) = state.taken.get_mut(&date).filter(|number| **number > 0) {
            *number -= 1;
            state.note(date, -1);
        }
    }

    /// What is to be written down at a time, by date: how many more, or fewer.
    pub fn unwritten(&self, window: Window, now_ms: u64) -> Vec<(u64, i64)> {
        let mut state = self.state();
        state.latest = state.latest.max(now_ms);
        state.forget(window);
        state.unwritten.iter().map(|(date, more)| (*date, *more)).collect()
    }

    /// So much was written down of a date.
    pub fn written(&self, date: u64, more: i64) {
        self.state().note(date, -more);
    }

    /// The same for another who counts the same from now on: what is not written down for this one has to
    /// be written for both.
    pub fn copied(&self) -> Self {
        Self(Mutex::new(self.state().clone()))
    }

    /// So many are written down of a date, by all who count.
    pub fn hear(&self, date: u64, all: i64) {
        let mut state = self.state();
        let own = state.unwritten.get(&date).copied().unwrap_or_default();
        let number = u64::try_from(all.saturating_add(own)).unwrap_or_default();
        state.taken.insert(date, number);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Forgets what counts no more.
    fn forget(&mut self, window: Window) {
        let latest = self.latest;
        self.taken.retain(|date, _| window.end_of(*date) > latest);
        self.unwritten.retain(|date, _| window.end_of(*date) > latest);
    }

    fn note(&mut self, date: u64, more: i64) {
        let unwritten = self.unwritten.entry(date).or_default();
        *unwritten = unwritten.saturating_add(more);
        if *unwritten == 0 {
            self.unwritten.remove(&date);
        }
    }
}

#[cfg(test)]
mod tests;
