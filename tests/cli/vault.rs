//! The vault: other keys while servers serve, other master keys, and credentials that are tested.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::Value;
use tollgate::demo::simulator::{Fault, Options};

use super::{
    Installation,
    installation::{SEEN_WITHIN, Server},
};
use crate::{
    harness::{Postgres, sum_of},
    panel::admin_at,
    program::{PATIENCE, Program, tollgate},
};

const LIST: &str = "/virtual_machines.json";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_disturbs_nobody_and_forgets_nothing() {
    let postgres = Postgres::start();
    for installation in [Installation::new().await, Installation::on(&postgres.url()).await] {
        let token = installation.tenant("alice");
        installation.tenant("bob");
        let server = installation.serve();
        let shown = server.get(&token, LIST).await.body;
        let before = vault_keys(&installation);
        assert_eq!((before.len(), &before[0]["used_by"]), (1, &2.into()), "{before:?}");

        let (ended, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let load = tokio::spawn({
            let (door, token) = (server.door(), token.clone());
            let (ended, answered) = (Arc::clone(&ended), Arc::clone(&answered));
            async move {
                while !ended.load(Ordering::Relaxed) {
                    let answer = door.ask(&token, "GET /version.json", "").await;
                    assert_eq!((answer.status, answer.code()), (200, ""), "{answer:?}");
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let edits = reloads(&server).await;
        let rotated = installation.json("vault rotate", "");
        assert_eq!((&rotated["resealed"], &rotated["discarded"]), (&2.into(), &1.into()));
        followed(&server, edits).await;
        let list = server.get(&token, LIST).await;
        assert_eq!((list.cache().as_str(), &list.body), ("hit", &shown));
        ended.store(true, Ordering::Relaxed);
        load.await.expect("no request failed");
        assert!(answered.load(Ordering::Relaxed) > 0);
        let after = vault_keys(&installation);
        assert_eq!((after.len(), &after[0]["id"]), (1, &rotated["key"]), "{after:?}");
        assert_ne!(after[0]["id"], before[0]["id"]);

        // What the server has opened is right: it fetches with it.
        let fetched = server.get(&token, "/settings/disks.json").await;
        assert_eq!((fetched.status, fetched.cache().as_str()), (200, "miss"));
        assert_eq!(server.terminate().code, Some(0));
        installation.json("credential test bob", "");
        let log = installation.run(&["audit", "export"], "").good();
        assert_eq!(log.matches("vault.rotate").count(), 1, "{log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_master_key_loses_nothing() {
    let postgres = Postgres::start();
    for installation in [Installation::new().await, Installation::on(&postgres.url()).await] {
        let token = installation.tenant("alice");
        let server = installation.serve();
        server.answers(&token, 200, "").await;
        let new = installation.path("new.key").display().to_string();
        installation.run(&["master-key", &new], "").good();
        let rewrapped = installation.json(&format!("vault rewrap --new-master-key-file {new}"), "");
        assert_eq!(rewrapped["keys"], 3);

        let refused = installation.run(&["token", "list"], "");
        assert_eq!((refused.code, &*refused.out), (Some(78), ""), "{refused:?}");
        assert!(refused.err.contains("another master key"), "{refused:?}");
        let refused = installation.run(&["serve"], "");
        assert_eq!(refused.code, Some(78), "{refused:?}");

        std::fs::rename(new, installation.path("master.key")).expect("in its place");
        let again = installation.path("master.key").display().to_string();
        let same = installation.run(&["vault", "rewrap", "--new-master-key-file", &again], "");
        assert_eq!(same.code, Some(65), "{same:?}");
        // The server that was there serves on, with the keys that it has.
        let other = installation.token("alice");
        server.answers(&other, 200, "").await;
        let edits = reloads(&server).await;
        installation.json("vault rotate", "");
        followed(&server, edits).await;
        server.answers(&token, 200, "").await;
        // And with the new one once it is told to read it.
        server.program.signal(rustix::process::Signal::HUP);
        let key = installation.panel.user("bob").expect("a user").api_key;
        let renew = "credential rotate alice --email bob@example.com --secret-stdin";
        installation.json(renew, &key);
        let begun = Instant::now();
        while !server.get(&token, "/profile.json").await.text().contains("bob@example.com") {
            assert!(begun.elapsed() < 3 * SEEN_WITHIN, "still alice");
        }
        assert_eq!(server.terminate().code, Some(0));
        let server = installation.serve();
        for token in [&token, &other] {
            server.answers(token, 200, "").await;
        }
        assert_eq!(server.terminate().code, Some(0));
        installation.json("credential test alice", "");
        let verified = installation.json("audit verify", "");
        assert_eq!(verified["signed_up_to"], verified["last"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_master_key_may_come_from_a_command() {
    let installation = Installation::new().await;
    let token = installation.tenant("alice");
    let path = installation.path("master.key").display().to_string();
    let by_file = format!("master_key_file = \"{path}\"");
    let text = std::fs::read_to_string(installation.path("tollgate.toml")).expect("a file");
    let configure = |keys: &str| installation.write("tollgate.toml", &text.replace(&by_file, keys));
    configure(&format!("master_key_command = [\"cat\", \"{path}\"]"));
    let server = installation.serve();
    server.answers(&token, 200, "").await;
    assert_eq!(server.terminate().code, Some(0));

    let locked = format!("cat {path}; echo locked >&2; exit 4");
    configure(&format!("master_key_command = [\"sh\", \"-c\", \"{locked}\"]"));
    let refused = installation.run(&["serve"], "");
    assert_eq!((refused.code, &*refused.out), (Some(78), ""), "{refused:?}");
    assert!(refused.err.contains("exit status: 4; it said: \"locked\""), "{refused:?}");
    let key = std::fs::read_to_string(&path).expect("a file");
    assert!(!refused.err.contains(key.trim()), "{refused:?}");

    configure("master_key_command = [\"sleep\", \"60\"]\nmaster_key_timeout = \"100ms\"");
    let refused = installation.run(&["tenant", "list"], "");
    assert_eq!(refused.code, Some(78), "{refused:?}");
    assert!(refused.err.contains("tenants.master_key_timeout"), "{refused:?}");

    configure(&format!("{by_file}\nmaster_key_command = [\"cat\", \"{path}\"]"));
    let refused = installation.run(&["check"], "");
    assert_eq!(refused.code, Some(78), "{refused:?}");
    assert!(refused.err.contains("master_key_file is given, too"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_upstream_does_not_take_is_not_stored() {
    let installation = Installation::with(Options::default(), "reply_timeout = \"300ms\"").await;
    let add = |name: &str, more: &[&str], secret: &str| {
        let line = ["credential", "add", name, "--upstream", "main", "--login", "bob"];
        installation.run(&[&line[..], &["--secret-stdin"], more].concat(), secret)
    };
    let password = installation.panel.user("bob").expect("a user").password;
    let refused = add("bob", &[], "planted-wrong-password");
    assert_eq!((refused.code, &*refused.out), (Some(69), ""), "{refused:?}");
    assert!(refused.err.contains("401") && refused.err.contains("nothing was stored"));
    assert!(!refused.err.contains("planted"), "{refused:?}");
    installation.panel.fault("/profile.json", 1, Fault::Hang { applied: false });
    let silent = add("bob", &[], &password);
    assert_eq!(silent.code, Some(69), "{silent:?}");
    assert!(silent.err.contains("--no-test") && silent.err.contains("does not answer"));
    installation.panel.fault("/profile.json", 1, Fault::EarlyStatus(503));
    let broken = add("bob", &[], &password);
    assert_eq!(broken.code, Some(69), "{broken:?}");
    assert!(broken.err.contains("answered 503"), "{broken:?}");
    assert_eq!(installation.json("credential list", ""), serde_json::json!([]));

    let asked = installation.panel.count("GET", "/profile.json");
    add("untested", &["--no-test"], "wrong").good();
    assert_eq!(installation.panel.count("GET", "/profile.json"), asked);
    add("bob", &[], &password).good();
    assert_eq!(installation.panel.count("GET", "/profile.json"), asked + 1);

    let rotate = ["credential", "rotate", "bob", "--login", "bob", "--secret-stdin"];
    let refused = installation.run(&rotate, "wrong");
    assert_eq!(refused.code, Some(69), "{refused:?}");
    let generation = || installation.json("credential list", "")[0]["generation"].clone();
    assert_eq!(generation(), 1);
    installation.json("credential test bob", "");
    installation.run(&rotate, &password).good();
    assert_eq!(generation(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_that_is_refused_is_seen_in_the_metrics() {
    let installation = Installation::new().await;
    let token = installation.tenant("alice");
    installation.tenant("bob");
    let server = installation.serve();
    let health = async |series: &str, name: &str| {
        let page = admin_at(server.admin, "/metrics").await;
        assert!(page.contains(&format!("{series}{{credential=\"{name}\"}} ")), "{page}");
        sum_of(&page, &format!("{series}{{credential=\"{name}\"}}"))
    };
    const LAST: &str = "tollgate_credential_rejected_timestamp_seconds";
    const COUNT: &str = "tollgate_credential_rejections_total";
    assert_eq!((health(LAST, "alice").await, health(COUNT, "alice").await), (0.0, 0.0));
    assert!(installation.panel.revoke("alice"));
    let refused = server.get(&token, LIST).await;
    assert_eq!((refused.status, refused.code()), (502, "credential_refused"), "{refused:?}");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after it");
    let ago = now.as_secs_f64() - health(LAST, "alice").await;
    assert!((0.0..60.0).contains(&ago), "{ago}");
    assert!(health(COUNT, "alice").await >= 1.0);
    assert_eq!((health(LAST, "bob").await, health(COUNT, "bob").await), (0.0, 0.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_process_with_keys_leaves_a_core() {
    let installation = Installation::new().await;
    let server = installation.serve();
    let mut demo = Program::start(tollgate(["demo", "--json"]), "");
    demo.line("card");
    for id in [server.program.id(), demo.id()] {
        let limits = std::fs::read_to_string(format!("/proc/{id}/limits")).expect("limits");
        let core = limits.lines().find(|line| line.starts_with("Max core file size"));
        let words: Vec<_> = core.expect("a line").split_whitespace().collect();
        assert_eq!(words[4..6], ["0", "0"], "{limits}");
        // Of a process that may be dumped they are its user's, who may then read its memory.
        let owner = std::fs::metadata(format!("/proc/{id}/environ")).expect("a file");
        assert_eq!(std::os::unix::fs::MetadataExt::uid(&owner), 0);
    }
    assert_eq!(server.terminate().code, Some(0));
    demo.signal(rustix::process::Signal::TERM);
    assert_eq!(demo.end_within(PATIENCE).code, Some(0));
}

/// The keys for credentials, as they are listed.
fn vault_keys(installation: &Installation) -> Vec<Value> {
    let keys = installation.json("vault status", "");
    let keys = keys.as_array().expect("a list").iter();
    keys.filter(|key| key["purpose"] == "vault").cloned().collect()
}

async fn reloads(server: &Server) -> f64 {
    let page = admin_at(server.admin, "/metrics").await;
    sum_of(&page, "tollgate_reloads_total{what=\"tenants\",outcome=\"ok\"}")
}

/// Waits until a server has read what was written last; a rotation writes three or four times, and
/// what is written at once may be read at once.
async fn followed(server: &Server, edits: f64) {
    let begun = Instant::now();
    while reloads(server).await == edits {
        assert!(begun.elapsed() < SEEN_WITHIN, "not seen");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // The rest follows within the interval of the poll.
    tokio::time::sleep(Duration::from_millis(600)).await;
}
