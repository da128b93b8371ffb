//! The guard of a write: whatever becomes of it, what it touches is invalidated.
//!
//! 1. Nothing happens before the write is about to be sent: one that never was, touches nothing.
//! 2. It bumps before the first byte, on the head of the reply, and at the end; dropping it is an
//!    end too, so a timeout, a client that went away and a panic are no gaps.
//! 3. An end whose outcome is open hands what it holds on: it stays unsettled until somebody has
//!    seen how it came out, or the window for it is over. An end that nobody saw through is one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{
    cause::Cause,
    coherence::{Change, Item},
    names::Names,
    partition::{Breadth, Felt, Hold, Partition},
};
use crate::{
    api::{
        families::FamilySet,
        routes::{ItemKind, Narrow, Touches},
        target::Target,
    },
    metrics::Metrics,
    vocabulary::{InvalidationCause, Unrest},
};

/// A write and what it touches.
pub struct Touch {
    state: Mutex<State>,
    settler: Arc<dyn Settle>,
    metrics: Arc<Metrics>,
}

/// What is held until it has settled.
#[derive(Debug)]
pub struct Unsettled {
    /// Ends, with a bump, when it is dropped.
    pub hold: Hold,
    /// Why it is not settled.
    pub why: Unrest,
    /// The item that it is about.
    pub item: Option<Named>,
}

/// An item by its family and one of its names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Named {
    /// The family.
    pub family: usize,
    /// A number or an identifier.
    pub name: Box<str>,
}

/// Who sees what is unsettled through.
pub trait Settle: Send + Sync {
    /// Takes it until it has settled.
    fn settle(&self, unsettled: Unsettled);
    /// Whether the same is held already for the same item.
    fn holds(&self, felt: &Felt, item: Option<&Named>) -> bool;
}

/// What a write changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// From when it is sent until it has settled.
    pub change: Change,
    /// All that a removal changes if anything names what it removes.
    pub removal: Option<Change>,
    /// The item that it is about.
    pub item: Option<Named>,
}

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// What it touches shows its outcome from now on.
    Settled,
    /// It goes on upstream, or nobody knows.
    Open(Unrest),
}

struct State {
    stage: Stage,
    /// What is unsettled when the end is open.
    open: Change,
    removal: Option<Change>,
    item: Option<Named>,
}

enum Stage {
    Unsent(Felt),
    Sent(Hold),
    Ended,
}

impl Plan {
    /// What a write does to a target.
    pub fn of(target: &Target, touches: Touches, names: &Names) -> Self {
        let whole = Change::whole(touches.all);
        match touches.narrow {
            None => Self { change: whole, removal: None, item: None },
            Some(Narrow::New(family)) => {
                Self { change: whole.listed(family), removal: None, item: None }
            }
            Some(Narrow::Item(place)) => {
                let name = place.name(target).unwrap_or_default().into();
                let item = Named { family: place.family, name };
                let change = item.changed(touches.all, names);
                let removal = touches.removes.then_some(whole);
                Self { change, removal, item: Some(item) }
            }
        }
    }
}

impl Named {
    /// An item of a kind by its number.
    pub fn numbered(kind: &ItemKind, number: u64) -> Self {
        Self { family: kind.family, name: number.to_string().into() }
    }

    /// Its slot, for epochs.
    pub fn slot(&self) -> Item {
        Item::new(self.family, &self.name)
    }

    /// What changes when the item does: of its family it alone, if it is known by both names.
    pub fn changed(&self, families: FamilySet, names: &Names) -> Change {
        let whole = Change::whole(families);
        match names.other(self.family, &self.name) {
            Some(other) => whole.narrowed(self.slot(), Item::new(self.family, &other)),
            None => whole,
        }
    }
}

impl Touch {
    /// A write that has not been sent yet.
    pub fn new(
        partition: Arc<Partition>,
        breadth: Breadth,
        plan: Plan,
        settler: Arc<dyn Settle>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let Plan { change, removal, item } = plan;
        let stage = Stage::Unsent(Felt::new(partition, change, breadth));
        // Until what is new has a name, what is open is any.
        let open = change.unnamed();
        let state = Mutex::new(State { stage, open, removal, item });
        Self { state, settler, metrics }
    }

    /// The same, with what it is for.
    #[must_use]
    pub fn because(self, cause: Cause) -> Self {
        {
            let mut state = self.state();
            state.stage = match std::mem::replace(&mut state.stage, Stage::Ended) {
                Stage::Unsent(felt) => Stage::Unsent(felt.because(cause)),
                other => other,
            };
        }
        self
    }

    /// The first byte is about to be sent.
    pub fn sent(&self) {
        let mut state = self.state();
        state.stage = match std::mem::replace(&mut state.stage, Stage::Ended) {
            Stage::Unsent(felt) => {
                self.count(felt.breadth(), InvalidationCause::WriteSent);
                let hold = Hold::begin(felt).of_removal(state.removal);
                if hold.is_removal() {
                    // Others may be known by now to name what it removes.
                    hold.touch();
                }
                Stage::Sent(hold)
            }
            other => other,
        };
    }

    /// The head of the reply has arrived; called before the writer sees it.
    pub fn answered(&self) {
        if let Stage::Sent(hold) = &self.state().stage {
            hold.touch();
            self.count(hold.felt().breadth(), InvalidationCause::WriteAnswered);
        }
    }

    /// The reply says what the write has made: that alone is unsettled if the end is open. It may
    /// have been read while it was being made.
    pub fn made(&self, item: Named, open: Change) {
        let mut state = self.state();
        (state.item, state.open) = (Some(item), open);
        state.touch_open();
    }

