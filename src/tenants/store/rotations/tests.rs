//! The journal beside an operator's hand, and the time after the end.

use super::*;
use crate::{
    auth::keyring::Mac,
    idempotency::{End, Slot, State},
    tenants::{
        course::MOST_HELD,
        fixture::{Fixture, NOW, origin, surroundings},
        record::{Standing, TenantSettings},
        snapshot::Snapshot,
        store::idempotency::{Claimed, Wish},
    },
};

pub(super) const LEASE: Lease<'static> = Lease { holder: "one", until: i64::MAX };

/// A credential, and the row of a rotation of its key that somebody works on.
pub(super) struct Journal {
    pub(super) fixture: Fixture,
    pub(super) row: i64,
}

pub(super) fn key(text: &str) -> UpstreamSecret {
    UpstreamSecret::new(SecretKind::Key, "joe", text).expect("a good key")
}

impl Journal {
    pub(super) fn new(way: Way, facts: &Facts) -> Self {
        let mut fixture = Fixture::new();
        let Fixture { store, keyring, .. } = &mut fixture;
        let vault = Vault { keyring, origin: &origin };
        let row = store.edit::<_, StoreError>(NOW, |edit| {
            let standing = Standing::default();
            edit.add_credential(&vault, "acme", "main", &key("planted-old-key"), &standing)?;
            let row = edit.plan_rotation(&vault, "acme", way, facts)?;
            edit.claim_rotation(row, LEASE, 0)?.expect("nobody else has it");
            Ok(row)
        });
        Self { row: row.expect("planned"), fixture }
    }

    pub(super) fn advance(&mut self, course: &Course<Arc<UpstreamSecret>>) -> bool {
        let Fixture { store, keyring, .. } = &mut self.fixture;
        let vault = Vault { keyring, origin: &origin };
        let entry = Entry { row: self.row, course, due: 0, since: 0 };
        let advanced = store.edit(NOW, |edit| edit.advance_rotation(&vault, &entry, LEASE));
        advanced.expect("written")
    }

    pub(super) fn set_by_hand(&mut self, text: &str) -> Result<i64, StoreError> {
        let Fixture { store, keyring, .. } = &mut self.fixture;
        let vault = Vault { keyring, origin: &origin };
        store.edit(NOW, |edit| edit.rotate_credential(&vault, "acme", &key(text)))
    }

    pub(super) fn record(&mut self) -> RotationRecord {
        let mut all = self.fixture.store.rotations().expect("read").into_iter();
        all.find(|rotation| rotation.row == self.row).expect("it is there")
    }
}

/// A rotation that has a new key, at a step.
pub(super) fn at(way: Way, step: Step) -> Course<Arc<UpstreamSecret>> {
    let new = Some(Arc::new(key("planted-new-key")));
    Course { step, new, ..Course::planned(way, Facts::default()) }
}

#[test]
fn the_old_key_is_not_set_by_hand_while_it_is_removed() {
    for step in [Step::Draining, Step::Removing] {
        let mut journal = Journal::new(Way::Add, &Facts::default());
        assert!(journal.advance(&at(Way::Add, step)));
        let refused = journal.set_by_hand("planted-old-key").expect_err("it would be removed");
        assert!(refused.to_string().contains("credential rotations"), "{refused}");
        assert_eq!((journal.record().now_generation, journal.record().ended), (1, None));
        assert!(journal.advance(&at(Way::Add, Step::Done)));
        assert_eq!(journal.set_by_hand("planted-old-key").expect("it has ended"), 2);
    }
}

#[test]
fn another_secret_set_by_hand_ends_a_removal_that_does_not_go_on() {
    for step in [Step::Draining, Step::Removing] {
        let mut journal = Journal::new(Way::Add, &Facts::default());
        let switched = Course { new: None, ..at(Way::Add, step) };
        assert!(journal.advance(&switched));
        assert_eq!(journal.set_by_hand("planted-own-key").expect("set"), 2);
        let RotationRecord { course, old, ended, .. } = journal.record();
        assert_eq!((course.step, course.note), (Step::Done, Some(Note::OldLeft)));
        assert_eq!(ended, Some(NOW));
        assert!(!old.bytes.is_empty(), "it may still work, and stays hidden");
        assert!(!journal.advance(&Course { step: Step::Done, ..switched }));
    }
}

