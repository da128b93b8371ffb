//! Keys of idempotent requests, with servers that are killed, and servers that share a store.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use rustix::process::Signal;
use tokio::task::JoinHandle;
use tollgate::demo::simulator::Stage;

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

/// Keys with a short lease, so that a test need not wait for a long one.
fn short(installation: &Installation) {
    let text = std::fs::read_to_string(installation.path("tollgate.toml")).expect("a file");
    let keys = "[idempotency]\nlease = \"2s\"\npoll_interval = \"20ms\"\n";
    installation.write("tollgate.toml", &format!("{keys}{text}"));
}

fn keyed(token: &str, key: &str) -> Request<Bytes> {
    let mut request = request(CREATE, &basic("anybody", token), BODY);
    request.headers_mut().insert("idempotency-key", key.parse().expect("a value"));
    request
}

async fn create(door: &Door, token: &str, key: &str) -> Answer {
    let mut client = door.connect().await.expect("a connection");
    within("an answer", client.send(keyed(token, key))).await.expect("an answer")
}

fn begin(server: &Server, token: &str, key: &str) -> JoinHandle<Answer> {
    let (door, token, key) = (server.door(), token.to_owned(), key.to_owned());
    tokio::spawn(async move { create(&door, &token, &key).await })
}

fn created(installation: &Installation) -> usize {
    installation.panel.count("POST", "/virtual_machines")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_before_the_answer_sends_nothing_twice() {
    let installation = Installation::new().await;
    short(&installation);
    let token = installation.tenant("alice");
    let server = installation.serve();
    // What was answered before survives, too.
    let before = create(&server.door(), &token, "before").await;
    assert_eq!(before.status, 201, "{before:?}");
    let gate = installation.panel.hold("POST /virtual_machines", Stage::BeforeReply, 1);
    let mut client = server.connect().await.expect("a connection");
    let sent = keyed(&token, "cut");
    let sending = tokio::spawn(async move { client.send(sent).await });
    gate.arrived().await.expect("the write upstream");
    server.program.signal(Signal::KILL);
    let ended = server.program.end_within(Duration::from_secs(5));
    assert_eq!(ended.code, None, "{ended:?}");
    assert!(within("the end", sending).await.expect("no panic").is_err(), "no answer");
    gate.release();

    let server = installation.serve();
    let begun = Instant::now();
    let refused = create(&server.door(), &token, "cut").await;
    assert_eq!((refused.status, refused.code()), (409, "outcome_unknown"), "{refused:?}");
    assert!(begun.elapsed() < Duration::from_secs(4), "after {:?}", begun.elapsed());
    let again = create(&server.door(), &token, "before").await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (201, "true"));
    assert_eq!(again.body, before.body);
    assert_eq!(created(&installation), 2);
    assert_eq!(server.terminate().code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_on_one_postgresql_send_a_request_once() {
    let postgres = Postgres::start();
    let installation = Installation::on(&postgres.url()).await;
    short(&installation);
    let token = installation.tenant("alice");
    let servers = [installation.serve(), installation.serve()];
    let gate = installation.panel.hold("POST /virtual_machines", Stage::BeforeReply, 1);
    let first = begin(&servers[0], &token, "k");
    gate.arrived().await.expect("the write upstream");
    // It waits for what the other server has under way.
    let second = begin(&servers[1], &token, "k");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!second.is_finished());
    gate.release();
    let (first, second) = (first.await.expect("no panic"), second.await.expect("no panic"));
    assert_eq!((first.status, second.status), (201, 201), "{second:?}");
    assert_eq!((first.body, second.header("idempotency-replayed")), (second.body.clone(), "true"));
    // Whoever asks at the same moment.
    for round in 0..5 {
        let key = format!("at-once-{round}");
        let all: Vec<_> =
            [0, 1, 0, 1, 0, 1].map(|server| begin(&servers[server], &token, &key)).into();
        let mut replayed = 0;
        for answer in all {
            let answer = answer.await.expect("no panic");
            assert_eq!(answer.status, 201, "{answer:?}");
            replayed += usize::from(answer.header("idempotency-replayed") == "true");
        }
        assert_eq!(replayed, 5);
    }
    assert_eq!(created(&installation), 6);
    for server in servers {
        assert_eq!(server.terminate().code, Some(0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_does_not_send_what_another_one_died_with() {
    let postgres = Postgres::start();
    let installation = Installation::on(&postgres.url()).await;
    short(&installation);
    let token = installation.tenant("alice");
    let [dies, lives] = [installation.serve(), installation.serve()];
    let gate = installation.panel.hold("POST /virtual_machines", Stage::BeforeAction, 1);
    let mut client = dies.connect().await.expect("a connection");
    let sent = keyed(&token, "k");
    let sending = tokio::spawn(async move { client.send(sent).await });
    gate.arrived().await.expect("the write upstream");
    let waiting = begin(&lives, &token, "k");
    dies.program.signal(Signal::KILL);
    drop(within("the end", sending).await);
    let refused = waiting.await.expect("no panic");
    assert_eq!((refused.status, refused.code()), (409, "outcome_unknown"), "{refused:?}");
    gate.release();
    assert_eq!(created(&installation), 1);
    assert_eq!(lives.terminate().code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_store_is_away_nothing_with_a_key_is_sent_and_no_answer_is_lost() {
    let mut postgres = Postgres::start();
    let installation = Installation::on(&postgres.url()).await;
    let token = installation.tenant("alice");
    let server = installation.serve();
    let door = server.door();
    assert_eq!(create(&door, &token, "before").await.status, 201);
    let gate = installation.panel.hold("POST /virtual_machines", Stage::BeforeReply, 1);
    let under_way = begin(&server, &token, "under-way");
    gate.arrived().await.expect("the write upstream");
    postgres.stop();
    for key in ["before", "new"] {
        let refused = create(&door, &token, key).await;
        assert_eq!((refused.status, refused.code()), (503, "idempotency_unavailable"), "{key}");
        assert_eq!(refused.header("retry-after"), "1");
    }
    // Who has no key does not notice.
    assert_eq!(server.ask(&token, CREATE, BODY).await.status, 201);
    gate.release();
    let answered = under_way.await.expect("no panic");
    assert_eq!(answered.status, 201, "{answered:?}");
    assert_eq!(created(&installation), 3);
    postgres.resume();
    let begun = Instant::now();
    let again = loop {
        let again = create(&door, &token, "under-way").await;
        if again.status != 503 {
            break again;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{again:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!((again.status, again.header("idempotency-replayed")), (201, "true"), "{again:?}");
    assert_eq!(again.body, answered.body);
    assert_eq!(created(&installation), 3);
    assert_eq!(create(&door, &token, "new").await.status, 201);
    assert_eq!(server.terminate().code, Some(0));
}
