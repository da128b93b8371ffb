//! The members of the request path that every request meets: names, records, health, bounds.

use std::{collections::HashSet, net::Ipv4Addr, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Uri};
use tollgate::{
    gateway::request_path,
    net::server::{Arrival, ClientBody},
    vocabulary::Protocol,
};
use tower::Service as _;

use crate::harness::{Reply, Speaks, World, json, until};

const VMS: &str = "/virtual_machines.json";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_has_a_name_of_its_own() {
    let w = World::new().await;
    let mut ids = HashSet::new();
    let first = w.get(VMS).as_("a").header("x-request-id", "mine").origin(json("[]"));
    let first = first.sees(|seen| assert_eq!(seen.header("x-request-id"), None)).await;
    ids.insert(first.header("x-request-id").to_owned());
    ids.insert(w.get(VMS).as_("a").await.header("x-request-id").to_owned());
    ids.insert(w.get(VMS).await.header("x-request-id").to_owned());
    assert_eq!(ids.len(), 3, "{ids:?}");
    assert!(ids.iter().all(|id| id.len() == 16), "{ids:?}");
    let log = w.access_log(3).await;
    assert!(ids.iter().all(|id| log.contains(id)), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_is_a_line_of_the_access_log() {
    let w = World::new().await;
    w.get("/virtual_machines/1.json?short&password=planted").as_("a").origin(json("{}")).await;
    w.get("/virtual_machines/1.json?short&password=planted").as_("a").over(Speaks::Http2).await;
    w.put("/virtual_machines/1.json").as_("a").origin(json("{}").status(422)).await;
    w.get("/roles/9.xml").await;
    let log = w.access_log(4).await;
    let lines: Vec<serde_json::Value> =
        log.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    let field = |i: usize, name: &str| lines[i][name].to_string().trim_matches('"').to_owned();
    assert_eq!(field(0, "route"), "/virtual_machines/:id");
    assert_eq!(lines[0]["query"], serde_json::json!(["short", "password"]));
    let words =
        |i| [field(i, "method"), field(i, "status"), field(i, "cache"), field(i, "protocol")];
    assert_eq!(words(0), ["GET", "200", "miss", "http/1.1"]);
    assert_eq!(words(1), ["GET", "200", "hit", "h2"]);
    assert_eq!(words(2), ["PUT", "422", "write", "http/1.1"]);
    assert_eq!(words(3), ["GET", "401", "none", "http/1.1"]);
    assert_eq!((field(0, "tenant"), field(0, "token")), ("a".to_owned(), w.person("a").id));
    assert_eq!(
        (field(0, "class"), field(0, "format")),
        ("inventory".to_owned(), "json".to_owned())
    );
    assert_eq!(field(3, "rejection"), "no_credentials");
    assert!(lines[3].get("tenant").is_none() && !log.contains("planted"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happened_is_counted() {
    let w = World::new().await;
    w.get(VMS).as_("a").origin(json("[]")).await;
    w.get(VMS).as_("a").await;
    w.get("/nothing.json").as_("a").origin(json("{}").status(404)).await;
    w.get(VMS).await;
    for (series, value) in [
        (r#"tollgate_requests_total{cache="hit",status="200"}"#, 1.0),
        (r#"tollgate_requests_total{cache="miss",method="GET"}"#, 1.0),
        (r#"tollgate_requests_total{cache="none",status="401"}"#, 1.0),
        (r#"tollgate_rejections_total{reason="no_credentials"}"#, 1.0),
        (r#"tollgate_cache_lookups_total{outcome="hit"}"#, 1.0),
        (r#"tollgate_cache_lookups_total{outcome="miss"}"#, 1.0),
        (r#"tollgate_upstream_requests_total{cause="fill",outcome="success"}"#, 1.0),
        (r#"tollgate_upstream_requests_total{cause="pass",outcome="client_error"}"#, 1.0),
        (r#"tollgate_request_duration_seconds_count{class="inventory"}"#, 3.0),
        ("tollgate_requests_in_flight", 0.0),
        ("tollgate_tokens", 9.0),
    ] {
        assert_eq!(w.metric(series).await, value, "{series}");
    }
    assert!(w.metric("tollgate_certificate_expiry_timestamp_seconds").await > 4e9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_health_path_needs_no_token() {
    let w = World::new().await;
    w.get("/tollgate/health")
        .expect_status(200)
        .expect_body("ok\n")
        .expect_header("cache-control", "no-store")
        .await;
    assert_eq!(w.admin("/livez").await.status, 200);
    assert_eq!(w.admin("/readyz").await.status, 200);
    let other = World::with("gateway.health_path = \"/up\"").await;
    other.get("/up").expect_status(200).await;
    other.get("/tollgate/health").expect_refusal(401, "no_credentials").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_ends_at_its_deadline_and_a_write_does_not() {
    let w = World::with("gateway.read_timeout = \"100ms\"").await;
    let slow = w.origin.expect(json("[]").gated());
    w.get(VMS).as_("a").expect_refusal(504, "deadline_exceeded").await;
    // The fetch goes on without its caller, and is kept.
    slow.release();
    slow.over().await;
    w.kept(1).await;
    w.get(VMS).as_("a").expect_cache("hit").await;
    let slow = json("{}").after(Duration::from_millis(150));
    w.put("/virtual_machines/1.json").as_("a").origin(slow).expect_status(200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_over_the_bound_of_requests_is_shed() {
    let w = World::with("gateway.max_requests = 1").await;
    let held = w.origin.expect(json("[]").gated());
    let mut client = w.connect(Speaks::Http1).await;
    let request = w.request("GET", VMS, "a");
    let reading = tokio::spawn(async move { client.send(request).await });
    held.arrived().await;
    w.get("/version.json")
        .as_("a")
        .expect_refusal(503, "overloaded")
        .expect_header("retry-after", "1")
        .await;
    // Health is about the process, so it is answered even then.
    w.get("/tollgate/health").expect_status(200).await;
    held.release();
    assert_eq!(reading.await.expect("no panic").expect("an answer").status, 200);
    w.get(VMS).as_("a").expect_cache("hit").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_is_bounded_by_what_it_says_and_by_what_it_is() {
    let w = World::with("gateway.max_body = \"1KiB\"").await;
    let large = "x".repeat(1025);
    let said = w.post(VMS).as_("a").body("application/json", large.clone());
    said.expect_refusal(413, "body_too_large").expect_header("connection", "close").await;
    let fits = "x".repeat(1024);
    let step = w.post(VMS).as_("a").body("application/json", fits.clone()).origin(json("{}"));
    step.sees(move |seen| assert_eq!(seen.body, fits.as_bytes())).expect_status(200).await;
    // In chunks it says nothing beforehand.
    let mut raw = w.raw().await;
    let fields = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n";
    w.origin.otherwise(|_| Reply::never());
    raw.send(w.raw_request("POST", VMS, "a", fields)).await;
    raw.send(format!("{:x}\r\n{large}\r\n0\r\n\r\n", large.len())).await;
    let reply = raw.reply().await;
    assert_eq!((reply.status, reply.code()), (413, "body_too_large"), "{reply:?}");
}

/// A read by "a", all of whose texts are parts of the same memory, as they are of what hyper has read.
fn arrival(w: &World, target: &str) -> (Bytes, Arrival) {
    let authorization = w.authorization("a");
    let fields = [
        ("host", "a"),
        ("authorization", &*authorization),
        ("accept", "application/json"),
        ("if-none-match", "\"x\""),
    ];
    let texts = fields.iter().fold(target.to_owned(), |texts, (_, value)| texts + value);
    let read = Bytes::from(texts);
    let mut request = Request::new(ClientBody::empty());
    *request.uri_mut() = Uri::from_maybe_shared(read.slice(..target.len())).expect("a target");
    let mut at = target.len();
    for (name, value) in fields {
        let value = HeaderValue::from_maybe_shared(read.slice(at..at + value.len()));
        let value = value.expect("a value");
        at += value.len();
        request.headers_mut().insert(name, value);
    }
    assert!(!read.is_unique(), "the request is made of it");
    let peer = (Ipv4Addr::LOCALHOST, 40_000).into();
    (read, Arrival { peer, protocol: Protocol::Http1, request })
}

/// hyper asks a connection for more as soon as a request has been handed on. If nothing of what was
/// read is kept then, it reads into the same memory again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hit_keeps_nothing_of_what_was_read() {
    const TARGET: &str = "/virtual_machines.json?page=1";
    let w = World::new().await;
    w.get(TARGET).as_("a").origin(json("[]")).await;
    let (read, arrival) = arrival(&w, TARGET);
    let answering = request_path(w.process.shared()).call(arrival);
    assert!(read.is_unique(), "something still refers to it");
    let Ok(answer) = answering.await;
    assert_eq!(answer.headers()["cache-status"], "tollgate; hit");
}

/// What was read may be some kilobytes, and nothing counts them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_of_a_read_keeps_nothing_of_what_was_read() {
    let w = World::new().await;
    let uncacheable = json("[]").header("Cache-Control", "no-store");
    for (target, reply, then) in [
        ("/virtual_machines.json?page=1", json("[]"), "hit"),
        ("/virtual_machines.json?page=2", uncacheable, "bypass:uncacheable"),
    ] {
        let _asked = w.origin.expect(reply);
        let (read, arrival) = arrival(&w, target);
        let Ok(answer) = request_path(w.process.shared()).call(arrival).await;
        assert_eq!(answer.status(), 200, "{target}");
        drop(answer);
        // The task of the fetch ends a moment after it has answered.
        until("the fetch to let go of it", || read.is_unique()).await;
        let again = w.get(target).as_("a");
        let again = if then == "hit" { again } else { again.origin(json("[]")) };
        again.expect_cache(then).await;
    }
}
