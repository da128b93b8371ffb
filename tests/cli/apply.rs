//! Files that declare tenants, credentials and tokens: planned, applied, and written from a store, through
//! the server that runs and on the store itself.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
};

use serde_json::{Value, json};

use super::{Installation, Place, Server};
use crate::{harness::Postgres, program::Ended};

/// A tenant of the panel's user `alice`, whose key is in a file beside.
pub(super) const DECLARED: &str = r#"
[tenants.alice]
reads = "100/200"

[credentials.alice]
upstream = "main"
email = "alice@example.com"
secret_file = "alice.key"
reach = "own"
account = "alice"

[[tokens]]
tenant = "alice"
credential = "alice"
label = "billing"
"#;

/// Who does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Server,
    Store,
}

const WAYS: [Way; 2] = [Way::Server, Way::Store];

/// An installation with a file that declares something.
pub(super) fn declare(installation: &Installation, text: &str) {
    let key = installation.panel.user("alice").expect("a user").api_key;
    installation.write("alice.key", &format!("{key}\n"));
    installation.write("declared.toml", text);
}

async fn place() -> (Place, Server) {
    let place = Place::new().await;
    let server = place.serve();
    (place, server)
}

fn run(place: &Place, way: Way, args: &[&str]) -> Ended {
    match way {
        Way::Server => place.run(args),
        Way::Store => place.installation.run(args, ""),
    }
}

fn apply(place: &Place, way: Way, more: &str) -> Ended {
    let path = |name: &str| place.installation.path(name).display().to_string();
    let line = format!("apply {} {more}", path("declared.toml"));
    let line = line.replace("TOKENS", &path("tokens"));
    run(place, way, &line.split_whitespace().collect::<Vec<_>>())
}

