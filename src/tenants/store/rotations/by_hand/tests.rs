//! What an operator sets or removes at each step, and what the panel may still do.

use super::{
    super::{
        Lease,
        tests::{Journal, LEASE, add, at, key},
    },
    *,
};
use crate::tenants::{
    course::{Course, Facts, Way},
    fixture::{Fixture, NOW},
    store::Store,
};

#[test]
fn a_credential_goes_with_a_rotation_that_has_asked_for_nothing() {
    let asked = Facts { asked: true, ..Facts::default() };
    for (step, facts, goes) in [
        (Step::Planned, Facts::default(), true),
        (Step::Planned, asked, false),
        (Step::Minting, Facts::default(), false),
        (Step::Undoing, Facts::default(), false),
    ] {
        let mut journal = Journal::new(Way::Add, &facts);
        let course = Course { facts, new: None, ..at(Way::Add, step) };
        assert!(journal.advance(&course));
        let removed = journal.fixture.store.edit(NOW, |edit| edit.remove_credential("acme"));
        assert_eq!(removed.is_ok(), goes, "{course:?}: {removed:?}");
        // Whoever works on it finds that it is no longer his.
        assert_eq!(journal.advance(&Course { step: Step::Minting, ..course }), !goes);
    }
}

#[test]
fn a_rotation_of_an_upstream_that_has_moved_ends_with_a_secret_that_is_set_by_hand() {
    for (way, step, note) in [
        (Way::Add, Step::Undoing, Note::NewLeft),
        (Way::Add, Step::Probed, Note::NewLeft),
        (Way::Add, Step::Doubting, Note::NotSeen),
        (Way::Replace, Step::Holding, Note::Overtaken),
        (Way::Replace, Step::Minting, Note::Overtaken),
        (Way::Replace, Step::Probed, Note::Overtaken),
    ] {
        let mut journal = Journal::new(way, &Facts::default());
        assert!(journal.advance(&at(way, step)));
        let row = journal.row;
        let Fixture { store, keyring, .. } = &mut journal.fixture;
        let elsewhere = |_: &str| Some("https://other.example.com:443".to_owned());
        let vault = Vault { keyring, origin: &elsewhere };
        let own = key("planted-own-key");
        let set = |store: &mut Store| {
            store.edit(NOW, |edit| edit.rotate_credential(&vault, "acme", &own))
        };
        let lease = |store: &mut Store, until| {
            let lease = Lease { until, ..LEASE };
            assert!(store.renew_rotation(row, lease).expect("written"), "it is ours");
        };
        // Somebody works on it, where the upstream was.
        lease(store, NOW * 1000 + 1);
        if way == Way::Replace {
            set(store).expect_err("it might be what dies");
        } else {
            assert_eq!(set(store).expect("set"), 2);
            assert_eq!(store.open_rotation("acme").expect("read"), Some(row), "it goes on");
        }
        lease(store, NOW * 1000);
        let generation = if way == Way::Replace { 2 } else { 3 };
        assert_eq!(set(store).expect("set"), generation);
        let RotationRecord { course, ended, .. } = journal.record();
        assert_eq!((course.step, course.note), (Step::Undone, Some(note)), "{way:?} {step:?}");
        assert_eq!(ended, Some(NOW), "nobody could work on it");
    }
}

#[test]
fn a_key_that_the_panel_may_be_removing_still_is_no_credentials() {
    let mut journal = Journal::new(Way::Add, &Facts::default());
    assert!(journal.advance(&Course { new: None, ..at(Way::Add, Step::Removing) }));
    journal.set_by_hand("planted-own-key").expect("an operator's way out");
    assert_eq!(journal.record().ended, Some(NOW));
    journal.set_by_hand("planted-old-key").expect_err("it may be removed at this moment");
    add(&mut journal, "twin", "planted-old-key").expect_err("whoever has it then");
    journal.fixture.store.script("UPDATE rotations SET ended = ended - 600");
    add(&mut journal, "twin", "planted-old-key").expect("it was left where it is");
}

#[test]
fn a_key_that_may_be_replaced_late_is_not_set_by_hand() {
    let asked = Facts { asked: true, ..Facts::default() };
    for (step, facts) in [(Step::Doubting, Facts::default()), (Step::Planned, asked)] {
        let mut journal = Journal::new(Way::Replace, &facts);
        assert!(journal.advance(&Course { facts, new: None, ..at(Way::Replace, step) }));
        journal.set_by_hand("planted-old-key").expect_err("it may die at any moment");
        journal.set_by_hand("planted-own-key").expect("an operator's way out");
    }
}

#[test]
fn an_old_key_that_nobody_wants_removed_may_be_set_again() {
    let keeps = Facts { keeps_old: true, ..Facts::default() };
    let mut journal = Journal::new(Way::Add, &keeps);
    let done = Course { facts: keeps, new: None, ..at(Way::Add, Step::Done) };
    assert!(journal.advance(&done));
    assert!(journal.record().course.leaves_old(), "it is hidden");
    assert_eq!(journal.set_by_hand("planted-old-key").expect("it works"), 2);
}
