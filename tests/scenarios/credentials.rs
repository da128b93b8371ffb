//! Who is let in, and however a token is presented.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use tollgate::tenants::record::TokenTerms;

use crate::harness::{World, json, secret_of};

const PROFILE: &str = "/profile.json";
const REALM: &str = "Basic realm=\"OnApp API Authentication\"";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_becomes_the_upstreams_credential() {
    let w = World::new().await;
    for who in ["a", "b"] {
        let login = format!("{who}:{}", secret_of(who));
        let step = w.get(PROFILE).as_(who).origin(json("{}"));
        step.sees(move |seen| assert_eq!(seen.login(), login)).expect_status(200).await;
    }
    let login = format!("a:{}", secret_of("a"));
    let write = w.put("/virtual_machines/1.json").as_("c").origin(json("{}"));
    write.sees(move |seen| assert_eq!(seen.login(), login)).expect_status(200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_in_which_real_clients_present_a_token() {
    let w = World::new().await;
    w.get(PROFILE).as_("a").origin(json("{}")).await;
    let token = w.person("a").token;
    let basic = |login: &str| BASE64_STANDARD.encode(format!("{login}:{token}"));
    let spaced = basic("joe")
        .as_bytes()
        .chunks(20)
        .map(String::from_utf8_lossy)
        .collect::<Vec<_>>()
        .join(" ");
    let unpadded = basic("jo").trim_end_matches('=').to_owned();
    let values = [
        ("authorization", format!("Basic {}", basic("someone@example.com"))),
        ("authorization", format!("Basic {}", basic(""))),
        ("authorization", format!("basic {}", basic("x"))),
        ("authorization", format!("BASIC   {}", basic("x"))),
        ("authorization", format!("Basic {spaced}")),
        ("authorization", format!("Basic {unpadded}")),
        ("authorization", format!("Bearer {token}")),
        ("authorization", format!("bearer {token}")),
        ("x-api-key", token.clone()),
    ];
    for (name, value) in values {
        w.get(PROFILE).header(name, &value).expect_status(200).expect_cache("hit").await;
    }
    // The same token twice is no disagreement.
    let both = w.get(PROFILE).as_("a").header("x-api-key", &token);
    both.expect_status(200).expect_cache("hit").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tokens_that_disagree_are_refused() {
    let w = World::new().await;
    let other = w.person("b").token;
    w.get(PROFILE)
        .as_("a")
        .header("x-api-key", &other)
        .expect_refusal(400, "conflicting_credentials")
        .await;
    let step = w.get(PROFILE).as_("a").header("authorization", &format!("Bearer {other}"));
    step.expect_refusal(400, "conflicting_credentials").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_presents_nothing_is_challenged() {
    let w = World::new().await;
    // Net::OnApp sends credentials only to exactly this realm.
    let step = w.get(PROFILE).expect_refusal(401, "no_credentials");
    step.expect_header("www-authenticate", REALM).await;
    for value in ["Basic", "Basic !!", "Digest username=x", "Basic bm8tY29sb24"] {
        let step = w.get(PROFILE).header("authorization", value);
        step.expect_refusal(401, "bad_credentials").expect_header("www-authenticate", REALM).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_not_good_is_refused() {
    let w = World::new().await;
    let garbled = format!("{}x", w.person("a").token);
    for token in [&*garbled, "tg_live_x", "short", &"k".repeat(40), &"k".repeat(300)] {
        let step = w.get(PROFILE).header("x-api-key", token).expect_refusal(401, "invalid_token");
        step.expect_header("www-authenticate", REALM).await;
    }
    // The upstream's own password is nobody's token.
    w.get(PROFILE).header("x-api-key", &secret_of("a")).expect_refusal(401, "invalid_token").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_has_its_time_and_its_place() {
    let w = World::new().await;
    let elsewhere = "192.0.2.0/24".parse().expect("a range");
    let here = "127.0.0.0/8".parse().expect("a range");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after it");
    let now = i64::try_from(now.as_secs()).expect("before its end");
    let any = TokenTerms::default;
    w.add_token("expired", "a", "a", &TokenTerms { expires: Some(now + 2), ..any() });
    w.add_token("early", "a", "a", &TokenTerms { not_before: Some(now + 100), ..any() });
    w.add_token("elsewhere", "a", "a", &TokenTerms { addresses: vec![elsewhere], ..any() });
    w.add_token("here", "a", "a", &TokenTerms { addresses: vec![elsewhere, here], ..any() });
    // Nothing is made that has expired already.
    tokio::time::sleep(Duration::from_millis(2100)).await;
    for who in ["expired", "early", "elsewhere"] {
        w.get(PROFILE).as_(who).expect_refusal(401, "invalid_token").await;
    }
    w.get(PROFILE).as_("here").origin(json("{}")).expect_status(200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_tokens_are_limited_and_good_ones_are_not() {
    let w = World::with("failed_tokens.failed_tokens_burst = 2").await;
    let bad = || w.get(PROFILE).header("x-api-key", "k");
    bad().expect_refusal(401, "invalid_token").await;
    bad().expect_refusal(401, "invalid_token").await;
    let limited = bad().expect_refusal(429, "too_many_failed_tokens").await;
    let wait: u64 = limited.header("retry-after").parse().expect("seconds");
    assert!((1..=60).contains(&wait), "{wait}");
    // The address is full of failures; whoever has a token is let in all the same,
    w.get(PROFILE).as_("a").origin(json("{}")).expect_status(200).await;
    // and a request without credentials is no failure.
    w.get(PROFILE).expect_refusal(401, "no_credentials").await;
    let limited =
        "tollgate_limiter_decisions_total{limiter=\"failed_tokens\",decision=\"limited\"}";
    assert_eq!(w.metric(limited).await, 1.0);
}
