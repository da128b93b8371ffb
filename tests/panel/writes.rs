//! Writes: what they make shows at once, whatever became of the client that asked for it.

use std::time::Duration;

use tollgate::demo::simulator::Stage;

use super::House;
use crate::harness::{until, within};

const LIST: &str = "/virtual_machines.json";
const NEW: &str = r#"{"virtual_machine":{"label":"new","hostname":"new.example","template_id":1,"memory":512,"cpus":1,"primary_disk_size":5}}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_created_is_listed_at_once_and_what_is_deleted_is_gone() {
    let house = House::new().await;
    for target in [LIST, "/virtual_machines.xml", "/transactions.json", "/profile.json"] {
        house.get("alice", target).await;
    }
    let created = house.ask("alice", "POST /virtual_machines.json", NEW).await;
    assert_eq!(created.status, 201, "{created:?}");
    let made: serde_json::Value = serde_json::from_slice(&created.body).expect("JSON");
    let machine = &made["virtual_machine"];
    let identifier = machine["identifier"].as_str().expect("an identifier");
    let location = format!("{}/virtual_machines/{identifier}", house.card().url);
    assert_eq!(created.header("location"), location);
    assert!(listed(&house, identifier).await);
    house.same("alice", "/virtual_machines.xml").await;
    house.same("alice", "/transactions.json").await;

    let item = format!("/virtual_machines/{}.json", machine["id"]);
    assert_eq!(house.get("alice", &item).await.status, 200);
    let deleted = house.ask("alice", &format!("DELETE {item}"), "").await;
    assert_eq!((deleted.status, deleted.body.len()), (204, 0));
    assert!(!listed(&house, identifier).await);
    assert_eq!(house.get("alice", &item).await.status, 404);
    house.same("alice", "/virtual_machines.xml").await;
    house.same("alice", "/transactions.json?per_page=100").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_write_did_not_change_is_confirmed_by_the_panel() {
    let house = House::new().await;
    let confirmed = r#"tollgate_cache_revalidations_total{outcome="not_modified"}"#;
    for (n, target) in [LIST, "/virtual_machines.xml"].into_iter().enumerate() {
        house.get("alice", target).await;
        let gone = house.ask("alice", "DELETE /virtual_machines/99999.json", "").await;
        assert_eq!(gone.status, 404, "{gone:?}");
        assert_eq!(house.same("alice", target).await, "miss");
        assert_eq!(house.metric(confirmed).await, n as f64 + 1.0);
        assert_eq!(house.same("alice", target).await, "hit");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_whose_client_is_killed_is_applied_once_and_no_read_is_from_before_it() {
    for stage in [Stage::BeforeAction, Stage::BeforeReply] {
        let house = House::new().await;
        house.get("alice", LIST).await;
        assert_eq!(house.same("alice", LIST).await, "hit");
        let machines = house.machines("alice").len();
        let gate = house.panel().hold("POST /virtual_machines", stage, 1);

        let mut client = house.raw().await;
        let head = format!(
            "POST /virtual_machines.json HTTP/1.1\r\nHost: localhost\r\nAuthorization: {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{NEW}",
            house.authorization("alice"),
            NEW.len()
        );
        assert!(client.send(head).await);
        gate.arrived().await.expect("the write upstream");
        client.abort();
        // While nobody knows, a read shows what the panel has now, and is kept for a moment
        // at most.
        let read = house.same("alice", LIST).await;
        assert!(read.starts_with("miss"), "{stage:?}: {read}");
        gate.release();
        until("the new machine", || house.machines("alice").len() == machines + 1).await;
        within("the end of the write", async {
            let ended = r#"tollgate_cache_invalidations_total{cause="write_ended"}"#;
            while house.metric(ended).await < 1.0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        let shown = house.json("alice", LIST).await;
        assert_eq!(shown.as_array().map(Vec::len), Some(machines + 1), "{stage:?}");
        house.same("alice", LIST).await;
        assert_eq!(house.panel().count("POST", "/virtual_machines"), 1, "{stage:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_whose_body_never_comes_whole_is_not_applied() {
    let house = House::new().await;
    let machines = house.machines("alice").len();
    let mut client = house.raw().await;
    let head = format!(
        "POST /virtual_machines.json HTTP/1.1\r\nHost: localhost\r\nAuthorization: {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{{\"virtual_",
        house.authorization("alice"),
        NEW.len()
    );
    assert!(client.send(head).await);
    client.abort();
    house.same("alice", LIST).await;
    assert_eq!(house.machines("alice").len(), machines);
    let seen = house.panel().seen();
    assert!(seen.iter().all(|s| s.method != "POST" || !s.complete), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_disks_and_addresses_change_what_shows_them() {
    let house = House::new().await;
    let machine = house.machines("alice")[0].id;
    let user = house.user("alice").id;
    let key = r#"{"ssh_key":{"key":"ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQC8 test@here"}}"#;
    let disk = r#"{"disk":{"disk_size":3,"data_store_id":1}}"#;
    let of_machine = |what: &str| format!("/virtual_machines/{machine}/{what}.json");
    let item = format!("/virtual_machines/{machine}.json");
    let (disks, addresses) = (of_machine("disks"), of_machine("ip_addresses"));
    let keys = format!("/users/{user}/ssh_keys.json");
    for (write, body, reads) in [
        (format!("POST {keys}"), key, vec![&keys]),
        (format!("POST {addresses}"), "{}", vec![&addresses, &item]),
        (format!("POST {disks}"), disk, vec![&disks, &item]),
    ] {
        for target in reads.iter().chain([&&item]) {
            house.get("alice", target).await;
        }
        let made = house.ask("alice", &write, body).await;
        assert_eq!(made.status, 201, "{write}: {made:?}");
        for target in reads {
            house.same("alice", target).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_that_rails_would_run_as_a_delete_is_judged_as_one() {
    let house = House::new().await;
    let machine = &house.machines("alice")[0];
    house.get("alice", LIST).await;
    let line = format!("POST /virtual_machines/{}.json", machine.id);
    let mut request = house.request("alice", &line, "_method=delete");
    let form = "application/x-www-form-urlencoded".parse().expect("a value");
    request.headers_mut().insert("content-type", form);
    let answer = house.send(crate::harness::Speaks::Http1, request).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    assert!(!listed(&house, &machine.identifier).await);
}

async fn listed(house: &House, identifier: &str) -> bool {
    let list = house.json("alice", LIST).await;
    let machines = list.as_array().expect("a list");
    machines.iter().any(|m| m["virtual_machine"]["identifier"] == identifier)
}
