//! What can be rotated, and what comes of it.

use super::*;
use crate::{
    auth::scopes::{Permission, PermissionSet},
    tenants::{
        fixture::{Fixture, NOW},
        record::TokenTerms,
        store::NewToken,
    },
};

fn rotate(
    fixture: &mut Fixture,
    now: i64,
    old: &str,
    new: &str,
    expires: Option<i64>,
) -> Result<Succession, StoreError> {
    let Fixture { store, keyring, .. } = fixture;
    let (mac, key_id) = (keyring.mac(new.as_bytes()), keyring.id());
    let successor = Successor { id: new, mac, key_id, expires };
    store.edit(now, |edit| edit.rotate_token(old, &successor, now + 60))
}

fn create(fixture: &mut Fixture, id: &str, terms: &TokenTerms) -> Result<(), StoreError> {
    let Fixture { store, keyring, .. } = fixture;
    let (mac, key_id) = (keyring.mac(id.as_bytes()), keyring.id());
    let (tenant, credential) = ("acme", "acme");
    let new = NewToken { id, tenant, credential, mac, key_id, terms, adopted: false };
    store.edit(NOW, |edit| edit.add_token(&new))
}

#[test]
fn a_token_is_replaced_once_and_says_by_what() {
    let mut fixture = Fixture::new();
    let first = fixture.add("acme", "a key");
    let Succession { replaced, successor } =
        rotate(&mut fixture, NOW, &first, "second", None).expect("rotated");
    assert_eq!((replaced.terms.expires, successor.terms.expires), (Some(NOW + 60), None));
    assert_eq!(replaced.replaced_by.as_deref(), Some("second"));
    let refused = |fixture: &mut Fixture, now| {
        let refused = rotate(fixture, now, &first, "other", None).expect_err("replaced");
        let StoreError::Replaced { id, by } = refused else { panic!("{refused:?}") };
        assert_eq!(id, first);
        by
    };
    assert_eq!(refused(&mut fixture, NOW), "second");
    let third = rotate(&mut fixture, NOW, "second", "third", None).expect("rotated").successor;
    assert_eq!((third.terms.expires, third.replaced_by), (None, None));
    // The one to go on with, also when the first has ended.
    assert_eq!(refused(&mut fixture, NOW + 60), "third");
    assert_eq!(fixture.store.records().expect("read").tokens.len(), 3);
}

#[test]
fn what_was_replaced_gets_no_other_terms() {
    let mut fixture = Fixture::new();
    let first = fixture.add("acme", "a key");
    rotate(&mut fixture, NOW, &first, "second", None).expect("rotated");
    let terms = TokenTerms { expires: Some(NOW + 1000), ..TokenTerms::default() };
    let mut set =
        |id: &str| fixture.store.edit(NOW, |edit| edit.set_terms(id, "acme", &terms)).map(drop);
    assert!(matches!(set(&first), Err(StoreError::Replaced { .. })));
    set("second").expect("it is the one in force");
}

#[test]
fn a_token_that_is_dead_already_is_not_made() {
    let mut fixture = Fixture::new();
    let first = fixture.add("acme", "a key");
    for end in [1, NOW] {
        let terms = TokenTerms { expires: Some(end), ..TokenTerms::default() };
        let made = create(&mut fixture, "dead", &terms);
        assert!(matches!(made, Err(StoreError::NeverGood)), "{end}: {made:?}");
        let rotated = rotate(&mut fixture, NOW, &first, "dead", Some(end));
        assert!(matches!(rotated, Err(StoreError::NeverGood)), "{end}: {rotated:?}");
    }
    let later = TokenTerms { not_before: Some(NOW + 100), ..TokenTerms::default() };
    create(&mut fixture, "later", &later).expect("it will be good");
    let rotated = rotate(&mut fixture, NOW, "later", "dead", Some(NOW + 100));
    assert!(matches!(rotated, Err(StoreError::NeverGood)), "{rotated:?}");
    let tokens = fixture.store.records().expect("read").tokens;
    let untouched = tokens.iter().all(|t| t.terms.expires.is_none() && t.replaced_by.is_none());
    assert!(untouched && tokens.len() == 2, "{tokens:?}");
}

#[test]
fn a_successor_has_the_rights_of_the_moment_and_no_more_later() {
    let mut fixture = Fixture::new();
    let first = fixture.add("acme", "a key");
    rotate(&mut fixture, NOW, &first, "second", None).expect("rotated");
    let more = PermissionSet::from_iter([Permission::ReadSecrets]);
    fixture.store.edit(NOW, |edit| edit.set_permissions(&first, more)).expect("set");
    let second = fixture.store.view(NOW, |view| view.require_token("second")).expect("there");
    assert_eq!(second.terms.permissions, PermissionSet::default());
}

#[test]
fn what_took_its_place_is_named_even_when_it_is_gone() {
    let mut fixture = Fixture::new();
    let first = fixture.add("acme", "a key");
    fixture.add("other", "another key");
    rotate(&mut fixture, NOW, &first, "second", None).expect("rotated");
    fixture
        .store
        .edit::<_, StoreError>(NOW, |edit| {
            edit.set_terms("second", "other", &TokenTerms::default())?;
            edit.revoke_token("second")?;
            let others = edit.tokens(Some("other"), 0, 10)?;
            edit.revoke_token(&others[0].token.id)?;
            edit.remove_credential("other")
        })
        .expect("removed");
    let refused = rotate(&mut fixture, NOW, &first, "third", None).expect_err("replaced");
    assert!(refused.to_string().contains("rotate second, which"), "{refused}");
}
