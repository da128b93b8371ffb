//! Which format is answered, and how the upstream is asked for it.

use tollgate::{
    tenants::record::{TenantSettings, TokenTerms},
    vocabulary::Format,
};

use crate::harness::{Reply, World, json, status, xml};

const JSON: &str = "application/json; charset=utf-8";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_of_the_published_table() {
    // Target, Accept, and the target upstream; none is refused.
    let rows: [(&str, Option<&str>, Option<&'static str>); 16] = [
        ("/users.xml", Some("application/json"), Some("GET /users.xml")),
        ("/users.json", Some("text/html"), Some("GET /users.json")),
        ("/users.json?format=xml", None, Some("GET /users.json?format=xml")),
        ("/users?format=xml", Some("application/json"), Some("GET /users.xml?format=xml")),
        ("/users?format=json", None, Some("GET /users.json?format=json")),
        ("/users?format=csv", Some("application/json"), None),
        ("/users", Some("application/json"), Some("GET /users.json")),
        ("/users", Some("text/xml; charset=utf-8"), Some("GET /users.xml")),
        ("/users", Some("application/json;q=0.5, application/xml"), Some("GET /users.xml")),
        ("/users", Some("application/xml;q=0"), None),
        ("/users", None, Some("GET /users.json")),
        ("/users", Some("*/*"), Some("GET /users.json")),
        ("/users", Some("application/*"), Some("GET /users.json")),
        ("/users", Some("text/html"), None),
        ("/transactions/page/2", Some("application/xml"), Some("GET /transactions.xml/page/2")),
        ("/transactions.json/page/2", Some("*/*"), Some("GET /transactions.json/page/2")),
    ];
    for (target, accept, asks) in rows {
        let w = World::new().await;
        let step = w.get(target).as_("a");
        let step = match accept {
            Some(accept) => step.accept(accept),
            None => step,
        };
        let Some(line) = asks else {
            step.expect_refusal(406, "not_acceptable").await;
            continue;
        };
        let is_xml = line.contains(".xml");
        let wanted = if is_xml { "application/xml" } else { "application/json" };
        let reply = if is_xml { xml("<users/>") } else { json("[]") };
        let step = step.origin(reply).asks(line);
        step.sees(move |seen| assert_eq!(seen.header("accept"), Some(wanted), "{target}"))
            .expect_status(200)
            .expect_cache("miss")
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_strict_refuses_what_contradicts_itself() {
    let w = World::with("gateway.strict_formats = true").await;
    let users = |target, accept| w.get(target).as_("a").accept(accept);
    for (target, accept) in [
        ("/users.json?format=xml", "*/*"),
        ("/users.json", "application/xml"),
        ("/users?format=xml", "application/json"),
    ] {
        users(target, accept).expect_refusal(406, "contradicting_formats").await;
    }
    users("/users.json?format=csv", "*/*").expect_refusal(406, "not_acceptable").await;
    users("/users.json", "application/json").origin(json("[]")).expect_status(200).await;
    let put = |kind: &'static str| w.put("/virtual_machines/1.json").as_("a").body(kind, "a=b");
    put("text/plain").expect_refusal(415, "unsupported_media_type").await;
    assert_eq!(w.metric("tollgate_requests_total{status=\"415\"}").await, 1.0);
    put("application/x-www-form-urlencoded").origin(status(204)).expect_status(204).await;
    let w = World::new().await;
    let put = w.put("/virtual_machines/1.json").as_("a").body("text/plain", "a=b");
    put.origin(status(204)).expect_status(204).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_is_found_however_its_format_was_chosen() {
    let w = World::new().await;
    w.get("/users.json").as_("a").origin(json("[]")).expect_cache("miss").await;
    w.get("/users").as_("a").accept("application/json").expect_cache("hit").await;
    w.get("/users").as_("a").expect_cache("hit").await;
    w.get("/users")
        .as_("a")
        .accept("application/xml")
        .origin(xml("<users/>"))
        .expect_cache("miss")
        .await;
    w.get("/users.xml").as_("a").expect_cache("hit").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_has_a_default_format() {
    let w = World::new().await;
    w.add_tenant(
        "old",
        &TenantSettings { default_format: Format::Xml, ..TenantSettings::default() },
    );
    w.add_token("old", "old", "a", &TokenTerms::default());
    w.get("/users")
        .as_("old")
        .origin(xml("<users/>"))
        .asks("GET /users.xml")
        .expect_cache("miss")
        .await;
    w.get("/users").as_("a").origin(json("[]")).asks("GET /users.json").expect_cache("miss").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_is_passed_byte_for_byte() {
    // Types drift, and a client dies on a re-typed value.
    let body = "[{\"user\":{\"id\":1, \"cost\":\"52.0\",\"big\":1.0e+20,\"code\":\"00001\",\
                \"name\":\"\\u003cJos\u{e9}\\/\",\"none\":null}}]\n ";
    let w = World::new().await;
    w.get("/users.json")
        .as_("a")
        .origin(json(body))
        .expect_body(body)
        .expect_header("content-type", JSON)
        .await;
    w.get("/users.json")
        .as_("a")
        .expect_cache("hit")
        .expect_body(body)
        .expect_header("content-type", JSON)
        .await;
    let space = json(" ");
    w.post("/virtual_machines.json")
        .as_("a")
        .body("application/json", "{}")
        .origin(space)
        .expect_body(" ")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_and_types_are_spelled_as_clients_compare_them() {
    let w = World::new().await;
    let paged = json("[]").header("x-page", "1").header("X-Limit", "10").header("X-TOTAL", "3");
    w.get("/users.json").as_("a").origin(paged).await;
    for _ in 0..2 {
        let mut raw = w.raw().await;
        raw.send(w.raw_request("GET", "/users.json", "a", "")).await;
        let head = raw.reply().await.head;
        for line in [
            "Content-Type: application/json; charset=utf-8",
            "Content-Length: 2",
            "Cache-Status: tollgate; hit",
            "X-Page: 1",
            "X-Limit: 10",
            "X-Total: 3",
        ] {
            assert!(head.lines().any(|l| l == line), "{line} is not in\n{head}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_is_asked_as_it_came() {
    let w = World::new().await;
    // XML in and JSON out works, and so does a body that is no JSON at all.
    let body = "{'user_id':'2'}";
    let write = w.post("/virtual_machines").as_("a").accept("application/json");
    let write = write.body("application/xml", body).origin(status(422));
    let write = write.sees(move |seen| {
        assert_eq!(seen.line(), "POST /virtual_machines");
        assert_eq!(seen.body, body.as_bytes());
        assert_eq!(seen.header("content-type"), Some("application/xml"));
        assert_eq!(seen.header("accept"), Some("application/json"));
    });
    write.expect_status(422).await;
    let query = "/virtual_machines/1/startup.json?a[]=2&a[]=1&b=x+y%5B";
    let step = w.post(query).as_("a").origin(status(201));
    step.asks("POST /virtual_machines/1/startup.json?a[]=2&a[]=1&b=x+y%5B")
        .expect_status(201)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unlisted_read_may_have_a_format_of_its_own() {
    let w = World::new().await;
    w.add_reader_of_secrets("knows");
    let csv = Reply::new(200).header("Content-Type", "text/csv").body("a,b\n");
    let step = w.get("/exports/report.csv").as_("knows").accept("text/csv").origin(csv);
    let step = step.sees(|seen| {
        assert_eq!(seen.line(), "GET /exports/report.csv");
        assert_eq!(seen.header("accept"), Some("text/csv"));
    });
    step.expect_body("a,b\n").expect_header("content-type", "text/csv").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_upstreams_errors_are_the_upstreams() {
    let w = World::new().await;
    for (code, body) in [
        (422, r#"{"errors":{"label":["can't be blank"]}}"#),
        (500, r#"{"errors":["Please contact support"]}"#),
        (400, r#"{"status":400,"error":"Bad Request"}"#),
        (404, r#"{"errors":["Resource not found"]}"#),
    ] {
        let step = w.get("/users/9.json").as_("a").origin(json(body).status(code));
        step.expect_status(code).expect_body(body).expect_header("tollgate-error", "").await;
    }
}
