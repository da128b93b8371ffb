//! What is malformed gets 400 and the connection is closed; the service never sees it.

use super::*;

const MALFORMED: &[&str] = &[
    "GET / HTTP/1.1\nHost: a\n\n",
    "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n\n",
    "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\0\r\n\r\n",
    "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
    "POST / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\nx",
    "POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\nx",
    "POST / HTTP/1.1\r\nContent-Length:\r\n\r\n",
    "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nTransfer-Encoding: identity\r\n\r\n",
    "POST / HTTP/1.1\r\nTransfer-Encoding:\r\n\r\n",
    "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
    "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    "POST / HTTP/1.1\r\nContent-Length : 1\r\n\r\nx",
    "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
];

/// Malformed in the body: the service has the head, but no end of the body ever.
const MALFORMED_BODIES: &[&str] = &[
    "x\r\n\r\n",
    "5 \r\nhello\r\n0\r\n\r\n",
    "5\nhello\r\n0\r\n\r\n",
    "5\r\nhello\n0\r\n\r\n",
    "5\r\nhello!\r\n0\r\n\r\n",
    "10000000000000000\r\n",
    "0;a\n\r\n\r\n",
    "0;a\0\r\n\r\n",
    "0\r\nA: b\n\r\n",
    "0\r\nContent-Length: 3\r\n\r\n",
    "0\r\n\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
];

const FOLLOWER: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

fn is_refusal(reply: &str) -> bool {
    reply.starts_with("HTTP/1.1 400 Bad Request\r\n")
        && reply.matches("HTTP/1.1").count() == 1
        && reply.to_ascii_lowercase().contains("\r\nconnection: close\r\n")
}

/// Writes in pieces of so many bytes while reading; the server may close before all is written.
async fn pieces(client: &mut Client, text: &str, size: usize) -> String {
    for piece in text.as_bytes().chunks(size) {
        if client.write_all(piece).await.is_err() || client.flush().await.is_err() {
            break;
        }
    }
    read_all(client).await
}

#[tokio::test]
async fn a_malformed_head_never_reaches_the_service() {
    let rig = Rig::new(Config { linger_timeout: SHORT, ..Config::default() }).await;
    for request in MALFORMED {
        for size in [usize::MAX, 7, 1] {
            let text = format!("{request}{FOLLOWER}");
            let reply = pieces(&mut rig.http1().await, &text, size).await;
            assert!(is_refusal(&reply), "{request:?} in pieces of {size}: {reply:?}");
        }
    }
    assert_eq!(rig.seen(), Vec::<String>::new());
    rig.ended(ConnectionEnd::Protocol).await;
}

#[tokio::test]
async fn a_malformed_head_is_refused_without_waiting_for_its_end() {
    let rig = Rig::new(Config { linger_timeout: SHORT, ..Config::default() }).await;
    let mut client = rig.http1().await;
    send(&mut client, "GET / HTTP/1.1\r\nHost: a\r\n").await;
    sleep(Duration::from_millis(20)).await;
    send(&mut client, " ").await;
    let reply = read_all(&mut client).await;
    assert!(is_refusal(&reply), "{reply:?}");
}

#[tokio::test]
async fn a_malformed_body_never_ends_well() {
    let rig = Rig::new(Config { linger_timeout: SHORT, ..Config::default() }).await;
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for body in MALFORMED_BODIES {
        for size in [usize::MAX, 1] {
            let text = format!("{head}{body}{FOLLOWER}");
            let reply = pieces(&mut rig.http1().await, &text, size).await;
            assert!(is_refusal(&reply), "{body:?} in pieces of {size}: {reply:?}");
        }
    }
    assert!(rig.seen().iter().all(|path| path == "/echo"));
}

#[tokio::test]
async fn what_follows_a_good_request_is_judged_too() {
    let rig = Rig::new(Config { linger_timeout: SHORT, ..Config::default() }).await;
    let mut client = rig.http1().await;
    send(&mut client, "GET /slow HTTP/1.1\r\nHost: a\r\n\r\nGET /bad HTTP/1.1\n\r\n").await;
    let reply = read_all(&mut client).await;
    assert!(reply.starts_with("HTTP/1.1 200") && reply.contains("slow"), "{reply:?}");
    assert!(reply.contains("HTTP/1.1 400"), "{reply:?}");
    assert_eq!(rig.seen(), ["/slow"]);
}

