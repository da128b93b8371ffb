//! What resources are called, and whether they name each other: each has a number and an identifier,
//! and both reach it.
//!
//! So a write to one changes the reads of the other. The pairs are learned from the upstream's own
//! replies. A name that is not here is not known to have no other: the family as a whole is touched
//! then, which costs misses, never staleness.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// The two names of each resource of an upstream.
#[derive(Debug)]
pub struct Names {
    others: Mutex<Others>,
    most: usize,
    /// When a resource was first seen to name another, in milliseconds of the process; 0 for never.
    referring: AtomicU64,
}

/// In both directions, by family.
type Others = HashMap<(usize, Box<str>), Box<str>>;

impl Names {
    /// Room for so many pairs.
    pub fn new(most_pairs: usize) -> Self {
        let most = most_pairs.saturating_mul(2);
        Self { others: Mutex::default(), most, referring: AtomicU64::new(0) }
    }

    /// The other name of a resource.
    pub fn other(&self, family: usize, name: &str) -> Option<Box<str>> {
        self.lock().get(&(family, name.into())).cloned()
    }

    /// Learns that two names are one resource's.
    pub fn learn(&self, family: usize, number: &str, identifier: &str) {
        let mut others = self.lock();
        let key = (family, Box::from(number));
        if others.get(&key).is_some_and(|known| **known == *identifier) {
            return;
        }
        if others.len() + 2 > self.most {
            // Rare, and to know nothing costs misses alone.
            others.clear();
        }
        others.insert((family, identifier.into()), number.into());
        others.insert(key, identifier.into());
    }

    /// Whether any resource is known to name another, which a removal of that may change.
    pub fn refer(&self) -> bool {
        self.referring.load(Ordering::SeqCst) != 0
    }

    /// Learns that a resource names another; since when that is known.
    ///
    /// A removal until then may have been taken to change nothing else. So what names another and
    /// was asked for before must not be kept.
    pub fn learn_reference(&self, now: u64) -> u64 {
        let now = now.max(1);
        let known = self.referring.compare_exchange(0, now, Ordering::SeqCst, Ordering::SeqCst);
        known.err().unwrap_or(now)
    }

    fn lock(&self) -> MutexGuard<'_, Others> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_known_by_either_name() {
        let names = Names::new(100);
        names.learn(1, "5", "abcdefghijklmn");
        assert_eq!(names.other(1, "5").as_deref(), Some("abcdefghijklmn"));
        assert_eq!(names.other(1, "abcdefghijklmn").as_deref(), Some("5"));
        assert_eq!((names.other(0, "5"), names.other(1, "6")), (None, None));
    }

    #[test]
    fn a_reference_is_known_from_when_it_was_first_seen() {
        let names = Names::new(1);
        assert!(!names.refer());
        assert_eq!((names.learn_reference(0), names.learn_reference(9)), (1, 1));
        assert!(names.refer());
    }

    #[test]
    fn the_bound_is_kept_by_forgetting() {
        let names = Names::new(2);
        for number in ["1", "2", "3"] {
            names.learn(0, number, &number.repeat(14));
        }
        assert_eq!(names.other(0, "1"), None);
        assert_eq!(names.other(0, "3").as_deref(), Some("33333333333333"));
    }
}
