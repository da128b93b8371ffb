//! Epochs and stamps: why a hit never shows a state older than an acknowledged write.
//!
//! An [`Epochs`] object has, for each family of reads, an epoch that every write of the family
//! raises. A read takes a [`Stamp`], the vector of the epochs that it depends on, **before** its
//! request is sent; the stamp stays with what was read, and both are thrown away once any of the
//! epochs has moved. A write raises its epochs before its first byte is sent, when the head of its
//! reply arrives (before the writer sees it), and when it ends. So:
//!
//! 1. What was fetched before a write began is stale once the write begins.
//! 2. What was fetched while a write ran is stale once the write is acknowledged: it may show
//!    either state.
//! 3. Between begin and end, and for a window after an outcome that nobody knows, what the write
//!    touches is *unsettled*: what is read then may be shown to those who asked meanwhile, but is
//!    not kept, however long its fetch takes.
//!
//! Rules 1 and 2 hold by comparing whole vectors. A sum or a hash of epochs could collide, and a
//! collision would be staleness. Epochs are generic over their atomics so that loom can run every
//! interleaving of the code that runs in production.

use std::sync::atomic::{AtomicU64, Ordering};

use smallvec::SmallVec;

use crate::api::families::FamilySet;

/// The atomic counter that epochs are made of.
pub trait Cell: Send + Sync {
    /// A counter at zero.
    fn zero() -> Self;
    /// Its value; no later read of this thread happens before it.
    fn load(&self) -> u64;
    /// Raises it by one, in the one order that all threads agree on.
    fn increment(&self);
    /// Lowers it by one.
    fn decrement(&self);
    /// Raises it to a value, if it is below.
    fn raise_to(&self, value: u64);
}

/// The state of every family of reads, as one object of an upstream or of a partition.
#[derive(Debug)]
pub struct Epochs<C = AtomicU64> {
    families: Box<[Family<C>]>,
}

/// What a read depended on when it began: the epochs, and whether all of it was settled.
///
/// Two reads share a fetch when their stamps are equal. That the second part counts, too, is for
/// writes that are applied late: a read that begins after the window must not join a fetch that
/// began within it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stamp {
    epochs: SmallVec<[u64; 6]>,
    settled: bool,
}

#[derive(Debug)]
struct Family<C> {
    epoch: C,
    /// Writes between their first and their last bump.
    writing: C,
    /// The time, in milliseconds of the process, until which nothing is kept.
    unsettled_until: C,
}

impl Cell for AtomicU64 {
    fn zero() -> Self {
        Self::new(0)
    }

    fn load(&self) -> u64 {
        self.load(Ordering::Acquire)
    }

    fn increment(&self) {
        self.fetch_add(1, Ordering::SeqCst);
    }

    fn decrement(&self) {
        self.fetch_sub(1, Ordering::SeqCst);
    }

    fn raise_to(&self, value: u64) {
        self.fetch_max(value, Ordering::SeqCst);
    }
}

impl<C: Cell> Epochs<C> {
    /// Epochs for so many families.
    pub fn new(families: usize) -> Self {
        let family =
            |_| Family { epoch: C::zero(), writing: C::zero(), unsettled_until: C::zero() };
        Self { families: (0..families).map(family).collect() }
    }

    /// A write is about to be sent: what was fetched until now is stale, and nothing is kept
    /// until [`Epochs::end`].
    pub fn begin(&self, families: FamilySet) {
        for family in self.each(families) {
            // In this order: whoever sees the new epoch sees that a write is under way.
            family.writing.increment();
            family.epoch.increment();
        }
    }

    /// What the families show may have changed.
    pub fn touch(&self, families: FamilySet) {
        for family in self.each(families) {
            family.epoch.increment();
        }
    }

    /// What any family shows may have changed.
    pub fn touch_all(&self) {
        for family in &self.families {
            family.epoch.increment();
        }
    }

