//! What is answered from memory, what is not, and what says so.

use std::time::Duration;

use crate::harness::{Reply, World, json, xml};

const LIST: &str = r#"[{"virtual_machine":{"id":1,"label":"web"}}]"#;
const XML: &str = "<virtual_machines type=\"array\"/>\n";
const VMS: &str = "/virtual_machines.json";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_miss_and_then_a_hit() {
    let w = World::new().await;
    let miss = w.get(VMS).as_("a").origin(json(LIST)).asks("GET /virtual_machines.json");
    miss.expect_status(200).expect_cache("miss").expect_body(LIST).await;
    w.get(VMS).as_("a").no_origin().expect_status(200).expect_cache("hit").expect_body(LIST).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_format_is_fetched_by_itself() {
    let w = World::new().await;
    w.get(VMS).as_("a").origin(json(LIST)).expect_cache("miss").await;
    let step = w.get("/virtual_machines.xml").as_("a").origin(xml(XML));
    step.asks("GET /virtual_machines.xml").expect_cache("miss").expect_body(XML).await;
    w.get("/virtual_machines.xml").as_("a").expect_cache("hit").expect_body(XML).await;
    w.get(VMS).as_("a").expect_cache("hit").expect_body(LIST).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_spelling_of_a_target_is_one_entry() {
    let w = World::new().await;
    let vm = "/virtual_machines/1.json";
    w.get(vm).as_("a").origin(json("{}")).asks("GET /virtual_machines/1.json").await;
    for alias in
        ["//virtual_machines/1.json", "/virtual_machines/%31.json", "/virtual_machines/1.json?"]
    {
        w.get(alias).as_("a").expect_cache("hit").await;
    }
    // Another query is another entry, byte for byte.
    w.get("/virtual_machines/1.json?short").as_("a").origin(json("{}")).expect_cache("miss").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hit_is_one_for_every_protocol() {
    use crate::harness::Speaks;
    let w = World::new().await;
    let miss = w.get(VMS).as_("a").over(Speaks::Http2).origin(json(LIST));
    miss.expect_cache("miss").expect_body(LIST).await;
    w.get(VMS).as_("a").over(Speaks::Http1).expect_cache("hit").expect_body(LIST).await;
    w.get(VMS).as_("a").over(Speaks::NoAlpn).expect_cache("hit").expect_body(LIST).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_is_answered_from_the_get() {
    let w = World::new().await;
    let length = LIST.len().to_string();
    // The fill is a GET even when a HEAD leads it.
    let first = w.head(VMS).as_("a").origin(json(LIST)).asks("GET /virtual_machines.json");
    first
        .expect_status(200)
        .expect_cache("miss")
        .expect_body("")
        .expect_header("content-length", &length)
        .await;
    w.get(VMS).as_("a").expect_cache("hit").expect_body(LIST).await;
    let hit = w.head(VMS).as_("a").expect_cache("hit").expect_body("");
    hit.expect_header("content-length", &length).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hit_says_what_a_client_needs_to_know() {
    let w = World::new().await;
    w.get(VMS).as_("a").origin(json(LIST)).expect_header("age", "").await;
    let hit = w.get(VMS).as_("a").expect_cache("hit").expect_header("age", "0");
    hit.expect_header("cache-control", "private, max-age=0, must-revalidate")
        .expect_header("vary", "Authorization, Accept")
        .expect_header("content-type", "application/json; charset=utf-8")
        .expect_header("cache-status", "tollgate; hit")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_has_is_not_sent_again() {
    let w = World::new().await;
    let miss = w.get(VMS).as_("a").origin(json(LIST)).await;
    let tag = miss.header("etag").to_owned();
    assert!(tag.starts_with('"'), "a strong tag, and not the upstream's: {tag}");
    let hit = w.get(VMS).as_("a").header("if-none-match", &tag);
    let hit =
        hit.expect_status(304).expect_cache("hit").expect_body("").expect_header("etag", &tag);
    hit.await;
    let weak = format!("\"x\", W/{tag}");
    w.get(VMS).as_("a").header("if-none-match", &weak).expect_status(304).await;
    w.head(VMS).as_("a").header("if-none-match", &tag).expect_status(304).await;
    let other = w.get(VMS).as_("a").header("if-none-match", "\"x\"");
    other.expect_status(200).expect_body(LIST).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_miss_can_be_what_the_client_has() {
    let w = World::new().await;
    let tag = w.get(VMS).as_("a").origin(json(LIST)).await.header("etag").to_owned();
    w.put("/virtual_machines/1.json").as_("a").origin(json("{}")).await;
    let again = w.get(VMS).as_("a").header("if-none-match", &tag).origin(json(LIST));
    // The condition is the client's, so the fill does not carry it.
    let again = again.sees(|seen| assert_eq!(seen.header("if-none-match"), None));
    again.expect_status(304).expect_cache("miss").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_versions_have_two_tags_and_two_formats_too() {
    let w = World::new().await;
    let first = w.get(VMS).as_("a").origin(json(LIST)).await;
    let other = w.get("/virtual_machines.xml").as_("a").origin(xml(XML)).await;
    assert_ne!(first.header("etag"), other.header("etag"));
    w.put("/virtual_machines/1.json").as_("a").origin(json("{}")).await;
    let second = w.get(VMS).as_("a").origin(json("[]")).await;
    assert_ne!(first.header("etag"), second.header("etag"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_get_with_a_body_is_passed_through() {
    let w = World::new().await;
    let transactions = "/transactions.json";
    w.get(transactions).as_("a").origin(json("[]")).expect_cache("miss").await;
    let page = w.get(transactions).as_("a").body("application/json", r#"{"page":2}"#);
    let page = page.origin(json("[2]")).sees(|seen| {
        assert_eq!(seen.line(), "GET /transactions.json");
        assert_eq!(seen.body, br#"{"page":2}"#);
        assert_eq!(seen.header("content-type"), Some("application/json"));
    });
    page.expect_cache("bypass:request-body").expect_body("[2]").await;
    w.get(transactions).as_("a").expect_cache("hit").expect_body("[]").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_get_with_null_for_a_body_has_none() {
    let w = World::new().await;
    let null = || w.get(VMS).as_("a").body("application/json", "null");
    null().origin(json(LIST)).sees(|seen| assert!(seen.body.is_empty())).expect_cache("miss").await;
    null().expect_cache("hit").expect_body(LIST).await;
    // Four bytes that are not it.
    let other = w.get(VMS).as_("a").body("application/json", "true").origin(json("[]"));
    other.sees(|seen| assert_eq!(seen.body, b"true")).expect_cache("bypass:request-body").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unlisted_read_touches_its_own_partition_alone() {
    let w = World::new().await;
    for who in ["a", "b"] {
        w.get(VMS).as_(who).origin(json(LIST)).expect_cache("miss").await;
    }
    let unlisted = w.get("/virtual_machines/1/who_knows.json").as_("a").origin(json("{}"));
    unlisted.expect_cache("bypass:unlisted").await;
    w.get(VMS).as_("b").expect_cache("hit").await;
    w.get(VMS).as_("a").origin(json(LIST)).expect_cache("miss").await;
    let again = w.get("/virtual_machines/1/who_knows.json").as_("a").origin(json("{}"));
    again.expect_cache("bypass:unlisted").await;
    assert_eq!(w.metric("tollgate_unlisted_reads_total").await, 2.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unlisted_reads_can_be_declared_harmless() {
    let w = World::with("gateway.unlisted_reads_harmless = true").await;
    w.get(VMS).as_("a").origin(json(LIST)).await;
    let unlisted = w.get("/who_knows.json").as_("reader").origin(json("{}"));
    unlisted.expect_status(200).expect_cache("bypass:unlisted").await;
    w.get(VMS).as_("a").expect_cache("hit").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_odd_id_is_never_kept_and_counts_as_a_write() {
    let w = World::new().await;
    for odd in ["01", "1-foo", "1abc", "+1", "%201", "1;x"] {
        w.get("/virtual_machines/1.json").as_("a").origin(json("{}")).expect_cache("miss").await;
        let target = format!("/virtual_machines/{odd}.json");
        w.get(&target).as_("a").origin(json("{}")).expect_cache("write").await;
        w.get(&target).as_("reader").expect_refusal(403, "read_only_token").await;
    }
    // An identifier is no odd id, and neither is a MAC address where none is declared odd.
    let identifier = "/virtual_machines/abcdefghijklmn.json";
    w.get(identifier).as_("a").origin(json("{}")).expect_cache("miss").await;
    w.get(identifier).as_("a").expect_cache("hit").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_get_with_an_effect_is_a_write() {
    let w = World::new().await;
    w.get("/backups.json").as_("b").origin(json("[]")).expect_cache("miss").await;
    let effect = w.get("/backups/7/convert.json").as_("a").origin(json("{}"));
    effect.asks("GET /backups/7/convert.json").expect_cache("write").await;
    w.get("/backups.json").as_("b").origin(json("[]")).expect_cache("miss").await;
    w.get("/backups/7/convert.json").as_("reader").expect_refusal(403, "read_only_token").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_must_not_be_kept_is_not() {
    let w = World::new().await;
    w.add_reader_of_secrets("knows");
    let replies = [
        (json(LIST).status(422), 422, "miss:status"),
        (json(LIST).status(500), 500, "miss:status"),
        (
            Reply::new(200).header("Content-Type", "text/html").body("<html>"),
            200,
            "miss:content-type",
        ),
        (xml(XML), 200, "miss:content-type"),
        (Reply::new(200).body("[]"), 200, "miss:content-type"),
    ];
    for (reply, status, cache) in replies {
        for _ in 0..2 {
            let step = w.get(VMS).as_("knows").origin(reply.clone());
            step.expect_status(status).expect_cache(cache).await;
        }
    }
    w.get(VMS).as_("knows").origin(json(LIST)).expect_cache("miss").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_store_is_obeyed_and_remembered() {
    let w = World::new().await;
    let secret =
        || json(LIST).without("Cache-Control").header("Cache-Control", "private, no-store");
    let first = w.get(VMS).as_("a").origin(secret());
    first.expect_cache("miss:no-store").expect_header("cache-control", "private, no-store").await;
    // Its next readers do not wait for each other.
    w.get(VMS).as_("a").origin(secret()).expect_cache("bypass:uncacheable").await;
    w.get(VMS).as_("b").origin(secret()).expect_cache("miss:no-store").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_is_streamed_and_remembered() {
    let w = World::with("cache.max_entry = \"1KiB\"").await;
    let large = format!("[\"{}\"]", "x".repeat(2000));
    let first = w.get(VMS).as_("a").origin(json(large.clone()));
    first.expect_cache("miss:too-large").expect_body(large.clone()).await;
    let second = w.get(VMS).as_("a").origin(json("").chunks(&[&large[..1000], &large[1000..]]));
    second.expect_cache("bypass:uncacheable").expect_body(large.clone()).await;
    // One byte decides: the bound itself is kept.
    let fits = "x".repeat(1024);
    w.get("/version.json").as_("a").origin(json(fits.clone())).expect_cache("miss").await;
    w.get("/version.json").as_("a").expect_cache("hit").expect_body(fits).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_without_a_length_is_too_large_when_it_turns_out_to_be() {
    let w = World::with("cache.max_entry = \"1KiB\"").await;
    let chunk = "x".repeat(700);
    let reply = json("").chunks(&[&chunk, &chunk, &chunk]);
    let step = w.get(VMS).as_("a").origin(reply);
    step.expect_cache("miss:too-large").expect_body(chunk.repeat(3)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_truncated_reply_is_an_error_and_never_kept() {
    let w = World::new().await;
    w.get(VMS)
        .as_("a")
        .origin(json("").cut(100, "[1,2"))
        .expect_refusal(502, "upstream_broken")
        .await;
    let half = Reply::raw(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n[1,2\r\n",
    );
    w.get(VMS).as_("a").origin(half.then_close()).expect_refusal(502, "upstream_broken").await;
    w.get(VMS).as_("a").origin(json(LIST)).expect_cache("miss").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_in_chunks_is_kept_like_any_other() {
    let w = World::new().await;
    let reply = json("").chunks(&["[1,", "2]"]);
    w.get(VMS).as_("a").origin(reply).expect_cache("miss").expect_body("[1,2]").await;
    w.get(VMS)
        .as_("a")
        .expect_cache("hit")
        .expect_body("[1,2]")
        .expect_header("content-length", "5")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_class_has_its_lifetime() {
    let w =
        World::with("cache = { inventory_lifetime = \"60ms\", volatile_lifetime = \"0s\" }").await;
    let fixed = "/version.json";
    w.get(fixed).as_("a").origin(json("{}")).expect_cache("miss").await;
    w.get(VMS).as_("a").origin(json(LIST)).expect_cache("miss").await;
    tokio::time::sleep(Duration::from_millis(70)).await;
    w.get(VMS).as_("a").origin(json(LIST)).expect_cache("miss").await;
    w.get(fixed).as_("a").expect_cache("hit").await;
    // No lifetime is never.
    w.get("/transactions.json").as_("a").origin(json("[]")).expect_cache("bypass:never").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operators_route_is_kept_by_its_own_rules() {
    let routes = r#"
        [[routes]]
        pattern = "/files/:name<word>"
        class = "static"
        families = ["files"]
        as_is = true
        [[routes]]
        pattern = "/reports"
        class = "never"
        families = ["files"]
    "#;
    let w = World::with(routes).await;
    w.add_reader_of_secrets("knows");
    let file = || Reply::new(200).header("Content-Type", "text/csv").body("a,\"api_key\":\"b\"");
    let first = w.get("/files/one").as_("knows").accept("text/csv").origin(file());
    let first = first.asks("GET /files/one").expect_cache("miss");
    first.expect_body("a,\"api_key\":\"b\"").expect_header("content-type", "text/csv").await;
    w.get("/files/one").as_("knows").expect_cache("hit").await;
    w.get("/reports.json").as_("a").origin(json("[]")).expect_cache("bypass:never").await;
    w.post("/files.json").as_("a").origin(json("{}")).expect_status(200).await;
    w.get("/files/one").as_("knows").origin(file()).expect_cache("miss").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operators_route_is_searched_for_secrets_unless_it_says_otherwise() {
    let routes = r#"
        [[routes]]
        pattern = "/racks"
        families = ["racks"]
        as_is = true
        [[routes]]
        pattern = "/images"
        families = ["racks"]
        as_is = true
        masked = false
    "#;
    let w = World::with(routes).await;
    let keys = || json(r#"[{"api_key":"5d41402abc"}]"#);
    let masked = w.get("/racks").as_("a").origin(keys());
    masked.expect_body(r#"[{"api_key":"********"}]"#).await;
    w.get("/racks").as_("a").expect_cache("hit").expect_body(r#"[{"api_key":"********"}]"#).await;
    let shown = w.get("/images").as_("a").origin(keys());
    shown.expect_body(r#"[{"api_key":"5d41402abc"}]"#).await;
    // What does not say what it is, is searched as what was asked for.
    let silent = Reply::new(200).body(r#"{"api_key":"5d41402abc"}"#);
    let silent = w.get("/profile.json").as_("a").origin(silent);
    silent.expect_body(r#"{"api_key":"********"}"#).await;
    let other = Reply::new(200).header("Content-Type", "application/hal+json");
    let other = w.get("/profile.json").as_("a").origin(other.body(r#"{"api_key":"5d41402abc"}"#));
    other.expect_body(r#"{"api_key":"********"}"#).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_credential_empties_its_partition() {
    let w = World::new().await;
    w.get(VMS).as_("a").origin(json(LIST)).await;
    w.get(VMS).as_("b").origin(json(LIST)).await;
    let refused = Reply::new(401).header("Content-Type", "text/html").body("<html>who?</html>");
    w.get("/profile.json").as_("a").origin(refused).expect_refusal(502, "credential_refused").await;
    w.get(VMS).as_("a").origin(json(LIST)).expect_cache("miss").await;
    w.get(VMS).as_("b").expect_cache("hit").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_403_empties_its_family() {
    let w = World::new().await;
    let vm = "/virtual_machines/1.json";
    w.get(VMS).as_("a").origin(json(LIST)).await;
    w.get("/version.json").as_("a").origin(json("{}")).await;
    let forbidden = json(r#"{"errors":["You do not have permissions"]}"#).status(403);
    w.get(vm)
        .as_("a")
        .origin(forbidden)
        .expect_status(403)
        .expect_header("tollgate-error", "")
        .await;
    w.get(VMS).as_("a").origin(json(LIST)).expect_cache("miss").await;
    w.get("/version.json").as_("a").expect_cache("hit").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_crowds_the_others_out() {
    let small = "cache = { capacity = \"4MiB\", max_entry = \"1MiB\", max_partition_percent = 50 }";
    let w = World::with(small).await;
    let body = || json(format!("[\"{}\"]", "x".repeat(150 << 10)));
    let others: Vec<_> = (0..8).map(|n| format!("/virtual_machines.json?page={n}")).collect();
    for target in &others {
        w.get(target).as_("b").origin(body()).expect_cache("miss").await;
    }
    let mut refused = 0;
    for n in 0..60 {
        let target = format!("/virtual_machines.json?per_page={n}");
        let answer = w.get(&target).as_("a").origin(body()).await;
        refused += usize::from(answer.cache() == "miss:partition-share");
    }
    assert!((40..=50).contains(&refused), "{refused} of 60 found no room");
    for target in &others {
        w.get(target).as_("b").expect_cache("hit").await;
    }
}
