//! The end of the process: what has begun is answered, and no longer than the bound.

use super::*;

async fn returned(server: JoinHandle<()>) {
    timeout(PATIENCE, server).await.expect("serve returns").expect("no panic");
}

#[tokio::test]
async fn a_request_in_flight_is_answered() {
    let rig = Rig::new(Config::default()).await;
    let mut busy = rig.http1().await;
    let mut idle = rig.http1().await;
    let mut unused = rig.http1().await;
    send(&mut idle, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    read_reply(&mut idle).await;
    send(&mut busy, "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    sleep(SHORT / 3).await;
    let begun = Instant::now();
    rig.shutdown.cancel();
    assert_eq!(read_all(&mut idle).await, "");
    assert_eq!(read_all(&mut unused).await, "");
    assert!(begun.elapsed() < SHORT, "idle connections are closed at once");
    let reply = read_all(&mut busy).await;
    assert!(reply.contains("\r\nConnection: close\r\n") && reply.ends_with("slow"), "{reply:?}");
    returned(rig.server).await;
    assert_eq!(rig.metrics.connections.ends.of(ConnectionEnd::Drained).get(), 3);
    assert!(TcpStream::connect(rig.address).await.is_err());
}

#[tokio::test]
async fn a_head_that_is_partly_there_may_be_completed() {
    let rig = Rig::new(Config::default()).await;
    let mut client = rig.http1().await;
    send(&mut client, "GET / HTTP/1.1\r\n").await;
    sleep(SHORT / 3).await;
    rig.shutdown.cancel();
    sleep(SHORT / 3).await;
    send(&mut client, "Host: a\r\n\r\n").await;
    assert!(read_all(&mut client).await.ends_with("ok"));
    returned(rig.server).await;
}

#[tokio::test]
async fn the_bound_holds() {
    let rig = Rig::new(Config { drain_timeout: SHORT, ..Config::default() }).await;
    let mut http1 = rig.http1().await;
    send(&mut http1, "GET /never HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let _handshaking = rig.tcp().await;
    sleep(SHORT / 3).await;
    let begun = Instant::now();
    rig.shutdown.cancel();
    returned(rig.server).await;
    assert!(begun.elapsed() >= SHORT && begun.elapsed() < SHORT + LAST_MOMENT);
    assert_eq!(rig.metrics.connections.open.of(Protocol::Http1).get(), 0);
}
