//! Upstreams that need their own authority, or that take too long.

use std::{sync::Arc, time::Duration};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, pem::PemObject as _},
};
use tollgate::demo::simulator::{Fault, Options};

use super::Installation;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panel_over_tls_is_trusted_by_its_own_authority_alone() {
    let (tls, authority) = certified();
    let (_, stranger) = certified();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("panel-ca.pem");
    std::fs::write(&file, authority).expect("written");
    let options = Options { tls: Some(tls), ..Options::default() };
    let ca = format!("ca_file = \"{}\"", file.display());
    let installation = Installation::with(options, &ca).await;
    assert!(installation.panel.url().starts_with("https://"));
    let token = installation.tenant("alice");
    installation.json("credential test alice", "");
    let server = installation.serve();
    let list = server.get(&token, "/virtual_machines.json").await;
    assert_eq!((list.status, list.cache().as_str()), (200, "miss"), "{list:?}");
    let again = server.get(&token, "/virtual_machines.json").await;
    assert_eq!((again.cache().as_str(), again.body), ("hit", list.body));
    assert_eq!(server.terminate().code, Some(0));

    std::fs::write(&file, stranger).expect("written");
    let server = installation.serve();
    let refused = server.get(&token, "/virtual_machines.json").await;
    assert_eq!((refused.status, refused.code()), (502, "upstream_unreachable"), "{refused:?}");
    let tested = installation.run(&["credential", "test", "alice"], "");
    assert_eq!(tested.code, Some(69), "{tested:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panel_that_does_not_answer_is_given_up() {
    let installation = Installation::with(Options::default(), "reply_timeout = \"300ms\"").await;
    let token = installation.tenant("alice");
    let server = installation.serve();
    installation.panel.fault("/virtual_machines.json", 1, Fault::Hang { applied: false });
    let read = server.get(&token, "/virtual_machines.json").await;
    assert_eq!((read.status, read.code()), (504, "upstream_timed_out"), "{read:?}");
    assert_eq!(server.get(&token, "/virtual_machines.json").await.cache(), "miss");

    installation.panel.fault("POST /virtual_machines", 1, Fault::Hang { applied: true });
    let body = r#"{"virtual_machine":{"label":"late","hostname":"late"}}"#;
    let before = installation.panel.machines().len();
    let write = server.ask(&token, "POST /virtual_machines.json", body).await;
    assert_eq!((write.status, write.code()), (504, "upstream_timed_out"), "{write:?}");
    assert_eq!(installation.panel.count("POST", "/virtual_machines"), 1);
    assert_eq!(installation.panel.machines().len(), before + 1);
    let list = server.get(&token, "/virtual_machines.json").await;
    assert_eq!((list.status, list.cache().as_str()), (200, "miss:unsettled"));
    assert!(list.text().contains(r#""label":"late""#), "the write was applied");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_stops_is_given_up() {
    let timeout = "body_idle_timeout = \"200ms\"";
    let installation = Installation::with(Options::default(), timeout).await;
    let token = installation.tenant("alice");
    let server = installation.serve();
    let pause = Duration::from_secs(30);
    installation.panel.fault("/virtual_machines", 1, Fault::SlowBody { piece: 100, pause });
    let read = server.get(&token, "/virtual_machines.json").await;
    assert!(!read.whole || read.status >= 502, "{read:?}");
    let next = server.get(&token, "/virtual_machines.json").await;
    assert_eq!(next.status, 200);
    assert_ne!(next.cache(), "hit");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panel_that_is_away_is_said_to_be() {
    let installation = Installation::new().await;
    let token = installation.tenant("alice");
    let server = installation.serve();
    let free = std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|l| l.local_addr());
    assert_eq!(server.get(&token, "/version.json").await.status, 200);
    assert_eq!(server.terminate().code, Some(0));
    let text = std::fs::read_to_string(installation.path("tollgate.toml")).expect("a file");
    let away = format!("http://{}", free.expect("a port"));
    installation.write("tollgate.toml", &text.replace(&installation.panel.url(), &away));
    // A credential is bound to where its upstream was when it was sealed.
    let server = installation.serve();
    let refused = server.get(&token, "/version.json").await;
    assert!(refused.status >= 400 && !refused.code().is_empty(), "{refused:?}");
}

/// A certificate for the loopback address, and its authority as PEM.
fn certified() -> (Arc<ServerConfig>, String) {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let authority_key = KeyPair::generate().expect("a key");
    let signed = authority.self_signed(&authority_key).expect("a certificate");
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("an address");
    let key = KeyPair::generate().expect("a key");
    let issuer = Issuer::new(authority, authority_key);
    let leaf = leaf.signed_by(&key, &issuer).expect("a certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).expect("PEM");
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .expect("a pair");
    (Arc::new(server), signed.pem())
}
