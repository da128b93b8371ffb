//! What one credential was shown is never shown under another: every listed route, both formats.

use tollgate::{api::routes::Route, vocabulary::RouteClass};

use crate::harness::{Answer, Client, Reply, Seen, Speaks, World, json, until};

/// An origin that says who asked for what.
fn mirror(seen: &Seen) -> Reply {
    let login = seen.login().split(':').next().unwrap_or_default().to_owned();
    let format = seen.header("accept").unwrap_or_default().to_owned();
    let reply = Reply::new(200).header("Content-Type", &format);
    reply.body(format!("{login} {}", seen.line()))
}

async fn read(client: &mut Client, w: &World, target: &str, who: &str) -> Answer {
    client.send(w.request("GET", target, who)).await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_listed_route_in_both_formats() {
    let w = World::new().await;
    w.origin.otherwise(mirror);
    let mut client = w.connect(Speaks::Http2).await;
    let kept = |route: &&Route| route.class != RouteClass::Never;
    let templates: Vec<_> =
        w.process.shared().routes.iter().filter(kept).map(|route| route.template.clone()).collect();
    assert!(templates.len() > 80);
    for template in templates {
        let segments = template.split('/').map(|s| if s.starts_with(':') { "1" } else { s });
        let path = segments.collect::<Vec<_>>().join("/");
        for accept in ["json", "xml"] {
            // As this route has it, the suffix may stand in the middle.
            let target = format!("{path}?format={accept}");
            let first = read(&mut client, &w, &target, "a").await;
            assert_eq!((first.status, &*first.cache()), (200, "miss"), "{target}");
            assert!(first.text().starts_with("a GET /"), "{target}: {}", first.text());
            let other = read(&mut client, &w, &target, "b").await;
            assert_eq!(other.cache(), "miss", "{target}");
            assert!(other.text().starts_with("b GET /"), "{target}: {}", other.text());
            for (who, owner) in [("a", "a"), ("b", "b"), ("c", "a"), ("reader", "a")] {
                let hit = read(&mut client, &w, &target, who).await;
                assert_eq!(hit.cache(), "hit", "{who} {target}");
                assert!(hit.text().starts_with(owner), "{who} {target}: {}", hit.text());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_of_another_partition_proves_nothing() {
    let w = World::new().await;
    let profile = "/profile.json";
    let tag = w.get(profile).as_("a").origin(json("{\"a\":1}")).await.header("etag").to_owned();
    let other = w.get(profile).as_("b").header("if-none-match", &tag).origin(json("{\"b\":1}"));
    other.expect_status(200).expect_body("{\"b\":1}").await;
    let other = w.get(profile).as_("b").header("if-none-match", &tag);
    other.expect_status(200).expect_cache("hit").expect_body("{\"b\":1}").await;
    w.get(profile).as_("c").header("if-none-match", &tag).expect_status(304).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_passes_by_the_cache_is_its_callers_alone() {
    let w = World::new().await;
    w.origin.otherwise(mirror);
    let asked = ["/odd.json", "/virtual_machines/1abc.json", "/snapshots/1/restore.json"];
    for target in asked {
        for who in ["a", "b", "a", "b"] {
            let answer = w.get(target).as_(who).expect_status(200).await;
            assert!(answer.text().starts_with(who), "{target} for {who}: {}", answer.text());
        }
    }
    for who in ["a", "b"] {
        let write = w.put("/virtual_machines/1.json").as_(who).await;
        assert!(write.text().starts_with(who), "{}", write.text());
        let body = w.get("/profile.json").as_(who).body("application/json", "{\"page\":1}").await;
        assert!(body.text().starts_with(who), "{}", body.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_who_ask_at_once_get_their_own() {
    let w = World::new().await;
    w.origin.otherwise(|seen| mirror(seen).after(std::time::Duration::from_millis(20)));
    let mut readers = tokio::task::JoinSet::new();
    for round in 0..10 {
        for (who, owner) in [("a", "a"), ("b", "b"), ("c", "a"), ("tight", "tight")] {
            if who == "tight" && round > 1 {
                continue;
            }
            let reading = w.begin("GET", "/virtual_machines.json", who);
            readers.spawn(async move { (who, owner, reading.await.expect("no panic")) });
        }
    }
    for (who, owner, answer) in readers.join_all().await {
        assert!(answer.text().starts_with(owner), "{who}: {}", answer.text());
    }
    until("all of it", || w.origin.seen().len() == 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_tenant_with_two_credentials_has_two_partitions() {
    let w = World::new().await;
    w.add_credential("second");
    w.add_token("a-second", "a", "second", &Default::default());
    w.origin.otherwise(mirror);
    for (who, owner, cache) in [
        ("a", "a", "miss"),
        ("a-second", "second", "miss"),
        ("a", "a", "hit"),
        ("a-second", "second", "hit"),
    ] {
        let answer = w.get("/profile.json").as_(who).expect_cache(cache).await;
        assert!(answer.text().starts_with(&format!("{owner} ")), "{who}: {}", answer.text());
    }
}
