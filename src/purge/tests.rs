//! Who feels a purge, and what it spares.

use super::*;
use crate::{
    cache::{
        coherence::{Epochs, Item, Stamp, View},
        dependence::Dependence,
        entry::{self, Representation, Stored},
        key::Key,
        partition::Commons,
        shelf::Filled,
    },
    clock::Clock,
    metrics::Metrics,
    tenants::{
        fixture::{Fixture, NOW, scope, secret},
        record::{Reach, Standing},
        secret::Vault,
        snapshot::Surroundings,
        store::StoreError,
    },
    vocabulary::Secrecy,
};

/// Tenants and credentials `a` and `b` of the upstream `main`, and a credential `c` of `other`.
struct World {
    snapshot: Snapshot,
    shelf: Shelf,
}

/// By whom and as what something was read, and when.
type Place = (Arc<Partition>, View, Stamp);

const CREDENTIALS: [&str; 3] = ["a", "b", "c"];

const TARGETS: [&str; 6] = [
    "/virtual_machines.json",
    "/virtual_machines/5.json",
    "/virtual_machines/abcdefghijklmn.json",
    "/virtual_machines/6.json",
    "/users.json",
    "/version.json",
];

fn origin(upstream: &str) -> Option<String> {
    ["main", "other"].contains(&upstream).then(|| format!("https://{upstream}.test:443"))
}

impl World {
    fn new() -> Self {
        let mut fixture = Fixture::new();
        fixture.add("a", "one");
        fixture.add("b", "two");
        let Fixture { store, keyring, .. } = &mut fixture;
        let vault = Vault { keyring, origin: &origin };
        let own =
            |account: &str| Standing { reach: Some(Reach::Own), account: Some(account.to_owned()) };
        let edited = store.edit::<_, StoreError>(NOW, |edit| {
            for name in ["a", "b"] {
                edit.rotate_credential(&vault, name, &secret("planted-secret"))?;
            }
            edit.set_standing("a", &own("ann"))?;
            edit.add_credential(&vault, "c", "other", &secret("another-one"), &own("ann"))
        });
        edited.expect("edited");
        let routes = Arc::new(RouteTable::new(&[]).expect("the table itself"));
        let records = fixture.store.records().expect("read");
        let snapshot = Snapshot::build(
            &records,
            &fixture.keyring,
            &surroundings(&routes),
            &Snapshot::default(),
        );
        assert_eq!(snapshot.left_out(), &[]);
        let (config, metrics) = (entry::Config::default(), Arc::new(Metrics::new()));
        Self { snapshot, shelf: Shelf::new(config, routes, Clock::start(), metrics) }
    }

    fn run(&self, selectors: &str) -> Result<Purged, PurgeError> {
        run(&asked(selectors).expect(selectors), &self.snapshot, &self.shelf)
    }

    fn stamp(&self, credential: &str, view: View) -> (Arc<Partition>, Stamp) {
        let mut all = self.snapshot.credentials();
        let found = all.find(|c| c.name == credential).expect("a credential");
        (Arc::clone(&found.partition), found.partition.stamp(view))
    }

    /// How many partitions were touched, and of whom a read of the machines is stale.
    fn check(&self, selectors: &str, expected: (usize, [bool; 3])) {
        let view = View::of(self.family("vms"));
        let before = CREDENTIALS.map(|name| self.stamp(name, view));
        let done = self.run(selectors).expect("done");
        let stale = before.map(|(partition, stamp)| !partition.is_current(view, &stamp));
        assert_eq!((done.partitions, stale), expected, "{selectors}");
    }

