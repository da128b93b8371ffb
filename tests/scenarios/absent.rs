//! What is not there: it is remembered for a moment, and no longer than until something is made.

use std::time::Duration;

use tollgate::{
    auth::scopes::Permission,
    tenants::record::{Reach, TokenTerms},
};

use crate::harness::{Reply, World, json, status, until, xml};

const VMS: &str = "/virtual_machines.json";
const ONE: &str = "/virtual_machines/1.json";
const NINE: &str = "/virtual_machines/9.json";
const NOTHING: &str = r#"{"errors":["Resource not found"]}"#;

fn absent() -> Reply {
    json(NOTHING).status(404)
}

fn machine(id: u64) -> String {
    format!(r#"{{"virtual_machine":{{"id":{id},"identifier":"abcdefghijklm{id}"}}}}"#)
}

/// A world in which `a` has asked for a machine that is not there, and so has `b`, who sees all.
async fn world(overrides: &str) -> World {
    let w = World::with(overrides).await;
    w.declare("a", Reach::Own, "ann");
    w.declare("b", Reach::All, "root");
    w.declare("tight", Reach::Own, "tim");
    for who in ["a", "b"] {
        w.get(NINE).as_(who).origin(absent()).expect_status(404).expect_cache("miss").await;
    }
    w
}

/// A creation that the panel answers so.
async fn create(w: &World, answer: Reply) {
    let create = w.post(VMS).as_("a").body("application/json", "{}");
    create.origin(answer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_is_asked_for_once() {
    let w = world("").await;
    let hit = w.get(NINE).as_("a").no_origin().expect_status(404).expect_cache("hit");
    hit.expect_body(NOTHING)
        .expect_header("content-type", "application/json; charset=utf-8")
        .expect_header("cache-control", "private, max-age=0, must-revalidate")
        .expect_header("age", "0")
        .await;
    let head = w.head(NINE).as_("a").expect_status(404).expect_cache("hit").expect_body("");
    head.expect_header("content-length", &NOTHING.len().to_string()).await;
    // A condition is about what is there.
    let tag = w.get(NINE).as_("a").await.header("etag").to_owned();
    for condition in [&tag, "*"] {
        w.get(NINE).as_("a").header("if-none-match", condition).expect_status(404).await;
    }
    // The other format is asked for by itself, and a secret is masked as anywhere.
    let shown = "<errors type=\"array\">\n  <api_key>********</api_key>\n</errors>\n";
    let said = || xml(shown.replace("********", "5d41402abc")).status(404);
    let target = "/virtual_machines/9.xml";
    w.head(target).as_("a").origin(said()).expect_status(404).expect_cache("miss").await;
    w.get(target).as_("a").expect_status(404).expect_cache("hit").expect_body(shown).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_made_is_there() {
    let odd = r#"{"queued":true}"#.to_owned();
    let large = format!("[\"{}\"]", "x".repeat(70 << 10));
    for body in [machine(9), odd, large, String::new()] {
        let w = world("").await;
        create(&w, json(body).status(201)).await;
        for who in ["a", "b"] {
            let read = w.get(NINE).as_(who).origin(json(machine(9)));
            read.expect_status(200).expect_body(machine(9)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_changes_what_lists_show_may_have_made_it() {
    let w = world("").await;
    w.get(ONE).as_("a").origin(json(machine(1))).expect_cache("miss").await;
    for write in [VMS, "/virtual_machines/1/clone.json", "/virtual_machines/1/disks.json"] {
        w.get(NINE).as_("a").expect_cache("hit").await;
        let write = w.post(write).as_("a").body("application/json", "{}");
        write.origin(status(422)).expect_status(422).await;
        w.get(NINE).as_("a").origin(absent()).expect_cache("miss").await;
    }
    // What others do who share nothing with it is no reason.
    w.post(VMS).as_("tight").body("application/json", "{}").origin(status(422)).await;
    w.get(NINE).as_("a").expect_cache("hit").await;
    w.get(NINE).as_("b").origin(absent()).expect_cache("miss").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_made_without_a_name_may_be_anything() {
    for (body, spared) in [(machine(9), true), ("{}".to_owned(), false)] {
        let w = world("").await;
        w.get(ONE).as_("a").origin(json(machine(1))).expect_cache("miss").await;
        create(&w, json(body).status(201)).await;
        let read = w.get(ONE).as_("a");
        if spared {
            read.expect_cache("hit").await;
        } else {
            read.origin(json(machine(1))).expect_cache("miss:unsettled").await;
        }
        let read = w.get(NINE).as_("a").origin(absent());
        read.expect_status(404).expect_cache("miss:unsettled").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_told_of_a_404_from_before_a_creation() {
    let w = World::new().await;
    w.get(ONE).as_("a").origin(json(machine(1))).expect_cache("miss").await;
    let fetch = w.origin.expect(absent().gated());
    let early = w.begin("GET", NINE, "a");
    fetch.arrived().await;
    // A copy, of which nobody learns the name; the machine that is copied is known by both.
    let clone = w.post("/virtual_machines/1/clone.json").as_("a").body("application/json", "{}");
    clone.origin(status(200)).expect_status(200).await;
    let late = w.begin("GET", NINE, "a");
    let collapsed = &w.process.shared().observer.metrics.cache.collapsed_reads;
    until("a reader that joins", || collapsed.get() == 1).await;
    let anew = w.origin.expect(json(machine(9)));
    fetch.release();
    let early = early.await.expect("no panic");
    assert_eq!((early.status, &*early.cache()), (404, "miss:overtaken"));
    let late = late.await.expect("no panic");
    assert_eq!((late.status, late.text()), (200, &*machine(9)));
    assert!(anew.has_arrived());
    w.get(NINE).as_("a").expect_cache("hit").expect_status(200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_kept_for_its_lifetime_and_never_shown_beyond() {
    for bound in ["not_found_lifetime", "inventory_lifetime"] {
        let w = world(&format!("cache.{bound} = \"300ms\"")).await;
        w.get(NINE).as_("a").expect_cache("hit").await;
        tokio::time::sleep(Duration::from_millis(310)).await;
        // Not even where there is nothing better.
        let read = w.get(NINE).as_("a").origin(Reply::raw("garbage\r\n\r\n"));
        read.expect_refusal(502, "upstream_broken").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_takes_the_place_of_what_was_there() {
    let w = World::with("cache.inventory_lifetime = \"300ms\"").await;
    w.get(NINE).as_("a").origin(json(machine(9))).expect_cache("miss").await;
    tokio::time::sleep(Duration::from_millis(310)).await;
    w.get(NINE).as_("a").origin(absent()).expect_status(404).expect_cache("miss").await;
    w.get(NINE).as_("a").expect_status(404).expect_cache("hit").await;
    tokio::time::sleep(Duration::from_millis(310)).await;
    w.get(NINE).as_("a").origin(status(502)).expect_status(502).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_purged_or_demanded_anew_is_not_shown() {
    let w = world("upstreams.main.breaker_failures = 0").await;
    let permissions = [Permission::Refresh].into_iter().collect();
    w.add_token("fresh", "a", "a", &TokenTerms { permissions, ..TokenTerms::default() });
    let broken = || Reply::raw("garbage\r\n\r\n");
    let demand = |reply| w.get(NINE).as_("fresh").header("cache-control", "no-cache").origin(reply);
    demand(absent()).expect_status(404).expect_cache("request").await;
    demand(broken()).expect_refusal(502, "upstream_broken").await;
    w.get(NINE).as_("a").expect_status(404).expect_cache("hit").await;
    // There is no stale one of it, for whatever reason it is stale.
    for purge in [r#"{"all":true,"soft":true}"#, r#"{"all":true}"#] {
        w.purge(purge).await;
        w.get(NINE).as_("a").origin(broken()).expect_refusal(502, "upstream_broken").await;
        w.get(NINE).as_("a").origin(absent()).expect_status(404).expect_cache("miss").await;
        w.get(NINE).as_("a").expect_status(404).expect_cache("hit").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_every_404_is_kept() {
    let w = World::with("cache.not_found_lifetime = \"0s\"").await;
    for _ in 0..2 {
        w.get(NINE).as_("a").origin(absent()).expect_status(404).expect_cache("miss:status").await;
    }
    let w = World::new().await;
    for _ in 0..2 {
        let page = Reply::new(404).header("Content-Type", "text/html").body("<h1>404</h1>");
        let read = w.get(NINE).as_("a").origin(page);
        read.expect_status(404).expect_cache("miss:content-type").await;
        w.get("/who_knows.json").as_("a").origin(absent()).expect_cache("bypass:unlisted").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_them_takes_its_own_share() {
    let small = "cache = { capacity = \"4MiB\", max_entry = \"1MiB\", max_partition_percent = 50 }";
    let w = World::with(small).await;
    w.get(VMS).as_("b").origin(json("[]")).expect_cache("miss").await;
    let mut refused = 0;
    for id in 1..=30 {
        let target = format!("/virtual_machines/{id}.json");
        let large = json(format!("[\"{}\"]", "x".repeat(150 << 10))).status(404);
        let answer = w.get(&target).as_("a").origin(large).await;
        refused += usize::from(answer.cache() == "miss:partition-share");
    }
    assert!((15..=20).contains(&refused), "{refused} of 30 found no room");
    w.get(VMS).as_("b").expect_cache("hit").await;
}