    /// A write has ended; until `unsettled_until` nothing is kept. Called once for each
    /// [`Epochs::begin`], whatever the outcome.
    pub fn end(&self, families: FamilySet, unsettled_until: u64) {
        for family in self.each(families) {
            // In this order: a stamp taken after the bump finds the window already there.
            family.unsettled_until.raise_to(unsettled_until);
            family.epoch.increment();
            family.writing.decrement();
        }
    }

    /// Nothing that the families show is kept until then, and what is kept is stale.
    pub fn unsettle(&self, families: FamilySet, until: u64) {
        for family in self.each(families) {
            family.unsettled_until.raise_to(until);
            family.epoch.increment();
        }
    }

    /// Whether nothing is under way that the families may show later.
    fn is_settled(&self, families: FamilySet, now: u64) -> bool {
        self.each(families).all(|f| f.writing.load() == 0 && f.unsettled_until.load() <= now)
    }

    /// Adds the families to a stamp.
    pub fn stamp(&self, families: FamilySet, now: u64, stamp: &mut Stamp) {
        stamp.epochs.extend(self.each(families).map(|f| f.epoch.load()));
        // In this order: whoever sees the epoch of a write sees its mark and its window.
        stamp.settled &= self.is_settled(families, now);
    }

    /// Whether the epochs still are what the stamp says, from its place `from` on; the place
    /// behind them.
    pub fn is_current(&self, families: FamilySet, stamp: &Stamp, from: usize) -> Option<usize> {
        let mut at = from;
        for family in self.each(families) {
            if stamp.epochs.get(at) != Some(&family.epoch.load()) {
                return None;
            }
            at += 1;
        }
        Some(at)
    }

    fn each(&self, families: FamilySet) -> impl Iterator<Item = &Family<C>> {
        // A family that is not there would be one that no write invalidates: better no answer.
        families.iter().map(|i| &self.families[i])
    }
}

impl Stamp {
    /// The stamp of nothing.
    pub fn empty() -> Self {
        Self { epochs: SmallVec::new(), settled: true }
    }

    /// Whether what was read under it may be kept, as long as it is current.
    pub fn is_settled(&self) -> bool {
        self.settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(epochs: &Epochs, families: FamilySet, now: u64) -> Stamp {
        let mut stamp = Stamp::empty();
        epochs.stamp(families, now, &mut stamp);
        stamp
    }

    const F: FamilySet = FamilySet::EMPTY;

    #[test]
    fn a_touch_makes_stamps_of_its_families_stale() {
        let epochs: Epochs = Epochs::new(3);
        let (one, two) = (FamilySet::one(1), FamilySet::one(2));
        let both = one.union(two);
        let stamp = stamp(&epochs, both, 0);
        assert_eq!(epochs.is_current(both, &stamp, 0), Some(2));
        epochs.touch(FamilySet::one(0));
        assert_eq!(epochs.is_current(both, &stamp, 0), Some(2));
        epochs.touch(two);
        assert_eq!(epochs.is_current(both, &stamp, 0), None);
        assert_eq!(epochs.is_current(F, &Stamp::empty(), 0), Some(0));
    }

    #[test]
    fn nothing_is_settled_until_the_last_write_ends() {
        let epochs: Epochs = Epochs::new(1);
        let family = FamilySet::one(0);
        epochs.begin(family);
        epochs.begin(family);
        epochs.end(family, 0);
        assert!(!stamp(&epochs, family, 100).is_settled());
        epochs.end(family, 500);
        assert!(!stamp(&epochs, family, 499).is_settled());
        assert!(stamp(&epochs, family, 500).is_settled());
    }

    #[test]
    fn a_window_never_shrinks() {
        let epochs: Epochs = Epochs::new(1);
        let family = FamilySet::one(0);
        epochs.unsettle(family, 500);
        epochs.unsettle(family, 100);
        assert!(!stamp(&epochs, family, 499).is_settled());
    }
}