    /// Keeps the targets of every credential; whose, with what they were read by, and their keys.
    fn keep(&self) -> [(Place, Key); 3 * TARGETS.len()] {
        std::array::from_fn(|n| {
            let path = TARGETS[n % TARGETS.len()];
            let read = target(path).expect("canonical");
            let route = self.shelf.routes.read(&read).expect("listed").id;
            let route = self.shelf.routes.route(route);
            let item = route.item(&read).map(|(family, name)| Item::new(family, name));
            let view = View { families: route.families, item };
            let (partition, stamp) = self.stamp(CREDENTIALS[n / TARGETS.len()], view);
            let key = Key::new(&partition, Secrecy::Hidden, path.parse().expect("a target"), None);
            let dependence = Dependence { view, class: route.class };
            let filled = Filled { stamp: &stamp, dependence, settled: true, asked_at: 0 };
            let shown = Representation::new(http::StatusCode::OK, &HeaderMap::new(), "[]".into());
            assert!(self.shelf.keep(&key, &partition, filled, shown).is_ok());
            assert!(self.is_fresh(&key));
            ((partition, view, stamp), key)
        })
    }

    fn is_fresh(&self, key: &Key) -> bool {
        let stored = self.shelf.store.get(key).expect("it is kept");
        let Stored::Entry(entry) = &*stored else { panic!("an entry was kept") };
        entry.is_fresh(self.shelf.clock.now())
    }

    fn family(&self, name: &str) -> FamilySet {
        self.shelf.routes.families().find(name).expect("a family")
    }
}

fn surroundings(routes: &Arc<RouteTable>) -> Surroundings {
    let (families, precise) = (routes.families().len(), routes.precise());
    let commons = |_| Arc::new(Commons::new(families, precise, routes.shared(), Names::new(9)));
    let [main, other] = [(), ()].map(commons);
    Surroundings {
        origin: Box::new(origin),
        partition: Box::new(move |upstream, standing| {
            let commons = if upstream == "main" { &main } else { &other };
            let account = Arc::new(Epochs::new(families, precise));
            let sees_all = standing.reach != Some(Reach::Own);
            Some(Arc::new(Partition::new(account, Arc::clone(commons), sees_all)))
        }),
        scope: Box::new(scope),
        vault: Box::new(|_| {}),
    }
}

fn asked(text: &str) -> Result<Purge, SelectorError> {
    Purge::try_from(serde_json::from_str::<Selectors>(text).expect(text))
}

