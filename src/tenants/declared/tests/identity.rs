//! Which token a declared one is: by its id, by tenant and label, by its key.

use super::*;

const STANDS_ON: &str = "
[tenants.acme]
[credentials.acme]
upstream = \"main\"
";

/// A store with one tenant, and tokens of these ids and labels.
fn with_tokens(tokens: &[(&str, &str, Option<i64>)]) -> Fixture {
    let mut fixture = Fixture::new();
    let first = fixture.add("acme", "a key");
    let Fixture { store, keyring, .. } = &mut fixture;
    store
        .edit::<_, StoreError>(NOW, |edit| {
            edit.revoke_token(&first)?;
            for (id, label, expires) in tokens {
                let label = (*label).to_owned();
                let terms = TokenTerms { label, expires: *expires, ..TokenTerms::default() };
                edit.add_token(&NewToken {
                    id,
                    tenant: "acme",
                    credential: "acme",
                    mac: keyring.mac(format!("{KEY}{id}").as_bytes()),
                    key_id: keyring.id(),
                    terms: &terms,
                    adopted: true,
                })?;
            }
            Ok(())
        })
        .expect("made");
    fixture
}

fn token(keys: &str) -> String {
    format!("{STANDS_ON}[[tokens]]\ntenant = \"acme\"\ncredential = \"acme\"\n{keys}\n")
}

fn rotate(fixture: &mut Fixture, old: &str, new: &str) {
    let Fixture { store, keyring, .. } = fixture;
    let (mac, key_id) = (keyring.mac(new.as_bytes()), keyring.id());
    let successor = Successor { id: new, mac, key_id, expires: None };
    store.edit(NOW, |edit| edit.rotate_token(old, &successor, NOW + 60)).expect("rotated");
}

#[test]
fn an_id_stands_for_what_has_taken_its_place() {
    let end = NOW + 1_000_000;
    let mut fixture = with_tokens(&[("1", "", Some(end))]);
    let declared = exported(&mut fixture, NOW);
    assert!(declared.contains("id = \"1\"\n"), "{declared}");
    rotate(&mut fixture, "1", "2");
    rotate(&mut fixture, "2", "3");
    // It changes nothing, and not the end of what was rotated.
    for prune in [false, true] {
        let made = plan(&mut fixture, &declared, prune).expect("a plan").1;
        assert_eq!((steps(&made), made.unmanaged), (vec![], vec![]));
        assert_eq!(made.kept.last().and_then(|name| name.id.as_deref()), Some("3"));
    }
    apply(&mut fixture, &(declared.clone() + "access = \"read-only\"\n"), true);
    let tokens = fixture.store.records().expect("read").tokens;
    let ends: Vec<_> = tokens[1..].iter().map(|token| token.terms.expires).collect();
    assert_eq!(ends, [Some(NOW + 60), Some(NOW + 60), Some(end)]);
    // An export says it by the id that is good from now on, and both say the same.
    let anew = exported(&mut fixture, NOW);
    assert!(anew.contains("id = \"3\"\n") && !anew.contains("id = \"1\"\n"), "{anew}");
    let both = declared + "[[tokens]]\ntenant = \"acme\"\ncredential = \"acme\"\nid = \"3\"\n";
    let said = plan(&mut fixture, &both, false).expect_err("twice");
    assert!(said.contains("is declared twice"), "{said}");
}

#[test]
fn what_was_rotated_is_not_declared_in_the_place_of_a_revoked_one() {
    let mut fixture = with_tokens(&[("1", "", None), ("2", "ci", None)]);
    for (old, new) in [("1", "1b"), ("2", "2b")] {
        rotate(&mut fixture, old, new);
        fixture.store.edit(NOW, |edit| edit.revoke_token(new)).expect("revoked");
    }
    let said = plan(&mut fixture, &token("id = \"1\""), false).expect_err("revoked");
    let why = "the token 1b, which has taken the place of 1, was revoked, and that is for good";
    assert!(said.contains(why), "{said}");
    // A label may be used again.
    let made = plan(&mut fixture, &token("label = \"ci\""), false).expect("a plan").1;
    assert_eq!((made.to_mint(), made.steps.len()), (1, 1), "{:?}", steps(&made));
}

#[test]
fn the_key_of_a_rotated_token_declares_nothing() {
    let mut fixture = with_tokens(&[]);
    apply(&mut fixture, &token("secret_file = \"key\""), true);
    let id = fixture.store.records().expect("read").tokens.last().expect("one").id.clone();
    rotate(&mut fixture, &id, "later");
    let said = plan(&mut fixture, &token("secret_file = \"key\""), true).expect_err("rotated");
    let why = format!("the token {id} with this key was rotated: leave the key out, and name");
    assert!(said.contains(&why) && said.contains("(later)"), "{said}");
}

