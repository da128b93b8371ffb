//! POSTs with an `Idempotency-Key`: sent once, and answered again and again.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tokio::task::JoinHandle;

use crate::harness::{Answer, Reply, Speaks, Step, World, json, secret_of, status, within};

const VMS: &str = "/virtual_machines.json";
const BODY: &str = r#"{"virtual_machine":{"label":"new"}}"#;

/// A creation of somebody's.
pub(super) fn create<'w>(w: &'w World, name: &str, key: &str) -> Step<'w> {
    w.post(VMS).as_(name).header("idempotency-key", key).body("application/json", BODY)
}

pub(super) fn made() -> Reply {
    json(r#"{"virtual_machine":{"id":7}}"#).status(201).header("Location", "/virtual_machines/7")
}

/// The same creation, on a connection of its own, to be awaited later.
pub(super) async fn begin(w: &World, name: &str, key: &str) -> JoinHandle<Answer> {
    let request = keyed(w, name, key);
    let mut client = w.connect(Speaks::Http1).await;
    tokio::spawn(async move { client.send(request).await.expect("an answer") })
}

fn keyed(w: &World, name: &str, key: &str) -> Request<Bytes> {
    let mut request = w.request("POST", VMS, name).map(|_| Bytes::from_static(BODY.as_bytes()));
    let headers = request.headers_mut();
    headers.insert("content-type", "application/json".parse().expect("a value"));
    headers.insert("idempotency-key", key.parse().expect("a value"));
    request
}

async fn counted(w: &World, outcome: &str) -> f64 {
    let series = format!("tollgate_idempotent_requests_total{{outcome=\"{outcome}\"}}");
    w.metric(&series).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_again_is_given_the_first_answer() {
    let w = World::new().await;
    let first = create(&w, "a", "a-key-of-mine")
        .origin(made())
        .sees(|seen| assert_eq!(seen.header("idempotency-key"), None))
        .expect_status(201)
        .expect_header("idempotency-replayed", "")
        .expect_cache("write")
        .await;
    for key in ["a-key-of-mine", "\"a-key-of-mine\""] {
        let again = create(&w, "a", key)
            .no_origin()
            .expect_status(201)
            .expect_body(first.body.clone())
            .expect_header("idempotency-replayed", "true")
            .expect_header("idempotency-first-request-id", first.header("x-request-id"))
            .expect_header("cache-status", "")
            .await;
        for same in ["content-type", "location", "etag"] {
            assert_eq!(again.header(same), first.header(same), "{same}");
        }
        assert_ne!(again.header("x-request-id"), first.header("x-request-id"));
    }
    // Another format is a wish about the answer, and the answer has been given.
    let again = create(&w, "a", "a-key-of-mine").accept("application/xml").no_origin();
    again.expect_body(first.body.clone()).await;
    create(&w, "a", "k2").origin(made()).expect_status(201).await;
    assert_eq!((counted(&w, "first").await, counted(&w, "replayed").await), (2.0, 3.0));
    let log = w.access_log(5).await;
    assert_eq!(log.matches("\"idempotency\":\"replayed\"").count(), 3, "{log}");
    assert!(!log.contains("of-mine"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_of_the_panels_is_an_answer() {
    let w = World::new().await;
    let invalid = || json(r#"{"errors":{"label":["is too short"]}}"#).status(422);
    let first = create(&w, "a", "k").origin(invalid()).expect_status(422).await;
    let again = create(&w, "a", "k").no_origin().expect_status(422).expect_body(first.body);
    again.expect_header("idempotency-replayed", "true").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_request_with_the_same_key_is_refused() {
    let w = World::new().await;
    create(&w, "a", "k").origin(made()).expect_status(201).await;
    let post = |target| w.post(target).as_("a").header("idempotency-key", "k");
    let others = [
        post(VMS).body("application/json", r#"{"virtual_machine":{"label":"other"}}"#),
        post(VMS).body("text/json", BODY),
        post("/virtual_machines.json?a=b").body("application/json", BODY),
        post("/disks.json").body("application/json", BODY),
        post(VMS),
    ];
    for other in others {
        let refused = other.expect_refusal(422, "idempotency_key_reused").await;
        assert!(!refused.text().contains("virtual_machine"), "{refused:?}");
    }
    assert_eq!(counted(&w, "mismatched").await, 5.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_its_tenants_and_its_credentials() {
    let w = World::new().await;
    create(&w, "a", "k").origin(made()).expect_status(201).await;
    // Another tenant, and one that shares the credential.
    for other in ["b", "c"] {
        create(&w, other, "k").origin(made()).expect_header("idempotency-replayed", "").await;
    }
    // Another token of the same tenant and credential, as after a rotation.
    create(&w, "vms", "k").no_origin().expect_header("idempotency-replayed", "true").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_is_for_those_who_may_ask() {
    let w = World::new().await;
    create(&w, "a", "k").origin(made()).expect_status(201).await;
    create(&w, "reader", "k").expect_refusal(403, "read_only_token").await;
    create(&w, "not-vms", "k").expect_refusal(403, "out_of_scope").await;
    w.post(VMS).header("idempotency-key", "k").expect_refusal(401, "no_credentials").await;
    w.revoke("a");
    w.reload();
    create(&w, "a", "k").expect_refusal(401, "invalid_token").await;
    // A replay counts against the tenant's limit like any request.
    create(&w, "tight", "k").origin(made()).expect_status(201).await;
    create(&w, "tight", "k").no_origin().expect_status(201).await;
    create(&w, "tight", "k").expect_refusal(429, "rate_limited").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_touches_nothing() {
    let w = World::with("cache.settle_window = \"50ms\"").await;
    create(&w, "a", "k").origin(made()).expect_status(201).await;
    tokio::time::sleep(Duration::from_millis(60)).await;
    w.get(VMS).as_("a").origin(json("[1]")).expect_cache("miss").await;
    create(&w, "a", "k").no_origin().expect_status(201).await;
    w.get(VMS).as_("a").expect_cache("hit").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_none_is_refused() {
    let w = World::new().await;
    for key in ["\"", "a b", &"x".repeat(256)] {
        create(&w, "a", key).expect_refusal(400, "bad_idempotency_key").await;
    }
    create(&w, "a", "k")
        .header("idempotency-key", "k")
        .expect_refusal(400, "bad_idempotency_key")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_methods_have_no_key() {
    let w = World::new().await;
    for _ in 0..2 {
        let put = w.put("/virtual_machines/7.json").as_("a").header("idempotency-key", "a b");
        put.origin(status(204)).expect_status(204).await;
        // A POST that runs as another method is one.
        let form = "application/x-www-form-urlencoded";
        let hidden = w.post("/virtual_machines/7.json").as_("a").body(form, "_method=put&a=b");
        let hidden = hidden.header("idempotency-key", "k").origin(status(204));
        hidden.sees(|seen| assert_eq!(seen.body, b"_method=put&a=b")).expect_status(204).await;
    }
    let read = w.get(VMS).as_("a").header("idempotency-key", "k").origin(json("[]"));
    read.expect_cache("miss").await;
    assert_eq!(w.metric("tollgate_idempotent_requests_total").await, 0.0);
    // A form that is a creation has its key.
    for again in [false, true] {
        let form = "application/x-www-form-urlencoded";
        let plain = w.post(VMS).as_("a").body(form, "label=new").header("idempotency-key", "f");
        if again {
            plain.expect_header("idempotency-replayed", "true").await;
        } else {
            plain.origin(made()).expect_status(201).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_at_once_is_sent_once() {
    let w = World::new().await;
    let held = w.origin.expect(made().gated());
    let first = begin(&w, "a", "k").await;
    held.arrived().await;
    let mut others = Vec::new();
    for _ in 0..4 {
        others.push(begin(&w, "a", "k").await);
    }
    within("those who wait", async {
        while w.metric("tollgate_idempotent_requests_waiting").await < 4.0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    // Another body is told at once, and another key goes on.
    let other = w.post(VMS).as_("a").header("idempotency-key", "k").body("application/json", "{}");
    other.expect_refusal(422, "idempotency_key_reused").await;
    create(&w, "a", "k2").origin(made()).expect_status(201).await;
    held.release();
    let first = first.await.expect("no panic");
    assert_eq!((first.status, first.header("idempotency-replayed")), (201, ""));
    for other in others {
        let other = other.await.expect("no panic");
        assert_eq!((other.status, &other.body), (201, &first.body));
        assert_eq!(other.header("idempotency-first-request-id"), first.header("x-request-id"));
    }
    assert_eq!(w.metric("tollgate_idempotent_requests_waiting").await, 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_has_an_end_and_so_has_the_queue() {
    for bound in ["wait_timeout = \"100ms\"", "max_waiting = 0"] {
        let w = World::with(&format!("idempotency.{bound}")).await;
        let held = w.origin.expect(made().gated());
        let first = begin(&w, "a", "k").await;
        held.arrived().await;
        create(&w, "a", "k")
            .expect_refusal(409, "idempotency_in_flight")
            .expect_header("retry-after", "1")
            .await;
        held.release();
        assert_eq!(first.await.expect("no panic").status, 201);
        create(&w, "a", "k").expect_header("idempotency-replayed", "true").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_knows_is_not_sent_again() {
    let w =
        World::with("upstreams.main = { reply_timeout = \"100ms\", breaker_failures = 0 }").await;
    let cut = made().cut(1000, "{");
    let outcomes = [
        (Reply::never(), 504),
        (Reply::reset(), 502),
        (Reply::hang_up(), 502),
        (cut, 502),
        (status(502), 502),
        (status(503), 503),
        (status(504), 504),
    ];
    for (key, (reply, answered)) in (0..).zip(outcomes) {
        let key = format!("k{key}");
        let first = create(&w, "a", &key).origin(reply).expect_status(answered).await;
        let refused = create(&w, "a", &key).expect_refusal(409, "outcome_unknown").await;
        assert!(refused.text().contains(first.header("x-request-id")), "{refused:?}");
        let other = w.post(VMS).as_("a").header("idempotency-key", &key);
        other.expect_refusal(422, "idempotency_key_reused").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_sent_frees_its_key() {
    let pool = "upstreams.main = { max_connections = 1, max_waiting = 0 }";
    let w = World::with(pool).await;
    let held = w.origin.expect(json("{}").gated());
    let mut reader = w.connect(Speaks::Http1).await;
    let request = w.request("GET", "/version.json", "b");
    let reading = tokio::spawn(async move { reader.send(request).await });
    held.arrived().await;
    create(&w, "a", "k").expect_refusal(503, "upstream_saturated").await;
    held.release();
    reading.await.expect("no panic").expect("an answer");
    create(&w, "a", "k").origin(made()).expect_status(201).await;
    // No format, so it was not sent either.
    let wish = || w.post("/virtual_machines").as_("a").header("idempotency-key", "k2");
    wish().accept("text/html").expect_refusal(406, "not_acceptable").await;
    wish().accept("application/json").origin(made()).expect_status(201).await;
    // The upstream has done nothing.
    let unauthorized = Reply::new(401).body("who?");
    create(&w, "a", "k3").origin(unauthorized).expect_refusal(502, "credential_refused").await;
    create(&w, "a", "k3").origin(status(429)).expect_status(429).await;
    create(&w, "a", "k3").origin(made()).expect_status(201).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_reached_frees_its_key() {
    let w = World::with("upstreams.main.url = \"http://127.0.0.1:9\"").await;
    for _ in 0..2 {
        create(&w, "a", "k").expect_refusal(502, "upstream_unreachable").await;
    }
    assert_eq!(counted(&w, "first").await, 2.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_finds_its_answer_later() {
    let w = World::new().await;
    let held = w.origin.expect(made().gated());
    let leaving = begin(&w, "a", "k").await;
    held.arrived().await;
    leaving.abort();
    drop(leaving.await);
    held.release();
    held.over().await;
    create(&w, "a", "k").no_origin().expect_status(201).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_is_not_kept() {
    let w = World::with("idempotency = { max_reply = \"1KiB\", max_body = \"1KiB\" }").await;
    let large = format!("{{\"note\":\"{}\"}}", "x".repeat(2000));
    let reply = json(large.clone()).status(201);
    create(&w, "a", "k").origin(reply).expect_status(201).expect_body(large.clone()).await;
    create(&w, "a", "k").expect_refusal(409, "answer_not_kept").await;
    let long = w.post(VMS).as_("a").header("idempotency-key", "k2").body("application/json", large);
    let refused = long.expect_refusal(413, "body_too_large").await;
    assert!(refused.text().contains("idempotency.max_body"), "{refused:?}");
    assert_eq!((counted(&w, "unkept").await, counted(&w, "too_large").await), (1.0, 1.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_has_so_many_keys() {
    let w = World::with("idempotency.max_keys_per_tenant = 1").await;
    create(&w, "a", "k").origin(made()).expect_status(201).await;
    create(&w, "a", "k2").expect_refusal(429, "too_many_idempotency_keys").await;
    create(&w, "a", "k").no_origin().expect_status(201).await;
    create(&w, "b", "k2").origin(made()).expect_status(201).await;
    w.post(VMS).as_("a").body("application/json", BODY).origin(made()).expect_status(201).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_forgotten_in_time() {
    let w = World::with(
        "idempotency = { retention = \"200ms\", lease = \"100ms\", wait_timeout = \"100ms\" }",
    )
    .await;
    create(&w, "a", "k").origin(made()).expect_status(201).await;
    tokio::time::sleep(Duration::from_millis(250)).await;
    create(&w, "a", "k").origin(made()).expect_header("idempotency-replayed", "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_is_sealed_and_masked() {
    const PLANTED: &str = "planted-first-root-password";
    let w = World::new().await;
    let body = format!("{{\"root\":\"{PLANTED}\",\"key\":\"{}\"}}", secret_of("a"));
    let asked = || {
        let post = w.post(VMS).as_("a").header("idempotency-key", "planted-key");
        post.body("application/json", r#"{"password":"planted-wish"}"#)
    };
    let first = asked().origin(json(body).status(201)).await;
    assert!(first.text().contains(PLANTED) && !first.text().contains(&secret_of("a")));
    asked().no_origin().expect_body(first.body).expect_header("idempotency-replayed", "true").await;
    let bytes = w.store_bytes();
    for secret in [PLANTED, "planted-key", "planted-wish", &secret_of("a")] {
        assert!(memchr::memmem::find(&bytes, secret.as_bytes()).is_none(), "{secret}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_it_is_not_wished_for_the_header_is_ignored() {
    let w = World::with("idempotency.enabled = false").await;
    for _ in 0..2 {
        create(&w, "a", "a b").origin(made()).expect_header("idempotency-replayed", "").await;
    }
}
