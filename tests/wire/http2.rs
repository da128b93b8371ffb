//! What is particular to HTTP/2, and what must not be.

use crate::harness::{Speaks, World, json};

const VMS: &str = "/virtual_machines.json";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_field_agrees_with_the_authority() {
    let w = World::new().await;
    w.get(VMS).as_("a").origin(json("[]")).await;
    let other = w.get(VMS).as_("a").over(Speaks::Http2).header("host", "other.example");
    other.expect_refusal(400, "bad_target").await;
    let authority = w.authority();
    let same = w.get(VMS).as_("a").over(Speaks::Http2).header("host", &authority);
    same.expect_status(200).expect_cache("hit").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_and_its_refusal_arrive() {
    let w = World::new().await;
    let body = "x".repeat(300_000);
    let upload = w.post("/templates.json").as_("a").over(Speaks::Http2);
    let upload = upload.body("application/json", body.clone()).origin(json("{}"));
    upload.sees(move |seen| assert_eq!(seen.body, body.as_bytes())).expect_status(200).await;
    let refused = w.post("/templates.json").as_("reader").over(Speaks::Http2);
    refused.body("application/json", "{}").expect_refusal(403, "read_only_token").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_has_no_body_and_a_304_neither() {
    let w = World::new().await;
    let tag = w.get(VMS).as_("a").origin(json("[1]")).await.header("etag").to_owned();
    let head = w.head(VMS).as_("a").over(Speaks::Http2).expect_header("content-length", "3");
    head.expect_status(200).expect_body("").await;
    let known = w.get(VMS).as_("a").over(Speaks::Http2).header("if-none-match", &tag);
    known.expect_status(304).expect_body("").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_headers_has_a_bound() {
    let w = World::new().await;
    let mut client = w.connect(Speaks::Http2).await;
    let mut request = w.request("GET", VMS, "a");
    let long = "x".repeat(20_000).parse().expect("a value");
    request.headers_mut().insert("x-long", long);
    if let Ok(answer) = client.send(request).await {
        assert_eq!(answer.status, 431, "{answer:?}");
    }
    assert_eq!(w.origin.seen(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_one_hop_alone_is_in_a_reply() {
    let w = World::new().await;
    let reply = || json("[]").header("Keep-Alive", "timeout=5").header("Connection", "keep-alive");
    for (target, cache) in [(VMS, "miss"), ("/odd.json", "bypass:unlisted")] {
        let step = w.get(target).as_("a").over(Speaks::Http2).origin(reply()).expect_cache(cache);
        step.expect_header("connection", "").expect_header("keep-alive", "").await;
    }
}
