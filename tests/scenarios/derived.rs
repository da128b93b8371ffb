//! A route whose formats are proven: what is kept, or fetched, in one is shown in the other.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Version, header::HOST};
use tollgate::{
    api::target::Target,
    auth::scopes::Permission,
    formats::Pair,
    tenants::record::{Reach, TokenTerms},
    vocabulary::{Secrecy, Taken},
};

use crate::harness::{Reply, World, json, status, within, xml};

const JSON: &str = "/virtual_machines/1.json";
const XML: &str = "/virtual_machines/1.xml";

/// Reads are fresh for a moment, and failures are forgotten soon.
const SHORT: &str = r#"
    cache = { inventory_lifetime = "30ms", retry_interval = "0ms" }
    upstreams.main.breaker_failures = 0
"#;

fn in_json(label: &str) -> String {
    format!(r#"{{"virtual_machine":{{"id":1,"label":"{label}"}}}}"#)
}

fn in_xml(label: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<virtual_machine>\n  \
         <id type=\"integer\">1</id>\n  <label>{label}</label>\n</virtual_machine>\n"
    )
}

/// A world in which the formats of machines are proven.
async fn proven(overrides: &str) -> World {
    let w = World::with(overrides).await;
    w.declare("a", Reach::Own, "ann");
    prove(&w);
    w
}

