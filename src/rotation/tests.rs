//! When the schedule says that a key is too old, which key a client must not replace, what opens for
//! whom, and what a server does by itself.

use super::{catch::Doomed, schedule::is_due, work::Opened, *};
use crate::tenants::{
    course::{Course, Step},
    fixture::{Fixture, origin, surroundings},
    record::{SecretKind, Standing},
    secret::{SealedSecret, UpstreamSecret},
    store::{self, pending::NewPending},
};

const DAY: i64 = 86_400;
const INTERVAL: Duration = Duration::from_secs(90 * 86_400);
const NOW: i64 = 1_800_000_000;

fn rotation(step: Step, ended: Option<i64>) -> RotationRecord {
    RotationRecord {
        row: 1,
        credential: 1,
        name: "acme".to_owned(),
        upstream: "main".to_owned(),
        course: Course { step, ..Course::planned(Way::Add, Facts::default()) },
        old: SealedSecret::default(),
        generation: 1,
        now_generation: 1,
        due: 0,
        since: 0,
        holder: String::new(),
        leased: 0,
        created: 0,
        ended,
    }
}

fn key(login: &str, text: &str) -> UpstreamSecret {
    UpstreamSecret::new(SecretKind::Key, login, text).expect("a good key")
}

/// Whether a credential is due, for whoever believes the upstream to be at an origin.
fn due_at(
    origin_now: &dyn Fn(&str) -> Option<String>,
    (kind, created): (SecretKind, i64),
    rotations: &[RotationRecord],
) -> bool {
    let mut fixture = Fixture::new();
    let Fixture { store, keyring, .. } = &mut fixture;
    let secret = UpstreamSecret::new(kind, "joe", "a-secret").expect("a good secret");
    let vault = Vault { keyring, origin: &origin };
    let standing = Standing::default();
    store
        .edit(NOW, |edit| edit.add_credential(&vault, "acme", "main", &secret, &standing))
        .expect("added");
    let [credential] = &mut *store.credentials().expect("read") else { panic!("one") };
    credential.created = created;
    let vault = Vault { keyring, origin: origin_now };
    is_due(&vault, credential, rotations, INTERVAL, NOW)
}

fn due(kind: SecretKind, created: i64, rotations: &[RotationRecord]) -> bool {
    due_at(&origin, (kind, created), rotations)
}

#[test]
fn a_key_is_due_when_it_is_old_and_nobody_is_at_it() {
    let (old, young) = (NOW - 90 * DAY, NOW - 89 * DAY);
    let done = |at| rotation(Step::Done, Some(at));
    let undone = |at| rotation(Step::Undone, Some(at));
    let open = rotation(Step::Minted, None);
    for (created, rotations, expected) in [
        (old, vec![], true),
        (young, vec![], false),
        (old, vec![done(young)], false),
        (0, vec![done(old)], true),
        (old, vec![open], false),
        // What failed is tried again, but not at once.
        (old, vec![undone(NOW - 2 * DAY)], true),
        (old, vec![undone(NOW - DAY / 2)], false),
        (0, vec![done(old), undone(NOW)], false),
    ] {
        assert_eq!(due(SecretKind::Key, created, &rotations), expected, "{created} {rotations:?}");
    }
}

#[test]
fn a_password_is_never_due() {
    assert!(!due(SecretKind::Password, 0, &[]));
}

#[test]
fn what_does_not_open_is_never_due() {
    let elsewhere = |_: &str| Some("https://other.example.com:443".to_owned());
    let nowhere = |_: &str| None;
    assert!(due_at(&origin, (SecretKind::Key, 0), &[]));
    assert!(!due_at(&elsewhere, (SecretKind::Key, 0), &[]));
    assert!(!due_at(&nowhere, (SecretKind::Key, 0), &[]));
}

#[test]
fn it_is_said_now_and_then_that_a_rotation_stands_still() {
    let (mut told, begun) = (Told::default(), Instant::now());
    let mut at = |row, after| told.is_to_be_told(row, begun + after);
    assert!(at(1, Duration::ZERO) && at(2, LOOK));
    assert!(!at(1, LOOK) && !at(1, TELL_EVERY - LOOK));
    assert!(at(1, TELL_EVERY));
    assert!(!at(2, TELL_EVERY) && !at(1, TELL_EVERY + LOOK) && at(2, TELL_EVERY + LOOK));
}

