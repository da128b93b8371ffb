//! Tenants, credentials and tokens by the command line, while a server runs.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use super::Installation;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_server_sees_every_edit_within_a_second() {
    let installation = Installation::new().await;
    let server = installation.serve();
    server.answers("tg_no_such_token_0000000000000000", 401, "invalid_token").await;

    let token = installation.tenant("alice");
    server.answers(&token, 200, "").await;
    let other = installation.token("alice");
    let listed = installation.json("token list --tenant alice", "");
    assert_eq!(listed.as_array().map(Vec::len), Some(2));
    let id = listed[0]["id"].as_str().expect("an id");
    let (revoked, kept) = if token.contains(id) { (&token, &other) } else { (&other, &token) };

    installation.json(&format!("token revoke {id}"), "");
    server.answers(revoked, 401, "invalid_token").await;
    server.answers(kept, 200, "").await;

    installation.json("tenant set alice --reads 1/1", "");
    server.answers(kept, 429, "rate_limited").await;
    installation.json("tenant set alice --reads unlimited", "");
    server.answers(kept, 200, "").await;

    let key = installation.panel.user("bob").expect("a user").api_key;
    let rotate = "credential rotate alice --email bob@example.com --secret-stdin";
    installation.json(rotate, &key);
    let begun = Instant::now();
    while !server.get(kept, "/profile.json").await.text().contains("bob@example.com") {
        assert!(begun.elapsed() < super::installation::SEEN_WITHIN, "still alice");
    }
    assert_eq!(server.terminate().code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_tokens_are_good_while_one_takes_the_place_of_the_other() {
    let installation = Installation::new().await;
    let old = installation.tenant("alice");
    let server = installation.serve();
    let id = installation.json("token list", "")[0]["id"].as_str().expect("an id").to_owned();
    let rotated = installation.run(&["token", "rotate", &id, "--overlap", "2s"], "");
    assert!(rotated.err.contains(&format!("; {id} is good until ")), "{rotated:?}");
    // The bare token, for scripts.
    let new = rotated.good();
    let new = new.trim_end();
    server.answers(new, 200, "").await;
    server.answers(&old, 200, "").await;
    tokio::time::sleep(Duration::from_millis(2100)).await;
    server.answers(&old, 401, "invalid_token").await;
    server.answers(new, 200, "").await;
    assert_eq!(server.terminate().code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_of_a_month_outlives_the_process() {
    let installation = Installation::new().await;
    installation.tenant("alice");
    let create =
        "token create --tenant alice --credential alice --monthly-writes 3 --label billing";
    let token = installation.json(create, "")["token"].as_str().expect("a token").to_owned();
    let listed = installation.json("token list", "");
    let shown = listed.as_array().and_then(|all| all.last()).expect("the last one");
    assert_eq!(
        (&shown["label"], &shown["policies"]["monthly"]["writes"]),
        (&"billing".into(), &3.into())
    );
    let id = shown["id"].as_str().expect("an id").to_owned();
    let used = || installation.json(&format!("token describe {id}"), "")["used"].clone();
    assert!(used().is_null());
    let write = "PUT /virtual_machines/1.json";
    let codes = async |times: usize| {
        let server = installation.serve();
        let mut codes = Vec::new();
        for _ in 0..times {
            codes.push(server.ask(&token, write, "").await.code().to_owned());
        }
        assert_eq!(server.terminate().code, Some(0));
        codes
    };
    assert_eq!(codes(2).await, ["", ""]);
    assert_eq!(
        (&used()["writes"], used()["last_used"].as_i64() > Some(1_700_000_000)),
        (&2.into(), true)
    );
    assert_eq!(codes(2).await, ["", "used_up"]);
    // More may be had at once.
    let server = installation.serve();
    installation.json(&format!("token set {id} --monthly-writes 4"), "");
    let begun = Instant::now();
    while server.ask(&token, write, "").await.code() != "" {
        assert!(begun.elapsed() < super::installation::SEEN_WITHIN, "still used up");
    }
    assert_eq!(server.ask(&token, write, "").await.code(), "used_up");
    assert_eq!(server.terminate().code, Some(0));
    assert_eq!(used()["writes"], 4);
    // Another secret is no other quota.
    let rotated = installation.json(&format!("token rotate {id}"), "");
    let new = rotated["token"].as_str().expect("a token");
    let server = installation.serve();
    assert_eq!(server.ask(new, write, "").await.code(), "used_up");
    assert_eq!(server.terminate().code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_permission_is_in_force_on_a_running_server_and_listed() {
    let installation = Installation::new().await;
    installation.tenant("alice");
    let server = installation.serve();
    let create = "token create --tenant alice --credential alice --permit cache:refresh";
    let created = installation.json(create, "");
    let token = created["token"].as_str().expect("a token");
    server.answers(token, 200, "").await;
    let listed = installation.json("token list", "");
    assert_eq!(listed[0]["permissions"], serde_json::json!([]));
    assert_eq!(listed[1]["permissions"], serde_json::json!(["cache:refresh"]));
    assert_eq!(server.terminate().code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_use_is_not_removed_and_what_is_not_is() {
    let installation = Installation::new().await;
    installation.tenant("alice");
    for line in ["tenant remove alice", "credential remove alice"] {
        let refused = installation.run(&line.split(' ').collect::<Vec<_>>(), "");
        assert_eq!((refused.code, &*refused.out), (Some(65), ""), "{line}: {refused:?}");
        assert!(refused.err.contains("in use"), "{line}: {refused:?}");
    }
    let id = installation.json("token list", "")[0]["id"].as_str().expect("an id").to_owned();
    installation.json(&format!("token revoke {id}"), "");
    installation.json("tenant remove alice", "");
    installation.json("credential remove alice", "");
    for line in ["tenant list", "credential list", "token list"] {
        assert_eq!(installation.json(line, ""), serde_json::json!([]), "{line}");
    }
    let upstreams = installation.json("upstream list", "");
    assert_eq!(upstreams[0]["url"], installation.panel.url());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_is_tested_against_its_upstream() {
    let installation = Installation::new().await;
    installation.tenant("alice");
    let tested = installation.json("credential test alice", "");
    assert_eq!(tested, serde_json::json!({"credential": "alice", "upstream": "main", "ok": true}));
    let password = installation.panel.user("bob").expect("a user").password;
    let add = "credential add bob --upstream main --login bob --secret-stdin";
    installation.json(add, &password);
    installation.json("credential test bob", "");

    assert!(installation.panel.revoke("alice"));
    let refused = installation.run(&["credential", "test", "alice"], "");
    assert_eq!((refused.code, &*refused.out), (Some(69), ""), "{refused:?}");
    assert!(refused.err.contains("401"), "{refused:?}");
    let missing = installation.run(&["credential", "test", "nobody"], "");
    assert_eq!(missing.code, Some(65), "{missing:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_whose_reach_is_declared_starts_anew() {
    const LIST: &str = "/virtual_machines.json";
    let installation = Installation::new().await;
    let token = installation.tenant("alice");
    let server = installation.serve();
    let shown = server.get(&token, LIST).await.body;
    assert_eq!(server.get(&token, LIST).await.cache(), "hit");

    let refused = installation.run(&["credential", "set", "alice", "--reach", "own"], "");
    assert_eq!((refused.code, &*refused.out), (Some(65), ""), "{refused:?}");
    assert!(refused.err.contains("name its account"), "{refused:?}");
    installation.json("credential set alice --reach own --account alice", "");
    let listed = installation.json("credential list", "");
    assert_eq!((&listed[0]["reach"], &listed[0]["account"]), (&"own".into(), &"alice".into()));

    let begun = Instant::now();
    loop {
        let list = server.get(&token, LIST).await;
        assert_eq!(list.body, shown);
        if list.cache() != "hit" {
            break;
        }
        assert!(begun.elapsed() < super::installation::SEEN_WITHIN, "still what was kept before");
    }
    assert_eq!(server.terminate().code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_lines_are_imported_in_seconds() {
    let installation = Installation::new().await;
    let server = installation.serve();
    let user = installation.panel.user("alice").expect("a user");
    let mut lines = String::new();
    for n in 0..10_000 {
        let (email, key) = (&user.email, &user.api_key);
        let _ = writeln!(
            lines,
            r#"{{"tenant":{{"name":"t{n}","reads_per_second":50,"reads_burst":100}},"credential":{{"name":"c{n}","upstream":"main","email":"{email}","key":"{key}"}},"token":"adopted-{n:05}-0123456789abcdef0123456789abcdef"}}"#
        );
    }
    installation.write("tenants.jsonl", &lines);
    let file = installation.path("tenants.jsonl").display().to_string();
    let begun = Instant::now();
    let imported = installation.json(&format!("import {file}"), "");
    let took = begun.elapsed();
    assert_eq!(imported["tenants"], 10_000, "{imported}");
    assert_eq!(imported["tokens"], 10_000, "{imported}");
    // An unoptimized build needs some seconds, an optimized one a fraction of one.
    assert!(took < Duration::from_secs(30), "{took:?}");
    let token = "adopted-07777-0123456789abcdef0123456789abcdef";
    let begun = Instant::now();
    while server.get(token, "/version.json").await.status != 200 {
        assert!(begun.elapsed() < Duration::from_secs(10), "the server does not know it");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let again = installation.json(&format!("import {file}"), "");
    assert_eq!((&again["tokens"], &again["tenants"]), (&0.into(), &0.into()), "{again}");
    let listed = installation.json("token list --tenant t7777", "");
    assert_eq!(listed[0]["adopted"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bad_line_imports_nothing() {
    let installation = Installation::new().await;
    let good = r#"{"tenant":{"name":"a"},"credential":{"name":"a","upstream":"main","login":"u","password":"a-secret-word"}}"#;
    let bad = good.replace("\"main\"", "\"moon\"").replace("\"a\"", "\"b\"");
    let refused = installation.run(&["import", "-"], &format!("{good}\n{bad}\nno JSON\n"));
    assert_eq!((refused.code, &*refused.out), (Some(65), ""), "{refused:?}");
    for what in ["line 2", "moon", "line 3"] {
        assert!(refused.err.contains(what), "{what}: {refused:?}");
    }
    assert!(!refused.err.contains("a-secret-word"), "{refused:?}");
    assert_eq!(installation.json("tenant list", ""), serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_taken_from_an_argument_or_shown_again() {
    let installation = Installation::new().await;
    let token = installation.tenant("alice");
    let key = installation.panel.user("alice").expect("a user").api_key;
    for option in ["--secret", "--password", "--key", "--api-key", "--token"] {
        let add = ["credential", "add", "x", "--upstream", "main", "--login", "x", option, "word"];
        assert_eq!(installation.run(&add, "").code, Some(64), "{option} is taken");
    }
    let server = installation.serve();
    server.get(&token, "/profile.json").await;
    server.get(&token, "/virtual_machines.xml").await;
    let arguments = std::fs::read(format!("/proc/{}/cmdline", server.program.id()));
    let ended = server.terminate();
    let master = std::fs::read_to_string(installation.path("master.key")).expect("a key");
    let mut shown = [arguments.expect("a process"), (ended.out + &ended.err).into()].concat();
    for name in ["tollgate.db", "tollgate.db-wal", "access.log"] {
        shown.extend(std::fs::read(installation.path(name)).unwrap_or_default());
    }
    for line in ["tenant list", "credential list", "token list", "upstream list"] {
        shown.extend(installation.json(line, "").to_string().into_bytes());
        let text = installation.run(&line.split(' ').collect::<Vec<_>>(), "").good();
        shown.extend(text.into_bytes());
    }
    let secret = token.split('_').nth(3).expect("a secret");
    for planted in [&*key, secret, master.trim()] {
        let found = shown.windows(planted.len()).any(|w| w == planted.as_bytes());
        assert!(!found, "a secret of {} letters is shown", planted.len());
    }
}
