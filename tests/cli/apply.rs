//! Files that declare tenants, credentials and tokens: planned, applied, and written from a store.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
};

use serde_json::{Value, json};

use super::Installation;
use crate::{harness::Postgres, program::Ended};

/// A tenant of the panel's user `alice`, whose key is in a file beside.
const DECLARED: &str = r#"
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

/// An installation with a file that declares something.
fn declare(installation: &Installation, text: &str) {
    let key = installation.panel.user("alice").expect("a user").api_key;
    installation.write("alice.key", &format!("{key}\n"));
    installation.write("declared.toml", text);
}

fn apply(installation: &Installation, more: &str) -> Ended {
    let file = installation.path("declared.toml").display().to_string();
    let line = format!("apply {file} {more}");
    let line = line.replace("TOKENS", &installation.path("tokens").display().to_string());
    installation.run(&line.split_whitespace().collect::<Vec<_>>(), "")
}

fn created(installation: &Installation) -> Vec<Value> {
    let text = fs::read_to_string(installation.path("tokens")).expect("tokens");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_declared_is_served_and_an_export_declares_it() {
    let installation = Installation::new().await;
    declare(&installation, DECLARED);
    let server = installation.serve();

    let planned = apply(&installation, "--dry-run").good();
    for line in
        ["create tenant alice\n", "    reads: \"100/200\"\n", "create token alice/billing\n"]
    {
        assert!(planned.contains(line), "{planned}");
    }
    assert!(planned.ends_with("nothing was applied: --dry-run\n"), "{planned}");
    assert_eq!(installation.json("tenant list", ""), json!([]));

    for (more, code, why) in [
        ("", 64, "tokens to be created: 1"),
        ("--tokens-out TOKENS", 64, "--yes is needed"),
        ("--yes", 64, "--tokens-out"),
        ("--yes --dry-run", 64, "cannot be used with"),
    ] {
        let refused = apply(&installation, more);
        assert_eq!(refused.code, Some(code), "{more}: {refused:?}");
        assert!(refused.err.contains(why), "{more}: {refused:?}");
    }
    assert!(!installation.path("tokens").exists());

    let applied = apply(&installation, "--yes --tokens-out TOKENS").good();
    assert!(applied.ends_with("to create 3, to change 0, to remove 0, to keep 0\napplied\n"));
    let mode = fs::metadata(installation.path("tokens")).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let tokens = created(&installation);
    assert_eq!((tokens.len(), &tokens[0]["name"]), (1, &"alice/billing".into()));
    let token = tokens[0]["token"].as_str().expect("a token").to_owned();
    assert!(!applied.contains(&token));
    server.answers(&token, 200, "").await;
    assert!(server.get(&token, "/profile.json").await.text().contains("alice@example.com"));

    let again = apply(&installation, "").good();
    assert!(again.ends_with("to keep 3\nthe store is as declared\n"), "{again}");
    let exported = installation.run(&["export"], "").good();
    assert!(!exported.contains(&token) && !exported.contains("secret_file = "), "{exported}");
    declare(&installation, &exported);
    assert!(apply(&installation, "--prune").good().ends_with("the store is as declared\n"));
    assert_eq!(server.terminate().code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_declared_no_more_is_gone_from_a_running_server() {
    let installation = Installation::new().await;
    declare(&installation, DECLARED);
    apply(&installation, "--yes --tokens-out TOKENS").good();
    let token = created(&installation)[0]["token"].as_str().expect("a token").to_owned();
    let server = installation.serve();
    server.answers(&token, 200, "").await;

    let tight = DECLARED.replace("100/200", "1/1");
    declare(&installation, &tight);
    let changed: Value =
        serde_json::from_str(&apply(&installation, "--yes --json").good()).expect("JSON");
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

    declare(&installation, "[tenants.alice]\n[credentials.alice]\nupstream = \"main\"\n");
    let left = apply(&installation, "--yes").good();
    assert!(left.contains("not declared, left alone: token alice/billing"), "{left}");
    server.answers(&token, 200, "").await;
    let pruned = apply(&installation, "--yes --prune").good();
    assert!(pruned.contains("remove token alice/billing"), "{pruned}");
    server.answers(&token, 401, "invalid_token").await;
    assert_eq!(server.terminate().code, Some(0));

    let log = installation.run(&["audit", "export"], "").good();
    let actions: Vec<String> = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["event"]["action"].clone())
        .filter_map(|action| action.as_str().map(str::to_owned))
        .filter(|action| action != "request")
        .collect();
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
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_problem_is_named_and_nothing_is_applied() {
    let installation = Installation::new().await;
    let wrong = DECLARED.replace("100/200", "many").replace("\"main\"", "\"moon\"");
    declare(&installation, &wrong.replace("alice.key", "none.key"));
    let refused = apply(&installation, "--yes --tokens-out TOKENS");
    assert_eq!((refused.code, &*refused.out), (Some(65), ""), "{refused:?}");
    for what in [
        "declared.toml: line 3: tenants.alice.reads",
        "line 6: credentials.alice.upstream",
        "line 8: credentials.alice.secret_file",
        "none.key cannot be read",
    ] {
        assert!(refused.err.contains(what), "{what}: {refused:?}");
    }
    assert_eq!(installation.json("tenant list", ""), json!([]));
    assert!(!installation.path("tokens").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_the_same_on_either_store_and_moves_from_one_to_the_other() {
    let postgres = Postgres::start();
    let on_server = Installation::on(&postgres.url()).await;
    let in_file = Installation::new().await;
    declare(&on_server, DECLARED);
    let shown = apply(&on_server, "--yes --json --tokens-out TOKENS").good();
    let exported = on_server.run(&["export"], "").good();
    // Only what a secret is made of is not in an export.
    let moved = exported.replace("reach =", "secret_file = \"alice.key\"\nreach =");
    declare(&in_file, &moved);
    assert_eq!(apply(&in_file, "--yes --json --tokens-out TOKENS").good(), shown);
    assert_eq!(in_file.run(&["export"], "").good(), exported);

    // A file that is there is somebody's, and without a place for its secret no token is created.
    let more = moved + "[[tokens]]\ntenant = \"alice\"\ncredential = \"alice\"\nlabel = \"new\"\n";
    declare(&in_file, &more);
    let before = fs::metadata(in_file.path("tokens")).expect("a file").size();
    let refused = apply(&in_file, "--yes --tokens-out TOKENS");
    assert_eq!(refused.code, Some(73), "{refused:?}");
    assert_eq!(fs::metadata(in_file.path("tokens")).expect("a file").size(), before);
    assert_eq!(in_file.json("token list", "").as_array().map(Vec::len), Some(1));
}
