//! Which keys a store is used with, and whose they are.

use super::*;
use crate::{
    audit::event::{Actor, ActorKind},
    auth::keyring::Mac,
    tenants::{
        fixture::{Fixture, NOW, SECRET, config, keyring, origin, secret},
        record::{Standing, TenantSettings, TokenTerms},
        store::NewToken,
    },
};

struct Case {
    fixture: Fixture,
    store: Store,
}

impl Case {
    /// A store that nobody has unlocked yet.
    fn new() -> Self {
        let fixture = Fixture::new();
        let store = Store::open(&config(&fixture.folder.path().join("other.db"))).expect("a store");
        Self { fixture, store }
    }

    fn unlock(&mut self, digits: &str) -> Result<Keyring, StoreError> {
        self.store.unlock(keyring(digits), NOW)
    }

    /// As it was done before stores kept keys.
    fn add_token(&mut self, keyring: &Keyring) -> Mac {
        let (mac, terms) = (keyring.mac(b"one"), TokenTerms::default());
        let vault = Vault { keyring, origin: &origin };
        let (tenant, credential, key_id) = ("acme", "acme", keyring.id());
        let new =
            NewToken { id: "1", tenant, credential, mac, key_id, terms: &terms, adopted: true };
        let added = self.store.edit::<_, StoreError>(NOW, |edit| {
            edit.add_tenant("acme", &TenantSettings::default())?;
            let standing = Standing::default();
            edit.add_credential(&vault, "acme", "main", &secret(SECRET), &standing)?;
            edit.add_token(&new)
        });
        added.expect("added");
        mac
    }
}

#[test]
fn a_new_store_has_keys_that_no_master_key_gives() {
    let mut case = Case::new();
    let one = case.unlock("ab").expect("unlocked");
    assert_ne!(one.id(), keyring("ab").id());
    assert_ne!(one.audit_seed(), keyring("ab").audit_seed());
    let again = case.unlock("ab").expect("unlocked");
    assert_eq!((one.id(), one.audit_seed()), (again.id(), again.audit_seed()));
    assert_eq!(one.mac(b"token"), again.mac(b"token"));
    assert_ne!(one.id(), case.fixture.keyring.id(), "another store has others");
}

#[test]
fn a_store_from_before_keeps_the_keys_that_it_was_used_with() {
    let mut case = Case::new();
    let mac = case.add_token(&keyring("ab"));
    let other = case.unlock("cd").expect_err("another master key").to_string();
    assert!(other.contains("another master key"), "{other}");
    let unlocked = case.unlock("ab").expect("unlocked");
    assert_eq!((unlocked.id(), unlocked.mac(b"one")), (keyring("ab").id(), mac));
    assert_eq!(unlocked.audit_seed(), keyring("ab").audit_seed());
}

#[test]
fn a_signed_audit_log_keeps_its_key_even_when_nothing_else_is_left() {
    let mut case = Case::new();
    let Case { fixture, store } = case;
    let mut store = store.audited(Actor::unnamed(ActorKind::Server), &keyring("ab"));
    store.edit(NOW, |edit| edit.add_tenant("acme", &TenantSettings::default())).expect("added");
    case = Case { fixture, store };
    let unlocked = case.unlock("ab").expect("unlocked");
    let verified = case.store.verify_audit(&unlocked, None, |_| {}).expect("read");
    assert_eq!(verified.expect("whole").report.signed_up_to, Some(1));
}

/// What a store says to a master key with which it was not used last.
fn refused(case: &mut Case, digits: &str) -> String {
    let refused = case.unlock(digits).expect_err("a master key that nothing is of");
    assert!(matches!(refused, StoreError::Locked { .. }), "{refused:?}");
    assert_eq!(case.store.key_uses().expect("read"), [], "none is kept");
    refused.to_string()
}

#[test]
fn a_master_key_that_has_not_signed_the_log_is_not_its_key() {
    let mut case = Case::new();
    let Case { fixture, store } = case;
    let mut store = store.audited(Actor::unnamed(ActorKind::Server), &keyring("ab"));
    store.edit(NOW, |edit| edit.add_tenant("acme", &TenantSettings::default())).expect("added");
    case = Case { fixture, store };
    let other = refused(&mut case, "cd");
    assert!(other.contains("the audit log was signed last with another master key"), "{other}");
    assert_eq!(case.unlock("ab").expect("unlocked").id(), keyring("ab").id());
}

