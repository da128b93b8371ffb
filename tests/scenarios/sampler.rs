//! Hits that are put to the test: what is found stale, what is not, and what comes of it.

use std::time::{Duration, Instant};

use crate::harness::{Exchange, Reply, World, json, secret_of, status, until, within, xml};

const VMS: &str = "/virtual_machines.json";
const ONE: &str = "/virtual_machines/1.json";
const OLD: &str = r#"{"virtual_machine":{"id":1,"label":"old","monthly_bandwidth_used":0}}"#;
const NEW: &str = r#"{"virtual_machine":{"id":1,"label":"new","monthly_bandwidth_used":0}}"#;

/// Every hit is sampled.
const ALL: &str =
    "sampler = { share = 1000000, per_second = 1000, max_in_flight = 100, window = \"1m\" }";

async fn counts(w: &World, outcome: &str, wanted: f64) {
    let series = format!("tollgate_cache_samples_total{{outcome=\"{outcome}\"}}");
    within(&series, async {
        while w.metric(&series).await < wanted {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    assert_eq!(w.metric(&series).await, wanted, "{series}");
}

async fn miss(w: &World, target: &str, reply: Reply) {
    w.get(target).as_("a").origin(reply).expect_cache("miss").await;
}

/// A hit and what the upstream says to its sample.
async fn hit(w: &World, target: &str, reply: Reply) -> Exchange {
    let sample = w.origin.expect(reply);
    w.get(target).as_("a").expect_cache("hit").await;
    sample.arrived().await;
    sample
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_past_the_gateway_is_found() {
    let w = World::with(ALL).await;
    miss(&w, ONE, json(OLD)).await;
    miss(&w, VMS, json("[]")).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    let sample = w.origin.expect(json(NEW));
    w.get(ONE).as_("a").header("cookie", "mine").expect_cache("hit").expect_body(OLD).await;
    let seen = sample.arrived().await;
    assert_eq!(seen.line(), format!("GET {ONE}"));
    assert!(seen.login().ends_with(&secret_of("a")) && seen.header("cookie").is_none());
    counts(&w, "stale", 1.0).await;
    // Neither it nor what belongs to the same families is shown again.
    w.get(ONE).as_("a").origin(json(NEW)).expect_cache("miss").expect_body(NEW).await;
    miss(&w, VMS, json("[]")).await;
    for (series, value) in [
        ("tollgate_cache_stale_hits_total{class=\"inventory\"}", 1.0),
        ("tollgate_cache_stale_hits_total", 1.0),
        ("tollgate_cache_staleness_seconds_count{class=\"inventory\"}", 1.0),
        ("tollgate_cache_staleness_seconds_bucket{class=\"inventory\",le=\"0.5\"}", 0.0),
        ("tollgate_cache_invalidations_total{cause=\"sample\"}", 1.0),
        ("tollgate_upstream_requests_total{cause=\"sample\",outcome=\"success\"}", 1.0),
    ] {
        assert_eq!(w.metric(series).await, value, "{series}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_by_itself_is_not_stale() {
    let w = World::with(ALL).await;
    let xml_of = |used: u32, label: &str| {
        xml(format!(
            "<vm><label>{label}</label><monthly_bandwidth_used>{used}</monthly_bandwidth_used></vm>"
        ))
    };
    miss(&w, ONE, json(OLD)).await;
    hit(&w, ONE, json(OLD)).await;
    counts(&w, "fresh", 1.0).await;
    hit(&w, ONE, json(OLD.replace(":0", ":7"))).await;
    counts(&w, "fresh", 2.0).await;
    let other = ONE.replace("json", "xml");
    miss(&w, &other, xml_of(0, "old")).await;
    hit(&w, &other, xml_of(7, "old")).await;
    counts(&w, "fresh", 3.0).await;
    hit(&w, &other, xml_of(7, "new")).await;
    counts(&w, "stale", 1.0).await;
    miss(&w, ONE, json(OLD)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_gone_or_on_a_longer_list_is_stale() {
    let w = World::with(ALL).await;
    let mut found = 0.0;
    for reply in [
        status(404),
        status(403),
        json("[1]").header("X-Total", "8"),
        json("[1]"),
        json("[1").header("X-Total", "7"),
    ] {
        miss(&w, VMS, json("[1]").header("X-Total", "7")).await;
        hit(&w, VMS, reply).await;
        found += 1.0;
        counts(&w, "stale", found).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_meanwhile_explains_a_difference() {
    let w = World::with(ALL).await;
    miss(&w, ONE, json(OLD)).await;
    let sample = hit(&w, ONE, json(NEW).gated()).await;
    w.put(ONE).as_("a").origin(status(204)).expect_status(204).await;
    sample.release();
    counts(&w, "inconclusive", 1.0).await;
    assert_eq!(w.metric("tollgate_cache_stale_hits_total").await, 0.0);
    miss(&w, ONE, json(NEW)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_fails_says_nothing() {
    let w = World::with(&format!("{ALL}\nupstreams.main.breaker_failures = 0")).await;
    miss(&w, VMS, json("[1]")).await;
    let html = Reply::new(200).header("Content-Type", "text/html").body("<p>Back soon</p>");
    for (n, reply) in [status(500), status(503), status(422), html, Reply::raw("garbage\r\n\r\n")]
        .into_iter()
        .enumerate()
    {
        hit(&w, VMS, reply).await;
        counts(&w, "failed", 1.0 + n as f64).await;
    }
    hit(&w, VMS, json("[1]")).await;
    counts(&w, "fresh", 1.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sample_is_masked_as_a_fill_is() {
    let w = World::with(ALL).await;
    let body = format!("{{\"note\":\"{}\"}}", secret_of("a"));
    miss(&w, ONE, json(body.clone())).await;
    hit(&w, ONE, json(body)).await;
    counts(&w, "fresh", 1.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sample_is_charged_to_nobody() {
    let w = World::with(ALL).await;
    let read = |target| w.get(target).as_("leader");
    read(VMS).origin(json("[1]")).expect_cache("miss").await;
    w.origin.otherwise(|_| json("[1]"));
    for _ in 0..5 {
        read(VMS).expect_cache("hit").await;
    }
    counts(&w, "fresh", 5.0).await;
    // Of the two reads that may go upstream at once there is one left.
    read(ONE).origin(json("{}")).expect_cache("miss").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_is_sampled_than_the_bounds_allow() {
    let w = World::with(&ALL.replace("max_in_flight = 100", "max_in_flight = 1")).await;
    miss(&w, VMS, json("[1]")).await;
    let sample = hit(&w, VMS, json("[1]").gated()).await;
    for _ in 0..3 {
        w.get(VMS).as_("a").expect_cache("hit").await;
    }
    counts(&w, "skipped", 3.0).await;
    sample.release();
    counts(&w, "fresh", 1.0).await;

    let w = World::with(&ALL.replace("per_second = 1000", "per_second = 1")).await;
    miss(&w, VMS, json("[1]")).await;
    w.origin.otherwise(|_| json("[1]"));
    let begun = Instant::now();
    for _ in 0..20 {
        w.get(VMS).as_("a").expect_cache("hit").await;
    }
    let most = 2.0 + begun.elapsed().as_secs_f64();
    let sampled = w.origin.seen().len() as f64 - 1.0;
    assert!((1.0..=most).contains(&sampled), "{sampled} samples");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_volatile_goes_alone() {
    let w = World::with(ALL).await;
    let usage = "/virtual_machines/1/cpu_usage.json";
    miss(&w, usage, json("[1]")).await;
    miss(&w, ONE, json(OLD)).await;
    hit(&w, usage, json("[2]")).await;
    counts(&w, "stale", 1.0).await;
    miss(&w, usage, json("[2]")).await;
    hit(&w, ONE, json(OLD)).await;
    assert_eq!(w.metric("tollgate_cache_stale_hits_total{class=\"volatile\"}").await, 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_unsettled_is_not_sampled() {
    let w = World::with(&format!("{ALL}\ncache.unsettled_lifetime = \"1m\"")).await;
    w.put(ONE).as_("a").origin(status(201)).expect_status(201).await;
    w.get(VMS).as_("a").origin(json("[1]")).expect_cache("miss").await;
    w.get(VMS).as_("a").expect_cache("hit").await;
    // Nor what says so of itself.
    let open = json(r#"[{"transaction":{"id":7,"status":"running"}}]"#);
    w.get("/transactions.json").as_("b").origin(open).expect_cache("miss").await;
    w.get("/transactions.json").as_("b").expect_cache("hit").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_is_not_sampled() {
    let w = World::with(ALL).await;
    miss(&w, ONE, json("{}").status(404)).await;
    for _ in 0..2 {
        w.get(ONE).as_("a").no_origin().expect_status(404).expect_cache("hit").await;
    }
    assert_eq!(w.metric("tollgate_cache_samples_total").await, 0.0);
    assert_eq!(w.origin.seen().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_class_of_which_too_much_is_stale_is_passed_by_for_a_while() {
    let judged = "min_samples = 3, inventory_threshold = 50, quarantine = \"1500ms\", share";
    let w = World::with(&ALL.replace("share", judged)).await;
    // It could be asked about, were it believed.
    let tagged = || json(format!("[\"{}\"]", "x".repeat(2000))).header("ETag", "\"a\"");
    w.get("/settings/networks.json").as_("b").origin(tagged()).expect_cache("miss").await;
    miss(&w, "/version.json", json("{}")).await;
    miss(&w, VMS, json("[0]")).await;
    hit(&w, VMS, json("[0]")).await;
    counts(&w, "fresh", 1.0).await;
    for n in 1..=2 {
        hit(&w, VMS, json(format!("[{n}]"))).await;
        counts(&w, "stale", f64::from(n)).await;
        if n == 1 {
            miss(&w, VMS, json("[1]")).await;
        }
    }
    let alarm = "tollgate_cache_quarantined{class=\"inventory\"}";
    assert_eq!(w.metric(alarm).await, 1.0);
    // Whoever reads, the whole class is passed by, and nothing of another.
    for n in 0..2 {
        let passed = w.get(VMS).as_("a").origin(json(format!("[{n}]")));
        passed.expect_cache("bypass:quarantined").expect_body(format!("[{n}]")).await;
    }
    let networks = w.get("/settings/networks.json").as_("b").origin(json("[]"));
    networks.expect_cache("bypass:quarantined").await;
    hit(&w, "/version.json", json("{}")).await;
    assert_eq!(w.metric("tollgate_cache_quarantined").await, 1.0);
    within("the end of the quarantine", async {
        while w.metric(alarm).await > 0.0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    // What was kept before is not believed after it.
    let networks = w.get("/settings/networks.json").as_("b").origin(tagged());
    let networks = networks.sees(|seen| assert_eq!(seen.header("if-none-match"), None));
    networks.expect_cache("miss").await;
    miss(&w, VMS, json("[3]")).await;
    hit(&w, VMS, json("[3]")).await;
    let logged = || {
        let log = crate::harness::captured_log();
        log.contains("the class is in quarantine")
            && log.contains("the quarantine of a class is over")
    };
    until("two lines of the log", logged).await;
}
