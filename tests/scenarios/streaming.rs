//! What is not cached streams, both ways, and early or partial replies reach the client.

use crate::harness::{Reply, Speaks, World, json, within};

const VMS: &str = "/virtual_machines.json";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_reply_streams() {
    let w = World::new().await;
    let exchange =
        w.origin.expect(Reply::new(200).header("Content-Type", "application/octet-stream").fed());
    let mut raw = w.raw().await;
    raw.send(w.raw_request("GET", "/downloads/1", "a", "Accept: */*\r\n")).await;
    exchange.arrived().await;
    let mut got = Vec::new();
    // Each piece is there before the next one is made.
    for piece in 0..8_u8 {
        let piece = vec![b'a' + piece; 100_000];
        exchange.feed(piece.clone());
        let expected = got.len() + 100_000;
        while got.len() < expected {
            got.extend(raw.read_some(1).await);
        }
    }
    exchange.finish();
    while !got.ends_with(b"\r\n0\r\n\r\n") {
        got.extend(raw.read_some(1).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_upload_streams() {
    let w = World::new().await;
    let exchange = w.origin.expect(json("{}"));
    let mut raw = w.raw().await;
    let length = 4 << 20;
    let fields = format!("Content-Type: application/octet-stream\r\nContent-Length: {length}\r\n");
    raw.send(w.raw_request("POST", "/templates.json", "a", &fields)).await;
    let piece = vec![b'x'; 1 << 20];
    for sent in 1..=4 {
        raw.send(&piece).await;
        // The origin has nearly all of it before the client sends more.
        exchange.body_reaches(sent * piece.len()).await;
    }
    assert_eq!(raw.reply().await.status, 200);
    assert_eq!(exchange.request().await.body.len(), length);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_in_chunks_arrives_whole() {
    let w = World::new().await;
    let exchange = w.origin.expect(json("{}"));
    let mut raw = w.raw().await;
    let fields = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n";
    raw.send(w.raw_request("POST", VMS, "a", fields)).await;
    for chunk in ["{\"a\"", ":1", "}"] {
        raw.send(format!("{:x};ext=1\r\n{chunk}\r\n", chunk.len())).await;
    }
    raw.send("0\r\nX-T: 1\r\n\r\n").await;
    assert_eq!(raw.reply().await.status, 200);
    let seen = exchange.request().await;
    assert_eq!(seen.body, b"{\"a\":1}");
    assert_eq!((seen.header("x-t"), seen.header("trailer")), (None, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_early_reply_reaches_a_client_that_is_still_sending() {
    let w = World::new().await;
    w.origin.expect(json(r#"{"errors":["too much"]}"#).status(422).early());
    let mut raw = w.raw().await;
    let fields = "Content-Type: application/octet-stream\r\nContent-Length: 100000\r\n";
    raw.send(w.raw_request("POST", "/templates.json", "a", fields)).await;
    raw.send("only the beginning").await;
    let reply = raw.reply().await;
    assert_eq!((reply.status, reply.text()), (422, r#"{"errors":["too much"]}"#.to_owned()));
    assert_eq!(reply.header("connection"), Some("close"), "the rest of the body is unread");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_reaches_a_client_that_is_still_sending() {
    let w = World::new().await;
    let mut raw = w.raw().await;
    let fields = "Content-Type: application/octet-stream\r\nContent-Length: 100000\r\n";
    raw.send(w.raw_request("POST", "/virtual_machines.json", "reader", fields)).await;
    raw.send("only the beginning").await;
    let reply = raw.reply().await;
    assert_eq!((reply.status, reply.code()), (403, "read_only_token"));
    assert_eq!(reply.header("connection"), Some("close"));
    assert_eq!(raw.rest().await, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_is_asked_for_only_when_its_sender_is_known() {
    let w = World::new().await;
    let fields = "Content-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n";
    let exchange = w.origin.expect(json("{}"));
    let mut raw = w.raw().await;
    raw.send(w.raw_request("POST", VMS, "a", fields)).await;
    assert_eq!(raw.reply().await.status, 100);
    raw.send("{}").await;
    assert_eq!(raw.reply().await.status, 200);
    let seen = exchange.request().await;
    assert_eq!((seen.header("expect"), &*seen.body), (None, &b"{}"[..]));
    // Who is refused is not asked for a body.
    let mut raw = w.raw().await;
    raw.send(w.raw_request("POST", VMS, "reader", fields)).await;
    assert_eq!(raw.reply().await.status, 403);
    let mut raw = w.raw().await;
    let head = format!("POST {VMS} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    raw.send(head).await;
    assert_eq!(raw.reply().await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn informational_replies_are_not_the_answer() {
    let w = World::new().await;
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    w.get(VMS)
        .as_("a")
        .origin(json("[]").informational(hints))
        .expect_status(200)
        .expect_body("[]")
        .await;
    let put = w.put("/virtual_machines/1.json").as_("a");
    put.origin(json("{}").informational("HTTP/1.1 102 Processing\r\n\r\n"))
        .expect_status(200)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_breaks_off_is_seen_to_break_off() {
    let w = World::new().await;
    let file = || Reply::new(200).header("Content-Type", "application/octet-stream");
    for speaks in [Speaks::Http1, Speaks::Http2] {
        let step = w.get("/downloads/1").as_("a").over(speaks).origin(file().cut(100_000, "half"));
        let answer = step.await;
        // A reset may overtake what was sent before it.
        let begun = b"half".starts_with(&answer.body);
        assert!(answer.status == 200 && !answer.whole && begun, "{answer:?}");
        // What fits into what is looked at before it is relayed is an error instead.
        let step = w.get("/downloads/1").as_("a").over(speaks).origin(file().cut(1000, "half"));
        step.expect_refusal(502, "upstream_broken").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_slows_the_upstream_down() {
    let w = World::new().await;
    let exchange =
        w.origin.expect(Reply::new(200).header("Content-Type", "application/octet-stream").fed());
    let mut raw = w.raw().await;
    raw.send(w.raw_request("GET", "/downloads/1", "a", "")).await;
    exchange.arrived().await;
    let total = 64;
    for _ in 0..total {
        exchange.feed(vec![b'x'; 1 << 20]);
    }
    exchange.finish();
    // Nobody reads: what is on its way stays within sockets and buffers, so the origin is held up.
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert!(!exchange.is_over(), "64 MiB fit into buffers");
    let mut length = 0;
    within("the whole reply", async {
        while length < total << 20 {
            length += raw.read_some(1).await.len();
        }
    })
    .await;
    exchange.over().await;
}