#[tokio::test]
async fn an_unfinished_follower_does_not_close_the_connection() {
    let rig = Rig::new(Config::default()).await;
    let mut client = rig.http1().await;
    let follower = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel";
    send(&mut client, &format!("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n{follower}")).await;
    let reply = read_reply(&mut client).await;
    assert!(reply.ends_with("slow") && !reply.contains("close"), "{reply:?}");
    send(&mut client, "lo").await;
    assert!(read_reply(&mut client).await.ends_with("hello"));
}

#[tokio::test]
async fn who_is_answered_before_the_request_has_come_is_told_that_the_connection_closes() {
    let rig = Rig::new(Config::default()).await;
    // What has come is counted by request: it is the same behind others.
    for before in 0..3 {
        let mut client = rig.http1().await;
        for _ in 0..before {
            send(&mut client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            assert!(!read_reply(&mut client).await.contains("close"));
        }
        let partial = "POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel";
        send(&mut client, partial).await;
        let reply = read_reply(&mut client).await;
        assert!(reply.contains("\r\nConnection: close\r\n"), "behind {before}: {reply:?}");
    }
}

#[tokio::test]
async fn well_formed_requests_pass() {
    let rig = Rig::new(Config::default()).await;
    let chunked = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                   5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 1\r\n\r\n";
    let length = "\r\nPOST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    let last = "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let text = format!("GET /a HTTP/1.1\r\nHost: a\r\n\r\n{chunked}{length}{last}");
    for size in [usize::MAX, 64, 1] {
        let reply = pieces(&mut rig.http1().await, &text, size).await;
        assert_eq!(reply.matches("HTTP/1.1 200 OK").count(), 4, "{reply:?}");
        assert!(reply.contains("\r\n\r\nhello world") && reply.contains("\r\n\r\nhelloHTTP"));
    }
    assert_eq!(rig.seen().len(), 12);
}

#[tokio::test]
async fn header_names_are_in_title_case() {
    let rig = Rig::new(Config::default()).await;
    let mut client = rig.http1().await;
    send(&mut client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(read_reply(&mut client).await.contains("\r\nContent-Length: 2\r\n"));
}

#[tokio::test]
async fn a_body_may_wait_for_100_continue() {
    let rig = Rig::new(Config::default()).await;
    let mut client = rig.http1().await;
    let head =
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    send(&mut client, head).await;
    assert_eq!(read_reply(&mut client).await, "HTTP/1.1 100 Continue\r\n\r\n");
    send(&mut client, "hi").await;
    assert!(read_reply(&mut client).await.ends_with("\r\n\r\nhi"));
}

#[tokio::test]
async fn an_early_reply_is_not_lost_to_a_reset() {
    let rig = Rig::new(Config { linger_timeout: 4 * SHORT, ..Config::default() }).await;
    let (mut reader, mut writer) = tokio::io::split(rig.http1().await);
    let writing = tokio::spawn(async move {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n";
        writer.write_all(head.as_bytes()).await.expect("an open connection");
        for _ in 0..64 {
            if writer.write_all(&[b'x'; 65_536]).await.is_err() {
                break;
            }
        }
    });
    sleep(SHORT).await;
    let mut reply = Vec::new();
    let mut chunk = [0; 1024];
    while let Ok(Ok(1..)) = timeout(SHORT, reader.read_buf(&mut reply)).await {}
    assert!(reply.ends_with(b"\r\n\r\nok"), "{:?}", String::from_utf8_lossy(&reply));
    assert!(matches!(reader.read(&mut chunk).await, Ok(0)), "closed, not reset");
    writing.await.expect("no panic");
}

#[tokio::test]
async fn heads_are_bounded() {
    let config = Config { http1_max_head: ByteSize::kib(4), ..Config::default() };
    let rig = Rig::new(Config { linger_timeout: SHORT, http1_max_headers: 20, ..config }).await;
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(5000));
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(30));
    for request in [long, many] {
        let reply = pieces(&mut rig.http1().await, &request, usize::MAX).await;
        assert!(reply.starts_with("HTTP/1.1 431"), "{reply:?}");
    }
    assert_eq!(rig.seen(), Vec::<String>::new());
}
