//! Tags, conditions, and creates that are repeated; on either store.

use serde_json::{Value, json};

use super::{House, credential, value};
use crate::{cli::Place, harness::Postgres};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_depends_on_the_tag_if_that_is_wished() {
    let house = House::new().await;
    house.ask("POST /v1/tenants", &json!({"name": "acme"})).await;
    let shown = house.ask("GET /v1/tenants/acme", &Value::Null).await;
    let first = shown.header("etag").to_owned();
    assert!(first.starts_with('"') && first.ends_with('"'), "{first}");
    let again =
        house.ask_with("GET /v1/tenants/acme", &Value::Null, &[("if-none-match", &first)]).await;
    assert_eq!((again.status, again.body.len(), again.header("etag")), (304, 0, &*first));

    let change = json!({"limit_status": 403});
    let meant = [("if-match", &*first)];
    let changed = house.ask_with("PATCH /v1/tenants/acme", &change, &meant).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    let second = changed.header("etag").to_owned();
    assert_ne!(first, second);
    for line in ["PATCH /v1/tenants/acme", "DELETE /v1/tenants/acme"] {
        let body = if line.starts_with('P') { &change } else { &Value::Null };
        let late = house.ask_with(line, body, &meant).await;
        assert_eq!(late.status, 412, "{line}: {late:?}");
        assert!(late.text().contains(second.trim_matches('"')), "{late:?}");
    }
    let removed =
        house.ask_with("DELETE /v1/tenants/acme", &Value::Null, &[("if-match", &second)]).await;
    assert_eq!(removed.status, 204, "{removed:?}");
    let gone = house.ask_with("DELETE /v1/tenants/acme", &Value::Null, &meant).await;
    assert_eq!(gone.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_change_the_same_state_one_is_refused() {
    let house = House::new().await;
    house.ask("POST /v1/tenants", &json!({"name": "acme"})).await;
    let tag = house.ask("GET /v1/tenants/acme", &Value::Null).await.header("etag").to_owned();
    let meant = [("if-match", &*tag)];
    let one = json!({"reads": {"per_second": 1, "burst": 1}});
    let other = json!({"reads": {"per_second": 2, "burst": 2}});
    let (one, other) = tokio::join!(
        house.ask_with("PATCH /v1/tenants/acme", &one, &meant),
        house.ask_with("PATCH /v1/tenants/acme", &other, &meant),
    );
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_used_is_still_what_it_was() {
    let house = House::new().await;
    let token = house.place.installation.tenant("alice");
    let listed = house.get("/v1/tokens").await;
    let path = format!("/v1/tokens/{}", listed["items"][0]["id"].as_str().expect("an id"));
    let shown = house.ask(&format!("GET {path}"), &Value::Null).await;
    assert_eq!(value(&shown)["used"], Value::Null, "{shown:?}");
    let first = shown.header("etag").to_owned();
    house.server.answers(&token, 200, "").await;
    let begun = std::time::Instant::now();
    while house.get(&path).await["used"].is_null() {
        assert!(begun.elapsed() < std::time::Duration::from_secs(10), "its use is not seen");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    // How it is used is shown to who has the tag, too.
    let again =
        house.ask_with(&format!("GET {path}"), &Value::Null, &[("if-none-match", &first)]).await;
    assert_eq!((again.status, again.header("etag")), (200, &*first), "{again:?}");
    let change = json!({"permissions": ["explain"]});
    let meant = [("if-match", &*first)];
    let changed = house.ask_with(&format!("PATCH {path}"), &change, &meant).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    let late = house.ask_with(&format!("PATCH {path}"), &change, &meant).await;
    assert_eq!(late.status, 412, "{late:?}");
    let second = house.ask(&format!("GET {path}"), &Value::Null).await.header("etag").to_owned();
    assert!(late.text().contains(second.trim_matches('"')), "{late:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_with_a_key_is_done_once_and_answered_again() {
    let postgres = Postgres::start();
    for store in [None, Some(postgres.url())] {
        let place = match store {
            None => Place::new().await,
            Some(url) => Place::on(&url).await,
        };
        let server = place.serve();
        let house = House { place, server };
        once(&house).await;
        no_edit(&house).await;
    }
}

async fn once(house: &House) {
    house.furnish("alice").await;
    let new = json!({"tenant": "alice", "credential": "alice"});
    let key = [("idempotency-key", "first")];
    // At once, as a client does that hears nothing.
    let (one, two) = tokio::join!(
        house.ask_with("POST /v1/tokens", &new, &key),
        house.ask_with("POST /v1/tokens", &new, &key),
    );
    assert_eq!((one.status, two.status), (201, 201), "{one:?} {two:?}");
    assert_eq!((&one.body, one.header("location")), (&two.body, two.header("location")));
    let tokens = async || house.get("/v1/tokens").await["items"].as_array().map(Vec::len);
    assert_eq!(tokens().await, Some(2), "one of them is the furniture");

    let another = json!({"tenant": "alice", "credential": "alice", "label": "x"});
    let reused = house.ask_with("POST /v1/tokens", &another, &key).await;
    assert_eq!(reused.status, 422, "{reused:?}");
    let elsewhere = house.ask_with("POST /v1/tenants", &json!({"name": "b"}), &key).await;
    assert_eq!(elsewhere.status, 422, "{elsewhere:?}");
    let other = house.ask_with("POST /v1/tokens", &new, &[("idempotency-key", "second")]).await;
    assert_ne!(other.body, one.body);
    assert_eq!(tokens().await, Some(3));

    // Somebody else's key is another, and what was refused is not kept.
    let bob = house.operator("bob", "operator").await;
    let own = house.ask_as(&bob, "POST /v1/tokens", &new, &key).await;
    assert_ne!(own.body, one.body, "{own:?}");
    let third = [("idempotency-key", "third")];
    let missing = json!({"tenant": "carol", "credential": "alice"});
    assert_eq!(house.ask_with("POST /v1/tokens", &missing, &third).await.status, 404);
    house.ask("POST /v1/tenants", &json!({"name": "carol"})).await;
    assert_eq!(house.ask_with("POST /v1/tokens", &missing, &third).await.status, 201);

    let twice = json!({"name": "twice"});
    let fourth = [("idempotency-key", "fourth")];
    for _ in 0..2 {
        let added = house.ask_with("POST /v1/tenants", &twice, &fourth).await;
        assert_eq!((added.status, &value(&added)["name"]), (201, &json!("twice")));
    }
    assert_eq!(house.ask("POST /v1/tenants", &twice).await.status, 409);
}

/// Who says once more what was said changes nothing: no server reads the store anew for it, and nobody's
/// plan is out of date.
async fn no_edit(house: &House) {
    let revision = async || {
        let planned = house.ask("POST /v1/declaration/plan", &json!({"declaration": {}})).await;
        planned.header("etag").to_owned()
    };
    let id = house.furnish("dave").await;
    let secret =
        json!({"kind": "password", "login": "dave", "secret": "yet-another-one", "test": false});
    for (line, body) in [
        ("POST /v1/tenants", json!({"name": "erin"})),
        ("POST /v1/credentials", credential("erin")),
        ("POST /v1/tokens", json!({"tenant": "erin", "credential": "erin"})),
        ("POST /v1/admin-tokens", json!({"name": "erin", "role": "viewer"})),
        (&format!("POST /v1/tokens/{id}/rotate"), json!({})),
        ("POST /v1/credentials/dave/rotate", secret),
        ("POST /v1/declaration/apply", json!({"declaration": {"tenants": {"frank": {}}}})),
    ] {
        let key = [("idempotency-key", line)];
        let before = revision().await;
        let first = house.ask_with(line, &body, &key).await;
        assert!((200..300).contains(&first.status), "{line}: {first:?}");
        let done = revision().await;
        assert_ne!(before, done, "{line}");
        let again = house.ask_with(line, &body, &key).await;
        assert_eq!((again.status, &again.body), (first.status, &first.body), "{line}");
        assert_eq!(revision().await, done, "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_of_an_answer_that_is_kept_stands_in_the_store() {
    let house = House::new().await;
    house.furnish("alice").await;
    let new = json!({"tenant": "alice", "credential": "alice"});
    let created = house.ask_with("POST /v1/tokens", &new, &[("idempotency-key", "k")]).await;
    let mut bob = credential("bob");
    bob["secret"] = "planted-secret-of-bob".into();
    house.ask_with("POST /v1/credentials", &bob, &[("idempotency-key", "l")]).await;
    let token = value(&created)["token"].as_str().expect("a token").to_owned();
    let secret = token.split('_').nth(3).expect("a secret");
    for name in ["tollgate.db", "tollgate.db-wal"] {
        let file = std::fs::read(house.place.installation.path(name)).expect("a store");
        for planted in [secret, "planted-secret-of-bob"] {
            let found = file.windows(planted.len()).any(|window| window == planted.as_bytes());
            assert!(!found, "{planted} stands in {name}");
        }
    }
}
