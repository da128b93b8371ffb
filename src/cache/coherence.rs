//! Epochs and stamps: why a hit never shows a state older than an acknowledged write.
//!
//! An [`Epochs`] object has marks for each family of reads, and a write raises those of what it
//! changes. A read takes a [`Stamp`], the vector of the epochs that it depends on, **before** its
//! request is sent; the stamp stays with what was read, and both are thrown away once any of the
//! epochs has moved. A write raises its epochs before its first byte is sent, when the head of its
//! reply arrives (before the writer sees it), and when it ends. So:
//!
//! 1. What was fetched before a write began is stale once the write begins.
//! 2. What was fetched while a write ran is stale once the write is acknowledged: it may show
//!    either state.
//! 3. Between begin and end what the write changes is *unsettled*: what is read then may be shown
//!    for a moment, and is stale at the end. A write whose outcome is open ends when its
//!    transaction has, or when the window for it is over.
//!
//! Rules 1 and 2 hold by comparing whole vectors. A sum or a hash of epochs could collide, and a
//! collision would be staleness.
//!
//! A family with *precision* has three kinds of marks: one for all of it, one for its lists, and one
//! for each slot of its items. A read depends on the first and on one of the others ([`View`]); a
//! write that is known to change one item raises its slot and the lists, any other the first
//! ([`Change`]). Items that share a slot cost each other misses, never staleness.
//!
//! What says that something is not there (a 404) depends on what a list does, see `dependence`.
//!
//! Epochs are generic over their atomics so that loom can run every interleaving of the code that
//! runs in production.

use std::sync::{OnceLock, atomic::AtomicU64};

use smallvec::SmallVec;

pub use super::mark::Cell;
use super::{
    cause::Cause,
    mark::{Mark, Raised, next_said},
};
use crate::api::families::FamilySet;

/// The state of every family of reads, as one object of an account or of an upstream.
#[derive(Debug)]
pub struct Epochs<C = AtomicU64> {
    families: Box<[Family<C>]>,
    precise: FamilySet,
    /// How many slots the items of a family have; a power of two.
    slots: usize,
}

/// An item of a family with precision, as the slot that it shares with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Item {
    family: u8,
    slot: u16,
}

/// What a read shows: families, and of one that has precision a single item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct View {
    /// What it depends on.
    pub families: FamilySet,
    /// Of the item's family it shows that item alone; of others their lists.
    pub item: Option<Item>,
}

/// What a write changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Change {
    families: FamilySet,
    narrow: Option<Narrow>,
}

/// Of one family, only its lists and the items that go by these names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Narrow {
    family: u8,
    slots: [Option<u16>; 2],
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
    whole: Mark<C>,
    lists: Mark<C>,
    /// Made when the first item is written to: most accounts only read.
    items: OnceLock<Box<[Mark<C>]>>,
}

/// Slots for the items that one account sees: 4 KiB a family, and only once an item is written to.
const SLOTS_OF_AN_ACCOUNT: usize = 256;

/// Slots for the items of a whole upstream. With few, whoever sees through the transactions of all
/// accounts would raise everybody's slots all the time.
const SLOTS_OF_AN_UPSTREAM: usize = 1 << 14;

impl Item {
    /// The item of a family under one of its names.
    pub fn new(family: usize, name: &str) -> Self {
        let [low, high, ..] = crc32fast::hash(name.as_bytes()).to_le_bytes();
        let slot = u16::from_le_bytes([low, high]);
        Self { family: u8::try_from(family).unwrap_or(u8::MAX), slot }
    }
}

impl View {
    /// The whole of some families.
    pub fn of(families: FamilySet) -> Self {
        Self { families, item: None }
    }
}

impl Change {
    /// All that some families show.
    pub fn whole(families: FamilySet) -> Self {
        Self { families, narrow: None }
    }

    /// The same, but of an item's family only its lists and the item, under both its names. A name
    /// that is not known must not be left out: then the whole family changes.
    #[must_use]
    pub fn narrowed(self, item: Item, other_name: Item) -> Self {
        let slots = [Some(item.slot), Some(other_name.slot)];
        Self { narrow: Some(Narrow { family: item.family, slots }), ..self }
    }

