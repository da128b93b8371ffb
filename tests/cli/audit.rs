//! The audit log: what commands and requests leave in it, and that nobody changes it unnoticed.

use serde_json::Value;

use super::Installation;
use crate::harness::Postgres;

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