#[test]
fn of_two_keys_that_were_used_the_later_is_taken() {
    let old = |case: &mut Case| {
        case.add_token(&keyring("ab"));
        // As it was sealed anew after the master key was changed, before there were data keys.
        let id = keyring("cd").id().as_str().to_owned();
        case.store
            .script(&format!("UPDATE credentials SET key_id = '{id}'; DELETE FROM data_keys"));
    };
    let mut case = Case::new();
    old(&mut case);
    let other = refused(&mut case, "ab");
    assert!(other.contains(keyring("cd").id().as_str()), "{other}");
    assert_eq!(case.unlock("cd").expect("unlocked").id(), keyring("cd").id());

    // Who has signed last is asked first.
    let mut case = Case::new();
    old(&mut case);
    let Case { fixture, store } = case;
    let mut store = store.audited(Actor::unnamed(ActorKind::Server), &keyring("ab"));
    store.edit(NOW, |edit| edit.add_tenant("more", &TenantSettings::default())).expect("added");
    case = Case { fixture, store };
    let other = refused(&mut case, "cd");
    assert!(other.contains("another master key"), "{other}");
    assert_eq!(case.unlock("ab").expect("unlocked").id(), keyring("ab").id());
}

#[test]
fn another_master_key_takes_the_place_of_the_first_and_nothing_is_lost() {
    let mut case = Case::new();
    let first = case.unlock("ab").expect("unlocked");
    let mac = case.add_token(&first);
    let rewrapped =
        case.store.edit::<_, StoreError>(NOW, |edit| edit.rewrap(&first, &keyring("cd")));
    assert_eq!(rewrapped.expect("rewrapped"), 3);
    let refused = case.unlock("ab").expect_err("the old master key");
    assert!(matches!(refused, StoreError::Locked { why: UnwrapError::OtherMaster(_), .. }));
    let second = case.unlock("cd").expect("unlocked");
    assert_eq!((second.mac(b"one"), second.audit_seed()), (mac, first.audit_seed()));
    let records = case.store.records().expect("read");
    let vault = Vault { keyring: &second, origin: &origin };
    assert_eq!(vault.open(&records.credentials[0]).expect("opened"), secret(SECRET));
    assert_eq!(records.tokens[0].key_id, second.id().as_str());
}

#[test]
fn a_rewrap_with_the_wrong_key_changes_nothing() {
    let mut case = Case::new();
    let first = case.unlock("ab").expect("unlocked");
    case.add_token(&first);
    let before = case.store.key_uses().expect("read");
    let stranger = keyring("ef");
    let refused =
        case.store.edit::<_, StoreError>(NOW, |edit| edit.rewrap(&stranger, &keyring("cd")));
    assert!(matches!(refused, Err(StoreError::Locked { .. })), "{refused:?}");
    assert_eq!(case.store.key_uses().expect("read"), before);
}

#[test]
fn keys_are_listed_with_what_uses_them_and_never_shown() {
    let mut case = Case::new();
    let keyring = case.unlock("ab").expect("unlocked");
    case.add_token(&keyring);
    let uses = case.store.key_uses().expect("read");
    let shown: Vec<_> = uses.iter().map(|key| (key.purpose, key.used_by, key.retired)).collect();
    let expected = [
        (Purpose::Audit, None, None),
        (Purpose::Tokens, Some(1), None),
        (Purpose::Vault, Some(1), None),
    ];
    assert_eq!(shown, expected);
    assert!(uses.iter().all(|key| key.wrapped_by == keyring.master_id().as_str()));
    assert_eq!(uses[1].id, keyring.id().as_str());
}

#[test]
fn a_changed_row_of_a_key_is_an_error_that_names_it() {
    let mut case = Case::new();
    case.unlock("ab").expect("unlocked");
    case.store.script(
        "UPDATE data_keys SET wrapped =
             (SELECT wrapped FROM data_keys WHERE purpose = 'audit') WHERE purpose = 'tokens'",
    );
    let refused = case.unlock("ab").expect_err("changed").to_string();
    assert!(refused.contains("its row was changed"), "{refused}");
}
