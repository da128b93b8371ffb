//! Keys that are rotated while a server runs: by command, by the schedule, across crashes, by a client.

mod catch;
mod crash;
mod hand;
mod leases;
mod neighbors;
mod replace;
mod turns;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::task::JoinHandle;
use tollgate::demo::simulator::{Options, Stage, User};

use super::{Installation, Place, installation::Server};
use crate::{
    harness::Postgres,
    panel::{admin_at, basic, direct, request},
};

/// Waits that a test can wait for. While the old key drains, a server has to see the switch, for which it
/// looks every quarter of a second, and every request that it has sent before has to be answered: on a
/// busy machine that takes a while.
pub(super) const QUICK: &str = "
reply_timeout = \"3s\"
[rotation]
drain = \"3500ms\"
notice = \"1s\"
settle = \"4500ms\"
lease = \"2s\"
";

/// A client that goes on asking, and never hears that a credential is refused.
struct Load {
    ended: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Load {
    fn on(server: &Server, token: &str) -> Self {
        let (ended, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (door, token) = (server.door(), token.to_owned());
        let (ends, counts) = (Arc::clone(&ended), Arc::clone(&answered));
        let task = tokio::spawn(async move {
            let mut n = 0;
            while !ends.load(Ordering::Relaxed) {
                n += 1;
                let reads = format!("GET /version.json?n={n}");
                for line in [&*reads, "PUT /virtual_machines/1.json"] {
                    let answer = door.ask(&token, line, "").await;
                    assert_eq!(answer.code(), "", "{line}: {answer:?}");
                }
                counts.fetch_add(2, Ordering::Relaxed);
                // Others have work to do, too.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        Self { ended, answered, task }
    }

    async fn end(self) -> usize {
        self.ended.store(true, Ordering::Relaxed);
        self.task.await.expect("no request failed");
        self.answered.load(Ordering::Relaxed)
    }
}

async fn installation() -> Installation {
    Installation::with(Options::default(), QUICK).await
}

fn user(installation: &Installation, login: &str) -> User {
    installation.panel.user(login).expect("a user")
}

/// What the panel itself says to a key.
async fn status_of(installation: &Installation, email: &str, key: &str) -> u16 {
    let asked = request("GET /profile.json", &basic(email, key), "");
    direct(installation.panel.addr(), asked).await.status
}

/// The steps and notes of all rotations, the latest first.
fn ends(installation: &Installation) -> Vec<(String, Option<String>)> {
    let listed = installation.json("credential rotations", "");
    let end = |shown: &Value| {
        let note = shown["note"].as_str().map(str::to_owned);
        (shown["step"].as_str().expect("a step").to_owned(), note)
    };
    listed.as_array().expect("a list").iter().map(end).collect()
}

/// Waits until the latest rotation has ended.
async fn ended(installation: &Installation) -> (String, Option<String>) {
    let begun = Instant::now();
    loop {
        let latest = ends(installation).into_iter().next();
        if let Some(end) = latest.filter(|(step, _)| matches!(&**step, "done" | "undone" | "lost"))
        {
            return end;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "it does not end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn generation(installation: &Installation, credential: &str) -> i64 {
    let listed = installation.json("credential list", "");
    let mut all = listed.as_array().expect("a list").iter();
    let found = all.find(|shown| shown["name"] == credential).expect("it is listed");
    found["generation"].as_i64().expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_rotated_by_one_command_and_no_request_notices() {
    let installation = installation().await;
    let token = installation.tenant("alice");
    let before = user(&installation, "alice");
    let server = installation.serve();
    let load = Load::on(&server, &token);
    let text = installation.run(&["credential", "rotate-key", "alice"], "").good();
    let expected = "alice: minting\nalice: minted\nalice: probed\nalice: draining\n\
                    alice: removing\nalice: done\ncredential alice has a new key, generation 2\n";
    assert_eq!(text, expected);
    // The key of the profile cannot be deleted, so the panel was made to forget it.
    assert_eq!(status_of(&installation, &before.email, &before.api_key).await, 401);
    let [first] = &*installation.panel.further_keys("alice") else { panic!("one key") };
    // From now on the key is a further one, and such a one is deleted.
    let rotated = installation.json("credential rotate-key alice", "");
    assert_eq!((&rotated["generation"], &rotated["note"]), (&3.into(), &Value::Null), "{rotated}");
    let [second] = &*installation.panel.further_keys("alice") else { panic!("one key") };
    assert_ne!(first, second);
    assert_eq!(status_of(&installation, &before.email, first).await, 401);
    assert_eq!(status_of(&installation, &before.email, second).await, 200);
    server.answers(&token, 200, "").await;
    assert!(load.end().await > 0);
    assert_eq!(ends(&installation), [("done".to_owned(), None), ("done".to_owned(), None)]);
    let audited = installation.run(&["audit", "export"], "").good();
    for action in ["key.rotate", "credential.rotate", "key.rotated"] {
        assert!(audited.contains(action), "{action}: {audited}");
    }
    assert_eq!(server.terminate().code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_rotated_is_refused_and_stays_as_it_is() {
    let installation = installation().await;
    installation.tenant("alice");
    let User { password, .. } = user(&installation, "bob");
    let add = "credential add bob --upstream main --login bob --secret-stdin";
    installation.json(add, &password);
    let run = |line: &str| installation.run(&line.split(' ').collect::<Vec<_>>(), "");
    let refused = run("credential rotate-key bob");
    assert_eq!(refused.code, Some(65), "{refused:?}");
    assert!(refused.err.contains("only API keys"), "{refused:?}");
    assert_eq!(run("credential rotate-key nobody").code, Some(65));
    installation.panel.revoke("alice");
    let refused = run("credential rotate-key alice");
    assert_eq!(refused.code, Some(69), "{refused:?}");
    assert!(refused.err.contains("does not take the key"), "{refused:?}");
    assert_eq!(ends(&installation), [("undone".to_owned(), Some("old-key-refused".to_owned()))]);
    assert_eq!(generation(&installation, "alice"), 1);
    assert_eq!(installation.panel.count("POST", "/users"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_another_credential_has_is_not_removed() {
    let installation = installation().await;
    installation.tenant("alice");
    let User { email, api_key, .. } = user(&installation, "alice");
    let add = format!("credential add twin --upstream main --email {email} --secret-stdin");
    installation.json(&add, &api_key);
    let rotated = installation.json("credential rotate-key alice", "");
    assert_eq!(rotated["note"], "old-key-left", "{rotated}");
    assert_eq!(status_of(&installation, &email, &api_key).await, 200);
    installation.json("credential test twin", "");
    installation.json("credential test alice", "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_schedule_rotates_what_is_old() {
    let sections = format!("{QUICK}interval = \"1s\"\n");
    let installation = Installation::with(Options::default(), &sections).await;
    let token = installation.tenant("alice");
    let before = user(&installation, "alice");
    let server = installation.serve();
    let load = Load::on(&server, &token);
    let begun = Instant::now();
    while generation(&installation, "alice") < 3 {
        assert!(begun.elapsed() < Duration::from_secs(30), "nothing is rotated");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(status_of(&installation, &before.email, &before.api_key).await, 401);
    assert!(load.end().await > 0);
    let metrics = admin_at(server.admin, "/metrics").await;
    let done = crate::harness::sum_of(&metrics, "tollgate_key_rotations_total{outcome=\"done\"}");
    assert!(done >= 1.0, "{metrics}");
    let own = "tollgate_upstream_requests_total{cause=\"rotation\"}";
    assert!(crate::harness::sum_of(&metrics, own) > 0.0);
    assert_eq!(server.terminate().code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_servers_one_rotates() {
    let postgres = Postgres::start();
    let sections = format!("{QUICK}interval = \"30d\"\n");
    let installation = Installation::on_with(&postgres.url(), &sections).await;
    let token = installation.tenant("alice");
    let servers = [installation.serve(), installation.serve()];
    let loads = servers.each_ref().map(|server| Load::on(server, &token));
    // Older than any schedule; both servers look at it when they look next, which is at their start.
    postgres.query("UPDATE credentials SET created = 0");
    let more = [installation.serve(), installation.serve()];
    assert_eq!(ended(&installation).await, ("done".to_owned(), None));
    for load in loads {
        assert!(load.end().await > 0);
    }
    assert_eq!(installation.panel.count("POST", "/users/1/user_api_keys/generate"), 1);
    assert_eq!(installation.panel.further_keys("alice").len(), 1);
    assert_eq!(generation(&installation, "alice"), 2);
    for server in servers.into_iter().chain(more) {
        server.answers(&token, 200, "").await;
        assert_eq!(server.terminate().code, Some(0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_server_rotates_a_key_for_whoever_asks() {
    let place = Place::in_front_of(installation().await);
    let token = place.installation.tenant("alice");
    let before = user(&place.installation, "alice");
    let User { password, .. } = user(&place.installation, "bob");
    let add = "credential add bob --upstream main --login bob --secret-stdin";
    place.installation.json(add, &password);
    let server = place.serve();
    let load = Load::on(&server, &token);
    let run = |line: &str| place.run(&line.split(' ').collect::<Vec<_>>());
    let text = run("credential rotate-key alice").good();
    let end = "alice: done\ncredential alice has a new key, generation 2\n";
    assert!(text.ends_with(end), "{text}");
    assert_eq!(status_of(&place.installation, &before.email, &before.api_key).await, 401);
    let rotated = run("credential rotate-key alice --json").good();
    let rotated: Value = serde_json::from_str(&rotated).expect("JSON");
    let wanted = serde_json::json!({"credential": "alice", "generation": 3, "note": null});
    assert_eq!(rotated, wanted);
    for (line, code, why) in [
        ("credential rotate-key bob", 65, "only API keys"),
        ("credential rotate-key nobody", 65, "no credential"),
    ] {
        let refused = run(line);
        assert_eq!(refused.code, Some(code), "{refused:?}");
        assert!(refused.err.contains(why), "{refused:?}");
    }
    assert!(load.end().await > 0);
    place.installation.panel.revoke("alice");
    let refused = run("credential rotate-key alice");
    assert_eq!(refused.code, Some(69), "{refused:?}");
    assert!(refused.err.contains("does not take the key"), "{refused:?}");
    let log = run("audit export").good();
    let asked = log.lines().filter(|line| line.contains("\"key.rotate\""));
    assert_eq!(asked.filter(|line| line.contains("\"admin-token\"")).count(), 3, "{log}");
    assert_eq!(server.terminate().code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_does_not_wait_for_ever_for_a_rotation_that_does_not_move() {
    let place = Place::in_front_of(installation().await);
    place.installation.tenant("alice");
    let server = place.serve();
    let gate = place.installation.panel.hold("GET /profile", Stage::BeforeReply, 1);
    let args = ["credential", "rotate-key", "alice", "--wait", "1s"];
    let waited = place.run(&args);
    assert_eq!(waited.code, Some(75), "{waited:?}");
    for said in ["planned", "goes on", "`tollgate credential rotations`", "begins another"] {
        assert!(waited.err.contains(said), "{said}: {waited:?}");
    }
    gate.release();
    assert_eq!(ended(&place.installation).await, ("done".to_owned(), None));
    assert_eq!(server.terminate().code, Some(0));
}
