//! Soft purges: what is marked stale is fetched anew, and shown where there is nothing better.

use std::time::Duration;

use tollgate::tenants::record::Reach;

use crate::harness::{Reply, World, json};

const VMS: &str = "/virtual_machines.json";
const VM: &str = "/virtual_machines/1.json";
const VERSION: &str = "/version.json";

const SOFT: &str = r#"{"all":true,"soft":true}"#;
const HARD: &str = r#"{"all":true}"#;

/// No reply, and nothing that could be sent again.
fn broken() -> Reply {
    Reply::raw("garbage\r\n\r\n")
}

async fn keep(w: &World, target: &str, who: &str, body: &'static str) {
    w.get(target).as_(who).origin(json(body)).expect_cache("miss").await;
    w.get(target).as_(who).expect_cache("hit").expect_body(body).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_marked_stale_is_fetched_anew() {
    let w = World::new().await;
    keep(&w, VMS, "a", "[1]").await;
    keep(&w, VMS, "b", "[1]").await;
    let purged = w.purge(SOFT).await;
    assert_eq!((purged.partitions, purged.entries), (3, Some(2)));
    assert!(purged.families.contains(&"vms".to_owned()), "{purged:?}");
    keep(&w, VMS, "a", "[2]").await;
    // What was stale already is not counted, and what is new is.
    assert_eq!(w.purge(SOFT).await.entries, Some(1));
    assert_eq!(w.purge(HARD).await.entries, None);
    let purges = "tollgate_cache_invalidations_total{cause=\"purge\"}";
    let soft = "tollgate_cache_invalidations_total{cause=\"soft_purge\"}";
    assert_eq!((w.metric(purges).await, w.metric(soft).await), (1.0, 2.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_upstream_is_down_a_soft_purge_spares_what_a_hard_one_does_not() {
    let w = World::with("cache.retry_interval = \"0s\"\nupstreams.main.breaker_failures = 0").await;
    keep(&w, VMS, "a", "[1]").await;
    w.purge(SOFT).await;
    let shown = w.get(VMS).as_("a").origin(broken()).expect_body("[1]").await;
    assert_eq!(shown.header("cache-status"), "tollgate; hit; ttl=-0; detail=stale-if-error");
    // It is over its lifetime since the purge.
    tokio::time::sleep(Duration::from_millis(1000)).await;
    let shown = w.get(VMS).as_("a").origin(broken()).expect_body("[1]").await;
    assert_eq!(shown.header("cache-status"), "tollgate; hit; ttl=-1; detail=stale-if-error");
    w.purge(HARD).await;
    w.get(VMS).as_("a").origin(broken()).expect_refusal(502, "upstream_broken").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_shown_beyond_its_bound_from_the_purge_on() {
    let bounds = "cache = { inventory_lifetime = \"1h\", stale_if_error = \"300ms\" }";
    let w = World::with(&format!("{bounds}\nupstreams.main.breaker_failures = 0")).await;
    keep(&w, VMS, "a", "[1]").await;
    w.purge(SOFT).await;
    tokio::time::sleep(Duration::from_millis(310)).await;
    for _ in 0..2 {
        // Neither when it was tried, nor while it is not tried again.
        w.get(VMS).as_("a").origin(broken()).expect_refusal(502, "upstream_broken").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_marked_stale_may_be_shown_while_it_is_fetched() {
    let w = World::with("cache.stale_while_revalidate = \"10s\"").await;
    keep(&w, VMS, "a", "[1]").await;
    w.purge(SOFT).await;
    let fetch = w.origin.expect(json("[2]").gated());
    w.get(VMS).as_("a").expect_cache("hit:stale-while-revalidate").expect_body("[1]").await;
    fetch.arrived().await;
    w.get(VMS).as_("a").expect_cache("hit:stale-while-revalidate").expect_body("[1]").await;
    fetch.release();
    crate::harness::within("the new body", async {
        while w.get(VMS).as_("a").await.body != "[2]" {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    w.get(VMS).as_("a").expect_cache("hit").expect_body("[2]").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_being_fetched_is_stale_when_it_comes() {
    let w = World::with("upstreams.main.breaker_failures = 0").await;
    let flight = w.origin.expect(json("[\"before\"]").gated());
    let reading = w.begin("GET", VMS, "a");
    flight.arrived().await;
    assert_eq!(w.purge(SOFT).await.entries, Some(0));
    flight.release();
    let read = reading.await.expect("no panic");
    assert_eq!((read.text(), &*read.cache()), ("[\"before\"]", "miss"));
    let shown = w.get(VMS).as_("a").origin(broken()).expect_body("[\"before\"]").await;
    assert_eq!(shown.cache(), "hit:stale-if-error");

    let w = World::new().await;
    let flight = w.origin.expect(json("[\"before\"]").gated());
    let reading = w.begin("GET", VMS, "a");
    flight.arrived().await;
    w.purge(r#"{"tenant":"b","soft":true}"#).await;
    flight.release();
    assert_eq!(reading.await.expect("no panic").cache(), "miss");
    // Not even meant, and fetched once more for it.
    keep(&w, VMS, "a", "[\"after\"]").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn selectors_mark_only_what_they_say() {
    let asked = [("a", VMS), ("a", VM), ("a", VERSION), ("b", VMS)];
    for (selectors, marked) in [
        (r#""upstream":"main""#, [true; 4]),
        (r#""families":["vms"]"#, [true, true, false, true]),
        (r#""path":"/version.xml""#, [false, false, true, false]),
        (r#""tenant":"b""#, [false, false, false, true]),
        (r#""credential":"a","families":["vms"]"#, [true, true, false, false]),
        (r#""families":["dns"]"#, [false; 4]),
    ] {
        let w = World::new().await;
        for (who, target) in asked {
            keep(&w, target, who, "{}").await;
        }
        let purged = w.purge(&format!(r#"{{{selectors},"soft":true}}"#)).await;
        let count = marked.iter().filter(|marked| **marked).count();
        assert_eq!(purged.entries, Some(count), "{selectors}");
        for ((who, target), marked) in asked.into_iter().zip(marked) {
            let read = w.get(target).as_(who);
            if marked {
                read.origin(json("{}")).expect_cache("miss").await;
            } else {
                read.expect_cache("hit").await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_is_marked_with_its_account() {
    let w = World::new().await;
    for credential in ["a", "b"] {
        w.declare(credential, Reach::Own, "joint");
    }
    keep(&w, VMS, "a", "[1]").await;
    keep(&w, VMS, "b", "[1]").await;
    let purged = w.purge(r#"{"credential":"a","soft":true}"#).await;
    assert_eq!((purged.partitions, purged.entries), (1, Some(2)));
    keep(&w, VMS, "b", "[2]").await;
}
