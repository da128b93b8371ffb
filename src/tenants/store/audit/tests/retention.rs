//! That retention deletes what is old in parts, and nothing that it has not found whole.

use super::*;

#[test]
fn what_is_old_is_deleted_and_the_rest_is_still_bound() {
    let mut fixture = edited();
    for later in 1..5 {
        let set = |edit: &Edit<'_>| edit.set_tenant("acme", &TenantSettings::default());
        fixture.store.edit(NOW + later, set).expect("changed");
    }
    assert_eq!(fixture.store.prune_audit(NOW, NOW).expect("nothing is old").links, 0);
    let pruned = Pruned { links: 4, more: false };
    assert_eq!(fixture.store.prune_audit(NOW + 2, NOW + 9).expect("pruned"), pruned);
    let report = verified(&mut fixture).expect("whole").report;
    assert_eq!((report.first, report.last, report.signed_up_to), (5, 7, Some(7)));
    // Whatever its age, the last one stays.
    assert_eq!(fixture.store.prune_audit(NOW + 99, NOW + 99).expect("pruned").links, 2);
    assert_eq!(verified(&mut fixture).expect("whole").report.first, 7);
    fixture.store.script("DELETE FROM audit_heads WHERE kind = 'checkpoint'");
    assert!(matches!(verified(&mut fixture), Err(Broken::Detached { sequence: 1, found: 7 })));
}

#[test]
fn it_goes_in_parts_and_each_is_signed() {
    let at_once = prune::AT_ONCE;
    let mut fixture = empty();
    let events = vec![seen(NOW, "purge"); 2 * at_once + 1];
    fixture.store.append_audit(&events, &mut Memory::default()).expect("appended");
    for (part, more) in [(1, true), (2, true)] {
        let pruned = fixture.store.prune_audit(NOW + 9, NOW + 9).expect("pruned");
        assert_eq!(pruned, Pruned { links: at_once as u64, more });
        let report = verified(&mut fixture).expect("whole").report;
        assert_eq!(report.first, part * at_once as u64 + 1);
    }
    let pruned = fixture.store.prune_audit(NOW + 9, NOW + 9).expect("pruned");
    assert_eq!(pruned, Pruned::default());
}

/// All pages are of one moment, and so are links and heads.
#[test]
fn a_log_that_is_pruned_while_it_is_followed_is_whole() {
    let mut fixture = empty();
    let events = vec![seen(NOW, "purge"); 2 * prune::AT_ONCE + 100];
    fixture.store.append_audit(&events, &mut Memory::default()).expect("appended");
    let mut other = Store::open(&fixture.config()).expect("a store");
    let report = other.verify_audit(&fixture.keyring, None, |link| {
        if link.sequence == 1 {
            while fixture.store.prune_audit(NOW + 9, NOW + 9).expect("pruned").more {}
        }
    });
    let report = report.expect("read").expect("whole").report;
    assert_eq!(report.links, events.len() as u64);
    assert_eq!(verified(&mut fixture).expect("whole").report.links, 1);
}

#[test]
fn what_is_broken_is_not_deleted() {
    type Tampering = fn(&mut Fixture);
    let cases: [(&str, Tampering, Broken); 4] = [
        (
            "a link that goes",
            |fixture| fixture.store.script("UPDATE audit SET time = 1 WHERE sequence = 1"),
            Broken::Altered(1),
        ),
        (
            "links that go, without their heads",
            |fixture| {
                rewrite(fixture, 3);
                fixture.store.script("DELETE FROM audit_heads WHERE sequence <= 3");
            },
            Broken::Unchained(4),
        ),
        ("links that go", |fixture| rewrite(fixture, 3), Broken::HeadMismatch(1)),
        (
            "a head of what goes",
            |fixture| fixture.store.script("UPDATE audit_heads SET time = 1 WHERE sequence = 2"),
            Broken::HeadForged(2),
        ),
    ];
    for (name, tamper, broken) in cases {
        let mut fixture = log(6);
        tamper(&mut fixture);
        let refused = fixture.store.prune_audit(NOW + 3, NOW + 9).expect_err(name);
        assert!(matches!(refused, PruneError::Broken(found) if found == broken), "{refused:?}");
        assert_eq!(fixture.store.audit_links(0).expect("read").len(), 6, "{name}");
    }
}