/// Two pairs of a machine: one is learned from, and one proves what was learned.
fn prove(w: &World) {
    let shared = w.process.shared();
    let mut headers = HeaderMap::new();
    headers.insert(HOST, HeaderValue::from_static("a"));
    let uri = JSON.parse().expect("a target");
    let target = Target::canonicalize(uri, &headers, Version::HTTP_11, 1000).expect("a target");
    let route = shared.routes.read(&target).expect("a listed route").id;
    let take = |label: &str| {
        let (json, xml) = (in_json(label), in_xml(label));
        let pair = Pair { json: json.as_bytes(), xml: xml.as_bytes() };
        shared.book.take("main", route, Secrecy::Hidden, pair, 0)
    };
    assert_eq!([take("one"), take("two")], [Taken::Learned, Taken::Proved]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_fetch_is_shown_in_both_formats_whichever_is_asked_for_first() {
    let w = proven("").await;
    w.get(JSON).as_("a").origin(json(in_json("x"))).expect_cache("miss").await;
    let read = || w.get(XML).as_("a").no_origin().expect_body(in_xml("x"));
    let first = read().expect_cache("hit:derived").await;
    assert_eq!(first.header("content-type"), "application/xml; charset=utf-8");
    assert_ne!(first.header("etag"), w.get(JSON).as_("a").await.header("etag"));
    read().expect_cache("hit").await;
    w.purge(r#"{"path":"/virtual_machines/1.xml"}"#).await;
    w.get(JSON).as_("a").origin(json(in_json("x"))).expect_cache("miss").await;
    let cached = w.get(XML).as_("a").header("cache-control", "only-if-cached").no_origin();
    cached.expect_cache("hit:derived").expect_body(in_xml("x")).await;
    let head = w.head(XML).as_("a").expect_cache("hit").expect_body("").await;
    assert_eq!(head.header("content-length"), in_xml("x").len().to_string());
    let known = w.get(XML).as_("a").header("if-none-match", first.header("etag"));
    known.expect_status(304).await;
    // Nobody else's: another credential fetches its own, in JSON, of which both are shown.
    let other = w.get(XML).as_("b").origin(json(in_json("y"))).asks("GET /virtual_machines/1.json");
    other.expect_cache("miss").expect_body(in_xml("y")).await;
    w.get(JSON).as_("b").no_origin().expect_cache("hit").expect_body(in_json("y")).await;
    w.get(XML).as_("b").no_origin().expect_cache("hit").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_is_derived_from_xml_that_was_fetched() {
    let w = World::new().await;
    w.get(XML).as_("a").origin(xml(in_xml("x"))).expect_cache("miss").await;
    prove(&w);
    let derived = w.get(JSON).as_("a").no_origin().expect_cache("hit:derived");
    derived.expect_body(in_json("x")).await;
    // A query that names a format is asked for as it is.
    let named = "/virtual_machines/1.xml?format=xml";
    w.get(named).as_("a").origin(xml(in_xml("y"))).expect_body(in_xml("y")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_ends_both() {
    let w = proven("").await;
    w.get(JSON).as_("a").origin(json(in_json("x"))).await;
    w.get(XML).as_("a").expect_cache("hit:derived").await;
    w.put(JSON).as_("a").origin(status(422)).expect_status(422).await;
    w.get(XML)
        .as_("a")
        .origin(json(in_json("y")))
        .expect_cache("miss")
        .expect_body(in_xml("y"))
        .await;
    w.get(JSON).as_("a").no_origin().expect_cache("hit").expect_body(in_json("y")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_fit_is_fetched_as_it_was_asked_for() {
    let w = proven("").await;
    let new = r#"{"virtual_machine":{"id":1,"label":"x","new":1}}"#;
    w.get(JSON).as_("a").origin(json(new)).expect_cache("miss").await;
    w.get(XML).as_("a").origin(xml("<new/>")).expect_cache("miss").expect_body("<new/>").await;
    let unfit = r#"tollgate_formats_derived_total{outcome="unfit"}"#;
    assert_eq!(w.metric(unfit).await, 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_is_said_in_the_format_s_own_words() {
    let w = proven("").await;
    let missing = || json(r#"{"errors":["no"]}"#).status(404);
    let xml_missing = || xml("<errors/>").status(404);
    let [first, second] = [w.origin.expect(missing()), w.origin.expect(xml_missing())];
    w.get(XML).as_("a").expect_status(404).expect_body("<errors/>").await;
    first.over().await;
    second.over().await;
    w.get(JSON).as_("a").no_origin().expect_status(404).expect_cache("hit").await;
    // Where it is known that it is not there, only its own words are asked for.
    w.put(JSON).as_("a").origin(status(422)).await;
    w.get(JSON).as_("a").origin(missing()).expect_status(404).await;
    w.get(XML).as_("a").origin(xml_missing()).expect_status(404).expect_body("<errors/>").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_fails_is_asked_once_and_what_is_stale_is_shown() {
    let w = proven(SHORT).await;
    w.get(JSON).as_("a").origin(json(in_json("x"))).await;
    w.get(XML).as_("a").await;
    tokio::time::sleep(Duration::from_millis(40)).await;
    for failure in [status(503), Reply::raw("garbage\r\n\r\n")] {
        let read = w.get(XML).as_("a").origin(failure).asks("GET /virtual_machines/1.json");
        read.expect_cache("hit:stale-if-error").expect_body(in_xml("x")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_gone_takes_what_was_derived_from_it() {
    let w = proven("cache.not_found_lifetime = \"0s\"").await;
    let permissions = [Permission::Refresh].into_iter().collect();
    w.add_token("fresh", "a", "a", &TokenTerms { permissions, ..TokenTerms::default() });
    let anew = || w.get(JSON).as_("fresh").header("cache-control", "no-cache");
    w.get(JSON).as_("a").origin(json(in_json("x"))).await;
    w.get(XML).as_("a").expect_cache("hit:derived").await;
    anew().origin(json("{}").status(404)).expect_status(404).await;
    w.get(JSON).as_("a").origin(json("{}").status(404)).expect_status(404).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_difference_ends_what_was_derived() {
    let w =
        proven("formats = { learn = true, pairs_per_second = 1000, check_share = 1000000 }").await;
    w.get(JSON).as_("a").origin(json(in_json("1.5"))).await;
    // The label has become a price, which JSON does not show.
    let priced = in_xml("1.5").replace("<label>", "<label type=\"decimal\">");
    let pair = [json(in_json("1.5")), xml(priced.clone()), json(in_json("1.5"))];
    let pair = pair.map(|reply| w.origin.expect(reply));
    w.get(XML).as_("a").expect_cache("hit:derived").expect_body(in_xml("1.5")).await;
    for reply in pair {
        reply.over().await;
    }
    let contradicted = r#"tollgate_formats_pairs_total{outcome="contradicted"}"#;
    within("the difference", async {
        while w.metric(contradicted).await < 1.0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    let again = [xml(priced.clone()), json(in_json("1.5")), xml(priced.clone())];
    let again = again.into_iter().chain([json(in_json("1.5"))]).map(|reply| w.origin.expect(reply));
    let again: Vec<_> = again.collect();
    w.get(XML).as_("a").expect_cache("miss").expect_body(priced).await;
    // It is read in both formats, and so learned anew.
    for reply in again {
        reply.over().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_shown_meanwhile_is_fetched_anew_for_both() {
    let lifetimes = "cache = { inventory_lifetime = \"500ms\", stale_while_revalidate = \"10s\" }";
    let w = proven(lifetimes).await;
    w.get(JSON).as_("a").origin(json(in_json("x"))).await;
    w.get(XML).as_("a").expect_cache("hit:derived").await;
    tokio::time::sleep(Duration::from_millis(510)).await;
    let fetched = w.origin.expect(json(in_json("y")));
    let meanwhile = w.get(XML).as_("a").expect_cache("hit:stale-while-revalidate");
    meanwhile.expect_body(in_xml("x")).await;
    fetched.over().await;
    within("the new JSON", async {
        while w.get(JSON).as_("a").await.body != in_json("y") {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    w.get(XML).as_("a").no_origin().expect_cache("hit:derived").expect_body(in_xml("y")).await;
}
