//! Who may what, and what is written down of it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::{Value, json};

use super::{House, credential, plain, value};
use crate::{
    cli::{Installation, Place},
    panel::direct,
};

/// Every operation with the least role that it takes, and a body that reaches what decides.
fn operations(id: &str) -> Vec<(String, Value, &'static str)> {
    let quotas = json!({"name": "x"});
    let secret = json!({"kind": "key", "login": "l", "secret": "s"});
    let of = |line: &str, body: &Value, role| (line.replace("ID", id), body.clone(), role);
    let none = &Value::Null;
    vec![
        of("GET /v1/tenants", none, "viewer"),
        of("GET /v1/tenants/alice", none, "viewer"),
        of("POST /v1/tenants", &quotas, "operator"),
        of("PATCH /v1/tenants/alice", &json!({}), "operator"),
        of("DELETE /v1/tenants/alice", none, "operator"),
        of("GET /v1/credentials", none, "viewer"),
        of("GET /v1/credentials/alice", none, "viewer"),
        of("POST /v1/credentials", &credential("x"), "owner"),
        of("PATCH /v1/credentials/alice", &json!({}), "owner"),
        of("DELETE /v1/credentials/alice", none, "owner"),
        of("POST /v1/credentials/alice/rotate", &secret, "owner"),
        of("GET /v1/tokens", none, "viewer"),
        of("POST /v1/tokens", &json!({"tenant": "alice", "credential": "alice"}), "operator"),
        of("GET /v1/tokens/ID", none, "viewer"),
        of("PATCH /v1/tokens/ID", &json!({}), "operator"),
        of("GET /v1/tokens/ID/policies", none, "viewer"),
        of("PUT /v1/tokens/ID/policies", &json!({}), "operator"),
        of("POST /v1/tokens/ID/rotate", &json!({}), "operator"),
        of("POST /v1/tokens/none/revoke", none, "operator"),
        of("GET /v1/declaration", none, "owner"),
        of("POST /v1/declaration/plan", &json!({"declaration": {}}), "operator"),
        of("POST /v1/declaration/apply", &json!({"declaration": {}}), "operator"),
        of("GET /v1/admin-tokens", none, "viewer"),
        of("GET /v1/admin-tokens/viewer", none, "viewer"),
        of("POST /v1/admin-tokens", &json!({"name": "y", "role": "viewer"}), "owner"),
        of("POST /v1/admin-tokens/none/revoke", none, "owner"),
        of("GET /v1/upstreams", none, "viewer"),
        of("GET /v1/vault/keys", none, "viewer"),
        of("POST /v1/vault/rotate", none, "owner"),
        of("GET /v1/key-rotations", none, "viewer"),
        of("POST /v1/key-rotations", &json!({"credential": "alice"}), "owner"),
        of("GET /v1/key-rotations/1", none, "viewer"),
        of("POST /v1/key-rotations/1/use", none, "owner"),
        of("POST /v1/key-rotations/1/forget", none, "owner"),
        of("GET /v1/pending-keys", none, "viewer"),
        of("DELETE /v1/pending-keys/1", none, "owner"),
        of("POST /v1/pending-keys/1/claim", &json!({"credential": "z"}), "owner"),
        of("GET /v1/audit", none, "viewer"),
        of("GET /v1/audit/verify", none, "viewer"),
        of("POST /v1/audit/accept", none, "owner"),
        of("POST /v1/import", none, "owner"),
        of("POST /v1/purge", &json!({"all": true}), "operator"),
        of("GET /v1/explain/0123456789abcdef", none, "operator"),
        of(
            "POST /v1/explain",
            &json!({"method": "GET", "path": "/version.json", "token": id}),
            "operator",
        ),
        of("GET /v1/formats", none, "viewer"),
        of("POST /v1/formats", &json!([]), "operator"),
    ]
}

