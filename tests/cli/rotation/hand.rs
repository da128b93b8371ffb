//! Keys that are set by hand while they are rotated, and removals that the panel does not do.

use std::time::Duration;

use tokio::time::sleep;
use tollgate::demo::simulator::{Fault, Gate, Stage, User};

use super::{
    ended, ends, installation,
    leases::{planned, rotor},
    status_of, user,
};
use crate::{cli::Installation, program::Program};

const MISSING: Fault = Fault::Status { status: 404, applied: false };

/// Starts a rotation, and holds it back when it tries its new key.
async fn trying(installation: &Installation) -> (Program, Gate) {
    let generate = "POST /users/1/user_api_keys/generate";
    let minting = installation.panel.hold(generate, Stage::BeforeReply, 1);
    let command = installation.start(&["credential", "rotate-key", "alice"], "");
    minting.arrived().await.expect("it asks");
    let probing = installation.panel.hold("GET /profile", Stage::BeforeReply, 1);
    minting.release();
    probing.arrived().await.expect("it tries the key");
    (command, probing)
}

async fn overtaken(command: Program, probing: Gate) {
    probing.release();
    let ended = tokio::task::spawn_blocking(move || command.end_within(Duration::from_secs(20)));
    let ended = ended.await.expect("no panic");
    assert_eq!(ended.code, Some(69), "{ended:?}");
}

fn set_by_hand(installation: &Installation, email: &str, key: &str) {
    installation.json(&format!("credential rotate alice --email {email} --secret-stdin"), key);
}

/// Has the configuration know the upstream by another name of its host.
fn moved(installation: &Installation) {
    let before = std::fs::read_to_string(installation.path("tollgate.toml")).expect("readable");
    installation.write("tollgate.toml", &before.replace("//127.0.0.1:", "//localhost:"));
}

fn add(installation: &Installation, name: &str, email: &str, key: &str) {
    let add = format!("credential add {name} --upstream main --email {email} --secret-stdin");
    installation.json(&add, key);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_key_that_was_set_by_hand_is_not_removed() {
    for elsewhere in [false, true] {
        let installation = installation().await;
        installation.tenant("alice");
        let User { email, api_key: old, .. } = user(&installation, "alice");
        let (command, probing) = trying(&installation).await;
        let [new] = &*installation.panel.further_keys("alice") else { panic!("one key") };
        if elsewhere {
            add(&installation, "twin", &email, new);
            set_by_hand(&installation, &email, &old);
        } else {
            set_by_hand(&installation, &email, new);
        }
        overtaken(command, probing).await;
        assert_eq!(ends(&installation), [("undone".to_owned(), Some("overtaken".to_owned()))]);
        for key in [new, &old] {
            assert_eq!(status_of(&installation, &email, key).await, 200, "twin: {elsewhere}");
        }
        installation.json("credential test alice", "");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_key_that_nobody_has_is_removed_or_told_of() {
    for (missing, note, left) in [(false, "overtaken", 0), (true, "new-key-left", 1)] {
        let installation = installation().await;
        installation.tenant("alice");
        let User { email, api_key: old, .. } = user(&installation, "alice");
        let (command, probing) = trying(&installation).await;
        set_by_hand(&installation, &email, &old);
        if missing {
            installation.panel.fault("DELETE /users/1/user_api_keys/", 1, MISSING);
        }
        overtaken(command, probing).await;
        assert_eq!(ends(&installation), [("undone".to_owned(), Some(note.to_owned()))]);
        assert_eq!(installation.panel.further_keys("alice").len(), left);
        installation.json("credential test alice", "");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_key_that_the_panel_does_not_find_is_not_taken_for_removed() {
    let installation = installation().await;
    installation.tenant("alice");
    let User { email, api_key: main, .. } = user(&installation, "alice");
    installation.panel.fault("POST /users/1/make_new_api_key", 1, MISSING);
    let rotated = installation.json("credential rotate-key alice", "");
    assert_eq!(rotated["note"], "old-key-left", "{rotated}");
    assert_eq!(status_of(&installation, &email, &main).await, 200);
    let [first] = &*installation.panel.further_keys("alice") else { panic!("one key") };
    installation.panel.fault("DELETE /users/1/user_api_keys/", 1, MISSING);
    let rotated = installation.json("credential rotate-key alice", "");
    assert_eq!(rotated["note"], "old-key-left", "{rotated}");
    let [_, second] = &*installation.panel.further_keys("alice") else { panic!("two keys") };
    assert_eq!(status_of(&installation, &email, first).await, 200);
    // It was removed, and nobody heard of it: it is not found the next time, and is not listed.
    let lost = Fault::ResetBeforeHead { applied: true };
    installation.panel.fault("DELETE /users/1/user_api_keys/", 1, lost);
    let rotated = installation.json("credential rotate-key alice", "");
    assert_eq!(rotated["note"], serde_json::Value::Null, "{rotated}");
    assert_eq!(status_of(&installation, &email, second).await, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_of_an_upstream_that_has_moved_makes_way_for_a_key_that_is_set_by_hand() {
    let installation = installation().await;
    installation.tenant("alice");
    let User { email, api_key: key, .. } = user(&installation, "alice");
    planned(&rotor(&installation), "alice").await;
    installation.tenant("bob");
    moved(&installation);
    let refused = installation.run(&["credential", "rotate-key", "bob"], "");
    assert_ne!(refused.code, Some(0), "{refused:?}");
    assert!(refused.err.contains("bob") && refused.err.contains("another host"), "{refused:?}");
    let mut server = installation.serve();
    server.program.complaint("a rotation stands still");
    // It is looked at again, and not told again.
    sleep(Duration::from_secs(1)).await;
    set_by_hand(&installation, &email, &key);
    let ended = ended(&installation).await;
    assert_eq!(ended, ("undone".to_owned(), Some("overtaken".to_owned())));
    installation.json("credential test alice", "");
    let ended = server.terminate();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.err.matches("stands still").count(), 1, "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_knows_an_upstream_where_it_was_ends_its_work_when_a_key_is_set_where_it_is() {
    let installation = installation().await;
    installation.tenant("alice");
    let User { email, api_key: old, .. } = user(&installation, "alice");
    let (command, probing) = trying(&installation).await;
    moved(&installation);
    set_by_hand(&installation, &email, &old);
    // It cannot ask for anything in the name of a secret that it cannot open.
    overtaken(command, probing).await;
    assert_eq!(ends(&installation), [("undone".to_owned(), Some("new-key-left".to_owned()))]);
    installation.json("credential test alice", "");
}