#[test]
fn it_is_felt_by_those_whose_it_is() {
    let world = World::new();
    world.check(r#"{"all":true}"#, (3, [true; 3]));
    world.check(r#"{"families":["vms","dns"]}"#, (3, [true; 3]));
    world.check(r#"{"all":true,"families":["dns"]}"#, (3, [false; 3]));
    world.check(r#"{"path":"/virtual_machines.json"}"#, (3, [true; 3]));
    world.check(r#"{"upstream":"main"}"#, (2, [true, true, false]));
    world.check(r#"{"upstream":"other","families":["vms"]}"#, (1, [false, false, true]));
    world.check(r#"{"tenant":"a"}"#, (1, [true, false, false]));
    world.check(r#"{"credential":"b"}"#, (1, [false, true, false]));
    world.check(r#"{"credential":"c","path":"/users"}"#, (1, [false; 3]));
}

#[test]
fn a_path_of_an_item_spares_the_others_if_both_its_names_are_known() {
    let world = World::new();
    let families = world.family("vms");
    let family = families.iter().next().expect("one");
    let view = |name| View { families, item: Some(Item::new(family, name)) };
    let views = [View::of(families), view("5"), view("abcdefghijklmn"), view("6")];
    let path = r#"{"path":"/virtual_machines/5.json?x=1"}"#;
    let stale = |credential| {
        let before = views.map(|view| (view, world.stamp(credential, view)));
        let done = world.run(path).expect("done");
        assert_eq!(done.families, ["vms"]);
        before.map(|(view, (partition, stamp))| !partition.is_current(view, &stamp))
    };
    assert_eq!(stale("a"), [true; 4]);
    let (partition, _) = world.stamp("a", View::default());
    partition.upstream().names().learn(family, "5", "abcdefghijklmn");
    assert_eq!(stale("a"), [true, true, true, false]);
    assert_eq!(stale("b"), [true, true, true, false]);
    assert_eq!(stale("c"), [true; 4], "another upstream has other names");
}

#[test]
fn a_soft_purge_marks_what_a_hard_one_makes_stale() {
    let soft = |selectors: &str| selectors.replacen('}', r#","soft":true}"#, 1);
    for names_are_known in [false, true] {
        for selectors in [
            r#"{"all":true}"#,
            r#"{"all":true,"families":["dns"]}"#,
            r#"{"path":"/virtual_machines.json"}"#,
            r#"{"path":"/virtual_machines/5.xml"}"#,
            r#"{"upstream":"other","families":["vms"]}"#,
            r#"{"tenant":"a"}"#,
            r#"{"credential":"b","path":"/users"}"#,
        ] {
            let world = World::new();
            let family = world.family("vms").iter().next().expect("one");
            if names_are_known {
                let (partition, _) = world.stamp("a", View::default());
                partition.upstream().names().learn(family, "5", "abcdefghijklmn");
            }
            let kept = world.keep();
            let done = world.run(&soft(selectors)).expect("done");
            let marked = kept.each_ref().map(|(_, key)| !world.is_fresh(key));
            let current = |(at, _): &(Place, Key)| at.0.is_current(at.1, &at.2);
            assert!(kept.iter().all(current), "{selectors}: it invalidates nothing");
            let hard = world.run(selectors).expect("done");
            let stale = kept.each_ref().map(|at| !current(at));
            assert_eq!(marked, stale, "{selectors}, {names_are_known}");
            let count = marked.iter().filter(|marked| **marked).count();
            assert_eq!((done.entries, hard.entries), (Some(count), None), "{selectors}");
            assert_eq!((done.partitions, done.families), (hard.partitions, hard.families));
        }
    }
}

#[test]
fn what_was_touched_is_not_counted() {
    let world = World::new();
    world.keep();
    world.run(r#"{"tenant":"a"}"#).expect("done");
    let done = world.run(r#"{"all":true,"soft":true}"#).expect("done");
    assert_eq!(done.entries, Some(2 * TARGETS.len()));
}

#[test]
fn what_is_not_there_is_named() {
    let world = World::new();
    let refused = |text: &str| world.run(text).expect_err(text).to_string();
    assert_eq!(refused(r#"{"tenant":"x"}"#), r#"there is no tenant "x""#);
    assert_eq!(refused(r#"{"credential":"x"}"#), r#"there is no credential "x""#);
    assert!(refused(r#"{"upstream":"x"}"#).starts_with(r#"there is no upstream "x""#));
    let family = refused(r#"{"all":true,"families":["vms","vmz"]}"#);
    assert!(family.starts_with(r#"there is no family "vmz"; there are "#), "{family}");
    for path in ["/nothing", "/virtual_machines/1abc"] {
        let refused = refused(&format!(r#"{{"path":"{path}"}}"#));
        assert!(refused.ends_with(&format!("the path \"{path}\"")), "{refused}");
    }
}

#[test]
fn selectors_say_whose_and_what_once() {
    let refused = |text: &str| asked(text).expect_err(text);
    assert_eq!(refused("{}"), SelectorError::Nothing);
    assert_eq!(refused(r#"{"all":false,"families":[]}"#), SelectorError::Nothing);
    assert_eq!(refused(r#"{"all":true,"tenant":"a"}"#), SelectorError::Several);
    assert_eq!(refused(r#"{"path":"/a","families":["b"]}"#), SelectorError::FamiliesAndPath);
    for path in ["a", "http://a/b", "/../a", "/a b"] {
        let error = refused(&format!(r#"{{"path":"{path}"}}"#));
        assert!(matches!(error, SelectorError::Path { .. }), "{error}");
    }
    assert_eq!(refused(r#"{"soft":true}"#), SelectorError::Nothing);
    assert!(serde_json::from_str::<Selectors>(r#"{"hard":true}"#).is_err());
}
