//! What is shown beyond its lifetime, and an upstream that is down.

use std::time::Duration;

use tollgate::tenants::record::Reach;

use crate::harness::{Reply, World, json, status};

const VMS: &str = "/virtual_machines.json";
const ONE: &str = "/virtual_machines/1.json";

/// Reads are fresh for a moment, and failures are forgotten soon.
const SHORT: &str = r#"
    cache = { inventory_lifetime = "30ms", retry_interval = "80ms" }
    upstreams.main.breaker_failures = 0
"#;

/// No reply, and nothing that could be sent again.
fn broken() -> Reply {
    Reply::raw("garbage\r\n\r\n")
}

async fn expired() {
    tokio::time::sleep(Duration::from_millis(40)).await;
}

async fn read(w: &World) {
    w.get(VMS).as_("a").origin(json("[1]")).expect_cache("miss").await;
    expired().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_fetched_is_shown_as_it_was() {
    let failures = [500, 502, 503, 504, 429, 408].map(status);
    for failure in failures.into_iter().chain([broken()]) {
        let w = World::with(SHORT).await;
        read(&w).await;
        let answer = w.get(VMS).as_("a").origin(failure).expect_body("[1]").await;
        assert_eq!((answer.status, answer.cache().as_str()), (200, "hit:stale-if-error"));
        // It is not tried again at once,
        w.get(VMS).as_("a").expect_cache("hit:stale-if-error").await;
        // but soon.
        tokio::time::sleep(Duration::from_millis(90)).await;
        w.get(VMS).as_("a").origin(json("[2]")).expect_cache("miss").expect_body("[2]").await;
        let lookups = "tollgate_cache_lookups_total{outcome=\"stale\"}";
        assert_eq!(w.metric(lookups).await, 2.0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_wishes_for_rest_has_it() {
    let w = World::with(SHORT).await;
    read(&w).await;
    let busy = status(503).header("Retry-After", "30");
    w.get(VMS).as_("a").origin(busy).expect_cache("hit:stale-if-error").await;
    tokio::time::sleep(Duration::from_millis(90)).await;
    w.get(VMS).as_("a").expect_cache("hit:stale-if-error").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_wants_nothing_stale_for_errors_has_none_while_it_rests() {
    let bounds = "stale_if_error = \"0s\", stale_while_revalidate = \"60s\", retry_interval";
    let w = World::with(&SHORT.replace("retry_interval", bounds)).await;
    read(&w).await;
    let failed = w.origin.expect(status(503));
    w.get(VMS).as_("a").expect_cache("hit:stale-while-revalidate").await;
    failed.over().await;
    // It is not asked for while it rests, but shown, and for the reason for which it may be.
    tokio::time::sleep(Duration::from_millis(20)).await;
    w.get(VMS).as_("a").expect_cache("hit:stale-while-revalidate").await;
    tokio::time::sleep(Duration::from_millis(80)).await;
    let again = w.origin.expect(json("[2]"));
    w.get(VMS).as_("a").expect_cache("hit:stale-while-revalidate").await;
    again.over().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_open_is_not_followed_by_what_was_before() {
    let list =
        |status: &str| json(format!(r#"[{{"transaction":{{"id":7,"status":"{status}"}}}}]"#));
    for unsettled in ["0s", "1ms"] {
        let overrides = format!(
            "cache = {{ volatile_lifetime = \"30ms\", unsettled_lifetime = \"{unsettled}\" }}\n\
             upstreams.main.breaker_failures = 0"
        );
        let w = World::with(&overrides).await;
        let read = || w.get("/transactions.json").as_("a");
        read().origin(list("complete")).expect_cache("miss").await;
        expired().await;
        let slow = list("running").after(Duration::from_millis(5));
        if unsettled == "0s" {
            read().origin(slow).expect_cache("miss:unsettled").await;
            read().origin(status(502)).expect_status(502).await;
        } else {
            read().origin(slow).expect_cache("miss").await;
            let shown = read().origin(status(502)).expect_cache("hit:stale-if-error");
            shown.expect_body(r#"[{"transaction":{"id":7,"status":"running"}}]"#).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_gone_while_something_is_made_takes_what_was_kept_with_it() {
    let w = World::with(SHORT).await;
    w.declare("a", Reach::Own, "ann");
    let one = || w.get(ONE).as_("a");
    let machine = r#"{"virtual_machine":{"id":1,"identifier":"abcdefghijklm1"}}"#;
    one().origin(json(machine)).expect_cache("miss").await;
    let made = r#"{"virtual_machine":{"id":2,"identifier":"abcdefghijklm2"}}"#;
    let made = json(made).status(201);
    w.post(VMS).as_("a").body("application/json", "{}").origin(made).await;
    expired().await;
    one().origin(status(502)).expect_cache("hit:stale-if-error").await;
    tokio::time::sleep(Duration::from_millis(90)).await;
    // What is made may be what is missed, so this is not kept,
    let absent = json("{}").status(404);
    one().origin(absent).expect_status(404).expect_cache("miss:unsettled").await;
    // but what it says counts.
    one().origin(status(502)).expect_status(502).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_of_the_upstream_is_no_failure() {
    for answer in [403, 404, 422] {
        let w = World::with(SHORT).await;
        read(&w).await;
        w.get(VMS).as_("a").origin(status(answer)).expect_status(answer).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_shown_past_a_write() {
    let w = World::with(SHORT).await;
    read(&w).await;
    w.put(ONE).as_("a").origin(status(422)).expect_status(422).await;
    w.get(VMS).as_("a").origin(broken()).expect_refusal(502, "upstream_broken").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_shown_past_its_bound() {
    let bound = SHORT.replace("retry_interval", "stale_if_error = \"0s\", retry_interval");
    let w = World::with(&bound).await;
    read(&w).await;
    w.get(VMS).as_("a").origin(broken()).expect_refusal(502, "upstream_broken").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_fetched_anew_may_be_shown_meanwhile() {
    let lifetimes = "cache = { inventory_lifetime = \"500ms\", stale_while_revalidate = \"10s\" }";
    let w = World::with(lifetimes).await;
    w.get(VMS).as_("a").origin(json("[1]")).expect_cache("miss").await;
    tokio::time::sleep(Duration::from_millis(510)).await;
    let fetched = w.origin.expect(json("[2]").gated());
    w.get(VMS).as_("a").expect_cache("hit:stale-while-revalidate").expect_body("[1]").await;
    fetched.arrived().await;
    // Whoever asks meanwhile starts no second fetch.
    w.get(VMS).as_("a").expect_cache("hit:stale-while-revalidate").await;
    fetched.release();
    fetched.over().await;
    crate::harness::within("the new body", async {
        while w.get(VMS).as_("a").await.body != "[2]" {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_is_down_is_left_alone() {
    let down = "upstreams.main = { breaker_failures = 2, breaker_interval = \"150ms\" }\n\
                cache = { inventory_lifetime = \"30ms\", retry_interval = \"0s\" }";
    let w = World::with(down).await;
    read(&w).await;
    w.get("/version.json").as_("a").origin(json("{}")).expect_cache("miss").await;
    for target in ["/templates.json", "/templates.json", "/roles.json"] {
        w.get(target).as_("a").origin(status(503)).expect_status(503).await;
    }
    assert_eq!(w.metric("tollgate_upstream_breaker_openings_total").await, 1.0);
    // Reads are answered from what there is, fresh or not; what is not there is refused.
    w.get("/version.json").as_("a").expect_cache("hit").await;
    w.get(VMS).as_("a").expect_cache("hit:stale-if-error").await;
    let refused = w.get("/templates.json").as_("a").expect_refusal(503, "upstream_down").await;
    assert_eq!(refused.header("retry-after"), "1");
    // A write is refused, and touches nothing.
    w.put(ONE).as_("a").expect_refusal(503, "upstream_down").await;
    w.get(VMS).as_("a").expect_cache("hit:stale-if-error").await;
    // One request finds out, and when it fails the others wait again.
    tokio::time::sleep(Duration::from_millis(160)).await;
    w.get(VMS).as_("a").origin(status(502)).expect_cache("hit:stale-if-error").await;
    w.get("/templates.json").as_("a").expect_refusal(503, "upstream_down").await;
    tokio::time::sleep(Duration::from_millis(160)).await;
    // What failed last lets others find out.
    w.get(VMS).as_("a").expect_cache("hit:stale-if-error").await;
    w.get("/templates.json").as_("a").origin(json("[]")).expect_cache("miss").await;
    w.get(VMS).as_("a").origin(json("[2]")).expect_cache("miss").expect_body("[2]").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_while_one_finds_out_is_not_made_to_rest() {
    let down = "upstreams.main = { breaker_failures = 1, breaker_interval = \"60ms\" }\n\
                cache = { inventory_lifetime = \"30ms\", retry_interval = \"60s\" }";
    let w = World::with(down).await;
    read(&w).await;
    w.get("/roles.json").as_("a").origin(status(503)).expect_status(503).await;
    tokio::time::sleep(Duration::from_millis(70)).await;
    let probe = w.origin.expect(json("[]").gated());
    let finds_out = w.get("/templates.json").as_("a");
    let meanwhile = async {
        probe.arrived().await;
        w.get(VMS).as_("a").expect_cache("hit:stale-if-error").await;
        probe.release();
    };
    let (found, ()) = tokio::join!(finds_out, meanwhile);
    assert_eq!(found.status, 200);
    // The upstream is back, and whoever was refused a moment ago asks it.
    w.get(VMS).as_("a").origin(json("[2]")).expect_cache("miss").expect_body("[2]").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_unsettled_is_shown_stale_only_where_nothing_newer_can_be_known() {
    let kept = SHORT.replace(
        "retry_interval",
        "unsettled_lifetime = \"20ms\", stale_while_revalidate = \"60s\", settle_window = \"900ms\", \
         retry_interval",
    );
    let w = World::with(&kept).await;
    let startup = || w.post("/virtual_machines/1/startup.json").as_("a");
    startup().body("application/json", "{}").origin(status(201)).await;
    let begun = tokio::time::Instant::now();
    w.get(VMS).as_("a").origin(json("[1]")).expect_cache("miss").await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    // Not while it is fetched anew,
    w.get(VMS).as_("a").origin(json("[2]")).expect_cache("miss").expect_body("[2]").await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    // but if that fails,
    w.get(VMS).as_("a").origin(broken()).expect_cache("hit:stale-if-error").await;
    // and no longer once what was open has ended.
    tokio::time::sleep_until(begun + Duration::from_millis(1000)).await;
    w.get(VMS).as_("a").origin(broken()).expect_refusal(502, "upstream_broken").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_answer_is_not_followed_by_an_older_one() {
    for newer in [404, 422] {
        let w = World::with(SHORT).await;
        read(&w).await;
        w.get(VMS).as_("a").origin(status(newer)).expect_status(newer).await;
        expired().await;
        w.get(VMS).as_("a").origin(status(502)).expect_status(502).await;
    }
}