    /// The same, but of a family only its lists: something is new, and nothing else has changed.
    #[must_use]
    pub fn listed(self, family: usize) -> Self {
        let family = u8::try_from(family).unwrap_or(u8::MAX);
        Self { narrow: Some(Narrow { family, slots: [None; 2] }), ..self }
    }

    /// The same, but all of a family of which only lists were meant: something is new there, and if
    /// nobody learns its name, it may be any.
    #[must_use]
    pub fn unnamed(self) -> Self {
        Self { narrow: self.narrow.filter(|narrow| narrow.slots != [None; 2]), ..self }
    }

    /// The part of it within some families.
    #[must_use]
    pub fn within(self, families: FamilySet) -> Self {
        Self { families: self.families.intersection(families), ..self }
    }

    /// The part of it outside of some families.
    #[must_use]
    pub fn outside(self, families: FamilySet) -> Self {
        Self { families: self.families.difference(families), ..self }
    }

    /// Which families it is about.
    pub fn families(self) -> FamilySet {
        self.families
    }

    /// Whether a read shows any of it, where some families have precision: whether the marks that it
    /// raises are some that the read depends on.
    pub fn shows_in(self, view: View, precise: FamilySet) -> bool {
        self.families.intersection(view.families).iter().any(|index| {
            let of_it = |family: u8| usize::from(family) == index && precise.contains(index);
            let narrow = self.narrow.filter(|narrow| of_it(narrow.family));
            let item = view.item.filter(|item| of_it(item.family));
            match (narrow, item) {
                (Some(narrow), Some(item)) => narrow.slots.contains(&Some(item.slot)),
                (Some(_), None) | (None, _) => true,
            }
        })
    }
}

impl<C: Cell> Epochs<C> {
    /// Epochs of an account for so many families, of which some have precision.
    pub fn new(families: usize, precise: FamilySet) -> Self {
        Self::with_slots(families, precise, SLOTS_OF_AN_ACCOUNT)
    }

    /// The same, with room for the items of a whole upstream.
    pub fn of_upstream(families: usize, precise: FamilySet) -> Self {
        Self::with_slots(families, precise, SLOTS_OF_AN_UPSTREAM)
    }

    fn with_slots(families: usize, precise: FamilySet, slots: usize) -> Self {
        Self { families: (0..families).map(|_| Family::new()).collect(), precise, slots }
    }

    /// Says what the next bumps of a change are for. Whoever sees one of those sees this, or what
    /// was said after it.
    pub fn because(&self, change: Change, cause: Cause) {
        let said = next_said();
        self.each_changed(change, |mark| mark.say(said, cause));
    }

    /// A write is about to be sent: what was fetched until now is stale, and what is fetched from
    /// now on is unsettled until [`Epochs::end`].
    pub fn begin(&self, change: Change) {
        self.each_changed(change, |mark| {
            // In this order: whoever sees the new epoch sees that a write is under way.
            mark.writing.increment();
            mark.epoch.increment();
        });
    }

    /// What shows the change may be another than before.
    pub fn touch(&self, change: Change) {
        self.each_changed(change, |mark| mark.epoch.increment());
    }

    /// What any family shows may have changed.
    pub fn touch_all(&self, cause: Cause) {
        for family in &self.families {
            family.whole.say(next_said(), cause);
            family.whole.epoch.increment();
        }
    }

    /// A write has ended. Called once for each [`Epochs::begin`], whatever the outcome.
    pub fn end(&self, change: Change) {
        self.each_changed(change, |mark| {
            // In this order: who finds it settled finds the bump already made.
            mark.epoch.increment();
            mark.writing.decrement();
        });
    }

    /// A write ends as it must not: nothing that was read meanwhile becomes stale.
    #[cfg(test)]
    pub(crate) fn end_without_bump(&self, change: Change) {
        self.each_changed(change, |mark| mark.writing.decrement());
    }

