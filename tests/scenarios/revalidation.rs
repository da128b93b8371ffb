//! What is kept and fetched anew: the upstream is asked whether it has changed.

use std::time::Duration;

use tollgate::{auth::scopes::Permission, tenants::record::TokenTerms};

use crate::harness::{Reply, World, json, status, until};

const VMS: &str = "/virtual_machines.json";
const ONE: &str = "/virtual_machines/1.json";
const TAG: &str = "W/\"5d41402abc4b2a76b9719d911017c592\"";
const OTHER: &str = "W/\"7d793037a0760186574b0282f2f435e7\"";
const SHORT: &str = "cache.inventory_lifetime = \"30ms\"";

/// A body that is worth it.
fn body(first: &str) -> String {
    format!("[\"{first}\",\"{}\"]", "x".repeat(2000))
}

fn shown(body: &str, tag: &str) -> Reply {
    json(body.to_owned()).without("ETag").header("ETag", tag)
}

fn not_modified(tag: &str) -> Reply {
    Reply::new(304).header("ETag", tag).header("Cache-Control", "max-age=0, private")
}

async fn expired() {
    tokio::time::sleep(Duration::from_millis(40)).await;
}

/// Reads, and the upstream is asked with this condition.
async fn read(w: &World, condition: Option<&'static str>, reply: Reply, expected: &str) {
    let step = w.get(VMS).as_("a").origin(reply).expect_status(200);
    let step = step.sees(move |seen| assert_eq!(seen.header("if-none-match"), condition));
    step.expect_body(expected.to_owned()).await;
}