const ROLES: [&str; 3] = ["viewer", "operator", "owner"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_may_what_it_is_for_and_no_more() {
    let house = House::uncounted().await;
    let id = house.furnish("alice").await;
    let mut tokens = Vec::new();
    for role in ROLES {
        tokens.push(house.operator(role, role).await);
    }
    let operations = operations(&id);
    for (line, body, least) in &operations {
        let least = ROLES.iter().position(|role| role == least).expect("a role");
        for (has, token) in tokens.iter().enumerate() {
            let answer = house.ask_as(token, line, body, &[]).await;
            let refused = answer.status == 403;
            assert_eq!(refused, has < least, "{} {line}: {answer:?}", ROLES[has]);
            assert!(![401, 405, 415, 500].contains(&answer.status), "{line}: {answer:?}");
        }
        for token in ["", "wrong-wrong-wrong-wrong-wrong-wrong-wrong", &id] {
            let answer = house.ask_as(token, line, body, &[]).await;
            assert_eq!(answer.status, 401, "{line} with {token:?}: {answer:?}");
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
    }
    let document = house.get("/v1/openapi.json").await;
    let paths = document["paths"].as_object().expect("paths");
    let documented: usize =
        paths.values().map(|item| item.as_object().expect("operations").len()).sum();
    assert_eq!(documented, operations.len(), "an operation is not in this list");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_reads_secrets_or_makes_keys_only_an_owner_gives_away() {
    let house = House::new().await;
    let plain = house.furnish("alice").await;
    let operator = house.operator("bob", "operator").await;
    for permission in ["secrets:read", "credentials:manage"] {
        let change = json!({"permissions": [permission]});
        let mut new = json!({"tenant": "alice", "credential": "alice"});
        new["permissions"] = json!([permission]);
        let as_operator =
            async |line: &str, body: &Value| house.ask_as(&operator, line, body, &[]).await.status;
        assert_eq!(as_operator("POST /v1/tokens", &new).await, 403);
        assert_eq!(as_operator(&format!("PATCH /v1/tokens/{plain}"), &change).await, 403);
        let made = value(&house.ask("POST /v1/tokens", &new).await);
        let id = made["id"].as_str().expect("an id");
        // The successor would be shown to whoever asks for it.
        assert_eq!(as_operator(&format!("POST /v1/tokens/{id}/rotate"), &json!({})).await, 403);
        // Its policies are what it may not with that, and without them it may more.
        assert_eq!(as_operator(&format!("PUT /v1/tokens/{id}/policies"), &json!({})).await, 403);
        let wider = json!({"policies": {}});
        assert_eq!(as_operator(&format!("PATCH /v1/tokens/{id}"), &wider).await, 403);
        let less = json!({"permissions": ["explain"], "policies": {}});
        assert_eq!(as_operator(&format!("PATCH /v1/tokens/{id}"), &less).await, 200);
        assert_eq!(as_operator(&format!("PUT /v1/tokens/{id}/policies"), &json!({})).await, 200);
        assert_eq!(as_operator(&format!("POST /v1/tokens/{id}/rotate"), &json!({})).await, 201);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_did_and_who_may_not_is_written_down_by_name() {
    let house = House::new().await;
    let bob = house.operator("bob", "operator").await;
    let eve = house.operator("eve", "viewer").await;
    let new = json!({"name": "acme"});
    assert_eq!(house.ask_as(&bob, "POST /v1/tenants", &new, &[]).await.status, 201);
    assert_eq!(house.ask_as(&bob, "POST /v1/purge", &json!({"all": true}), &[]).await.status, 200);
    assert_eq!(house.ask_as(&eve, "DELETE /v1/tenants/acme", &json!(null), &[]).await.status, 403);
    let wrong = "wrong-wrong-wrong-wrong-wrong-wrong-wrong";
    assert_eq!(house.ask_as(wrong, "GET /v1/tenants", &json!(null), &[]).await.status, 401);
    let log = house.log();
    let told: Vec<Value> = log
        .iter()
        .map(|line| {
            let event = &line["event"];
            let fields = ["action", "decision", "object", "reason", "method", "route"];
            let told = fields.iter().map(|name| event[*name].clone());
            std::iter::once(event["actor"]["name"].clone()).chain(told).collect()
        })
        .collect();
    for expected in [
        json!([null, "admin-token.create", "done", "bob", "role: operator", null, null]),
        json!(["bob", "tenant.add", "done", "acme", null, null, null]),
        json!([
            "eve",
            "admin.request",
            "refused",
            null,
            "forbidden",
            "DELETE",
            "/v1/tenants/{name}"
        ]),
        json!([null, "admin.request", "refused", null, "unauthorized", "GET", "/v1/tenants"]),
    ] {
        assert!(told.contains(&expected), "{expected} is not in {told:#?}");
    }
    let purge = told.iter().find(|event| event[1] == "purge").expect("the purge");
    assert_eq!((&purge[0], &purge[2]), (&json!("bob"), &json!("done")));
    let refused = log.iter().find(|line| line["event"]["decision"] == "refused").expect("one");
    assert_eq!(refused["event"]["from"], "127.0.0.1");
    let text = serde_json::to_string(&log).expect("JSON");
    assert!(!text.contains(wrong) && !text.contains(&bob), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_changed_is_written_down_with_where_it_was_asked_for() {
    let house = House::new().await;
    let id = house.furnish("alice").await;
    let reads = json!({"reads": {"per_second": 5, "burst": 5}, "limit_status": 403});
    let manages = json!({"permissions": ["secrets:read"], "policies": {}});
    let reaches = json!({"reach": "own", "account": "a-secret-that-was-typed-there"});
    let mut ids = Vec::new();
    for (line, body) in [
        ("PATCH /v1/tenants/alice".to_owned(), reads),
        (format!("PATCH /v1/tokens/{id}"), manages),
        ("PATCH /v1/credentials/alice".to_owned(), reaches),
        ("POST /v1/purge".to_owned(), json!({"all": true})),
    ] {
        let answer = house.ask(&line, &body).await;
        assert_eq!(answer.status, 200, "{line}: {answer:?}");
        ids.push(answer.header("x-request-id").to_owned());
    }
    let refused = house.ask_as(&id, "GET /v1/tenants", &json!(null), &[]).await;
    ids.push(refused.header("x-request-id").to_owned());
    let log = house.log();
    let told = |action: &str, reason: Option<&str>, id: &str| {
        log.iter().any(|line| {
            let event = &line["event"];
            (&event["action"], &event["reason"]) == (&json!(action), &json!(reason))
                && (&event["from"], &event["request_id"]) == (&json!("127.0.0.1"), &json!(id))
        })
    };
    for (action, reason, id) in [
        ("tenant.set", Some("reads, limit_status"), &ids[0]),
        ("token.set", Some("permissions: secrets:read"), &ids[1]),
        ("token.set", Some("policies"), &ids[1]),
        ("credential.set", Some("reach, account"), &ids[2]),
        ("purge", None, &ids[3]),
        ("admin.request", Some("unauthorized"), &ids[4]),
    ] {
        assert!(told(action, reason, id), "{action} {reason:?} {id} is not in {log:#?}");
    }
    let mut names: Vec<_> = ids.iter().collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 5, "each request has an id of its own");
    assert!(!serde_json::to_string(&log).expect("JSON").contains("a-secret-that-was-typed"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_the_store_is_no_more_where_it_is_configured() {
    let place = Place::new().await;
    let created = place.installation.json("admin-token create eve --role viewer", "");
    let eve = created["token"].as_str().expect("a token").to_owned();
    place.installation.write("admin.token", &eve);
    let house = House { server: place.serve(), place };
    let new = json!({"name": "acme"});
    let as_eve = async |line: &str, body: &Value| house.ask_as(&eve, line, body, &[]).await.status;
    assert_eq!(as_eve("GET /v1/tenants", &Value::Null).await, 200);
    assert_eq!(as_eve("POST /v1/tenants", &new).await, 403);
    // A text of one's own is nobody's, where it is not configured.
    assert_eq!(house.ask("GET /v1/tenants", &Value::Null).await.status, 401);
    house.place.run(&["tenant", "list"]).good();
    house.place.installation.json("admin-token revoke eve", "");
    assert_eq!(as_eve("GET /v1/tenants", &Value::Null).await, 401);
    let refused = house.place.run(&["tenant", "list"]);
    assert_eq!(refused.code, Some(77), "{refused:?}");
    let cut = &eve[..eve.len() - 1];
    house.place.installation.write("admin.token", cut);
    let refused = house.place.run(&["serve"]);
    assert_eq!(refused.code, Some(78), "{refused:?}");
    assert!(refused.err.contains("no whole token of an operator"), "{refused:?}");
    assert!(!refused.err.contains(cut), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_configured_token_wrong_ones_are_wrong_and_written_down() {
    let installation = Installation::new().await;
    let server = installation.serve();
    let wrong = "wrong-wrong-wrong-wrong-wrong-wrong-wrong";
    for (token, detail) in [(wrong, "is wrong"), ("", "admin.token_file")] {
        let request = plain("GET /v1/tenants", token).body(Bytes::new()).expect("a request");
        let answer = direct(server.admin, request).await;
        assert_eq!(
            (answer.status, answer.header("www-authenticate")),
            (401, "Bearer"),
            "{answer:?}"
        );
        assert!(answer.text().contains(detail), "{answer:?}");
    }
    assert_eq!(server.terminate().code, Some(0));
    let out = installation.run(&["audit", "export"], "").good();
    assert_eq!(out.matches(r#""reason":"unauthorized""#).count(), 1, "{out}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_hide_nobody_and_lock_nobody_out() {
    let house = House::new().await;
    let eve = house.operator("eve", "viewer").await;
    let mut statuses = Vec::new();
    let wrong = "wrong-wrong-wrong-wrong-wrong-wrong-wrong";
    for _ in 0..30 {
        let answer = house.ask_as(wrong, "GET /v1/tenants", &json!(null), &[]).await;
        if answer.status == 429 {
            let wait: u64 = answer.header("retry-after").parse().expect("seconds");
            assert!((1..=3).contains(&wait), "{answer:?}");
        }
        statuses.push(answer.status);
    }
    assert_eq!((statuses[19], statuses[29]), (401, 429), "{statuses:?}");
    let as_eve = async |line: &str| house.ask_as(&eve, line, &json!(null), &[]).await.status;
    assert_eq!(as_eve("GET /v1/tenants").await, 200);
    assert_eq!(as_eve("DELETE /v1/tenants/acme").await, 403);
    let log = house.log();
    let refused: Vec<&Value> = log
        .iter()
        .map(|line| &line["event"])
        .filter(|event| event["action"] == "admin.request")
        .collect();
    let strangers = refused.iter().filter(|event| event["actor"]["name"].is_null()).count();
    assert_eq!((strangers, refused.len()), (6, 7), "{refused:#?}");
    assert_eq!(refused[6]["actor"]["name"], "eve");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_token_ends_when_it_is_revoked_or_expires() {
    let house = House::new().await;
    let bob = house.operator("bob", "owner").await;
    assert!(bob.starts_with("tg_admin_"), "a scanner knows it");
    let get =
        async |token: &str| house.ask_as(token, "GET /v1/tenants", &Value::Null, &[]).await.status;
    assert_eq!(get(&bob).await, 200);
    let shown = house.get("/v1/admin-tokens").await.to_string();
    assert!(!shown.contains(bob.split('_').nth(3).expect("a secret")), "{shown}");
    assert_eq!(house.ask("POST /v1/admin-tokens/bob/revoke", &Value::Null).await.status, 200);
    assert_eq!(get(&bob).await, 401);
    let again = json!({"name": "bob", "role": "viewer"});
    assert_eq!(house.ask("POST /v1/admin-tokens", &again).await.status, 409);

    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let brief = json!({"name": "brief", "role": "viewer", "expires": now + 2});
    let brief = value(&house.ask("POST /v1/admin-tokens", &brief).await);
    let brief = brief["token"].as_str().expect("a token");
    assert_eq!(get(brief).await, 200);
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert_eq!(get(brief).await, 401);
    let past = json!({"name": "past", "role": "viewer", "expires": now});
    assert_eq!(house.ask("POST /v1/admin-tokens", &past).await.status, 422);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_token_is_no_token_of_a_tenant_nor_the_other_way_round() {
    let house = House::new().await;
    let bob = house.operator("bob", "owner").await;
    house.server.answers(&bob, 401, "invalid_token").await;
    house.furnish("alice").await;
    let new = json!({"tenant": "alice", "credential": "alice"});
    let token = value(&house.ask("POST /v1/tokens", &new).await);
    let token = token["token"].as_str().expect("a token");
    let answer = house.ask_as(token, "GET /v1/tenants", &Value::Null, &[]).await;
    assert_eq!(answer.status, 401, "{answer:?}");
}
