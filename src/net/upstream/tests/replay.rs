//! What is sent twice, and what never is.
//!
//! The races here are made certain: the origin is a thread, and the only thread of the runtime
//! blocks until the origin has closed the connection, so that nothing of ours has seen it yet.

use std::{
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::mpsc,
    thread,
};

use tokio::io::AsyncReadExt;

use super::{
    origin::{Peer, origin},
    *,
};

/// An origin that closes its first connection on command, and serves a second one or accepts none.
struct Closing {
    address: SocketAddr,
    close: mpsc::Sender<()>,
    closed: mpsc::Receiver<()>,
    bell: tokio::net::TcpStream,
}

impl Closing {
    async fn start() -> Self {
        Self::accepting(true).await
    }

    async fn accepting(a_second: bool) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let (close, on_close) = mpsc::channel();
        let (closing, closed) = mpsc::channel();
        thread::spawn(move || {
            let (mut bell, _) = listener.accept().expect("a bell");
            let (first, _) = listener.accept().expect("a connection");
            let mut first = BufReader::new(first);
            answer(&mut first);
            on_close.recv().expect("a command");
            let listener = a_second.then_some(listener);
            bell.write_all(b"!").expect("somebody listens");
            drop(first);
            closing.send(()).expect("the test waits");
            let Some(Ok((second, _))) = listener.map(|l| l.accept()) else { return };
            let mut second = BufReader::new(second);
            while answer(&mut second) {}
        });
        let bell = tokio::net::TcpStream::connect(address).await.expect("a bell");
        Self { address, close, closed, bell }
    }

    /// Closes the first connection before the pool has a chance to notice.
    fn close_unseen(&self) {
        self.close.send(()).expect("the origin waits");
        self.closed.recv().expect("the origin closes");
    }

    /// Closes it so that the pool's caller wakes up together with the connection, but first.
    async fn close_seen_late(&mut self) {
        self.close_unseen();
        self.bell.read_u8().await.expect("a byte");
    }

    async fn client(&self, adjust: impl FnOnce(&mut Config)) -> Client {
        let client = Client::at(&format!("http://{}", self.address), adjust);
        assert_eq!(client.get().await.1, "ok");
        client.hooked.store(0, SeqCst);
        client
    }
}

/// Reads one request, with its body, and replies.
fn answer(stream: &mut BufReader<TcpStream>) -> bool {
    let mut length = 0;
    loop {
        let mut line = String::new();
        match stream.read_line(&mut line) {
            Ok(1..) => {}
            Ok(0) | Err(_) => return false,
        }
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.trim().parse().expect("a number");
        }
        if line == "\r\n" {
            break;
        }
    }
    std::io::Read::read_exact(stream, &mut vec![0; length]).expect("a body");
    stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_ok()
}

#[tokio::test]
async fn what_was_never_written_is_sent_again_whatever_it_is() {
    let mut origin = Closing::start().await;
    let client = origin.client(|config| config.max_connections = 1).await;
    origin.close_seen_late().await;
    let reply = client.send(post()).await.expect("a reply");
    assert_eq!(text(reply).await.expect("a body"), "ok");
    assert_eq!(client.hooked.load(SeqCst), 1);
    assert_eq!(client.count(UpstreamCause::Pass, UpstreamOutcome::Broken), 1);
    assert_eq!(client.count(UpstreamCause::Retry, UpstreamOutcome::Success), 1);
}

#[tokio::test]
async fn a_write_that_may_have_been_written_is_not_sent_again() {
    let origin = Closing::start().await;
    let client = origin.client(|_| {}).await;
    origin.close_unseen();
    let error = client.send_or_replay(post(), || panic!("a POST")).await.expect_err("no reply");
    assert!(matches!(error, UpstreamError::Broken(_)), "{error:?}");
    assert!(!error.provably_not_sent());
    assert_eq!(client.hooked.load(SeqCst), 1);
}

#[tokio::test]
async fn a_read_on_a_connection_that_had_idled_is_sent_again() {
    let origin = Closing::start().await;
    let client = origin.client(|_| {}).await;
    origin.close_unseen();
    let reply = client.send_or_replay(get(), || Some(get())).await.expect("a reply");
    assert_eq!(text(reply).await.expect("a body"), "ok");
    assert_eq!(client.hooked.load(SeqCst), 1);
    assert_eq!(client.count(UpstreamCause::Retry, UpstreamOutcome::Success), 1);
}

