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

#[test]
fn a_token_keeps_its_label_when_it_is_rotated() {
    let mut fixture = with_tokens(&[]);
    let declared = token("label = \"billing\"");
    apply(&mut fixture, &declared, true);
    let id = fixture.store.records().expect("read").tokens.last().expect("one").id.clone();
    let Fixture { store, keyring, .. } = &mut fixture;
    let (mac, key_id) = (keyring.mac(b"later"), keyring.id());
    let successor = Successor { id: "later", mac, key_id, expires: None };
    store.edit(NOW, |edit| edit.rotate_token(&id, &successor, NOW + 60)).expect("rotated");

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
