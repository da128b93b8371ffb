//! Lists in parts, and what is told of answers.

use super::*;
use crate::tenants::{
    course::{Facts, Way},
    fixture::{Fixture, NOW, origin},
    record::{SecretKind, Standing},
    secret::UpstreamSecret,
    store::pending::NewPending,
};

#[test]
fn a_list_in_parts_is_the_list() {
    let mut fixture = Fixture::new();
    for n in 0..7 {
        fixture.add(&format!("t{n}"), &format!("key {n}"));
    }
    fixture
        .store
        .view::<_, OperationError>(NOW, |view| {
            for limit in [1, 2, 3, 6, 7, 8] {
                let parts = |list: &dyn Fn(&Page) -> Vec<String>| {
                    let mut page = Page { limit, cursor: None };
                    let mut names = Vec::new();
                    loop {
                        let mut part = list(&page);
                        let next = part.pop().expect("the cursor");
                        assert!(part.len() <= usize::from(limit) && !part.is_empty());
                        names.extend(part);
                        if next.is_empty() {
                            return names;
                        }
                        page.cursor = Some(Cursor::parse(&next).expect("ours"));
                    }
                };
                let tenants = parts(&|page| {
                    let Listed { items, next } = tenants::list(view, page).expect("a part");
                    let names = items.into_iter().map(|tenant| tenant.name);
                    names.chain([next.unwrap_or_default()]).collect()
                });
                assert_eq!(tenants, ["t0", "t1", "t2", "t3", "t4", "t5", "t6"], "{limit}");
                let tokens = parts(&|page| {
                    let Listed { items, next } = tokens::list(view, None, page).expect("a part");
                    let names = items.into_iter().map(|token| token.tenant);
                    names.chain([next.unwrap_or_default()]).collect()
                });
                assert_eq!(tokens, tenants, "{limit}");
            }
            let one = tokens::list(view, Some("t3"), &Page::first())?;
            assert_eq!((one.items.len(), one.next), (1, None));
            Ok(())
        })
        .expect("read");
}

#[test]
fn the_keys_of_upstreams_are_listed_in_parts_too() {
    let mut fixture = Fixture::new();
    let Fixture { store, keyring, .. } = &mut fixture;
    let vault = Vault { keyring, origin: &origin };
    let key = UpstreamSecret::new(SecretKind::Key, "joe", "a-key").expect("a good key");
    let (upstream, login, token) = ("main", "ann@example.com", "t");
    for n in 0..5 {
        let made = store.edit::<_, StoreError>(NOW, |edit| {
            let name = format!("c{n}");
            edit.add_credential(&vault, &name, upstream, &key, &Standing::default())?;
            edit.plan_rotation(&vault, &name, Way::Add, &Facts::default())?;
            edit.expect_key(&vault, &NewPending { upstream, user: n, login, token })
        });
        made.expect("written");
    }
    store
        .view::<_, OperationError>(NOW, |view| {
            for limit in [1, 2, 4, 5, 6] {
                let rotations =
                    every(|page| keys::rotations(view, &Page { limit, ..page.clone() }))?;
                let names: Vec<_> = rotations.into_iter().map(|shown| shown.credential).collect();
                assert_eq!(names, ["c4", "c3", "c2", "c1", "c0"], "the latest first, {limit}");
                let pending = every(|page| keys::pending(view, &Page { limit, ..page.clone() }))?;
                let users: Vec<_> = pending.into_iter().map(|shown| shown.user).collect();
                assert_eq!(users, [0, 1, 2, 3, 4], "{limit}");
                let part = keys::rotations(view, &Page { limit, cursor: None })?;
                assert_eq!(
                    (part.items.len(), part.next.is_some()),
                    (usize::from(limit.min(5)), limit < 5)
                );
            }
            Ok(())
        })
        .expect("read");
}

#[test]
fn a_cursor_that_no_list_gave_is_refused() {
    for text in ["", "!", "AA", "gIA"] {
        assert!(matches!(Cursor::parse(text), Err(OperationError::BadCursor)), "{text}");
    }
    let page = Page { limit: 1, cursor: Some(Cursor("acme".to_owned())) };
    assert!(matches!(page.after_number::<i64>(), Err(OperationError::BadCursor)));
}
