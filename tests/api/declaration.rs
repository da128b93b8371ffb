//! Declarations: planned, held against the store that they were planned for, applied once, and by whom.

use serde_json::{Value, json};

use super::{House, value};

const PLAN: &str = "POST /v1/declaration/plan";
const APPLY: &str = "POST /v1/declaration/apply";

const SECRET: &str = "a-secret-of-the-panel";

/// A tenant with a credential and a token.
fn acme() -> Value {
    json!({
        "declaration": {
            "tenants": {"acme": {"reads": "20/40"}},
            "credentials": {"acme": {"upstream": "main", "login": "acme", "secret_file": "a/b"}},
            "tokens": [{"tenant": "acme", "credential": "acme", "label": "billing",
                        "expires": "2099-01-01T00:00:00Z"}],
        },
        "secrets": {"files": {"a/b": SECRET}},
        "test": false,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_applied_is_what_was_planned_or_nothing() {
    let house = House::new().await;
    let planned = house.ask(PLAN, &acme()).await;
    assert_eq!(planned.status, 200, "{planned:?}");
    let tag = planned.header("etag").to_owned();
    let plan = value(&planned);
    let said: Vec<String> = plan["steps"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|step| format!("{} {} {}", step["act"], step["kind"], step["name"]).replace('"', ""))
        .collect();
    assert_eq!(said, ["create tenant acme", "create credential acme", "create token acme/billing"]);
    assert_eq!((&plan["applied"], &plan["to_mint"]), (&json!(false), &json!(1)));
    assert_eq!(house.get("/v1/tenants").await["items"], json!([]));

    // Somebody else was faster.
    house.ask("POST /v1/tenants", &json!({"name": "other"})).await;
    let late = house.ask_with(APPLY, &acme(), &[("if-match", &tag)]).await;
    assert_eq!(late.status, 412, "{late:?}");
    assert_eq!(house.get("/v1/credentials").await["items"], json!([]));

    let tag = house.ask(PLAN, &acme()).await.header("etag").to_owned();
    let headers = [("if-match", &*tag), ("idempotency-key", "once")];
    let applied = house.ask_with(APPLY, &acme(), &headers).await;
    assert_eq!((applied.status, applied.header("cache-control")), (200, "no-store"), "{applied:?}");
    let done = value(&applied);
    assert_eq!((&done["plan"]["applied"], &done["plan"]["steps"]), (&json!(true), &plan["steps"]));
    let [token] = &done["tokens"].as_array().expect("a list")[..] else { panic!("{done}") };
    assert_eq!(token["name"], "acme/billing");
    // Who heard nothing asks again, although the tag is another one by now.
    let again = house.ask_with(APPLY, &acme(), &headers).await;
    assert_eq!((again.status, value(&again)), (200, done.clone()), "{again:?}");
    let mut other = acme();
    other["prune"] = true.into();
    assert_eq!(house.ask_with(APPLY, &other, &headers).await.status, 422);
    let listed = house.get("/v1/tokens").await;
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!(listed["items"][0]["expires"], 4_070_908_800_i64);
    let empty = house.ask(PLAN, &acme()).await;
    assert_eq!(value(&empty)["steps"], json!([]), "{empty:?}");
    for answer in [planned, empty, applied] {
        assert!(!answer.text().contains(SECRET), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_is_a_declaration_of_what_is_there() {
    let house = House::new().await;
    assert_eq!(house.ask(APPLY, &acme()).await.status, 200);
    let exported = house.ask("GET /v1/declaration", &Value::Null).await;
    let tag = exported.header("etag").to_owned();
    let mut declared = acme()["declaration"].clone();
    declared["credentials"]["acme"].as_object_mut().expect("an object").remove("secret_file");
    assert_eq!(value(&exported), declared);
    let again =
        house.ask_with("GET /v1/declaration", &Value::Null, &[("if-none-match", &tag)]).await;
    assert_eq!((again.status, again.body.len()), (304, 0));
    let pruned = house.ask(PLAN, &json!({"declaration": declared, "prune": true})).await;
    let plan = value(&pruned);
    assert_eq!((&plan["steps"], pruned.header("etag")), (&json!([]), &*tag), "{plan}");
    let accept = [("accept", "text/html, application/toml;q=0.9")];
    let file = house.ask_with("GET /v1/declaration", &Value::Null, &accept).await;
    assert_eq!(file.header("content-type"), "application/toml");
    assert_ne!(file.header("etag"), tag);
    assert!(file.text().contains("\n[tenants.acme]\nreads = \"20/40\"\n"), "{}", file.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_problem_is_told_with_its_place_in_the_body() {
    let house = House::new().await;
    let wrong = json!({
        "declaration": {
            "tenants": {"a/b": {}, "ok": {"reads": 5, "writs": "5"}, "null": {"reads": null}},
            "credentials": {"acme": {"upstream": "main", "login": "acme", "secret_file": "none"}},
            "tokens": [{}, {"tenant": "ok", "credential": "acme", "label": "x",
                            "policies": {"limits": {"reads": [1, 2]}}}],
            "limits": [],
        },
    });
    for line in [PLAN, APPLY] {
        let refused = house.ask(line, &wrong).await;
        assert_eq!(refused.status, 422, "{refused:?}");
        let problem = value(&refused);
        let list = |name: &str| -> Vec<String> {
            let list = problem[name].as_array().expect("a list").iter();
            list.map(|one| one.as_str().expect("a text").to_owned()).collect()
        };
        let (pointers, errors) = (list("pointers"), list("errors"));
        for (pointer, error) in pointers.iter().zip(&errors) {
            assert!(error.starts_with(&format!("{pointer}: ")), "{pointer} {error}");
        }
        for pointer in [
            "/declaration/tenants/a~1b",
            "/declaration/tenants/ok/reads",
            "/declaration/tenants/ok/writs",
            "/declaration/tenants/null/reads",
            "/declaration/credentials/acme/secret_file",
            "/declaration/tokens/0/tenant",
            "/declaration/tokens/1/policies",
            "/declaration/limits",
        ] {
            assert!(pointers.iter().any(|found| found == pointer), "{pointer}: {errors:#?}");
        }
    }
    let unknown = house.ask(APPLY, &json!({"declaration": {}, "secret": {}})).await;
    assert_eq!(unknown.status, 400, "{unknown:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_operator_may_not_do_by_calls_is_not_to_be_had_by_a_declaration() {
    let house = House::new().await;
    house.furnish("alice").await;
    let operator = house.operator("bob", "operator").await;
    let token = |more: Value| {
        let mut token = json!({"tenant": "alice", "credential": "alice", "label": "x"});
        token.as_object_mut().expect("an object").extend(more.as_object().expect("one").clone());
        json!({"declaration": {"tokens": [token]}, "secrets": {"files": {"key": "k".repeat(40)}}})
    };
    let credential = |more: Value| {
        let mut credential = json!({"upstream": "main"});
        let fields = credential.as_object_mut().expect("an object");
        fields.extend(more.as_object().expect("one").clone());
        json!({
            "declaration": {"credentials": {"alice": credential}},
            "secrets": {"files": {"key": SECRET}, "variables": {"KEY": SECRET}},
        })
    };
    let before = house.get("/v1/declaration").await;
    // What would tell an operator something of a secret is not even planned.
    for compared in [
        credential(json!({"login": "alice"})),
        credential(json!({"email": "alice"})),
        credential(json!({"secret_file": "key"})),
        credential(json!({"secret_variable": "KEY"})),
        credential(json!({"login": 5})),
        token(json!({"secret_file": "key"})),
    ] {
        for line in [PLAN, APPLY] {
            let refused = house.ask_as(&operator, line, &compared, &[]).await;
            assert_eq!(refused.status, 403, "{line} {compared}: {refused:?}");
        }
    }
    for given in [
        token(json!({"permissions": ["secrets:read"]})),
        token(json!({"permissions": ["explain", "credentials:manage"]})),
        credential(json!({"reach": "all"})),
        json!({"declaration": {}, "prune": true}),
    ] {
        assert_eq!(house.ask_as(&operator, PLAN, &given, &[]).await.status, 200, "{given}");
        let refused = house.ask_as(&operator, APPLY, &given, &[]).await;
        assert_eq!(refused.status, 403, "{given}: {refused:?}");
        assert!(refused.text().contains("of the role owner"), "{refused:?}");
    }
    assert_eq!(house.get("/v1/declaration").await, before, "nothing was done");

    // A token that an owner has given more, is no operator's to change either.
    let secrets = token(json!({"permissions": ["secrets:read"]}));
    assert_eq!(house.ask(APPLY, &secrets).await.status, 200);
    let wider = token(json!({"permissions": ["secrets:read"], "limit_status": 403}));
    assert_eq!(house.ask_as(&operator, APPLY, &wider, &[]).await.status, 403);
    for may in [
        token(json!({"permissions": ["explain"]})),
        json!({"declaration": {"tenants": {"alice": {"reads": "1/2"}, "new": {}}}}),
        credential(json!({})),
    ] {
        let done = house.ask_as(&operator, APPLY, &may, &[]).await;
        assert_eq!(done.status, 200, "{may}: {done:?}");
    }
    let viewer = house.operator("eve", "viewer").await;
    assert_eq!(house.ask_as(&viewer, PLAN, &json!({"declaration": {}}), &[]).await.status, 403);
}
