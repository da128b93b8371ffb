//! How real clients behave on a connection, and slow ones: each deadline cuts off what waits.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{Reply, Speaks, World, json, until, within};

const VMS: &str = "/virtual_machines.json";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_asks_to_close_is_closed() {
    let w = World::new().await;
    w.get(VMS).as_("a").origin(json("[]")).await;
    let mut raw = w.raw().await;
    raw.send(w.raw_request("GET", VMS, "a", "Connection: close\r\n")).await;
    let all = raw.rest().await;
    assert!(all.starts_with("HTTP/1.1 200 OK\r\n") && all.ends_with("\r\n\r\n[]"), "{all}");
    let mut raw = w.raw().await;
    raw.send(w.raw_request("GET", VMS, "a", "TE: deflate\r\nConnection: TE, close\r\n")).await;
    assert!(raw.rest().await.ends_with("\r\n\r\n[]"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_1_0_is_answered_and_closed() {
    let w = World::new().await;
    w.get(VMS).as_("a").origin(json("[]")).await;
    let mut raw = w.raw().await;
    let head = w.raw_request("GET", VMS, "a", "").replace("HTTP/1.1", "HTTP/1.0");
    raw.send(head).await;
    let all = raw.rest().await;
    assert!(all.contains(" 200 OK\r\n") && all.ends_with("\r\n\r\n[]"), "{all}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_may_be_spelled_in_any_case() {
    let w = World::new().await;
    w.get(VMS).as_("a").origin(json("[]")).await;
    // node-onapp writes AUTHORIZATION, and sends neither Accept nor User-Agent.
    let mut raw = w.raw().await;
    let authorization = w.authorization("a");
    raw.send(format!("GET {VMS} HTTP/1.1\r\nhost: a\r\nAUTHORIZATION: {authorization}\r\n\r\n"))
        .await;
    assert_eq!(raw.reply().await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_closed_its_half_has_gone() {
    // No client is known that does so and still listens; to serve one would hide those that left.
    let w = World::new().await;
    let held = w.origin.expect(json("[1]").gated());
    let mut raw = w.raw().await;
    raw.send(w.raw_request("GET", VMS, "a", "")).await;
    held.arrived().await;
    raw.half_close().await;
    assert_eq!(raw.rest().await, "");
    // What it asked for is fetched to the end, for those who come next.
    held.release();
    held.over().await;
    w.kept(1).await;
    w.get(VMS).as_("a").expect_cache("hit").expect_body("[1]").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_ends_with_the_connection_is_not_whole() {
    let w = World::new().await;
    let exchange = w.origin.expect(json("{}"));
    let mut raw = w.raw().await;
    let fields = "Content-Type: application/json\r\nContent-Length: 100\r\n";
    raw.send(w.raw_request("POST", VMS, "a", fields) + "{").await;
    exchange.body_reaches(1).await;
    raw.half_close().await;
    exchange.over().await;
    let seen = exchange.arrived().await;
    assert_eq!(seen.body, b"{", "the upstream never sees an end of it");
    // Nobody knows what the upstream made of it.
    w.get(VMS).as_("a").origin(json("[]")).expect_cache("miss:unsettled").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_shake_hands_is_cut_off() {
    let w = World::with("server.handshake_timeout = \"80ms\"").await;
    let mut tcp = w.tcp().await;
    let begun = Instant::now();
    tcp.write_all(&[0x16, 3, 1]).await.expect("an open connection");
    // Closed or reset, it is over.
    let _ = within("the end", tcp.read(&mut [0; 16])).await;
    assert!(begun.elapsed() < Duration::from_secs(2));
    ended(&w, "handshake").await;
    assert_eq!(w.metric("tollgate_tls_handshakes_total{outcome=\"timed_out\"}").await, 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_says_nothing_is_cut_off() {
    let w = World::with("server.first_byte_timeout = \"80ms\"").await;
    assert_eq!(w.raw().await.rest().await, "");
    ended(&w, "first_byte_timeout").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_finish_a_head_is_cut_off() {
    let w = World::with("server.head_timeout = \"80ms\"").await;
    let mut raw = w.raw().await;
    let head = w.raw_request("GET", VMS, "a", "");
    for byte in head.as_bytes().chunks(4).take(10) {
        raw.send(byte).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    raw.rest().await;
    ended(&w, "head_timeout").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_finish_the_preface_is_cut_off() {
    let w = World::with("server.head_timeout = \"80ms\"").await;
    let mut raw = w.raw_http2().await;
    raw.send("PRI * HTTP/2.0\r\n").await;
    raw.rest().await;
    ended(&w, "head_timeout").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_idle_is_cut_off() {
    let w = World::with("server.idle_timeout = \"80ms\"").await;
    w.get(VMS).as_("a").origin(json("[]")).await;
    let mut raw = w.raw().await;
    raw.send(w.raw_request("GET", VMS, "a", "")).await;
    assert_eq!(raw.reply().await.status, 200);
    assert_eq!(raw.rest().await, "");
    ended(&w, "idle").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_stops_is_cut_off() {
    let w = World::with("server.body_idle_timeout = \"80ms\"").await;
    let exchange = w.origin.expect(json("{}"));
    let mut raw = w.raw().await;
    let fields = "Content-Type: application/json\r\nContent-Length: 100\r\n";
    raw.send(w.raw_request("POST", VMS, "a", fields) + "{").await;
    let reply = raw.reply().await;
    assert_eq!((reply.status, reply.code()), (408, "body_timed_out"), "{reply:?}");
    exchange.over().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_trickles_is_cut_off() {
    let w = World::with("server.body_timeout = \"100ms\"").await;
    let exchange = w.origin.expect(json("{}"));
    let mut raw = w.raw().await;
    let fields = "Content-Type: application/json\r\nContent-Length: 1000\r\n";
    raw.send(w.raw_request("POST", VMS, "a", fields)).await;
    for _ in 0..20 {
        raw.send("x").await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(raw.reply().await.code(), "body_timed_out");
    exchange.over().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_is_cut_off() {
    let w = World::with("server.write_stall_timeout = \"100ms\"").await;
    let large = Reply::new(200).header("Content-Type", "application/octet-stream");
    let exchange = w.origin.expect(large.body(vec![b'x'; 32 << 20]));
    let mut raw = w.raw().await;
    raw.send(w.raw_request("GET", "/downloads/1", "a", "")).await;
    exchange.arrived().await;
    ended(&w, "write_stalled").await;
    exchange.over().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_frees_what_it_held() {
    let w = World::new().await;
    let fed =
        w.origin.expect(Reply::new(200).header("Content-Type", "application/octet-stream").fed());
    let mut raw = w.raw().await;
    raw.send(w.raw_request("GET", "/downloads/1", "a", "")).await;
    fed.arrived().await;
    fed.feed(vec![b'x'; 200_000]);
    raw.read_some(1000).await;
    raw.abort();
    let metrics = &w.process.shared().observer.metrics;
    until("the end of its connection", || {
        metrics.connections.open.of(tollgate::vocabulary::Protocol::Http1).get() == 0
    })
    .await;
    assert_eq!(metrics.in_flight.get(), 0);
    fed.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_streams_share_a_connection() {
    let w = World::new().await;
    w.get(VMS).as_("a").origin(json("[1]")).await;
    let before = w.metric("tollgate_tls_handshakes_total").await;
    let mut client = w.connect(Speaks::Http2).await;
    for _ in 0..20 {
        let answer = client.send(w.request("GET", VMS, "a")).await.expect("an answer");
        assert_eq!((answer.status, answer.text()), (200, "[1]"));
    }
    assert_eq!(w.metric("tollgate_tls_handshakes_total").await - before, 1.0);
}

async fn ended(w: &World, reason: &str) {
    let series = format!("tollgate_connection_ends_total{{reason=\"{reason}\"}}");
    within(&series, async {
        while w.metric(&series).await == 0.0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
