//! What is bounded: connections, waits, and what an upstream may say.

use std::time::Instant;

use http_body_util::StreamBody;
use tokio::{net::TcpListener, sync::Barrier};

use super::{
    super::LeaseError,
    origin::{Peer, origin},
    *,
};

#[tokio::test]
async fn a_request_waits_for_a_slot_no_longer_than_it_may() {
    let origin = origin(|peer| peer.serve("hello")).await;
    let client = Client::of(&origin, |config| {
        config.max_connections = 1;
        config.queue_timeout = A_MOMENT;
    });
    let held = client.send(get()).await.expect("a reply");
    let error = client.send(get()).await.expect_err("no slot");
    assert!(matches!(error, UpstreamError::NoConnection(LeaseError::Saturated)), "{error:?}");
    assert!(error.provably_not_sent());
    assert_eq!(client.hooked.load(SeqCst), 1);
    assert_eq!(client.count(UpstreamCause::Pass, UpstreamOutcome::Saturated), 1);
    assert_eq!(client.metrics.upstreams.waiting.get(), 0);
    text(held).await.expect("a body");
    assert_eq!(client.get().await.0, 1);
}

#[tokio::test]
async fn a_slot_that_becomes_free_is_given_to_who_waits() {
    let origin = origin(|peer| peer.serve("hello")).await;
    let client = Client::of(&origin, |config| config.max_connections = 1);
    let held = client.send(get()).await.expect("a reply");
    let (_, waited) = tokio::join!(
        async {
            until(|| client.metrics.upstreams.waiting.get() == 1).await;
            text(held).await
        },
        client.get()
    );
    assert_eq!(waited.0, 1);
}

