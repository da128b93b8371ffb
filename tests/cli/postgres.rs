//! A store in PostgreSQL: what one process changes, all see; and while it is away, they serve.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{Installation, installation::Server};
use crate::{
    harness::{Postgres, sum_of},
    panel::admin_at,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_revoked_through_one_is_refused_by_the_other_within_a_second() {
    let postgres = Postgres::start();
    let installation = Installation::on(&postgres.url()).await;
    let kept = installation.tenant("alice");
    let servers = [installation.serve(), installation.serve()];
    let mut slowest = Duration::ZERO;
    for _ in 0..5 {
        let token = installation.token("alice");
        let id = id_of(&installation, &token);
        for server in &servers {
            server.answers(&token, 200, "").await;
        }
        installation.json(&format!("token revoke {id}"), "");
        let begun = Instant::now();
        for server in &servers {
            server.answers(&token, 401, "invalid_token").await;
        }
        slowest = slowest.max(begun.elapsed());
    }
    println!("refused by both at most {} ms after the revocation", slowest.as_millis());
    for server in servers {
        server.answers(&kept, 200, "").await;
        assert_eq!(server.terminate().code, Some(0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_store_is_away_nobody_notices() {
    let mut postgres = Postgres::start();
    let installation = Installation::on(&postgres.url()).await;
    let token = installation.tenant("alice");
    let server = installation.serve();
    server.answers(&token, 200, "").await;

    let (ended, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let load = tokio::spawn({
        let (door, token) = (server.door(), token.clone());
        let (ended, answered) = (Arc::clone(&ended), Arc::clone(&answered));
        async move {
            while !ended.load(Ordering::Relaxed) {
                for line in ["GET /virtual_machines.json", "PUT /virtual_machines/1.json"] {
                    let answer = door.ask(&token, line, "").await;
                    // The panel may refuse what is asked; Tollgate has no reason to.
                    assert_eq!(answer.code(), "", "{line}: {answer:?}");
                }
                answered.fetch_add(2, Ordering::Relaxed);
            }
        }
    });
    postgres.stop();
    let away = "the store cannot be read; what was read last stays in force";
    ready(&server, &format!("ok\n{away}\n")).await;
    assert_eq!(up(&server).await, 0.0);
    let refused = installation.run(&["token", "list"], "");
    assert_eq!(refused.code, Some(69), "{refused:?}");
    let during = answered.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(answered.load(Ordering::Relaxed) > during, "it serves on");

    postgres.resume();
    ready(&server, "ok").await;
    assert_eq!(up(&server).await, 1.0);
    // It has caught up.
    let id = id_of(&installation, &token);
    let other = installation.token("alice");
    server.answers(&other, 200, "").await;
    ended.store(true, Ordering::Relaxed);
    load.await.expect("no request failed");
    println!("{} requests while the store went and came", answered.load(Ordering::Relaxed));
    installation.json(&format!("token revoke {id}"), "");
    server.answers(&token, 401, "invalid_token").await;
    assert_eq!(server.terminate().code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_do_the_same_on_either_store() {
    let postgres = Postgres::start();
    let on_server = Installation::on(&postgres.url()).await;
    let in_file = Installation::new().await;
    let mut answers = Vec::new();
    for installation in [&on_server, &in_file] {
        installation.tenant("alice");
        installation.json("tenant set alice --reads 10/20 --writes 1/2 --default-format xml", "");
        installation.json("credential set alice --reach own --account alice", "");
        let create = "token create --tenant alice --credential alice --read-only --allow vms,disks \
                      --deny volatile --address 192.0.2.0/24 --permit explain --limit-status 403";
        let token = installation.json(create, "")["token"].as_str().expect("a token").to_owned();
        let id = id_of(installation, &token);
        installation.json(&format!("token rotate {id} --overlap 1h"), "");
        installation.json(&format!("token revoke {id}"), "");
        let twice = installation.run(&["tenant", "add", "alice"], "");
        let used = installation.run(&["tenant", "remove", "alice"], "");
        assert_eq!((twice.code, used.code), (Some(65), Some(65)));
        let lists = ["tenant list", "credential list", "token list"];
        answers.push(lists.map(|list| plain(installation.json(list, ""))));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0][2].as_array().map(Vec::len), Some(3), "{:?}", answers[0][2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_of_a_month_is_one_for_all_that_share_the_store() {
    let postgres = Postgres::start();
    let installation = Installation::on(&postgres.url()).await;
    installation.tenant("alice");
    let create = "token create --tenant alice --credential alice --monthly-writes 3";
    let token = installation.json(create, "")["token"].as_str().expect("a token").to_owned();
    let id = id_of(&installation, &token);
    let servers = [installation.serve(), installation.serve()];
    let write = async |server: &Server| {
        server.ask(&token, "PUT /virtual_machines/1.json", "").await.code().to_owned()
    };
    let counted = async |writes: i64| {
        let begun = Instant::now();
        while installation.json(&format!("token describe {id}"), "")["used"]["writes"] != writes {
            assert!(begun.elapsed() < Duration::from_secs(5), "not {writes} writes");
        }
        // Both have heard of it when each has written once more.
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert_eq!(
        (write(&servers[0]).await, write(&servers[1]).await),
        (String::new(), String::new())
    );
    counted(2).await;
    assert_eq!(write(&servers[0]).await, "");
    counted(3).await;
    assert_eq!(write(&servers[1]).await, "used_up");
    for server in servers {
        assert_eq!(server.terminate().code, Some(0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_servers_certificate_is_checked() {
    let postgres = Postgres::start();
    let installation = Installation::on(&postgres.tls_url("localhost")).await;
    installation.json("tenant add alice", "");
    let elsewhere = Installation::on(&postgres.tls_url("127.0.0.1")).await;
    let refused = elsewhere.run(&["tenant", "list"], "");
    assert_eq!(refused.code, Some(69), "{refused:?}");
    assert!(refused.err.contains("certificate"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_of_another_program_is_refused() {
    let postgres = Postgres::start();
    postgres.query("CREATE TABLE theirs (x integer)");
    let installation = Installation::on(&postgres.url()).await;
    let refused = installation.run(&["tenant", "list"], "");
    assert_eq!(refused.code, Some(78), "{refused:?}");
    assert!(refused.err.contains("not a store of Tollgate"), "{refused:?}");
}

fn id_of(installation: &Installation, token: &str) -> String {
    let listed = installation.json("token list", "");
    let ids = listed.as_array().expect("a list").iter().map(|shown| shown["id"].as_str());
    let mut own = ids.flatten().filter(|id| token.contains(id));
    own.next().expect("it is listed").to_owned()
}

/// Without what differs by chance.
fn plain(mut list: Value) -> Value {
    for shown in list.as_array_mut().expect("a list") {
        let shown = shown.as_object_mut().expect("an object");
        for by_chance in ["id", "created", "expires", "revoked", "key_id", "replaced_by"] {
            if let Some(value) = shown.get_mut(by_chance) {
                *value = Value::from(!value.is_null());
            }
        }
    }
    list
}

/// Waits until the server says so of itself.
async fn ready(server: &Server, want: &str) {
    let begun = Instant::now();
    loop {
        let said = admin_at(server.admin, "/readyz").await;
        if said == want {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(15), "{said:?} and not {want:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn up(server: &Server) -> f64 {
    sum_of(&admin_at(server.admin, "/metrics").await, "tollgate_store_up")
}
