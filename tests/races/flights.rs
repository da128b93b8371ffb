//! Equal misses are one fetch, and no fetch from before a write is shown after it.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use tollgate::vocabulary::{CacheOutcome, Closed as _, RouteClass};

use crate::harness::{Reply, Speaks, World, json, until};

const VMS: &str = "/virtual_machines.json";
const VM: &str = "/virtual_machines/1.json";

/// Waits until so many readers wait for a fetch. It is not enough that their requests are under
/// way: one that has not joined yet would begin a fetch of its own.
async fn under_way(w: &World, count: u64) {
    let metrics = &w.process.shared().observer.metrics;
    let outcomes = [CacheOutcome::Miss, CacheOutcome::Collapsed];
    let waiting = || {
        let joined: u64 = outcomes.map(|o| metrics.cache.lookups.of(o).get()).iter().sum();
        let classes = RouteClass::ALL.iter().flat_map(|class| outcomes.map(|o| (*class, o)));
        let answered = classes
            .map(|(class, o)| metrics.durations.of(Some(class), o).get_sample_count())
            .sum::<u64>();
        joined - answered
    };
    until("readers waiting", || waiting() == count).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fill_that_a_write_crossed_is_not_kept() {
    let w = World::new().await;
    let fill = w.origin.expect(json("[\"before\"]").gated());
    let reading = w.begin("GET", VMS, "a");
    fill.arrived().await;
    w.put(VM).as_("a").origin(json("{}").status(422)).expect_status(422).await;
    fill.release();
    let crossed = reading.await.expect("no panic");
    // It began before the write was acknowledged, so it may show what was before.
    assert_eq!((crossed.text(), &*crossed.cache()), ("[\"before\"]", "miss:overtaken"));
    w.get(VMS).as_("a").origin(json("[\"after\"]")).expect_cache("miss").await;
    w.get(VMS).as_("a").expect_cache("hit").expect_body("[\"after\"]").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fill_during_a_write_is_not_kept() {
    let w = World::new().await;
    w.get(VMS).as_("b").origin(json("[0]")).expect_cache("miss").await;
    let write = w.origin.expect(json("{}").gated());
    let writing = w.begin("PUT", VM, "a");
    write.arrived().await;
    // From its first byte on, what was kept is stale, for every tenant of the upstream.
    w.get(VMS).as_("b").origin(json("[1]")).expect_cache("miss:unsettled").await;
    w.get(VMS).as_("a").origin(json("[1]")).expect_cache("miss:unsettled").await;
    write.release();
    assert_eq!(writing.await.expect("no panic").status, 200);
    for who in ["a", "b"] {
        w.get(VMS).as_(who).origin(json("[2]")).expect_cache("miss").await;
        w.get(VMS).as_(who).expect_cache("hit").expect_body("[2]").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fill_that_spans_a_whole_window_is_not_kept() {
    let w = World::with("cache.settle_window = \"40ms\"").await;
    w.post(VMS).as_("a").untyped("").origin(json("{}").status(201)).await;
    let fill = w.origin.expect(json("[\"within\"]").gated());
    let reading = w.begin("GET", VMS, "a");
    fill.arrived().await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    // The upstream may have applied the rest in between: who comes now does not join.
    let later = w.get(VMS).as_("a").origin(json("[\"behind\"]"));
    later.expect_cache("miss").expect_body("[\"behind\"]").await;
    fill.release();
    assert_eq!(reading.await.expect("no panic").cache(), "miss:unsettled");
    w.get(VMS).as_("a").expect_cache("hit").expect_body("[\"behind\"]").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_after_a_write_does_not_join_a_fetch_from_before_it() {
    let w = World::new().await;
    let before = w.origin.expect(json("[\"before\"]").gated());
    let early = w.begin("GET", VMS, "a");
    before.arrived().await;
    w.put(VM).as_("a").origin(json("{}")).expect_status(200).await;
    let after = w.origin.expect(json("[\"after\"]").gated());
    let late = w.begin("GET", VMS, "a");
    after.arrived().await;
    // The later one ends first, and what it kept is not replaced by the earlier one.
    after.release();
    assert_eq!(late.await.expect("no panic").text(), "[\"after\"]");
    before.release();
    assert_eq!(early.await.expect("no panic").text(), "[\"before\"]");
    w.get(VMS).as_("a").expect_cache("hit").expect_body("[\"after\"]").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_cold_readers_are_one_fetch() {
    let w = World::new().await;
    let delay = Duration::from_secs(1);
    let fetch = w.origin.expect(json("[1]").after(delay));
    let slowest = read_at_once(&w, 5, 100).await;
    assert!(fetch.has_arrived());
    assert_eq!(w.origin.seen().len(), 1);
    assert!(slowest < delay * 3 / 2, "the slowest took {slowest:?}");
    assert_eq!(w.metric("tollgate_collapsed_reads_total").await, 499.0);
    assert_eq!(w.metric("tollgate_upstream_requests_total").await, 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_one_fetch_even_when_the_first_one_leaves() {
    let w = World::new().await;
    let delay = Duration::from_millis(600);
    let fetch = w.origin.expect(json("[1]").after(delay));
    let mut first = w.raw().await;
    first.send(w.raw_request("GET", VMS, "a", "")).await;
    fetch.arrived().await;
    let readers = read_at_once(&w, 2, 50);
    let leaves = async {
        under_way(&w, 101).await;
        first.abort();
    };
    let (slowest, ()) = tokio::join!(readers, leaves);
    assert_eq!(w.origin.seen().len(), 1);
    assert!(slowest < delay * 3 / 2, "the slowest took {slowest:?}");
    w.get(VMS).as_("a").expect_cache("hit").await;
}

/// Readers on HTTP/2 connections, all at once; how long the slowest waited.
async fn read_at_once(w: &World, connections: usize, streams: usize) -> Duration {
    let mut clients = Vec::new();
    for _ in 0..connections {
        clients.push(w.connect(Speaks::Http2).await);
    }
    let begun = Instant::now();
    let mut readers = JoinSet::new();
    for client in &clients {
        for _ in 0..streams {
            let (mut client, request) = (client.clone(), w.request("GET", VMS, "a"));
            readers.spawn(async move { client.send(request).await.expect("an answer") });
        }
    }
    for answer in readers.join_all().await {
        assert_eq!((answer.status, answer.text()), (200, "[1]"));
    }
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_joined_share_an_error_too() {
    let shared = [
        (json("{}").status(500).gated(), 500),
        (Reply::reset().gated(), 502),
        (json("").cut(100, "[").gated(), 502),
    ];
    for (reply, status) in shared {
        let w = World::new().await;
        let fetch = w.origin.expect(reply);
        let readers =
            [w.begin("GET", VMS, "a"), w.begin("GET", VMS, "a"), w.begin("GET", VMS, "c")];
        fetch.arrived().await;
        under_way(&w, 3).await;
        fetch.release();
        for reader in readers {
            assert_eq!(reader.await.expect("no panic").status, status);
        }
        assert_eq!(w.origin.seen().len(), 1);
        w.get(VMS).as_("a").origin(json("[]")).expect_cache("miss").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_two_partitions_and_no_two_formats_share_a_fetch() {
    let w = World::new().await;
    let mut fetches = Vec::new();
    let mut readers = Vec::new();
    let xml = "/virtual_machines.xml";
    for (target, who) in [(VMS, "a"), (VMS, "b"), (xml, "a"), ("/virtual_machines.json?x", "a")] {
        let fetch = w.origin.expect(json("[]").gated());
        readers.push(w.begin("GET", target, who));
        fetch.arrived().await;
        fetches.push(fetch);
    }
    // `c` has the credential of `a`.
    readers.push(w.begin("GET", VMS, "c"));
    under_way(&w, 5).await;
    fetches.iter().for_each(crate::harness::Exchange::release);
    for reader in readers {
        assert_eq!(reader.await.expect("no panic").status, 200);
    }
    assert_eq!(w.origin.seen().len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_the_bound_readers_share_the_next_fetch() {
    let w = World::with("cache.max_fetches_per_key = 1").await;
    let first = w.origin.expect(json("[\"before\"]").gated());
    let early = w.begin("GET", VMS, "a");
    first.arrived().await;
    w.put(VM).as_("a").origin(json("{}")).expect_status(200).await;
    let late = [w.begin("GET", VMS, "a"), w.begin("GET", VMS, "a"), w.begin("GET", VMS, "a")];
    under_way(&w, 4).await;
    assert_eq!(w.origin.seen().len(), 2, "they wait for their turn");
    let next = w.origin.expect(json("[\"after\"]").gated());
    first.release();
    next.arrived().await;
    next.release();
    assert_eq!(early.await.expect("no panic").text(), "[\"before\"]");
    for reader in late {
        assert_eq!(reader.await.expect("no panic").text(), "[\"after\"]");
    }
    w.get(VMS).as_("a").expect_cache("hit").expect_body("[\"after\"]").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_to_share_is_fetched_by_each() {
    let w = World::with("cache.max_entry = \"1KiB\"").await;
    let large = "x".repeat(3000);
    let fetch = w.origin.expect(json(large.clone()).gated());
    let readers = [w.begin("GET", VMS, "a"), w.begin("GET", VMS, "a")];
    fetch.arrived().await;
    under_way(&w, 2).await;
    w.origin.expect(json(large.clone()));
    fetch.release();
    for reader in readers {
        let answer = reader.await.expect("no panic");
        assert!(answer.whole && answer.text() == large);
    }
    assert_eq!(w.origin.seen().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_fetch_holds_up_no_other() {
    let w = World::new().await;
    let slow = w.origin.expect(json("[1]").on(VMS).gated());
    let waiting = w.begin("GET", VMS, "a");
    slow.arrived().await;
    w.get("/version.json")
        .as_("a")
        .origin(json("{}").on("/version.json"))
        .expect_cache("miss")
        .await;
    w.get("/version.json").as_("a").expect_cache("hit").await;
    slow.release();
    assert_eq!(waiting.await.expect("no panic").text(), "[1]");
}
