//! What is kept, what takes its place, and what goes with it.

use std::{
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::*;
use crate::{
    api::families::FamilySet,
    cache::{
        coherence::{Epochs, View},
        names::Names,
        partition::Commons,
    },
    settings::ByteSize,
    vocabulary::{Format, RouteClass, Secrecy},
};

struct Setting {
    shelf: Shelf,
    partition: Arc<Partition>,
    view: View,
}

impl Setting {
    /// A partition whose share is a MiB.
    fn new() -> Self {
        let routes = Arc::new(RouteTable::new(&[]).expect("the table itself"));
        let config =
            Config { capacity: ByteSize::mib(10), max_partition_percent: 10, ..Config::default() };
        let (families, none) = (routes.families().len(), FamilySet::EMPTY);
        let commons = Arc::new(Commons::new(families, none, none, Names::new(1)));
        let account = Arc::new(Epochs::new(families, none));
        let partition = Arc::new(Partition::new(account, commons, true));
        let view = View::of(routes.families().all());
        let shelf = Shelf::new(config, routes, Clock::start(), Arc::new(Metrics::new()));
        Self { shelf, partition, view }
    }

    fn key(&self, number: u32) -> Key {
        let target = format!("/virtual_machines/{number}.json").parse().expect("a target");
        Key::new(&self.partition, Secrecy::Hidden, target, None)
    }

    /// Keeps something of 200 KiB that was asked for now; says whether there was room.
    fn keep(&self, number: u32) -> bool {
        self.keep_of(number, self.shelf.clock.now()).is_ok()
    }

    fn keep_of(&self, number: u32, asked_at: u64) -> Result<(), NotStored> {
        self.keep_as(&self.key(number), asked_at).map(drop)
    }

    fn keep_as(&self, key: &Key, asked_at: u64) -> Result<Arc<Stored>, NotStored> {
        let stamp = &self.partition.stamp(self.view);
        let dependence = Dependence { view: self.view, class: RouteClass::Inventory };
        let filled = Filled { stamp, dependence, settled: true, asked_at };
        let body = Bytes::from(vec![b'x'; 200 << 10]);
        let shown = Representation::new(StatusCode::OK, &HeaderMap::new(), body);
        self.shelf.keep(key, &self.partition, filled, shown)
    }
}

#[test]
fn what_was_touched_gives_its_room_back_when_it_is_wanted() {
    let setting = Setting::new();
    let kept = (0..9).filter(|number| setting.keep(*number)).count();
    assert_eq!(kept, 5);
    setting.shelf.housekeep();
    assert!(!setting.keep(9), "what is fresh is not cleared away");
    setting.partition.account().touch(Change::whole(setting.view.families));
    assert!(!setting.keep(9));
    // moka lets go of what it removed when no thread looks at it any more.
    let patience = Instant::now() + Duration::from_secs(10);
    while !setting.keep(9) {
        assert!(Instant::now() < patience, "what was touched keeps its room");
        setting.shelf.housekeep();
        thread::yield_now();
    }
}

#[test]
fn a_newer_answer_is_not_followed_by_an_older_one() {
    let setting = Setting::new();
    let kept = || setting.shelf.store.get(&setting.key(1)).is_some();
    assert_eq!(setting.keep_of(1, 20), Ok(()));
    assert_eq!(setting.keep_of(1, 19), Err(NotStored::Overtaken));
    setting.shelf.forget(&setting.key(1), 19);
    assert!(kept());
    setting.shelf.forget(&setting.key(1), 20);
    assert!(!kept());
    // What was touched is nobody's successor.
    assert_eq!(setting.keep_of(1, 20), Ok(()));
    setting.partition.account().touch(Change::whole(setting.view.families));
    assert_eq!(setting.keep_of(1, 19), Ok(()));
}

#[test]
fn what_is_derived_stands_beside_what_it_was_derived_from() {
    let setting = Setting::new();
    let target = "/virtual_machines/1.json".parse().expect("a target");
    let (shelf, key) =
        (&setting.shelf, Key::new(&setting.partition, Secrecy::Hidden, target, Some(Format::Json)));
    let other = key.in_other_format().expect("two formats");
    let derive = |source: &Arc<Stored>| {
        let shown = Representation::new(StatusCode::OK, &HeaderMap::new(), Bytes::new());
        shelf.keep_derived(&other, &setting.partition, (&key, source), shown).map(drop)
    };
    let digest = |stored: &Stored| match stored {
        Stored::Entry(entry) => entry.digest,
        Stored::Uncacheable { .. } => None,
    };
    let source = setting.keep_as(&key, 20).expect("kept");
    assert_eq!(derive(&source), Ok(()));
    assert_eq!(digest(&source), Some(key.digest()));
    assert_eq!(shelf.store.get(&other).and_then(|kept| digest(&kept)), Some(other.digest()));
    // What follows its source takes it away, and does not let it come back.
    let newer = setting.keep_as(&key, 21).expect("kept");
    assert!(shelf.store.get(&other).is_none());
    assert_eq!(derive(&source), Err(NotStored::Overtaken));
    // Nor does it replace what was fetched later.
    setting.keep_as(&other, 22).expect("kept");
    assert_eq!(derive(&newer), Err(NotStored::Overtaken));
    shelf.store.remove(&other);
    assert_eq!(derive(&newer), Ok(()));
    shelf.forget(&key, 30);
    assert!(shelf.store.get(&other).is_none());
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_for_later_is_not_softened() {
    let setting = Setting::new();
    let all = Change::whole(setting.view.families);
    let partition = Arc::clone(&setting.partition);
    let changes = HashMap::from([(partition.id(), (partition, all))]);
    let fresh = || {
        let now = setting.shelf.clock.now();
        let all = setting.shelf.store.iter();
        all.filter(|(_, kept)| matches!(&**kept, Stored::Entry(e) if e.is_fresh(now))).count()
    };
    assert!(setting.keep(1));
    assert_eq!((setting.shelf.soften(&changes), fresh()), (1, 0));
    assert!(setting.keep(2));
    assert_eq!(fresh(), 0, "it may have been asked for before");
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(setting.keep(3));
    assert_eq!((fresh(), setting.shelf.soften(&HashMap::new())), (1, 0));
    assert_eq!((fresh(), setting.shelf.soften(&changes)), (1, 1));
}
