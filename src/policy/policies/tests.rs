//! What policies say of requests, rule by rule.

use super::*;
use crate::policy::act::OtherName;

const SEVEN: &str = "abcdefghij1234";
const NOBODY: &str = "nobodyknowsit0";

fn policies(document: &str) -> Policies {
    let document = serde_json::from_str(document).expect("a document");
    Policies::compile(&document).expect("policies")
}

/// Virtual machine 7 has a name, and so has what else is called 7; of the others nothing is known
/// but that of machine 8.
fn other_name(segments: &[&str], at: usize) -> OtherName {
    let known: &str = match segments[at] {
        "7" => SEVEN,
        SEVEN => "7",
        "8" => "klmnopqrst5678",
        "klmnopqrst5678" => "8",
        _ => return OtherName::Unknown,
    };
    OtherName::Known(known.into())
}

/// Judges `GET /path`, `POST! /path` for a POST that rebuilds what its path names, or `POST? /path` for
/// one that rebuilds something else.
fn judge(document: &str, request: &str) -> Verdict {
    let (method, path) = request.split_once(' ').expect("a method and a path");
    let segments: Vec<_> = path.split('/').skip(1).collect();
    policies(document).judge(&Act {
        method: &method.trim_end_matches(['!', '?']).parse().expect("a method"),
        segments: &segments,
        rebuilds: match method.chars().last() {
            Some('!') => Some(Rebuilt::Named),
            Some('?') => Some(Rebuilt::Unnamed),
            _ => None,
        },
        other_name: &other_name,
    })
}

fn permitted(document: &str, requests: &[&str]) {
    for request in requests {
        assert_eq!(judge(document, request), Verdict::default(), "{request}");
    }
}

fn refused(document: &str, by: PolicyName, requests: &[&str]) {
    for request in requests {
        let verdict = judge(document, request);
        assert_eq!(verdict.enforced, Some(by), "{request}");
        assert!(!verdict.permits() && verdict.shadowed.is_empty(), "{request}");
    }
}

#[test]
fn without_policies_everything_is_permitted_and_nobody_is_asked() {
    let none = policies("{}");
    assert!(none.is_empty());
    let verdict = none.judge(&Act {
        method: &Method::DELETE,
        segments: &["virtual_machines", SEVEN],
        rebuilds: Some(Rebuilt::Named),
        other_name: &|_, _| unreachable!("nothing depends on it"),
    });
    assert!(verdict.permits() && verdict.shadowed.is_empty());
}

#[test]
fn a_method_has_to_be_listed_and_head_counts_as_get() {
    let reads = r#"{"methods":{"only":["GET"]}}"#;
    permitted(reads, &["GET /a", "HEAD /a"]);
    refused(reads, PolicyName::Methods, &["POST /a", "DELETE /a", "OPTIONS /a", "get /a"]);
    let writes = r#"{"methods":{"only":["POST","PUT"]}}"#;
    permitted(writes, &["POST /a", "PUT /a"]);
    refused(writes, PolicyName::Methods, &["GET /a", "HEAD /a", "PATCH /a"]);
}

#[test]
fn a_path_needs_an_allowed_pattern_that_it_fits() {
    let some = r#"{"paths":{"allow":["/virtual_machines/:id","/users/**"]}}"#;
    permitted(some, &["GET /virtual_machines/7", "GET /users", "DELETE /users/7/x/y"]);
    refused(
        some,
        PolicyName::Paths,
        &[
            "GET /",
            "GET /virtual_machines",
            "GET /virtual_machines/7/disks",
            "GET /virtual_machines/new",
            "GET /virtual_machines/7-foo",
            "GET /virtual_machines/7.html",
            "GET /usersx",
        ],
    );
}

#[test]
fn a_path_may_fit_a_pattern_that_is_less_specific_than_another() {
    let both = r#"{"paths":{"allow":["/a/:id/x","/a/**","/b/c/:id","/b/:w<word>/:w<word>"]}}"#;
    permitted(both, &["GET /a/foo/x", "GET /b/c/foo"]);
    refused(both, PolicyName::Paths, &["GET /b/c/foo/x"]);
}

