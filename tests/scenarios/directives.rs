//! What a client's `Cache-Control` is worth, with the permission to refresh and without it.

use std::time::Duration;

use tollgate::{auth::scopes::Permission, tenants::record::TokenTerms};

use crate::harness::{World, json, status};

const VMS: &str = "/virtual_machines.json";

/// Every way to demand what is newer than what is kept.
const DEMANDS: [(&str, &str); 6] = [
    ("cache-control", "no-cache"),
    ("cache-control", "max-age=0"),
    ("cache-control", "private, No-Cache"),
    ("cache-control", "max-age=60, min-fresh=3600"),
    ("cache-control", "min-fresh=18446744073709551616"),
    ("pragma", "no-cache"),
];

/// A world in which `fresh` has the credential of `a`, and may refresh.
async fn world(overrides: &str) -> World {
    let w = World::with(overrides).await;
    w.add_token("fresh", "a", "a", &refreshing());
    w
}

fn refreshing() -> TokenTerms {
    let permissions = [Permission::Refresh].into_iter().collect();
    TokenTerms { permissions, ..TokenTerms::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_permission_a_demand_is_overlooked() {
    let w = World::new().await;
    let other = [Permission::Explain].into_iter().collect();
    w.add_token("other", "a", "a", &TokenTerms { permissions: other, ..TokenTerms::default() });
    w.get(VMS).as_("a").origin(json("[1]")).expect_cache("miss").await;
    for (name, value) in DEMANDS {
        for who in ["a", "other"] {
            w.get(VMS).as_(who).header(name, value).expect_cache("hit").expect_body("[1]").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_permission_it_is_fetched_anew_and_kept_for_all() {
    let w = world("").await;
    w.get(VMS).as_("a").origin(json("[0]")).expect_cache("miss").await;
    for (n, (name, value)) in (1..).zip(DEMANDS) {
        let body = format!("[{n}]");
        let fetched = w.get(VMS).as_("fresh").header(name, value).origin(json(body.clone()));
        let fetched = fetched.sees(|seen| {
            // The fill is made from its key alone.
            assert_eq!((seen.header("cache-control"), seen.header("pragma")), (None, None));
        });
        let fetched = fetched.expect_header("cache-status", "tollgate; fwd=request; stored");
        fetched.expect_cache("request").expect_body(body.clone()).await;
        w.get(VMS).as_("a").expect_cache("hit").expect_body(body.clone()).await;
        w.get(VMS).as_("fresh").expect_cache("hit").expect_body(body).await;
    }
    // Another credential's is another's.
    w.get(VMS).as_("b").origin(json("[]")).expect_cache("miss").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_meets_the_demand_is_shown() {
    let w = world("").await;
    w.get(VMS).as_("fresh").origin(json("[1]")).expect_cache("miss").await;
    for enough in ["max-age=3600", "min-fresh=1", "max-age=99999999999999999999", "no-store", "x"] {
        let hit = w.get(VMS).as_("fresh").header("cache-control", enough);
        hit.expect_cache("hit").expect_body("[1]").await;
    }
    let modern = w.get(VMS).as_("fresh").header("cache-control", "max-age=3600");
    modern.header("pragma", "no-cache").expect_cache("hit").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_older_than_demanded_is_fetched_anew() {
    let w = world("").await;
    w.get(VMS).as_("a").origin(json("[1]")).expect_cache("miss").await;
    let at_most = |seconds| w.get(VMS).as_("fresh").header("cache-control", seconds);
    tokio::time::sleep(Duration::from_millis(1010)).await;
    at_most("max-age=60").expect_cache("hit").await;
    at_most("max-age=1").origin(json("[2]")).expect_cache("request").expect_body("[2]").await;
    at_most("max-age=1").expect_cache("hit").expect_body("[2]").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_miss_that_nobody_forced_says_so() {
    let w = world("cache.inventory_lifetime = \"30ms\"").await;
    let demand = || w.get(VMS).as_("fresh").header("cache-control", "no-cache");
    let first = demand().origin(json("[1]")).expect_cache("miss");
    first.expect_header("cache-status", "tollgate; fwd=miss; stored").await;
    w.put("/virtual_machines/1.json").as_("a").origin(json("{}")).await;
    let touched = demand().origin(json("[2]"));
    touched.expect_header("cache-status", "tollgate; fwd=miss; stored").await;
    for who in ["fresh", "a"] {
        tokio::time::sleep(Duration::from_millis(40)).await;
        let step = w.get(VMS).as_(who).header("cache-control", "no-cache").origin(json("[3]"));
        step.expect_header("cache-status", "tollgate; fwd=stale; stored").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_has_the_newest_is_told_so() {
    let w = world("").await;
    let tag = w.get(VMS).as_("a").origin(json("[1]")).await.header("etag").to_owned();
    let step = w.get(VMS).as_("fresh").header("cache-control", "no-cache");
    let step = step.header("if-none-match", &tag).origin(json("[1]"));
    step.expect_status(304).expect_cache("request").expect_body("").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_demands_what_is_newer_is_shown_nothing_stale() {
    let short = r#"
        cache = { inventory_lifetime = "30ms", retry_interval = "10s" }
        upstreams.main.breaker_failures = 0
    "#;
    let w = world(short).await;
    w.get(VMS).as_("a").origin(json("[1]")).expect_cache("miss").await;
    tokio::time::sleep(Duration::from_millis(40)).await;
    for demand in ["no-cache", "max-age=3600"] {
        let step = w.get(VMS).as_("fresh").header("cache-control", demand).origin(status(503));
        step.expect_status(503).await;
        w.get(VMS).as_("fresh").expect_cache("hit:stale-if-error").expect_body("[1]").await;
    }
    let back = w.get(VMS).as_("fresh").header("cache-control", "no-cache").origin(json("[2]"));
    back.expect_body("[2]").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_that_fails_takes_nothing_from_others() {
    let w = world("").await;
    w.get(VMS).as_("a").origin(json("[1]")).expect_cache("miss").await;
    let failed = w.get(VMS).as_("fresh").header("cache-control", "no-cache").origin(status(502));
    failed.expect_status(502).expect_cache("request:status").await;
    w.get(VMS).as_("a").expect_cache("hit").expect_body("[1]").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_is_charged_like_a_miss() {
    let w = World::new().await;
    w.add_token("fresh", "leader", "tight", &refreshing());
    w.get(VMS).as_("leader").origin(json("[1]")).expect_cache("miss").await;
    let refresh = || w.get(VMS).as_("fresh").header("cache-control", "no-cache");
    refresh().origin(json("[2]")).expect_cache("request").await;
    refresh().expect_refusal(429, "rate_limited").await;
    w.get(VMS).as_("fresh").expect_cache("hit").expect_body("[2]").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_if_cached_is_answered_by_the_cache_or_not_at_all() {
    let w = world("").await;
    let only = |target, who| w.get(target).as_(who).header("cache-control", "only-if-cached");
    for who in ["a", "fresh"] {
        let refused = only(VMS, who).no_origin().expect_refusal(504, "not_cached").await;
        assert!(refused.text().starts_with("{\"errors\":[\""), "{}", refused.text());
        let refused = only("/virtual_machines.xml", who).expect_refusal(504, "not_cached").await;
        assert!(refused.text().contains("<errors type=\"array\">"), "{}", refused.text());
    }
    w.get(VMS).as_("a").origin(json("[1]")).expect_cache("miss").await;
    for who in ["a", "fresh"] {
        only(VMS, who).expect_status(200).expect_cache("hit").expect_body("[1]").await;
        let head = w.head(VMS).as_(who).header("cache-control", "only-if-cached");
        head.expect_status(200).expect_cache("hit").await;
    }
    // What a write has touched is not kept any more.
    w.put("/virtual_machines/1.json").as_("a").origin(json("{}")).await;
    only(VMS, "a").expect_refusal(504, "not_cached").await;
    let refusals = "tollgate_rejections_total{reason=\"not_cached\"}";
    assert_eq!(w.metric(refusals).await, 5.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_if_cached_sends_nothing_upstream_that_the_cache_cannot_answer() {
    let w = world("cache.volatile_lifetime = \"0s\"").await;
    let only = "only-if-cached";
    w.get(VMS).as_("a").origin(json("[1]")).expect_cache("miss").await;
    // A read that is not listed may change something, and one that is not sent does not.
    w.get("/who_knows.json")
        .as_("a")
        .header("cache-control", only)
        .expect_refusal(504, "not_cached")
        .await;
    w.get(VMS).as_("a").header("cache-control", only).expect_cache("hit").await;
    let never = w.get("/transactions.json").as_("a").header("cache-control", only);
    never.expect_refusal(504, "not_cached").await;
    let with_body = w.get(VMS).as_("a").body("application/json", "{}");
    with_body.header("cache-control", only).expect_refusal(504, "not_cached").await;
    let null = w.get(VMS).as_("a").body("application/json", "null");
    null.header("cache-control", only).expect_cache("hit").await;
    // What contradicts itself cannot be answered either.
    w.get("/version.json").as_("a").origin(json("{}")).expect_cache("miss").await;
    let both = w.get("/version.json").as_("fresh").header("cache-control", "no-cache");
    both.header("cache-control", only).expect_refusal(504, "not_cached").await;
    // A write is no read.
    let write = w.put("/virtual_machines/1.json").as_("a").header("cache-control", only);
    write.origin(json("{}")).sees(|seen| assert_eq!(seen.header("cache-control"), None)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_if_cached_is_not_shown_what_would_be_fetched_anew_meanwhile() {
    let lifetimes = "cache = { inventory_lifetime = \"30ms\", stale_while_revalidate = \"10s\" }";
    let w = world(lifetimes).await;
    w.get(VMS).as_("a").origin(json("[1]")).expect_cache("miss").await;
    tokio::time::sleep(Duration::from_millis(40)).await;
    let only = w.get(VMS).as_("a").header("cache-control", "only-if-cached");
    only.expect_refusal(504, "not_cached").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_kept_is_passed_through_as_it_is() {
    let w = world("").await;
    let step = w.get("/who_knows.json").as_("fresh").header("cache-control", "no-cache");
    let step = step.origin(json("{}")).sees(|seen| assert_eq!(seen.header("cache-control"), None));
    step.expect_cache("bypass:unlisted").await;
    let large = w.get(VMS).as_("fresh").header("cache-control", "no-cache");
    let large =
        large.origin(json("[]").without("Cache-Control").header("Cache-Control", "no-store"));
    large.expect_header("cache-status", "tollgate; fwd=miss; detail=no-store").await;
}
