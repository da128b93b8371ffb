//! Planted secrets: every path is driven with them, and none comes out where it must not.

use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::harness::{Answer, Reply, Speaks, World, captured_log, json, secret_of, xml};

const VMS: &str = "/virtual_machines.json";

/// What nobody may read in an answer, in a log or in a metric.
fn planted(w: &World) -> Vec<String> {
    let mut secrets: Vec<String> = [
        "query-password",
        "form-password",
        "path-key",
        "panel-session",
        "client-session",
        "api-key-value",
    ]
    .map(|s| format!("planted-{s}"))
    .into();
    for person in w.people() {
        secrets.push(BASE64_STANDARD.encode(format!("anybody:{}", person.token)));
        // The secret part by itself, too: the id in front of it is public.
        let part = person.token.split('_').nth(3).expect("a token has five parts").to_owned();
        secrets.extend([person.token, part]);
    }
    for credential in ["a", "b", "tight"] {
        let secret = secret_of(credential);
        secrets.push(BASE64_STANDARD.encode(format!("{credential}:{secret}")));
        secrets.push(secret);
    }
    secrets
}

/// A reply of a panel that gives away all that it can.
fn talkative() -> Reply {
    let body = format!(
        "{{\"user\":{{\"api_key\":\"planted-api-key-value\",\"log\":\"curl -u a:{}\",\"b\":\"{}\"}}}}",
        secret_of("a"),
        secret_of("b"),
    );
    json(body).header("Set-Cookie", "_session_id=planted-panel-session")
}

async fn drive(w: &World) -> Vec<Answer> {
    let form = "application/x-www-form-urlencoded";
    let body = "password=planted-form-password&api_key=planted-api-key-value";
    let query = "/users/1.json?password=planted-query-password&short&a[key]=planted-query-password";
    let talkative_xml = || {
        xml(format!(
            "<user><api_key>planted-api-key-value</api_key><x>{}</x></user>",
            secret_of("a")
        ))
    };
    let page = Reply::new(500)
        .header("Content-Type", "text/html")
        .body(format!("<p>{}</p>", secret_of("tight")));
    let long = json(format!("[\"{}{}\"]", "x".repeat(9000), secret_of("a")));
    let wrong = format!("{}x", w.person("a").token);
    let mut answers = vec![
        w.get(query).as_("a").origin(talkative()).await,
        w.get(query).as_("a").over(Speaks::Http2).await,
        w.get("/users/1.xml").as_("b").origin(talkative_xml()).await,
        w.get("/odd.json?password=planted-query-password").as_("a").origin(talkative()).await,
        w.put(VMS).as_("a").body(form, body).origin(talkative()).await,
        w.put(VMS).as_("a").body(form, body).origin(talkative().status(422)).await,
        w.put(VMS).as_("a").body(form, body).origin(Reply::reset()).await,
        w.get("/roles.json").as_("a").origin(page).await,
        w.get("/dns_zones.json").as_("a").origin(long).await,
        w.get(VMS).as_("a").origin(Reply::new(401).body(secret_of("a"))).await,
        w.get(VMS).as_("a").origin(talkative().cut(5000, &secret_of("a"))).await,
        w.get("/console_remote/planted-path-key").as_("a").await,
        w.get("/users/planted-path-key/../x?password=planted-query-password").as_("a").await,
        w.get("/users?format=planted-query-password").as_("a").await,
        w.get("/users.json?a=planted-query-password;b").as_("a").await,
        w.post(VMS).as_("reader").body(form, body).await,
        w.post(VMS).as_("a").body(form, format!("{body}&_method=planted-form-password")).await,
        w.get(VMS).as_("not-vms").await,
        w.get(VMS).header("x-api-key", &wrong).await,
        w.get(VMS).header("authorization", &format!("Digest {wrong}")).await,
        w.get(VMS).as_("a").header("x-api-key", &w.person("b").token).await,
        w.get(VMS).header("authorization", &secret_of("a")).await,
        w.get(&format!("/users/{}.json", w.person("a").token)).as_("vms").await,
        w.get(query)
            .as_("a")
            .header("cookie", "_session_id=planted-client-session")
            .origin(talkative())
            .await,
    ];
    for _ in 0..2 {
        answers.push(w.get("/users/2.json").as_("tight").origin(json("{}").status(422)).await);
    }
    answers.push(w.get(query).as_("tight").await);
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_comes_out_where_it_must_not() {
    let w = World::with("gateway.max_masked_text = \"8KiB\"").await;
    let answers = drive(&w).await;
    let mut raw = w.raw().await;
    raw.send(w.raw_request("GET", "/users.json", "a", "Broken : planted-client-session\r\n")).await;
    let refused = raw.rest().await;
    let metrics = w.admin("/metrics").await;
    let access_log = w.access_log(answers.len()).await;
    let log = captured_log();
    assert!(
        access_log.contains("\"password\"") && access_log.contains("a[key]"),
        "names are logged"
    );
    assert!(log.contains("an upstream request failed"), "the log is captured");
    for secret in planted(&w) {
        for (i, answer) in answers.iter().enumerate() {
            let shown = format!("{:?}{}", answer.headers, String::from_utf8_lossy(&answer.body));
            assert!(!shown.contains(&secret), "{secret} is in answer {i}: {shown}");
        }
        for (place, text) in [
            ("the access log", &*access_log),
            ("the log", &*log),
            ("the metrics", metrics.text()),
            ("a refusal of the wire", &*refused),
        ] {
            let line = text.lines().find(|line| line.contains(&secret));
            assert!(line.is_none(), "{secret} is in {place}: {line:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_upstream_sees_is_its_own_credential_alone() {
    let w = World::new().await;
    let token = w.person("a").token;
    let basic = BASE64_STANDARD.encode(format!("anybody:{token}"));
    for step in [w.get(VMS), w.put("/virtual_machines/1.json"), w.get("/odd.json")] {
        let (token, basic) = (token.clone(), basic.clone());
        let step =
            step.as_("a").header("x-api-key", &token).header("cookie", "x=planted-client-session");
        let step = step.origin(json("{}")).sees(move |seen| {
            let all = format!("{seen:?}");
            assert!(!all.contains(&token) && !all.contains(&basic), "{all}");
            assert!(!all.contains("planted-client-session"), "{all}");
        });
        step.expect_status(200).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_holds_no_secret_in_the_clear() {
    let w = World::new().await;
    w.get(VMS).as_("a").origin(json("[]")).await;
    let store = w.store_bytes();
    let holds = |secret: &str| store.windows(secret.len()).any(|bytes| bytes == secret.as_bytes());
    assert!(holds("reader") || holds("tight"), "the store is read");
    for person in w.people() {
        assert!(!holds(&person.token));
    }
    for credential in ["a", "b", "tight"] {
        assert!(!holds(&secret_of(credential)));
    }
}