#[test]
fn a_panel_that_does_not_answer_keeps_no_operator_from_setting_a_secret() {
    for step in [Step::Planned, Step::Minting, Step::Doubting, Step::Minted, Step::Undoing] {
        let mut journal = Journal::new(Way::Add, &Facts::default());
        assert!(journal.advance(&at(Way::Add, step)));
        assert_eq!(journal.set_by_hand("planted-own-key").expect("set"), 2);
        assert_eq!(journal.record().ended, None, "it takes back what it made");
    }
}

#[test]
fn a_secret_set_by_hand_ends_a_replacement_that_does_not_go_on() {
    for step in [Step::Doubting, Step::Minted] {
        let mut journal = Journal::new(Way::Replace, &Facts::default());
        assert!(journal.advance(&at(Way::Replace, step)));
        assert_eq!(journal.set_by_hand("planted-own-key").expect("set"), 2);
        let RotationRecord { course, ended, .. } = journal.record();
        assert_eq!((course.step, course.note), (Step::Undone, Some(Note::Overtaken)));
        assert_eq!(ended, Some(NOW));
        assert!(journal.record().old.bytes.is_empty(), "it is no credential's any more");
        assert!(course.new.is_some(), "it is what the panel has");
        // Whoever works on it finds that it is no longer his.
        assert!(!journal.advance(&at(Way::Replace, Step::Probed)));
    }
    for step in [Step::Holding, Step::Minting, Step::Probed] {
        let mut journal = Journal::new(Way::Replace, &Facts::default());
        assert!(journal.advance(&at(Way::Replace, step)));
        journal.set_by_hand("planted-own-key").expect_err("it might be what dies");
    }
}

#[test]
fn no_credential_is_given_a_key_that_is_removed_at_this_moment() {
    for (step, going) in [(Step::Undoing, "planted-new-key"), (Step::Removing, "planted-old-key")] {
        let mut journal = Journal::new(Way::Add, &Facts::default());
        assert!(journal.advance(&at(Way::Add, step)));
        journal.set_by_hand(going).expect_err("it would be removed");
        let mut add = |name: &str, text: &str| {
            let Fixture { store, keyring, .. } = &mut journal.fixture;
            let vault = Vault { keyring, origin: &origin };
            let standing = Standing::default();
            store.edit(NOW, |edit| edit.add_credential(&vault, name, "main", &key(text), &standing))
        };
        let refused = add("other", going).expect_err("it would be removed");
        assert!(refused.to_string().contains("\"acme\""), "{refused}");
        add("another", "planted-own-key").expect("it stays");
        assert!(journal.advance(&at(Way::Add, Step::Undone)));
        assert_eq!(journal.set_by_hand(going).expect("it has ended"), 2);
    }
}

#[test]
fn a_switch_overwrites_no_secret_that_was_set_by_hand() {
    let mut journal = Journal::new(Way::Add, &Facts::default());
    assert!(journal.advance(&at(Way::Add, Step::Probed)));
    assert_eq!(journal.set_by_hand("planted-own-key").expect("set"), 2);
    let rotation = journal.record();
    let Fixture { store, keyring, .. } = &mut journal.fixture;
    let vault = Vault { keyring, origin: &origin };
    let new = key("planted-new-key");
    let switched =
        store.edit::<_, StoreError>(NOW, |edit| edit.switch_key(&vault, &rotation, &new));
    assert_eq!(switched.expect("asked"), None);
    let credentials = store.credentials().expect("read");
    assert_eq!(vault.open(&credentials[0]).expect("opened"), key("planted-own-key"));
}

