//! Rotations of several credentials at once, while a panel does not answer for one of them.

use rustix::process::Signal;
use std::time::Duration;
use tollgate::demo::simulator::{Options, Simulator, Stage, User};

use super::{
    QUICK, ended, installation,
    leases::{planned, rotor},
};
use crate::cli::Installation;

/// What a rotation of Alice's key asks first of what is hers alone.
const SURVEY: &str = "GET /users/1/user_api_keys";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panel_that_does_not_answer_holds_up_no_rotation_of_another() {
    let other = Simulator::start(Options::default()).await.expect("a panel");
    let sections =
        format!("{QUICK}[upstreams.other]\nreply_timeout = \"3s\"\nurl = \"{}\"\n", other.url());
    let installation = Installation::with(Options::default(), &sections).await;
    installation.tenant("alice");
    let User { email, api_key, .. } = other.user("alice").expect("a user");
    let add = format!("credential add far --upstream other --email {email} --secret-stdin");
    installation.json(&add, &api_key);
    let rotor = rotor(&installation);
    for name in ["alice", "far"] {
        planned(&rotor, name).await;
    }
    let gate = installation.panel.hold(SURVEY, Stage::BeforeReply, 1);
    // It asks again when it has waited for so long as a reply may take.
    let again = installation.panel.hold(SURVEY, Stage::BeforeReply, 9);
    let server = installation.serve();
    gate.arrived().await.expect("it asks");
    // The latest, which is that of the other panel.
    assert_eq!(ended(&installation).await, ("done".to_owned(), None));
    assert_eq!(other.further_keys("alice").len(), 1);
    assert_eq!(installation.panel.further_keys("alice").len(), 0);
    gate.release();
    again.release();
    assert_eq!(server.terminate().code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_requests_are_held_back_for_waits_for_no_other_rotation() {
    let installation = installation().await;
    for name in ["alice", "bob"] {
        installation.tenant(name);
    }
    planned(&rotor(&installation), "alice").await;
    let minting = installation.panel.hold("POST /users/2/make_new_api_key", Stage::BeforeReply, 1);
    let line = ["credential", "rotate-key", "bob", "--replace", "--unrecoverable"];
    let command = installation.start(&line, "");
    minting.arrived().await.expect("it asks");
    let probing = installation.panel.hold("GET /profile", Stage::BeforeReply, 1);
    minting.release();
    probing.arrived().await.expect("it has the key");
    command.signal(Signal::KILL);
    assert_eq!(command.end_within(Duration::from_secs(10)).code, None);
    probing.release();
    let gate = installation.panel.hold(SURVEY, Stage::BeforeReply, 1);
    let server = installation.serve();
    gate.arrived().await.expect("it asks for the other");
    assert_eq!(ended(&installation).await, ("done".to_owned(), None));
    installation.json("credential test bob", "");
    gate.release();
    assert_eq!(server.terminate().code, Some(0));
}