#[tokio::test]
async fn no_more_wait_than_may() {
    let origin = origin(|peer| peer.serve("hello")).await;
    let client = Client::of(&origin, |config| {
        config.max_connections = 1;
        config.max_waiting = 0;
        config.queue_timeout = TOO_LONG;
    });
    let _held = client.send(get()).await.expect("a reply");
    let error = client.send(get()).await.expect_err("no place to wait");
    assert!(matches!(error, UpstreamError::NoConnection(LeaseError::Saturated)), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_are_never_more_connections_than_slots() {
    let origin = origin(|peer| peer.serve("hello")).await;
    let client = Arc::new(Client::of(&origin, |config| {
        config.max_connections = 8;
        config.queue_timeout = TOO_LONG;
    }));
    let all_at_once = Arc::new(Barrier::new(200));
    let readers: Vec<_> = (0..200)
        .map(|_| {
            let (client, all_at_once) = (Arc::clone(&client), Arc::clone(&all_at_once));
            tokio::spawn(async move {
                all_at_once.wait().await;
                client.get().await
            })
        })
        .collect();
    for reader in readers {
        assert_eq!(reader.await.expect("no panic").1, "hello");
    }
    assert!(origin.most_open() <= 8, "{}", origin.most_open());
    assert_eq!(origin.accepted(), origin.most_open(), "every connection was used again");
}

#[tokio::test]
async fn a_refused_connection_is_told_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let client = Client::at(&url, |_| {});
    let error = client.send(post()).await.expect_err("nobody listens");
    assert!(
        matches!(error, UpstreamError::NoConnection(LeaseError::ConnectFailed(_))),
        "{error:?}"
    );
    assert!(error.provably_not_sent());
    assert_eq!(client.hooked.load(SeqCst), 0);
    assert_eq!(client.count(UpstreamCause::Pass, UpstreamOutcome::ConnectFailed), 1);
    assert_eq!(client.metrics.upstreams.connections.get(), 0);
}

#[tokio::test]
async fn a_reply_that_does_not_come_is_given_up() {
    let origin = origin(|mut peer: Peer| async move {
        peer.head().await.expect("a request");
        assert!(peer.ended().await);
    })
    .await;
    let client = Client::of(&origin, |config| {
        config.max_connections = 1;
        config.reply_timeout = A_MOMENT;
    });
    for _ in 0..2 {
        let begun = Instant::now();
        let error = client.send_or_replay(get(), || Some(get())).await.expect_err("no reply");
        assert!(matches!(error, UpstreamError::TimedOut), "{error:?}");
        assert!(!error.provably_not_sent());
        assert!(begun.elapsed() >= A_MOMENT);
        until(|| origin.open() == 0).await;
    }
    assert_eq!(client.count(UpstreamCause::Pass, UpstreamOutcome::TimedOut), 2);
}

#[tokio::test]
async fn a_body_that_stops_is_given_up() {
    let origin = origin(|mut peer: Peer| async move {
        peer.head().await.expect("a request");
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsome").await;
        assert!(peer.ended().await);
    })
    .await;
    let client = Client::of(&origin, |config| config.body_idle_timeout = A_MOMENT);
    let reply = client.send(get()).await.expect("a reply");
    let error = text(reply).await.expect_err("half a body");
    assert!(matches!(error, ReplyBodyError::Idle), "{error:?}");
    until(|| origin.open() == 0).await;
}

#[tokio::test]
async fn a_body_may_take_longer_than_it_may_be_silent() {
    let origin = origin(|mut peer: Peer| async move {
        peer.head().await.expect("a request");
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n").await;
        for byte in ["1", "2", "3", "4", "5", "6", "7", "8"] {
            tokio::time::sleep(A_MOMENT / 2).await;
            peer.say(byte).await;
        }
    })
    .await;
    let client = Client::of(&origin, |config| config.body_idle_timeout = 3 * A_MOMENT);
    let reply = client.send(get()).await.expect("a reply");
    assert_eq!(text(reply).await.expect("a body"), "12345678");
}

#[tokio::test]
async fn a_body_that_breaks_is_no_end() {
    let origin = origin(|mut peer: Peer| async move {
        peer.head().await.expect("a request");
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsome").await;
    })
    .await;
    let client = Client::of(&origin, |_| {});
    let mut body = client.send(get()).await.expect("a reply").into_body();
    body.frame().await.expect("a frame").expect("bytes");
    let error = body.frame().await.expect("an error").expect_err("half a body");
    assert!(matches!(error, ReplyBodyError::Broken(_)), "{error:?}");
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn what_is_not_a_proper_reply_breaks_the_connection() {
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: x\r\n".repeat(200));
    for reply in
        ["SSH-2.0-OpenSSH_9\r\n", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", &long, &many]
    {
        let say = Arc::new(reply.to_owned());
        let origin = origin(move |mut peer: Peer| {
            let say = Arc::clone(&say);
            async move {
                peer.head().await.expect("a request");
                peer.say(&say).await;
                peer.ended().await;
            }
        })
        .await;
        let client = Client::of(&origin, |config| {
            config.max_reply_head = crate::settings::ByteSize::kib(16);
        });
        let error = client.send(get()).await.expect_err("no reply");
        assert!(matches!(error, UpstreamError::Broken(_)), "{error:?}");
        until(|| origin.open() == 0).await;
        assert_eq!(client.count(UpstreamCause::Pass, UpstreamOutcome::Broken), 1);
    }
}

#[tokio::test]
async fn a_protocol_is_not_switched_unasked() {
    let origin = origin(|mut peer: Peer| async move {
        peer.head().await.expect("a request");
        peer.say("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
            .await;
        assert!(peer.ended().await);
    })
    .await;
    let client = Client::of(&origin, |_| {});
    let error = client.send(get()).await.expect_err("no reply");
    assert!(matches!(error, UpstreamError::SwitchedProtocols), "{error:?}");
    until(|| origin.open() == 0).await;
}

#[tokio::test]
async fn a_request_whose_body_fails_is_not_the_upstreams_fault() {
    let origin = origin(|mut peer: Peer| async move {
        assert!(peer.head().await.is_none());
    })
    .await;
    let client = Client::of(&origin, |_| {});
    let failing = futures_util::stream::once(async { Err(BoxError::from("the client left")) });
    let body = StreamBody::new(failing).boxed_unsync();
    let error = client.send(post().map(|_| body)).await.expect_err("half a request");
    assert!(matches!(error, UpstreamError::RequestBody(_)), "{error:?}");
    assert!(!error.provably_not_sent());
    assert_eq!(client.count(UpstreamCause::Pass, UpstreamOutcome::Abandoned), 1);
}

#[tokio::test]
async fn a_caller_that_leaves_frees_its_slot() {
    let origin = origin(|mut peer: Peer| async move {
        peer.head().await.expect("a request");
        if peer.number == 2 {
            peer.reply("hello").await;
        }
        assert!(peer.ended().await);
    })
    .await;
    let client = Client::of(&origin, |config| config.max_connections = 1);
    assert!(tokio::time::timeout(A_MOMENT, client.send(get())).await.is_err());
    assert_eq!(client.count(UpstreamCause::Pass, UpstreamOutcome::Abandoned), 1);
    until(|| origin.open() == 0).await;
    assert_eq!(client.get().await.0, 2);
}