    /// The reply does not say what the write has made; called before the writer sees it.
    pub fn made_something(&self) {
        self.state().touch_open();
    }

    /// It has ended. The first end counts.
    pub fn end(&self, settlement: Settlement) {
        let mut state = self.state();
        let Stage::Sent(hold) = std::mem::replace(&mut state.stage, Stage::Ended) else { return };
        self.count(hold.felt().breadth(), InvalidationCause::WriteEnded);
        let Settlement::Open(why) = settlement else { return };
        let hold = hold.narrowed(state.open);
        let item = state.item.take();
        drop(state);
        self.settler.settle(Unsettled { hold, why, item });
    }

    fn count(&self, breadth: Breadth, cause: InvalidationCause) {
        let cause = match breadth {
            Breadth::Reach | Breadth::Everyone => cause,
            Breadth::Account => InvalidationCause::UnlistedRead,
        };
        self.metrics.cache.invalidations.of(cause).inc();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn touch_open(&self) {
        if let Stage::Sent(hold) = &self.stage {
            hold.felt().with(self.open).touch();
        }
    }
}

impl Drop for Touch {
    fn drop(&mut self) {
        self.end(Settlement::Open(Unrest::Unknown));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::{
        coherence::{Epochs, Stamp, View},
        partition::Commons,
    };

    const FAMILY: usize = 0;

    struct World {
        partition: Arc<Partition>,
        settler: Arc<Keeper>,
    }

    /// Keeps what is unsettled until it is told.
    #[derive(Default)]
    struct Keeper(Mutex<Vec<Unsettled>>);

    impl Settle for Keeper {
        fn settle(&self, unsettled: Unsettled) {
            self.0.lock().expect("whole").push(unsettled);
        }

        fn holds(&self, _: &Felt, _: Option<&Named>) -> bool {
            false
        }
    }

    impl World {
        fn new() -> Self {
            let precise = FamilySet::one(FAMILY);
            let account = Arc::new(Epochs::new(1, precise));
            let commons = Commons::new(1, precise, FamilySet::EMPTY, Names::new(10));
            let partition = Arc::new(Partition::new(account, Arc::new(commons), false));
            Self { partition, settler: Arc::default() }
        }

        fn touch(&self) -> Touch {
            self.touch_by(Change::whole(FamilySet::one(FAMILY)))
        }

        fn touch_by(&self, change: Change) -> Touch {
            let plan = Plan { change, removal: None, item: None };
            let settler = Arc::clone(&self.settler) as Arc<dyn Settle>;
            let partition = Arc::clone(&self.partition);
            Touch::new(partition, Breadth::Reach, plan, settler, Arc::default())
        }

        fn stamp(&self) -> Stamp {
            self.partition.stamp(View::of(FamilySet::one(FAMILY)))
        }

        fn stamp_of(&self, name: &str) -> Stamp {
            let item = Some(Item::new(FAMILY, name));
            self.partition.stamp(View { families: FamilySet::one(FAMILY), item })
        }

        fn settle(&self) {
            self.settler.0.lock().expect("whole").clear();
        }
    }

    #[test]
    fn a_write_that_was_never_sent_touches_nothing() {
        let world = World::new();
        let before = world.stamp();
        drop(world.touch());
        assert_eq!(world.stamp(), before);
        assert!(world.stamp().is_settled());
    }

    #[test]
    fn a_write_bumps_at_every_stage() {
        let world = World::new();
        let touch = world.touch();
        let mut seen = vec![world.stamp()];
        touch.sent();
        seen.push(world.stamp());
        assert!(!world.stamp().is_settled(), "a write is under way");
        touch.answered();
        seen.push(world.stamp());
        touch.end(Settlement::Settled);
        seen.push(world.stamp());
        seen.dedup();
        assert_eq!(seen.len(), 4);
        assert!(world.stamp().is_settled());
        let ended = world.stamp();
        drop(touch);
        assert_eq!(world.stamp(), ended, "the first end counts");
    }

    #[test]
    fn an_end_that_nobody_saw_is_open() {
        let world = World::new();
        let touch = world.touch();
        touch.sent();
        drop(touch);
        let open = world.stamp();
        assert!(!open.is_settled());
        let why = world.settler.0.lock().expect("whole")[0].why;
        assert_eq!(why, Unrest::Unknown);
        world.settle();
        assert!(world.stamp().is_settled());
        assert_ne!(world.stamp(), open, "the end is a bump");
    }

    #[test]
    fn what_was_made_is_unsettled_alone() {
        let world = World::new();
        let touch = world.touch();
        touch.sent();
        let item = Named { family: FAMILY, name: "9".into() };
        let open = Change::whole(FamilySet::one(FAMILY)).narrowed(item.slot(), item.slot());
        touch.made(item, open);
        touch.end(Settlement::Open(Unrest::Scheduled));
        assert!(!world.stamp_of("9").is_settled());
        assert!(!world.stamp().is_settled(), "the list shows it");
        assert!(world.stamp_of("8").is_settled());
    }

    #[test]
    fn what_was_made_is_anything_while_it_has_no_name() {
        let creation = Change::whole(FamilySet::one(FAMILY)).listed(FAMILY);
        for told in [false, true] {
            let world = World::new();
            let touch = world.touch_by(creation);
            touch.sent();
            let before = world.stamp_of("9");
            assert!(before.is_settled(), "what is there already is spared");
            if told {
                touch.made_something();
                assert_ne!(world.stamp_of("9"), before, "it may have been read meanwhile");
            }
            // The rest of the reply is not looked at, and nobody sees how it ends.
            drop(touch);
            assert!(!world.stamp_of("9").is_settled());
        }
    }
}
