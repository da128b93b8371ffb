//! Keys that clients have made: kept from them, and kept.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tollgate::demo::simulator::{Fault, Stage, User};

use super::{Load, QUICK, ends, generation, installation, status_of, user};
use crate::{
    cli::{Installation, installation::Server},
    harness::Postgres,
    panel::admin_at,
};

pub(super) const GENERATE: &str = "/users/1/user_api_keys/generate";
const REPLACE: &str = "/users/1/make_new_api_key";

/// A token of a credential that may have keys made.
pub(super) fn manager(installation: &Installation, name: &str) -> String {
    let line =
        format!("token create --tenant alice --credential {name} --permit credentials:manage");
    installation.json(&line, "")["token"].as_str().expect("a token").to_owned()
}

/// A credential of the panel's administrator.
fn administrator(installation: &Installation) -> User {
    let admin = installation.panel.users().into_iter().find(|user| user.admin).expect("one");
    let add = format!("credential add root --upstream main --email {} --reach all", admin.email);
    installation.json(&format!("{add} --secret-stdin"), &admin.api_key);
    admin
}

async fn post(server: &Server, token: &str, path: &str) -> (u16, Value) {
    let answer = server.ask(token, &format!("POST {path}.json"), "").await;
    assert_eq!(answer.header("content-type"), "application/json; charset=utf-8", "{answer:?}");
    (answer.status, serde_json::from_slice(&answer.body).expect("JSON"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_ones_own_becomes_the_credentials() {
    let installation = installation().await;
    let token = installation.tenant("alice");
    let manager = manager(&installation, "alice");
    let before = user(&installation, "alice");
    let server = installation.serve();
    let load = Load::on(&server, &token);
    // Whoever has no permission is refused, as ever.
    let refused = server.ask(&token, &format!("POST {GENERATE}.json"), "").await;
    assert_eq!((refused.status, refused.code()), (403, "guarded_route"));
    for (line, code) in [
        ("GET /users/1/user_api_keys.json", "guarded_route"),
        ("GET /users/1/user_api_keys/generate.json", "guarded_route"),
        ("DELETE /users/1/user_api_keys/1.json", "guarded_route"),
    ] {
        assert_eq!(server.ask(&manager, line, "").await.code(), code, "{line}");
    }
    assert_eq!(installation.panel.count("POST", "/users"), 0);

    let kept = post(&server, &manager, GENERATE).await;
    let expected = json!({ "key": { "credential": "alice", "generation": 2 } });
    assert_eq!(kept, (200, expected));
    let [key] = &*installation.panel.further_keys("alice") else { panic!("one key") };
    assert_eq!(status_of(&installation, &before.email, key).await, 200);
    // Nobody has asked for the old one to be removed.
    assert_eq!(status_of(&installation, &before.email, &before.api_key).await, 200);
    let answer = server.ask(&manager, &format!("POST {GENERATE}.xml"), "").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.text().contains("<generation type=\"integer\">3</generation>"), "{answer:?}");
    server.answers(&token, 200, "").await;
    assert!(load.end().await > 0);
    // What a client has done is written a while later, and at the end at the latest.
    assert_eq!(server.terminate().code, Some(0));
    let audited = installation.run(&["audit", "export"], "").good();
    assert!(audited.contains("\"action\":\"key.catch\",\"decision\":\"allowed\""), "{audited}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_replaces_ones_own_becomes_the_credentials_too() {
    let installation = installation().await;
    let token = installation.tenant("alice");
    let manager = manager(&installation, "alice");
    let server = installation.serve();
    // As long as nobody could read it again, none is made.
    let (status, refused) = post(&server, &manager, REPLACE).await;
    assert_eq!(status, 409, "{refused}");
    assert_eq!(installation.panel.count("POST", REPLACE), 0);
    administrator(&installation);
    let load = Load::on(&server, &token);
    let kept = post(&server, &manager, REPLACE).await;
    assert_eq!(kept, (200, json!({ "key": { "credential": "alice", "generation": 2 } })));
    server.answers(&token, 200, "").await;
    assert!(load.end().await > 0);
    installation.json("credential test alice", "");
    assert_eq!(server.terminate().code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_somebody_else_waits_for_an_owner() {
    let installation = installation().await;
    let token = installation.tenant("alice");
    administrator(&installation);
    let manager = manager(&installation, "root");
    let bob = user(&installation, "bob");
    let server = installation.serve();
    let (status, kept) = post(&server, &manager, "/users/2/user_api_keys/generate").await;
    assert_eq!(status, 200, "{kept}");
    let id = kept["key"]["pending"].as_i64().expect("a number");
    let listed = installation.json("credential pending", "");
    assert_eq!((&listed[0]["id"], &listed[0]["login"]), (&id.into(), &bob.email.clone().into()));
    assert_eq!((&listed[0]["kept"], &listed[0]["user"]), (&true.into(), &2.into()));
    let claimed = installation.json(&format!("credential claim {id} bob"), "");
    assert_eq!(claimed, json!({ "credential": "bob", "generation": 1 }));
    installation.json("credential test bob", "");
    assert_eq!(installation.json("credential pending", ""), json!([]));
    // What would kill a key of ours is not done.
    let (status, refused) = post(&server, &manager, REPLACE).await;
    assert_eq!(status, 409, "{refused}");
    assert_eq!(installation.panel.count("POST", REPLACE), 0);
    // Nor what the panel does not let the caller do.
    let theirs = self::manager(&installation, "alice");
    server.answers(&theirs, 200, "").await;
    let (status, refused) = post(&server, &theirs, "/users/2/user_api_keys/generate").await;
    assert_eq!(status, 409, "{refused}");
    assert_eq!(installation.json("credential pending", ""), json!([]));
    server.answers(&token, 200, "").await;
    assert_eq!(server.terminate().code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asked_for_a_key_that_may_have_been_made_is_written_down() {
    let installation = installation().await;
    installation.tenant("alice");
    administrator(&installation);
    let manager = manager(&installation, "root");
    let server = installation.serve();
    server.answers(&manager, 200, "").await;
    let lost = Fault::CloseBeforeReply { applied: true };
    installation.panel.fault("POST /users/2/user_api_keys/generate", 1, lost);
    let answer = server.ask(&manager, "POST /users/2/user_api_keys/generate.json", "").await;
    assert_eq!((answer.status, answer.code()), (504, "upstream_timed_out"), "{answer:?}");
    assert_eq!(installation.panel.further_keys("bob").len(), 1);
    assert_eq!(server.terminate().code, Some(0));
    let audited = installation.run(&["audit", "export"], "").good();
    let id = answer.header("x-request-id");
    let asked: Vec<Value> = audited
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["event"].clone())
        .filter(|event| event["request_id"] == id)
        .collect();
    let told = |event: &Value| {
        let fields = ["action", "decision", "object", "reason"];
        fields.map(|name| event[name].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(told(&asked[0]), ["key.catch", "allowed", "root", ""]);
    assert_eq!(told(&asked[1]), ["key.catch", "failed", "root", "upstream_timed_out"]);
    assert!(manager.contains(asked[0]["actor"]["name"].as_str().expect("a public id")));
    assert_eq!((asked.len(), &asked[1]["actor"]), (2, &asked[0]["actor"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_many_keys_wait_for_an_owner_and_no_more() {
    let sections = format!("{QUICK}max_kept = 2\n");
    let installation = Installation::with(Default::default(), &sections).await;
    installation.tenant("alice");
    administrator(&installation);
    let manager = manager(&installation, "root");
    let server = installation.serve();
    let made = || installation.panel.further_keys("bob").len();
    let bob = "/users/2/user_api_keys/generate";
    for n in 1..=2 {
        let (status, kept) = post(&server, &manager, bob).await;
        assert_eq!((status, made()), (200, n), "{kept}");
    }
    let refused = server.ask(&manager, &format!("POST {bob}.json"), "").await;
    assert_eq!((refused.status, refused.code()), (409, "no_key"), "{refused:?}");
    assert!(refused.text().contains("claim or to forget"), "{refused:?}");
    // Nor does one's own, which would leave the old one behind.
    let own = self::manager(&installation, "alice");
    server.answers(&own, 200, "").await;
    let (status, refused) = post(&server, &own, GENERATE).await;
    assert_eq!((status, installation.panel.count("POST", GENERATE)), (409, 0), "{refused}");

    let pending = installation.json("credential pending", "");
    let id = pending[0]["id"].as_i64().expect("a number");
    let forgotten = installation.json(&format!("credential pending --forget {id}"), "");
    assert_eq!(forgotten, json!({ "forgotten": id }));
    let left = installation.json("credential pending", "");
    assert_eq!((left.as_array().map(Vec::len), &left[0]["id"]), (Some(1), &pending[1]["id"]));
    let again = installation.run(&["credential", "pending", "--forget", &id.to_string()], "");
    assert_eq!(again.code, Some(65), "{again:?}");
    assert_eq!((post(&server, &manager, bob).await.0, made()), (200, 3));
    assert_eq!(server.terminate().code, Some(0));
    let audited = installation.run(&["audit", "export"], "").good();
    assert!(audited.contains("\"action\":\"key.forget\""), "{audited}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_key_that_is_left_is_forgotten_by_an_operator() {
    let installation = installation().await;
    installation.tenant("alice");
    let manager = manager(&installation, "alice");
    let server = installation.serve();
    assert_eq!(post(&server, &manager, GENERATE).await.0, 200);
    let rotation = installation.json("credential rotations", "")[0].clone();
    let kept = [&rotation["new_kept"], &rotation["old_kept"]];
    assert_eq!((&rotation["step"], kept), (&"done".into(), [&false.into(), &true.into()]));
    let id = rotation["id"].as_i64().expect("a number").to_string();
    let unused = installation.run(&["credential", "rotations", "--use", &id], "");
    assert_eq!(unused.code, Some(65), "{unused:?}");
    installation.json(&format!("credential rotations --forget {id}"), "");
    assert_eq!(installation.json("credential rotations", "")[0]["old_kept"], false);
    assert_eq!(generation(&installation, "alice"), 2);
    assert_eq!(server.terminate().code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_could_not_be_kept_is_not_asked_for() {
    let mut postgres = Postgres::start();
    let installation = Installation::on_with(&postgres.url(), QUICK).await;
    installation.tenant("alice");
    let manager = manager(&installation, "alice");
    let server = installation.serve();
    server.answers(&manager, 200, "").await;
    postgres.stop();
    let answer = server.ask(&manager, &format!("POST {GENERATE}.json"), "").await;
    assert_eq!((answer.status, answer.code()), (503, "vault_away"), "{answer:?}");
    assert_eq!(installation.panel.count("POST", "/users"), 0);
    postgres.resume();
    let kept = post(&server, &manager, GENERATE).await;
    assert_eq!(kept.0, 200, "{kept:?}");
    assert_eq!(server.terminate().code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_was_made_waits_for_a_store_that_is_away() {
    let mut postgres = Postgres::start();
    let installation = Installation::on_with(&postgres.url(), QUICK).await;
    installation.tenant("alice");
    administrator(&installation);
    let manager = manager(&installation, "root");
    let server = installation.serve();
    server.answers(&manager, 200, "").await;
    let bob = "POST /users/2/user_api_keys/generate";
    let gate = installation.panel.hold(bob, Stage::BeforeReply, 1);
    let (door, token) = (server.door(), manager.clone());
    let asking = tokio::spawn(async move { door.ask(&token, &format!("{bob}.json"), "").await });
    gate.arrived().await.expect("it asks");
    postgres.stop();
    gate.release();
    // Nobody waits for the answer any more, and the store is away for longer than a start takes.
    asking.abort();
    tokio::time::sleep(Duration::from_secs(15)).await;
    postgres.resume();
    let begun = Instant::now();
    let kept = loop {
        let pending = installation.json("credential pending", "")[0].clone();
        if pending["kept"] == true || begun.elapsed() > Duration::from_secs(20) {
            break pending;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(kept["kept"], true, "{kept}");
    let id = kept["id"].as_i64().expect("a number");
    installation.json(&format!("credential claim {id} bob"), "");
    installation.json("credential test bob", "");
    assert_eq!(server.terminate().code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_with_the_key_loses_none() {
    let installation = installation().await;
    installation.tenant("alice");
    let manager = manager(&installation, "alice");
    let server = installation.serve();
    let gate = installation.panel.hold(&format!("POST {GENERATE}"), Stage::BeforeReply, 1);
    let (door, token) = (server.door(), manager.clone());
    let asking = tokio::spawn(async move {
        let mut client = door.connect().await.expect("a connection");
        let line = format!("POST {GENERATE}.json");
        client.send(crate::panel::request(&line, &crate::panel::basic("x", &token), "")).await
    });
    gate.arrived().await.expect("it asks");
    server.program.signal(rustix::process::Signal::KILL);
    gate.release();
    assert!(asking.await.expect("no panic").is_err(), "nobody was told");
    let server = installation.serve();
    assert_eq!(super::ended(&installation).await, ("done".to_owned(), None));
    assert_eq!(generation(&installation, "alice"), 2);
    assert_eq!(installation.panel.further_keys("alice").len(), 1);
    server.answers(&manager, 200, "").await;
    assert_eq!(server.terminate().code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_key_that_was_made_comes_out_anywhere() {
    let installation = installation().await;
    let token = installation.tenant("alice");
    let admin = administrator(&installation);
    let (own, root) = (manager(&installation, "alice"), manager(&installation, "root"));
    let server = installation.serve();
    let mut keys = vec![user(&installation, "alice").api_key, admin.api_key];
    let mut shown: Vec<u8> = Vec::new();
    let note = |keys: &mut Vec<String>| {
        for login in ["alice", "bob"] {
            keys.extend(installation.panel.further_keys(login));
            keys.push(user(&installation, login).api_key);
        }
    };
    for (token, line) in [
        (&own, format!("POST {GENERATE}.json")),
        (&own, "GET /profile.json".to_owned()),
        (&root, "POST /users/2/user_api_keys/generate.xml".to_owned()),
        (&root, "POST /users/2/make_new_api_key.json".to_owned()),
        (&root, "GET /users/2.json".to_owned()),
        (&token, "GET /users/1.xml".to_owned()),
    ] {
        let answer = server.ask(token, &line, "").await;
        assert_eq!(answer.status, 200, "{line}: {answer:?}");
        shown.extend(format!("{:?}", answer.headers).into_bytes());
        shown.extend(answer.body);
        note(&mut keys);
    }
    let rotated = installation.run(&["credential", "rotate-key", "alice"], "");
    note(&mut keys);
    assert_eq!(rotated.code, Some(0), "{rotated:?}");
    shown.extend((rotated.out + &rotated.err).into_bytes());
    shown.extend(admin_at(server.admin, "/metrics").await.into_bytes());
    for line in ["credential rotations", "credential pending", "credential list", "audit export"] {
        let ran = installation.run(&line.split(' ').collect::<Vec<_>>(), "").good();
        shown.extend(ran.into_bytes());
    }
    let ended = server.terminate();
    shown.extend((ended.out + &ended.err).into_bytes());
    for name in ["tollgate.db", "tollgate.db-wal", "access.log"] {
        shown.extend(std::fs::read(installation.path(name)).unwrap_or_default());
    }
    assert_eq!(ends(&installation).len(), 2);
    keys.sort();
    keys.dedup();
    assert!(keys.len() > 6, "{}", keys.len());
    for key in keys {
        let found = shown.windows(key.len()).any(|bytes| bytes == key.as_bytes());
        assert!(!found, "a key is shown");
    }
}
