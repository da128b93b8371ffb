//! An upstream that breaks off, hangs, answers nonsense or no longer knows us.

use std::time::Duration;

use tollgate::demo::simulator::Fault;

use super::House;

const LIST: &str = "/virtual_machines.json";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_survives_one_broken_connection_and_is_refused_after_more() {
    let house = House::new().await;
    let reset = Fault::ResetBeforeHead { applied: false };
    house.get("alice", "/version.json").await;
    house.panel().fault(LIST, 1, reset.clone());
    assert_eq!(house.get("alice", LIST).await.status, 200, "a read may be sent again");
    house.panel().fault("/virtual_machines.xml", 10, reset);
    let answer = house.get("alice", "/virtual_machines.xml").await;
    assert_eq!((answer.status, answer.code()), (502, "upstream_broken"));
    house.panel().clear_rules();
    assert_eq!(house.same("alice", "/virtual_machines.xml").await, "miss");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panel_that_hangs_up_after_a_while_is_reported_as_such() {
    let house = House::with(|options| options.panel.hang = Duration::from_millis(200)).await;
    house.panel().fault(LIST, 10, Fault::Hang { applied: false });
    let answer = house.get("alice", LIST).await;
    assert_eq!((answer.status, answer.code()), (502, "upstream_broken"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_of_the_panel_is_passed_on_and_not_kept() {
    let house = House::new().await;
    for status in [500, 503, 422] {
        house.panel().fault(LIST, 1, Fault::Status { status, applied: false });
        let answer = house.get("alice", LIST).await;
        assert_eq!((answer.status, answer.code()), (status, ""), "it is the panel's own");
        assert_eq!(answer.cache(), "miss:status");
        assert_eq!(house.same("alice", LIST).await.split(':').next(), Some("miss"));
        let body = r#"{"virtual_machine":{"note":"x"}}"#;
        let machine = house.machines("alice")[0].id;
        house.ask("alice", &format!("PUT /virtual_machines/{machine}.json"), body).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_body_is_never_taken_for_a_whole_one() {
    let house = House::new().await;
    for fault in [Fault::TruncatedBody, Fault::TruncatedChunks, Fault::ResetInBody] {
        house.panel().fault(LIST, 10, fault.clone());
        let mut client = house.connect(crate::harness::Speaks::Http1).await;
        let request = house.request("alice", &format!("GET {LIST}"), "");
        if let Ok(answer) = client.send(request).await {
            assert!(!answer.whole || answer.status == 502, "{fault:?}: {answer:?}");
        }
        house.panel().clear_rules();
        assert_ne!(house.same("alice", LIST).await, "hit", "{fault:?}");
        let machine = house.machines("alice")[0].id;
        let body = r#"{"virtual_machine":{"note":"x"}}"#;
        house.ask("alice", &format!("PUT /virtual_machines/{machine}.json"), body).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_is_not_sent_again_when_nobody_knows_what_became_of_it() {
    let house = House::new().await;
    let machine = house.machines("alice")[0].id;
    let item = format!("/virtual_machines/{machine}.json");
    for applied in [true, false] {
        house.get("alice", &item).await;
        house.panel().clear_seen();
        house.panel().fault("PUT", 1, Fault::ResetBeforeHead { applied });
        house.panel().fault("PUT /", 1, Fault::ResetBeforeHead { applied });
        let body = format!(r#"{{"virtual_machine":{{"label":"lost-{applied}"}}}}"#);
        let answer = house.ask("alice", &format!("PUT {item}"), &body).await;
        assert_eq!((answer.status, answer.code()), (502, "upstream_broken"));
        assert_eq!(house.panel().count("PUT", "/"), 1);
        house.panel().clear_rules();
        assert_eq!(house.same("alice", &item).await, "miss", "it may yet be applied");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_credential_is_no_challenge_for_the_client_and_empties_its_cache() {
    let house = House::new().await;
    for who in ["alice", "bob"] {
        house.get(who, LIST).await;
        assert_eq!(house.same(who, LIST).await, "hit");
    }
    assert!(house.panel().revoke("alice"));
    let refused = house.get("alice", "/templates.json").await;
    assert_eq!((refused.status, refused.code()), (502, "credential_refused"));
    assert_eq!(refused.header("www-authenticate"), "");
    let list = house.get("alice", LIST).await;
    assert_eq!((list.status, list.code()), (502, "credential_refused"), "{list:?}");
    assert_eq!(house.same("bob", LIST).await, "hit", "it is no business of the others");
}
