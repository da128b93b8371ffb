//! That every edit is written down with who did it, and that nothing of it can be changed unnoticed.

use super::*;
use crate::tenants::{
    fixture::{Fixture, NOW, keyring},
    record::TenantSettings,
    store::Store,
};

/// A store that somebody has edited: three events in two transactions.
fn edited() -> Fixture {
    let Fixture { folder, store, keyring } = Fixture::new();
    let store = store.audited(Actor::named(ActorKind::Operator, "joe"), &keyring);
    let mut fixture = Fixture { folder, store, keyring };
    fixture.add("acme", "a key");
    fixture
}

fn verified(fixture: &mut Fixture) -> Result<Report, Broken> {
    fixture.store.verify_audit(&fixture.keyring, |_| {}).expect("read")
}

fn events(store: &mut Store) -> Vec<Event> {
    let links = store.audit_links(0).expect("read");
    links.iter().map(|link| Event::from_json(&link.event).expect("an event")).collect()
}

#[test]
fn every_edit_is_written_down_with_who_did_it() {
    let mut fixture = edited();
    let rotated = |edit: &Edit<'_>| edit.set_tenant("acme", &TenantSettings::default());
    fixture.store.edit(NOW + 1, rotated).expect("changed");
    let events = events(&mut fixture.store);
    let actions: Vec<Action> = events.iter().map(|event| event.action).collect();
    use Action::{CredentialAdd, TenantAdd, TenantSet, TokenCreate};
    assert_eq!(actions, [TenantAdd, CredentialAdd, TokenCreate, TenantSet]);
    let joe = Actor::named(ActorKind::Operator, "joe");
    assert!(events.iter().all(|event| event.actor == joe && event.decision == Decision::Done));
    assert_eq!(events[0].object, Some("acme".into()));
    let report = verified(&mut fixture).expect("whole");
    assert_eq!((report.first, report.last, report.signed_up_to), (1, 4, Some(4)));
    assert_eq!(report.heads_checked, 2);
}

#[test]
fn an_edit_that_fails_leaves_no_trace() {
    let mut fixture = edited();
    let twice = |edit: &Edit<'_>| {
        edit.add_tenant("other", &TenantSettings::default())?;
        edit.add_tenant("acme", &TenantSettings::default())
    };
    fixture.store.edit(NOW, twice).expect_err("the name is taken");
    assert_eq!(verified(&mut fixture).expect("whole").last, 3);
}

#[test]
fn whoever_changes_the_tables_is_found_out() {
    for (change, broken) in [
        ("UPDATE audit SET time = time - 1 WHERE sequence = 2", Broken::Altered(2)),
        (
            "UPDATE audit SET event = replace(event, 'joe', 'ann') WHERE sequence = 1",
            Broken::Altered(1),
        ),
        ("DELETE FROM audit WHERE sequence = 2", Broken::Missing(2)),
        ("DELETE FROM audit WHERE sequence > 2", Broken::CutOff { sequence: 3, head: 3 }),
        ("UPDATE audit_heads SET time = time + 1", Broken::HeadForged(3)),
        ("DELETE FROM audit WHERE sequence = 1", Broken::Detached { sequence: 1, found: 2 }),
    ] {
        let mut fixture = edited();
        fixture.store.script(change);
        assert_eq!(verified(&mut fixture).expect_err(change), broken, "{change}");
    }
    let mut fixture = edited();
    fixture.keyring = keyring("cd");
    assert_eq!(verified(&mut fixture).expect_err("another key"), Broken::HeadForged(3));
}

#[test]
fn what_is_old_is_deleted_and_the_rest_is_still_bound() {
    let mut fixture = edited();
    for later in 1..5 {
        let set = |edit: &Edit<'_>| edit.set_tenant("acme", &TenantSettings::default());
        fixture.store.edit(NOW + later, set).expect("changed");
    }
    assert_eq!(fixture.store.prune_audit(NOW, NOW).expect("nothing is old").links, 0);
    assert_eq!(fixture.store.prune_audit(NOW + 2, NOW + 9).expect("pruned").links, 4);
    let report = verified(&mut fixture).expect("whole");
    assert_eq!((report.first, report.last, report.signed_up_to), (5, 7, Some(7)));
    // Whatever its age, the last one stays.
    assert_eq!(fixture.store.prune_audit(NOW + 99, NOW + 99).expect("pruned").links, 2);
    assert_eq!(verified(&mut fixture).expect("whole").first, 7);
    fixture.store.script("DELETE FROM audit_heads WHERE kind = 'checkpoint'");
    assert!(matches!(verified(&mut fixture), Err(Broken::Detached { sequence: 1, found: 7 })));
}

#[test]
fn what_is_broken_is_not_deleted() {
    let mut fixture = edited();
    fixture.store.script("UPDATE audit SET time = 1 WHERE sequence = 1");
    let refused = fixture.store.prune_audit(NOW + 9, NOW + 9).expect_err("broken");
    assert!(matches!(refused, PruneError::Broken(Broken::Altered(1))), "{refused}");
    assert_eq!(fixture.store.audit_links(0).expect("read").len(), 3);
}
