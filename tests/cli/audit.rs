//! The audit log: what commands and requests leave in it, and that nobody changes it unnoticed.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Installation, Place};
use crate::{
    harness::{Postgres, sum_of},
    panel::admin_at,
};

/// What stands in the log.
fn exported(installation: &Installation) -> Vec<Value> {
    let out = installation.run(&["audit", "export"], "").good();
    out.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_and_refused_requests_are_written_down_and_signed() {
    let installation = Installation::new().await;
    let token = installation.tenant("alice");
    let create = "token create --tenant alice --credential alice --method GET";
    let reader = installation.json(create, "")["token"].as_str().expect("a token").to_owned();
    let server = installation.serve();
    server.answers(&token, 200, "").await;
    let refused = server.ask(&reader, "PUT /virtual_machines/1.json", "").await;
    assert_eq!(refused.code(), "refused_by_policy");
    let guarded = server.ask(&token, "POST /users/1/make_new_api_key.json", "").await;
    assert_eq!(guarded.code(), "guarded_route");
    server.answers("tg_no_such_token_0000000000000000", 401, "invalid_token").await;
    // The server writes what it still has when it ends.
    assert_eq!(server.terminate().code, Some(0));

    let log = exported(&installation);
    let actions: Vec<&str> =
        log.iter().map(|line| line["event"]["action"].as_str().expect("an action")).collect();
    let commands = ["tenant.add", "credential.add", "token.create", "token.create"];
    assert_eq!(actions, [&commands[..], &["request"; 3]].concat());
    assert_eq!(log[0]["event"]["actor"]["kind"], "operator");
    assert!(log[0]["event"]["actor"]["name"].is_string());
    let request = &log[4]["event"];
    let fields = ["decision", "reason", "object", "from", "method"].map(|name| &request[name]);
    assert_eq!(fields, ["refused", "refused_by_policy", "methods", "127.0.0.1", "PUT"]);
    let id = refused.header("x-request-id");
    assert_eq!(request["request_id"], id);
    assert!(reader.contains(request["actor"]["name"].as_str().expect("a public id")));
    assert_eq!(log[5]["event"]["reason"], "guarded_route");
    assert!(log[6]["event"]["actor"]["name"].is_null());
    let text = installation.run(&["audit", "export"], "").good();
    assert!(!text.contains(&token) && !text.contains("make_new_api_key"), "{text}");

    let verified = installation.json("audit verify", "");
    assert_eq!((&verified["last"], &verified["signed_up_to"]), (&7.into(), &7.into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_changes_the_log_is_found_out() {
    let postgres = Postgres::start();
    let installation = Installation::on(&postgres.url()).await;
    installation.tenant("alice");
    assert_eq!(installation.json("audit verify", "")["last"], 3);
    postgres.query("DELETE FROM audit WHERE sequence = 2");
    let broken = installation.run(&["audit", "verify"], "");
    assert_eq!(broken.code, Some(65), "{broken:?}");
    assert!(broken.err.contains("the audit log is broken: link 2 is missing"), "{broken:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_refusals_is_counted_and_not_written() {
    let installation = Installation::new().await;
    let server = installation.serve();
    for _ in 0..30 {
        server.ask("tg_no_such_token_0000000000000000", "GET /version.json", "").await;
    }
    assert_eq!(server.terminate().code, Some(0));
    // Six a minute; a minute may have passed on a busy machine.
    let written = exported(&installation).len();
    assert!((6..=12).contains(&written), "{written}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_added_to_a_log_that_others_have_changed_until_it_is_accepted() {
    let postgres = Postgres::start();
    let installation = Installation::on(&postgres.url()).await;
    installation.tenant("alice");
    let kept = installation.json("audit verify", "")["head"].as_str().expect("a head").to_owned();
    let server = installation.serve();
    let up = async |want: f64| {
        let begun = Instant::now();
        let asked = async || admin_at(server.admin, "/metrics").await;
        while sum_of(&asked().await, "tollgate_audit_up") != want {
            assert!(begun.elapsed() < Duration::from_secs(10), "tollgate_audit_up is not {want}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    postgres.query("DELETE FROM audit_heads");
    server.answers("tg_no_such_token_0000000000000000", 401, "invalid_token").await;
    up(0.0).await;
    for command in [&["tenant", "add", "bob"][..], &["audit", "verify"]] {
        let refused = installation.run(command, "");
        assert_eq!(refused.code, Some(65), "{refused:?}");
        let why = "(`tollgate audit accept`): no signature says that the log ends at link 3";
        assert!(refused.err.contains(why), "{refused:?}");
    }

    assert_eq!(installation.json("audit accept", "")["up_to"], 3);
    up(1.0).await;
    installation.json("tenant add bob", "");
    assert_eq!(server.terminate().code, Some(0));
    let verified = installation.json("audit verify", "");
    assert_eq!((&verified["first"], &verified["unvouched"]), (&4.into(), &3.into()));
    let log = exported(&installation);
    assert_eq!(log[0]["event"]["action"], "audit.accept");
    assert!(log.iter().any(|line| line["event"]["reason"] == "invalid_token"), "{log:?}");
    let again = installation.run(&["audit", "accept"], "");
    assert_eq!(again.code, Some(65), "{again:?}");

    // A head from before is no longer to be found, and one of now is.
    let now = verified["head"].as_str().expect("a head");
    installation.json(&format!("audit verify --head {now}"), "");
    let gone = installation.run(&["audit", "verify", "--head", &kept], "");
    assert_eq!(gone.code, Some(65), "{gone:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_server_accepts_a_log_for_an_owner() {
    let postgres = Postgres::start();
    let place = Place::on(&postgres.url()).await;
    let server = place.serve();
    let make = ["admin-token", "create", "bob", "--role", "operator"];
    let operator = place.run(&make).good();
    let whole = place.run(&["audit", "accept"]);
    assert_eq!((whole.code, &*whole.out), (Some(65), ""), "{whole:?}");
    assert!(whole.err.contains("nothing to accept"), "{whole:?}");
    postgres.query("DELETE FROM audit_heads");
    // Not even a token could be made to do it with.
    for command in
        [&["tenant", "add", "acme"][..], &["admin-token", "create", "eve", "--role", "owner"]]
    {
        let refused = place.run(command);
        assert_eq!(refused.code, Some(65), "{refused:?}");
        assert!(refused.err.contains("(`tollgate audit accept`)"), "{refused:?}");
    }
    let refused = place.run_as(operator.trim(), &["audit", "accept"]);
    assert_eq!(refused.code, Some(77), "{refused:?}");
    let accepted = place.run(&["audit", "accept"]).good();
    assert!(accepted.contains("nothing vouches for events up to 1 any more"), "{accepted}");
    place.run(&["tenant", "add", "acme"]).good();
    let verified = place.run(&["audit", "verify", "--json"]).good();
    let verified: Value = serde_json::from_str(&verified).expect("JSON");
    assert_eq!(verified["first"], 2, "{verified}");
    assert_eq!(server.terminate().code, Some(0));
    let log = exported(&place.installation);
    let fields = ["action", "object"].map(|name| &log[0]["event"][name]);
    assert_eq!(fields, ["audit.accept", "events up to 1"]);
    assert_eq!(log[0]["event"]["actor"]["kind"], "admin-token");
}
