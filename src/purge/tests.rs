//! Who feels a purge, and what it spares.

use super::*;
use crate::{
    cache::{
        coherence::{Epochs, Item, Stamp, View},
        partition::Commons,
    },
    tenants::{
        fixture::{Fixture, NOW, scope, secret},
        record::{Reach, Standing},
        secret::Vault,
        snapshot::Surroundings,
        store::StoreError,
    },
};

/// Tenants and credentials `a` and `b` of the upstream `main`, and a credential `c` of `other`.
struct World {
    snapshot: Snapshot,
    routes: Arc<RouteTable>,
}

const CREDENTIALS: [&str; 3] = ["a", "b", "c"];

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
        Self { snapshot, routes }
    }

    fn run(&self, selectors: &str) -> Result<Purged, PurgeError> {
        run(&asked(selectors).expect(selectors), &self.snapshot, &self.routes)
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

    fn family(&self, name: &str) -> FamilySet {
        self.routes.families().find(name).expect("a family")
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
    assert!(serde_json::from_str::<Selectors>(r#"{"soft":true}"#).is_err());
}
