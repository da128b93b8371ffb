//! `tollgate explain`, the route of the admin listener that it asks, and the header for callers.

use std::time::Duration;

use serde_json::{Value, json};
use tollgate::demo::simulator::Options;

use super::{
    Installation,
    purge::{Place, keep},
};
use crate::{
    harness::{Answer, sum_of, within},
    panel::admin_at,
};

const LIST: &str = "/virtual_machines.json";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hit_and_a_miss_are_told_apart_and_by_whom() {
    let place = Place::new().await;
    let alice = place.installation.tenant("alice");
    let server = place.serve();
    let miss = explained(&place, &server.get(&alice, LIST).await);
    assert_eq!(miss["cache"], "tollgate; fwd=miss; stored");
    assert_eq!((&miss["method"], &miss["path"]), (&json!("GET"), &json!(LIST)));
    assert_eq!((&miss["status"], &miss["format"]), (&json!(200), &json!("json")));
    assert_eq!(miss["caller"]["tenant"], "alice");
    assert_eq!(miss["caller"]["credential"], "alice");
    assert_eq!(miss["caller"]["upstream"], "main");
    assert_eq!(miss["route"], json!({"template": "/virtual_machines", "class": "inventory"}));
    assert_eq!(miss["cause"], Value::Null);
    let hit = explained(&place, &server.get(&alice, LIST).await);
    assert_eq!((&hit["cache"], &hit["key"]), (&json!("tollgate; hit"), &miss["key"]));
    let xml = explained(&place, &server.get(&alice, "/virtual_machines.xml").await);
    assert_ne!(xml["key"], hit["key"]);
    let text = place.run(&["explain", hit["request_id"].as_str().expect("an id")]).good();
    assert!(text.contains("of tenant alice, for credential alice of main"), "{text}");
    assert!(!text.contains(&alice), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_miss_after_a_write_names_the_write() {
    let place = Place::new().await;
    let alice = place.installation.tenant("alice");
    let server = place.serve();
    let item = format!("/virtual_machines/{}.json", machine(&place.installation, 0));
    keep(&server, &alice, LIST).await;
    let refused = r#"{"virtual_machine":{"label":""}}"#;
    let write = server.ask(&alice, &format!("PUT {item}"), refused).await;
    assert_eq!(write.status, 422);
    let miss = explained(&place, &server.get(&alice, LIST).await);
    assert_eq!(miss["cause"]["kind"], "request");
    assert_eq!(miss["cause"]["id"], write.header("x-request-id"));
    assert_eq!(miss["cause"]["request"]["method"], "PUT");
    assert_eq!(miss["cause"]["request"]["path"], item.as_str());
    assert_eq!(miss["cause"]["request"]["status"], 422);
    place.run(&["purge", "--all"]).good();
    let purged = explained(&place, &server.get(&alice, LIST).await);
    assert_eq!(purged["cause"]["kind"], "purge");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_miss_after_a_transaction_names_the_transaction() {
    // Longer than it takes until the transactions are looked at for the first time.
    let job_duration = Duration::from_millis(1200);
    let place = Place::with(Options { job_duration, ..Options::default() }).await;
    let alice = place.installation.tenant("alice");
    let server = place.serve();
    keep(&server, &alice, LIST).await;
    let machine = machine(&place.installation, 1);
    let startup = format!("POST /virtual_machines/{machine}/startup.json");
    let started = server.ask(&alice, &startup, "").await;
    assert_eq!(started.status, 201);
    let while_open = explained(&place, &server.get(&alice, LIST).await);
    assert_eq!(while_open["cause"]["kind"], "request", "{while_open}");
    assert_eq!(while_open["cause"]["id"], started.header("x-request-id"));
    // No read in between: the first one after the end is the one that is explained.
    let settled = r#"tollgate_unsettled_ends_total{outcome="seen"}"#;
    within("the end of the transaction", async {
        while sum_of(&admin_at(server.admin, "/metrics").await, settled) < 1.0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let answer = server.get(&alice, LIST).await;
    assert!(!answer.text().contains(r#""locked":true"#));
    let explained = explained(&place, &answer);
    // The entry from before is outdated, or has gone by now: it was to be kept for a second.
    let after = [&explained["cause"], &explained["changed"]].into_iter().find(|c| !c.is_null());
    let after = after.expect("a cause");
    assert_eq!(after["kind"], "transaction", "{explained}");
    let transactions = server.get(&alice, "/transactions.json?per_page=1").await;
    let newest: Value = serde_json::from_slice(&transactions.body).expect("JSON");
    let number = newest[0]["transaction"]["id"].to_string();
    assert_eq!(after["id"], number.as_str());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_explained_too() {
    let place = Place::new().await;
    place.installation.tenant("alice");
    let server = place.serve();
    let refused = explained(&place, &server.get("nobody", LIST).await);
    assert_eq!((&refused["status"], &refused["caller"]), (&json!(401), &Value::Null));
    assert_eq!(refused["rejection"], "invalid_token");
    for (id, why) in [("0123456789abcdef", "not remembered"), ("x", "16 hexadecimal digits")] {
        let refused = place.run(&["explain", id]);
        assert_eq!((refused.code, &*refused.out), (Some(65), ""), "{refused:?}");
        assert!(refused.err.contains(why), "{refused:?}");
    }
    let stranger = place.run_as("another-token-of-at-least-32-characters", &["explain", "x"]);
    assert_eq!(stranger.code, Some(77), "{stranger:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_says_what_would_be_and_does_nothing() {
    let place = Place::new().await;
    let alice = place.installation.tenant("alice");
    let id = place.installation.json("token list", "")[0]["id"].as_str().expect("an id").to_owned();
    let server = place.serve();
    let run = |method: &str, path: &str| {
        place.installation.json(&format!("explain --dry-run {method} {path} --token-id {id}"), "")
    };
    assert_eq!(run("GET", LIST)["cache"], "miss: there is no entry");
    assert_eq!(server.get(&alice, LIST).await.cache(), "miss", "a dry run has filled the cache");
    let hit = run("GET", LIST);
    assert_eq!((&hit["cache"], &hit["entry"]["current"]), (&json!("hit"), &json!(true)));
    assert_eq!(hit["key"], explained(&place, &server.get(&alice, LIST).await)["key"]);
    place.run(&["purge", "--family", "vms"]).good();
    let outdated = run("GET", LIST);
    assert_eq!(outdated["cache"], "miss: the entry is outdated");
    assert_eq!(outdated["cause"]["kind"], "purge");
    assert_eq!(run("POST", "/users/1/make_new_api_key.json")["rejection"], "guarded_route");
    assert_eq!(run("GET", "/a/../b")["rejection"], "bad_target");
    assert_eq!(run("DELETE", "/virtual_machines/1.json")["route"], Value::Null);
    let nobody = ["explain", "--dry-run", "GET", LIST, "--token-id", "nobody"];
    let nobody = place.run(&nobody);
    assert_eq!(nobody.code, Some(65), "{nobody:?}");
    assert!(nobody.err.contains("tollgate token list"), "{nobody:?}");
    for wrong in [&["explain"][..], &["explain", "--dry-run", "GET", LIST], &["explain", "a", "/b"]]
    {
        assert_eq!(place.run(wrong).code, Some(64), "{wrong:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_is_judged_by_what_may_come_to_be() {
    const ABSENT: &str = "/virtual_machines/999999.json";
    let place = Place::new().await;
    let alice = place.installation.tenant("alice");
    let id = place.installation.json("token list", "")[0]["id"].as_str().expect("an id").to_owned();
    let server = place.serve();
    let dry =
        || place.installation.json(&format!("explain --dry-run GET {ABSENT} --token-id {id}"), "");
    let miss = server.get(&alice, ABSENT).await;
    assert_eq!((miss.status, &*miss.cache()), (404, "miss"));
    let hit = dry();
    assert_eq!((&hit["cache"], &hit["entry"]["current"]), (&json!("hit"), &json!(true)));
    assert_eq!(server.get(&alice, ABSENT).await.cache(), "hit");
    // A write to another, which a 200 would not mind.
    let other = format!("PUT /virtual_machines/{}.json", machine(&place.installation, 0));
    let write = server.ask(&alice, &other, r#"{"virtual_machine":{"label":""}}"#).await;
    assert_eq!(write.status, 422);
    let outdated = dry();
    assert_eq!(outdated["cache"], "miss: the entry is outdated");
    let miss = explained(&place, &server.get(&alice, ABSENT).await);
    for why in [&outdated, &miss] {
        assert_eq!(why["cause"]["id"], write.header("x-request-id"), "{why}");
    }
    assert_eq!(miss["cache"], "tollgate; fwd=miss; stored");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_is_told_why_if_it_may_know() {
    let place = Place::new().await;
    let alice = place.installation.tenant("alice");
    let create = "token create --tenant alice --credential alice --permit explain";
    let created = place.installation.json(create, "");
    let curious = created["token"].as_str().expect("a token").to_owned();
    let server = place.serve();
    assert_eq!(server.get(&alice, LIST).await.header("tollgate-explain"), "");
    let told = server.get(&curious, LIST).await.header("tollgate-explain").to_owned();
    assert!(told.starts_with("route=\"/virtual_machines\";class=inventory, format=json"), "{told}");
    place.run(&["purge", "--all"]).good();
    let told = server.get(&curious, LIST).await.header("tollgate-explain").to_owned();
    assert!(told.ends_with("cause=purge"), "{told}");
}

/// The number of a machine of alice's.
fn machine(installation: &Installation, nth: usize) -> u64 {
    let owner = installation.panel.user("alice").expect("a user").id;
    let machines = installation.panel.machines();
    machines.iter().filter(|m| m.user_id == owner).nth(nth).expect("a machine").id
}

/// What there is to say of the request that was answered so.
fn explained(place: &Place, answer: &Answer) -> Value {
    let id = answer.header("x-request-id");
    place.installation.json(&format!("explain {id}"), "")
}
