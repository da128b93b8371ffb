//! Who demands what is newer: few fetches for many, and none that began before its reader.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::HeaderValue;
use tokio::task::JoinSet;
use tollgate::{auth::scopes::Permission, tenants::record::TokenTerms};

use crate::harness::{Answer, Client, Speaks, World, json};

const VMS: &str = "/virtual_machines.json";

/// A world in which `fresh` has the credential of `a`, and may refresh.
async fn world(overrides: &str) -> World {
    let w = World::with(overrides).await;
    let permissions = [Permission::Refresh].into_iter().collect();
    w.add_token("fresh", "a", "a", &TokenTerms { permissions, ..TokenTerms::default() });
    w
}

/// Connections for readers who ask at once.
async fn clients(w: &World, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(w.connect(Speaks::Http2).await);
    }
    clients
}

fn demand(w: &World, directive: &'static str) -> http::Request<bytes::Bytes> {
    let mut request = w.request("GET", VMS, "fresh");
    request.headers_mut().insert("cache-control", HeaderValue::from_static(directive));
    request
}

/// Begins a read that demands something, on a connection of its own.
async fn begin(w: &World, directive: &'static str) -> tokio::task::JoinHandle<Answer> {
    let (mut client, request) = (w.connect(Speaks::Http1).await, demand(w, directive));
    tokio::spawn(async move { client.send(request).await.expect("an answer") })
}

/// Waits until so many readers of these are answered or wait for a fetch.
async fn looked(w: &World, count: u64) {
    use tollgate::vocabulary::CacheOutcome;
    let lookups = &w.process.shared().observer.metrics.cache.lookups;
    let waiting = || [CacheOutcome::Miss, CacheOutcome::Collapsed].map(|o| lookups.of(o).get());
    crate::harness::until("readers", || waiting().iter().sum::<u64>() == count).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_refreshes_are_a_few_fetches_and_none_shows_what_was_before() {
    let w = world("").await;
    // What the panel shows changes all the time; a fetch shows what was there when it arrived.
    let shown = Arc::new(AtomicU64::new(1));
    let panel = Arc::clone(&shown);
    w.origin.otherwise(move |_| {
        let state = panel.fetch_add(1, Ordering::SeqCst);
        json(state.to_string()).after(Duration::from_millis(200))
    });
    let clients = clients(&w, 4).await;
    let mut readers = JoinSet::new();
    for n in 0..100 {
        let (mut client, request) = (clients[n % 4].clone(), demand(&w, "no-cache"));
        let shown = Arc::clone(&shown);
        readers.spawn(async move {
            // Some come while others are being answered.
            tokio::time::sleep(Duration::from_millis(n as u64 / 25 * 60)).await;
            let before = shown.fetch_add(1, Ordering::SeqCst);
            let answer = client.send(request).await.expect("an answer");
            let state: u64 = answer.text().parse().expect("a number");
            assert!(state > before, "{state} was there before the request, at {before}");
            assert_eq!(answer.status, 200);
            state
        });
    }
    let states = readers.join_all().await;
    let fetches = w.origin.seen().len();
    assert!((2..=5).contains(&fetches), "{fetches} fetches");
    // The newest is kept for everybody.
    let newest = states.into_iter().max().expect("a hundred").to_string();
    w.get(VMS).as_("a").expect_cache("hit").expect_body(newest).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_refreshes_at_once_are_a_handful_of_fetches() {
    let w = world("").await;
    w.get(VMS).as_("a").origin(json("[0]")).expect_cache("miss").await;
    w.origin.otherwise(|_| json("[1]").after(Duration::from_millis(500)));
    let clients = clients(&w, 5).await;
    let mut readers = JoinSet::new();
    for n in 0..500 {
        let (mut client, request) = (clients[n % 5].clone(), demand(&w, "no-cache"));
        readers.spawn(async move { client.send(request).await.expect("an answer") });
    }
    for answer in readers.join_all().await {
        assert_eq!((answer.status, answer.text()), (200, "[1]"));
        assert!(answer.header("cache-status").starts_with("tollgate; fwd=request"));
    }
    let fetches = w.origin.seen().len() - 1;
    assert!((1..=5).contains(&fetches), "{fetches} fetches");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_does_not_join_a_fetch_that_is_under_way() {
    let w = world("").await;
    let first = w.origin.expect(json("[\"before\"]").gated());
    let plain = w.begin("GET", VMS, "a");
    first.arrived().await;
    let refreshes = [begin(&w, "no-cache").await, begin(&w, "max-age=0").await];
    let tolerant = begin(&w, "max-age=60").await;
    looked(&w, 4).await;
    assert_eq!(w.origin.seen().len(), 1, "one follows the other");
    let second = w.origin.expect(json("[\"after\"]").gated());
    first.release();
    second.arrived().await;
    // What was under way is kept until there is something newer.
    assert_eq!(plain.await.expect("no panic").text(), "[\"before\"]");
    assert_eq!(tolerant.await.expect("no panic").text(), "[\"before\"]");
    w.get(VMS).as_("a").expect_cache("hit").expect_body("[\"before\"]").await;
    second.release();
    for refresh in refreshes {
        assert_eq!(refresh.await.expect("no panic").text(), "[\"after\"]");
    }
    w.get(VMS).as_("a").expect_cache("hit").expect_body("[\"after\"]").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_the_next_fetch_does_not_wait_longer_after_a_write() {
    let w = world("").await;
    let first = w.origin.expect(json("[\"before\"]").gated());
    let plain = w.begin("GET", VMS, "a");
    first.arrived().await;
    let refresh = begin(&w, "no-cache").await;
    looked(&w, 2).await;
    w.put("/virtual_machines/1.json").as_("a").origin(json("{}")).await;
    // Who reads after the write waits for nothing that began before it, and takes along who does.
    let after = w.get(VMS).as_("a").origin(json("[\"after\"]")).expect_body("[\"after\"]");
    after.expect_header("cache-status", "tollgate; fwd=miss; collapsed; stored").await;
    assert_eq!(refresh.await.expect("no panic").text(), "[\"after\"]");
    first.release();
    assert_eq!(plain.await.expect("no panic").text(), "[\"before\"]");
    w.get(VMS).as_("a").expect_cache("hit").expect_body("[\"after\"]").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_that_cannot_be_paid_for_ends_nothing() {
    let w = World::new().await;
    let permissions = [Permission::Refresh].into_iter().collect();
    let terms = TokenTerms { permissions, ..TokenTerms::default() };
    w.add_token("fresh", "leader", "tight", &terms);
    for body in ["[0]", "[1]"] {
        let step = w.get(VMS).as_("fresh").header("cache-control", "no-cache");
        step.origin(json(body)).expect_body(body).await;
    }
    // The quota is used up by now; who has another one shares the credential.
    let fetch = w.origin.expect(json("[2]").gated());
    let mut reading = w.connect(Speaks::Http1).await;
    w.add_token("other", "a", "tight", &terms);
    let mut request = w.request("GET", VMS, "other");
    request.headers_mut().insert("cache-control", HeaderValue::from_static("no-cache"));
    let reading = tokio::spawn(async move { reading.send(request).await.expect("an answer") });
    fetch.arrived().await;
    let refused = begin(&w, "no-cache").await.await.expect("no panic");
    assert_eq!((refused.status, refused.code()), (429, "rate_limited"));
    fetch.release();
    assert_eq!(reading.await.expect("no panic").text(), "[2]");
    assert_eq!(w.origin.seen().len(), 3);
}
