//! What an import takes, refuses and costs.

use std::{fmt::Write, time::Instant};

use super::*;
use crate::tenants::{
    fixture::{Fixture, NOW, origin, scope, secret},
    record::Reach,
};

const KEY: &str = "planted0123456789abcdef0123456789abcdef";

fn import(fixture: &mut Fixture, lines: &str) -> Result<Imported, ImportError> {
    let Fixture { store, keyring, .. } = fixture;
    let vault = Vault { keyring, origin: &origin };
    Import { vault, scope: &scope, now: NOW }.run(store, lines.as_bytes())
}

fn full_line(n: usize) -> String {
    format!(
        r#"{{"tenant":{{"name":"t{n}","default_format":"xml","reads_per_second":{}}},"#,
        n % 50 + 1
    ) + &format!(r#""credential":{{"name":"c{n}","upstream":"main","login":"u{n}","#)
        + &format!(r#""password":"password-{n}"}},"token":"{n:0>40}"}}"#)
}

#[test]
fn ten_thousand_lines_are_imported_within_seconds() {
    let mut fixture = Fixture::new();
    let lines: Vec<String> = (0..10_000).map(full_line).collect();
    let begun = Instant::now();
    let imported = import(&mut fixture, &lines.join("\n")).expect("imported");
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    let all = Imported { tenants: 10_000, credentials: 10_000, tokens: 10_000, unchanged: 0 };
    assert_eq!(imported, all);
}

#[test]
fn a_second_import_of_the_same_lines_changes_nothing() {
    let mut fixture = Fixture::new();
    let lines = format!("{}\n\n{}\n", full_line(1), full_line(2));
    import(&mut fixture, &lines).expect("imported");
    let again = import(&mut fixture, &lines).expect("imported again");
    assert_eq!(again, Imported { unchanged: 6, ..Imported::default() });
}

#[test]
fn names_refer_to_what_exists_and_to_earlier_lines() {
    let mut fixture = Fixture::new();
    fixture.add("acme", "one");
    let line = r#"{"tenant":"acme","credential":"acme","token":{"key":"KEY","access":"read-only",
        "allow":["vms"],"addresses":["192.0.2.7","2001:db8::1/32"],"expires":1900000000}}"#;
    let line = line.replace('\n', " ").replace("KEY", KEY);
    let reference = r#"{"tenant":"t1","credential":"acme"}"#;
    let lines = [&*full_line(1), reference, &line].join("\n");
    let imported = import(&mut fixture, &lines).expect("imported");
    assert_eq!((imported.tenants, imported.tokens), (1, 2));
    let records = fixture.store.records().expect("read");
    let terms = &records.tokens.last().expect("a token").terms;
    let addresses: Vec<String> = terms.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["192.0.2.7/32", "2001:db8::/32"]);
    assert_eq!(terms.expires, Some(1_900_000_000));
}

