//! What is made of a document, and what is said of one that cannot be used.

use super::*;
use crate::policy::document::Rate;

fn compile(document: &str) -> Result<Policies, PolicyError> {
    Policies::compile(&serde_json::from_str(document).expect("a document"))
}

fn refusal(document: &str) -> PolicyError {
    compile(document).err().unwrap_or_else(|| panic!("{document} is refused"))
}

/// A list of so many entries, each of them this one.
fn list(part: &str, key: &str, entry: &str, count: usize) -> String {
    let entries = vec![format!("\"{entry}\""); count];
    format!("{{\"{part}\":{{\"{key}\":[{}]}}}}", entries.join(","))
}

#[test]
fn terms_are_those_that_were_written() {
    let policies = compile(concat!(
        r#"{"creates":{"at_most":5,"window_seconds":86400},"#,
        r#""deletes":{"mode":"shadow","at_most":2,"window_seconds":3600},"#,
        r#""limits":{"reads":{"per_second":5,"burst":10}},"#,
        r#""monthly":{"mode":"shadow","writes":1000}}"#,
    ))
    .expect("policies");
    let window =
        |mode, at_most, window_ms| Some(Held { mode, rule: Window { at_most, window_ms } });
    assert_eq!(policies.creates(), window(Mode::Enforce, 5, 86_400_000));
    assert_eq!(policies.deletes(), window(Mode::Shadow, 2, 3_600_000));
    let rates = Rates { reads: Some(Rate { per_second: 5, burst: 10 }), writes: None };
    assert_eq!(policies.limits(), Some(Held { mode: Mode::Enforce, rule: rates }));
    let monthly = Monthly { reads: None, writes: Some(1000) };
    assert_eq!(policies.monthly(), Some(Held { mode: Mode::Shadow, rule: monthly }));
    assert!(!policies.is_empty());
}