#[test]
fn a_rotation_is_taken_up_with_all_its_keys_or_not_at_all() {
    let mut fixture = keys_of_ours();
    let row = fixture.store.open_rotation("acme").expect("read").expect("planned");
    let Fixture { store, keyring, .. } = &mut fixture;
    let vault = Vault { keyring, origin: &origin };
    let lease = Lease { holder: "one", until: i64::MAX };
    let minted = store.edit::<_, StoreError>(NOW, |edit| {
        edit.claim_rotation(row, lease, 0)?;
        let new = Some(Arc::new(key("joe@example.com", "new")));
        let course =
            Course { step: Step::Minted, new, ..Course::planned(Way::Add, Facts::default()) };
        let entry = store::rotations::Entry { row, course: &course, due: 0, since: 0 };
        edit.advance_rotation(&vault, &entry, lease)
    });
    assert!(minted.expect("written"));
    for (wrong, opens) in [("", true), ("new_key", false), ("old_key", false)] {
        if !wrong.is_empty() {
            store.script(&format!("UPDATE rotations SET {wrong} = x'00'"));
        }
        let record = store.rotation(row).expect("read").expect("it is there");
        let opened = Opened::new(&vault, record);
        assert_eq!(opened.is_ok(), opens, "{wrong}: {opened:?}");
    }
}

/// A store that has a key as credential, as old key of a rotation, and as pending key.
fn keys_of_ours() -> Fixture {
    let mut fixture = Fixture::new();
    let Fixture { store, keyring, .. } = &mut fixture;
    let vault = Vault { keyring, origin: &origin };
    store
        .edit::<_, StoreError>(NOW, |edit| {
            let standing = Standing::default();
            edit.add_credential(&vault, "acme", "main", &key("Joe@example.com", "old"), &standing)?;
            edit.plan_rotation(&vault, "acme", Way::Add, &Facts::default())?;
            let by_hand = key("joe@example.com", "by-hand");
            edit.rotate_credential(&vault, "acme", &by_hand)?;
            let (upstream, login, token) = ("main", "ann@example.com", "t");
            let pending = NewPending { upstream, user: 7, login, token };
            let row = edit.expect_key(&vault, &pending)?;
            edit.keep_key(&vault, row, &pending, &key(login, "pending"))
        })
        .expect("written");
    fixture
}

fn may_be_ours(fixture: &mut Fixture, login: &str, main: Option<&str>) -> bool {
    let records = fixture.store.records().expect("read");
    let vault = Vault { keyring: &fixture.keyring, origin: &origin };
    Doomed { upstream: "main", login, main }.may_be_ours(&records, &vault)
}

#[test]
fn a_key_that_anything_of_ours_may_have_is_not_replaced() {
    let mut fixture = keys_of_ours();
    for (login, main, expected) in [
        ("bob@example.com", Some("by-hand"), true),
        ("bob@example.com", Some("old"), true),
        ("bob@example.com", Some("pending"), true),
        ("joe@example.com", Some("another"), false),
        // The panel does not show it, and does not tell its users' addresses apart by their case.
        ("JOE@Example.com", None, true),
        ("Ann@example.com", None, true),
        ("bob@example.com", None, false),
    ] {
        assert_eq!(may_be_ours(&mut fixture, login, main), expected, "{login} {main:?}");
    }
    fixture.store.script("UPDATE credentials SET sealed = x'00'");
    assert!(may_be_ours(&mut fixture, "bob@example.com", Some("another")), "nobody knows");
    let other = Doomed { upstream: "other", login: "bob@example.com", main: None };
    let records = fixture.store.records().expect("read");
    let vault = Vault { keyring: &fixture.keyring, origin: &origin };
    assert!(!other.may_be_ours(&records, &vault));
}

