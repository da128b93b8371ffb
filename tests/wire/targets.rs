//! One valid Host, one canonical target: aliases of real clients pass, all else is refused.

use crate::harness::{World, json};

/// The status and code of a request with these Host lines.
async fn hosts(w: &World, target: &str, version: &str, hosts: &str) -> (u16, String) {
    let mut raw = w.raw().await;
    let authorization = w.authorization("a");
    raw.send(format!("GET {target} {version}\r\n{hosts}Authorization: {authorization}\r\n\r\n"))
        .await;
    let reply = raw.reply().await;
    (reply.status, reply.code().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_is_exactly_one_valid_host() {
    let w = World::new().await;
    w.get("/version.json").as_("a").origin(json("{}")).await;
    let version = "/version.json";
    for good in
        ["Host: a\r\n", "host: cloud.example:8443\r\n", "HOST: [::1]:8443\r\n", "Host:   a  \r\n"]
    {
        assert_eq!(hosts(&w, version, "HTTP/1.1", good).await, (200, String::new()), "{good:?}");
    }
    for bad in [
        "",
        "Host: a\r\nHost: a\r\n",
        "Host: a\r\nHost: b\r\n",
        "Host:\r\n",
        "Host: u@a\r\n",
        "Host: a b\r\n",
        "Host: a,b\r\n",
        "Host: a:b\r\n",
        "Host: a/b\r\n",
    ] {
        let (status, code) = hosts(&w, version, "HTTP/1.1", bad).await;
        assert_eq!((status, &*code), (400, "bad_target"), "{bad:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_absolute_target_agrees_with_its_host() {
    let w = World::new().await;
    w.get("/version.json").as_("a").origin(json("{}")).await;
    let absolute = "http://cloud.example/version.json";
    let (good, bad) = ((200, String::new()), (400, "bad_target".to_owned()));
    assert_eq!(hosts(&w, absolute, "HTTP/1.1", "Host: cloud.example\r\n").await, good);
    assert_eq!(hosts(&w, absolute, "HTTP/1.1", "Host: CLOUD.example\r\n").await, good);
    assert_eq!(hosts(&w, absolute, "HTTP/1.1", "Host: other.example\r\n").await, bad);
    assert_eq!(hosts(&w, absolute, "HTTP/1.1", "").await, bad);
    assert_eq!(hosts(&w, "http://u:p@a/version.json", "HTTP/1.1", "Host: a\r\n").await, bad);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_forms_of_targets_are_refused() {
    let w = World::new().await;
    for (method, target) in [
        ("OPTIONS", "*"),
        ("CONNECT", "a:443"),
        ("TRACE", "/version.json"),
        ("GET", "version.json"),
    ] {
        let mut raw = w.raw().await;
        raw.send(w.raw_request(method, target, "a", "")).await;
        let reply = raw.reply().await;
        assert!([400, 405].contains(&reply.status), "{method} {target}: {reply:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aliases_reach_the_upstream_as_one_target() {
    let w = World::new().await;
    for alias in [
        "/virtual_machines/1.json",
        "//virtual_machines/1.json",
        "/virtual_machines//1.json",
        "/virtual_machines/1.json/",
        "/virtual_machines/%31.json",
        "/%76irtual_machines/1.json?",
    ] {
        let exchange = w.origin.expect(json("{}"));
        let mut raw = w.raw().await;
        raw.send(w.raw_request("PUT", alias, "a", "Content-Length: 0\r\n")).await;
        assert_eq!(raw.reply().await.status, 200, "{alias}");
        assert_eq!(exchange.request().await.line(), "PUT /virtual_machines/1.json", "{alias}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_rails_tells_apart_stays_apart() {
    let w = World::new().await;
    // 406 at the upstream, whose answer it is; neither is a suffix for the cache.
    for (sent, asked) in [
        ("/virtual_machines/1.JSON", "GET /virtual_machines/1.JSON"),
        ("/virtual_machines/1%2ejson", "GET /virtual_machines/1%2Ejson"),
        ("/virtual_machines/1%2Ejson", "GET /virtual_machines/1%2Ejson"),
        ("/virtual_machines/1.csv", "GET /virtual_machines/1.csv"),
    ] {
        for _ in 0..2 {
            let exchange = w.origin.expect(json("{}").status(406));
            let mut raw = w.raw().await;
            raw.send(w.raw_request("GET", sent, "a", "Accept: */*\r\n")).await;
            let reply = raw.reply().await;
            assert_eq!((reply.status, reply.code()), (406, ""), "{sent}: {reply:?}");
            assert_eq!(exchange.request().await.line(), asked, "{sent}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_ambiguous_is_refused() {
    let w = World::new().await;
    for target in [
        "/virtual_machines/../users.json",
        "/virtual_machines/./1.json",
        "/virtual_machines/%2e%2e/users.json",
        "/virtual_machines%2f1.json",
        "/virtual_machines%2F1.json",
        "/virtual_machines\\1.json",
        "/virtual_machines%5c1.json",
        "/virtual_machines/1%00.json",
        "/virtual_machines/1%0d%0aX:%20y.json",
        "/virtual_machines/1%7f.json",
        "/virtual_machines/%ff.json",
        "/virtual_machines/%c0%af.json",
        "/virtual_machines/%4.json",
        "/virtual_machines/%zz.json",
        "/users.json/a.xml",
        "/users.json?a=%0a",
        "/users.json?a=1;b=2",
        "/users.json?a=%ff",
        "/users.json?format=xml&format=json",
        "/users.json?f%6frmat=xml&format=json",
    ] {
        let mut raw = w.raw().await;
        raw.send(w.raw_request("GET", target, "a", "")).await;
        let reply = raw.reply().await;
        assert_eq!((reply.status, reply.code()), (400, "bad_target"), "{target}: {reply:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_query_keeps_its_bytes() {
    let w = World::new().await;
    let query = "period[startdate]=2024-01-01+00:00:00&b[]=2&b[]=1&c=%5B&short&q=//x";
    for method in ["GET", "POST"] {
        let target = format!("/users/1/ssh_keys.json?{query}");
        let exchange = w.origin.expect(json("[]"));
        let mut raw = w.raw().await;
        raw.send(w.raw_request(method, &target, "a", "Content-Length: 0\r\n")).await;
        assert_eq!(raw.reply().await.status, 200);
        assert_eq!(exchange.request().await.line(), format!("{method} {target}"));
    }
}
