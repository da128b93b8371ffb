//! Who gets a rotation to work on, and who waits.

use super::{
    super::tests::{Journal, LEASE, add, at, key},
    *,
};
use crate::tenants::{
    course::{Course, Facts},
    fixture::{Fixture, NOW, origin},
    record::Standing,
    secret::Vault,
};

#[test]
fn who_has_a_lease_does_not_get_it_twice() {
    let mut journal = Journal::new(Way::Add, &Facts::default());
    let (row, now) = (journal.row, 0);
    let claim = |journal: &mut Journal, now| {
        let claimed = journal.fixture.store.edit(NOW, |edit| edit.claim_rotation(row, LEASE, now));
        claimed.expect("asked").is_some()
    };
    assert!(!claim(&mut journal, now), "two of one process would ask for a key each");
    assert!(claim(&mut journal, i64::MAX), "it is over");
}

#[test]
fn who_cannot_take_a_rotation_up_takes_no_lease() {
    let mut journal = Journal::new(Way::Add, &Facts::default());
    let row = journal.row;
    let store = &mut journal.fixture.store;
    store.edit(NOW, |edit| edit.release_rotation(row, LEASE.holder)).expect("let go");
    let revision = store.revision().expect("read");
    let looks = std::cell::Cell::new(0);
    let mut claim = |opens_for: i32| {
        looks.set(0);
        store.claim_rotation(row, LEASE, 0, |record| {
            looks.set(looks.get() + 1);
            let refused = RotationRefusal::NotAKey(record.name.clone());
            (looks.get() <= opens_for).then_some(record).ok_or(StoreError::from(refused))
        })
    };
    claim(0).expect_err("it opens for nobody");
    assert_eq!(looks.get(), 1, "nobody's turn to write was taken");
    claim(1).expect_err("it was changed in between");
    assert!(claim(2).expect("asked").is_some(), "nobody has it");
    assert!(claim(2).expect("asked").is_none(), "somebody has it");
    assert_eq!(journal.fixture.store.revision().expect("read"), revision + 1);
}

#[test]
fn a_rotation_of_the_same_holder_is_in_the_way_as_any_other() {
    let mut journal = Journal::new(Way::Add, &Facts::default());
    let Fixture { store, keyring, .. } = &mut journal.fixture;
    let vault = Vault { keyring, origin: &origin };
    let claimed = store.edit::<_, StoreError>(NOW, |edit| {
        let standing = Standing::default();
        edit.add_credential(&vault, "other", "main", &key("planted-other-key"), &standing)?;
        let row = edit.plan_rotation(&vault, "other", Way::Add, &Facts::default())?;
        edit.claim_rotation(row, LEASE, 0)
    });
    assert_eq!(claimed.expect("asked"), None, "nobody could say whose key is whose");
}

#[test]
fn a_replacement_is_in_no_added_keys_way() {
    for (way, waits) in [(Way::Add, true), (Way::Replace, false)] {
        for step in [Step::Planned, Step::Minting, Step::Doubting] {
            let mut journal = Journal::new(way, &Facts::default());
            assert!(journal.advance(&Course { new: None, ..at(way, step) }));
            add(&mut journal, "other", "planted-other-key").expect("added");
            let Fixture { store, keyring, .. } = &mut journal.fixture;
            let vault = Vault { keyring, origin: &origin };
            let claimed = store.edit::<_, StoreError>(NOW, |edit| {
                let row = edit.plan_rotation(&vault, "other", Way::Add, &Facts::default())?;
                edit.claim_rotation(row, LEASE, 0)
            });
            assert_eq!(claimed.expect("asked").is_none(), waits, "{way:?} {step:?}");
        }
    }
}

#[test]
fn a_replacement_waits_for_no_added_key() {
    let asked = Facts { asked: true, ..Facts::default() };
    let mut journal = Journal::new(Way::Replace, &asked);
    assert!(journal.advance(&Course {
        facts: asked,
        new: None,
        ..at(Way::Replace, Step::Planned)
    }));
    assert!(journal.record().course.holds(), "requests wait for it");
    add(&mut journal, "other", "planted-other-key").expect("added");
    let row = journal.row;
    let Fixture { store, keyring, .. } = &mut journal.fixture;
    let vault = Vault { keyring, origin: &origin };
    let claimed = store.edit::<_, StoreError>(NOW, |edit| {
        edit.plan_rotation(&vault, "other", Way::Add, &Facts::default())?;
        edit.release_rotation(row, LEASE.holder)
    });
    claimed.expect("planned");
    store.script("UPDATE rotations SET step = 'doubting' WHERE way = 'add'");
    let claimed = store.claim_rotation(row, LEASE, 0, Ok).expect("asked");
    assert!(claimed.is_some(), "it adds nothing to a list");
}
