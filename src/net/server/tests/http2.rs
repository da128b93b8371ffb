//! The same bounds on HTTP/2, where one connection is many exchanges.

use http_body_util::Empty;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::*;

type Sender = SendRequest<Empty<Bytes>>;

async fn client(rig: &Rig) -> (Sender, JoinHandle<hyper::Result<()>>) {
    let io = TokioIo::new(rig.http2().await);
    let (sender, connection) = handshake(TokioExecutor::new(), io).await.expect("HTTP/2");
    (sender, tokio::spawn(connection))
}

async fn get(sender: &mut Sender, path: &str) -> hyper::Result<Response<hyper::body::Incoming>> {
    let request = Request::get(format!("https://localhost{path}")).body(Empty::new());
    let reply = timeout(PATIENCE, sender.send_request(request.expect("a request")));
    reply.await.expect("a reply in time")
}

async fn text(sender: &mut Sender, path: &str) -> hyper::Result<Bytes> {
    Ok(get(sender, path).await?.into_body().collect().await?.to_bytes())
}

async fn over(connection: JoinHandle<hyper::Result<()>>) {
    let _ = timeout(PATIENCE, connection).await.expect("the connection ends").expect("no panic");
}

#[tokio::test]
async fn requests_are_answered() {
    let rig = Rig::new(Config::default()).await;
    let (mut sender, _connection) = client(&rig).await;
    assert_eq!(text(&mut sender, "/").await.expect("a reply"), "ok");
    assert_eq!(text(&mut sender, "/large").await.expect("a reply").len(), 64 << 20);
    assert_eq!(rig.metrics.connections.open.of(Protocol::Http2).get(), 1);
}

#[tokio::test]
async fn the_preface_has_a_deadline() {
    let config = Config { first_byte_timeout: SHORT, head_timeout: SHORT, ..Config::default() };
    let rig = Rig::new(config).await;
    let mut silent = rig.http2().await;
    let mut slow = rig.http2().await;
    send(&mut slow, "PRI * HTTP/2.0\r\n").await;
    read_all(&mut silent).await;
    rig.ended(ConnectionEnd::FirstByteTimeout).await;
    read_all(&mut slow).await;
    rig.ended(ConnectionEnd::HeadTimeout).await;
}

#[tokio::test]
async fn an_idle_connection_is_told_to_go() {
    let rig = Rig::new(Config { idle_timeout: SHORT, ..Config::default() }).await;
    let (mut sender, connection) = client(&rig).await;
    assert_eq!(text(&mut sender, "/slow").await.expect("a reply"), "slow");
    assert_eq!(text(&mut sender, "/slow").await.expect("a reply"), "slow");
    over(connection).await;
    rig.ended(ConnectionEnd::Idle).await;
}

#[tokio::test]
async fn an_old_connection_finishes_its_streams() {
    let config = Config { max_age: SHORT, max_age_jitter: Duration::ZERO, ..Config::default() };
    let rig = Rig::new(config).await;
    let (mut sender, connection) = client(&rig).await;
    assert_eq!(text(&mut sender, "/slow").await.expect("a reply"), "slow");
    over(connection).await;
    rig.ended(ConnectionEnd::MaxAge).await;
}

#[tokio::test]
async fn a_stream_that_is_not_read_is_reset_alone() {
    let rig = Rig::new(Config { write_stall_timeout: SHORT, ..Config::default() }).await;
    let (mut sender, _connection) = client(&rig).await;
    let unread = get(&mut sender, "/large").await.expect("a head");
    sleep(3 * SHORT).await;
    assert!(unread.into_body().collect().await.is_err(), "the stream was reset");
    assert_eq!(text(&mut sender, "/").await.expect("a reply"), "ok");
}

#[tokio::test]
async fn a_slow_service_is_no_stall() {
    let rig = Rig::new(Config { write_stall_timeout: SHORT / 3, ..Config::default() }).await;
    let (mut sender, _connection) = client(&rig).await;
    assert_eq!(text(&mut sender, "/slow").await.expect("a reply"), "slow");
}

#[tokio::test]
async fn a_client_that_answers_no_ping_is_cut_off() {
    let ping = Config { http2_ping_interval: SHORT, ..Config::default() };
    let rig = Rig::new(Config { http2_ping_timeout: SHORT, ..ping }).await;
    let mut client = rig.http2().await;
    send(&mut client, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    read_all(&mut client).await;
    rig.ended(ConnectionEnd::Unresponsive).await;
}

#[tokio::test]
async fn a_stream_in_flight_is_answered_before_the_end() {
    let rig = Rig::new(Config::default()).await;
    let (mut sender, connection) = client(&rig).await;
    let reply = text(&mut sender, "/slow");
    let ending = async {
        sleep(SHORT / 3).await;
        rig.shutdown.cancel();
    };
    let (reply, ()) = tokio::join!(reply, ending);
    assert_eq!(reply.expect("a reply"), "slow");
    over(connection).await;
    timeout(PATIENCE, rig.server).await.expect("serve returns").expect("no panic");
    assert_eq!(rig.metrics.connections.ends.of(ConnectionEnd::Drained).get(), 1);
}

#[tokio::test]
async fn the_bound_of_the_end_holds() {
    let rig = Rig::new(Config { drain_timeout: SHORT, ..Config::default() }).await;
    let (mut sender, connection) = client(&rig).await;
    let never = tokio::spawn(async move { text(&mut sender, "/never").await });
    sleep(SHORT / 3).await;
    let begun = Instant::now();
    rig.shutdown.cancel();
    timeout(PATIENCE, rig.server).await.expect("serve returns").expect("no panic");
    assert!(begun.elapsed() < SHORT + LAST_MOMENT / 2, "no task of a stream is left");
    over(connection).await;
    assert!(never.await.expect("no panic").is_err());
}