#[test]
fn what_would_bound_nothing_or_forget_too_soon_is_refused() {
    let problems = |change: fn(&mut Config)| {
        let (mut config, mut problems) = (Config::default(), Problems::default());
        change(&mut config);
        config.validate(&mut problems);
        problems.iter().map(|problem| problem.key.clone()).collect::<Vec<_>>()
    };
    assert_eq!(problems(|_| ()), Vec::<String>::new());
    assert_eq!(problems(|config| config.max_kept = 0), ["rotation.max_kept"]);
    let brief = |config: &mut Config| config.retention = Duration::from_secs(86_399);
    assert_eq!(problems(brief), ["rotation.retention"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_forgets_what_ended_long_ago() {
    let mut fixture = keys_of_ours();
    fixture.store.script("UPDATE rotations SET ended = 1, step = 'undone', old_key = x''");
    assert_eq!(fixture.store.rotations().expect("read").len(), 1);
    let metrics = Arc::new(Metrics::new());
    let keys = tenants::fixture::keyring("ab");
    let directory = Directory::open(&fixture.config(), keys, surroundings(), Arc::clone(&metrics));
    let directory = Arc::new(directory.expect("a directory"));
    let rotor = Rotor::new(Parts {
        config: Config::default(),
        store: fixture.config(),
        keyring: Arc::clone(directory.keyring()),
        actor: Actor::unnamed(crate::audit::event::ActorKind::Server),
        panels: HashMap::new(),
        metrics,
    });
    let stop = CancellationToken::new();
    let rotor = Arc::new(rotor.expect("randomness"));
    let keeping = tokio::spawn(rotor.keep(directory, stop.clone()));
    let begun = Instant::now();
    while !fixture.store.rotations().expect("read").is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(5), "it is still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop.cancel();
    keeping.await.expect("no panic");
}

/// What works on the rotations of a store, and knows no upstream.
fn rotor(fixture: &Fixture, interval: Option<Duration>) -> Arc<Rotor> {
    let rotor = Rotor::new(Parts {
        config: Config { interval, ..Config::default() },
        store: fixture.config(),
        keyring: Arc::new(tenants::fixture::keyring("ab")),
        actor: Actor::unnamed(crate::audit::event::ActorKind::Server),
        panels: HashMap::new(),
        metrics: Arc::new(Metrics::new()),
    });
    Arc::new(rotor.expect("randomness"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_does_not_get_a_rotation_makes_no_server_read_the_store_anew() {
    let mut fixture = keys_of_ours();
    let Fixture { store, keyring, .. } = &mut fixture;
    let vault = Vault { keyring, origin: &origin };
    let waiting = store.edit::<_, StoreError>(NOW, |edit| {
        let key = UpstreamSecret::new(SecretKind::Key, "ann", "another").expect("a good key");
        edit.add_credential(&vault, "other", "main", &key, &Standing::default())?;
        edit.plan_rotation(&vault, "other", Way::Add, &Facts::default())
    });
    let waiting = waiting.expect("planned");
    let worked_on = store.open_rotation("acme").expect("read").expect("planned");
    let lease = Lease { holder: "one", until: i64::MAX };
    let claimed = store.edit(NOW, |edit| edit.claim_rotation(worked_on, lease, 0));
    assert!(claimed.expect("asked").is_some());
    let revision = fixture.store.revision().expect("read");
    let rotor = rotor(&fixture, None);
    for row in [worked_on, waiting] {
        let worked = rotor.work(row, |_| ()).await.expect("asked");
        assert!(matches!(worked, Worked::Elsewhere), "{worked:?}");
        assert_eq!(fixture.store.revision().expect("read"), revision);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_opens_for_nobody_here_is_worked_on_by_nobody() {
    let mut fixture = keys_of_ours();
    let row = fixture.store.open_rotation("acme").expect("read").expect("planned");
    let revision = fixture.store.revision().expect("read");
    let refused = rotor(&fixture, None).work(row, |_| ()).await.expect_err("no such upstream");
    assert!(matches!(refused, StoreError::Vault { .. }), "{refused:?}");
    let rotation = fixture.store.rotation(row).expect("read").expect("planned");
    assert_eq!((rotation.leased, rotation.ended), (0, None));
    assert_eq!(fixture.store.revision().expect("read"), revision);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_schedule_passes_over_what_is_of_no_upstream_that_there_is() {
    let mut fixture = keys_of_ours();
    fixture.store.script("UPDATE credentials SET created = 0; DELETE FROM rotations");
    let revision = fixture.store.revision().expect("read");
    rotor(&fixture, Some(Duration::from_secs(1))).schedule().await.expect("looked");
    assert!(fixture.store.rotations().expect("read").is_empty());
    assert_eq!(fixture.store.revision().expect("read"), revision);
}
