//! That an operator can let a log begin anew, whatever was done to it, and that this shows.

use super::*;

/// Accepts it as it is, and returns up to where.
fn accept(fixture: &mut Fixture) -> u64 {
    let accepted = fixture.store.accept_audit(&fixture.keyring, NOW + 5).expect("done");
    accepted.expect("something was wrong").up_to
}

#[test]
fn a_log_that_is_whole_is_left_alone() {
    let mut fixture = edited();
    let accepted = fixture.store.accept_audit(&fixture.keyring, NOW + 5).expect("done");
    assert_eq!(accepted, None);
    assert_eq!(verified(&mut fixture).expect("whole").report.last, 3);
}

#[test]
fn whatever_was_done_to_it_can_be_accepted() {
    for change in [
        "DELETE FROM audit_heads",
        "DELETE FROM audit_tail",
        "UPDATE audit_tail SET sequence = 0",
        "UPDATE audit_tail SET hash = 'nothing'",
        "UPDATE audit SET hash = 'nothing' WHERE sequence = 3",
        "UPDATE audit SET event = 'nothing' WHERE sequence = 2",
        "DELETE FROM audit WHERE sequence = 3",
        "DELETE FROM audit",
        "UPDATE audit_heads SET key_id = 'another', time = 1",
        "UPDATE audit_heads SET kind = 'checkpoint'",
    ] {
        let mut fixture = edited();
        fixture.store.script(change);
        let held = fixture.store.audit_links(0).map_or(3, |links| links.len() as u64);
        assert_eq!(accept(&mut fixture), 3, "{change}");
        fixture.add("other", "another key");
        let Verified { report, unvouched, .. } = verified(&mut fixture).expect(change);
        assert_eq!((report.first, report.last, unvouched), (4, 7, held), "{change}");
        assert_eq!(fixture.store.accept_audit(&fixture.keyring, NOW).expect("done"), None);
        let links = fixture.store.audit_links(3).expect("read");
        let event = Event::from_json(&links[0].event).expect("an event");
        assert_eq!(
            (event.action, event.object),
            (Action::AuditAccept, Some("events up to 3".into()))
        );
        assert_eq!(event.actor, Actor::named(ActorKind::Operator, "joe"));
        assert!(event.reason.is_some(), "{change}");
    }
}

#[test]
fn a_server_that_runs_goes_on_behind_it() {
    let mut fixture = edited();
    let (mut memory, event) = (Memory::default(), seen(NOW, "purge"));
    fixture.store.append_audit(std::slice::from_ref(&event), &mut memory).expect("appended");
    fixture.store.script("DELETE FROM audit_heads");
    let refused = fixture.store.append_audit(std::slice::from_ref(&event), &mut memory);
    assert!(matches!(refused, Err(StoreError::Untrusted(_))), "{refused:?}");
    accept(&mut fixture);
    fixture.store.append_audit(&[event], &mut memory).expect("appended");
    assert_eq!(verified(&mut fixture).expect("whole").report.last, 6);
}

/// What was accepted goes with what is old; only whoever has the key makes a beginning.
#[test]
fn what_was_accepted_goes_by_retention_and_nothing_else_is_excused() {
    let mut fixture = log(5);
    fixture.store.script("DELETE FROM audit_heads");
    accept(&mut fixture);
    fixture.add("other", "another key");
    assert_eq!(fixture.store.prune_audit(NOW + 99, NOW + 99).expect("pruned").links, 3);
    let Verified { report, unvouched, .. } = verified(&mut fixture).expect("whole");
    assert_eq!((report.first, report.last, unvouched), (9, 9, 0));
    fixture.store.script(
        "INSERT INTO audit SELECT 2, time, event, previous, hash FROM audit WHERE sequence = 9",
    );
    assert_eq!(verified(&mut fixture), Err(Broken::Outside { sequence: 8, links: 1 }));
}
