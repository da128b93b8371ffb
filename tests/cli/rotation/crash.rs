//! Processes that die in the middle of a rotation, and answers that never come.

use std::time::Duration;

use rustix::process::Signal;
use tollgate::demo::simulator::{Fault, Gate, Stage, User};

use super::{Load, QUICK, ended, ends, generation, installation, status_of, user};
use crate::{cli::Installation, program::Program};

const GENERATE: &str = "POST /users/1/user_api_keys/generate";

/// Kills the command when it comes to a gate.
async fn killed(installation: &Installation, gate: Gate) {
    let token = installation.token("alice");
    let command = installation.start(&["credential", "rotate-key", "alice"], "");
    gate.arrived().await.expect("it comes so far");
    finished(installation, command, gate, &token).await;
}

/// Kills it, and starts a server, which finishes it.
async fn finished(installation: &Installation, command: Program, gate: Gate, token: &str) {
    command.signal(Signal::KILL);
    assert_eq!(command.end_within(Duration::from_secs(10)).code, None);
    gate.release();
    let server = installation.serve();
    let load = Load::on(&server, token);
    assert_eq!(ended(installation).await, ("done".to_owned(), None));
    assert!(load.end().await > 0);
    // There is the one key, and no other that anybody had made.
    let [key] = &*installation.panel.further_keys("alice") else { panic!("one key") };
    let User { email, .. } = user(installation, "alice");
    assert_eq!(status_of(installation, &email, key).await, 200);
    assert_eq!(generation(installation, "alice"), 2);
    installation.json("credential test alice", "");
    assert_eq!(server.terminate().code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_before_the_panel_was_asked_for_a_key() {
    let installation = installation().await;
    installation.tenant("alice");
    let gate = installation.panel.hold("GET /users/1/user_api_keys", Stage::BeforeReply, 1);
    killed(&installation, gate).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_when_the_panel_had_made_a_key() {
    let installation = installation().await;
    installation.tenant("alice");
    let gate = installation.panel.hold(GENERATE, Stage::BeforeReply, 1);
    killed(&installation, gate).await;
    assert_eq!(installation.panel.count("POST", "/users/1/user_api_keys/generate"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_may_still_be_made_is_waited_for_before_another_is_asked_for() {
    let sections = QUICK.replace("settle = \"4500ms\"", "settle = \"6s\"");
    let installation = Installation::with(Default::default(), &sections).await;
    installation.tenant("alice");
    let gate = installation.panel.hold(GENERATE, Stage::BeforeAction, 1);
    let command = installation.start(&["credential", "rotate-key", "alice"], "");
    gate.arrived().await.expect("it asks");
    let asked = std::time::Instant::now();
    command.signal(Signal::KILL);
    assert_eq!(command.end_within(Duration::from_secs(10)).code, None);
    let server = installation.serve();
    while installation.panel.count("POST", "/users/1/user_api_keys/generate") < 2 {
        assert!(asked.elapsed() < Duration::from_secs(30), "none is asked for");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(asked.elapsed() > Duration::from_secs(5), "{:?}", asked.elapsed());
    assert_eq!(ended(&installation).await, ("done".to_owned(), None));
    assert_eq!(installation.panel.further_keys("alice").len(), 1);
    drop(gate);
    assert_eq!(server.terminate().code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_the_new_key_was_tried() {
    let installation = installation().await;
    installation.tenant("alice");
    // What it asks of the panel before it has the new key goes by.
    let first = installation.panel.hold(GENERATE, Stage::BeforeReply, 1);
    let token = installation.token("alice");
    let command = installation.start(&["credential", "rotate-key", "alice"], "");
    first.arrived().await.expect("it comes so far");
    let gate = installation.panel.hold("GET /profile", Stage::BeforeReply, 1);
    first.release();
    gate.arrived().await.expect("it tries the key");
    finished(&installation, command, gate, &token).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_the_old_key_was_removed() {
    let installation = installation().await;
    installation.tenant("alice");
    let gate = installation.panel.hold("POST /users/1/make_new_api_key", Stage::BeforeReply, 1);
    killed(&installation, gate).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_never_came_loses_no_key_and_leaves_none() {
    for applied in [false, true] {
        let installation = installation().await;
        installation.tenant("alice");
        installation.panel.fault(GENERATE, 1, Fault::ResetBeforeHead { applied });
        let rotated = installation.json("credential rotate-key alice", "");
        assert_eq!(rotated["generation"], 2, "{rotated}");
        assert_eq!(installation.panel.further_keys("alice").len(), 1, "applied: {applied}");
        installation.json("credential test alice", "");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panel_that_is_away_for_a_while_is_waited_for() {
    let installation = installation().await;
    installation.tenant("alice");
    let away = Fault::Status { status: 503, applied: false };
    installation.panel.fault("GET /profile", 2, away.clone());
    installation.panel.fault("GET /users/1/user_api_keys", 1, away.clone());
    installation.panel.fault("POST /users/1/make_new_api_key", 1, away);
    let rotated = installation.json("credential rotate-key alice", "");
    assert_eq!(rotated["generation"], 2, "{rotated}");
    assert_eq!(installation.panel.further_keys("alice").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_ends_waits_for_a_key_that_is_on_its_way() {
    let sections = format!("{QUICK}interval = \"1s\"\n");
    let installation = Installation::with(Default::default(), &sections).await;
    installation.tenant("alice");
    let gate = installation.panel.hold(GENERATE, Stage::BeforeReply, 1);
    let server = installation.serve();
    gate.arrived().await.expect("it asks");
    server.program.signal(Signal::TERM);
    tokio::time::sleep(Duration::from_secs(1)).await;
    gate.release();
    let end = move || server.program.end_within(Duration::from_secs(10)).code;
    assert_eq!(tokio::task::spawn_blocking(end).await.expect("no panic"), Some(0));
    // It is in the journal, and nothing was done with it any more.
    assert_eq!(ends(&installation), [("minted".to_owned(), None)]);
}
