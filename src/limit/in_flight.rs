//! How many requests may be under way at once.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Counts what is under way, up to a bound. Not a semaphore: nobody waits, so nobody is queued.
#[derive(Clone, Debug)]
pub struct Gate {
    inside: Arc<AtomicUsize>,
    most: usize,
}

/// A place; given back when it is dropped.
#[derive(Debug)]
pub struct Permit(Arc<AtomicUsize>);

impl Gate {
    /// A gate for so many at once.
    pub fn new(most: usize) -> Self {
        Self { inside: Arc::default(), most }
    }

    /// A place, if one is free.
    pub fn enter(&self) -> Option<Permit> {
        let permit = Permit(Arc::clone(&self.inside));
        let before = self.inside.fetch_add(1, Ordering::AcqRel);
        // Over the bound the permit is dropped, which takes the count back.
        (before < self.most).then_some(permit)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_given_back() {
        let gate = Gate::new(1);
        let permit = gate.enter();
        assert!(permit.is_some() && gate.enter().is_none());
        drop(permit);
        assert!(gate.enter().is_some());
    }
}
