//! A partition: all that one upstream credential, in one generation, was ever shown.
//!
//! What one credential was shown is never shown under another. So keys are made from a partition
//! ([`Key`](super::key::Key)), and a partition is made for a credential alone.
//!
//! What a write changes for whom follows from the writer's reach. A write of a credential that
//! reaches only its own is felt by its account and by those who see all; of what is common to all,
//! such as a pool of addresses, everybody feels it, as everybody feels all that an administrator
//! writes. So a read depends on two objects: what its account changed and what was changed for
//! everyone; or, when it sees all, what anyone changed.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use smallvec::SmallVec;

use super::{
    cause::Cause,
    coherence::{Cell, Change, Epochs, Stamp, View},
    names::Names,
};
use crate::api::families::FamilySet;

/// The entries of one credential in one generation, and the epochs that they depend on.
#[derive(Debug)]
pub struct Partition<C = AtomicU64> {
    id: u64,
    /// What its account's writes raise; credentials of one user share it.
    account: Arc<Epochs<C>>,
    upstream: Arc<Commons<C>>,
    /// It is shown what anyone has, or nobody knows that it is not.
    sees_all: bool,
    /// The bytes that its entries take.
    taken: Arc<AtomicU64>,
}

/// The memory that an entry takes of its partition's share, for as long as it is there.
#[derive(Debug)]
pub struct Room {
    taken: Arc<AtomicU64>,
    bytes: u64,
}

/// What the partitions of one upstream have in common.
#[derive(Debug)]
pub struct Commons<C = AtomicU64> {
    /// What was changed for every reader.
    everyone: Epochs<C>,
    /// What anyone changed, for readers who see all.
    anyone: Epochs<C>,
    /// The families that every account sees the same of.
    shared: FamilySet,
    names: Names,
}

/// Who may see a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Breadth {
    /// The account alone.
    Account,
    /// Whom the reach of its credential says.
    Reach,
    /// Everybody.
    Everyone,
}

/// A change and where it is felt; what a write raises.
#[derive(Debug)]
pub struct Felt<C = AtomicU64> {
    partition: Arc<Partition<C>>,
    change: Change,
    breadth: Breadth,
    cause: Option<Cause>,
}

/// Holds a change unsettled: begun when it is made, ended when it is dropped, with a bump at both
/// ends.
#[derive(Debug)]
pub struct Hold<C: Cell = AtomicU64> {
    felt: Felt<C>,
    /// What a removal changes besides, if anything is known by then to name what is removed.
    removal: Option<Change>,
    /// What its end is for, if that is something else than what it began with.
    end: Option<Cause>,
}

impl<C: Cell> Commons<C> {
    /// Epochs for so many families; some have precision, some every account sees the same of.
    pub fn new(families: usize, precise: FamilySet, shared: FamilySet, names: Names) -> Self {
        let epochs = || Epochs::of_upstream(families, precise);
        Self { everyone: epochs(), anyone: epochs(), shared, names }
    }

    /// What its resources are called.
    pub fn names(&self) -> &Names {
        &self.names
    }
}

impl Partition {
    /// A partition under a number that no other has in this process.
    pub fn new(account: Arc<Epochs>, upstream: Arc<Commons>, sees_all: bool) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self::numbered(NEXT.fetch_add(1, Ordering::Relaxed), account, upstream, sees_all)
    }
}

impl<C: Cell> Partition<C> {
    /// A partition under a given number.
    pub fn numbered(
        id: u64,
        account: Arc<Epochs<C>>,
        upstream: Arc<Commons<C>>,
        sees_all: bool,
    ) -> Self {
        Self { id, account, upstream, sees_all, taken: Arc::default() }
    }

    /// Its number.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Room for so many bytes, if its entries then take no more than a share.
    pub fn room(&self, bytes: u64, share: u64) -> Option<Room> {
        // Given back by the drop if it is too much.
        let room = Room { taken: Arc::clone(&self.taken), bytes };
        let before = self.taken.fetch_add(bytes, Ordering::Relaxed);
        (before.saturating_add(bytes) <= share).then_some(room)
    }

    /// What its account's writes raise.
    pub fn account(&self) -> &Epochs<C> {
        &self.account
    }

    /// What it has in common with the others of its upstream.
    pub fn upstream(&self) -> &Commons<C> {
        &self.upstream
    }

    /// The stamp of a read that begins now.
    pub fn stamp(&self, view: View) -> Stamp {
        let mut stamp = Stamp::empty();
        self.account.stamp(view, &mut stamp);
        self.others().stamp(view, &mut stamp);
        stamp
    }