#[test]
fn permissions_are_imported_and_others_are_a_difference() {
    let mut fixture = Fixture::new();
    fixture.add("acme", "one");
    let line = |words: &str| {
        let token = format!(r#"{{"key":"{KEY}","permissions":{words}}}"#);
        format!(r#"{{"tenant":"acme","credential":"acme","token":{token}}}"#)
    };
    import(&mut fixture, &line(r#"["explain"]"#)).expect("imported");
    let records = fixture.store.records().expect("read");
    let given = records.tokens.last().expect("a token").terms.permissions;
    assert_eq!(given.words().collect::<Vec<_>>(), ["explain"]);
    assert_eq!(import(&mut fixture, &line(r#"["explain"]"#)).expect("again").unchanged, 1);
    for (words, expected) in [
        (r#"["explain","cache:refresh"]"#, "which differs from this line"),
        ("[]", "which differs from this line"),
        (
            r#"["fill"]"#,
            "\"token.permissions\": expected a list of \"cache:refresh\", \"explain\" and",
        ),
        (r#""explain""#, "\"token.permissions\": expected a list of strings"),
    ] {
        let error = import(&mut fixture, &line(words)).expect_err(words);
        let ImportError::Lines(bad) = error else { panic!("{error:?}") };
        assert!(bad[0].to_string().contains(expected), "{words}: {}", bad[0]);
    }
}

#[test]
fn a_key_is_adopted_with_what_its_client_sees_today_unless_the_line_says_otherwise() {
    for (token, given) in [
        (format!("\"{KEY}\""), &["secrets:read"][..]),
        (format!(r#"{{"key":"{KEY}","access":"read-only"}}"#), &["secrets:read"]),
        (format!(r#"{{"key":"{KEY}","permissions":null}}"#), &["secrets:read"]),
        (format!(r#"{{"key":"{KEY}","permissions":[]}}"#), &[]),
        (format!(r#"{{"key":"{KEY}","permissions":["explain"]}}"#), &["explain"]),
    ] {
        let mut fixture = Fixture::new();
        fixture.add("acme", "one");
        let line = format!(r#"{{"tenant":"acme","credential":"acme","token":{token}}}"#);
        import(&mut fixture, &line).expect("imported");
        let records = fixture.store.records().expect("read");
        let permissions = records.tokens.last().expect("a token").terms.permissions;
        assert_eq!(permissions.words().collect::<Vec<_>>(), given, "{token}");
        assert_eq!(import(&mut fixture, &line).expect("again").unchanged, 1);
    }
}

#[test]
fn every_bad_line_is_reported_and_nothing_is_imported() {
    let mut fixture = Fixture::new();
    fixture.add("acme", "one");
    let cases = [
        (full_line(1), ""),
        ("{\"tenant\":".to_owned(), "it is not JSON, from column 10"),
        (r#"{"tenant":"t1"}"#.to_owned(), "\"credential\": expected a name or an object"),
        (full_line(2).replace("login", "logon"), "\"credential.logon\": unknown key; known here"),
        (full_line(3).replace("\"xml\"", "5"), "\"tenant.default_format\": expected a string"),
        (full_line(4).replace("xml", "yaml"), "expected \"json\" or \"xml\""),
        (full_line(5).replace("main", "mian"), "there is no upstream \"mian\""),
        (full_line(6).replace("\"u6\"", "\"a:b\""), "contains a colon"),
        (full_line(7).replace(&format!("{:0>40}", 7), "short"), "at least 32 characters"),
        (r#"{"tenant":"nobody","credential":"acme"}"#.to_owned(), "there is no tenant \"nobody\""),
        (full_line(8).replace("\"t8\"", "\"acme\""), "the tenant \"acme\" exists and differs"),
        (full_line(9).replace("\"c9\"", "\"acme\""), "the credential \"acme\" exists and differs"),
        (full_line(10).replace("_second\":11", "_second\":0"), "expected a whole number from 1"),
        (
            full_line(11).replace(&format!("{:0>40}", 11), &format!("{:0>40}", 1)),
            "already the token",
        ),
        ("[]".to_owned(), "it is not JSON"),
        (format!("\"{}\"", "x".repeat(LINE_MAX)), "it has more than"),
    ];
    let lines: Vec<&str> = cases.iter().map(|(line, _)| &**line).collect();
    let error = import(&mut fixture, &lines.join("\n")).expect_err("bad lines");
    let ImportError::Lines(bad) = error else { panic!("{error:?}") };
    let mut text = String::new();
    bad.iter().for_each(|bad| writeln!(text, "{bad}").expect("memory"));
    assert_eq!(bad.len(), cases.len() - 1, "{text}");
    for (index, (_, expected)) in cases.iter().enumerate().skip(1) {
        let reported = text.lines().find(|l| l.starts_with(&format!("line {}: ", index + 1)));
        assert!(reported.expect("reported").contains(expected), "{expected} in\n{text}");
    }
    assert_eq!(fixture.store.records().expect("read").tenants.len(), 1);
}

#[test]
fn a_standing_is_imported_and_another_is_a_difference() {
    let mut fixture = Fixture::new();
    let own = declared(r#""reach":"own","account":"joe""#);
    import(&mut fixture, &own).expect("imported");
    let standing = fixture.store.records().expect("read").credentials[0].standing.clone();
    assert_eq!(standing, Standing { reach: Some(Reach::Own), account: Some("joe".to_owned()) });
    assert_eq!(import(&mut fixture, &own).expect("imported again").unchanged, 3);
    for other in [
        full_line(1),
        declared(r#""reach":"all","account":"joe""#),
        declared(r#""reach":"own","account":"jim""#),
    ] {
        let error = import(&mut fixture, &other).expect_err("another");
        let ImportError::Lines(bad) = error else { panic!("{error:?}") };
        assert!(matches!(&bad[..], [BadLine { problem: LineProblem::Differs { .. }, .. }]));
    }
}

#[test]
fn a_wrong_standing_is_a_bad_line() {
    let mut fixture = Fixture::new();
    for (part, expected) in [
        (r#""reach":"some""#, "\"credential.reach\": expected \"own\" or \"all\""),
        (r#""account":7"#, "\"credential.account\": expected a string"),
        (r#""reach":"own""#, "credential \"c1\" reaches what its account owns"),
        (r#""account":"""#, "its account must have 1 to 255 characters"),
    ] {
        let error = import(&mut fixture, &declared(part)).expect_err(part);
        let ImportError::Lines(bad) = error else { panic!("{error:?}") };
        assert!(bad[0].to_string().contains(expected), "{part}: {}", bad[0]);
    }
}

/// A line whose credential has these keys too.
fn declared(keys: &str) -> String {
    full_line(1).replace("\"login\"", &format!("{keys},\"login\""))
}

#[test]
fn no_message_repeats_a_secret() {
    let mut fixture = Fixture::new();
    let lines = [
        format!(r#"{{"tenant":"a","credential":{{"name":"c","upstream":"main","key":"{KEY}"}}}}"#),
        format!(r#"{{"tenant":"a","credential":"{KEY}","token":["{KEY}"]}}"#),
        format!(r#"{{"token":"{KEY}" "#),
        format!(r#"{{"tenant":{{"name":"a","limit_status":"{KEY}"}},"credential":"c"}}"#),
    ];
    let error = import(&mut fixture, &lines.join("\n")).expect_err("bad lines");
    assert!(!format!("{error:?} {error}").contains("planted"), "{error:?}");
}

#[test]
fn a_revoked_key_is_not_adopted_again() {
    let mut fixture = Fixture::new();
    import(&mut fixture, &full_line(1)).expect("imported");
    let id = fixture.store.records().expect("read").tokens[0].id.clone();
    fixture.store.edit(NOW, |edit| edit.revoke_token(&id)).expect("revoked");
    let error = import(&mut fixture, &full_line(1)).expect_err("revoked");
    let ImportError::Lines(bad) = error else { panic!("{error:?}") };
    assert!(matches!(&bad[..], [BadLine { problem: LineProblem::TokenDiffers { .. }, .. }]));
}

#[test]
fn a_password_that_changed_is_a_difference() {
    let mut fixture = Fixture::new();
    import(&mut fixture, &full_line(1)).expect("imported");
    let error = import(&mut fixture, &full_line(1).replace("password-1", "password-2"));
    assert!(matches!(error, Err(ImportError::Lines(_))));
    let vault = Vault { keyring: &fixture.keyring, origin: &origin };
    let record = &fixture.store.records().expect("read").credentials[0];
    let kept = vault.open(record).expect("opened");
    assert_eq!((kept.kind(), kept.pair().1), (secret("x").kind(), "password-1"));
}
