//! A slow client is cut off at every stage.

use super::*;
use crate::metrics::connections::Handshake;

fn hasty() -> Config {
    Config { linger_timeout: SHORT, ..Config::default() }
}

/// Runs until the server closes, which must not be before the deadline.
async fn closed(rig: &Rig, client: &mut Client, begun: Instant, end: ConnectionEnd) -> String {
    let reply = read_all(client).await;
    let took = begun.elapsed();
    assert!(took + Duration::from_millis(5) >= SHORT, "{end:?} after {took:?}");
    assert!(took < PATIENCE, "{end:?} after {took:?}");
    rig.ended(end).await;
    reply
}

#[tokio::test]
async fn in_the_handshake() {
    let rig = Rig::new(Config { handshake_timeout: SHORT, ..Config::default() }).await;
    let mut tcp = rig.tcp().await;
    tcp.write_all(&[22, 3, 1]).await.expect("an open connection");
    let read = timeout(PATIENCE, tcp.read_u8()).await.expect("the server closes");
    assert!(read.is_err());
    rig.ended(ConnectionEnd::Handshake).await;
    assert_eq!(rig.metrics.connections.handshakes.of(Handshake::TimedOut).get(), 1);
    assert_eq!(rig.metrics.connections.handshakes_in_flight.get(), 0);
}

#[tokio::test]
async fn before_the_first_byte() {
    let rig = Rig::new(Config { first_byte_timeout: SHORT, ..Config::default() }).await;
    let begun = Instant::now();
    let mut client = rig.http1().await;
    closed(&rig, &mut client, begun, ConnectionEnd::FirstByteTimeout).await;
}

#[tokio::test]
async fn in_the_head() {
    let rig = Rig::new(Config { head_timeout: SHORT, ..Config::default() }).await;
    let mut client = rig.http1().await;
    send(&mut client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    read_reply(&mut client).await;
    sleep(2 * SHORT).await;
    let begun = Instant::now();
    for byte in ["G", "E", "T"] {
        send(&mut client, byte).await;
        sleep(SHORT / 5).await;
    }
    closed(&rig, &mut client, begun, ConnectionEnd::HeadTimeout).await;
}

#[tokio::test]
async fn between_requests() {
    let rig = Rig::new(Config { idle_timeout: SHORT, ..Config::default() }).await;
    let mut client = rig.http1().await;
    let mut begun = Instant::now();
    for _ in 0..3 {
        send(&mut client, "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
        begun = Instant::now();
        read_reply(&mut client).await;
    }
    let rest = closed(&rig, &mut client, begun, ConnectionEnd::Idle).await;
    assert_eq!(rest, "");
}

#[tokio::test]
async fn between_two_pieces_of_a_body() {
    let rig = Rig::new(Config { body_idle_timeout: SHORT, ..hasty() }).await;
    let mut client = rig.http1().await;
    let begun = Instant::now();
    send(&mut client, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc").await;
    let reply = closed(&rig, &mut client, begun, ConnectionEnd::Closed).await;
    assert!(reply.ends_with("Idle"), "{reply:?}");
}

#[tokio::test]
async fn in_the_whole_body() {
    let rig = Rig::new(Config { body_timeout: SHORT, ..hasty() }).await;
    let mut client = rig.http1().await;
    let begun = Instant::now();
    send(&mut client, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 90\r\n\r\n").await;
    for _ in 0..8 {
        if client.write_all(b"x").await.and(client.flush().await).is_err() {
            break;
        }
        sleep(SHORT / 6).await;
    }
    let reply = closed(&rig, &mut client, begun, ConnectionEnd::Closed).await;
    assert!(reply.ends_with("Deadline"), "{reply:?}");
}

#[tokio::test]
async fn reading_the_reply() {
    let rig = Rig::new(Config { write_stall_timeout: SHORT, ..Config::default() }).await;
    let mut client = rig.http1().await;
    send(&mut client, "GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await;
    rig.ended(ConnectionEnd::WriteStalled).await;
    assert_eq!(rig.metrics.connections.open.of(Protocol::Http1).get(), 0);
}

#[tokio::test]
async fn a_slow_reader_is_no_dead_one() {
    let config = Config { write_stall_timeout: SHORT, idle_timeout: SHORT, ..Config::default() };
    let rig = Rig::new(config).await;
    let mut client = rig.http1().await;
    send(&mut client, "GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut total = 0;
    let mut piece = vec![0; 8 << 20];
    while total < 64 << 20 {
        sleep(SHORT / 5).await;
        let mut room = &mut piece[..];
        while !room.is_empty() && total < 64 << 20 {
            let read = client.read(room).await.expect("an open connection");
            assert_ne!(read, 0, "cut off after {total} bytes");
            total += read;
            room = &mut room[read..];
        }
    }
}

#[tokio::test]
async fn at_the_greatest_age() {
    let jitter = Duration::from_millis(50);
    let config = Config { max_age: SHORT, max_age_jitter: jitter, ..Config::default() };
    let rig = Rig::new(config).await;
    let mut client = rig.http1().await;
    send(&mut client, "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let reply = read_all(&mut client).await;
    assert!(reply.contains("\r\nConnection: close\r\n") && reply.ends_with("slow"), "{reply:?}");
    rig.ended(ConnectionEnd::MaxAge).await;
}
