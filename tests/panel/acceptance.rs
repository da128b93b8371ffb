//! What the demo is for: reads from memory that no write makes stale.

use std::time::Duration;

use super::House;
use crate::harness::{Speaks, within};

const LIST: &str = "/virtual_machines.json";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_miss_then_a_hit_in_each_format_byte_for_byte() {
    let house = House::new().await;
    for target in [LIST, "/virtual_machines.xml"] {
        assert_eq!(house.same("alice", target).await, "miss", "{target}");
        assert_eq!(house.same("alice", target).await, "hit", "{target}");
    }
    assert_eq!(house.metric(r#"tollgate_cache_lookups_total{outcome="hit"}"#).await, 2.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_protocols_are_answered_alike_from_one_entry() {
    let house = House::new().await;
    let ask = |speaks| house.send(speaks, house.request("alice", "GET /virtual_machines.json", ""));
    let first = ask(Speaks::Http2).await;
    assert_eq!(first.cache(), "miss");
    for speaks in [Speaks::Http1, Speaks::Http2, Speaks::NoAlpn] {
        let next = ask(speaks).await;
        assert_eq!((next.cache().as_str(), &next.body), ("hit", &first.body), "{speaks:?}");
        assert_eq!(next.header("etag"), first.header("etag"), "{speaks:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_fails_is_seen_by_the_next_read() {
    let house = House::new().await;
    let machine = house.machines("alice")[0].id;
    let item = format!("/virtual_machines/{machine}.json");
    let before = updated_at(&house, &item).await;
    for target in [LIST, &item] {
        house.get("alice", target).await;
        assert_eq!(house.same("alice", target).await, "hit", "{target}");
    }
    let body = r#"{"virtual_machine":{"label":""}}"#;
    let refused = house.ask("alice", &format!("PUT {item}"), body).await;
    assert_eq!(refused.status, 422);
    assert_eq!(refused.text(), r#"{"errors":{"label":["can't be blank"]}}"#);
    assert!(updated_at(&house, &item).await > before, "updated_at has not moved");
    for target in [LIST, &item, "/virtual_machines.xml"] {
        assert!(house.same("alice", target).await.starts_with("miss") || target == item);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_startup_shows_on_the_first_read_after_its_transaction() {
    let house =
        House::with(|options| options.panel.job_duration = Duration::from_millis(400)).await;
    let machine = house.machines("alice")[1].id;
    let item = format!("/virtual_machines/{machine}.json");
    house.get("alice", LIST).await;
    assert_eq!(house.json("alice", &item).await["virtual_machine"]["booted"], false);

    let startup = format!("POST /virtual_machines/{machine}/startup.json");
    assert_eq!(house.ask("alice", &startup, "").await.status, 201);
    assert_eq!(house.json("alice", &item).await["virtual_machine"]["locked"], true);
    within("the end of the transaction", async {
        while house.direct("alice", &item).await.text().contains(r#""locked":true"#) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let shown = &house.json("alice", &item).await["virtual_machine"];
    assert_eq!((&shown["booted"], &shown["locked"]), (&true.into(), &false.into()));
    house.same("alice", LIST).await;
    house.same("alice", "/transactions.json").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_of_ours_saves_the_body() {
    let house = House::new().await;
    let first = house.get("alice", LIST).await;
    let mut request = house.request("alice", "GET /virtual_machines.json", "");
    let tag = first.headers["etag"].clone();
    assert!(!tag.as_bytes().starts_with(b"W/"), "{tag:?} is weak");
    request.headers_mut().insert("if-none-match", tag);
    let again = house.send(Speaks::Http1, request).await;
    assert_eq!((again.status, again.body.len()), (304, 0));
    assert_eq!(again.cache(), "hit");
    let head = house.ask("alice", &format!("HEAD {LIST}"), "").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), first.body.len().to_string());
}

async fn updated_at(house: &House, item: &str) -> String {
    let shown = house.json("alice", item).await;
    shown["virtual_machine"]["updated_at"].as_str().expect("a time").to_owned()
}
