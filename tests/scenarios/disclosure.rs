//! No reply shows a secret of an upstream, in whatever spelling and however it comes.

use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::harness::{Reply, World, json, secret_of};

const VM: &str = "/virtual_machines/7.json";
const MASKED: &str = "tollgate_disclosures_masked_total";

fn raw(body: String) -> Reply {
    Reply::new(200).header("Content-Type", "application/octet-stream").body(body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_starred_in_any_kind_of_reply_and_nothing_else_changes() {
    let w = World::new().await;
    // Another credential's of the same upstream.
    let secret = secret_of("b");
    let shown = |secret: &str| format!("before {secret} behind");
    let stars = "*".repeat(secret.len());
    let answer = w.get("/downloads/1").as_("a").origin(raw(shown(&secret))).await;
    assert_eq!(answer.body, shown(&stars));
    assert_eq!(answer.header("content-length"), answer.body.len().to_string());
    let escaped = secret.replace('-', "%2D");
    let answer = w.put(VM).as_("a").origin(raw(shown(&escaped))).await;
    assert_eq!(answer.body, shown(&"*".repeat(escaped.len())));
    assert_eq!(w.metric(MASKED).await, 2.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn login_and_secret_are_starred_as_they_are_sent() {
    let w = World::new().await;
    let basic = BASE64_STANDARD.encode(format!("b:{}", secret_of("b")));
    let answer = w.put(VM).as_("a").origin(json(format!("{{\"log\":\"Basic {basic}\"}}"))).await;
    assert!(!answer.text().contains(&basic[..12]) && answer.text().contains("***"), "{answer:?}");
    // What is kept is kept without it.
    let body = format!("{{\"virtual_machine\":{{\"id\":7,\"note\":\"{basic}\"}}}}");
    let fetched = w.get(VM).as_("a").origin(json(body)).expect_cache("miss").await;
    assert!(!fetched.text().contains(&basic[..12]), "{fetched:?}");
    let kept = w.get(VM).as_("a").expect_cache("hit").await;
    assert_eq!(kept.body, fetched.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_found_across_the_pieces_of_a_stream() {
    let w = World::new().await;
    let secret = secret_of("a");
    for cut in [1, 9, secret.len() - 1] {
        let (first, rest) = secret.split_at(cut);
        let reply = Reply::new(200).header("Content-Type", "application/octet-stream");
        let reply = reply.chunks(&["x", first, rest, "y"]);
        let answer = w.get("/downloads/1").as_("a").origin(reply).await;
        assert_eq!(answer.body, format!("x{}y", "*".repeat(secret.len())), "cut at {cut}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_shows_none_either() {
    let w = World::new().await;
    let secret = secret_of("a");
    let reply = json("{}").header("X-Debug", &format!("key {secret}"));
    let answer = w.put(VM).as_("a").origin(reply).await;
    assert_eq!(answer.header("x-debug"), format!("key {}", "*".repeat(secret.len())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_not_shown() {
    let w = World::new().await;
    let reply = raw("compressed".to_owned()).header("Content-Encoding", "gzip");
    w.get("/downloads/1").as_("a").origin(reply).expect_refusal(502, "unmaskable").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_encoded_on_its_way_is_not_shown_either() {
    let route = "{ pattern = \"/images\", families = [\"vms\"], masked = false }";
    let w = World::with(&format!("routes = [{route}]\nupstreams.main.breaker_failures = 0")).await;
    for coding in ["gzip, chunked", "gzip", "gzip\r\nTransfer-Encoding: chunked"] {
        let reply = || {
            Reply::raw(format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\
                 Transfer-Encoding: {coding}\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n"
            ))
            .then_close()
        };
        let refused = [
            ("GET", VM, "unmaskable"),
            ("GET", "/downloads/1", "unmaskable"),
            ("PUT", VM, "unmaskable"),
            ("GET", "/images.json", "upstream_broken"),
        ];
        for (method, target, code) in refused {
            let step = w.ask(method, target).as_("a").origin(reply());
            step.expect_refusal(502, code).await;
        }
        // There is no body.
        w.head("/downloads/1").as_("a").origin(reply()).expect_status(200).await;
    }
}
