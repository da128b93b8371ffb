//! Where the panel replaces a key instead of adding one: requests wait, and the new key can be had again.

use std::time::Duration;

use rustix::process::Signal;
use tollgate::demo::simulator::{Fault, Stage, User};

use super::{
    Load, QUICK,
    catch::{GENERATE, manager},
    ended, ends, generation, installation, status_of, user,
};
use crate::{
    cli::{Installation, Server},
    harness::{sum_of, within},
    panel::admin_at,
    program::Program,
};

const REPLACE: &str = "POST /users/1/make_new_api_key";

/// An administrator of the panel, whose credential sees every user's key.
fn administrator(installation: &Installation) {
    let admin = installation.panel.users().into_iter().find(|user| user.admin).expect("one");
    let User { email, api_key, .. } = admin;
    let add = format!("credential add root --upstream main --email {email} --reach all");
    installation.json(&format!("{add} --secret-stdin"), &api_key);
}

/// Waits until a request waits for a key that is being replaced.
async fn somebody_waits(server: &Server) {
    let waiting = async || {
        let page = admin_at(server.admin, "/metrics").await;
        sum_of(&page, "tollgate_key_requests_waiting")
    };
    within("a request that waits", async {
        while waiting().await == 0.0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

async fn good(command: Program) {
    let ended = tokio::task::spawn_blocking(move || command.end_within(Duration::from_secs(20)));
    ended.await.expect("no panic").good();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_could_be_lost_is_replaced_only_at_the_operators_risk() {
    let installation = installation().await;
    installation.tenant("alice");
    let before = user(&installation, "alice");
    let refused = installation.run(&["credential", "rotate-key", "alice", "--replace"], "");
    assert_eq!(refused.code, Some(69), "{refused:?}");
    assert!(refused.err.contains("--unrecoverable"), "{refused:?}");
    assert_eq!(installation.panel.count("POST", "/users"), 0);
    assert_eq!(user(&installation, "alice").api_key, before.api_key);

    let line = "credential rotate-key alice --replace --unrecoverable";
    assert_eq!(installation.json(line, "")["generation"], 2);
    let after = user(&installation, "alice");
    assert_ne!(after.api_key, before.api_key);
    installation.json("credential test alice", "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_wait_while_a_key_is_replaced_and_none_is_refused() {
    let installation = installation().await;
    let token = installation.tenant("alice");
    administrator(&installation);
    let before = user(&installation, "alice");
    let server = installation.serve();
    let load = Load::on(&server, &token);
    let gate = installation.panel.hold(REPLACE, Stage::BeforeReply, 1);
    let command = installation.start(&["credential", "rotate-key", "alice", "--replace"], "");
    gate.arrived().await.expect("it asks");
    // The old key is dead, and nobody knows the new one.
    assert_eq!(status_of(&installation, &before.email, &before.api_key).await, 401);
    somebody_waits(&server).await;
    gate.release();
    good(command).await;
    server.answers(&token, 200, "").await;
    assert!(load.end().await > 0);
    assert_eq!(status_of(&installation, &before.email, &before.api_key).await, 401);
    assert_eq!(ends(&installation), [("done".to_owned(), None)]);
    assert_eq!(server.terminate().code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_wait_no_longer_and_no_more_of_them_than_the_configuration_says() {
    let sections = format!("{QUICK}max_wait = \"200ms\"\nmax_waiting = 1\n");
    let installation = Installation::with(Default::default(), &sections).await;
    let token = installation.tenant("alice");
    administrator(&installation);
    let capped = "token create --tenant alice --credential alice --deletes 1/1h";
    let capped = installation.json(capped, "")["token"].as_str().expect("a token").to_owned();
    let server = installation.serve();
    server.answers(&token, 200, "").await;
    let gate = installation.panel.hold(REPLACE, Stage::BeforeAction, 1);
    let command = installation.start(&["credential", "rotate-key", "alice", "--replace"], "");
    gate.arrived().await.expect("it asks");
    let held = server.ask(&token, "PUT /virtual_machines/1.json", "").await;
    assert_eq!((held.status, held.code()), (503, "key_rotation"), "{held:?}");
    assert!(!held.header("retry-after").is_empty());
    let asked = installation.panel.count("PUT", "/virtual_machines/1");
    assert_eq!(asked, 0, "it was not sent");
    let remove = async || server.ask(&capped, "DELETE /virtual_machines/1.json", "").await;
    let held = remove().await;
    assert_eq!((held.status, held.code()), (503, "key_rotation"), "{held:?}");
    gate.release();
    good(command).await;
    // A server follows the store; what it shows from memory does not say that it has.
    let passes = async || server.ask(&token, "PUT /virtual_machines/1.json", "").await;
    let seen = within("a server that sees the new key", async {
        while passes().await.code() == "key_rotation" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    Box::pin(seen).await;
    // What was not sent was not counted.
    assert_eq!(remove().await.code(), "");
    assert_eq!(remove().await.code(), "used_up");
    assert_eq!(server.terminate().code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_a_key_made_waits_while_it_is_replaced() {
    let installation = installation().await;
    installation.tenant("alice");
    let manager = manager(&installation, "alice");
    administrator(&installation);
    let server = installation.serve();
    server.answers(&manager, 200, "").await;
    let gate = installation.panel.hold(REPLACE, Stage::BeforeReply, 1);
    let command = installation.start(&["credential", "rotate-key", "alice", "--replace"], "");
    gate.arrived().await.expect("it asks");
    let door = server.door();
    let line = format!("POST {GENERATE}.json");
    let wish = tokio::spawn(async move { door.ask(&manager, &line, "").await });
    somebody_waits(&server).await;
    gate.release();
    good(command).await;
    let kept = wish.await.expect("no panic");
    assert_eq!(kept.text(), "{\"key\":{\"credential\":\"alice\",\"generation\":3}}", "{kept:?}");
    assert_eq!(server.terminate().code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_key_that_the_panel_takes_a_while_later_is_not_lost() {
    for unrecoverable in [false, true] {
        let installation = installation().await;
        installation.tenant("alice");
        let mut line = vec!["credential", "rotate-key", "alice", "--replace"];
        if unrecoverable {
            line.push("--unrecoverable");
        } else {
            administrator(&installation);
        }
        let gate = installation.panel.hold(REPLACE, Stage::BeforeReply, 1);
        let command = installation.start(&line, "");
        gate.arrived().await.expect("it asks");
        let unheard_of = Fault::Status { status: 401, applied: false };
        installation.panel.fault("GET /profile", usize::MAX, unheard_of);
        gate.release();
        tokio::time::sleep(Duration::from_secs(1)).await;
        installation.panel.clear_rules();
        good(command).await;
        assert_eq!(generation(&installation, "alice"), 2);
        installation.json("credential test alice", "");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_whose_answer_was_lost_is_read_by_the_administrator() {
    let installation = installation().await;
    installation.tenant("alice");
    administrator(&installation);
    installation.panel.fault(REPLACE, 1, Fault::ResetBeforeHead { applied: true });
    let rotated = installation.json("credential rotate-key alice --replace", "");
    assert_eq!(rotated["generation"], 2, "{rotated}");
    assert_eq!(installation.panel.count("POST", "/users/1/make_new_api_key"), 1);
    installation.json("credential test alice", "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_was_overtaken_is_kept_and_given_to_the_credential_after_all() {
    let installation = installation().await;
    installation.tenant("alice");
    administrator(&installation);
    let bob = user(&installation, "bob");
    // The panel has replaced the key, and does not answer when the new one is tried.
    let minting = installation.panel.hold(REPLACE, Stage::BeforeReply, 1);
    let command = installation.start(&["credential", "rotate-key", "alice", "--replace"], "");
    minting.arrived().await.expect("it asks");
    let probing = installation.panel.hold("GET /profile", Stage::BeforeReply, 1);
    minting.release();
    probing.arrived().await.expect("it tries the key");
    let by_hand = format!("credential rotate alice --email {} --no-test --secret-stdin", bob.email);
    installation.json(&by_hand, &bob.api_key);
    probing.release();
    let ended = tokio::task::spawn_blocking(move || command.end_within(Duration::from_secs(20)));
    let ended = ended.await.expect("no panic");
    assert_eq!(ended.code, Some(69), "{ended:?}");
    let rotation = installation.json("credential rotations", "")[0].clone();
    assert_eq!((&rotation["note"], &rotation["new_kept"]), (&"overtaken".into(), &true.into()));
    let id = rotation["id"].as_i64().expect("a number");
    let way_out = format!("credential rotations --use {id}");
    assert!(ended.err.contains(&way_out), "{ended:?}");
    let used = installation.json(&way_out, "");
    assert_eq!((&used["credential"], &used["generation"]), (&"alice".into(), &3.into()));
    installation.json("credential test alice", "");
    assert_eq!(installation.json("credential rotations", "")[0]["new_kept"], false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_dies_with_the_answer_on_its_way_loses_no_key() {
    let installation = installation().await;
    let token = installation.tenant("alice");
    administrator(&installation);
    let gate = installation.panel.hold(REPLACE, Stage::BeforeReply, 1);
    let command = installation.start(&["credential", "rotate-key", "alice", "--replace"], "");
    gate.arrived().await.expect("it asks");
    command.signal(Signal::KILL);
    assert_eq!(command.end_within(Duration::from_secs(10)).code, None);
    gate.release();
    let server = installation.serve();
    let load = Load::on(&server, &token);
    assert_eq!(ended(&installation).await, ("done".to_owned(), None));
    assert!(load.end().await > 0);
    assert_eq!(generation(&installation, "alice"), 2);
    installation.json("credential test alice", "");
    assert_eq!(server.terminate().code, Some(0));
}
