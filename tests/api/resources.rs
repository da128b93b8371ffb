//! Tenants, credentials and tokens: made, shown, listed, changed and gone.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{House, credential, value};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_is_added_shown_changed_and_removed() {
    let house = House::new().await;
    let quota = json!({"per_second": 5, "burst": 10});
    let added = house.ask("POST /v1/tenants", &json!({"name": "acme", "reads": quota})).await;
    assert_eq!((added.status, added.header("location")), (201, "/v1/tenants/acme"), "{added:?}");
    let shown = house.get("/v1/tenants/acme").await;
    assert_eq!(shown, value(&added));
    let listed = house.place.installation.json("tenant list", "");
    assert_eq!(listed, json!([shown]), "what is printed is what is sent");
    let change = json!({"reads": null, "writes": quota, "default_format": "xml"});
    let changed = house.ask("PATCH /v1/tenants/acme", &change).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    let shown = house.get("/v1/tenants/acme").await;
    let fields = ["reads", "writes", "default_format", "limit_status"].map(|name| &shown[name]);
    assert_eq!(fields, [&Value::Null, &quota, &json!("xml"), &json!(429)]);
    assert_eq!(house.ask("DELETE /v1/tenants/acme", &Value::Null).await.status, 204);
    assert_eq!(house.ask("GET /v1/tenants/acme", &Value::Null).await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_secret_of_a_credential_goes_in_and_never_comes_out() {
    let house = House::new().await;
    let added = house.ask("POST /v1/credentials", &credential("alice")).await;
    assert_eq!(added.status, 201, "{added:?}");
    let standing = json!({"reach": "own", "account": "alice"});
    let changed = house.ask("PATCH /v1/credentials/alice", &standing).await;
    assert_eq!(value(&changed)["reach"], "own");
    let other =
        json!({"kind": "key", "login": "a@example.com", "secret": "another-secret", "test": false});
    let rotated = house.ask("POST /v1/credentials/alice/rotate", &other).await;
    assert_eq!(value(&rotated), json!({"credential": "alice", "generation": 2}));
    let listed = house.get("/v1/credentials").await;
    assert_eq!((&listed["items"][0]["kind"], &listed["next"]), (&json!("key"), &Value::Null));
    for answer in [added, changed, rotated] {
        let text = answer.text();
        assert!(!text.contains("secret") && !text.contains("a@example.com"), "{text}");
    }
    assert!(!listed.to_string().contains("secret"), "{listed}");
    // What the panel does not take is not stored, unless it is not to be asked.
    let mut untaken = credential("bob");
    untaken["test"] = true.into();
    let refused = house.ask("POST /v1/credentials", &untaken).await;
    assert_eq!(
        (refused.status, value(&refused)["type"].as_str()),
        (422, Some("/v1/problems#untaken"))
    );
    let untested = json!({"kind": "key", "login": "a@example.com", "secret": "yet-another-one"});
    assert_eq!(house.ask("POST /v1/credentials/alice/rotate", &untested).await.status, 422);
    assert_eq!(house.get("/v1/credentials").await["items"].as_array().map(Vec::len), Some(1));
    let mut own = credential("bob");
    own["reach"] = "own".into();
    assert_eq!(house.ask("POST /v1/credentials", &own).await.status, 422);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_works_is_rotated_and_revoked() {
    let house = House::new().await;
    let key = house.place.installation.panel.user("alice").expect("a user").api_key;
    house.ask("POST /v1/tenants", &json!({"name": "alice"})).await;
    let mut of_alice = credential("alice");
    of_alice["kind"] = "key".into();
    of_alice["login"] = "alice@example.com".into();
    of_alice["secret"] = key.into();
    house.ask("POST /v1/credentials", &of_alice).await;
    let new =
        json!({"tenant": "alice", "credential": "alice", "access": "read-only", "label": "x"});
    let created = value(&house.ask("POST /v1/tokens", &new).await);
    let (id, token) = (created["id"].as_str().expect("an id"), created["token"].as_str());
    let token = token.expect("a token");
    house.server.answers(token, 200, "").await;
    let shown = house.get(&format!("/v1/tokens/{id}")).await;
    assert_eq!((&shown["access"], &shown["label"]), (&json!("read-only"), &json!("x")));
    assert!(!shown.to_string().contains(token.split('_').nth(3).expect("a secret")));

    let rotate = format!("POST /v1/tokens/{id}/rotate");
    let rotated = house.ask(&rotate, &json!({"overlap_seconds": 3600})).await;
    assert_eq!(rotated.status, 201, "{rotated:?}");
    let rotated = value(&rotated);
    assert_eq!((&rotated["replaces"], &rotated["expires"]), (&json!(id), &Value::Null));
    let successor = rotated["id"].as_str().expect("an id");
    let again = house.ask(&rotate, &json!({})).await;
    assert_eq!(again.status, 409, "{again:?}");
    let why = value(&again)["detail"].to_string();
    assert!(why.contains(&format!("rotate {successor}, which")), "{why}");
    let dead = json!({"expires": 1});
    let never = house.ask(&format!("POST /v1/tokens/{successor}/rotate"), &dead).await;
    assert_eq!(never.status, 422, "{never:?}");
    assert_eq!(house.get(&format!("/v1/tokens/{successor}")).await["expires"], Value::Null);
    house.server.answers(rotated["token"].as_str().expect("a token"), 200, "").await;

    let revoke = format!("POST /v1/tokens/{id}/revoke");
    let revoked = value(&house.ask(&revoke, &Value::Null).await);
    assert_eq!(revoked, json!({"id": id, "revoked": true}));
    assert_eq!(value(&house.ask(&revoke, &Value::Null).await)["before"], true);
    // So many tries may have come before their tokens were known, that the address is told to wait.
    let begun = Instant::now();
    while house.server.get(token, "/version.json").await.status == 200 {
        assert!(begun.elapsed() < Duration::from_secs(1), "it is still good");
    }
    assert_eq!(house.ask(&rotate, &json!({})).await.status, 409);
    let listed = house.get("/v1/tokens?tenant=alice").await;
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(house.get("/v1/tokens?tenant=bob").await["items"], json!([]));
    let printed = house.place.installation.json("token list", "");
    assert_eq!(printed, listed["items"], "what is printed is what is sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_are_replaced_as_a_whole() {
    let house = House::new().await;
    let id = house.furnish("alice").await;
    let path = format!("/v1/tokens/{id}/policies");
    assert_eq!(house.get(&path).await, json!({}));
    let policies = json!({"methods": {"only": ["GET"]}, "monthly": {"reads": 10}});
    let set = house.ask(&format!("PUT {path}"), &policies).await;
    assert_eq!((set.status, value(&set)), (200, policies.clone()));
    assert_eq!(house.get(&path).await, policies);
    let wrong = json!({"methods": {"only": ["GRAB"]}});
    assert_eq!(house.ask(&format!("PUT {path}"), &wrong).await.status, 422);
    assert_eq!(house.get(&path).await, policies);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_comes_in_parts_that_make_the_whole() {
    let house = House::new().await;
    let names: Vec<String> = (0..7).map(|n| format!("t{n}")).collect();
    for name in &names {
        house.ask("POST /v1/tenants", &json!({"name": name})).await;
    }
    let mut path = "/v1/tenants?limit=3".to_owned();
    let mut found = Vec::new();
    let mut parts = 0;
    loop {
        let part = house.get(&path).await;
        let items = part["items"].as_array().expect("a list");
        found.extend(items.iter().map(|item| item["name"].as_str().expect("a name").to_owned()));
        parts += 1;
        let Some(next) = part["next"].as_str() else { break };
        path = format!("/v1/tenants?limit=3&cursor={next}");
    }
    assert_eq!((found, parts), (names, 3));
    for query in ["limit=0", "limit=1001", "limit=x", "cursor=!", "cursor=", "limits=1"] {
        let refused = house.ask(&format!("GET /v1/tenants?{query}"), &Value::Null).await;
        assert_eq!(refused.status, 400, "{query}: {refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_log_upstreams_and_an_import_are_there() {
    let house = House::new().await;
    let lines = concat!(
        r#"{"tenant":{"name":"a"},"credential":{"name":"a","upstream":"main","login":"u","password":"p"}}"#,
        "\n",
    );
    let import = async |lines: &str| {
        let request = super::plain("POST /v1/import", crate::cli::TOKEN)
            .header("content-type", "application/x-ndjson");
        let body = bytes::Bytes::copy_from_slice(lines.as_bytes());
        crate::panel::direct(house.server.admin, request.body(body).expect("a request")).await
    };
    let imported = import(lines).await;
    assert_eq!(value(&imported)["tenants"], 1, "{imported:?}");
    let bad = import("{}\nno JSON\n").await;
    assert_eq!(bad.status, 422, "{bad:?}");
    assert_eq!(value(&bad)["errors"].as_array().map(Vec::len), Some(2));
    let upstreams = house.get("/v1/upstreams").await;
    assert_eq!(upstreams["items"][0]["url"], house.place.installation.panel.url());
    let log = house.get("/v1/audit?limit=1").await;
    assert_eq!(log["items"][0]["event"]["action"], "tenant.add");
    let next = log["next"].as_str().expect("there is more");
    let rest = house.get(&format!("/v1/audit?cursor={next}")).await;
    assert_eq!(rest["items"][0]["sequence"], 2);
    let verified = house.get("/v1/audit/verify").await;
    assert_eq!((&verified["first"], &verified["last"]), (&json!(1), &json!(2)), "{verified}");
}