#[test]
fn an_old_key_that_still_works_stays_hidden_after_the_end() {
    let kept = Facts { keeps_old: true, ..Facts::default() };
    let left = Some(Note::OldLeft);
    for (way, step, facts, note, hidden) in [
        (Way::Add, Step::Done, kept.clone(), None, true),
        (Way::Add, Step::Done, Facts::default(), left, true),
        (Way::Add, Step::Done, Facts::default(), None, false),
        (Way::Add, Step::Undone, kept.clone(), Some(Note::MintRefused), false),
        // What was replaced is dead.
        (Way::Replace, Step::Done, kept, None, false),
        (Way::Replace, Step::Lost, Facts::default(), Some(Note::NotRecovered), false),
    ] {
        let mut journal = Journal::new(way, &facts);
        let course = Course { step: Step::Probed, facts, ..at(way, Step::Probed) };
        assert!(journal.advance(&course));
        let end = Course { step, note, new: None, ..course };
        let Fixture { store, keyring, .. } = &mut journal.fixture;
        let vault = Vault { keyring, origin: &origin };
        let ended = store.edit::<_, StoreError>(NOW, |edit| {
            let rotation = edit.rotation(journal.row)?.expect("it is there");
            edit.switch_key(&vault, &rotation, &key("planted-new-key"))?;
            let entry = Entry { row: journal.row, course: &end, due: 0, since: 0 };
            edit.advance_rotation(&vault, &entry, LEASE)
        });
        assert!(ended.expect("written"));
        let records = store.records().expect("read");
        let snapshot = Snapshot::build(&records, keyring, &surroundings(), &Snapshot::default());
        let mut secrets = snapshot.upstream_secrets("main").map(|(_, secret)| secret);
        assert_eq!(secrets.any(|secret| secret == "planted-old-key"), hidden, "{end:?}");
        assert_eq!(snapshot.rotating().open(), []);
    }
}

#[test]
fn requests_wait_only_for_the_secret_that_is_replaced() {
    let mut journal = Journal::new(Way::Replace, &Facts::default());
    assert!(journal.advance(&at(Way::Replace, Step::Minted)));
    let held = |journal: &mut Journal| {
        let Fixture { store, keyring, .. } = &mut journal.fixture;
        let records = store.records().expect("read");
        let snapshot = Snapshot::build(&records, keyring, &surroundings(), &Snapshot::default());
        snapshot.rotating().holds("acme")
    };
    assert!(held(&mut journal));
    // As another version of this program would set a secret, which does not look for rotations.
    journal.fixture.store.script("UPDATE credentials SET generation = 2");
    assert!(!held(&mut journal));
    journal.fixture.store.script("UPDATE credentials SET generation = 1");
    assert!(held(&mut journal));
    // The panel has not answered for so long that they are better refused; it is asked on.
    let asked_in_vain = Course { tries: MOST_HELD, ..at(Way::Replace, Step::Minted) };
    assert!(journal.advance(&asked_in_vain));
    assert!(!held(&mut journal));
    assert_eq!(journal.record().ended, None);
    assert!(journal.advance(&at(Way::Replace, Step::Minted)));
    assert!(held(&mut journal));
    journal.set_by_hand("planted-own-key").expect("set");
    assert!(!held(&mut journal), "the operator's way out");
}

/// What becomes of an answer that was given to the first generation.
fn answered_before(journal: &mut Journal, change: impl FnOnce(&mut Journal)) -> State {
    let mac = Mac::from_bytes(&[7; 32]).expect("a MAC");
    let slot = Slot { tenant: 1, credential: 1, mac };
    let key_id = "k".to_owned();
    let wish = Wish { print: mac, first: 9, now: 0, lease: 10, expires: 100, most: 9, key_id };
    let store = &mut journal.fixture.store;
    store.edit(NOW, |edit| edit.add_tenant("acme", &TenantSettings::default())).expect("added");
    let Ok(Claimed::New(row)) = store.claim_key(&slot, &wish) else { panic!("it is free") };
    let answered = End::Answered { reply: "made".into(), generation: 1 };
    assert!(store.end_key(row, &answered).expect("written"));
    change(journal);
    let Ok(Claimed::Known(entry)) = journal.fixture.store.claim_key(&slot, &wish) else {
        panic!("it is taken")
    };
    entry.state
}

