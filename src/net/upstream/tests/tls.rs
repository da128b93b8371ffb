//! Who is trusted.

use tokio::net::TcpListener;

use super::{
    super::LeaseError,
    origin::{Identity, tls_origin},
    *,
};

/// A client that trusts the authority of an identity.
fn client(url: &str, trusted: &Identity) -> Client {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("ca.pem");
    std::fs::write(&path, &trusted.authority).expect("a file");
    Client::at(url, |config| {
        config.ca_file = Some(path);
        config.connect_timeout = 5 * A_MOMENT;
    })
}

#[tokio::test]
async fn an_upstream_with_the_right_certificate_is_spoken_to() {
    for name in ["127.0.0.1", "localhost"] {
        let identity = Identity::of(name);
        let origin = tls_origin(&identity, |peer| peer.serve("hello")).await;
        let client = client(&format!("https://{name}:{}", origin.address.port()), &identity);
        assert_eq!(client.get().await, (1, "hello".to_owned()));
        assert_eq!(client.get().await, (1, "hello".to_owned()));
    }
}

#[tokio::test]
async fn one_that_cannot_prove_who_it_is_gets_nothing() {
    let identity = Identity::of("127.0.0.1");
    let misnamed = Identity::of("panel.example");
    for (shown, trusted) in [(&identity, &Identity::of("127.0.0.1")), (&misnamed, &misnamed)] {
        let origin = tls_origin(shown, |peer| peer.serve("hello")).await;
        let client = client(&format!("https://{}", origin.address), trusted);
        let error = client.send(post()).await.expect_err("not to be trusted");
        assert!(
            matches!(error, UpstreamError::NoConnection(LeaseError::TlsFailed(_))),
            "{error:?}"
        );
        assert!(error.provably_not_sent());
        assert_eq!(client.hooked.load(SeqCst), 0);
    }
}

#[tokio::test]
async fn a_handshake_has_a_deadline() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("https://{}", silent.local_addr().expect("an address"));
    let client = client(&url, &Identity::of("127.0.0.1"));
    let error = client.send(get()).await.expect_err("no handshake");
    assert!(matches!(error, UpstreamError::NoConnection(LeaseError::ConnectTimedOut)), "{error:?}");
}
