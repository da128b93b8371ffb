//! What a token's policies refuse, count, and only watch.

use std::time::Duration;

use tollgate::{
    policy::document::PolicyDocument,
    tenants::record::{LimitStatus, TokenTerms},
};

use crate::harness::{Speaks, World, json, status};

const VM: &str = "/virtual_machines/7.json";
const LIST: &str = "/virtual_machines.json";

/// A world with one more token, `bound`, under these policies.
async fn bound(policies: &str) -> World {
    let w = World::new().await;
    let policies: PolicyDocument = serde_json::from_str(policies).expect("policies");
    w.add_token("bound", "a", "a", &TokenTerms { policies, ..TokenTerms::default() });
    w
}

/// The machine in two names.
fn machine() -> crate::harness::Reply {
    json(r#"{"virtual_machine":{"id":7,"identifier":"abcdefghij1234"}}"#)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_methods_are_refused() {
    let w = bound(r#"{"methods":{"only":["GET","PUT"]}}"#).await;
    w.get(LIST).as_("bound").origin(json("[]")).expect_status(200).await;
    w.head(LIST).as_("bound").expect_status(200).await;
    w.put(VM).as_("bound").origin(status(204)).expect_status(204).await;
    w.delete(VM).as_("bound").expect_refusal(403, "refused_by_policy").await;
    // A form may stand for a method that it does not name.
    let form = "application/x-www-form-urlencoded";
    let hidden = w.post(VM).as_("bound").body(form, "_method=put&a=b");
    hidden.origin(status(204)).expect_status(204).await;
    let hidden = w.post(VM).as_("bound").body(form, "_method=delete");
    hidden.expect_refusal(403, "refused_by_policy").await;
    assert_eq!(
        w.metric("tollgate_policy_refusals_total{mode=\"enforce\",policy=\"methods\"}").await,
        2.0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_are_allowed_and_denied() {
    let w = bound(
        r#"{"paths":{"allow":["/virtual_machines/**"],"deny":["/virtual_machines/:id/disks"]}}"#,
    )
    .await;
    w.get(VM).as_("bound").origin(machine()).expect_status(200).await;
    w.get("/virtual_machines/7/disks.json")
        .as_("bound")
        .expect_refusal(403, "refused_by_policy")
        .await;
    // However it is spelled.
    w.get("/virtual_machines/7-x/disks")
        .as_("bound")
        .expect_refusal(403, "refused_by_policy")
        .await;
    w.get("/templates.json").as_("bound").expect_refusal(403, "refused_by_policy").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_one_machine_sees_nothing_else() {
    let w = bound(r#"{"resources":{"only":["/virtual_machines/7"]}}"#).await;
    w.get(VM).as_("bound").origin(machine()).expect_status(200).await;
    w.get("/virtual_machines/7/disks.json")
        .as_("bound")
        .origin(json("[]"))
        .expect_status(200)
        .await;
    // Its other name is known by now.
    w.get("/virtual_machines/abcdefghij1234.json")
        .as_("bound")
        .origin(machine())
        .expect_status(200)
        .await;
    for other in [
        LIST,
        "/virtual_machines/8.json",
        "/virtual_machines/7x.json",
        "/virtual_machines/zzzzdefghij123.json",
        "/profile.json",
    ] {
        w.get(other).as_("bound").expect_refusal(403, "refused_by_policy").await;
    }
    w.post(LIST)
        .as_("bound")
        .body("application/json", "{}")
        .expect_refusal(403, "refused_by_policy")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_protected_is_neither_removed_nor_rebuilt() {
    let w = bound(r#"{"protected":{"items":["/virtual_machines/7"]}}"#).await;
    let refused = async |method: &str, target: &str| {
        w.ask(method, target).as_("bound").expect_refusal(403, "refused_by_policy").await;
    };
    // Before its names are known nothing is risked;
    refused("DELETE", "/virtual_machines/abcdefghij1234.json").await;
    refused("DELETE", "/virtual_machines/7-any.json").await;
    refused("DELETE", VM).await;
    refused("DELETE", "/virtual_machines/7/disks/3.json").await;
    refused("POST", "/virtual_machines/7/build.json").await;
    refused("POST", "/virtual_machines/7/backups/3/restore.json").await;
    // Nobody says which machine these write over.
    refused("GET", "/snapshots/3/restore.json").await;
    refused("POST", "/backups/3/restore.json").await;
    // once they are, other machines are free.
    w.get(VM).as_("bound").origin(machine()).expect_status(200).await;
    refused("DELETE", "/virtual_machines/abcdefghij1234.json").await;
    let eight = json(r#"{"virtual_machine":{"id":8,"identifier":"zzzzdefghij123"}}"#);
    w.get("/virtual_machines/8.json").as_("bound").origin(eight).expect_status(200).await;
    w.delete("/virtual_machines/zzzzdefghij123.json")
        .as_("bound")
        .origin(status(204))
        .expect_status(204)
        .await;
    w.put(VM).as_("bound").origin(status(204)).expect_status(204).await;
    // Another token is not bound by it.
    w.delete(VM).as_("a").origin(status(204)).expect_status(204).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_made_and_removed_is_counted() {
    let w = bound(
        r#"{"creates":{"at_most":1,"window_seconds":60},"deletes":{"at_most":2,"window_seconds":60}}"#,
    )
    .await;
    let create = || w.post(LIST).as_("bound").body("application/json", "{}");
    create().origin(status(422)).expect_status(422).await;
    let refused = create().expect_refusal(429, "used_up").await;
    let wait: u64 = refused.header("retry-after").parse().expect("seconds");
    // A minute has slots of a second.
    assert!((50..=61).contains(&wait), "{wait}");
    // An action is no creation.
    w.post("/virtual_machines/7/startup.json")
        .as_("bound")
        .origin(status(404))
        .expect_status(404)
        .await;
    for _ in 0..2 {
        w.delete(VM).as_("bound").origin(status(204)).expect_status(204).await;
    }
    w.delete(VM).as_("bound").expect_refusal(429, "used_up").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_makes_an_item_is_counted() {
    let w = bound(r#"{"creates":{"at_most":1,"window_seconds":60}}"#).await;
    w.post("/virtual_machines/7/clone.json").as_("bound").origin(status(201)).await;
    // What nobody has listed may make something, too.
    for target in [LIST, "/virtual_machines/8/clone", "/accelerators.json", "/gadgets/3/frob.xml"] {
        w.post(target).as_("bound").expect_refusal(429, "used_up").await;
    }
    w.get("/backups/3/convert").as_("bound").expect_refusal(429, "used_up").await;
    // A list of what can be made is no creation, and neither is what is done to an item.
    w.get("/accelerators.json").as_("bound").origin(json("[]")).expect_status(200).await;
    let owner = w.post("/virtual_machines/7/change_owner.json").as_("bound");
    owner.origin(status(200)).expect_status(200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_never_sent_is_not_counted() {
    // Port 9 of loopback: nobody listens.
    let w = World::with("upstreams.main.url = \"http://127.0.0.1:9\"").await;
    let policies = r#"{"deletes":{"at_most":1,"window_seconds":60}}"#;
    let policies = serde_json::from_str(policies).expect("policies");
    w.add_token("bound", "a", "a", &TokenTerms { policies, ..TokenTerms::default() });
    let form = "application/x-www-form-urlencoded";
    for _ in 0..2 {
        w.delete(VM).as_("bound").expect_refusal(502, "upstream_unreachable").await;
        let hidden = w.post(VM).as_("bound").body(form, "_method=delete");
        hidden.expect_refusal(502, "upstream_unreachable").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_never_sent_is_not_counted_though_its_client_leaves() {
    let pool = "upstreams.main = { max_connections = 1, queue_timeout = \"300ms\" }";
    let w = World::with(pool).await;
    let policies = r#"{"creates":{"at_most":1,"window_seconds":60}}"#;
    let policies = serde_json::from_str(policies).expect("policies");
    w.add_token("bound", "a", "a", &TokenTerms { policies, ..TokenTerms::default() });
    let held = w.origin.expect(json("{}").gated());
    let mut reader = w.connect(Speaks::Http1).await;
    let request = w.request("GET", "/version.json", "b");
    let reading = tokio::spawn(async move { reader.send(request).await });
    held.arrived().await;
    let mut hasty = w.connect(Speaks::Http1).await;
    let create = w.request("POST", LIST, "bound");
    let left = tokio::time::timeout(Duration::from_millis(100), hasty.send(create)).await;
    assert!(left.is_err(), "it waits for a connection");
    drop(hasty);
    tokio::time::sleep(Duration::from_millis(400)).await;
    held.release();
    reading.await.expect("no panic").expect("an answer");
    let create = || w.post(LIST).as_("bound").body("application/json", "{}");
    create().origin(status(201)).expect_status(201).await;
    create().expect_refusal(429, "used_up").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_token_may_not_is_not_taken_from_its_tenant() {
    let w = World::new().await;
    let policies = r#"{"limits":{"reads":{"per_second":1,"burst":1}},"monthly":{"writes":1}}"#;
    let policies = serde_json::from_str(policies).expect("policies");
    w.add_token("bound", "tight", "tight", &TokenTerms { policies, ..TokenTerms::default() });
    w.get(LIST).as_("bound").origin(json("[]")).expect_status(200).await;
    w.put(VM).as_("bound").origin(status(204)).expect_status(204).await;
    for _ in 0..2 {
        w.get(LIST).as_("bound").expect_refusal(429, "rate_limited").await;
        w.put(VM).as_("bound").expect_refusal(429, "used_up").await;
    }
    // The tenant may twice at once.
    w.get(LIST).as_("tight").origin(json("[]")).expect_status(200).await;
    w.put(VM).as_("tight").origin(status(204)).expect_status(204).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_has_limits_within_those_of_its_tenant() {
    let w = World::new().await;
    let policies: PolicyDocument = serde_json::from_str(
        r#"{"limits":{"reads":{"per_second":1,"burst":2}},"monthly":{"writes":1}}"#,
    )
    .expect("policies");
    let terms = TokenTerms {
        policies,
        limit_status: Some(LimitStatus::Forbidden),
        ..TokenTerms::default()
    };
    w.add_token("bound", "a", "a", &terms);
    w.get(LIST).as_("bound").origin(json("[]")).expect_status(200).await;
    let last = w.get(LIST).as_("bound").expect_status(200).await;
    assert!(last.header("ratelimit").starts_with("\"token-reads\";r=0"), "{last:?}");
    w.get(LIST).as_("bound").expect_refusal(403, "rate_limited").await;
    w.get(LIST).as_("a").expect_status(200).await;
    w.put(VM).as_("bound").origin(status(204)).expect_status(204).await;
    w.put(VM).as_("bound").expect_refusal(403, "used_up").await;
    let counted = "tollgate_policy_refusals_total{mode=\"enforce\",policy=\"monthly-writes\"}";
    assert_eq!(w.metric(counted).await, 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_shadow_nothing_is_refused_and_all_is_counted() {
    let w = bound(
        r#"{"methods":{"mode":"shadow","only":["GET"]},
            "resources":{"mode":"off","only":["/virtual_machines/1"]},
            "protected":{"mode":"shadow","items":["/virtual_machines/7"]},
            "deletes":{"mode":"shadow","at_most":1,"window_seconds":60},
            "limits":{"mode":"shadow","writes":{"per_second":1,"burst":1}},
            "monthly":{"mode":"shadow","writes":1}}"#,
    )
    .await;
    for _ in 0..2 {
        w.delete(VM).as_("bound").origin(status(204)).expect_status(204).await;
    }
    for (policy, times) in [
        ("methods", 2.0),
        ("protected", 2.0),
        ("deletes", 1.0),
        ("limits", 1.0),
        ("monthly-writes", 1.0),
        ("resources", 0.0),
    ] {
        let shadow =
            format!("tollgate_policy_refusals_total{{mode=\"shadow\",policy=\"{policy}\"}}");
        assert_eq!(w.metric(&shadow).await, times, "{policy}");
    }
    assert_eq!(w.metric("tollgate_policy_refusals_total{mode=\"enforce\"}").await, 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_makes_nothing_and_is_counted_as_nothing() {
    let w = bound(r#"{"creates":{"at_most":2,"window_seconds":60},"monthly":{"writes":9}}"#).await;
    let create = |key: &str, body: &'static str| {
        let post = w.post(LIST).as_("bound").header("idempotency-key", key);
        post.body("application/json", body)
    };
    create("one", "{}").origin(status(201)).expect_status(201).await;
    for _ in 0..2 {
        create("one", "{}").no_origin().expect_status(201).await;
        create("one", "[]").expect_refusal(422, "idempotency_key_reused").await;
    }
    create("two", "{}").origin(status(201)).expect_status(201).await;
    // Nothing is left, and nothing is sent; the key is free for when something is.
    for body in ["{}", "[]"] {
        create("three", body).expect_refusal(429, "used_up").await;
    }
    // What makes nothing is answered all the same, as long as the month has requests left.
    let again = create("one", "{}").no_origin().expect_status(201);
    again.expect_header("idempotency-replayed", "true").await;
    create("one", "{}").expect_refusal(429, "used_up").await;
    let refused =
        |policy| format!("tollgate_policy_refusals_total{{mode=\"enforce\",policy=\"{policy}\"}}");
    assert_eq!(w.metric(&refused("creates")).await, 2.0);
    assert_eq!(w.metric(&refused("monthly-writes")).await, 1.0);
}
