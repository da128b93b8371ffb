//! Which connection a request goes out on, and when one is free again.

use http_body::Body;
use http_body_util::StreamBody;
use tokio::sync::mpsc;

use super::{
    origin::{Peer, origin},
    *,
};

#[tokio::test]
async fn a_connection_is_used_again() {
    let (seen, mut heads) = mpsc::unbounded_channel();
    let origin = origin(move |mut peer: Peer| {
        let seen = seen.clone();
        async move {
            while let Some(head) = peer.head().await {
                seen.send(head).expect("the test listens");
                peer.reply("hello").await;
            }
        }
    })
    .await;
    let client = Client::of(&origin, |_| {});
    assert_eq!(client.get().await, (1, "hello".to_owned()));
    assert_eq!(client.get().await, (1, "hello".to_owned()));
    assert_eq!(origin.accepted(), 1);

    let expected = format!("GET /path?query HTTP/1.1\r\nhost: {}\r\n\r\n", origin.address);
    assert_eq!(heads.recv().await, Some(expected));
    assert_eq!(client.metrics.upstreams.connections.get(), 1);
    assert_eq!(client.count(UpstreamCause::Pass, UpstreamOutcome::Success), 2);
    assert_eq!(client.metrics.upstreams.durations.of(UpstreamCause::Pass).get_sample_count(), 2);
}

#[tokio::test]
async fn the_connection_used_last_is_used_first() {
    let origin = origin(|peer| peer.serve("hello")).await;
    let client = Client::of(&origin, |_| {});
    let first = client.send(get()).await.expect("a reply");
    let second = client.send(get()).await.expect("a reply");
    let third = client.send(get()).await.expect("a reply");
    for reply in [third, first, second] {
        text(reply).await.expect("a body");
    }
    assert_eq!(client.get().await.0, 2);
    let held = client.send(get()).await.expect("a reply");
    assert_eq!(held.headers()["x-connection"], "2");
    assert_eq!(client.get().await.0, 1);
}

#[tokio::test]
async fn a_body_frees_its_connection_with_its_last_frame() {
    let origin = origin(|peer| peer.serve("hello")).await;
    let client = Client::of(&origin, |config| config.max_connections = 1);
    let mut reply = client.send(get()).await.expect("a reply");
    assert_eq!(reply.body().size_hint().exact(), Some(5));
    reply.body_mut().frame().await.expect("a frame").expect("bytes");
    assert!(reply.body().is_end_stream());
    // The first body is still held.
    assert_eq!(client.get().await.0, 1);
}

#[tokio::test]
async fn bodies_of_every_framing_free_their_connection() {
    let replies = [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
    ];
    let origin = origin(move |mut peer: Peer| async move {
        for reply in replies {
            peer.head().await.expect("a request");
            peer.say(reply).await;
        }
        // A HEAD, whose reply has a length and no body.
        peer.head().await.expect("a request");
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n").await;
        peer.serve("last").await;
    })
    .await;
    let client = Client::of(&origin, |config| config.max_connections = 1);
    for reply in replies {
        client.get().await;
        assert_eq!(origin.accepted(), 1, "{reply}");
    }
    let reply = client.send(request(Method::HEAD, "")).await.expect("a reply");
    assert!(reply.body().is_end_stream());
    assert_eq!(client.get().await, (1, "last".to_owned()));
}

#[tokio::test]
async fn a_body_that_is_dropped_early_closes_its_connection() {
    let origin = origin(|mut peer: Peer| async move {
        peer.head().await.expect("a request");
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nsome of it").await;
        assert!(peer.ended().await);
    })
    .await;
    let client = Client::of(&origin, |config| config.max_connections = 1);
    for nth in 1..=2 {
        let mut reply = client.send(get()).await.expect("a reply");
        reply.body_mut().frame().await.expect("a frame").expect("bytes");
        drop(reply);
        until(|| origin.open() == 0).await;
        assert_eq!(origin.accepted(), nth);
    }
    until(|| client.metrics.upstreams.connections.get() == 0).await;
}

#[tokio::test]
async fn a_connection_that_the_origin_ends_is_not_used_again() {
    let origin = origin(|mut peer: Peer| async move {
        peer.head().await.expect("a request");
        peer.say("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok").await;
        assert!(peer.ended().await);
    })
    .await;
    let client = Client::of(&origin, |_| {});
    client.get().await;
    client.get().await;
    assert_eq!(origin.accepted(), 2);
    assert_eq!(client.count(UpstreamCause::Retry, UpstreamOutcome::Success), 0);
}

#[tokio::test]
async fn a_connection_is_replaced_at_its_age() {
    let origin = origin(|peer| peer.serve("hello")).await;
    let client = Client::of(&origin, |config| config.max_connection_age = A_MOMENT);
    client.get().await;
    tokio::time::sleep(A_MOMENT).await;
    client.get().await;
    assert_eq!(origin.accepted(), 2);
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_time_without_any_request() {
    let origin = origin(|peer| peer.serve("hello")).await;
    let client = Client::of(&origin, |config| config.idle_timeout = A_MOMENT);
    client.get().await;
    assert_eq!(origin.open(), 1);
    until(|| origin.open() == 0).await;
}

#[tokio::test]
async fn idle_connections_are_closed_with_the_pool() {
    let origin = origin(|peer| peer.serve("hello")).await;
    let client = Client::of(&origin, |_| {});
    client.get().await;
    let pool = Arc::downgrade(&client.upstream);
    drop(client);
    assert!(pool.upgrade().is_none());
    until(|| origin.open() == 0).await;
}

#[tokio::test]
async fn no_more_are_kept_than_may_idle() {
    let origin = origin(|peer| peer.serve("hello")).await;
    let client = Client::of(&origin, |config| config.max_idle = 1);
    let first = client.send(get()).await.expect("a reply");
    let second = client.send(get()).await.expect("a reply");
    text(first).await.expect("a body");
    text(second).await.expect("a body");
    until(|| origin.open() == 1).await;
    assert_eq!(client.get().await.0, 2);
}

#[tokio::test]
async fn a_reply_before_the_request_was_written_does_not_lend_its_connection() {
    let origin = origin(|mut peer: Peer| async move {
        peer.head().await.expect("a request");
        peer.reply("too large").await;
        if peer.number == 2 {
            peer.serve("hello").await;
        } else {
            assert!(peer.ended().await);
        }
    })
    .await;
    let client = Client::of(&origin, |config| config.max_connections = 1);
    let endless = StreamBody::new(futures_util::stream::pending()).boxed_unsync();
    let reply = client.send(post().map(|_| endless)).await.expect("a reply");
    assert_eq!(text(reply).await.expect("a body"), "too large");
    assert_eq!(client.get().await.0, 2);
    until(|| origin.open() == 1).await;
}
