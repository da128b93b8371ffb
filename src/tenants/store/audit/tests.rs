//! That every edit is written down with who did it, and that nothing of it can be changed unnoticed.

use super::{super::loss, *};
use crate::{
    audit::{chain::Place, verify::Broken},
    tenants::{
        fixture::{Fixture, NOW, keyring},
        record::TenantSettings,
    },
};

mod accept;
mod retention;

/// A store that somebody has edited: three events in one transaction.
impl Store {
    /// Every link that stands there after a number, vouched for or not, for tests.
    pub(crate) fn audit_links(&mut self, after: u64) -> Result<Vec<Link>, StoreError> {
        self.look_at(|moment| rows::links(moment, after, rows::PAGE))
    }
}

fn edited() -> Fixture {
    let mut fixture = empty();
    fixture.add("acme", "a key");
    fixture
}

fn empty() -> Fixture {
    let Fixture { folder, store, keyring } = Fixture::new();
    let store = store.audited(Actor::named(ActorKind::Operator, "joe"), &keyring);
    Fixture { folder, store, keyring }
}

/// A log of so many events, a second apart, each signed by itself.
fn log(links: i64) -> Fixture {
    let mut fixture = empty();
    let mut memory = Memory::default();
    for time in NOW..NOW + links {
        fixture.store.append_audit(&[seen(time, "purge")], &mut memory).expect("appended");
    }
    fixture
}

fn seen(time: i64, object: &str) -> (i64, Event) {
    let event = Event::new(Actor::unnamed(ActorKind::Server), Action::Purge, Decision::Done);
    (time, Event { object: Some(object.into()), ..event })
}

fn verified(fixture: &mut Fixture) -> Result<Verified, Broken> {
    fixture.store.verify_audit(&fixture.keyring, None, |_| {}).expect("read")
}

fn untrusted(fixture: &mut Fixture) -> Untrusted {
    match fixture.store.verify_audit(&fixture.keyring, None, |_| {}) {
        Err(StoreError::Untrusted(untrusted)) => untrusted,
        other => panic!("{other:?}"),
    }
}

fn events(store: &mut Store) -> Vec<Event> {
    let links = store.audit_links(0).expect("read");
    links.iter().map(|link| Event::from_json(&link.event).expect("an event")).collect()
}

fn objects(store: &mut Store) -> Vec<String> {
    let object = |event: Event| event.object.expect("an object").as_str().to_owned();
    events(store).into_iter().map(object).collect()
}

/// Puts other events in the place of the first ones, as whoever can write the store and has no key.
fn rewrite(fixture: &mut Fixture, count: usize) {
    let links = fixture.store.audit_links(0).expect("read");
    fixture.store.look(|session| {
        let mut tail = Tail::start(CHAIN);
        for link in &links[..count] {
            let (time, event) = seen(link.time, "nothing");
            let forged = tail.append(time, &event);
            let delete = sqlx::query("DELETE FROM audit WHERE sequence = $1");
            session.execute(delete.bind(i64::try_from(link.sequence).expect("few")))?;
            rows::insert_link(session, &forged)?;
            tail = Tail::of(&forged);
        }
        if count == links.len() { rows::set_tail(session, &tail) } else { Ok(()) }
    });
}

/// Takes back what was appended last, and every sign of it.
fn take_back(fixture: &mut Fixture, sequence: u64) {
    fixture.store.script(&format!(
        "DELETE FROM audit WHERE sequence > {sequence};
         DELETE FROM audit_heads WHERE sequence > {sequence};
         UPDATE audit_tail SET sequence = {sequence}, hash = coalesce(
             (SELECT hash FROM audit WHERE sequence = {sequence}), '')"
    ));
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
    let Verified { report, end, unvouched } = verified(&mut fixture).expect("whole");
    assert_eq!((report.first, report.last, report.signed_up_to), (1, 4, Some(4)));
    assert_eq!((report.heads_checked, end.sequence, unvouched), (2, 4, 0));
}

