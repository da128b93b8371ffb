//! What is refused, and how that is said.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};

use super::{House, plain, value};
use crate::{
    cli::{Place, TOKEN},
    harness::{Answer, Postgres},
    panel::direct,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_problem_details_of_a_kind_that_is_listed() {
    let house = House::new().await;
    house.ask("POST /v1/tenants", &json!({"name": "acme"})).await;
    let kinds = house.get("/v1/problems").await;
    let long = "x".repeat(2 << 20);
    let acme = json!({"name": "acme"});
    for (line, body, status, detail) in [
        ("GET /v1/tenants/nobody", json!(null), 404, "there is no tenant \"nobody\""),
        ("GET /v1/nothing", json!(null), 404, "/v1/openapi.json"),
        ("PUT /v1/tenants", acme.clone(), 405, "not done"),
        ("POST /v1/tenants", acme, 409, "already a tenant \"acme\""),
        ("POST /v1/tenants", json!({"name": "a b"}), 422, "is no name"),
        ("POST /v1/tenants", json!({"name": "a", "colour": 1}), 400, "unknown field `colour`"),
        (
            "POST /v1/tenants",
            json!({"name": "a", "reads": {"per_second": 0, "burst": 1}}),
            400,
            "0",
        ),
        ("POST /v1/tenants", json!({"name": "a", "limit_status": 500}), 400, "429 or 403"),
        ("POST /v1/tenants", json!({"name": "a", "default_format": "yaml"}), 400, "json, xml"),
        ("POST /v1/tenants", json!({"name": "a\u{0}"}), 400, "NUL"),
        ("POST /v1/tenants", json!({"name": long}), 413, "1048576 bytes"),
        ("GET /v1/tenants/a%00b", json!(null), 400, "NUL"),
        ("POST /v1/tokens", json!({"tenant": "acme", "credential": "x"}), 404, "no credential"),
        ("GET /v1/explain/1", json!(null), 400, "16 hexadecimal digits"),
        ("PATCH /v1/tenants/acme", json!([null, null]), 400, "sequence, expected struct"),
        ("POST /v1/tenants", json!({"name": "a", "reads": [5, 10]}), 400, "expected struct Quota"),
        (
            "POST /v1/key-rotations",
            json!({"credential": "x", "unrecoverable": true}),
            422,
            "of no use without replace",
        ),
        ("POST /v1/formats", json!({}), 400, "map, expected a sequence"),
        ("POST /v1/formats", json!([["main", "/a"]]), 400, "expected struct Shown"),
    ] {
        let answer = house.ask(line, &body).await;
        let problem = problem(&answer, &kinds);
        assert_eq!(answer.status, status, "{line}: {problem}");
        assert!(problem["detail"].as_str().is_some_and(|said| said.contains(detail)), "{problem}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_of_another_kind_is_refused() {
    let house = House::new().await;
    let kinds = house.get("/v1/problems").await;
    for (kind, body, status) in [
        ("text/plain", r#"{"name":"a"}"#, 415),
        ("application/x-www-form-urlencoded", "name=a", 415),
        ("application/json", "name=a", 400),
        ("application/json", "", 400),
        ("application/merge-patch+json; charset=utf-8", r#"{"name":"a"}"#, 201),
    ] {
        let request = plain("POST /v1/tenants", TOKEN).header("content-type", kind);
        let request = request.body(Bytes::from_static(body.as_bytes())).expect("a request");
        let answer = direct(house.server.admin, request).await;
        assert_eq!(answer.status, status, "{kind}: {answer:?}");
        if status >= 400 {
            problem(&answer, &kinds);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_store_is_away_operators_are_told_to_wait() {
    let mut postgres = Postgres::start();
    let place = Place::on(&postgres.url()).await;
    let server = place.serve();
    let house = House { place, server };
    house.furnish("alice").await;
    let kinds = house.get("/v1/problems").await;
    postgres.stop();
    let begun = Instant::now();
    let away = house.ask("GET /v1/tenants", &Value::Null).await;
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
    let said = problem(&away, &kinds);
    assert_eq!((away.status, away.header("retry-after")), (503, "1"), "{said}");
    postgres.resume();
    let begun = Instant::now();
    while house.ask("GET /v1/tenants", &Value::Null).await.status != 200 {
        assert!(begun.elapsed() < Duration::from_secs(15), "it does not come back");
    }
}

/// The problem that an answer tells of, once it is found to be one.
fn problem(answer: &Answer, kinds: &Value) -> Value {
    assert_eq!(answer.header("content-type"), "application/problem+json", "{answer:?}");
    let problem = value(answer);
    assert_eq!(problem["status"], answer.status, "{problem}");
    let kind =
        kinds.as_array().expect("a list").iter().find(|kind| kind["type"] == problem["type"]);
    let kind = kind.unwrap_or_else(|| panic!("{problem} is of no kind"));
    assert_eq!((&kind["title"], &kind["status"]), (&problem["title"], &problem["status"]));
    assert!(problem["errors"].as_array().is_some_and(|errors| !errors.is_empty()), "{problem}");
    problem
}