    /// Whether nothing that the stamp depends on was touched since it was taken.
    pub fn is_current(&self, view: View, stamp: &Stamp) -> bool {
        let own = self.account.is_current(view, stamp, 0);
        own.and_then(|from| self.others().is_current(view, stamp, from)).is_some()
    }

    /// What made a stamp outdated; none if it is current, or if nobody knows.
    pub fn outdated_by(&self, view: View, stamp: &Stamp) -> Option<Cause> {
        self.raised(view, Some(stamp))
    }

    /// What has changed last of what is shown; none if nothing has, or if nobody knows.
    pub fn changed_by(&self, view: View) -> Option<Cause> {
        self.raised(view, None)
    }

    fn raised(&self, view: View, stamp: Option<&Stamp>) -> Option<Cause> {
        let (own, from) = self.account.raised(view, stamp, 0);
        let (others, _) = self.others().raised(view, stamp, from);
        own.max(others)?.cause()
    }

    /// What a read waits for that is unsettled; none if nothing is, or if nobody knows.
    pub fn unsettled_by(&self, view: View) -> Option<Cause> {
        self.account.unsettled_by(view).max(self.others().unsettled_by(view))?.cause()
    }

    /// What others change of what it shows.
    fn others(&self) -> &Epochs<C> {
        if self.sees_all { &self.upstream.anyone } else { &self.upstream.everyone }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl<C: Cell> Felt<C> {
    /// A change by a partition's credential.
    pub fn new(partition: Arc<Partition<C>>, change: Change, breadth: Breadth) -> Self {
        Self { partition, change, breadth, cause: None }
    }

    /// The same, with what it is for.
    #[must_use]
    pub fn because(self, cause: Cause) -> Self {
        Self { cause: Some(cause), ..self }
    }

    /// It happened.
    pub fn touch(&self) {
        self.explain();
        self.each(Epochs::touch);
    }

    /// Says what the next bumps are for.
    fn explain(&self) {
        if let Some(cause) = self.cause {
            self.each(|epochs, change| epochs.because(change, cause));
        }
    }

    /// What is changed, and by whom, for those who keep one of each.
    pub fn key(&self) -> (u64, Change, Breadth) {
        (self.partition.id, self.change, self.breadth)
    }

    /// The same place, with another change.
    #[must_use]
    pub fn with(&self, change: Change) -> Self {
        let Self { breadth, cause, .. } = *self;
        Self { partition: Arc::clone(&self.partition), change, breadth, cause }
    }

    /// Who may see it.
    pub fn breadth(&self) -> Breadth {
        self.breadth
    }

    /// Who changes it.
    pub fn partition(&self) -> &Arc<Partition<C>> {
        &self.partition
    }

    fn each(&self, apply: impl Fn(&Epochs<C>, Change)) {
        let Partition { account, upstream, sees_all, .. } = &*self.partition;
        let change = self.change;
        let mut places: SmallVec<[(&Epochs<C>, Change); 3]> = SmallVec::new();
        match self.breadth {
            Breadth::Account => places.push((&**account, change)),
            Breadth::Reach if !sees_all => {
                places.push((&**account, change.outside(upstream.shared)));
                places.push((&upstream.everyone, change.within(upstream.shared)));
                places.push((&upstream.anyone, change));
            }
            Breadth::Reach | Breadth::Everyone => {
                places.push((&upstream.everyone, change));
                places.push((&upstream.anyone, change));
            }
        }
        for (epochs, change) in places {
            apply(epochs, change);
        }
    }
}

impl<C: Cell> Hold<C> {
    /// What is changed is unsettled from now on.
    pub fn begin(felt: Felt<C>) -> Self {
        felt.explain();
        felt.each(Epochs::begin);
        Self { felt, removal: None, end: None }
    }

    /// It is a removal, which changes all of this if anything names what is removed.
    #[must_use]
    pub fn of_removal(mut self, all: Option<Change>) -> Self {
        self.removal = all;
        self
    }

    /// Whether it is a removal.
    pub fn is_removal(&self) -> bool {
        self.removal.is_some()
    }

    /// Goes on with less.
    #[must_use]
    pub fn narrowed(self, change: Change) -> Self {
        // The one that goes on is there before the other ends, so that there is no gap.
        Self::begin(self.felt.with(change)).of_removal(self.removal)
    }

    /// It happened, and the rest of it may follow.
    pub fn touch(&self) {
        if let Some(all) = self.removal
            && self.felt.partition.upstream().names().refer()
        {
            self.felt.with(all).touch();
        }
        self.felt.touch();
    }

    /// It will end for something else than it began with.
    pub fn ended_by(&mut self, cause: Cause) {
        self.end = Some(cause);
    }

    /// What is held.
    pub fn felt(&self) -> &Felt<C> {
        &self.felt
    }
}

#[cfg(test)]
impl<C: Cell> Hold<C> {
    /// Ends as it must not.
    pub(crate) fn end_without_bump(self) {
        self.felt.each(Epochs::end_without_bump);
        std::mem::forget(self);
    }
}

impl<C: Cell> Drop for Hold<C> {
    fn drop(&mut self) {
        if self.removal.is_some() {
            self.touch();
        }
        if let Some(cause) = self.end {
            self.felt.each(|epochs, change| epochs.because(change, cause));
        }
        self.felt.each(Epochs::end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIVATE: usize = 0;
    const SHARED: usize = 1;

    struct World {
        commons: Arc<Commons>,
    }

    impl World {
        fn new() -> Self {
            let shared = FamilySet::one(SHARED);
            Self { commons: Arc::new(Commons::new(2, FamilySet::EMPTY, shared, Names::new(10))) }
        }

        fn account() -> Arc<Epochs> {
            Arc::new(Epochs::new(2, FamilySet::EMPTY))
        }

        fn partition(&self, account: &Arc<Epochs>, sees_all: bool) -> Arc<Partition> {
            let commons = Arc::clone(&self.commons);
            Arc::new(Partition::new(Arc::clone(account), commons, sees_all))
        }
    }

    /// Who no longer believes a read of the family after a write: of the same account, of another,
    /// and one who sees all.
    fn check(writer_sees_all: bool, breadth: Breadth, family: usize, expected: [bool; 3]) {
        let world = World::new();
        let (a, b) = (World::account(), World::account());
        let writer = world.partition(&a, writer_sees_all);
        let readers = [
            world.partition(&a, false),
            world.partition(&b, false),
            world.partition(&World::account(), true),
        ];
        let view = View::of(FamilySet::one(family));
        let before = readers.each_ref().map(|reader| reader.stamp(view));
        Felt::new(writer, Change::whole(FamilySet::one(family)), breadth).touch();
        let stale = std::array::from_fn(|i| !readers[i].is_current(view, &before[i]));
        assert_eq!(stale, expected, "{breadth:?}, family {family}");
    }

    #[test]
    fn a_write_is_felt_by_those_who_may_see_it() {
        check(false, Breadth::Reach, PRIVATE, [true, false, true]);
        check(false, Breadth::Reach, SHARED, [true; 3]);
        check(true, Breadth::Reach, PRIVATE, [true; 3]);
        check(false, Breadth::Everyone, PRIVATE, [true; 3]);
        check(false, Breadth::Account, SHARED, [true, false, false]);
    }

    #[test]
    fn a_partition_takes_no_more_than_its_share() {
        let partition = World::new().partition(&World::account(), false);
        let rooms = [60, 60, 40].map(|bytes| partition.room(bytes, 100));
        assert_eq!(rooms.each_ref().map(Option::is_some), [true, false, true]);
        assert!(partition.room(1, 100).is_none());
        drop(rooms);
        assert!(partition.room(100, 100).is_some());
    }

    #[test]
    fn a_removal_changes_all_once_anything_is_known_to_name_another() {
        for known in [false, true] {
            let world = World::new();
            let partition = world.partition(&World::account(), false);
            let [one, other] = [PRIVATE, SHARED].map(|family| View::of(FamilySet::one(family)));
            let both = Change::whole(one.families.union(other.families));
            let felt = Felt::new(Arc::clone(&partition), both.within(one.families), Breadth::Reach);
            let hold = Hold::begin(felt).of_removal(Some(both));
            let hold = hold.narrowed(both.within(one.families));
            let meanwhile = partition.stamp(other);
            if known {
                // Learned while the removal was under way.
                partition.upstream().names().learn_reference(1);
            }
            drop(hold);
            assert_eq!(partition.is_current(other, &meanwhile), !known);
            assert!(partition.stamp(one).is_settled());
        }
    }

    #[test]
    fn a_hold_is_unsettled_until_it_is_dropped() {
        let world = World::new();
        let account = World::account();
        let partition = world.partition(&account, false);
        let view = View::of(FamilySet::one(PRIVATE).union(FamilySet::one(SHARED)));
        let change = Change::whole(view.families);
        let hold = Hold::begin(Felt::new(Arc::clone(&partition), change, Breadth::Reach));
        let during = partition.stamp(view);
        assert!(!during.is_settled());
        drop(hold);
        assert!(partition.stamp(view).is_settled());
        assert!(!partition.is_current(view, &during), "the end is a bump");
    }
}
