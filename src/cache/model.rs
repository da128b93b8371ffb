//! The coherence core under loom: every interleaving of readers, fills and a write.
//!
//! Random histories over the same core, with flights, names and transactions, are in `watch/model`.
//!
//! The property: no read that begins after a write was acknowledged shows an older version. What
//! holds of flights is in `flights`.

mod flights;

use std::sync::Arc as StdArc;

use loom::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use crate::{
    api::families::FamilySet,
    cache::{
        coherence::{Cell, Change, Epochs, Stamp, View},
        names::Names,
        partition::{Breadth, Commons, Felt, Hold, Partition},
    },
};

/// The read of a list, which depends on two marks of each object.
fn view() -> View {
    View::of(FamilySet::one(0))
}

/// A change of what lists show; slots are not made here, they would be hundreds of atomics.
fn change() -> Change {
    Change::whole(FamilySet::one(0)).listed(0)
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
}

/// A cache of one key in front of an upstream of one value.
struct World {
    partition: StdArc<Partition<AtomicU64>>,
    upstream: AtomicU64,
    kept: Mutex<Option<(Stamp, u64)>>,
    acknowledged: AtomicBool,
}

/// Which of its bumps a writer makes; all of them, except to show that one is needed.
#[derive(Clone, Copy)]
struct Bumps {
    hold: bool,
    head: bool,
}

const ALL: Bumps = Bumps { hold: true, head: true };

impl World {
    fn new() -> Arc<Self> {
        let precise = FamilySet::one(0);
        let account = StdArc::new(Epochs::new(1, precise));
        let commons = Commons::new(1, precise, FamilySet::EMPTY, Names::new(1));
        let partition = Partition::numbered(1, account, StdArc::new(commons), false);
        Arc::new(Self {
            partition: StdArc::new(partition),
            upstream: AtomicU64::new(0),
            kept: Mutex::new(None),
            acknowledged: AtomicBool::new(false),
        })
    }

    /// A read as the cache layer does it: hit, or fetch under a stamp and keep.
    fn read(&self) -> u64 {
        let kept = self.kept.lock().expect("no panic").clone();
        if let Some((stamp, value)) = kept
            && self.partition.is_current(view(), &stamp)
        {
            return value;
        }
        let stamp = self.partition.stamp(view());
        let value = self.upstream.load(Ordering::SeqCst);
        // What is unsettled is kept, too, for a moment that is endless here.
        if self.partition.is_current(view(), &stamp) {
            *self.kept.lock().expect("no panic") = Some((stamp, value));
        }
        value
    }

    fn felt(&self) -> Felt<AtomicU64> {
        Felt::new(StdArc::clone(&self.partition), change(), Breadth::Reach)
    }

    fn write(&self, bumps: Bumps) {
        let hold = bumps.hold.then(|| Hold::begin(self.felt()));
        self.upstream.store(1, Ordering::SeqCst);
        if bumps.head {
            self.felt().touch();
        }
        self.acknowledged.store(true, Ordering::SeqCst);
        drop(hold);
    }
}

/// Every interleaving with at most two preemptions: bugs that need more are not known, and all
/// of them would take hours.
fn model(run: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(run);
}

fn explore(bumps: Bumps) {
    model(move || {
        let world = World::new();
        let writer = thread::spawn({
            let world = Arc::clone(&world);
            move || world.write(bumps)
        });
        let filler = thread::spawn({
            let world = Arc::clone(&world);
            move || world.read()
        });
        let acknowledged = world.acknowledged.load(Ordering::SeqCst);
        let seen = world.read();
        assert!(!acknowledged || seen == 1, "stale after an acknowledged write");
        filler.join().expect("no panic");
        writer.join().expect("no panic");
        assert_eq!(world.read(), 1, "stale after the write has ended");
    });
}

#[test]
fn no_read_after_an_acknowledged_write_is_older() {
    explore(ALL);
}

#[test]
#[should_panic(expected = "stale")]
fn without_any_bump_the_model_sees_staleness() {
    explore(Bumps { hold: false, head: false });
}

#[test]
#[should_panic(expected = "stale after an acknowledged write")]
fn without_the_bump_on_the_head_the_model_sees_staleness() {
    explore(Bumps { hold: true, head: false });
}
