//! What the panel would give away: its keys, and its sessions.

use super::House;
use crate::harness::Speaks;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_key_is_masked_and_nothing_else_changes_by_a_byte() {
    let house = House::new().await;
    for who in ["alice", "bob", "carol"] {
        let user = house.user(who);
        let item = format!("/users/{}", user.id);
        for target in ["/profile.json", "/profile.xml", &format!("{item}.json")] {
            let direct = house.direct(who, target).await;
            assert!(direct.text().contains(&user.api_key), "{target} shows no key to hide");
            let masked = direct.text().replace(&user.api_key, "********");
            let answer = house.get(who, target).await;
            assert_eq!((answer.status, answer.text()), (200, masked.as_str()), "{who} {target}");
            assert_eq!(answer.header("content-length"), masked.len().to_string());
        }
    }
    for target in ["/profile.json", "/profile.xml"] {
        let kept = house.get("alice", target).await;
        assert_eq!(kept.cache(), "hit");
        assert!(!kept.text().contains(&house.user("alice").api_key));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_mints_a_key() {
    let house = House::new().await;
    let user = house.user("alice");
    for (line, body) in [
        (format!("POST /users/{}/make_new_api_key.json", user.id), ""),
        (format!("POST /users/{}/user_api_keys/generate.json", user.id), ""),
        (format!("GET /users/{}/user_api_keys.json", user.id), ""),
        (format!("PUT /users/{}.json", user.id), r#"{"user":{"password":"another-one"}}"#),
        (format!("GET /users/{}/suspend.json", user.id), ""),
    ] {
        let answer = house.ask("alice", &line, body).await;
        assert_eq!((answer.status, answer.code()), (403, "guarded_route"), "{line}");
    }
    assert_eq!(house.user("alice").api_key, user.api_key);
    assert!(house.panel().seen().is_empty(), "{:?}", house.panel().seen());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_of_the_panel_never_comes_through_either_way() {
    let house = House::new().await;
    let direct = house.direct("bob", "/profile.json").await;
    let cookie = direct.header("set-cookie").split(';').next().expect("a cookie").to_owned();
    assert!(cookie.contains('='), "the panel sets no cookie: {direct:?}");
    for line in ["GET /profile.json", "GET /virtual_machines.xml", "GET /nowhere.json"] {
        for speaks in [Speaks::Http1, Speaks::Http2] {
            let mut request = house.request("alice", line, "");
            request.headers_mut().insert("cookie", cookie.parse().expect("a value"));
            // That no Set-Cookie comes back is asserted for whatever is sent.
            let answer = house.send(speaks, request).await;
            assert!(!answer.text().contains("bob@example.com"), "{line}: {}", answer.text());
        }
    }
    let seen = house.panel().seen();
    assert!(seen[1..].iter().all(|s| s.user.as_deref() == Some("alice")), "{seen:?}");
}
