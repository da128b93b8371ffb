//! What a URL means: two names of one machine, odd ids, GETs with effects or bodies, pages.

use super::House;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_has_two_names_and_a_write_by_one_is_seen_by_both() {
    let house = House::new().await;
    let machine = &house.machines("alice")[0];
    let names = [machine.id.to_string(), machine.identifier.clone()];
    let targets = names.each_ref().map(|name| format!("/virtual_machines/{name}.json"));
    for (n, written) in targets.iter().enumerate() {
        for target in &targets {
            house.get("alice", target).await;
            assert_eq!(house.same("alice", target).await, "hit", "{target}");
        }
        let body = format!(r#"{{"virtual_machine":{{"label":"named-{n}"}}}}"#);
        assert_eq!(house.ask("alice", &format!("PUT {written}"), &body).await.status, 204);
        for target in &targets {
            assert_eq!(house.same("alice", target).await, "miss", "{target}");
            let shown = house.json("alice", target).await;
            assert_eq!(shown["virtual_machine"]["label"], format!("named-{n}"), "{target}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_rails_tolerates_in_an_id_is_passed_on_and_never_kept() {
    let house = House::new().await;
    let id = house.machines("alice")[0].id;
    for odd in [format!("0{id}"), format!("{id}-foo"), format!("{id}abc"), format!("+{id}")] {
        let target = format!("/virtual_machines/{odd}.json");
        for _ in 0..2 {
            assert_eq!(house.same("alice", &target).await, "write", "{target}");
        }
    }
    let aliases = ["//virtual_machines/{}.json", "/virtual_machines/{}.json?"];
    house.get("alice", &format!("/virtual_machines/{id}.json")).await;
    for alias in aliases {
        let target = alias.replace("{}", &id.to_string());
        assert_eq!(house.get("alice", &target).await.cache(), "hit", "{target}");
    }
    let coded: String = id.to_string().bytes().map(|b| format!("%{b:02x}")).collect();
    let target = format!("/virtual_machines/{coded}.json");
    assert_eq!(house.same("alice", &target).await, "hit", "{target}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_with_an_effect_is_a_write() {
    let house = House::new().await;
    let machine = house.machines("alice")[0].id;
    let list = format!("/virtual_machines/{machine}.json");
    house.get("alice", &list).await;
    let console = format!("/virtual_machines/{machine}/console.json");
    let keys = [house.get("alice", &console).await, house.get("alice", &console).await];
    assert!(keys.iter().all(|k| k.status == 200 && k.cache() == "write"), "{keys:?}");
    assert_ne!(keys[0].body, keys[1].body, "a console was kept");
    assert_eq!(house.same("alice", &list).await, "miss", "an effect has to be seen");

    let rules = format!("/virtual_machines/{machine}/firewall_rules");
    let rule = r#"{"firewall_rule":{"address":"10.0.0.0/8","command":"DROP","port":"80","protocol":"TCP"}}"#;
    assert_eq!(house.ask("alice", &format!("POST {rules}.json"), rule).await.status, 201);
    let shown = house.direct("alice", &format!("{rules}.json")).await;
    let shown: serde_json::Value = serde_json::from_slice(&shown.body).expect("JSON");
    let first = &shown[0]["firewall_rule"]["id"];
    house.get("alice", &format!("{rules}.json")).await;
    let moved = house.get("alice", &format!("{rules}/{first}/move.json?position=2")).await;
    assert!(moved.status < 300, "{moved:?}");
    house.same("alice", &format!("{rules}.json")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_get_with_a_body_is_never_answered_from_memory() {
    let house = House::new().await;
    for n in 0..3 {
        let machine = house.machines("alice")[n % 2].id;
        let line = format!("POST /virtual_machines/{machine}/unlock.json");
        assert_eq!(house.ask("alice", &line, "").await.status, 201);
        house.ask("alice", &format!("POST /virtual_machines/{machine}/reboot.json"), "").await;
    }
    let page = |n: u32| format!(r#"{{"page":{n},"per_page":1}}"#);
    let first = house.ask("alice", "GET /transactions.json?", &page(1)).await;
    let second = house.ask("alice", "GET /transactions.json?", &page(2)).await;
    assert_eq!([first.cache(), second.cache()], ["bypass:request-body", "bypass:request-body"]);
    assert_ne!(first.body, second.body, "pages are not told apart");
    assert_eq!(first.header("x-limit"), "1", "{first:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_of_null_is_none() {
    let house = House::new().await;
    let plain = house.get("alice", "/virtual_machines.json").await;
    let null = house.ask("alice", "GET /virtual_machines.json", "null").await;
    assert_eq!((null.cache().as_str(), null.body), ("hit", plain.body));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suffix_in_the_middle_keeps_its_place() {
    let house = House::new().await;
    let machine = house.machines("alice")[0].id;
    for _ in 0..3 {
        house.ask("alice", &format!("POST /virtual_machines/{machine}/reboot.json"), "").await;
    }
    house.panel().settle_all();
    house.panel().clear_seen();
    for target in [
        "/transactions.json/page/1",
        "/transactions.json/page/2/per_page/1",
        "/transactions.xml/per_page/2",
        "/transactions.json?page=2&per_page=1",
    ] {
        house.same("alice", target).await;
        let seen = house.panel().seen();
        assert_eq!(seen.last().expect("one").target, target);
    }
    let first = house.get("alice", "/transactions.json/page/1/per_page/1").await;
    let second = house.get("alice", "/transactions.json/page/2/per_page/1").await;
    assert_ne!(first.body, second.body);
}
