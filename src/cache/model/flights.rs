//! Flights under loom: who may share a fetch, in every interleaving with a write.
//!
//! The bookkeeping, the stamps and the epochs are those of production; who runs a fetch and how its
//! outcome is told is modeled after `layers/coalesce`. Shown are three properties:
//!
//! 1. A read that begins after a write was acknowledged never joins a flight that began before the
//!    last bump that the write had made by then.
//! 2. Misses of one key under one stamp that wait at the same time make one fetch.
//! 3. A flight that waited for its turn is under a stamp that was taken when its turn had come.
//!
//! Each is shown to be seen, too: by a mistake on purpose that breaks it.

use std::{
    cell::Cell,
    sync::{Arc as StdArc, Mutex as StdMutex, MutexGuard as StdMutexGuard},
};

use loom::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use super::model;
use crate::{
    api::families::FamilySet,
    cache::{
        coherence::{Change, Epochs, Stamp, View},
        flight::{Flights, Join, Reader},
        names::Names,
        partition::{Breadth, Commons, Felt, Hold, Partition},
    },
};

/// A deliberate mistake, to show that the check sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    None,
    /// Readers join any flight of their key, whatever its stamp.
    NoStampInKey,
    /// The stamp is taken after the fetch.
    LateStamp,
    /// Who waits for the next flight fetches under the stamp that it came with.
    OwnStamp,
    /// Nobody finds the flight of another.
    KeyOfItsOwn,
}

/// A cache of one key in front of an upstream of one value, and the fetches under way.
struct World {
    mistake: Mistake,
    partition: StdArc<Partition<AtomicU64>>,
    upstream: AtomicU64,
    kept: Mutex<Option<(Stamp, u64)>>,
    flights: Mutex<Flights<usize, Arc<Flight>>>,
    witness: StdMutex<Witness>,
}

/// One fetch, as those see it who wait for it.
struct Flight {
    told: Mutex<Told>,
    news: Condvar,
    /// When its stamp was taken, by the witness.
    stamped: StdMutex<u64>,
}

#[derive(Default)]
struct Told {
    started: Option<Stamp>,
    outcome: Option<u64>,
}

/// Sees the order in which things really happen. It is no part of the program: its lock is never
/// held while another thread can move, so that no interleaving is lost or gained by it.
#[derive(Default)]
struct Witness {
    now: u64,
    under_way: Vec<Stamp>,
}

const FAMILY: usize = 0;

fn view() -> View {
    View::of(FamilySet::one(FAMILY))
}

impl World {
    fn new(most_per_key: usize, mistake: Mistake) -> Arc<Self> {
        // Without precision a family is one mark, which is enough here and leaves fewer steps.
        let none = FamilySet::EMPTY;
        let account = StdArc::new(Epochs::new(1, none));
        let commons = StdArc::new(Commons::new(1, none, none, Names::new(1)));
        Arc::new(Self {
            mistake,
            partition: StdArc::new(Partition::numbered(1, account, commons, false)),
            upstream: AtomicU64::new(0),
            kept: Mutex::new(None),
            flights: Mutex::new(Flights::new(most_per_key)),
            witness: StdMutex::default(),
        })
    }

    /// A read as the layers do it: a hit, a part in a flight, or a fetch. `since` is the moment after
    /// which a flight must have begun to be joined.
    fn read(&self, reader: usize, since: u64) -> u64 {
        let kept = lock(&self.kept).clone();
        if let Some((stamp, value)) = kept
            && self.partition.is_current(view(), &stamp)
        {
            return value;
        }
        let stamp = self.partition.stamp(view());
        let stamped = self.witness().tick();
        let key = if self.mistake == Mistake::KeyOfItsOwn { reader } else { 0 };
        let joined = match self.mistake {
            Mistake::NoStampInKey => Stamp::empty(),
            _ => stamp.clone(),
        };
        let turn = Cell::new(0);
        let restamp = || {
            let stamp = self.partition.stamp(view());
            turn.set(self.witness().tick());
            stamp
        };
        // Nobody here demands what is newer than what is under way.
        let asked = Reader { stamp: &joined, now: 0, max_age: None };
        let join = lock(&self.flights).join(&key, asked, restamp, || Flight::new(stamped));
        match join {
            Join::ShareStarted(flight, stamp) => {
                *flight.stamped() = turn.get();
                flight.start(stamp);
                flight.landed()
            }
            Join::Share(flight) => {
                let value = flight.landed();
                assert!(*flight.stamped() > since, "joined a flight from before its write");
                value
            }
            Join::Lead(id, flight) => self.fly(key, id, &flight, &stamp),
            Join::LeadNext(id, flight) => {
                let started = flight.turn();
                let stamp = if self.mistake == Mistake::OwnStamp { stamp } else { started };
                self.fly(key, id, &flight, &stamp)
            }
        }
    }

