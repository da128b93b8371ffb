//! Tokens that have ended, or will: a file neither makes nor prolongs them.

use super::*;

#[test]
fn the_end_of_a_rotated_token_is_not_taken_back() {
    let mut fixture = Fixture::new();
    let id = fixture.add("acme", KEY);
    let declared = format!("[[tokens]]\nid = \"{id}\"\ntenant = \"acme\"\ncredential = \"acme\"\n");
    let mac = fixture.keyring.mac(b"the next one");
    let key_id = fixture.keyring.id();
    let next = Successor { id: "next", mac, key_id, expires: None };
    fixture.store.edit(NOW, |edit| edit.rotate_token(&id, &next, NOW + 60)).expect("rotated");
    apply(&mut fixture, &declared, false);
    let tokens = fixture.store.records().expect("read").tokens;
    let old = tokens.iter().find(|token| token.id == id).expect("still there");
    assert_eq!(old.terms.expires, Some(NOW + 60));
}

#[test]
fn what_has_ended_is_neither_made_nor_prolonged() {
    let mut fixture = Fixture::new();
    let text = "[tenants.acme]\n[credentials.acme]\nupstream = \"main\"\nlogin = \"acme\"\n\
                secret_file = \"password\"\n[[tokens]]\ntenant = \"acme\"\n\
                credential = \"acme\"\nlabel = \"ci\"\nexpires = 1800000000\n";
    let refused = plan(&mut fixture, text, false).expect_err("it has ended already");
    assert!(
        refused.contains("line 10: tokens.expires: the token would expire before"),
        "{refused}"
    );
    apply(&mut fixture, &text.replace("1800000000", "1800000001"), false);
    let longer = text.replace("1800000000", "1800000009");
    assert!(plan_at(NOW, &mut fixture, &longer, false).is_ok(), "it is good");
    let refused = plan_at(NOW + 1, &mut fixture, &longer, false).expect_err("it has ended");
    assert!(refused.contains("line 10: tokens.expires: the token"), "{refused}");
    assert!(refused.contains("has been revoked or has expired; create another one"), "{refused}");
    let same = text.replace("1800000000", "1800000001");
    assert!(plan_at(NOW + 1, &mut fixture, &same, false).expect("a plan").1.is_empty());
}
