//! Secrets that are tested before they are stored, where the upstream is slow or away.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tollgate::demo::simulator::{Fault, Stage};

use super::{House, value};
use crate::cli::Place;

const APPLY: &str = "POST /v1/declaration/apply";

/// The credential of a user of the panel, which is tested.
fn tested(house: &House, login: &str) -> Value {
    let user = house.place.installation.panel.user(login).expect("a user");
    json!({
        "name": login, "upstream": "main", "kind": "key", "login": user.email,
        "secret": user.api_key,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_that_is_repeated_needs_no_upstream() {
    let house = House::new().await;
    let (new, key) = (tested(&house, "alice"), [("idempotency-key", "once")]);
    let first = house.ask_with("POST /v1/credentials", &new, &key).await;
    assert_eq!(first.status, 201, "{first:?}");
    let panel = &house.place.installation.panel;
    let asked = panel.count("GET", "/profile");
    panel.fault("GET /profile", 10, Fault::EarlyStatus(503));
    let again = house.ask_with("POST /v1/credentials", &new, &key).await;
    assert_eq!((again.status, &again.body), (201, &first.body), "{again:?}");
    assert_eq!(again.header("location"), "/v1/credentials/alice");
    assert_eq!(panel.count("GET", "/profile"), asked, "it was tested once");
    // Another request under the same key is refused as such, whatever the upstream says.
    let other = tested(&house, "bob");
    let reused = house.ask_with("POST /v1/credentials", &other, &key).await;
    assert_eq!(value(&reused)["type"], "/v1/problems#idempotency-key-reused", "{reused:?}");
    let untested = house.ask("POST /v1/credentials", &other).await;
    assert_eq!(value(&untested)["type"], "/v1/problems#untested", "{untested:?}");
    assert!(
        value(&untested)["title"].as_str().is_some_and(|title| title.contains("\"test\": false"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_an_upstream_that_hangs_is_answered() {
    let place = Place::new().await;
    let file = place.installation.path("tollgate.toml");
    let text = std::fs::read_to_string(&file).expect("a file");
    let brief = "[admin]\noperation_timeout = \"500ms\"";
    place.installation.write("tollgate.toml", &text.replacen("[admin]", brief, 1));
    let server = place.serve();
    let house = House { place, server };
    let new = tested(&house, "alice");
    let gate = house.place.installation.panel.hold("GET /profile", Stage::BeforeReply, 2);
    let begun = Instant::now();
    let late = house.ask("POST /v1/credentials", &new).await;
    assert_eq!(value(&late)["type"], "/v1/problems#untested", "{late:?}");
    let detail = value(&late)["detail"].as_str().expect("a text").to_owned();
    assert!(detail.contains("no answer within 500 ms"), "{detail}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(house.get("/v1/credentials").await["items"], json!([]), "nothing was stored");
    gate.release();
    assert_eq!(house.ask("POST /v1/credentials", &new).await.status, 201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_declaration_may_have_more_secrets_than_the_upstream_has_places() {
    for (bounds, secrets) in [
        ("max_connections = 4\nmax_waiting = 4", 20),
        ("max_connections = 1\nmax_waiting = 0", 3),
        ("max_connections = 4\nqueue_timeout = \"100ms\"", 6),
    ] {
        let place = Place::configured(bounds).await;
        let server = place.serve();
        let house = House { place, server };
        let panel = &house.place.installation.panel;
        panel.delay("GET /profile", Duration::from_millis(150));
        let applied = house.ask(APPLY, &declared(&house, secrets)).await;
        assert_eq!(applied.status, 200, "{bounds}: {applied:?}");
        assert_eq!(panel.count("GET", "/profile"), secrets, "each was tested");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_declares_more_secrets_than_can_be_tested_in_time_is_answered() {
    let place = Place::configured("max_connections = 4").await;
    let file = place.installation.path("tollgate.toml");
    let text = std::fs::read_to_string(&file).expect("a file");
    let brief = "[admin]\nexchange_timeout = \"3s\"\noperation_timeout = \"900ms\"";
    place.installation.write("tollgate.toml", &text.replacen("[admin]", brief, 1));
    let server = place.serve();
    let house = House { place, server };
    house.place.installation.panel.delay("GET /profile", Duration::from_millis(300));
    let begun = Instant::now();
    let late = house.ask(APPLY, &declared(&house, 20)).await;
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    let problem = value(&late);
    assert_eq!(problem["type"], "/v1/problems#untested", "{late:?}");
    let detail = problem["detail"].as_str().expect("a text");
    for said in ["of 20 secrets", "admin.operation_timeout", "admin.exchange_timeout"] {
        assert!(detail.contains(said), "{detail}");
    }
    assert_eq!(house.get("/v1/credentials").await["items"], json!([]), "nothing was stored");
    let mut untested = declared(&house, 20);
    untested["test"] = false.into();
    assert_eq!(house.ask(APPLY, &untested).await.status, 200);
}

/// So many credentials of one user of the panel.
fn declared(house: &House, secrets: usize) -> Value {
    let user = house.place.installation.panel.user("alice").expect("a user");
    let one = json!({"upstream": "main", "email": user.email, "secret_file": "key"});
    let credentials: serde_json::Map<String, Value> =
        (0..secrets).map(|n| (format!("c{n}"), one.clone())).collect();
    json!({
        "declaration": {"credentials": credentials},
        "secrets": {"files": {"key": user.api_key}},
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_is_not_meant_is_refused_before_the_upstream_is_asked() {
    let house = House::new().await;
    let new = tested(&house, "alice");
    assert_eq!(house.ask("POST /v1/credentials", &new).await.status, 201);
    let panel = &house.place.installation.panel;
    let asked = panel.count("GET", "/profile");
    let secret = json!({"kind": "key", "login": "a@example.com", "secret": "none-of-the-panel"});
    let line = "POST /v1/credentials/alice/rotate";
    let changed = house.ask_with(line, &secret, &[("if-match", "\"other\"")]).await;
    assert_eq!((changed.status, panel.count("GET", "/profile")), (412, asked), "{changed:?}");
}