#[test]
fn an_edit_that_fails_leaves_no_trace() {
    let mut fixture = edited();
    let twice = |edit: &Edit<'_>| {
        edit.add_tenant("other", &TenantSettings::default())?;
        edit.add_tenant("acme", &TenantSettings::default())
    };
    fixture.store.edit(NOW, twice).expect_err("the name is taken");
    assert_eq!(verified(&mut fixture).expect("whole").report.last, 3);
}

#[test]
fn without_keys_nothing_is_written_down() {
    let mut fixture = Fixture::new();
    fixture.add("acme", "a key");
    let (mut memory, event) = (Memory::default(), seen(NOW, "purge"));
    fixture.store.append_audit(&[event], &mut memory).expect("passed over");
    assert_eq!(verified(&mut fixture).expect("whole").report.last, 0);
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
        (
            "INSERT INTO audit SELECT 0, time, event, previous, hash FROM audit WHERE sequence = 1",
            Broken::Outside { sequence: 0, links: 1 },
        ),
    ] {
        let mut fixture = edited();
        fixture.store.script(change);
        assert_eq!(verified(&mut fixture).expect_err(change), broken, "{change}");
    }
    for change in ["DELETE FROM audit_heads", "UPDATE audit_tail SET hash = previous FROM audit"] {
        let mut fixture = edited();
        fixture.store.script(change);
        assert_eq!(untrusted(&mut fixture), Untrusted::Unsigned(3), "{change}");
    }
}

#[test]
fn nothing_is_added_to_what_others_have_written() {
    let mut fixture = edited();
    rewrite(&mut fixture, 3);
    fixture.store.script("DELETE FROM audit_heads");
    let refused = fixture.try_add("other", "another key").expect_err("not signed");
    assert!(matches!(refused, StoreError::Untrusted(Untrusted::Unsigned(3))), "{refused:?}");
    assert_eq!(fixture.store.records().expect("read").tenants.len(), 1, "nothing was changed");
    let (mut memory, event) = (Memory::default(), seen(NOW, "purge"));
    let refused = fixture.store.append_audit(&[event], &mut memory).expect_err("not signed");
    assert!(matches!(refused, StoreError::Untrusted(Untrusted::Unsigned(3))), "{refused:?}");
    assert_eq!(untrusted(&mut fixture), Untrusted::Unsigned(3));
}

#[test]
fn a_command_with_another_master_key_changes_nothing() {
    let mut fixture = edited();
    let other = keyring("cd");
    let ann = Actor::named(ActorKind::Operator, "ann");
    let mut store = Store::open(&fixture.config()).expect("a store").audited(ann, &other);
    let add = |edit: &Edit<'_>| edit.add_tenant("other", &TenantSettings::default());
    let refused = store.edit(NOW, add).expect_err("another key");
    assert!(matches!(refused, StoreError::Untrusted(Untrusted::OtherKey(3))), "{refused:?}");
    let refused = store.verify_audit(&other, None, |_| {}).expect_err("another key");
    assert!(matches!(refused, StoreError::Untrusted(Untrusted::OtherKey(3))), "{refused:?}");
    assert_eq!(verified(&mut fixture).expect("whole").report.last, 3);
    // Signatures of old do not say whose they are.
    fixture.store.script("UPDATE audit_heads SET key_id = ''");
    let refused = store.edit(NOW, add).expect_err("another key");
    assert!(matches!(refused, StoreError::Untrusted(Untrusted::Unsigned(3))), "{refused:?}");
}

