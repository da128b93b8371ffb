//! How much a tenant may ask for, and what it is told.

use crate::harness::{World, json};

const VMS: &str = "/virtual_machines.json";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_says_what_is_left() {
    let w = World::new().await;
    let first =
        w.get(VMS).as_("tight").origin(json("[]")).expect_header("ratelimit", "\"reads\";r=1;t=1");
    first.expect_header("ratelimit-policy", "\"reads\";q=2;w=2").await;
    let hit = w.get(VMS).as_("tight").expect_cache("hit");
    hit.expect_header("ratelimit", "\"reads\";r=0;t=2").await;
    // Who has no quota is told nothing.
    w.get(VMS).as_("a").origin(json("[]")).expect_header("ratelimit", "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_the_limit_is_429() {
    let w = World::new().await;
    w.get(VMS).as_("tight").origin(json("[]")).await;
    w.get(VMS).as_("tight").expect_cache("hit").await;
    let refused = w.get(VMS).as_("tight").expect_refusal(429, "rate_limited");
    let refused =
        refused.expect_header("ratelimit", "\"reads\";r=0;t=2").expect_header("retry-after", "1");
    refused.expect_header("ratelimit-policy", "\"reads\";q=2;w=2").await;
    // Writes have a quota of their own.
    let write = w.put("/virtual_machines/1.json").as_("tight").origin(json("{}"));
    write.expect_status(200).expect_header("ratelimit", "\"writes\";r=1;t=1").await;
    let limited = "tollgate_limiter_decisions_total{limiter=\"reads\",decision=\"limited\"}";
    assert_eq!(w.metric(limited).await, 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limited_write_does_not_reach_the_upstream() {
    let w = World::new().await;
    for _ in 0..2 {
        w.delete("/virtual_machines/1.json")
            .as_("tight")
            .origin(json("{}"))
            .expect_status(200)
            .await;
    }
    w.delete("/virtual_machines/1.json").as_("tight").expect_refusal(429, "rate_limited").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_have_a_price_too() {
    let w = World::new().await;
    for _ in 0..2 {
        w.get("/users/1/suspend.json").as_("tight").expect_refusal(403, "guarded_route").await;
    }
    w.get("/users/1/suspend.json").as_("tight").expect_refusal(429, "rate_limited").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_know_429_gets_403() {
    let w = World::new().await;
    w.get(VMS).as_("forbidden").origin(json("[]")).await;
    w.get(VMS).as_("forbidden").expect_cache("hit").await;
    w.get(VMS)
        .as_("forbidden")
        .expect_refusal(403, "rate_limited")
        .expect_header("retry-after", "1")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hits_cost_no_upstream_reads() {
    let w = World::new().await;
    w.get(VMS).as_("leader").origin(json("[]")).expect_cache("miss").await;
    for _ in 0..5 {
        w.get(VMS).as_("leader").expect_cache("hit").await;
    }
    w.get("/version.json").as_("leader").origin(json("{}")).expect_cache("miss").await;
    w.get("/roles.json").as_("leader").expect_refusal(429, "rate_limited").await;
    w.get(VMS).as_("leader").expect_cache("hit").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_of_a_flight_pays_and_nobody_else() {
    let w = World::new().await;
    let gate = w.origin.expect(json("[]").gated());
    let mut readers = tokio::task::JoinSet::new();
    for i in 0..10 {
        let mut client = w.connect(crate::harness::Speaks::Http1).await;
        let request = w.request("GET", VMS, "leader");
        readers.spawn(async move { client.send(request).await.expect("an answer").status });
        if i == 0 {
            gate.arrived().await;
        }
    }
    crate::harness::until("ten readers under way", || {
        w.process.shared().observer.metrics.in_flight.get() == 10
    })
    .await;
    gate.release();
    assert_eq!(readers.join_all().await, [200; 10]);
    // One of two was spent.
    w.get("/version.json").as_("leader").origin(json("{}")).expect_cache("miss").await;
    w.get("/roles.json").as_("leader").expect_refusal(429, "rate_limited").await;
}
