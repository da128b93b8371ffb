//! The coherence core under loom: every interleaving of readers, fills and a write.
//!
//! Random histories over the same core, with flights, names and transactions, are in `watch/model`.
//!
//! The property: no read that begins after a write was acknowledged shows an older version. What
//! holds of flights is in `flights`.

mod flights;

use std::sync::Arc as StdArc;

use http::StatusCode;
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
        coherence::{Cell, Change, Epochs, Item, Stamp, View},
        dependence::{Dependence, Stamps},
        names::Names,
        partition::{Breadth, Commons, Felt, Hold, Partition},
    },
    vocabulary::RouteClass,
};

/// What is read. Each depends on two marks of each object.
#[derive(Clone, Copy)]
enum Read {
    /// A list.
    List,
    /// An item that is not there at first.
    Item,
    /// The same, but by mistake a 404 depends on the slot of the item alone.
    ItemByItsSlotAlone,
}

impl Read {
    fn dependence(self) -> Dependence {
        let item = match self {
            Self::List => None,
            Self::Item | Self::ItemByItsSlotAlone => Some(Item::new(0, "5")),
        };
        let view = View { families: FamilySet::one(0), item };
        Dependence { view, class: RouteClass::Inventory }
    }

    fn stamps(self, partition: &Partition<AtomicU64>) -> Stamps {
        match self {
            Self::Item => self.dependence().stamps(partition),
            Self::List | Self::ItemByItsSlotAlone => {
                let shown = partition.stamp(self.dependence().view);
                Stamps { absent: shown.clone(), shown }
            }
        }
    }

    fn view_of(self, value: u64) -> View {
        match self {
            Self::Item => self.dependence().view_of(status(value)),
            Self::List | Self::ItemByItsSlotAlone => self.dependence().view,
        }
    }
}

/// What an upstream whose value is zero has not made yet.
fn status(value: u64) -> StatusCode {
    if value == 0 { StatusCode::NOT_FOUND } else { StatusCode::OK }
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
    read: Read,
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
    fn new(read: Read) -> Arc<Self> {
        let precise = FamilySet::one(0);
        let account = StdArc::new(Epochs::new(1, precise));
        let commons = Commons::new(1, precise, FamilySet::EMPTY, Names::new(1));
        let partition = Partition::numbered(1, account, StdArc::new(commons), false);
        Arc::new(Self {
            read,
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
            && self.partition.is_current(self.read.view_of(value), &stamp)
        {
            return value;
        }
        let stamps = self.read.stamps(&self.partition);
        let value = self.upstream.load(Ordering::SeqCst);
        let stamp = stamps.of(status(value));
        // What is unsettled is kept, too, for a moment that is endless here.
        if self.partition.is_current(self.read.view_of(value), stamp) {
            *self.kept.lock().expect("no panic") = Some((stamp.clone(), value));
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

fn explore(read: Read, bumps: Bumps) {
    model(move || {
        let world = World::new(read);
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
    explore(Read::List, ALL);
    explore(Read::Item, ALL);
}

#[test]
#[should_panic(expected = "stale")]
fn without_any_bump_the_model_sees_staleness() {
    explore(Read::List, Bumps { hold: false, head: false });
}

#[test]
#[should_panic(expected = "stale after an acknowledged write")]
fn without_the_bump_on_the_head_the_model_sees_staleness() {
    explore(Read::List, Bumps { hold: true, head: false });
}

#[test]
#[should_panic(expected = "stale")]
fn with_a_404_that_depends_on_its_slot_alone_the_model_sees_staleness() {
    explore(Read::ItemByItsSlotAlone, ALL);
}
