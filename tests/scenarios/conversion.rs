//! An upstream, or a route, that has one format alone.

use crate::harness::{Reply, World, json, status, within, xml};

const JSON_ALONE: &str = "upstreams.main.only_format = \"json\"";
const XML_ALONE: &str = "upstreams.main.only_format = \"xml\"";
const JSON: &str = "application/json; charset=utf-8";
const XML: &str = "application/xml; charset=utf-8";
const ONE: &str = "/virtual_machines/1";
const MACHINE: &str = r#"{"virtual_machine":{"id":1,"label":"a \u0026 b"}}"#;

fn document(inner: &str) -> String {
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{inner}")
}

fn machine() -> String {
    document(
        "<virtual_machine>\n  <id type=\"integer\">1</id>\n  <label>a &amp; b</label>\n\
         </virtual_machine>\n",
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_is_converted_and_kept() {
    let w = World::with(JSON_ALONE).await;
    let read = |target| w.get(target).as_("a");
    let first = read("/virtual_machines/1.xml").origin(json(MACHINE));
    first
        .asks("GET /virtual_machines/1.json")
        .sees(|seen| assert_eq!(seen.header("accept"), Some("application/json")))
        .expect_cache("miss")
        .expect_header("content-type", XML)
        .expect_body(machine())
        .await;
    let kept = read("/virtual_machines/1.xml").no_origin().expect_cache("hit");
    kept.expect_header("content-type", XML).expect_body(machine()).await;
    // By an Accept, too; and JSON is what it is.
    read(ONE).accept("application/xml").expect_cache("hit").expect_body(machine()).await;
    read(ONE).origin(json(MACHINE)).expect_cache("miss").expect_body(MACHINE).await;
    let w = World::with(XML_ALONE).await;
    let read = w.get("/virtual_machines/1.json").as_("a").origin(xml(machine()));
    read.asks("GET /virtual_machines/1.xml")
        .expect_header("content-type", JSON)
        .expect_body(MACHINE)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_are_converted_too() {
    let w = World::with(JSON_ALONE).await;
    let missing = json(r#"{"errors":["Resource not found"]}"#).status(404);
    w.get("/virtual_machines/9.xml")
        .as_("a")
        .origin(missing)
        .expect_status(404)
        .expect_body(document(
            "<errors type=\"array\">\n  <error>Resource not found</error>\n</errors>\n",
        ))
        .await;
    let refused = json(r#"{"errors":{"label":["can't be blank"]}}"#).status(422);
    w.put("/virtual_machines/1.xml")
        .as_("a")
        .origin(refused)
        .expect_status(422)
        .expect_body(document("<errors>\n  <error>Label can't be blank</error>\n</errors>\n"))
        .await;
    // What is no document passes as it is.
    for page in ["<html></html>", ""] {
        let reply = Reply::new(500).header("Content-Type", "text/html").body(page);
        w.get("/users.xml").as_("a").origin(reply).expect_status(500).expect_body(page).await;
    }
    let blank = w.put("/virtual_machines/1.xml").as_("a").origin(json(" "));
    blank.expect_status(200).expect_body(" ").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_are_converted_before_they_are_sent() {
    let w = World::with(JSON_ALONE).await;
    let body = "<virtual_machine><label>x</label><cpus type=\"integer\">2</cpus></virtual_machine>";
    let put = w.put("/virtual_machines/1.xml").as_("a").body("application/xml", body);
    put.origin(status(204))
        .asks("PUT /virtual_machines/1.json")
        .sees(|seen| {
            assert_eq!(seen.header("content-type"), Some(JSON));
            assert_eq!(seen.body, br#"{"virtual_machine":{"label":"x","cpus":2}}"#);
        })
        .expect_status(204)
        .await;
    // Whatever is answered.
    let put = w.put("/virtual_machines/1.json").as_("a").body("text/xml", "<a><b>1</b></a>");
    put.origin(status(204))
        .sees(|seen| assert_eq!(seen.body, br#"{"a":{"b":"1"}}"#))
        .expect_status(204)
        .await;
    // JSON in and XML out: the body is what it was.
    let body = r#"{"virtual_machine":{"label":"x"}}"#;
    let post = w.post("/virtual_machines.xml").as_("a").body("application/json", body);
    post.origin(json(MACHINE).status(201))
        .sees(move |seen| assert_eq!(seen.body, body.as_bytes()))
        .expect_status(201)
        .expect_body(machine())
        .await;
    let w = World::with(XML_ALONE).await;
    let put = w.put("/virtual_machines/1.json").as_("a").body("application/json", body);
    put.origin(status(204))
        .sees(|seen| assert!(seen.body.ends_with(b"<label>x</label>\n</virtual_machine>\n")))
        .expect_status(204)
        .await;
    // Many clients send these, and mean nothing by them.
    for nothing in ["{}", "null"] {
        let put = w.put("/virtual_machines/1.json").as_("a").body("application/json", nothing);
        put.origin(status(204))
            .sees(|seen| assert_eq!((seen.body.len(), seen.header("content-type")), (0, None)))
            .expect_status(204)
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_converted_is_refused() {
    let bound = format!("{JSON_ALONE}\ncache.max_entry = \"1KiB\"");
    let w = World::with(&bound).await;
    w.get(ONE).as_("a").origin(json("{}")).expect_cache("miss").await;
    let put = |body: &'static str| {
        w.put("/virtual_machines/1.xml").as_("a").body("application/xml", body)
    };
    for body in ["<a>", "<a type=\"yaml\">x</a>", "<!DOCTYPE a><a/>"] {
        put(body).no_origin().expect_refusal(400, "unconvertible_body").await;
    }
    // Nothing was sent, so nothing was touched.
    w.get(ONE).as_("a").expect_cache("hit").await;
    let long = format!("[\"{}\"]", "x".repeat(2000));
    for reply in ["{", "[1,]", &long] {
        let read = w.get("/users.xml").as_("a").origin(json(reply.to_owned()));
        read.expect_refusal(502, "unconvertible").await;
    }
    // Nobody knows what a write has done whose answer is not shown.
    put("<a/>").origin(json("{")).expect_refusal(502, "unconvertible").await;
    w.get(ONE).as_("a").origin(json("{}")).expect_cache("miss:unsettled").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_is_asked_about_and_not_converted_again() {
    let lifetime = format!("{JSON_ALONE}\ncache.inventory_lifetime = \"30ms\"");
    let w = World::with(&lifetime).await;
    let body = format!(r#"{{"virtual_machine":{{"note":"{}"}}}}"#, "x".repeat(2000));
    let read = || w.get("/virtual_machines/1.xml").as_("a");
    let first = read().origin(json(body)).expect_cache("miss").await;
    tokio::time::sleep(std::time::Duration::from_millis(40)).await;
    let same = Reply::new(304).header("ETag", "W/\"0123456789abcdef\"");
    let again = read().origin(same).expect_status(200).await;
    assert_eq!((again.cache().as_str(), &again.body), ("miss", &first.body));
    assert_eq!(again.header("content-type"), XML);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_are_seen_to_end_in_xml_alone() {
    let watched = "watch = { enabled = true, interval = \"20ms\", max_interval = \"20ms\" }";
    let w = World::with(&format!("{XML_ALONE}\n{watched}")).await;
    w.origin.otherwise(|seen| {
        assert!(seen.target.starts_with("/transactions.xml?page=1&"), "{}", seen.line());
        xml(document(
            "<transactions type=\"array\">\n  <transaction>\n    <id type=\"integer\">7</id>\n    \
             <status>complete</status>\n    <parent_type>VirtualMachine</parent_type>\n    \
             <parent_id type=\"integer\">1</parent_id>\n  </transaction>\n</transactions>\n",
        ))
    });
    let startup = w.post("/virtual_machines/1/startup.xml").as_("a");
    startup.body("application/json", "{}").origin(status(201)).expect_status(201).await;
    let seen = r#"tollgate_unsettled_ends_total{outcome="seen"}"#;
    within("the end of the transaction", async {
        while w.metric(seen).await < 1.0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_may_have_one_format_alone() {
    let route =
        "[[routes]]\npattern = \"/reports/:id\"\nfamilies = [\"reports\"]\nonly_format = \"json\"";
    let w = World::with(route).await;
    let report = w.get("/reports/1.xml").as_("a").origin(json(r#"{"report":{"id":1}}"#));
    report
        .asks("GET /reports/1.json")
        .expect_body(document("<report>\n  <id type=\"integer\">1</id>\n</report>\n"))
        .await;
    w.get("/virtual_machines/1.xml").as_("a").origin(xml(machine())).expect_body(machine()).await;
}
