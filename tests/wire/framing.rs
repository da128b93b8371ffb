//! Where a message ends is never in doubt: what could be read in two ways is refused and closed.

use crate::harness::{World, json};

/// Heads that never reach the upstream.
const MALFORMED: &[&str] = &[
    "GET /version.json HTTP/1.1\nHost: a\n\n",
    "GET /version.json HTTP/1.1\r\nHost: a\n\r\n",
    "GET /version.json HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
    "GET /version.json HTTP/1.1\r\nHost : a\r\n\r\n",
    "GET /version.json HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n",
    "GET /version.json#x HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET  /version.json HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /version.json HTTP/1.1 \r\nHost: a\r\n\r\n",
    "GET /version.json HTTP/2.0\r\nHost: a\r\n\r\n",
    "GET /vers ion.json HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /virtual_machines.json HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST /virtual_machines.json HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
    "POST /virtual_machines.json HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\nx",
    "POST /virtual_machines.json HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx",
    "POST /virtual_machines.json HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\nx",
    "POST /virtual_machines.json HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\nx",
    "POST /virtual_machines.json HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "POST /virtual_machines.json HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "POST /virtual_machines.json HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST /virtual_machines.json HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
];

const SMUGGLED: &str = "GET /smuggled.json HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_head_is_refused_and_what_follows_is_not_read() {
    let w = World::with("server.linger_timeout = \"20ms\"").await;
    let authorization = format!("\r\nAuthorization: {}\r\n", w.authorization("a"));
    for head in MALFORMED {
        // With a good token in it, so that only its form can be the reason.
        let head = head.replacen("\r\n", &authorization, 1);
        let mut raw = w.raw().await;
        raw.send(format!("{head}{SMUGGLED}")).await;
        let all = raw.rest().await;
        assert!(all.starts_with("HTTP/1.1 400 "), "{head:?}: {all:?}");
        assert_eq!(all.matches("HTTP/1.1").count(), 1, "{head:?}: {all:?}");
    }
    assert_eq!(w.origin.seen(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_body_never_becomes_a_whole_one() {
    let w = World::with("server.linger_timeout = \"20ms\"").await;
    let fields = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n";
    for body in [
        "x\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello!\r\n0\r\n\r\n",
        "0\r\n\n",
        "10000000000000000\r\n",
    ] {
        // The head may get there; the end of the body must not.
        let written = w.origin.expect(json("{}"));
        let mut raw = w.raw().await;
        raw.send(w.raw_request("POST", "/virtual_machines.json", "a", fields)).await;
        written.arrived().await;
        raw.send(format!("{body}{SMUGGLED}")).await;
        let all = raw.rest().await;
        assert!(all.starts_with("HTTP/1.1 400 "), "{body:?}: {all:?}");
        assert!(all.contains("\r\nTollgate-Error: body_broken\r\n"), "{body:?}: {all:?}");
        assert_eq!(all.matches("HTTP/1.1").count(), 1, "{body:?}: {all:?}");
        written.over().await;
    }
    assert!(w.origin.seen().iter().all(|s| s.target == "/virtual_machines.json"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_may_follow_each_other_without_waiting() {
    let w = World::new().await;
    let held = w.origin.expect(json("[1]").gated());
    let second = w.origin.expect(json("{}"));
    let mut raw = w.raw().await;
    let list = w.raw_request("GET", "/virtual_machines.json", "a", "");
    let put = w.raw_request(
        "PUT",
        "/dns_zones/1.json",
        "a",
        "Content-Length: 2\r\nContent-Type: application/json\r\n",
    );
    raw.send(format!("{list}{put}{{}}{list}")).await;
    held.arrived().await;
    assert!(!second.has_arrived(), "one at a time, in order");
    held.release();
    let replies = [raw.reply().await, raw.reply().await, raw.reply().await];
    assert_eq!(replies.each_ref().map(|r| r.status), [200; 3]);
    assert_eq!(replies.each_ref().map(super::super::harness::RawReply::text), ["[1]", "{}", "[1]"]);
    assert_eq!(replies[2].header("cache-status"), Some("tollgate; hit"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_nobody_wants_does_not_become_a_request() {
    let w = World::new().await;
    // A read with a body that looks like a request: it is a body, to the last byte.
    let body = "GET /smuggled.json HTTP/1.1\r\nHost: a\r\n\r\n";
    let exchange = w.origin.expect(json("[]"));
    let mut raw = w.raw().await;
    let fields = format!("Content-Length: {}\r\n", body.len());
    raw.send(w.raw_request("GET", "/transactions.json", "a", &fields) + body).await;
    assert_eq!(
        raw.reply().await.header("cache-status"),
        Some("tollgate; fwd=bypass; detail=request-body")
    );
    assert_eq!(exchange.request().await.body, body.as_bytes());
    raw.send(w.raw_request("GET", "/nothing.json", "vms", &fields) + body).await;
    let refused = raw.reply().await;
    assert_eq!(refused.code(), "out_of_scope");
    if refused.header("connection") != Some("close") {
        raw.send(w.raw_request("GET", "/tollgate/health", "a", "")).await;
        assert_eq!(raw.reply().await.text(), "ok\n");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_have_a_bound() {
    let w = World::with("server = { http1_max_head = \"8KiB\", http1_max_headers = 20 }").await;
    let mut raw = w.raw().await;
    let long = format!("X-Long: {}\r\n", "x".repeat(9000));
    raw.send(w.raw_request("GET", "/version.json", "a", &long)).await;
    assert!(raw.rest().await.starts_with("HTTP/1.1 431 "));
    let mut raw = w.raw().await;
    raw.send(w.raw_request("GET", "/version.json", "a", &"X: y\r\n".repeat(30))).await;
    assert!(raw.rest().await.starts_with("HTTP/1.1 431 "));
    let mut raw = w.raw().await;
    let target = format!("/{}", "a".repeat(8190));
    raw.send(w.raw_request("GET", &target, "a", "")).await;
    let all = raw.rest().await;
    assert!(all.starts_with("HTTP/1.1 4"), "{all}");
}
