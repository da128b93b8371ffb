//! The OpenAPI document, held against the server by schemathesis, as it is on PyPI.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{House, credential};
use crate::{
    cli::{Place, TOKEN},
    harness::{Answer, Postgres},
    program,
};

/// What it does not check: that whatever fits a schema is accepted. No schema says which cursor a list
/// has given, or what a tag is now.
const UNCHECKED: &str = "positive_data_acceptance";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemathesis_finds_nothing() {
    // It presents a wrong token to every operation, and is to be told each time that it is wrong.
    let house = House::uncounted().await;
    house.furnish("alice").await;
    let document = format!("http://{}/v1/openapi.json", house.server.admin);
    let begun = Instant::now();
    let folder = tempfile::tempdir().expect("a folder");
    let header = format!("Authorization: Bearer {TOKEN}");
    let arguments = [
        "-m",
        "schemathesis.cli",
        "--no-color",
        "run",
        &document,
        "--header",
        &header,
        "--checks",
        "all",
        "--exclude-checks",
        UNCHECKED,
        "--max-examples",
        "12",
        "--generation-deterministic",
        "--max-response-time",
        "5",
    ];
    let mut command = program::command(python(), arguments);
    command.current_dir(folder.path()).env("NO_PROXY", "127.0.0.1");
    // Hundreds of requests, one after the other, and as many changes of the store.
    let ended = program::run_within(Duration::from_secs(300), command, "").await;
    println!("{}", ended.out);
    assert_eq!(ended.code, Some(0), "{}{}", ended.out, ended.err);
    println!("within {} s", begun.elapsed().as_secs());
    // It has asked for something, and the server is none the worse for it.
    let log = house.get("/v1/audit/verify").await;
    assert!(log["last"].as_u64() > Some(3), "{log}");
    assert_eq!(house.ask("GET /v1/tenants", &Value::Null).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_document_is_openapi_3_1_and_says_who_may() {
    let house = House::new().await;
    let document = house.get("/v1/openapi.json").await;
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["security"], json!([{"adminToken": []}]));
    assert_eq!(document["components"]["securitySchemes"]["adminToken"]["scheme"], "bearer");
    let secret = &document["components"]["schemas"]["Secret"];
    assert_eq!(secret["writeOnly"], true);
    let mut ids = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let what = format!("{method} {path}");
            ids.push(operation["operationId"].as_str().expect("an id").to_owned());
            assert!(operation["summary"].is_string(), "{what}");
            let responses = &operation["responses"];
            for status in ["400", "401", "403", "503"] {
                assert!(responses[status].is_object(), "{what}: {status}");
            }
            let unread = &responses["431"];
            assert!(unread["description"].is_string(), "{what}: {unread}");
            assert_eq!((&unread["content"], &unread["headers"]), (&Value::Null, &Value::Null));
        }
    }
    // What was kept may not open with the keys of today.
    let uses = &document["paths"]["/v1/key-rotations/{id}/use"]["post"]["responses"];
    assert!(uses["422"].is_object(), "{uses}");
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "an id is used twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_is_too_large_is_refused_as_the_document_says() {
    let house = House::new().await;
    let long = format!("GET /v1/tokens?cursor={}", "a".repeat(17 << 10));
    let many: Vec<String> = (0..65).map(|n| format!("x-field-{n}")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|name| (&**name, "1")).collect();
    for (line, headers) in [(&*long, &[][..]), ("GET /v1/tokens", &many[..])] {
        let refused = house.ask_with(line, &Value::Null, headers).await;
        assert_eq!((refused.status, refused.body.len()), (431, 0), "{refused:?}");
        assert_eq!(refused.headers.get("x-request-id"), None, "{refused:?}");
    }
    // What is read is refused where it is longer than the document says.
    let document = house.get("/v1/openapi.json").await;
    for (path, name, longest) in [
        ("/v1/tokens", "cursor", "YWJj"),
        ("/v1/tenants", "cursor", "YWJj"),
        ("/v1/tokens", "tenant", "alice"),
        ("/v1/audit/verify", "head", "1:aa"),
    ] {
        let parameters = document["paths"][path]["get"]["parameters"].as_array().expect("a list");
        let named = parameters.iter().find(|parameter| parameter["name"] == name);
        let most = named.expect(name)["schema"]["maxLength"].as_u64().expect("a length");
        let more = longest.repeat(most as usize / longest.len() + 1);
        let refused = house.ask(&format!("GET {path}?{name}={more}"), &Value::Null).await;
        assert_eq!(refused.status, 400, "{path} {name}: {refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_answered_while_the_audit_log_is_broken_is_in_the_document() {
    let postgres = Postgres::start();
    let place = Place::on(&postgres.url()).await;
    let server = place.serve();
    let house = House { place, server };
    let id = house.furnish("alice").await;
    house.operator("bob", "viewer").await;
    let document = house.get("/v1/openapi.json").await;
    postgres.query("DELETE FROM audit_heads");
    let mut lines = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            if method != "get" {
                lines.push((format!("{} {path}", method.to_uppercase()), &operation["responses"]));
            }
        }
    }
    // Last comes what makes the log begin anew.
    lines.sort_by_key(|(line, _)| line.contains("/audit/"));
    let mut done = Vec::new();
    for (line, documented) in &lines {
        let answer = edit(&house, line, &id).await;
        assert!(documented[answer.status.to_string()].is_object(), "{line}: {answer:?}");
        if answer.status != 409 {
            done.push((&**line, answer.status));
        }
    }
    let others = [
        ("POST /v1/declaration/plan", 200),
        ("POST /v1/explain", 200),
        ("POST /v1/formats", 200),
        ("POST /v1/purge", 200),
        ("POST /v1/audit/accept", 200),
    ];
    assert_eq!(done, others, "what is no edit of the store");
    assert!(lines.len() > 25, "{}", lines.len());
}

