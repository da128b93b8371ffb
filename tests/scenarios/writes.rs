//! What a write invalidates, whatever becomes of it.

use std::time::Duration;

use crate::harness::{Reply, World, json, status, xml};

const VMS: &str = "/virtual_machines.json";
const VM: &str = "/virtual_machines/1.json";

/// A write with this reply, and what the next two reads are then.
async fn check(overrides: &str, reply: Reply, answered: u16, reads: [&'static str; 2]) {
    let w = World::with(overrides).await;
    for who in ["a", "b"] {
        w.get(VMS).as_(who).origin(json("[1]")).expect_cache("miss").await;
    }
    w.put(VM)
        .as_("a")
        .origin(reply)
        .asks("PUT /virtual_machines/1.json")
        .expect_status(answered)
        .await;
    for who in ["a", "b"] {
        w.get(VMS).as_(who).origin(json("[2]")).expect_cache(reads[0]).expect_body("[2]").await;
    }
    let step = w.get(VMS).as_("a").expect_body("[2]").expect_cache(reads[1]);
    if reads[1] == "hit" {
        step.await
    } else {
        step.origin(json("[2]")).await
    };
}

const SETTLED: [&str; 2] = ["miss", "hit"];
const OPEN: [&str; 2] = ["miss:unsettled"; 2];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_is_done_invalidates() {
    check("", status(200), 200, SETTLED).await;
    check("", status(204), 204, SETTLED).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_failed_invalidates() {
    // `updated_at` is changed in PUT requests even if the request fails.
    for code in [400, 403, 404, 422, 500] {
        check("", status(code), code, SETTLED).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_that_nobody_knows_is_open() {
    for code in [502, 503, 504] {
        check("", status(code), code, OPEN).await;
    }
    check("", Reply::reset(), 502, OPEN).await;
    check("", Reply::hang_up(), 502, OPEN).await;
    check("", json("").cut(100, "{"), 502, OPEN).await;
    check("upstreams.main.reply_timeout = \"100ms\"", Reply::never(), 504, OPEN).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_on_upstream_is_open() {
    check("", status(201), 201, OPEN).await;
    check("", status(202), 202, OPEN).await;
    let locked = json(r#"{"virtual_machine":{"id":1,"locked":true}}"#);
    check("", locked, 200, OPEN).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_window_ends() {
    let w = World::with("cache.settle_window = \"60ms\"").await;
    w.post(VMS)
        .as_("a")
        .body("application/json", "{}")
        .origin(status(201))
        .expect_status(201)
        .await;
    w.get(VMS).as_("a").origin(json("[1]")).expect_cache("miss:unsettled").await;
    tokio::time::sleep(Duration::from_millis(70)).await;
    w.get(VMS).as_("a").origin(json("[2]")).expect_cache("miss").await;
    w.get(VMS).as_("a").expect_cache("hit").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_says_locked_leaves_a_window_in_its_partition() {
    let w = World::new().await;
    w.get(VMS).as_("a").origin(json("[1]")).expect_cache("miss").await;
    w.get(VMS).as_("b").origin(json("[1]")).expect_cache("miss").await;
    let locked = || json(r#"{"virtual_machine":{"id":1,"locked":true}}"#);
    w.get(VM).as_("a").origin(locked()).expect_cache("miss:unsettled").await;
    w.get(VM).as_("a").origin(locked()).expect_cache("miss:unsettled").await;
    // What hangs on the machine, too.
    w.get(VMS).as_("a").origin(json("[1]")).expect_cache("miss:unsettled").await;
    w.get("/transactions.json").as_("a").origin(json("[]")).expect_cache("miss:unsettled").await;
    w.get("/version.json").as_("a").origin(json("{}")).expect_cache("miss").await;
    w.get(VMS).as_("b").expect_cache("hit").await;
    let locked =
        xml("<virtual_machine>\n  <locked type=\"boolean\">true</locked>\n</virtual_machine>\n");
    w.get("/virtual_machines/2.xml").as_("b").origin(locked).expect_cache("miss:unsettled").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_was_never_sent_touches_nothing() {
    let pool = "upstreams.main = { max_connections = 1, queue_timeout = \"50ms\" }";
    let w = World::with(pool).await;
    w.get(VMS).as_("a").origin(json("[1]")).expect_cache("miss").await;
    let held = w.origin.expect(json("{}").gated());
    let mut reader = w.connect(crate::harness::Speaks::Http1).await;
    let request = w.request("GET", "/version.json", "b");
    let reading = tokio::spawn(async move { reader.send(request).await });
    held.arrived().await;
    w.put(VM)
        .as_("a")
        .expect_refusal(503, "upstream_saturated")
        .expect_header("retry-after", "1")
        .await;
    w.get(VMS).as_("a").expect_cache("hit").await;
    held.release();
    reading.await.expect("no panic").expect("an answer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_write_touches_nothing() {
    let w = World::new().await;
    w.get(VMS).as_("a").origin(json("[1]")).expect_cache("miss").await;
    w.put(VM).as_("reader").expect_refusal(403, "read_only_token").await;
    w.put(VM).as_("not-vms").expect_refusal(403, "out_of_scope").await;
    w.put("/virtual_machines/1")
        .as_("a")
        .accept("text/html")
        .expect_refusal(406, "not_acceptable")
        .await;
    w.get(VMS).as_("a").expect_cache("hit").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_reaches_across_families_and_no_further() {
    let w = World::new().await;
    let touched =
        ["/transactions.json", "/users.json", "/settings/hypervisors.json", "/profile.json"];
    let untouched = ["/dns_zones.json", "/templates.json", "/roles.json", "/version.json"];
    for target in touched.iter().chain(&untouched) {
        w.get(target).as_("a").origin(json("[]")).expect_cache("miss").await;
    }
    let startup = w.post("/virtual_machines/1/startup.json").as_("a").untyped("");
    startup.origin(json("{}")).expect_status(200).expect_cache("write").await;
    for target in touched {
        w.get(target).as_("a").origin(json("[]")).expect_cache("miss").await;
    }
    for target in untouched {
        w.get(target).as_("a").expect_cache("hit").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_every_holder_of_a_role_sees_changes_with_it() {
    let w = World::new().await;
    w.get("/dns_zones.json").as_("b").origin(json("[]")).expect_cache("miss").await;
    w.put("/roles/3.json").as_("a").origin(status(204)).expect_status(204).await;
    w.get("/dns_zones.json").as_("b").origin(json("[]")).expect_cache("miss").await;
    // What no list names touches everything, too.
    w.post("/unheard/of.json").as_("a").body("application/json", "{}").origin(json("{}")).await;
    w.get("/dns_zones.json").as_("b").origin(json("[]")).expect_cache("miss").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_write_counts_its_three_bumps() {
    let w = World::new().await;
    w.put(VM).as_("a").origin(status(422)).expect_status(422).await;
    for cause in ["write_sent", "write_answered", "write_ended"] {
        let series = format!("tollgate_cache_invalidations_total{{cause=\"{cause}\"}}");
        assert_eq!(w.metric(&series).await, 1.0, "{cause}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_too_large_to_look_into_is_open() {
    let w = World::new().await;
    let large = format!("{{\"note\":\"{}\"}}", "x".repeat(70_000));
    w.put(VM).as_("a").origin(json(large.clone())).expect_status(200).expect_body(large).await;
    w.get(VMS).as_("a").origin(json("[1]")).expect_cache("miss:unsettled").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_options_request_counts_as_a_write() {
    let w = World::new().await;
    w.get(VMS).as_("a").origin(json("[1]")).await;
    w.ask("OPTIONS", VMS).as_("a").origin(status(200)).expect_cache("write").await;
    w.get(VMS).as_("a").origin(json("[1]")).expect_cache("miss").await;
}