#[test]
fn denial_wins_and_holds_for_whatever_stands_there() {
    let paths = concat!(
        r#"{"paths":{"allow":["/virtual_machines/**"],"#,
        r#""deny":["/virtual_machines/:id/console","/virtual_machines/:id/backups/**"]}}"#,
    );
    permitted(paths, &["GET /virtual_machines/7", "GET /virtual_machines/7/consoles"]);
    refused(
        paths,
        PolicyName::Paths,
        &[
            "GET /virtual_machines/7/console",
            "POST /virtual_machines/abcdefghij1234/console",
            "GET /virtual_machines/7-foo/console",
            "GET /virtual_machines/07/console",
            "GET /virtual_machines/7/console.html",
            "GET /virtual_machines/7/console%2Ehtml",
            "GET /virtual_machines/7.5/console",
            "GET /virtual_machines/7/backups",
            "GET /virtual_machines/7/backups/1/x",
        ],
    );
}

#[test]
fn denial_alone_permits_the_rest_but_nothing_too_long_for_it() {
    let deny = r#"{"paths":{"deny":["/a/**"]}}"#;
    permitted(deny, &["GET /", "GET /b", &format!("GET {}", "/b".repeat(MAX_SEGMENTS))]);
    let long = format!("GET /a{}", "/b".repeat(MAX_SEGMENTS));
    refused(deny, PolicyName::Paths, &["GET /a", "GET /a/b", &long]);
}

#[test]
fn a_path_lies_at_or_below_a_resource_under_either_of_its_names() {
    let number = r#"{"resources":{"only":["/virtual_machines/7","/virtual_machines/9"]}}"#;
    let identifier = r#"{"resources":{"only":["/virtual_machines/abcdefghij1234"]}}"#;
    for seven in [number, identifier] {
        permitted(
            seven,
            &[
                "GET /virtual_machines/7",
                "GET /virtual_machines/abcdefghij1234",
                "DELETE /virtual_machines/7",
                "GET /virtual_machines/abcdefghij1234/disks/3",
            ],
        );
        refused(
            seven,
            PolicyName::Resources,
            &[
                "GET /",
                "GET /virtual_machines",
                "GET /virtual_machines/status",
                "GET /virtual_machines/8",
                "GET /virtual_machines/klmnopqrst5678",
                "GET /virtual_machines/nobodyknowsit0",
                "GET /virtual_machines/7-foo",
                "GET /virtual_machines/07",
                "GET /virtual_machines/77",
                "GET /users/7",
                "GET /users/7/virtual_machines/7",
            ],
        );
    }
    permitted(number, &["GET /virtual_machines/9"]);
    refused(identifier, PolicyName::Resources, &["GET /virtual_machines/10"]);
}

#[test]
fn every_id_of_a_resource_has_two_names() {
    let disk = r#"{"resources":{"only":["/virtual_machines/7/disks/3"]}}"#;
    permitted(
        disk,
        &["GET /virtual_machines/7/disks/3", "GET /virtual_machines/abcdefghij1234/disks/3/x"],
    );
    refused(
        disk,
        PolicyName::Resources,
        &[
            "GET /virtual_machines/7",
            "GET /virtual_machines/7/disks",
            "GET /virtual_machines/7/disks/4",
            "GET /virtual_machines/8/disks/3",
        ],
    );
}

#[test]
fn what_is_protected_is_neither_removed_nor_rebuilt_under_either_of_its_names() {
    let number = r#"{"protected":{"items":["/virtual_machines/7"]}}"#;
    let identifier = r#"{"protected":{"items":["/virtual_machines/abcdefghij1234"]}}"#;
    for seven in [number, identifier] {
        permitted(
            seven,
            &[
                "GET /virtual_machines/7",
                "PUT /virtual_machines/7",
                "POST /virtual_machines/7/reboot",
                "POST /virtual_machines",
                "DELETE /virtual_machines/8",
                "DELETE /virtual_machines/klmnopqrst5678",
                "DELETE /users/7",
                "POST! /users/7/virtual_machines",
            ],
        );
        refused(
            seven,
            PolicyName::Protected,
            &[
                "DELETE /virtual_machines/7",
                "DELETE /virtual_machines/abcdefghij1234",
                "DELETE /virtual_machines/7/disks/3",
                "POST! /virtual_machines/7/build",
                "PUT! /virtual_machines/abcdefghij1234/build",
            ],
        );
    }
}