    /// Adds what a read depends on to its stamp.
    pub fn stamp(&self, view: View, stamp: &mut Stamp) {
        for mark in self.each_shown(view) {
            // In this order: whoever sees the epoch of a write sees that it is under way.
            stamp.epochs.push(mark.map_or(0, |mark| mark.epoch.load()));
            stamp.settled &= mark.is_none_or(|mark| mark.writing.load() == 0);
        }
    }

    /// Whether the epochs still are what the stamp says, from its place `from` on; the place
    /// behind them.
    pub fn is_current(&self, view: View, stamp: &Stamp, from: usize) -> Option<usize> {
        let mut at = from;
        // Every hit asks; `all` goes through in one piece, where a loop would ask for one at a time.
        let current = self.each_shown(view).all(|mark| {
            let epoch = mark.map_or(0, |mark| mark.epoch.load());
            let same = stamp.epochs.get(at) == Some(&epoch);
            at += 1;
            same
        });
        current.then_some(at)
    }

    /// Which of the epochs that a read depends on are no longer as the stamp says, from its place
    /// `from` on: what raised the latest of them, and the place behind. Without a stamp, of all.
    pub fn raised(
        &self,
        view: View,
        stamp: Option<&Stamp>,
        from: usize,
    ) -> (Option<Raised>, usize) {
        let (mut latest, mut at) = (None, from);
        for mark in self.each_shown(view) {
            let epoch = mark.map_or(0, |mark| mark.epoch.load());
            if stamp.is_none_or(|stamp| stamp.epochs.get(at) != Some(&epoch)) {
                latest = latest.max(mark.and_then(Mark::raised));
            }
            at += 1;
        }
        (latest, at)
    }

    /// What raised the latest epoch of what is unsettled now; none if nothing is.
    pub fn unsettled_by(&self, view: View) -> Option<Raised> {
        let held = self.each_shown(view).flatten().filter(|mark| mark.writing.load() > 0);
        held.filter_map(Mark::raised).max()
    }

    /// The marks that a read depends on; none where nothing was ever written to.
    fn each_shown(&self, view: View) -> impl Iterator<Item = Option<&Mark<C>>> {
        view.families.iter().flat_map(move |index| {
            // A family that is not there would be one that no write invalidates: better no answer.
            let family = &self.families[index];
            let part = self.precise.contains(index).then(|| match view.item {
                Some(item) if usize::from(item.family) == index => {
                    family.items.get().map(|items| &items[self.place(item.slot)])
                }
                _ => Some(&family.lists),
            });
            std::iter::once(Some(&family.whole)).chain(part)
        })
    }

    /// Where a slot is here.
    fn place(&self, slot: u16) -> usize {
        usize::from(slot) & (self.slots - 1)
    }

    fn each_changed(&self, change: Change, apply: impl Fn(&Mark<C>)) {
        for index in change.families.iter() {
            let family = &self.families[index];
            let narrow = change.narrow.filter(|narrow| usize::from(narrow.family) == index);
            let Some(narrow) = narrow.filter(|_| self.precise.contains(index)) else {
                apply(&family.whole);
                continue;
            };
            apply(&family.lists);
            let [first, second] = narrow.slots;
            for slot in first.into_iter().chain(second.filter(|_| second != first)) {
                let items =
                    family.items.get_or_init(|| (0..self.slots).map(|_| Mark::new()).collect());
                apply(&items[self.place(slot)]);
            }
        }
    }
}

impl<C: Cell> Family<C> {
    fn new() -> Self {
        Self { whole: Mark::new(), lists: Mark::new(), items: OnceLock::new() }
    }
}

impl Stamp {
    /// The stamp of nothing.
    pub fn empty() -> Self {
        Self { epochs: SmallVec::new(), settled: true }
    }

