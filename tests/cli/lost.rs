//! Creations whose answer is lost, with a panel that has done them: what is named to whom, by which
//! server, and after which end.

use std::time::{Duration, Instant};

use http::Request;
use rustix::process::Signal;
use serde_json::Value;
use tollgate::demo::simulator::{Fault, Stage, User};

use super::{
    Installation,
    installation::{Door, Server},
};
use crate::{
    harness::{Answer, Postgres, within},
    panel::{basic, request},
};

const CREATE: &str = "POST /virtual_machines.json";
const BODY: &str = r#"{"virtual_machine":{"label":"once","hostname":"once"}}"#;

/// Transactions are looked for often, and leases are short, so that a test need not wait for long.
fn quick(installation: &Installation) {
    let text = std::fs::read_to_string(installation.path("tollgate.toml")).expect("a file");
    let sections = "[idempotency]\nlease = \"2s\"\npoll_interval = \"20ms\"\n\
                    [watch]\ninterval = \"50ms\"\nmax_interval = \"50ms\"\n";
    installation.write("tollgate.toml", &format!("{sections}{text}"));
}

async fn create(door: &Door, token: &str, key: &str) -> Answer {
    let mut request: Request<_> = request(CREATE, &basic("anybody", token), BODY);
    request.headers_mut().insert("idempotency-key", key.parse().expect("a value"));
    let mut client = door.connect().await.expect("a connection");
    within("an answer", client.send(request)).await.expect("an answer")
}

/// What the same again is told to look at, at once.
async fn told(door: &Door, token: &str, key: &str) -> Vec<u64> {
    let refused = create(door, token, key).await;
    assert_eq!((refused.status, refused.code()), (409, "outcome_unknown"), "{refused:?}");
    let body: Value = serde_json::from_slice(&refused.body).expect("JSON");
    let named = body["transactions"].as_array().into_iter().flatten();
    named.map(|number| number.as_u64().expect("a number")).collect()
}

/// The same, once there is anything.
async fn told_in_time(door: &Door, token: &str, key: &str) -> Vec<u64> {
    let begun = Instant::now();
    loop {
        let named = told(door, token, key).await;
        if !named.is_empty() {
            return named;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "nothing is named");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The builds that the panel shows a token's own user, newest first.
async fn builds(server: &Server, token: &str) -> Vec<u64> {
    let shown = server.get(token, "/transactions.json?per_page=100").await;
    let rows: Value = serde_json::from_slice(&shown.body).expect("JSON");
    let rows = rows.as_array().expect("a list").iter().map(|row| &row["transaction"]);
    let builds = rows.filter(|row| row["action"] == "build_virtual_machine");
    builds.map(|row| row["id"].as_u64().expect("a number")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_creation_names_its_transaction_and_nobody_elses() {
    let installation = Installation::new().await;
    quick(&installation);
    let [alice, bob] = ["alice", "bob"].map(|name| installation.tenant(name));
    // Who sees everybody's transactions is told of its own alone.
    let User { email, api_key, .. } = installation.panel.user("admin").expect("a user");
    installation.json("tenant add admin", "");
    let credential = "credential add admin --upstream main --reach all --secret-stdin --email";
    installation.json(&format!("{credential} {email}"), &format!("{api_key}\n"));
    let admin = installation.token("admin");
    let server = installation.serve();
    for (token, user) in [(&alice, "alice"), (&admin, "admin")] {
        // At the same time, for others.
        assert_eq!(create(&server.door(), &bob, user).await.status, 201);
        let lost = Fault::CloseBeforeReply { applied: true };
        installation.panel.fault("POST /virtual_machines", 1, lost);
        assert_eq!(create(&server.door(), token, "lost").await.status, 502);
        assert_eq!(create(&server.door(), &bob, "others").await.status, 201);
    }
    let named = told_in_time(&server.door(), &alice, "lost").await;
    assert_eq!(named, builds(&server, &alice).await);
    assert_eq!(named.len(), 1);
    let of_admin = told_in_time(&server.door(), &admin, "lost").await;
    assert_eq!(of_admin.len(), 1, "{of_admin:?}");
    let all = builds(&server, &admin).await;
    assert!(all.len() >= 4 && all.contains(&of_admin[0]), "{all:?}");
    let bobs = builds(&server, &bob).await;
    assert!(!bobs.iter().any(|id| named.contains(id) || of_admin.contains(id)), "{bobs:?}");

    // It was written down: a server that begins anew says it at once.
    server.program.signal(Signal::KILL);
    drop(server.program.end_within(Duration::from_secs(5)));
    let server = installation.serve();
    assert_eq!(told(&server.door(), &alice, "lost").await, named);
    assert_eq!(server.terminate().code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_died_with_is_looked_for_by_the_next() {
    let installation = Installation::new().await;
    quick(&installation);
    let token = installation.tenant("alice");
    let server = installation.serve();
    let gate = installation.panel.hold("POST /virtual_machines", Stage::BeforeReply, 1);
    let (door, sent) = (server.door(), token.clone());
    let mut client = door.connect().await.expect("a connection");
    let mut request: Request<_> = request(CREATE, &basic("anybody", &sent), BODY);
    request.headers_mut().insert("idempotency-key", "cut".parse().expect("a value"));
    let sending = tokio::spawn(async move { client.send(request).await });
    gate.arrived().await.expect("the write upstream");
    server.program.signal(Signal::KILL);
    drop(server.program.end_within(Duration::from_secs(5)));
    drop(within("the end", sending).await);
    gate.release();
    let server = installation.serve();
    let named = told_in_time(&server.door(), &token, "cut").await;
    assert_eq!(named, builds(&server, &token).await);
    assert_eq!(server.terminate().code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_on_one_postgresql_name_the_same() {
    let postgres = Postgres::start();
    let installation = Installation::on(&postgres.url()).await;
    quick(&installation);
    let token = installation.tenant("alice");
    let servers = [installation.serve(), installation.serve()];
    let lost = Fault::CloseBeforeReply { applied: true };
    installation.panel.fault("POST /virtual_machines", 1, lost);
    assert_eq!(create(&servers[0].door(), &token, "lost").await.status, 502);
    let named = told_in_time(&servers[0].door(), &token, "lost").await;
    assert_eq!(told(&servers[1].door(), &token, "lost").await, named);
    assert_eq!(named, builds(&servers[0], &token).await);
    for server in servers {
        assert_eq!(server.terminate().code, Some(0));
    }
}