pub(super) fn created(installation: &Installation) -> Vec<Value> {
    let text = fs::read_to_string(installation.path("tokens")).expect("tokens");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_declared_is_served_and_an_export_declares_it() {
    for way in WAYS {
        let (place, server) = place().await;
        declare(&place.installation, DECLARED);

        let planned = apply(&place, way, "--dry-run").good();
        for line in
            ["create tenant alice\n", "    reads: \"100/200\"\n", "create token alice/billing\n"]
        {
            assert!(planned.contains(line), "{planned}");
        }
        assert!(planned.ends_with("nothing was applied: --dry-run\n"), "{planned}");
        assert_eq!(place.installation.json("tenant list", ""), json!([]));

        for (more, code, why) in [
            ("", 64, "tokens to be created: 1"),
            ("--tokens-out TOKENS", 64, "--yes is needed"),
            ("--yes", 64, "--tokens-out"),
            ("--yes --dry-run", 64, "cannot be used with"),
        ] {
            let refused = apply(&place, way, more);
            assert_eq!(refused.code, Some(code), "{more}: {refused:?}");
            assert!(refused.err.contains(why), "{more}: {refused:?}");
        }
        assert!(!place.installation.path("tokens").exists());

        let applied = apply(&place, way, "--yes --tokens-out TOKENS").good();
        assert!(applied.ends_with("to create 3, to change 0, to remove 0, to keep 0\napplied\n"));
        let file = fs::metadata(place.installation.path("tokens")).expect("a file");
        assert_eq!(file.permissions().mode() & 0o777, 0o600);
        let tokens = created(&place.installation);
        assert_eq!((tokens.len(), &tokens[0]["name"]), (1, &"alice/billing".into()));
        let token = tokens[0]["token"].as_str().expect("a token").to_owned();
        assert!(!applied.contains(&token));
        server.answers(&token, 200, "").await;
        assert!(server.get(&token, "/profile.json").await.text().contains("alice@example.com"));

        let again = apply(&place, way, "").good();
        assert!(again.ends_with("to keep 3\nthe store is as declared\n"), "{again}");
        let [exported, same] = WAYS.map(|way| run(&place, way, &["export"]).good());
        assert!(!exported.contains(&token) && !exported.contains("secret_file = "), "{exported}");
        assert_eq!(exported, same);
        let [one, other] = WAYS.map(|way| run(&place, way, &["export", "--json"]).good());
        assert_eq!(one, other);
        assert!(one.contains("\"email\":\"alice@example.com\"") && !one.contains(&token), "{one}");
        declare(&place.installation, &exported);
        assert!(apply(&place, way, "--prune").good().ends_with("the store is as declared\n"));
        assert_eq!(server.terminate().code, Some(0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_the_panel_does_not_take_is_not_stored() {
    for way in WAYS {
        let (place, server) = place().await;
        declare(&place.installation, DECLARED);
        place.installation.write("alice.key", "mistyped\n");
        let refused = apply(&place, way, "--yes --tokens-out TOKENS");
        assert_ne!(refused.code, Some(0), "{way:?}: {refused:?}");
        assert!(refused.err.contains("alice") && refused.err.contains("401"), "{refused:?}");
        assert!(!refused.err.contains("mistyped"), "{refused:?}");
        assert_eq!(place.installation.json("tenant list", ""), json!([]));
        assert!(!place.installation.path("tokens").exists());
        apply(&place, way, "--yes --no-test --tokens-out TOKENS").good();
        assert_eq!(server.terminate().code, Some(0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_declared_no_more_is_gone_from_a_running_server() {
    for way in WAYS {
        let (place, server) = place().await;
        declare(&place.installation, DECLARED);
        apply(&place, way, "--yes --tokens-out TOKENS").good();
        let token = created(&place.installation)[0]["token"].as_str().expect("one").to_owned();
        server.answers(&token, 200, "").await;

        let tight = DECLARED.replace("100/200", "1/1");
        declare(&place.installation, &tight);
        let changed: Value =
            serde_json::from_str(&apply(&place, way, "--yes --json").good()).expect("JSON");
        assert_eq!(
            changed["steps"],
            json!([{"act": "change", "kind": "tenant", "name": "alice",
                    "changes": [{"key": "reads", "old": "100/200", "new": "1/1"}]}])
        );
        assert_eq!(
            (&changed["applied"], changed["kept"].as_array().map(Vec::len)),
            (&true.into(), Some(2))
        );
        server.answers(&token, 429, "rate_limited").await;

        declare(&place.installation, "[tenants.alice]\n[credentials.alice]\nupstream = \"main\"\n");
        let left = apply(&place, way, "--yes").good();
        assert!(left.contains("not declared, left alone: token alice/billing"), "{left}");
        server.answers(&token, 200, "").await;
        let pruned = apply(&place, way, "--yes --prune").good();
        assert!(pruned.contains("remove token alice/billing"), "{pruned}");
        server.answers(&token, 401, "invalid_token").await;
        assert_eq!(server.terminate().code, Some(0));

        let log = place.installation.run(&["audit", "export"], "").good();
        let events: Vec<Value> =
            log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let events: Vec<&Value> =
            events.iter().map(|line| &line["event"]).filter(|e| e["action"] != "request").collect();
        let actions: Vec<&str> = events.iter().filter_map(|e| e["action"].as_str()).collect();
        let wanted = [
            "tenant.add",
            "credential.add",
            "token.create",
            "tenant.set",
            "tenant.set",
            "credential.set",
            "token.revoke",
        ];
        assert_eq!(actions, wanted);
        let by = if way == Way::Server { "admin-token" } else { "operator" };
        assert!(events.iter().all(|event| event["actor"]["kind"] == by), "{events:?}");
    }
}

/// Wrong in the file, in what it names, and in what the store or the configuration has.
const WRONG: &str = r#"[tenants.alice]
reads = "many"
writs = "5"
[credentials.alice]
upstream = "moon"
login = "alice"
email = "alice@example.com"
[credentials.bob]
upstream = "moon"
email = "bob@example.com"
secret_file = "none.key"
[credentials.carol]
upstream = "main"
[[tokens]]
tenant = "nobody"
credential = "bob"
label = "x"
[[tokens]]
tenant = "alice"
credential = "bob"
label = "y"
allow = ["moons"]
expires = 2030-01-01
policies = { creates = { at_most = 0, window_seconds = 1 } }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_problem_is_named_with_its_line_and_nothing_is_applied() {
    let (place, server) = place().await;
    declare(&place.installation, WRONG);
    let [online, offline] = WAYS.map(|way| {
        let refused = apply(&place, way, "--yes --tokens-out TOKENS");
        assert_eq!((refused.code, &*refused.out), (Some(65), ""), "{refused:?}");
        let mut lines: Vec<String> = refused.err.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    });
    assert_eq!(online, offline);
    let said = offline.join("\n");
    for what in [
        "declared.toml: line 2: tenants.alice.reads",
        "line 3: tenants.alice.writs",
        "line 7: credentials.alice.email: give either",
        "line 9: credentials.bob.upstream: there is no upstream",
        "line 11: credentials.bob.secret_file: ",
        "none.key cannot be read",
        "line 12: credentials.carol.secret_file: a new credential needs its secret",
        "line 15: tokens.tenant: there is no tenant",
        "line 22: tokens.allow: \"moons\" is neither",
        "line 23: tokens.expires: expected a time",
        "line 24: tokens.policies: creates",
    ] {
        assert!(said.contains(what), "{what} is not in {said}");
    }
    assert_eq!(place.installation.json("tenant list", ""), json!([]));
    assert!(!place.installation.path("tokens").exists());
    assert_eq!(server.terminate().code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_the_same_on_either_store_and_moves_from_one_to_the_other() {
    let postgres = Postgres::start();
    let on_server = Place::on(&postgres.url()).await;
    let server = on_server.serve();
    let in_file = Place::new().await;
    declare(&on_server.installation, DECLARED);
    let shown = apply(&on_server, Way::Server, "--yes --json --tokens-out TOKENS").good();
    let exported = on_server.run(&["export"]).good();
    assert_eq!(server.terminate().code, Some(0));
    // Only what a secret is made of is not in an export.
    let moved = exported.replace("reach =", "secret_file = \"alice.key\"\nreach =");
    declare(&in_file.installation, &moved);
    let applied = apply(&in_file, Way::Store, "--yes --json --tokens-out TOKENS").good();
    assert_eq!(applied, shown);
    assert_eq!(run(&in_file, Way::Store, &["export"]).good(), exported);

    // A file that is there is somebody's, and without a place for its secret no token is created.
    let more = moved + "[[tokens]]\ntenant = \"alice\"\ncredential = \"alice\"\nlabel = \"new\"\n";
    declare(&in_file.installation, &more);
    let server = in_file.serve();
    let tokens = in_file.installation.path("tokens");
    let before = fs::metadata(&tokens).expect("a file").size();
    for way in WAYS {
        let refused = apply(&in_file, way, "--yes --tokens-out TOKENS");
        assert_eq!(refused.code, Some(73), "{refused:?}");
        assert_eq!(fs::metadata(&tokens).expect("a file").size(), before);
    }
    assert_eq!(in_file.installation.json("token list", "").as_array().map(Vec::len), Some(1));
    assert_eq!(server.terminate().code, Some(0));
}
