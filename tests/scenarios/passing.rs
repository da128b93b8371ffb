//! What passes through to the upstream and back, and what stays on its side.

use crate::harness::{Reply, World, json, secret_of, status, xml};

const VM: &str = "/virtual_machines/1.json";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fill_carries_nothing_of_its_first_caller() {
    let w = World::new().await;
    let host = w.origin.address().to_string();
    let step = w.get("/users.json").as_("a");
    let step = step
        .header("user-agent", "curl")
        .header("accept-language", "de")
        .header("cookie", "_session_id=stolen")
        .header("x-forwarded-for", "203.0.113.9")
        .header("if-none-match", "\"x\"")
        .header("range", "bytes=0-1")
        .header("x-custom", "1")
        .header("origin", "https://evil.example");
    let step = step.origin(json("[]")).sees(move |seen| {
        assert_eq!(
            seen.names(),
            ["accept", "accept-encoding", "authorization", "host", "user-agent"]
        );
        assert_eq!(seen.header("accept"), Some("application/json"));
        assert_eq!(seen.header("accept-encoding"), Some("identity"));
        assert_eq!(seen.header("host"), Some(&*host));
        assert!(seen.header("user-agent").is_some_and(|v| v.starts_with("tollgate/")));
        assert_eq!(seen.login(), format!("a:{}", secret_of("a")));
    });
    step.expect_status(200).expect_cache("miss").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pass_through_has_an_allow_list() {
    let w = World::new().await;
    let allowed = [
        ("accept-language", "de"),
        ("content-type", "application/json"),
        ("if-match", "\"a\""),
        ("if-none-match", "\"b\""),
        ("if-modified-since", "Sat, 29 Oct 1994 19:43:31 GMT"),
        ("if-unmodified-since", "Sat, 29 Oct 1994 19:43:31 GMT"),
        ("user-agent", "onapp/1"),
    ];
    let kept = [
        ("range", "bytes=0-1"),
        ("origin", "https://a.example"),
        ("cookie", "_session_id=stolen"),
        ("forwarded", "for=203.0.113.9"),
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-ssl", "on"),
        ("x-real-ip", "203.0.113.9"),
        ("client-ip", "203.0.113.9"),
        ("x-original-url", "/roles"),
        ("x-rewrite-url", "/roles"),
        ("x_forwarded_for", "203.0.113.9"),
        ("content_type", "text/html"),
        ("x-custom", "1"),
        ("x-api-version", "1"),
        ("accept-encoding", "gzip, br"),
        ("proxy-authorization", "Basic eDp5"),
        ("te", "trailers"),
        ("expect", "100-continue"),
    ];
    let mut step = w.put(VM).as_("a").untyped("{}");
    for (name, value) in allowed.into_iter().chain(kept) {
        step = step.header(name, value);
    }
    let step = step.origin(json("{}")).sees(move |seen| {
        for (name, value) in allowed {
            assert_eq!(seen.header(name), Some(value), "{name}");
        }
        let ours = ["accept", "accept-encoding", "authorization", "content-length", "host"];
        let forwarded = ["x-forwarded-for", "x-forwarded-proto"];
        let names = allowed.map(|(name, _)| name);
        let mut expected: Vec<_> = [&ours[..], &forwarded, &names].concat();
        expected.sort_unstable();
        assert_eq!(seen.names(), expected);
        assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
        assert_eq!(seen.header("accept-encoding"), Some("identity"));
    });
    step.expect_status(200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_names_what_is_not_passed_on_and_removes_nothing_of_ours() {
    let w = World::new().await;
    let exchange = w.origin.expect(json("{}"));
    let mut raw = w.raw().await;
    let fields = "Connection: authorization, host, accept-language, content-type, keep-alive\r\n\
                  Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nAccept-Language: de\r\n\
                  Content-Type: application/json\r\nContent-Length: 2\r\nTE: trailers\r\n";
    raw.send(w.raw_request("PUT", VM, "a", fields) + "{}").await;
    assert_eq!(raw.reply().await.status, 200);
    let seen = exchange.request().await;
    assert_eq!(seen.login(), format!("a:{}", secret_of("a")));
    assert!(seen.header("host").is_some() && seen.body == b"{}");
    for name in ["connection", "keep-alive", "proxy-connection", "te"] {
        assert_eq!(seen.header(name), None, "{name}");
    }
    assert_eq!(seen.header("accept-language"), None, "Connection names it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_type_by_which_a_body_was_judged_is_the_one_that_goes_on() {
    let w = World::new().await;
    // Without its type Rack would read this as a form, and as a DELETE.
    let body = "_method=delete";
    for fields in [
        "Content-Type: application/json\r\nConnection: content-type\r\n",
        "Content-Type: application/json\r\nContent-Type: application/x-www-form-urlencoded\r\n",
    ] {
        let exchange = w.origin.expect(json("{}"));
        let mut raw = w.raw().await;
        let fields = format!("{fields}Content-Length: {}\r\n", body.len());
        raw.send(w.raw_request("POST", VM, "a", &fields) + body).await;
        assert_eq!(raw.reply().await.status, 200);
        assert_eq!(exchange.request().await.all("content-type"), ["application/json"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_upstream_says_of_itself_stays_there() {
    let w = World::new().await;
    let named = || {
        let reply = json("{}").header("Connection", "x-hop").header("X-Hop", "1");
        reply
            .header("Keep-Alive", "timeout=5")
            .header("Proxy-Authenticate", "Basic")
            .header("X-Page", "1")
    };
    for (step, kind) in
        [(w.get("/users.json"), "a fill"), (w.put(VM), "a write"), (w.get("/odd.json"), "a pass")]
    {
        let answer = step.as_("a").origin(named()).expect_status(200).await;
        for name in [
            "set-cookie",
            "server",
            "x-runtime",
            "x-powered-by",
            "accept-ranges",
            "x-hop",
            "keep-alive",
            "proxy-authenticate",
        ] {
            assert_eq!(answer.header(name), "", "{name} of {kind}");
        }
        assert_eq!(answer.header("x-page"), "1", "{kind}");
        assert_ne!(answer.header("x-request-id"), "panel-request", "{kind}");
    }
    w.get("/users.json").as_("a").origin(named()).await;
    let hit = w.get("/users.json").as_("a").expect_cache("hit").await;
    assert_eq!((hit.header("set-cookie"), hit.header("x-page")), ("", "1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locations_are_those_that_clients_know() {
    let w = World::with("gateway.public_url = \"https://cloud.example\"").await;
    let host = w.origin.address();
    let there = format!("http://{host}/virtual_machines/abc");
    let created = json("{}").status(201).header("Location", &there);
    let link = format!("<{there}?page=2>; rel=\"next\", <http://{host}/>; rel=\"up\"");
    let created = created.header("Link", &link);
    let step =
        w.post("/virtual_machines.json").as_("a").body("application/json", "{}").origin(created);
    step.expect_status(201)
        .expect_header("location", "https://cloud.example/virtual_machines/abc")
        .expect_header(
            "link",
            "<https://cloud.example/virtual_machines/abc?page=2>; rel=\"next\", <https://cloud.example/>; rel=\"up\"",
        )
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_public_url_locations_are_relative() {
    let w = World::new().await;
    let host = w.origin.address();
    let at = async |value: String, expected: &str| {
        let reply = status(201).header("Location", &value);
        let step = w.post("/virtual_machines.json").as_("a").untyped("").origin(reply);
        // A client's own Host decides nothing.
        step.header("host", "evil.example").expect_header("location", expected).await;
    };
    at(format!("http://{host}/virtual_machines/abc?x=1"), "/virtual_machines/abc?x=1").await;
    at(format!("http://{host}"), "/").await;
    at("/virtual_machines/abc".to_owned(), "/virtual_machines/abc").await;
    at("https://elsewhere.example/x".to_owned(), "https://elsewhere.example/x").await;
    // Another port is another host.
    at(format!("http://{host}1/x"), &format!("http://{host}1/x")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_masked_and_nothing_else_changes() {
    let w = World::new().await;
    let body = r#"{"user":{"id":1,"api_key":"5d41402abc", "login":"joe","api_key_id":3}}"#;
    let masked = r#"{"user":{"id":1,"api_key":"********", "login":"joe","api_key_id":3}}"#;
    for _ in 0..2 {
        let step = w.get("/profile.json").as_("b").expect_body(masked);
        let first = w.origin.seen().is_empty();
        if first {
            step.origin(json(body)).await
        } else {
            step.expect_cache("hit").await
        };
    }
    let body = "<user>\n  <api-key>x</api-key>\n  <api_key>5d41402abc</api_key>\n  <id type=\"integer\">1</id>\n</user>\n";
    let masked = body.replace("5d41402abc", "********");
    w.get("/profile.xml").as_("b").origin(xml(body)).expect_body(masked).await;
    // In what a write answers, and in what is passed through, too.
    let put = w.put(VM).as_("b").origin(json(r#"{"api_key":"5d41402abc"}"#));
    put.expect_body(r#"{"api_key":"********"}"#).await;
    let pass = w.get("/odd.json").as_("b").origin(json("").chunks(&[
        "{\"api_",
        "key\":\"5d41",
        "402abc\"}",
    ]));
    pass.expect_body(r#"{"api_key":"********"}"#).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_own_keys_are_masked_wherever_they_stand() {
    let w = World::new().await;
    // Every credential of the upstream, not the caller's own alone.
    for credential in ["a", "b"] {
        let secret = secret_of(credential);
        let body = format!("{{\"log\":\"curl -u x:{secret} host\",\"n\":1}}");
        let step = w.get("/odd.json").as_("a").origin(json(body));
        step.expect_body("{\"log\":\"********\",\"n\":1}").await;
        let html = format!("<html><p>{secret}</p></html>");
        let page = Reply::new(500).header("Content-Type", "text/html; charset=utf-8").body(html);
        w.get("/odd.json").as_("a").origin(page).expect_body("<html><p>********</p></html>").await;
    }
    let escaped: String = secret_of("a").chars().map(|c| format!("\\u{:04x}", c as u32)).collect();
    let step = w.get("/odd.json").as_("a").origin(json(format!("[\"{escaped}\"]")));
    step.expect_body("[\"********\"]").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn success_codes_are_never_altered() {
    let w = World::new().await;
    for code in [200, 201, 202, 204, 206] {
        let answer =
            w.delete("/backups/1.json").as_("a").origin(status(code)).expect_status(code).await;
        assert_eq!(answer.body.is_empty(), code == 204);
    }
    let moved = Reply::new(302).header("Location", "/users/sign_in").body("");
    w.get("/odd.json")
        .as_("a")
        .origin(moved)
        .expect_status(302)
        .expect_header("location", "/users/sign_in")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_condition_that_is_not_ours_is_the_upstreams() {
    let w = World::new().await;
    w.add_reader_of_secrets("knows");
    let known = Reply::new(304).header("ETag", "W/\"0\"");
    let step = w.get("/odd.json").as_("knows").header("if-none-match", "W/\"0\"").origin(known);
    let step = step.sees(|seen| assert_eq!(seen.header("if-none-match"), Some("W/\"0\"")));
    step.expect_status(304).expect_header("etag", "W/\"0\"").expect_body("").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_passes_by_is_a_head_upstream() {
    let w = World::new().await;
    w.add_reader_of_secrets("knows");
    let step = w.head("/odd.json").as_("knows").origin(json("12345")).asks("HEAD /odd.json");
    step.expect_status(200).expect_header("content-length", "5").expect_body("").await;
    let mut raw = w.raw().await;
    w.origin.expect(json("12345"));
    raw.send(w.raw_request("HEAD", "/odd.json", "knows", "")).await;
    let head = raw.reply_to_head().await;
    assert_eq!((head.status, head.header("content-length")), (200, Some("5")));
    // No byte of a body is in the way of the next reply.
    raw.send(w.raw_request("GET", "/tollgate/health", "a", "")).await;
    assert_eq!(raw.reply().await.text(), "ok\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_to_the_upstream_are_kept() {
    let w = World::new().await;
    for target in ["/version.json", "/roles.json", "/odd.json"] {
        w.get(target).as_("a").origin(json("{}")).await;
        w.put("/virtual_machines/1.json").as_("b").origin(json("{}")).await;
    }
    assert_eq!(w.origin.connections(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_upstream_does_not_change_the_protocol() {
    let w = World::new().await;
    let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    for target in ["/version.json", "/odd.json"] {
        let step = w.get(target).as_("a").origin(Reply::raw(switch));
        step.expect_refusal(502, "upstream_broken").await;
    }
}