#[test]
fn a_token_keeps_its_label_when_it_is_rotated() {
    let mut fixture = with_tokens(&[]);
    let declared = token("label = \"billing\"");
    apply(&mut fixture, &declared, true);
    let id = fixture.store.records().expect("read").tokens.last().expect("one").id.clone();
    rotate(&mut fixture, &id, "later");

    // The old one ends by itself: it is neither declared nor in the way, even of a pruning.
    let made = plan(&mut fixture, &declared, true).expect("a plan").1;
    assert_eq!(steps(&made), Vec::<String>::new());
    assert_eq!(made.kept.last().and_then(|name| name.id.as_deref()), Some("later"));
    // Without the label both go.
    let made = plan(&mut fixture, STANDS_ON, true).expect("a plan").1;
    assert_eq!(steps(&made), ["remove token acme/billing"; 2]);
}

#[test]
fn a_label_that_more_than_one_has_names_none() {
    let mut fixture = with_tokens(&[("1", "ci", None), ("2", "ci", None), ("3", "", None)]);
    let refused = plan(&mut fixture, &token("label = \"ci\""), false).expect_err("unclear");
    assert!(
        refused.contains("more than one token has this label: name the id (1, 2)"),
        "{refused}"
    );
    // With ids it is clear, and what one id names is not what the label names.
    let second = token("label = \"ci\"") + "[[tokens]]\ntenant = \"acme\"\ncredential = \"acme\"\n";
    let made = plan(&mut fixture, &(second + "id = \"1\"\nlabel = \"other\"\n"), true);
    let wanted = ["change token acme/other label:\"ci\">\"other\"", "remove token acme/3"]
        .map(str::to_owned);
    assert_eq!(steps(&made.expect("a plan").1), wanted);
}

#[test]
fn a_token_is_known_by_its_key_whatever_it_is_called() {
    let mut fixture = with_tokens(&[]);
    apply(&mut fixture, &token("label = \"a\"\nsecret_file = \"key\""), true);
    let made = plan(&mut fixture, &token("label = \"b\"\nsecret_file = \"key\""), true);
    assert_eq!(steps(&made.expect("a plan").1), ["change token acme/b label:\"a\">\"b\""]);
    let nameless = plan(&mut fixture, &token("secret_file = \"key\""), true).expect("a plan").1;
    assert_eq!(nameless.steps.len(), 1, "{:?}", steps(&nameless));
    let short = plan(&mut fixture, &token("label = \"c\"\nsecret_file = \"password\""), false);
    assert!(short.expect_err("too short").contains("tokens.secret_file: a key to adopt has"));
}

#[test]
fn what_is_not_the_same_is_said_to_be() {
    let mut fixture = with_tokens(&[("1", "ci", None)]);
    fixture.add("other", "another key");
    let refused = |fixture: &mut Fixture, keys: &str| {
        plan(fixture, &token(keys), false).expect_err("refused")
    };
    let said = refused(&mut fixture, "label = \"ci\"\nsecret_file = \"key\"");
    assert!(said.contains("this is not the key of the token 1"), "{said}");
    let twice = token("label = \"ci\"") + "[[tokens]]\ntenant = \"acme\"\ncredential = \"acme\"\n";
    let said = plan(&mut fixture, &(twice.clone() + "label = \"ci\"\n"), false).expect_err("twice");
    assert!(said.contains("another token of this tenant is declared with this label"), "{said}");
    let said = plan(
        &mut fixture,
        &(twice.replace("label = \"ci\"", "id = \"1\"") + "id = \"1\"\n"),
        false,
    );
    assert!(said.expect_err("twice").contains("the token 1 is declared twice"));
    let theirs = fixture.store.records().expect("read").tokens.last().expect("one").id.clone();
    let said = refused(&mut fixture, &format!("id = \"{theirs}\""));
    assert!(
        said.contains("tokens.tenant: the token") && said.contains("never change hands"),
        "{said}"
    );
    fixture.store.edit(NOW, |edit| edit.revoke_token("1")).expect("revoked");
    let said = refused(&mut fixture, "id = \"1\"");
    assert!(said.contains("was revoked, and that is for good"), "{said}");
    // A label may be used again.
    let made = plan(&mut fixture, &token("label = \"ci\""), false).expect("a plan").1;
    assert_eq!((made.to_mint(), steps(&made).len()), (1, 1));
}
