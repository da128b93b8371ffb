//! `tollgate serve` as a process: what it needs, its signals, its end.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use tollgate::demo::simulator::Stage;

use super::Installation;
use crate::{
    harness::{until, within},
    panel::{admin_at, basic, request},
    program::PATIENCE,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_master_key_or_a_certificate_it_does_not_start() {
    let installation = Installation::new().await;
    for (missing, named) in [("tls.crt", "tls.crt"), ("master.key", "master.key")] {
        std::fs::rename(installation.path(missing), installation.path("away")).expect("moved");
        let ended = installation.run(&["serve"], "");
        assert_eq!((ended.code, &*ended.out), (Some(78), ""), "{missing}: {ended:?}");
        assert!(ended.err.contains(named), "{missing}: {ended:?}");
        std::fs::rename(installation.path("away"), installation.path(missing)).expect("moved");
    }
    let mode = std::fs::metadata(installation.path("master.key")).expect("a file").permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_port_is_named_with_its_key() {
    let installation = Installation::new().await;
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let text = std::fs::read_to_string(installation.path("tollgate.toml")).expect("a file");
    for (section, key) in [("[server]", "server.listen"), ("[admin]", "admin.listen")] {
        let (before, after) = text.split_once(section).expect("the section");
        let after = after.replacen("127.0.0.1:0", &address, 1);
        installation.write("tollgate.toml", &format!("{before}{section}{after}"));
        let ended = installation.run(&["serve"], "");
        assert_eq!((ended.code, &*ended.out), (Some(69), ""), "{key}: {ended:?}");
        assert!(ended.err.contains(&address) && ended.err.contains(key), "{ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sighup_reloads_the_certificate_and_drops_nothing() {
    let mut installation = Installation::new().await;
    let token = installation.tenant("alice");
    let mut server = installation.serve();
    let mut before = server.connect().await.expect("a connection");
    let ask = || request("GET /version.json", &basic("anybody", &token), "");
    assert_eq!(before.send(ask()).await.expect("an answer").status, 200);

    installation.swap_certificate();
    assert!(server.connect().await.is_ok(), "the old one is in force until it is told");
    let old = server.connect().await.expect("a connection");
    server.program.signal(Signal::HUP);
    let begun = Instant::now();
    // It trusts the old certificate alone, so a failure means that the new one is shown.
    while server.connect().await.is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(5), "the old certificate is still shown");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    server.trust(&installation);
    assert_eq!(server.get(&token, "/version.json").await.status, 200);
    assert_eq!(before.send(ask()).await.expect("the same connection").status, 200);
    drop(old);

    installation.write("tls.crt", "no certificate");
    server.program.signal(Signal::HUP);
    server.program.complaint("certificate not reloaded");
    assert_eq!(server.get(&token, "/version.json").await.status, 200);
    let page = admin_at(server.admin, "/metrics").await;
    let reloads = |outcome: &str| {
        let series = r#"tollgate_reloads_total{what="certificate",outcome="#;
        crate::harness::sum_of(&page, &format!("{series}\"{outcome}\"}}"))
    };
    assert_eq!((reloads("ok"), reloads("failed")), (1.0, 1.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_answers_what_was_begun_and_ends() {
    let installation = Installation::new().await;
    let token = installation.tenant("alice");
    let server = installation.serve();
    assert!(admin_at(server.admin, "/livez").await.len() > 1);
    let gate = installation.panel.hold("POST /virtual_machines", Stage::BeforeReply, 1);
    let mut client = server.connect().await.expect("a connection");
    let body = r#"{"virtual_machine":{"label":"last","hostname":"last"}}"#;
    let create = request("POST /virtual_machines.json", &basic("anybody", &token), body);
    let creating = tokio::spawn(async move { client.send(create).await });
    gate.arrived().await.expect("the write upstream");
    server.program.signal(Signal::TERM);
    let closed = Box::pin(async {
        while server.connect().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    within("a door that is closed", closed).await;
    gate.release();
    let created = within("the answer", creating).await.expect("no panic").expect("an answer");
    assert_eq!((created.status, created.header("connection")), (201, "close"));
    let ended = server.program.end_within(Duration::from_secs(5));
    assert_eq!((ended.code, &*ended.out), (Some(0), ""), "{ended:?}");
    until("the machine", || installation.panel.machines().len() > 9).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_ends_it_within_its_bound_whatever_the_upstream_does() {
    let installation = Installation::new().await;
    let token = installation.tenant("alice");
    let server = installation.serve();
    let gate = installation.panel.hold("GET /virtual_machines", Stage::BeforeReply, 1);
    let mut client = server.connect().await.expect("a connection");
    let read = request("GET /virtual_machines.json", &basic("anybody", &token), "");
    let reading = tokio::spawn(async move { client.send(read).await });
    gate.arrived().await.expect("the read upstream");
    let begun = Instant::now();
    let ended = server.terminate();
    // The bound is three seconds for all there is: clients, and what goes on without them.
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    drop(within("the reader", reading).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_may_be_limited_with_403() {
    let installation = Installation::new().await;
    installation.tenant("alice");
    installation.json("tenant set alice --reads 1/1", "");
    let create = "token create --tenant alice --credential alice --limit-status 403";
    let created = installation.json(create, "");
    let token = created["token"].as_str().expect("a token");
    let server = installation.serve();
    assert_eq!(server.get(token, "/version.json").await.status, 200);
    let limited = server.get(token, "/version.json").await;
    assert_eq!((limited.status, limited.code()), (403, "rate_limited"), "{limited:?}");
    assert_ne!(limited.header("retry-after"), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_share_one_store_and_forget_nothing_over_a_restart() {
    let installation = Installation::new().await;
    let token = installation.tenant("alice");
    let servers = [installation.serve(), installation.serve()];
    for server in &servers {
        server.answers(&token, 200, "").await;
    }
    for server in servers {
        assert_eq!(server.terminate().code, Some(0));
    }
    let id = installation.json("token list", "")[0]["id"].as_str().expect("an id").to_owned();
    installation.json(&format!("token revoke {id}"), "");
    let server = installation.serve();
    server.answers(&token, 401, "invalid_token").await;
    let ended = installation.start(&["check"], "").end_within(PATIENCE);
    assert_eq!(ended.code, Some(0), "{ended:?}");
}
