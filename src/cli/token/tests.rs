//! Tokens by command lines: rotated, described, given permissions.

use std::ffi::OsString;

use crate::{
    auth::scopes::Permission,
    cli::{
        Cli, Exit,
        tests::{ADD_CREDENTIAL, refused, run},
    },
    tenants::fixture::{Fixture, NOW},
    vocabulary::Closed as _,
};

#[test]
fn a_rotated_token_has_the_terms_of_the_old_one_which_ends_by_itself() {
    let mut fixture = Fixture::new();
    let mut run = |line: &str| run(&mut fixture, line).expect(line);
    run("tenant add acme");
    run(ADD_CREDENTIAL);
    let create = "token create --json --tenant acme --credential main-1 --read-only --allow vms \
                  --permit explain --address 192.0.2.0/24 --limit-status 403 --expires-in 30d";
    let created: serde_json::Value = serde_json::from_str(&run(create)).expect("JSON");
    let id = created["id"].as_str().expect("an id");
    let line = format!("token rotate {id} --json --overlap 2h");
    let rotated: serde_json::Value = serde_json::from_str(&run(&line)).expect("JSON");
    assert_eq!(
        (&rotated["replaces"], &rotated["replaced_until"]),
        (&id.into(), &(NOW + 7200).into())
    );
    let tokens: serde_json::Value = serde_json::from_str(&run("token list --json")).expect("JSON");
    let [old, new] = [&tokens[0], &tokens[1]];
    assert_eq!((&old["id"], &new["id"]), (&id.into(), &rotated["id"]));
    assert_eq!((&old["expires"], &new["expires"]), (&(NOW + 7200).into(), &created["expires"]));
    for term in
        ["tenant", "credential", "access", "allow", "permissions", "addresses", "limit_status"]
    {
        assert_eq!(old[term], new[term], "{term}");
    }
    assert_eq!(new["adopted"], false);
    assert_eq!(rotated["expires"], created["expires"]);
    // Its own end, where that comes first, and a new one where it is wished for.
    let new = rotated["id"].as_str().expect("an id");
    run(&format!("token rotate {new} --overlap 90d --expires-in 60d"));
    let tokens: serde_json::Value = serde_json::from_str(&run("token list --json")).expect("JSON");
    assert_eq!(tokens[1]["expires"], NOW + 30 * 86_400);
    assert_eq!(tokens[2]["expires"], NOW + 60 * 86_400);
    let newest = tokens[2]["id"].as_str().expect("an id");
    run(&format!("token revoke {newest}"));
    let (exit, said) = refused(&mut fixture, &format!("token rotate {newest}"));
    assert_eq!(exit, Exit::Data);
    assert!(said.contains("has been revoked or has expired; create another one"), "{said}");
    let (exit, said) = refused(&mut fixture, &format!("token rotate {id}"));
    assert_eq!(exit, Exit::Data);
    assert!(said.contains(&format!("was rotated before: rotate {newest}, which")), "{said}");
}

#[test]
fn a_token_is_described_with_its_times_and_what_it_replaces() {
    let mut fixture = Fixture::new();
    let mut run = |line: &str| run(&mut fixture, line).expect(line);
    run("tenant add acme");
    run(ADD_CREDENTIAL);
    let create = "token create --json --tenant acme --credential main-1 --limit-status 403 \
                  --not-before 1800000100";
    let created: serde_json::Value = serde_json::from_str(&run(create)).expect("JSON");
    let old = created["id"].as_str().expect("an id");
    let rotated: serde_json::Value =
        serde_json::from_str(&run(&format!("token rotate {old} --json"))).expect("JSON");
    let new = rotated["id"].as_str().expect("an id");
    run(&format!("token revoke {old}"));
    let mut row = |id: &str, name: &str| {
        let described = run(&format!("token describe {id}"));
        let found = described.lines().find_map(|line| line.strip_prefix(name));
        found.unwrap_or_else(|| panic!("no {name} in {described}")).trim().to_owned()
    };
    let (now, later) = ("Fri, 15 Jan 2027 08:00:00 GMT", "Fri, 15 Jan 2027 08:01:40 GMT");
    assert_eq!([row(old, "LIMITED"), row(new, "LIMITED")], ["403", "403"]);
    assert_eq!([row(old, "NOT BEFORE"), row(new, "NOT BEFORE")], [later, later]);
    assert_eq!([row(old, "CREATED"), row(new, "CREATED")], [now, now]);
    assert_eq!([row(old, "REVOKED"), row(new, "REVOKED")], [now, "-"]);
    assert_eq!([row(old, "REPLACED BY"), row(new, "REPLACED BY")], [new, "-"]);
    assert_eq!([row(old, "REPLACES"), row(new, "REPLACES")], ["-", old]);
}

#[test]
fn a_permission_is_given_by_its_word_and_listed() {
    for line in ["token create --help", "token create --permit x", "token set --help"] {
        let arguments = std::iter::once("tollgate").chain(line.split_whitespace());
        let said = Cli::read(arguments.map(OsString::from)).expect_err("no command").to_string();
        for permission in Permission::ALL {
            assert!(said.contains(permission.as_str()), "{line}: {said}");
        }
    }
    let mut fixture = Fixture::new();
    let mut run = |line: &str| run(&mut fixture, line).expect(line);
    run("tenant add acme");
    run(ADD_CREDENTIAL);
    let create = "token create --tenant acme --credential main-1";
    run(create);
    run(&format!("{create} --permit explain,cache:refresh"));
    let listed = run("token list");
    let rows: Vec<Vec<_>> = listed.lines().map(|l| l.split_whitespace().collect()).collect();
    let permits: Vec<_> = rows.iter().map(|row| row[8]).collect();
    assert_eq!(permits, ["PERMIT", "-", "cache:refresh,explain"]);
    let tokens: serde_json::Value = serde_json::from_str(&run("token list --json")).expect("JSON");
    assert_eq!(tokens[0]["permissions"], serde_json::json!([]));
    assert_eq!(tokens[1]["permissions"], serde_json::json!(["cache:refresh", "explain"]));
}
