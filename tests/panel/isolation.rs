//! What one tenant was shown is never shown to another: every read of the panel, both formats.

use super::{House, house::basic};
use crate::harness::Speaks;

/// The reads of the panel; `{…}` stands for something of alice's.
const READS: [&str; 35] = [
    "/version",
    "/profile",
    "/virtual_machines",
    "/virtual_machines/status",
    "/virtual_machines/{machine}",
    "/virtual_machines/{identifier}",
    "/virtual_machines/{machine}/disks",
    "/virtual_machines/{machine}/ip_addresses",
    "/virtual_machines/{machine}/network_interfaces",
    "/virtual_machines/{machine}/backups",
    "/virtual_machines/{machine}/firewall_rules",
    "/virtual_machines/{machine}/transactions",
    "/virtual_machines/{machine}/logs",
    "/settings/disks",
    "/settings/disks/{disk}",
    "/backups/{backup}",
    "/users",
    "/users/{user}",
    "/users/{user}/virtual_machines",
    "/users/{user}/payments",
    "/users/{user}/ssh_keys",
    "/settings/ssh_keys",
    "/transactions",
    "/logs",
    "/templates",
    "/templates/1",
    "/roles",
    "/roles/1",
    "/settings/networks",
    "/settings/networks/1",
    "/settings/hypervisors",
    "/hypervisor_zones",
    "/settings/hypervisor_zones/1",
    "/settings/data_stores",
    "/settings/data_stores/1",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_read_shows_each_tenant_its_own_answer() {
    let house = House::new().await;
    let routes: Vec<String> = filled(&house).await;
    for target in routes.iter().flat_map(|r| [format!("{r}.json"), format!("{r}.xml")]) {
        // Alice fills, Bob must not be answered from it, and the other way round.
        for (who, repeated) in [("alice", false), ("bob", false), ("alice", true), ("bob", true)] {
            let shown = house.get(who, &target).await;
            let own = house.direct(who, &target).await;
            let key = house.user(who).api_key;
            let own_body = own.text().replace(&key, "********");
            assert_eq!((shown.status, shown.text()), (own.status, &*own_body), "{who} {target}");
            assert_eq!(shown.header("content-type"), own.header("content-type"), "{target}");
            let expected = match (own.status, repeated) {
                (200 | 404, true) => "hit",
                (200 | 404, false) => "miss",
                _ => "miss:status",
            };
            assert_eq!(shown.cache(), expected, "{who} {target}");
        }
    }
    let (alice, bob) = (house.user("alice"), house.user("bob"));
    for (who, other) in [("alice", &bob), ("bob", &alice)] {
        let profile = house.get(who, "/profile.json").await;
        assert!(!profile.text().contains(&other.email), "{}", profile.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_of_the_first_caller_choose_nothing_for_the_next() {
    let house = House::new().await;
    let mut odd = house.request("alice", "GET /virtual_machines.json", "");
    let other = house.tenant("bob");
    for (name, value) in [
        ("cookie", "_session_id=whatever".to_owned()),
        ("x-forwarded-host", "evil.example".to_owned()),
        ("accept-language", "de".to_owned()),
        ("accept-encoding", "gzip".to_owned()),
        ("range", "bytes=0-9".to_owned()),
        ("x-http-method-override", "GET".to_owned()),
        ("proxy-authorization", basic(&other.upstream_login, &other.upstream_key)),
    ] {
        odd.headers_mut().insert(name, value.parse().expect("a value"));
    }
    let first = house.send(Speaks::Http1, odd).await;
    assert_eq!((first.status, first.cache().as_str()), (200, "miss"));
    assert_eq!(house.same("alice", "/virtual_machines.json").await, "hit");
    let seen = &house.panel().seen()[0];
    assert_eq!(seen.user.as_deref(), Some("alice"));
    for name in ["cookie", "x-forwarded-host", "range", "x-http-method-override"] {
        assert!(!seen.headers.contains_key(name), "{name} went upstream: {seen:?}");
    }
    assert!(!seen.headers.contains_key("proxy-authorization"));
    assert_eq!(seen.headers["accept-encoding"], "identity");
}

/// The reads of the panel as alice asks for them, without a suffix.
pub async fn filled(house: &House) -> Vec<String> {
    let machine = &house.machines("alice")[0];
    let below = |what: &str| format!("/virtual_machines/{}/{what}.json", machine.id);
    let disks = house.direct("alice", &below("disks")).await;
    let backups = house.direct("alice", &below("backups")).await;
    let first = |answer: crate::harness::Answer, name: &str| {
        let list: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
        list[0][name]["id"].as_u64().expect("a number").to_string()
    };
    let (disk, backup) = (first(disks, "disk"), first(backups, "backup"));
    let replace = |route: &str| {
        route
            .replace("{machine}", &machine.id.to_string())
            .replace("{identifier}", &machine.identifier)
            .replace("{user}", &house.user("alice").id.to_string())
            .replace("{disk}", &disk)
            .replace("{backup}", &backup)
    };
    READS.iter().map(|route| replace(route)).collect()
}
