//! What tokens make and remove, counted by servers that are restarted, killed, and share a store.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use tollgate::demo::simulator::{Options, Stage};

use super::{Installation, Server};
use crate::harness::Postgres;

const CREATE: &str = "POST /virtual_machines.json";
const BODY: &str = r#"{"virtual_machine":{"label":"one","hostname":"one"}}"#;

/// A token that may make so many in an hour, and its public id.
fn capped(installation: &Installation, at_most: u32) -> (String, String) {
    installation.tenant("alice");
    let create = format!("token create --tenant alice --credential alice --creates {at_most}/1h");
    let created = installation.json(&create, "");
    let text = |name: &str| created[name].as_str().expect("a text").to_owned();
    (text("token"), text("id"))
}

async fn create(server: &Server, token: &str) -> String {
    server.ask(token, CREATE, BODY).await.code().to_owned()
}

/// Waits until a server has written what it counted, and another has heard of it: twice the interval,
/// which is 50 ms, and time for the writes.
async fn heard() {
    tokio::time::sleep(Duration::from_millis(600)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cap_outlives_the_process() {
    let installation = Installation::new().await;
    let (token, id) = capped(&installation, 3);
    let server = installation.serve();
    assert_eq!(create(&server, &token).await, "");
    assert_eq!(server.terminate().code, Some(0));
    // What was counted longer ago than the interval is not lost by a kill either.
    let server = installation.serve();
    assert_eq!(create(&server, &token).await, "");
    heard().await;
    server.program.signal(Signal::KILL);
    drop(server.program.end_within(Duration::from_secs(5)));
    let server = installation.serve();
    assert_eq!([create(&server, &token).await, create(&server, &token).await], ["", "used_up"]);
    assert_eq!(server.terminate().code, Some(0));
    // Another secret is no other cap, and other policies make no new one.
    let rotated = installation.json(&format!("token rotate {id}"), "");
    let new = rotated["token"].as_str().expect("a token");
    let server = installation.serve();
    assert_eq!(create(&server, new).await, "used_up");
    installation
        .json(&format!("token set {} --creates 4/2h", rotated["id"].as_str().expect("an id")), "");
    let begun = Instant::now();
    while !create(&server, new).await.is_empty() {
        assert!(begun.elapsed() < super::installation::SEEN_WITHIN, "still used up");
    }
    assert_eq!(create(&server, new).await, "used_up");
    assert_eq!(server.terminate().code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_secret_is_no_other_cap_for_a_server_that_runs() {
    let installation = Installation::new().await;
    let (token, id) = capped(&installation, 2);
    let server = installation.serve();
    assert_eq!([create(&server, &token).await, create(&server, &token).await], ["", ""]);
    let rotated = installation.json(&format!("token rotate {id}"), "");
    let new = rotated["token"].as_str().expect("a token");
    let begun = Instant::now();
    loop {
        match &*create(&server, new).await {
            "used_up" => break,
            code => assert_ne!(code, "", "it made a third one"),
        }
        assert!(begun.elapsed() < super::installation::SEEN_WITHIN, "it is not seen");
    }
    assert_eq!(server.terminate().code, Some(0));
}

/// Servers on one store, in turn and then all at once.
async fn share(installation: &Installation) {
    let (token, _) = capped(installation, 4);
    let servers = [installation.serve(), installation.serve()];
    for server in &servers {
        assert_eq!(create(server, &token).await, "");
        heard().await;
    }
    for server in &servers {
        assert_eq!(create(server, &token).await, "");
    }
    heard().await;
    for server in &servers {
        assert_eq!(create(server, &token).await, "used_up");
    }
    assert_eq!(installation.panel.count("POST", "/virtual_machines"), 4);
    for server in servers {
        assert_eq!(server.terminate().code, Some(0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_on_one_file_share_a_cap() {
    share(&Installation::new().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_on_one_postgresql_share_a_cap() {
    let postgres = Postgres::start();
    share(&Installation::on(&postgres.url()).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_never_sent_is_given_back_for_all() {
    let installation =
        Installation::with(Options::default(), "max_connections = 1\nmax_waiting = 0").await;
    let (token, _) = capped(&installation, 1);
    let other = installation.token("alice");
    let servers = [installation.serve(), installation.serve()];
    // Somebody else has the one connection of the first server.
    let gate = installation.panel.hold("GET /version", Stage::BeforeReply, 1);
    let door = servers[0].door();
    let reading = tokio::spawn(async move { door.ask(&other, "GET /version.json", "").await });
    gate.arrived().await.expect("the read upstream");
    assert_eq!(create(&servers[0], &token).await, "upstream_saturated");
    heard().await;
    gate.release();
    assert_eq!(reading.await.expect("no panic").status, 200);
    assert_eq!(create(&servers[1], &token).await, "");
    heard().await;
    assert_eq!(create(&servers[0], &token).await, "used_up");
    for server in servers {
        assert_eq!(server.terminate().code, Some(0));
    }
}
