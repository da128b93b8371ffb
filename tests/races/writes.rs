//! A write is sent once, is carried through without its client, and is never forgotten.

use crate::harness::{Reply, Speaks, World, json, status, until};

const VMS: &str = "/virtual_machines.json";
const CREATE: &str = "Content-Type: application/json\r\nContent-Length: 2\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_outlives_the_client_that_is_killed() {
    let w = World::new().await;
    w.get(VMS).as_("a").origin(json("[0]")).expect_cache("miss").await;
    let write = w.origin.expect(json("{}").gated());
    let mut raw = w.raw().await;
    raw.send(w.raw_request("POST", VMS, "a", CREATE) + "{}").await;
    assert_eq!(write.request().await.body, b"{}");
    raw.abort();
    let metrics = &w.process.shared().observer.metrics;
    until("the client's leave", || metrics.in_flight.get() == 0).await;
    w.get(VMS).as_("a").origin(json("[0]")).expect_cache("miss:unsettled").await;
    write.release();
    let ended = tollgate::vocabulary::InvalidationCause::WriteEnded;
    until("the end of the write", || metrics.cache.invalidations.of(ended).get() == 1).await;
    // No later read is from before it, and the upstream saw it once.
    w.get(VMS).as_("a").origin(json("[1]")).expect_cache("miss").expect_body("[1]").await;
    w.get(VMS).as_("a").expect_cache("hit").expect_body("[1]").await;
    assert_eq!(w.origin.seen().iter().filter(|s| s.method == "POST").count(), 1);
    let log = w.access_log(5).await;
    assert!(
        log.contains("\"status\":499"),
        "the request of a client that left is written down: {log}"
    );
    assert_eq!(w.metric("tollgate_requests_total{status=\"499\"}").await, 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_outlives_a_stream_that_is_reset() {
    let w = World::new().await;
    let write = w.origin.expect(status(200).gated());
    let mut client = w.connect(Speaks::Http2).await;
    let request = w.request("PUT", "/virtual_machines/1.json", "a");
    let sending = tokio::spawn(async move { client.send(request).await });
    write.arrived().await;
    sending.abort();
    let metrics = &w.process.shared().observer.metrics;
    until("the client's leave", || metrics.in_flight.get() == 0).await;
    w.get(VMS).as_("a").origin(json("[0]")).expect_cache("miss:unsettled").await;
    write.release();
    let ended = tollgate::vocabulary::InvalidationCause::WriteEnded;
    until("the end of the write", || metrics.cache.invalidations.of(ended).get() == 1).await;
    w.get(VMS).as_("a").origin(json("[1]")).expect_cache("miss").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_upload_leaves_a_window() {
    let w = World::new().await;
    w.get(VMS).as_("a").origin(json("[0]")).expect_cache("miss").await;
    let write = w.origin.expect(json("{}"));
    let mut raw = w.raw().await;
    let fields = "Content-Type: application/json\r\nContent-Length: 100\r\n";
    raw.send(w.raw_request("POST", VMS, "a", fields) + "{").await;
    write.body_reaches(1).await;
    raw.abort();
    write.over().await;
    let ended = tollgate::vocabulary::InvalidationCause::WriteEnded;
    let metrics = &w.process.shared().observer.metrics;
    until("the end of the write", || metrics.cache.invalidations.of(ended).get() == 1).await;
    w.get(VMS).as_("a").origin(json("[1]")).expect_cache("miss:unsettled").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_is_not_sent_twice() {
    let w = World::new().await;
    // On a connection that was used before, where a read would be sent again.
    w.get("/version.json").as_("a").origin(json("{}")).await;
    for reply in [Reply::reset(), Reply::hang_up()] {
        let create = w.post(VMS).as_("a").body("application/json", "{}");
        create.origin(reply).expect_refusal(502, "upstream_broken").await;
    }
    assert_eq!(w.origin.seen().iter().filter(|s| s.method == "POST").count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_is_sent_again_when_its_connection_had_idled() {
    let w = World::new().await;
    w.get("/version.json").as_("a").origin(json("{}")).await;
    w.origin.expect(Reply::hang_up());
    w.get("/roles.json").as_("a").origin(json("[]")).expect_status(200).expect_body("[]").await;
    let retried = "tollgate_upstream_requests_total{cause=\"retry\",outcome=\"success\"}";
    assert_eq!(w.metric(retried).await, 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_writes_at_once_settle_with_the_last() {
    let w = World::new().await;
    let first = w.origin.expect(status(200).gated());
    let one = w.begin("PUT", "/virtual_machines/1.json", "a");
    first.arrived().await;
    let second = w.origin.expect(status(200).gated());
    let two = w.begin("PUT", "/virtual_machines/2.json", "b");
    second.arrived().await;
    first.release();
    assert_eq!(one.await.expect("no panic").status, 200);
    w.get(VMS).as_("a").origin(json("[1]")).expect_cache("miss:unsettled").await;
    second.release();
    assert_eq!(two.await.expect("no panic").status, 200);
    w.get(VMS).as_("a").origin(json("[2]")).expect_cache("miss").await;
}

/// No read that begins after a write was acknowledged shows an older version: many readers of two
/// tenants against one writer, over real connections and with real timing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_read_is_older_than_an_acknowledged_write() {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    };
    let w = World::new().await;
    let version = Arc::new(AtomicU64::new(0));
    let shown = Arc::clone(&version);
    w.origin.otherwise(move |seen| {
        if seen.method == "PUT" {
            let now = shown.fetch_add(1, SeqCst) + 1;
            // Every other write fails, and moves `updated_at` all the same.
            return json("{}").status(if now.is_multiple_of(2) { 422 } else { 200 });
        }
        json(format!("{}", shown.load(SeqCst)))
    });
    let acknowledged = Arc::new(AtomicU64::new(0));
    let mut readers = tokio::task::JoinSet::new();
    for who in ["a", "b", "a", "b"] {
        let mut client = w.connect(Speaks::Http1).await;
        let request = w.request("GET", VMS, who);
        let acknowledged = Arc::clone(&acknowledged);
        readers.spawn(async move {
            let mut hits = 0;
            for _ in 0..150 {
                let least = acknowledged.load(SeqCst);
                let answer = client.send(request.clone()).await.expect("an answer");
                let seen: u64 = answer.text().parse().expect("a version");
                assert!(seen >= least, "version {seen} after {least} was acknowledged");
                hits += u32::from(answer.cache() == "hit");
            }
            hits
        });
    }
    let mut writer = w.connect(Speaks::Http1).await;
    for _ in 0..40 {
        writer.send(w.request("PUT", "/virtual_machines/1.json", "a")).await.expect("an answer");
        acknowledged.store(version.load(SeqCst), SeqCst);
        tokio::time::sleep(std::time::Duration::from_millis(3)).await;
    }
    let hits: u32 = readers.join_all().await.iter().sum();
    assert!(hits > 0, "without hits this shows nothing");
}
