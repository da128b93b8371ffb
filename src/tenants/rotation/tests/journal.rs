//! The keys in the journal of upstream keys: sealed anew as credentials are, and hidden as they are.

use super::*;
use crate::tenants::{
    course::{Course, Facts, Step, Way},
    record::SecretKind,
    secret::UpstreamSecret,
    store::{
        pending::NewPending,
        rotations::{Entry, Lease},
    },
};

const LEASE: Lease<'static> = Lease { holder: "one", until: i64::MAX };
const PENDING: NewPending<'static> =
    NewPending { upstream: "main", user: 7, login: "ann@example.com", token: "t" };

fn key(text: &str) -> UpstreamSecret {
    UpstreamSecret::new(SecretKind::Key, "joe", text).expect("a good key")
}

/// A credential whose key is rotated and was made already, and a key that waits for an owner.
fn journal() -> Fixture {
    let mut fixture = Fixture::new();
    let Fixture { store, keyring, .. } = &mut fixture;
    let vault = Vault { keyring, origin: &origin };
    store
        .edit::<_, StoreError>(NOW, |edit| {
            let standing = Standing::default();
            edit.add_credential(&vault, "acme", "main", &key("planted-old-key"), &standing)?;
            let row = edit.plan_rotation(&vault, "acme", Way::Add, &Facts::default())?;
            edit.claim_rotation(row, LEASE, 0)?.expect("nobody else has it");
            let step = minted(Step::Minted);
            assert!(edit.advance_rotation(&vault, &at(row, &step), LEASE)?);
            let pending = edit.expect_key(&vault, &PENDING)?;
            edit.keep_key(&vault, pending, &PENDING, &key("planted-caught-key"))
        })
        .expect("written");
    fixture
}

fn minted(step: Step) -> Course<Arc<UpstreamSecret>> {
    let new = Some(Arc::new(key("planted-new-key")));
    Course { step, new, ..Course::planned(Way::Add, Facts::default()) }
}

fn at(row: i64, course: &Course<Arc<UpstreamSecret>>) -> Entry<'_> {
    Entry { row, course, due: 0, since: 0 }
}

fn build(fixture: &mut Fixture, previous: &Snapshot) -> Snapshot {
    let records = fixture.store.records().expect("read");
    Snapshot::build(&records, &fixture.keyring, &surroundings(), previous)
}

fn hidden(snapshot: &Snapshot) -> Vec<&str> {
    let mut hidden: Vec<_> = snapshot.upstream_secrets("main").map(|(_, key)| key).collect();
    hidden.sort_unstable();
    hidden
}

#[test]
fn what_the_journal_has_is_sealed_anew_and_stays_hidden() {
    let mut fixture = journal();
    let before = build(&mut fixture, &Snapshot::default());
    assert_eq!(hidden(&before), ["planted-caught-key", "planted-new-key", "planted-old-key"]);
    let Fixture { store, keyring, .. } = &mut fixture;
    let vault = Vault { keyring, origin: &origin };
    let rotated = Rotation::default().run(store, &vault, NOW).expect("rotated");
    assert_eq!((rotated.resealed, rotated.discarded, rotated.left), (4, 1, vec![]));
    let records = store.records().expect("read");
    let sealed: Vec<_> = records.sealed_in_journal().collect();
    assert_eq!(sealed.len(), 3);
    assert!(sealed.iter().all(|sealed| sealed.key_id == rotated.key), "{sealed:?}");
    let after = build(&mut fixture, &before);
    assert_eq!(hidden(&after), hidden(&before));
    assert_eq!(after.vault_version(), before.vault_version(), "nothing has to be searched anew");
    let claimed = claim(&mut fixture, records.pending[0].row);
    assert_eq!(claimed.expect("it opens"), 1);
}

fn claim(fixture: &mut Fixture, pending: i64) -> Result<i64, StoreError> {
    let Fixture { store, keyring, .. } = fixture;
    let vault = Vault { keyring, origin: &origin };
    store.edit(NOW, |edit| edit.claim_key(&vault, pending, "ann"))
}

#[test]
fn a_key_of_the_journal_that_does_not_open_keeps_its_data_key() {
    let mut fixture = journal();
    fixture.store.script("UPDATE pending_keys SET upstream = 'gone'");
    let Fixture { store, keyring, .. } = &mut fixture;
    let vault = Vault { keyring, origin: &origin };
    let rotated = Rotation::default().run(store, &vault, NOW).expect("rotated");
    assert_eq!((rotated.resealed, rotated.discarded), (3, 0));
    let left: Vec<String> = rotated.left.iter().map(ToString::to_string).collect();
    let why = "there is no upstream \"gone\" in the configuration";
    assert_eq!(left, [format!("the pending key of ann@example.com: {why}")]);
    store.script("UPDATE pending_keys SET upstream = 'main'");
    let uses = store.key_uses().expect("read").into_iter();
    let mut uses: Vec<_> = uses.filter_map(|key| key.used_by).collect();
    uses.sort_unstable();
    assert_eq!(uses, [0, 1, 3], "no tokens, and four secrets");
    let pending = store.records().expect("read").pending[0].row;
    assert_eq!(claim(&mut fixture, pending).expect("its key is there"), 1);
}

#[test]
fn no_key_is_asked_for_that_could_not_be_sealed() {
    let mut fixture = journal();
    let other = keyring("cd");
    let store = &mut fixture.store;
    let vault = Vault { keyring: &other, origin: &origin };
    let row = store.records().expect("read").rotations[0].row;
    let expected = store.edit(NOW, |edit| edit.expect_key(&vault, &PENDING));
    let announced = store.edit(NOW, |edit| {
        let course = Course { new: None, ..minted(Step::Minting) };
        edit.advance_rotation(&vault, &at(row, &course), LEASE)
    });
    assert!(matches!(expected, Err(StoreError::Locked { .. })), "{expected:?}");
    assert!(matches!(announced, Err(StoreError::Locked { .. })), "{announced:?}");
    assert_eq!(store.records().expect("read").pending.len(), 1);
}

#[test]
fn a_server_that_cannot_open_the_journal_hides_what_it_has_opened_before() {
    let mut fixture = journal();
    let before = build(&mut fixture, &Snapshot::default());
    let other = keyring("cd");
    let Fixture { store, keyring, .. } = &mut fixture;
    store.edit::<_, StoreError>(NOW, |edit| edit.rewrap(keyring, &other)).expect("rewrapped");
    let opened = store.unlock(crate::tenants::fixture::keyring("cd"), NOW).expect("unlocked");
    let vault = Vault { keyring: &opened, origin: &origin };
    Rotation::default().run(store, &vault, NOW).expect("rotated");
    let after = build(&mut fixture, &before);
    assert_eq!((after.left_out(), after.behind()), (&[][..], 1));
    assert_eq!(hidden(&after), hidden(&before));
    assert_eq!(after.vault_version(), before.vault_version());
}