#[test]
fn what_was_answered_is_kept_for_the_user_and_not_for_the_key() {
    let mut journal = Journal::new(Way::Add, &Facts::default());
    let kept = answered_before(&mut journal, |journal| {
        let Fixture { store, keyring, .. } = &mut journal.fixture;
        let vault = Vault { keyring, origin: &origin };
        let switched = store.edit(NOW, |edit| {
            let rotation = edit.rotation(journal.row)?.expect("it is there");
            edit.switch_key(&vault, &rotation, &key("planted-new-key"))
        });
        assert_eq!(switched.expect("switched"), Some(2));
    });
    assert_eq!(kept, State::Answered);
    for (kind, login, kept) in [
        (SecretKind::Key, "joe", State::Answered),
        (SecretKind::Key, "ann", State::Unkept),
        (SecretKind::Password, "joe", State::Unkept),
    ] {
        let mut journal = Journal::new(Way::Add, &Facts::default());
        let found = answered_before(&mut journal, |journal| {
            let Fixture { store, keyring, .. } = &mut journal.fixture;
            let vault = Vault { keyring, origin: &origin };
            let secret = UpstreamSecret::new(kind, login, "planted-own-key").expect("good");
            let set = store.edit(NOW, |edit| edit.rotate_credential(&vault, "acme", &secret));
            assert_eq!(set.expect("set"), 2);
        });
        assert_eq!(found, kept, "{kind:?} {login}");
    }
}

#[test]
fn nobody_knows_whose_a_secret_was_that_cannot_be_opened() {
    let mut journal = Journal::new(Way::Add, &Facts::default());
    let found = answered_before(&mut journal, |journal| {
        journal.fixture.store.script("UPDATE credentials SET sealed = x'00'");
        journal.set_by_hand("planted-own-key").expect("set");
    });
    assert_eq!(found, State::Unkept);
}

/// Adds a credential with a key.
pub(super) fn add(journal: &mut Journal, name: &str, text: &str) -> Result<i64, StoreError> {
    let Fixture { store, keyring, .. } = &mut journal.fixture;
    let vault = Vault { keyring, origin: &origin };
    let standing = Standing::default();
    store.edit(NOW, |edit| edit.add_credential(&vault, name, "main", &key(text), &standing))
}

#[test]
fn no_credential_is_given_a_key_that_is_replaced_at_this_moment() {
    for step in [Step::Holding, Step::Minting, Step::Doubting] {
        let mut journal = Journal::new(Way::Replace, &Facts::default());
        assert!(journal.advance(&Course { new: None, ..at(Way::Replace, step) }));
        let refused = add(&mut journal, "twin", "planted-old-key").expect_err("it dies");
        assert!(refused.to_string().contains("\"acme\""), "{refused}");
        add(&mut journal, "another", "planted-own-key").expect("it stays");
        assert!(journal.advance(&at(Way::Replace, Step::Undone)));
        add(&mut journal, "twin", "planted-old-key").expect("it has ended");
    }
    let mut journal = Journal::new(Way::Replace, &Facts::default());
    add(&mut journal, "twin", "planted-old-key").expect("the survey will find it");
}

#[test]
fn what_is_of_no_upstream_that_there_is_begins_no_rotation() {
    let mut journal = Journal::new(Way::Add, &Facts::default());
    add(&mut journal, "other", "planted-other-key").expect("added");
    let Fixture { store, keyring, .. } = &mut journal.fixture;
    let vault = Vault { keyring, origin: &|_| None };
    let planned =
        store.edit(NOW, |edit| edit.plan_rotation(&vault, "other", Way::Add, &Facts::default()));
    let refused = planned.expect_err("nobody could work on it");
    assert!(refused.to_string().contains("\"main\""), "{refused}");
}