#[test]
fn what_is_off_is_not_there_but_is_checked() {
    let off = compile(r#"{"creates":{"mode":"off","at_most":5,"window_seconds":60}}"#);
    assert!(off.expect("policies").is_empty());
    let wrong = refusal(r#"{"creates":{"mode":"off","at_most":0,"window_seconds":60}}"#);
    assert_eq!(wrong, PolicyError::Number { key: "creates.at_most", found: 0, most: 10_000 });
}

#[test]
fn a_part_that_says_nothing_is_refused() {
    for (document, expected) in [
        (r#"{"methods":{}}"#, "methods.only"),
        (r#"{"paths":{"mode":"shadow"}}"#, "paths"),
        (r#"{"resources":{"only":[]}}"#, "resources.only"),
        (r#"{"protected":{}}"#, "protected.items"),
        (r#"{"limits":{}}"#, "limits"),
        (r#"{"monthly":{}}"#, "monthly"),
    ] {
        let PolicyError::Empty { part, .. } = refusal(document) else { panic!("{document}") };
        assert_eq!(part, expected);
    }
}

#[test]
fn a_method_is_one_that_can_be_named() {
    for wrong in ["HEAD", "get", "FETCH", "TRACE", ""] {
        let document = list("methods", "only", wrong, 1);
        assert_eq!(refusal(&document), PolicyError::Method(wrong.to_owned()));
    }
    for method in &METHODS {
        assert!(compile(&list("methods", "only", method.as_str(), 1)).is_ok(), "{method}");
    }
}

#[test]
fn a_pattern_is_one_that_a_path_can_be_under() {
    for (pattern, source) in [
        ("a", PatternError::NoSlash),
        ("/a/", PatternError::Empty),
        ("/a/**/b", PatternError::Rest),
        ("/a/:b<c>", PatternError::Shape("c".to_owned())),
    ] {
        for key in ["allow", "deny"] {
            let list_name = if key == "allow" { "paths.allow" } else { "paths.deny" };
            let expected = PolicyError::Pattern {
                list: list_name,
                pattern: pattern.to_owned(),
                source: source.clone(),
            };
            assert_eq!(refusal(&list("paths", key, pattern, 1)), expected);
        }
    }
    for pattern in ["/a?b=c", "/a.json", "/a.b/c", "/a%20b", "/a b", "/é", "/:id.xml", "/a#b"] {
        let expected = PolicyError::Unreachable { list: "paths.deny", pattern: pattern.to_owned() };
        assert_eq!(refusal(&list("paths", "deny", pattern, 1)), expected);
    }
    for pattern in ["/**", "/a.:format/page/:n<number>", "/a/:w<word>/**", "/a-b/~c"] {
        assert!(compile(&list("paths", "deny", pattern, 1)).is_ok(), "{pattern}");
    }
}

#[test]
fn a_resource_is_the_path_of_an_item() {
    for (part, key, name) in
        [("resources", "only", "resources.only"), ("protected", "items", "protected.items")]
    {
        for wrong in ["/virtual_machines", "/virtual_machines/:id", "/virtual_machines/7/**"] {
            let expected = PolicyError::Resource { list: name, path: wrong.to_owned() };
            assert_eq!(refusal(&list(part, key, wrong, 1)), expected);
        }
        assert!(compile(&list(part, key, "/virtual_machines/7", 1)).is_ok());
    }
}

#[test]
fn lists_and_their_entries_have_bounds() {
    let (most, long) = (MAX_ENTRIES, "/a".repeat(MAX_PATH_BYTES));
    for (part, key, list_name, entry) in [
        ("methods", "only", "methods.only", "GET"),
        ("paths", "allow", "paths.allow", "/a"),
        ("paths", "deny", "paths.deny", "/a"),
        ("resources", "only", "resources.only", "/a/7"),
        ("protected", "items", "protected.items", "/a/7"),
    ] {
        assert!(compile(&list(part, key, entry, most)).is_ok(), "{list_name}");
        let expected = PolicyError::TooMany { list: list_name, found: most + 1 };
        assert_eq!(refusal(&list(part, key, entry, most + 1)), expected);
        let expected = PolicyError::TooLong { list: list_name };
        assert_eq!(refusal(&list(part, key, &long, 1)), expected);
    }
    let deep = "/a".repeat(MAX_SEGMENTS + 1);
    let expected = PolicyError::TooDeep { list: "paths.deny", path: deep.clone() };
    assert_eq!(refusal(&list("paths", "deny", &deep, 1)), expected);
    assert!(compile(&list("paths", "deny", &"/a".repeat(MAX_SEGMENTS), 1)).is_ok());
}

#[test]
fn numbers_have_bounds() {
    fn check(key: &'static str, most: u64, document: fn(u64) -> String) {
        for fine in [1, most] {
            assert!(compile(&document(fine)).is_ok(), "{key} {fine}");
        }
        for found in [0, most + 1] {
            assert_eq!(refusal(&document(found)), PolicyError::Number { key, found, most });
        }
    }
    check("creates.at_most", 10_000, |n| {
        format!(r#"{{"creates":{{"at_most":{n},"window_seconds":60}}}}"#)
    });
    check("deletes.window_seconds", 2_678_400, |n| {
        format!(r#"{{"deletes":{{"at_most":1,"window_seconds":{n}}}}}"#)
    });
    check("limits.reads.per_second", 1_000_000, |n| {
        format!(r#"{{"limits":{{"reads":{{"per_second":{n},"burst":1}}}}}}"#)
    });
    check("limits.writes.burst", 1_000_000, |n| {
        format!(r#"{{"limits":{{"writes":{{"per_second":1,"burst":{n}}}}}}}"#)
    });
    check("monthly.reads", 1_000_000_000_000, |n| format!(r#"{{"monthly":{{"reads":{n}}}}}"#));
    check("monthly.writes", 1_000_000_000_000, |n| {
        format!(r#"{{"monthly":{{"reads":1,"writes":{n}}}}}"#)
    });
}

#[test]
fn a_refusal_says_what_to_change() {
    let said = |document: &str| refusal(document).to_string();
    assert_eq!(
        said(r#"{"creates":{"at_most":0,"window_seconds":60}}"#),
        "creates.at_most is 0; at least 1 and at most 10000 are possible"
    );
    assert_eq!(
        said(r#"{"paths":{"deny":["/a/"]}}"#),
        "paths.deny: pattern \"/a/\": empty segment or parameter"
    );
    assert_eq!(
        said(r#"{"limits":{}}"#),
        "limits says nothing; name reads or writes, or leave the part out"
    );
    let many = said(&list("resources", "only", "/a/7", 65));
    assert_eq!(many, "resources.only has 65 entries; 64 are the most");
    assert!(said(r#"{"resources":{"only":["/a"]}}"#).contains("/virtual_machines/12"));
}
