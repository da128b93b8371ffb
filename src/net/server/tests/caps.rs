//! Connections are bounded in number, and certificates change under open ones.

use super::*;
use crate::metrics::connections::Handshake;

#[tokio::test]
async fn in_all_and_by_address() {
    let config = Config { max_connections: 2, ..Config::default() };
    let rig = Rig::new(config).await;
    let kept = (rig.http1().await, rig.http1().await);
    assert!(rig.try_tls(b"http/1.1").await.is_err());
    rig.ended(ConnectionEnd::TooMany).await;
    assert_eq!(rig.metrics.connections.open.of(Protocol::Http1).get(), 2);
    drop(kept);
    rig.ended(ConnectionEnd::Closed).await;
    rig.http1().await;

    let config = Config { max_connections_per_address: 1, ..Config::default() };
    let rig = Rig::new(config).await;
    let _kept = rig.http1().await;
    assert!(rig.try_tls(b"http/1.1").await.is_err());
    rig.ended(ConnectionEnd::TooManyFromAddress).await;
}

#[tokio::test]
async fn handshakes_wait_their_turn_within_a_bound() {
    let config = Config { max_handshakes: 1, handshake_queue_timeout: SHORT, ..Config::default() };
    let rig = Rig::new(config).await;
    let idler = rig.tcp().await;
    sleep(Duration::from_millis(20)).await;
    assert!(rig.try_tls(b"http/1.1").await.is_err());
    rig.ended(ConnectionEnd::TooManyHandshakes).await;
    drop(idler);
    rig.ended(ConnectionEnd::Handshake).await;
    rig.http1().await;
}

#[tokio::test]
async fn sessions_are_resumed() {
    let rig = Rig::new(Config::default()).await;
    for _ in 0..2 {
        let mut client = rig.http1().await;
        send(&mut client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        read_reply(&mut client).await;
    }
    assert_eq!(rig.metrics.connections.handshakes.of(Handshake::Full).get(), 1);
    assert_eq!(rig.metrics.connections.handshakes.of(Handshake::Resumed).get(), 1);
}

#[tokio::test]
async fn a_new_certificate_drops_no_connection() {
    let directory = tempfile::tempdir().expect("a directory");
    let write = || {
        let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]);
        let pair = pair.expect("a pair");
        let at = |name| directory.path().join(name);
        std::fs::write(at("crt"), pair.cert.pem()).expect("a writable directory");
        std::fs::write(at("key"), pair.signing_key.serialize_pem()).expect("a writable directory");
        pair.cert.der().clone()
    };
    let first = write();
    let config = crate::net::tls::Config {
        certificate: directory.path().join("crt"),
        key: directory.path().join("key"),
        ..crate::net::tls::Config::default()
    };
    let metrics = Arc::new(Metrics::new());
    let tls = Tls::load(&config, metrics.clone()).expect("a good pair");
    let second = write();
    let trusted = vec![first.clone(), second.clone()];
    let rig = Rig::with(Config::default(), tls.clone(), metrics, trusted.clone()).await;
    let leaf = |client: &Client| client.get_ref().1.peer_certificates().expect("one")[0].clone();

    let mut old = rig.http1().await;
    assert_eq!(leaf(&old), first);
    tls.reload().expect("a good pair");
    send(&mut old, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(read_reply(&mut old).await.ends_with("ok"));
    let name = ServerName::try_from("localhost").expect("a name");
    let stranger = connector(b"http/1.1", &trusted);
    let new = stranger.connect(name, rig.tcp().await).await.expect("a handshake");
    assert_eq!(leaf(&new), second);
}