#[tokio::test]
async fn a_second_failure_does_not_hide_what_the_first_one_may_have_done() {
    let origin = Closing::accepting(false).await;
    let client = origin.client(|_| {}).await;
    origin.close_unseen();
    let error = client.send_or_replay(get(), || Some(get())).await.expect_err("no reply");
    assert!(matches!(error, UpstreamError::Broken(_)), "{error:?}");
    assert_eq!(client.count(UpstreamCause::Retry, UpstreamOutcome::ConnectFailed), 1);

    let mut origin = Closing::accepting(false).await;
    let client = origin.client(|_| {}).await;
    origin.close_seen_late().await;
    let error = client.send(post()).await.expect_err("no reply");
    assert!(matches!(error, UpstreamError::NoConnection(_)), "{error:?}");
    assert!(error.provably_not_sent());
}

#[tokio::test]
async fn a_connection_seen_to_be_closed_is_passed_over() {
    let origin = Closing::start().await;
    let client = origin.client(|_| {}).await;
    origin.close_unseen();
    until(|| client.metrics.upstreams.connections.get() == 0).await;
    let reply = client.send(post()).await.expect("a reply");
    assert_eq!(text(reply).await.expect("a body"), "ok");
    assert_eq!(client.count(UpstreamCause::Pass, UpstreamOutcome::Success), 2);
}

#[tokio::test]
async fn a_read_that_its_caller_does_not_repeat_is_not_sent_again() {
    let origin = Closing::start().await;
    let client = origin.client(|_| {}).await;
    origin.close_unseen();
    let error = client.send_or_replay(get(), never).await.expect_err("no reply");
    assert!(matches!(error, UpstreamError::Broken(_)), "{error:?}");
}

#[tokio::test]
async fn nothing_is_sent_again_without_a_budget() {
    let origin = Closing::start().await;
    let client = origin
        .client(|config| {
            config.retry_percent = 0;
            config.retries_per_second = 0;
        })
        .await;
    origin.close_unseen();
    let error = client.send_or_replay(get(), || panic!("no budget")).await.expect_err("no reply");
    assert!(matches!(error, UpstreamError::Broken(_)), "{error:?}");
}

#[tokio::test]
async fn nothing_is_sent_again_on_a_connection_that_was_new() {
    let origin = origin(|mut peer: Peer| async move {
        peer.head().await.expect("a request");
    })
    .await;
    let client = Client::of(&origin, |_| {});
    let error = client.send_or_replay(get(), || panic!("a new one")).await.expect_err("no reply");
    assert!(matches!(error, UpstreamError::Broken(_)), "{error:?}");
    assert_eq!(origin.accepted(), 1);
}

#[tokio::test]
async fn nothing_is_sent_again_once_a_byte_of_a_reply_came() {
    let origin = origin(|mut peer: Peer| async move {
        peer.head().await.expect("a request");
        peer.reply("hello").await;
        peer.head().await.expect("a request");
        peer.say("H").await;
    })
    .await;
    let client = Client::of(&origin, |_| {});
    client.get().await;
    let error = client.send_or_replay(get(), || panic!("a byte came")).await.expect_err("no reply");
    assert!(matches!(error, UpstreamError::Broken(_)), "{error:?}");
    assert_eq!(origin.accepted(), 1);
}

#[tokio::test]
async fn the_caller_knows_before_the_first_byte_is_sent() {
    let told = Arc::new(AtomicUsize::new(0));
    let (told_too, arrived) = (Arc::clone(&told), Arc::new(AtomicUsize::new(0)));
    let arrived_too = Arc::clone(&arrived);
    let origin = origin(move |mut peer: Peer| {
        let (told, arrived) = (Arc::clone(&told_too), Arc::clone(&arrived_too));
        async move {
            while peer.head().await.is_some() {
                assert_eq!(peer.body("written".len()).await, "written");
                let nth = arrived.fetch_add(1, SeqCst) + 1;
                peer.reply(&format!("{} of {nth}", told.load(SeqCst))).await;
            }
        }
    })
    .await;
    let client = Client::of(&origin, |_| {});
    for expected in ["1 of 1", "2 of 2"] {
        let on_send = || {
            // The connection is there, and nothing has been sent on it.
            assert_eq!(client.metrics.upstreams.connections.get(), 1);
            assert_eq!(arrived.load(SeqCst), told.fetch_add(1, SeqCst));
        };
        let exchange = client.upstream.exchange(UpstreamCause::Write, post(), on_send, never);
        let reply = exchange.await.expect("a reply");
        assert_eq!(text(reply).await.expect("a body"), expected);
    }
    assert_eq!(client.count(UpstreamCause::Write, UpstreamOutcome::Success), 2);
}