#[test]
fn what_writes_over_an_item_that_it_does_not_name_may_be_any() {
    let seven = r#"{"protected":{"items":["/virtual_machines/7"]}}"#;
    refused(
        seven,
        PolicyName::Protected,
        &["GET? /snapshots/55/restore", "POST? /backups/5/restore"],
    );
    permitted(r#"{"methods":{"only":["GET"]}}"#, &["GET? /snapshots/55/restore"]);
}

#[test]
fn what_is_protected_stays_so_in_doubt() {
    let seven = r#"{"protected":{"items":["/virtual_machines/7"]}}"#;
    refused(
        seven,
        PolicyName::Protected,
        &[
            "DELETE /virtual_machines/nobodyknowsit0",
            "DELETE /virtual_machines/7-foo",
            "DELETE /virtual_machines/07",
            "DELETE /virtual_machines/7.html",
            "DELETE /virtual_machines/%207",
            "DELETE /virtual_machines/ABCDEFGHIJ1234",
            "DELETE /virtual_machines.html/7",
            "POST! /virtual_machines/all",
        ],
    );
    permitted(seven, &["DELETE /virtual_machines/77", "GET /virtual_machines/nobodyknowsit0"]);
    let unnamed = format!(r#"{{"protected":{{"items":["/virtual_machines/{NOBODY}"]}}}}"#);
    refused(&unnamed, PolicyName::Protected, &["DELETE /virtual_machines/10"]);
    // Of these it is known that they are others.
    permitted(&unnamed, &["DELETE /virtual_machines/7", "DELETE /virtual_machines/abcdefghij1234"]);
}

#[test]
fn what_belongs_to_an_item_is_not_removed_with_it() {
    let disk = r#"{"protected":{"items":["/virtual_machines/7/disks/3"]}}"#;
    refused(
        disk,
        PolicyName::Protected,
        &[
            "DELETE /virtual_machines/7/disks/3",
            "DELETE /virtual_machines/abcdefghij1234/disks/3",
            "DELETE /virtual_machines/7/disks",
            "DELETE /virtual_machines/7",
            "DELETE /virtual_machines",
        ],
    );
    permitted(
        disk,
        &[
            "DELETE /virtual_machines/7/disks/4",
            "DELETE /virtual_machines/8/disks/3",
            "DELETE /virtual_machines/8",
            "DELETE /virtual_machines/7/backups/3",
        ],
    );
}

#[test]
fn a_name_is_asked_for_once_however_many_items_are_listed() {
    let asked = std::cell::Cell::new(0);
    let items: Vec<_> = (1..=20).map(|n| format!("\"/virtual_machines/{n}\"")).collect();
    let document = format!(r#"{{"protected":{{"items":[{}]}}}}"#, items.join(","));
    let verdict = policies(&document).judge(&Act {
        method: &Method::DELETE,
        segments: &["virtual_machines", SEVEN],
        rebuilds: None,
        other_name: &|segments, at| {
            asked.set(asked.get() + 1);
            assert_eq!((segments[at], at), (SEVEN, 1));
            OtherName::Known("99".into())
        },
    });
    assert_eq!((verdict, asked.get()), (Verdict::default(), 1));
}

#[test]
fn the_first_refusal_is_named_and_every_shadow_is_counted() {
    use PolicyName::{Methods, Paths, Protected, Resources};
    let parts = |methods: &str, paths: &str, resources: &str, protected: &str| {
        format!(
            "{{\"methods\":{{\"mode\":\"{methods}\",\"only\":[\"GET\"]}},\
             \"paths\":{{\"mode\":\"{paths}\",\"deny\":[\"/**\"]}},\
             \"resources\":{{\"mode\":\"{resources}\",\"only\":[\"/users/1\"]}},\
             \"protected\":{{\"mode\":\"{protected}\",\"items\":[\"/a/7\"]}}}}"
        )
    };
    let check = |document: String, enforced: Option<PolicyName>, shadowed: &[PolicyName]| {
        let verdict = judge(&document, "DELETE /a/7");
        assert_eq!((verdict.enforced, &verdict.shadowed[..]), (enforced, shadowed), "{document}");
    };
    check(parts("enforce", "enforce", "enforce", "enforce"), Some(Methods), &[]);
    check(parts("off", "enforce", "shadow", "enforce"), Some(Paths), &[Resources]);
    check(parts("shadow", "off", "enforce", "shadow"), Some(Resources), &[Methods, Protected]);
    let all = [Methods, Paths, Resources, Protected];
    check(parts("shadow", "shadow", "shadow", "shadow"), None, &all);
    check(parts("off", "off", "off", "off"), None, &[]);
    assert!(policies(&parts("off", "off", "off", "off")).is_empty());
}