    /// Whether nothing was under way when it was taken that it depends on.
    pub fn is_settled(&self) -> bool {
        self.settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRECISE: usize = 1;

    fn epochs() -> Epochs {
        Epochs::new(3, FamilySet::one(PRECISE))
    }

    fn stamp(epochs: &Epochs, view: View) -> Stamp {
        let mut stamp = Stamp::empty();
        epochs.stamp(view, &mut stamp);
        stamp
    }

    fn view(families: &[usize]) -> View {
        let set = families.iter().map(|f| FamilySet::one(*f));
        View::of(set.fold(FamilySet::EMPTY, FamilySet::union))
    }

    fn item(name: &str) -> View {
        View { families: FamilySet::one(PRECISE), item: Some(Item::new(PRECISE, name)) }
    }

    /// Which of the views are stale after a change.
    fn stale<const N: usize>(change: Change, views: [View; N]) -> [bool; N] {
        let epochs = epochs();
        let before = views.map(|view| stamp(&epochs, view));
        epochs.touch(change);
        let stale = std::array::from_fn(|i| epochs.is_current(views[i], &before[i], 0).is_none());
        assert_eq!(views.map(|view| change.shows_in(view, FamilySet::one(PRECISE))), stale);
        stale
    }

    #[test]
    fn a_change_makes_stamps_of_its_families_stale() {
        let views = [view(&[0]), view(&[2]), view(&[0, 2]), view(&[])];
        let change = |family| Change::whole(FamilySet::one(family));
        assert_eq!(stale(change(0), views), [true, false, true, false]);
        assert_eq!(stale(change(2), views), [false, true, true, false]);
        assert_eq!(stale(change(1), views), [false; 4]);
    }

    #[test]
    fn a_narrow_change_spares_the_other_items() {
        let views = [view(&[PRECISE]), item("5"), item("abc"), item("6")];
        let whole = Change::whole(FamilySet::one(PRECISE));
        let narrow = whole.narrowed(Item::new(PRECISE, "5"), Item::new(PRECISE, "abc"));
        assert_eq!(stale(whole, views), [true; 4]);
        assert_eq!(stale(narrow, views), [true, true, true, false]);
        assert_eq!(stale(whole.listed(PRECISE), views), [true, false, false, false]);
        assert_eq!(stale(whole.listed(PRECISE).unnamed(), views), [true; 4]);
        assert_eq!(narrow.unnamed(), narrow);
    }

    #[test]
    fn only_a_family_with_precision_is_narrowed() {
        let change = Change::whole(FamilySet::one(0)).listed(0);
        assert_eq!(stale(change, [view(&[0])]), [true]);
    }

    #[test]
    fn the_parts_of_a_change_are_all_of_it() {
        let both = FamilySet::one(0).union(FamilySet::one(PRECISE));
        let change = Change::whole(both).listed(PRECISE);
        assert_eq!(change.within(FamilySet::one(0)).families(), FamilySet::one(0));
        let rest = change.outside(FamilySet::one(0));
        assert_eq!(stale(rest, [view(&[PRECISE]), item("5")]), [true, false]);
    }

    #[test]
    fn nothing_is_settled_until_the_last_write_ends() {
        let epochs = epochs();
        let whole = Change::whole(FamilySet::one(PRECISE));
        let narrow = whole.narrowed(Item::new(PRECISE, "5"), Item::new(PRECISE, "5"));
        epochs.begin(whole);
        epochs.begin(narrow);
        epochs.end(whole);
        assert!(!stamp(&epochs, item("5")).is_settled());
        assert!(!stamp(&epochs, view(&[PRECISE])).is_settled(), "the list shows the item");
        assert!(stamp(&epochs, item("6")).is_settled());
        epochs.end(narrow);
        assert!(stamp(&epochs, item("5")).is_settled());
    }

    #[test]
    fn a_slot_that_two_names_share_is_raised_once() {
        let epochs = epochs();
        let change = Change::whole(FamilySet::one(PRECISE));
        let change = change.narrowed(Item::new(PRECISE, "5"), Item::new(PRECISE, "5"));
        epochs.begin(change);
        epochs.end(change);
        assert!(stamp(&epochs, item("5")).is_settled(), "as often lowered as raised");
    }
}
