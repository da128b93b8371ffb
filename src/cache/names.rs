//! What resources are called: each has a number and an identifier, and both reach it.
//!
//! So a write to one changes the reads of the other. The pairs are learned from the upstream's own
//! replies. A name that is not here is not known to have no other: the family as a whole is touched
//! then, which costs misses, never staleness.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The two names of each resource of an upstream.
#[derive(Debug)]
pub struct Names {
    others: Mutex<Others>,
    most: usize,
}

/// In both directions, by family.
type Others = HashMap<(usize, Box<str>), Box<str>>;

impl Names {
    /// Room for so many pairs.
    pub fn new(most_pairs: usize) -> Self {
        Self { others: Mutex::default(), most: most_pairs.saturating_mul(2) }
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
    fn the_bound_is_kept_by_forgetting() {
        let names = Names::new(2);
        for number in ["1", "2", "3"] {
            names.learn(0, number, &number.repeat(14));
        }
        assert_eq!(names.other(0, "1"), None);
        assert_eq!(names.other(0, "3").as_deref(), Some("33333333333333"));
    }
}
