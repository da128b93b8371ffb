//! What is done in a share of all cases, by chance.

use std::{
    cell::Cell,
    hash::{BuildHasher as _, RandomState},
};

/// A share of all cases.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// Of 2^32 numbers that come by chance, those below it stand for a case.
    below: u64,
}

/// What shares are counted in.
pub const MILLION: u32 = 1_000_000;

impl Share {
    /// So many of a million.
    pub fn of_a_million(share: u32) -> Self {
        Self { below: (u64::from(share) << 32) / u64::from(MILLION) }
    }

    /// Whether this is a case.
    pub fn draws(self) -> bool {
        self.below > 0 && chance() < self.below
    }
}

/// A number below 2^32 by chance, for what need not be hard to guess. Every thread has its own, so
/// that nobody waits for another.
fn chance() -> u64 {
    thread_local! {
        static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(0_u8) | 1);
    }
    STATE.with(|state| {
        // xorshift64, whose upper half is the better one.
        let mut next = state.get();
        next ^= next << 13;
        next ^= next >> 7;
        next ^= next << 17;
        state.set(next);
        next >> 32
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_even() {
        let drawn = |share| (0..100_000).filter(|_| Share::of_a_million(share).draws()).count();
        let tenth = drawn(100_000);
        assert!((9_000..11_000).contains(&tenth), "{tenth}");
        assert_eq!((drawn(0), drawn(MILLION)), (0, 100_000));
    }
}
