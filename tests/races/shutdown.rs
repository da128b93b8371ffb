//! The end under load: what was begun is answered, what comes later is not taken, all within a bound.

use std::time::{Duration, Instant};

use crate::harness::{Speaks, World, json, status, until, within};

const VMS: &str = "/virtual_machines.json";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_whose_head_was_read_is_answered() {
    let w = World::new().await;
    let mut exchanges = Vec::new();
    let mut waiting = tokio::task::JoinSet::new();
    for i in 0..12 {
        let exchange = w.origin.expect(json("{}").gated());
        let speaks = if i % 2 == 0 { Speaks::Http1 } else { Speaks::Http2 };
        let method = if i % 3 == 0 { "PUT" } else { "GET" };
        let mut client = w.connect(speaks).await;
        let request = w.request(method, &format!("/virtual_machines/{}.json", i + 1), "a");
        waiting.spawn(async move { (speaks, client.send(request).await.expect("an answer")) });
        exchange.arrived().await;
        exchanges.push(exchange);
    }
    w.begin_shutdown();
    let closed = Box::pin(async { while w.try_connect(Speaks::Http1).await.is_ok() {} });
    within("the door to close", closed).await;
    // Each connection is told by itself.
    tokio::time::sleep(Duration::from_millis(50)).await;
    exchanges.iter().for_each(crate::harness::Exchange::release);
    for (speaks, answer) in waiting.join_all().await {
        assert_eq!(answer.status, 200);
        assert!(answer.whole);
        if speaks == Speaks::Http1 {
            assert_eq!(answer.header("connection"), "close");
        }
    }
    w.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_balancer_is_told_first() {
    let w = World::with("server.drain_notice = \"150ms\"").await;
    w.get(VMS).as_("a").origin(json("[]")).await;
    assert_eq!(w.admin("/readyz").await.status, 200);
    w.begin_shutdown();
    within("the notice", async { while w.admin("/readyz").await.status != 503 {} }).await;
    assert_eq!(w.admin("/livez").await.status, 200);
    // Until it has noticed, requests are served as before.
    w.get(VMS).as_("a").expect_cache("hit").await;
    w.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_do_not_hold_up_the_end() {
    let w = World::new().await;
    w.get(VMS).as_("a").origin(json("[]")).await;
    let mut idle = Vec::new();
    for speaks in [Speaks::Http1, Speaks::Http2] {
        let mut client = w.connect(speaks).await;
        assert_eq!(client.send(w.request("GET", VMS, "a")).await.expect("an answer").status, 200);
        idle.push(client);
    }
    let silent = w.tcp().await;
    let begun = Instant::now();
    w.begin_shutdown();
    w.ended().await;
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    drop((idle, silent));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_has_a_bound() {
    let w = World::with("server.drain_timeout = \"100ms\"").await;
    let never = w.origin.expect(json("[]").gated());
    let mut raw = w.raw().await;
    raw.send(w.raw_request("GET", VMS, "a", "")).await;
    never.arrived().await;
    let begun = Instant::now();
    w.begin_shutdown();
    w.ended().await;
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(raw.try_reply().await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_without_its_client_is_waited_for() {
    let w = World::new().await;
    let write = w.origin.expect(status(200).gated());
    let mut raw = w.raw().await;
    raw.send(w.raw_request("PUT", "/virtual_machines/1.json", "a", "Content-Length: 0\r\n")).await;
    write.arrived().await;
    raw.abort();
    let metrics = &w.process.shared().observer.metrics;
    until("the client's leave", || metrics.in_flight.get() == 0).await;
    w.begin_shutdown();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!w.has_ended(), "the write is under way");
    write.release();
    w.ended().await;
    let ended = tollgate::vocabulary::InvalidationCause::WriteEnded;
    assert_eq!(metrics.cache.invalidations.of(ended).get(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load_up_to_the_end_loses_nothing() {
    let w = World::new().await;
    w.get(VMS).as_("a").origin(json("[1]")).await;
    let mut load = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let (mut client, request) = (w.connect(Speaks::Http1).await, w.request("GET", VMS, "a"));
        load.spawn(async move {
            let mut answered = 0;
            // A request can meet a connection that is being closed; then its head was not read.
            while let Ok(answer) = client.send(request.clone()).await {
                assert!(answer.whole && answer.text() == "[1]");
                answered += 1;
            }
            answered
        });
    }
    tokio::time::sleep(Duration::from_millis(30)).await;
    w.begin_shutdown();
    let answered: usize = load.join_all().await.iter().sum();
    w.ended().await;
    // What was read is written down, and whoever asked for it has the answer.
    let log = w.access_log(answered + 1).await;
    assert_eq!(log.lines().count(), answered + 1);
    assert!(!log.contains("\"status\":499"), "somebody was left without an answer");
}