/// Asks for an edit as it would be done, if only the audit log were whole.
async fn edit(house: &House, line: &str, id: &str) -> Answer {
    let (_, path) = line.split_once(' ').expect("a path");
    let name = if path.starts_with("/v1/admin-tokens") { "bob" } else { "alice" };
    let number = if path.starts_with("/v1/tokens") { id } else { "1" };
    let body = match line {
        "POST /v1/tenants" => json!({"name": "new"}),
        "PATCH /v1/tenants/{name}" => json!({"limit_status": 403}),
        "POST /v1/credentials" => credential("new"),
        "PATCH /v1/credentials/{name}" => json!({"reach": "own", "account": "alice"}),
        "POST /v1/credentials/{name}/rotate" => {
            json!({"kind": "key", "login": "a@example.com", "secret": "another", "test": false})
        }
        "POST /v1/tokens" => json!({"tenant": "alice", "credential": "alice"}),
        "PATCH /v1/tokens/{id}" => json!({"permissions": ["explain"]}),
        "PUT /v1/tokens/{id}/policies" => json!({"monthly": {"reads": 10}}),
        "POST /v1/admin-tokens" => json!({"name": "new", "role": "viewer"}),
        "POST /v1/key-rotations" | "POST /v1/pending-keys/{id}/claim" => {
            json!({"credential": "alice"})
        }
        "POST /v1/purge" => json!({"all": true}),
        "POST /v1/formats" => json!([]),
        "POST /v1/explain" => json!({"token": id, "method": "GET", "path": "/version.json"}),
        "POST /v1/import" => {
            let credential =
                json!({"name": "new", "upstream": "main", "login": "u", "password": "p"});
            json!({"tenant": {"name": "new"}, "credential": credential})
        }
        line if line.starts_with("POST /v1/declaration/") => {
            json!({"declaration": {"tenants": {"new": {}}}})
        }
        line if line.starts_with("DELETE ") || line.starts_with("POST /v1/vault/") => Value::Null,
        _ => json!({}),
    };
    let line = line.replace("{name}", name).replace("{id}", number);
    let lines = [("content-type", "application/x-ndjson")];
    house.ask_with(&line, &body, if path == "/v1/import" { &lines } else { &[] }).await
}

/// The python that has schemathesis; `./test` makes one.
fn python() -> PathBuf {
    let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-venv/bin/python");
    let python = std::env::var_os("TOLLGATE_TEST_PYTHON").map_or(made, PathBuf::from);
    assert!(
        python.is_file(),
        "{} is missing: run ./test once, or set TOLLGATE_TEST_PYTHON to a python that has \
         schemathesis 4.32.5 from PyPI",
        python.display()
    );
    python
}