/// Nobody else can know that a later state was there.
#[test]
fn whoever_has_signed_an_end_remembers_it() {
    let mut fixture = edited();
    let mut memory = Memory::default();
    let append = |fixture: &mut Fixture, memory: &mut Memory| {
        fixture.store.append_audit(&[seen(NOW, "purge")], memory)
    };
    append(&mut fixture, &mut memory).expect("appended");
    take_back(&mut fixture, 3);
    for _ in 0..2 {
        let refused = append(&mut fixture, &mut memory).expect_err("it was there");
        assert!(matches!(refused, StoreError::Untrusted(Untrusted::Forgotten(4))), "{refused:?}");
    }
    append(&mut fixture, &mut Memory::default()).expect("appended");
    // Retention may take it.
    let mut memory = Memory::default();
    append(&mut fixture, &mut memory).expect("appended");
    append(&mut fixture, &mut Memory::default()).expect("appended");
    assert_eq!(fixture.store.prune_audit(NOW + 9, NOW + 9).expect("pruned").links, 5);
    append(&mut fixture, &mut memory).expect("appended");
}

#[test]
fn what_may_be_written_is_not_written_again() {
    let mut fixture = empty();
    let mut memory = Memory::default();
    let all = [seen(NOW, "one"), seen(NOW, "two"), seen(NOW, "three")];
    for count in 1..=2 {
        loss::of_the_next_reply();
        let lost = fixture.store.append_audit(&all[..count], &mut memory).expect_err("lost");
        assert!(matches!(lost, StoreError::Unsettled(_)), "{lost:?}");
        assert_eq!(objects(&mut fixture.store).len(), count);
    }
    fixture.store.append_audit(&all, &mut memory).expect("appended");
    assert_eq!(objects(&mut fixture.store), ["one", "two", "three"]);
    fixture.store.append_audit(&all[..1], &mut memory).expect("appended");
    assert_eq!(objects(&mut fixture.store), ["one", "two", "three", "one"]);
    assert!(verified(&mut fixture).is_ok());
}

#[test]
fn what_was_not_written_after_all_is_written() {
    let mut fixture = empty();
    let mut memory = Memory::default();
    let all = [seen(NOW, "one"), seen(NOW, "two"), seen(NOW, "three")];
    for (count, left) in [(1, 0), (1, 1), (2, 1), (3, 1)] {
        loss::of_the_next_reply();
        let lost = fixture.store.append_audit(&all[..count], &mut memory).expect_err("lost");
        assert!(matches!(lost, StoreError::Unsettled(_)), "{lost:?}");
        take_back(&mut fixture, left);
    }
    fixture.store.append_audit(&all, &mut memory).expect("appended");
    assert_eq!(objects(&mut fixture.store), ["one", "two", "three"]);
    assert!(verified(&mut fixture).is_ok());
}

#[test]
fn a_head_that_was_kept_elsewhere_shows_what_was_cut_off() {
    let mut fixture = log(5);
    let Verified { end: kept, .. } = verified(&mut fixture).expect("whole");
    let compared = |fixture: &mut Fixture, kept| {
        fixture.store.verify_audit(&fixture.keyring, Some(kept), |_| {}).expect("read")
    };
    assert!(compared(&mut fixture, kept).is_ok());
    let other = Place { hash: Tail::start("other").hash, ..kept };
    assert_eq!(compared(&mut fixture, other), Err(Broken::HeadMismatch(5)));
    take_back(&mut fixture, 3);
    assert!(verified(&mut fixture).is_ok(), "nothing here shows it");
    assert_eq!(compared(&mut fixture, kept), Err(Broken::CutOff { sequence: 4, head: 5 }));
    let old = Place { sequence: 1, ..kept };
    fixture.store.prune_audit(NOW + 1, NOW + 9).expect("pruned");
    assert_eq!(compared(&mut fixture, old), Err(Broken::Deleted(1)));
}

#[test]
fn to_verify_takes_nobodys_turn() {
    let mut fixture = edited();
    let mut other = Store::open(&fixture.config()).expect("a store");
    let keyring = &fixture.keyring;
    let begun = std::time::Instant::now();
    let look = |_: &Edit<'_>| other.verify_audit(keyring, None, |_| {});
    let verified = fixture.store.edit(NOW, look).expect("read");
    assert_eq!(verified.expect("whole").report.last, 3);
    assert!(begun.elapsed() < std::time::Duration::from_secs(2), "{:?}", begun.elapsed());
}