    /// The task of a flight.
    fn fly(&self, key: usize, id: u64, flight: &Flight, stamp: &Stamp) -> u64 {
        self.witness().depart(stamp);
        let value = self.upstream.load(Ordering::SeqCst);
        let under = match self.mistake {
            Mistake::LateStamp => self.partition.stamp(view()),
            _ => stamp.clone(),
        };
        if self.partition.is_current(view(), &under) {
            *lock(&self.kept) = Some((under, value));
        }
        let landed = self.witness().land(stamp);
        let turn = Cell::new(0);
        let mut flights = lock(&self.flights);
        let next = flights.finish(&key, id, 0, || {
            let stamp = self.partition.stamp(view());
            turn.set(self.witness().tick());
            stamp
        });
        drop(flights);
        if let Some((next, stamp)) = next {
            if self.mistake != Mistake::OwnStamp {
                *next.stamped() = turn.get();
            }
            assert!(*next.stamped() > landed, "a stamp from before its turn");
            next.start(stamp);
        }
        flight.tell(value);
        value
    }

    fn felt(&self) -> Felt<AtomicU64> {
        let change = Change::whole(FamilySet::one(FAMILY));
        Felt::new(StdArc::clone(&self.partition), change, Breadth::Reach)
    }

    fn witness(&self) -> StdMutexGuard<'_, Witness> {
        self.witness.lock().expect("no panic")
    }
}

impl Flight {
    fn new(stamped: u64) -> Arc<Self> {
        let (told, news) = (Mutex::new(Told::default()), Condvar::new());
        Arc::new(Self { told, news, stamped: StdMutex::new(stamped) })
    }

    /// Waits for the outcome.
    fn landed(&self) -> u64 {
        self.wait(|told| told.outcome)
    }

    /// Waits for its turn.
    fn turn(&self) -> Stamp {
        self.wait(|told| told.started.clone())
    }

    fn start(&self, stamp: Stamp) {
        lock(&self.told).started = Some(stamp);
        self.news.notify_all();
    }

    fn tell(&self, outcome: u64) {
        lock(&self.told).outcome = Some(outcome);
        self.news.notify_all();
    }

    fn wait<T>(&self, what: impl Fn(&Told) -> Option<T>) -> T {
        let mut told = lock(&self.told);
        loop {
            if let Some(said) = what(&told) {
                return said;
            }
            told = self.news.wait(told).expect("no panic");
        }
    }

    fn stamped(&self) -> StdMutexGuard<'_, u64> {
        self.stamped.lock().expect("no panic")
    }
}

impl Witness {
    fn tick(&mut self) -> u64 {
        self.now += 1;
        self.now
    }

    fn depart(&mut self, stamp: &Stamp) {
        let alone = self.under_way.iter().all(|other| other != stamp);
        assert!(alone, "two fetches under one stamp");
        self.under_way.push(stamp.clone());
    }

    fn land(&mut self, stamp: &Stamp) -> u64 {
        self.under_way.retain(|other| other != stamp);
        self.tick()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no panic")
}

/// Two readers at any time, and a writer that reads as soon as its write is acknowledged, and again
/// when it has ended.
fn explore(most_per_key: usize, mistake: Mistake) {
    model(move || {
        let world = World::new(most_per_key, mistake);
        let readers = [1, 2].map(|reader| {
            let world = Arc::clone(&world);
            thread::spawn(move || world.read(reader, 0))
        });
        let hold = Hold::begin(world.felt());
        world.upstream.store(1, Ordering::SeqCst);
        world.felt().touch();
        let acknowledged = world.witness().tick();
        assert_eq!(world.read(0, acknowledged), 1, "stale after an acknowledged write");
        drop(hold);
        let ended = world.witness().tick();
        assert_eq!(world.read(0, ended), 1, "stale after a write has ended");
        for reader in readers {
            reader.join().expect("no panic");
        }
        assert_eq!(world.read(0, ended), 1, "stale after all have ended");
        assert!(lock(&world.flights).is_empty(), "a flight that nobody leads");
    });
}

#[test]
fn no_read_joins_a_flight_from_before_its_write() {
    explore(1, Mistake::None);
}

#[test]
fn nor_does_one_while_two_flights_run_at_once() {
    explore(2, Mistake::None);
}

#[test]
#[should_panic(expected = "joined a flight from before its write")]
fn flights_without_stamps_are_seen() {
    explore(1, Mistake::NoStampInKey);
}

#[test]
#[should_panic(expected = "stale after")]
fn a_stamp_that_is_taken_after_the_fetch_is_seen() {
    explore(2, Mistake::LateStamp);
}

#[test]
#[should_panic(expected = "a stamp from before its turn")]
fn a_stamp_from_before_the_turn_is_seen() {
    explore(1, Mistake::OwnStamp);
}

#[test]
#[should_panic(expected = "two fetches under one stamp")]
fn a_fetch_for_each_of_equal_readers_is_seen() {
    explore(1, Mistake::KeyOfItsOwn);
}
