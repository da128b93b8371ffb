//! Rotations of upstream keys beside what else is done with keys and answers.

use std::{sync::Arc, time::Duration};

use rustix::process::Signal;
use serde_json::Value;
use tollgate::{
    demo::simulator::{Stage, User},
    tenants::{course::Step, store::StoreError},
};

use super::{
    catch::{GENERATE, manager},
    ends, generation, installation,
    leases::{finished, keyring, planned, rob, rotor_with},
    status_of, user,
};
use crate::{
    cli::{Installation, installation::Server},
    harness::within,
    panel::{basic, request},
};

async fn keyed(server: &Server, token: &str) -> (u16, String, Vec<u8>) {
    keyed_to(server, token, GENERATE, "").await
}

async fn keyed_to(server: &Server, token: &str, path: &str, body: &str) -> (u16, String, Vec<u8>) {
    let mut asked = request(&format!("POST {path}.json"), &basic("x", token), body);
    asked.headers_mut().insert("idempotency-key", "once".parse().expect("a value"));
    let mut client = server.connect().await.expect("a connection");
    let answer = client.send(asked).await.expect("an answer");
    (answer.status, answer.header("idempotency-replayed").to_owned(), answer.body.to_vec())
}

/// Puts another master key in the place of the one that is.
fn wrap_anew(installation: &Installation) {
    let new = installation.path("new.key").display().to_string();
    installation.run(&["master-key", &new], "").good();
    installation.json(&format!("vault rewrap --new-master-key-file {new}"), "");
    std::fs::rename(new, installation.path("master.key")).expect("in its place");
}

/// The data keys that seal secrets, and how many each.
fn vault_keys(installation: &Installation) -> Vec<Value> {
    let listed = installation.json("vault status", "");
    let all = listed.as_array().expect("a list").iter();
    all.filter(|key| key["purpose"] == "vault").cloned().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_made_once_for_a_request_that_comes_again() {
    let installation = installation().await;
    installation.tenant("alice");
    let manager = manager(&installation, "alice");
    let server = installation.serve();
    let (status, replayed, first) = keyed(&server, &manager).await;
    assert_eq!((status, &*replayed), (200, ""));
    let (status, replayed, second) = keyed(&server, &manager).await;
    assert_eq!((status, &*replayed), (200, "true"));
    assert_eq!(first, second);
    assert_eq!(installation.panel.count("POST", GENERATE), 1);
    assert_eq!(generation(&installation, "alice"), 2);
    assert_eq!(server.terminate().code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_made_before_a_key_was_rotated_is_not_made_again() {
    const BODY: &str = r#"{"virtual_machine":{"label":"once","hostname":"once"}}"#;
    let installation = installation().await;
    let token = installation.tenant("alice");
    let server = installation.serve();
    let (status, replayed, first) = keyed_to(&server, &token, "/virtual_machines", BODY).await;
    assert_eq!((status, &*replayed), (201, ""));
    let rotated = installation.json("credential rotate-key alice", "");
    assert_eq!(rotated["generation"], 2, "{rotated}");
    let (status, replayed, second) = keyed_to(&server, &token, "/virtual_machines", BODY).await;
    assert_eq!((status, &*replayed), (201, "true"));
    assert_eq!(first, second);
    assert_eq!(installation.panel.count("POST", "/virtual_machines"), 1);
    assert_eq!(server.terminate().code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_key_that_changes_while_a_key_is_made_loses_none() {
    let installation = installation().await;
    installation.tenant("alice");
    let gate = installation.panel.hold(&format!("POST {GENERATE}"), Stage::BeforeReply, 1);
    let command = installation.start(&["credential", "rotate-key", "alice"], "");
    gate.arrived().await.expect("it asks");
    let rotated = installation.json("vault rotate", "");
    // The credential's, and what the journal has of it.
    assert_eq!((&rotated["resealed"], &rotated["discarded"]), (&2.into(), &1.into()));
    gate.release();
    let ended = command.end_within(Duration::from_secs(20));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(generation(&installation, "alice"), 2);
    installation.json("credential test alice", "");
    let keys = vault_keys(&installation);
    assert_eq!((keys.len(), &keys[0]["id"]), (1, &rotated["key"]), "{keys:?}");
    assert_eq!(keys[0]["used_by"], 1, "{keys:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_key_is_removed_after_all_when_another_master_key_was_read() {
    let installation = installation().await;
    installation.tenant("alice");
    let User { email, api_key: old, .. } = user(&installation, "alice");
    // It keeps its lease, and what it has opened, while the old key drains.
    let rotor = rotor_with(&installation, |config| {
        (config.drain, config.lease) = (Duration::from_secs(6), Duration::from_secs(60));
    });
    let row = planned(&rotor, "alice").await;
    let (told, mut steps) = tokio::sync::mpsc::unbounded_channel();
    let working = tokio::spawn({
        let rotor = Arc::clone(&rotor);
        async move { rotor.work(row, |step| told.send(step).expect("somebody listens")).await }
    });
    while within("a step", steps.recv()).await != Some(Step::Draining) {}
    wrap_anew(&installation);
    let worked = within("what does not open", working).await.expect("no panic");
    assert!(matches!(worked, Err(StoreError::Vault { .. })), "{worked:?}");
    assert_eq!(ends(&installation), [("removing".to_owned(), None)]);
    rob(&installation, row);
    rotor.use_keyring(keyring(&installation));
    finished(&rotor, row).await;
    assert_eq!(ends(&installation), [("done".to_owned(), None)]);
    assert_eq!(status_of(&installation, &email, &old).await, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_another_master_key_none_is_asked_for_until_it_is_read() {
    let installation = installation().await;
    installation.tenant("alice");
    let manager = manager(&installation, "alice");
    let server = installation.serve();
    server.answers(&manager, 200, "").await;
    wrap_anew(&installation);
    let answer = server.ask(&manager, &format!("POST {GENERATE}.json"), "").await;
    assert_eq!((answer.status, answer.code()), (503, "vault_away"), "{answer:?}");
    assert_eq!(installation.panel.count("POST", GENERATE), 0);
    server.program.signal(Signal::HUP);
    let begun = std::time::Instant::now();
    while server.ask(&manager, &format!("POST {GENERATE}.json"), "").await.status != 200 {
        assert!(begun.elapsed() < Duration::from_secs(10), "it is not read");
    }
    assert_eq!(generation(&installation, "alice"), 2);
    server.answers(&manager, 200, "").await;
    assert_eq!(server.terminate().code, Some(0));
}