/// How often the upstream said that nothing has changed, and that something has.
async fn counted(w: &World) -> [f64; 2] {
    let of = |outcome| format!("tollgate_cache_revalidations_total{{outcome=\"{outcome}\"}}");
    [w.metric(&of("not_modified")).await, w.metric(&of("modified")).await]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_not_changed_does_not_travel_again() {
    let w = World::with("cache.inventory_lifetime = \"1s\"").await;
    let first = w.get(VMS).as_("a").origin(shown(&body("a"), TAG)).await;
    tokio::time::sleep(Duration::from_millis(1010)).await;
    let again = w.get(VMS).as_("a").origin(not_modified(TAG)).expect_status(200);
    let again = again.expect_cache("miss").expect_body(body("a"));
    let again = again.expect_header("cache-status", "tollgate; fwd=stale; fwd-status=304; stored");
    let again = again.sees(|seen| assert_eq!(seen.all("if-none-match"), [TAG]));
    again.expect_header("content-type", "application/json; charset=utf-8").await;
    let hit = w.get(VMS).as_("a").expect_cache("hit").expect_body(body("a"));
    hit.expect_header("age", "0").expect_header("etag", first.header("etag")).await;
    assert_eq!(counted(&w).await, [1.0, 0.0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_changed_is_asked_about_by_its_new_tag() {
    let w = World::with(SHORT).await;
    read(&w, None, shown(&body("a"), TAG), &body("a")).await;
    expired().await;
    read(&w, Some(TAG), shown(&body("b"), OTHER), &body("b")).await;
    expired().await;
    read(&w, Some(OTHER), not_modified(OTHER), &body("b")).await;
    expired().await;
    // A tag need not be said again, nor be as weak as it was.
    read(&w, Some(OTHER), Reply::new(304), &body("b")).await;
    expired().await;
    let strong = OTHER.trim_start_matches("W/");
    read(&w, Some(OTHER), not_modified(strong), &body("b")).await;
    assert_eq!(counted(&w).await, [3.0, 1.0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_is_told_by_our_tag_alone() {
    let w = World::with(SHORT).await;
    let tag = w.get(VMS).as_("a").origin(shown(&body("a"), TAG)).await.header("etag").to_owned();
    expired().await;
    let step = w.get(VMS).as_("a").header("if-none-match", &tag).origin(not_modified(TAG));
    step.expect_status(304).expect_header("etag", &tag).expect_body("").await;
    expired().await;
    let head = w.head(VMS).as_("a").origin(not_modified(TAG)).expect_status(200);
    head.expect_header("content-length", &body("a").len().to_string()).expect_body("").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_write_it_is_asked_about_too() {
    let w = World::new().await;
    read(&w, None, shown(&body("a"), TAG), &body("a")).await;
    w.put(ONE).as_("a").origin(status(422)).expect_status(422).await;
    read(&w, Some(TAG), not_modified(TAG), &body("a")).await;
    w.get(VMS).as_("a").expect_cache("hit").expect_body(body("a")).await;
    w.put(ONE).as_("a").origin(status(204)).expect_status(204).await;
    read(&w, Some(TAG), shown(&body("b"), OTHER), &body("b")).await;
    w.get(VMS).as_("a").expect_cache("hit").expect_body(body("b")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_demands_what_is_newer_has_it_asked_about_and_is_shown_nothing_older() {
    let w =
        World::with("cache.inventory_lifetime = \"1s\"\nupstreams.main.breaker_failures = 0").await;
    let permissions = [Permission::Refresh].into_iter().collect();
    let refreshing = TokenTerms { permissions, ..TokenTerms::default() };
    w.add_token("fresh", "a", "a", &refreshing);
    let demand = |reply| w.get(VMS).as_("fresh").header("cache-control", "no-cache").origin(reply);
    read(&w, None, shown(&body("a"), TAG), &body("a")).await;
    for (wait, why) in [(0, "request"), (1010, "stale")] {
        tokio::time::sleep(Duration::from_millis(wait)).await;
        let failed = demand(Reply::raw("garbage\r\n\r\n"));
        failed.expect_refusal(502, "upstream_broken").await;
        let again = demand(not_modified(TAG)).expect_status(200).expect_body(body("a"));
        let again = again.sees(|seen| assert_eq!(seen.all("if-none-match"), [TAG]));
        let status = format!("tollgate; fwd={why}; fwd-status=304; stored");
        again.expect_header("cache-status", &status).await;
        w.get(VMS).as_("a").expect_cache("hit").expect_header("age", "0").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_that_has_misled_is_not_asked_by_again() {
    let all =
        "sampler = { share = 1000000, per_second = 1000, max_in_flight = 100, window = \"1m\" }";
    for target in [VMS, "/virtual_machines/1/cpu_usage.json"] {
        let w = World::with(all).await;
        let get = || w.get(target).as_("a");
        get().origin(shown(&body("a"), TAG)).expect_cache("miss").await;
        let sample = w.origin.expect(shown(&body("b"), TAG));
        get().expect_cache("hit").expect_body(body("a")).await;
        assert_eq!(sample.arrived().await.header("if-none-match"), None);
        let stale = "tollgate_cache_samples_total{outcome=\"stale\"}";
        while w.metric(stale).await < 1.0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let full = get().origin(shown(&body("b"), TAG)).expect_body(body("b"));
        full.sees(|seen| assert_eq!(seen.header("if-none-match"), None)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_304_that_a_write_crossed_is_not_kept() {
    let w = World::with(SHORT).await;
    read(&w, None, shown(&body("a"), TAG), &body("a")).await;
    expired().await;
    let fetch = w.origin.expect(not_modified(TAG).gated());
    let early = w.begin("GET", VMS, "a");
    fetch.arrived().await;
    w.put(ONE).as_("a").origin(status(204)).expect_status(204).await;
    fetch.release();
    let early = early.await.expect("no panic");
    assert_eq!((early.text(), &*early.cache()), (&*body("a"), "miss:overtaken"));
    read(&w, Some(TAG), shown(&body("b"), OTHER), &body("b")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_learned_from_as_if_it_had_been_sent() {
    let w = World::with("cache = { settle_window = \"400ms\", unsettled_lifetime = \"9s\" }").await;
    let waiting = &w.process.shared().observer.metrics.unsettled.waiting;
    let note = "x".repeat(2000);
    let locked = format!(r#"{{"virtual_machine":{{"id":1,"locked":true,"note":"{note}"}}}}"#);
    let read = |reply| w.get(ONE).as_("a").origin(reply).expect_body(locked.clone());
    // Who learns that it is held keeps nothing; who knows it, for a moment.
    read(shown(&locked, TAG)).expect_cache("miss:unsettled").await;
    read(shown(&locked, TAG)).expect_cache("miss").await;
    assert_eq!(waiting.get(), 1);
    until("the end of the window", || waiting.get() == 0).await;
    let again = read(not_modified(TAG)).sees(|s| assert_eq!(s.header("if-none-match"), Some(TAG)));
    again.expect_cache("miss:unsettled").await;
    assert_eq!(waiting.get(), 1, "what it shows will change again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_masked_by_other_secrets_is_fetched_in_full() {
    const MINTED: &str = "a-key-that-was-minted-later";
    let w = World::new().await;
    let plain = body(MINTED);
    let masked = plain.replace(MINTED, "********");
    read(&w, None, shown(&plain, TAG), &plain).await;
    w.rotate_credential("b", MINTED);
    // The upstream would say that nothing has changed.
    read(&w, None, shown(&plain, TAG), &masked).await;
    w.get(VMS).as_("a").expect_cache("hit").expect_body(masked).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_secret_by_the_time_of_the_304_is_fetched_in_full() {
    const MINTED: &str = "a-key-that-was-minted-later";
    let w = World::with(SHORT).await;
    let plain = body(MINTED);
    read(&w, None, shown(&plain, TAG), &plain).await;
    expired().await;
    let fetch = w.origin.expect(not_modified(TAG).gated());
    let reading = w.begin("GET", VMS, "a");
    fetch.arrived().await;
    w.rotate_credential("b", MINTED);
    let full = w.origin.expect(shown(&plain, TAG));
    fetch.release();
    let answer = reading.await.expect("no panic");
    assert_eq!(answer.text(), plain.replace(MINTED, "********"));
    assert_eq!(full.arrived().await.header("if-none-match"), None);
    assert_eq!(counted(&w).await, [0.0, 0.0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_304_that_speaks_of_nothing_is_a_fault() {
    let w = World::with(SHORT).await;
    // Nobody has asked.
    let unasked = w.get(VMS).as_("a").origin(not_modified(TAG));
    unasked.expect_refusal(502, "upstream_broken").await;
    read(&w, None, shown(&body("a"), TAG), &body("a")).await;
    expired().await;
    // Of something else: it is asked for in full, once.
    let other = w.origin.expect(not_modified(OTHER));
    read(&w, None, shown(&body("b"), OTHER), &body("b")).await;
    assert_eq!(other.arrived().await.header("if-none-match"), Some(TAG));
    w.put(ONE).as_("a").origin(status(204)).await;
    w.origin.expect(not_modified(TAG));
    let twice = w.get(VMS).as_("a").origin(not_modified(OTHER));
    twice.expect_refusal(502, "upstream_broken").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_304_that_is_a_fault_is_a_failure_like_others() {
    let w = World::with(SHORT).await;
    let small = "[\"a\"]";
    read(&w, None, shown(small, TAG), small).await;
    expired().await;
    let stale = w.get(VMS).as_("a").origin(not_modified(TAG)).expect_body(small);
    stale.expect_cache("hit:stale-if-error").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_of_a_304_replace_what_was_kept() {
    let w = World::with(SHORT).await;
    let paged = |reply: Reply, total: &str| reply.header("X-Page", "1").header("X-Total", total);
    read(&w, None, paged(shown(&body("a"), TAG), "1"), &body("a")).await;
    expired().await;
    let same = paged(not_modified(TAG), "2").header("Content-Type", "text/html");
    let same = same.header("Set-Cookie", "_session_id=panel-session");
    let step = w.get(VMS).as_("a").origin(same).expect_body(body("a"));
    let step = step.expect_header("x-total", "2").expect_header("x-page", "1");
    let step = step.expect_header("content-type", "application/json; charset=utf-8");
    step.expect_header("cache-control", "private, max-age=0, must-revalidate")
        .expect_header("set-cookie", "")
        .await;
    expired().await;
    let forbidden = Reply::new(304).header("Cache-Control", "no-store");
    let step = w.get(VMS).as_("a").origin(forbidden).expect_body(body("a"));
    step.expect_cache("miss:no-store").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_gains_nothing_by_it_is_not_asked_about() {
    let w = World::with(SHORT).await;
    let untagged = json(body("a")).without("ETag");
    for reply in [shown("[]", TAG), untagged, shown(&body("a"), "no tag"), status(200)] {
        w.get(VMS).as_("a").origin(reply).expect_status(200).await;
        expired().await;
        read(&w, None, json("[]"), "[]").await;
        expired().await;
    }
    let w = World::with("cache = { inventory_lifetime = \"30ms\", revalidate = false }").await;
    read(&w, None, shown(&body("a"), TAG), &body("a")).await;
    expired().await;
    read(&w, None, shown(&body("a"), TAG), &body("a")).await;
}
