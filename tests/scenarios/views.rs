//! Views: what opens machines is shown to who may read secrets, and masked for everybody else.

use std::time::Duration;

use crate::harness::{Reply, World, json, status, until, within, xml};

const VMS: &str = "/virtual_machines.json";
const VM: &str = "/virtual_machines/7.json";
const VM_XML: &str = "/virtual_machines/7.xml";
const CONSOLE: &str = "/virtual_machines/7/console.json";
const DECRYPTED: &str = "/virtual_machines/7/with_decrypted_password.json?key=abc";

/// A world in which `knows` may read secrets, with the credential of `a`, who may not.
async fn world(overrides: &str) -> World {
    let w = World::with(overrides).await;
    w.add_reader_of_secrets("knows");
    w
}

fn machine(password: &str) -> String {
    format!(
        "{{\"virtual_machine\":{{\"id\":7,\"initial_root_password\":\"{password}\",\
         \"initial_root_password_encrypted\":false,\"remote_access_password\":{},\
         \"service_password\":null,\"label\":\"password\"}}}}",
        if password == "********" { "\"********\"" } else { "12345678" },
    )
}

fn machine_xml(password: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<virtual_machine>\n  \
         <id type=\"integer\">7</id>\n  \
         <initial_root_password>{password}</initial_root_password>\n  \
         <service_password nil=\"true\"/>\n</virtual_machine>\n"
    )
}

const SECRET: &str = "Kx7pQ2\\\"vT";
const MASKED: &str = "********";

/// Where a machine is read in a format, how it looks, and how the panel sends it.
const FORMATS: [Case; 2] = [(VM, machine, json), (VM_XML, machine_xml, xml)];

type Case = (&'static str, fn(&str) -> String, fn(String) -> Reply);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_view_has_its_own_entry_and_its_own_tag_in_both_formats() {
    let w = world("").await;
    for (target, body, reply) in FORMATS {
        let origin = || reply(body(SECRET));
        let hidden = w.get(target).as_("a").origin(origin()).expect_cache("miss");
        let hidden = hidden.expect_body(body(MASKED)).await;
        // What is kept for one is no answer for the other, in either order.
        let shown = w.get(target).as_("knows").origin(origin()).expect_cache("miss");
        let shown = shown.expect_body(body(SECRET)).await;
        assert_ne!(hidden.header("etag"), shown.header("etag"), "{target}");
        for _ in 0..2 {
            w.get(target).as_("a").expect_cache("hit").expect_body(body(MASKED)).await;
            w.get(target).as_("knows").expect_cache("hit").expect_body(body(SECRET)).await;
        }
        let step = w.get(target).as_("a").header("if-none-match", shown.header("etag"));
        step.expect_status(200).expect_body(body(MASKED)).await;
        let step = w.get(target).as_("a").header("if-none-match", hidden.header("etag"));
        step.expect_status(304).expect_body("").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_of_two_views_do_not_share_a_fetch() {
    let w = world("").await;
    let [first, second] = [(), ()].map(|()| w.origin.expect(json(machine(SECRET)).gated()));
    let hidden = w.begin("GET", VM, "a");
    first.arrived().await;
    let shown = w.begin("GET", VM, "knows");
    second.arrived().await;
    first.release();
    second.release();
    let [hidden, shown] = [hidden.await.expect("no panic"), shown.await.expect("no panic")];
    assert_eq!((hidden.text(), shown.text()), (&*machine(MASKED), &*machine(SECRET)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_to_writes_follow_the_view() {
    let w = world("").await;
    for (who, password) in [("a", MASKED), ("knows", SECRET)] {
        let made = w.post(VMS).as_(who).body("application/json", "{}");
        let made = made.origin(json(machine(SECRET)).status(201));
        made.expect_status(201).expect_body(machine(password)).await;
        let made = w.post("/virtual_machines.xml").as_(who).body("application/xml", "<a/>");
        made.origin(xml(machine_xml(SECRET)).status(201)).expect_body(machine_xml(password)).await;
    }
    // What is wrong with a password is told, and is none.
    let wrong = r#"{"errors":{"initial_root_password":["is too short"]}}"#;
    let step = w.post(VMS).as_("a").body("application/json", "{}");
    step.origin(json(wrong).status(422)).expect_status(422).expect_body(wrong).await;
    let step = w.put(VM).as_("a").body("application/json", "{}");
    let step = step.origin(json(machine(SECRET)).status(500));
    step.expect_status(500).expect_body(machine(MASKED)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_in_one_view_is_not_replayed_in_the_other() {
    let w = world("").await;
    for (first, password, other) in [("knows", SECRET, "a"), ("a", MASKED, "knows")] {
        let made = |who| {
            let post = w.post(VMS).as_(who).header("idempotency-key", first);
            post.body("application/json", "{}")
        };
        let answer = made(first).origin(json(machine(SECRET)).status(201));
        answer.expect_status(201).expect_body(machine(password)).await;
        made(first).no_origin().expect_body(machine(password)).await;
        // The key is the tenant's and the credential's, which the two have in common.
        let refused = made(other).expect_refusal(422, "idempotency_key_reused").await;
        assert!(!refused.text().contains("root_password"), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_streams_is_masked_wherever_it_is_cut() {
    let w = world("cache.max_entry = \"1KiB\"").await;
    let padding = format!("\"{}\"", "x".repeat(3000));
    let of = |password: &str| format!("[{padding},{}]", machine(password));
    for cut in [0, 1, 5] {
        for (who, password) in [("a", MASKED), ("knows", SECRET)] {
            let whole = of(SECRET);
            let at = whole.find("Kx7").expect("the password") + cut;
            let (head, tail) = whole.split_at(at);
            // One that is not listed, and one that is too large to keep.
            for target in ["/odd.json", VMS] {
                let reply = json("").chunks(&[head, tail]);
                let step = w.get(target).as_(who).origin(reply);
                let answer = step.expect_body(of(password)).await;
                // The upstream's tag is a hash of the password, too.
                assert_eq!(answer.header("etag").is_empty(), who == "a", "{target} {answer:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_and_a_write_are_felt_in_both_views() {
    let w = world("cache.settle_window = \"0s\"").await;
    let keep = async || {
        for (who, password) in [("a", MASKED), ("knows", SECRET)] {
            let step = w.get(VM).as_(who).origin(json(machine(SECRET)));
            step.expect_cache("miss").expect_body(machine(password)).await;
            w.get(VM).as_(who).expect_cache("hit").await;
        }
    };
    keep().await;
    w.purge(r#"{"path":"/virtual_machines/7"}"#).await;
    keep().await;
    assert_eq!(w.purge(r#"{"all":true,"soft":true}"#).await.entries, Some(2));
    keep().await;
    w.put(VM).as_("knows").origin(status(204)).expect_status(204).await;
    keep().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_learned_in_one_view_is_not_used_in_the_other() {
    let w = world("formats = { learn = true, check_share = 0, pairs_per_second = 100 }").await;
    // A password that is a number: masked, it is none, and a map of the one would spoil the other.
    let in_json = |id: u32, word: &str| {
        format!(r#"{{"virtual_machine":{{"id":{id},"remote_access_password":{word}}}}}"#)
    };
    let in_xml = |id: u32, word: &str| {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<virtual_machine>\n  <id type=\"integer\">{id}</id>\n  \
             <remote_access_password type=\"integer\">{word}</remote_access_password>\n</virtual_machine>\n"
        )
    };
    w.origin.otherwise(move |seen| {
        let id = if seen.target.contains("/8.") { 8 } else { 9 };
        let is_xml = seen.target.ends_with(".xml");
        if is_xml { xml(in_xml(id, "12345678")) } else { json(in_json(id, "12345678")) }
    });
    let pairs = "tollgate_formats_pairs_total";
    // A mask that an element calls a number is nothing that can be learned: that ends it in that view.
    for (who, id, so_far) in [("a", 8, 1.0), ("knows", 8, 2.0), ("knows", 9, 3.0)] {
        for suffix in ["json", "xml"] {
            w.get(&format!("/virtual_machines/{id}.{suffix}")).as_(who).await;
        }
        within("a pair", async {
            while w.metric(pairs).await < so_far {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
    }
    for outcome in ["unlearned", "learned", "proved"] {
        let series = format!("{pairs}{{outcome=\"{outcome}\"}}");
        assert_eq!(w.metric(&series).await, 1.0, "{series}");
    }
    w.purge(r#"{"all":true}"#).await;
    let asked = w.origin.seen().len();
    for (who, word, shown, cache) in
        [("a", "\"********\"", MASKED, "miss"), ("knows", "12345678", "12345678", "hit:derived")]
    {
        w.get("/virtual_machines/8.json").as_(who).expect_body(in_json(8, word)).await;
        let other = w.get("/virtual_machines/8.xml").as_(who).expect_cache(cache);
        other.expect_body(in_xml(8, shown)).await;
    }
    assert_eq!(w.origin.seen().len(), asked + 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stale_or_confirmed_is_shown_in_its_own_view() {
    let config = "cache = { inventory_lifetime = \"30ms\", retry_interval = \"0s\" }\n\
                  upstreams.main.breaker_failures = 0";
    let w = world(config).await;
    let padded = |password: &str| format!("[\"{}\",{}]", "x".repeat(2000), machine(password));
    let tag = "W/\"5d41402abc4b2a76b9719d911017c592\"";
    let tagged = || json(padded(SECRET)).without("ETag").header("ETag", tag);
    for (who, password) in [("a", MASKED), ("knows", SECRET)] {
        let step = w.get(VMS).as_(who).origin(tagged()).expect_cache("miss");
        let step = step.sees(|seen| assert_eq!(seen.header("if-none-match"), None));
        step.expect_body(padded(password)).await;
        tokio::time::sleep(Duration::from_millis(40)).await;
        let known = Reply::new(304).header("ETag", tag);
        w.get(VMS).as_(who).origin(known).expect_body(padded(password)).await;
        tokio::time::sleep(Duration::from_millis(40)).await;
        let stale = w.get(VMS).as_(who).origin(status(503)).expect_body(padded(password));
        stale.expect_cache("hit:stale-if-error").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hit_is_compared_in_its_own_view() {
    let w = world(
        "sampler = { share = 1000000, per_second = 1000, max_in_flight = 100, window = \"1m\" }",
    )
    .await;
    for who in ["a", "knows"] {
        w.get(VM).as_(who).origin(json(machine(SECRET))).expect_cache("miss").await;
        let sample = w.origin.expect(json(machine(SECRET)));
        w.get(VM).as_(who).expect_cache("hit").await;
        sample.arrived().await;
    }
    let metrics = &w.process.shared().observer.metrics;
    let fresh = || {
        metrics.render().contains("cache_samples_total{class=\"inventory\",outcome=\"fresh\"} 2")
    };
    until("two samples", fresh).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routes_that_exist_to_show_a_secret_need_the_permission_and_are_never_kept() {
    let listed = r#"
        routes = [
            { pattern = "/virtual_machines/:id/console", class = "static", families = ["vms"] },
            { pattern = "/virtual_machines/:id/:what<word>", class = "static", families = ["vms"] },
        ]"#;
    for overrides in ["", listed] {
        let w = world(overrides).await;
        let odd = ["/virtual_machines/7/console.html", "/virtual_machines/7abc/console"];
        for target in [CONSOLE, DECRYPTED].into_iter().chain(odd) {
            for method in ["GET", "HEAD", "POST"] {
                w.ask(method, target).as_("a").expect_refusal(403, "secrets_hidden").await;
            }
        }
        for target in [CONSOLE, DECRYPTED] {
            for n in 0..2 {
                let body = format!("{{\"remote_key\":\"{n}\",\"initial_root_password\":\"{n}\"}}");
                let step = w.get(target).as_("knows").origin(json(body.clone()));
                step.expect_status(200).expect_body(body).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_names_further_fields_and_a_key_is_nobodys() {
    let w = world("gateway.secret_fields = [\"wifi_phrase\"]").await;
    let body = |key: &str, phrase: &str| {
        json(format!("{{\"user\":{{\"api_key\":\"{key}\",\"wifi_phrase\":\"{phrase}\"}}}}"))
    };
    let shown = async |who: &str| {
        let step = w.get("/profile.json").as_(who).origin(body("key", "phrase"));
        step.await.text().to_owned()
    };
    let user = |phrase: &str| {
        format!("{{\"user\":{{\"api_key\":\"{MASKED}\",\"wifi_phrase\":\"{phrase}\"}}}}")
    };
    assert_eq!((shown("a").await, shown("knows").await), (user(MASKED), user("phrase")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_is_for_those_who_may_read_all_of_it() {
    let w = world("gateway.unlisted_reads_harmless = true").await;
    let page = || Reply::new(200).header("Content-Type", "text/html").body("value=\"Kx7pQ2vT\"");
    let edit = "/backup_servers/3/edit";
    w.get(edit).as_("a").origin(page()).expect_refusal(403, "secrets_hidden").await;
    w.get(edit).as_("knows").origin(page()).expect_status(200).await;
    // What a write is answered says what became of it, and shows the form once more.
    for (status, target) in [(200, VM), (422, VM), (200, "/backup_servers/3.html")] {
        let form = || page().status(status);
        let put = |who| w.put(target).as_(who).origin(form()).expect_status(status);
        put("a").expect_body("").await;
        put("knows").expect_body("value=\"Kx7pQ2vT\"").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_is_no_way_around_whatever_the_read_counts_as() {
    let w = world("").await;
    // Rails finds machine 7 by either id, and answers by what stands behind the dot.
    for (target, kind) in [
        ("/virtual_machines/7.html", "text/html; charset=utf-8"),
        ("/virtual_machines/01.csv", "text/csv"),
        ("/virtual_machines/7.xls", "application/vnd.ms-excel"),
        ("/backups/7/convert.html", "text/html"),
    ] {
        let page = || Reply::new(200).header("Content-Type", kind).body("value=\"Kx7pQ2vT\"");
        for method in ["GET", "HEAD"] {
            let ask = |who| w.ask(method, target).as_(who).accept("*/*").origin(page());
            ask("a").expect_refusal(403, "secrets_hidden").await;
            ask("knows").expect_status(200).expect_header("content-type", kind).await;
        }
    }
    // What a read did that has an effect is done, whoever may see the page.
    let lists = w.get("/backups.json").as_("a").origin(json("[]"));
    lists.expect_cache("miss:unsettled").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_is_kept_for_those_alone_who_may_read_all_of_it() {
    let routes = r#"
        routes = [
            { pattern = "/reports/kept", families = ["vms"], as_is = true },
            { pattern = "/reports/passed", class = "never", as_is = true },
            { pattern = "/reports/open", families = ["vms"], as_is = true, masked = false },
        ]"#;
    let w = world(routes).await;
    for kind in ["text/csv", "application/csv", "application/vnd.ms-excel"] {
        let table = || Reply::new(200).header("Content-Type", kind).body("7,Kx7pQ2vT\n");
        for _ in 0..2 {
            for target in ["/reports/kept", "/reports/passed"] {
                let refused = w.get(target).as_("a").origin(table());
                refused.expect_refusal(403, "secrets_hidden").await;
            }
        }
        let shown = w.get("/reports/kept").as_("knows").origin(table()).expect_cache("miss");
        shown.expect_body("7,Kx7pQ2vT\n").await;
        w.get("/reports/kept").as_("knows").expect_cache("hit").await;
        let refused = w.get("/reports/kept").as_("a").origin(table());
        refused.expect_refusal(403, "secrets_hidden").await;
        // The operator says that there is nothing in it.
        w.get("/reports/open").as_("a").origin(table()).expect_body("7,Kx7pQ2vT\n").await;
        w.get("/reports/open").as_("a").expect_cache("hit").await;
        w.purge(r#"{"all":true}"#).await;
    }
    // That it is no table after all, or none that was made.
    let refused = Reply::new(404).header("Content-Type", "text/html").body("<h1>404</h1>");
    w.get("/reports/passed").as_("a").origin(refused).expect_status(404).await;
    let masked = w.get("/reports/kept").as_("a").origin(json(machine(SECRET)));
    masked.expect_body(machine(MASKED)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_tells_what_is_hidden_by_its_tag_or_its_length() {
    let w = world("gateway.unlisted_reads_harmless = true").await;
    let unlisted = "/backup_servers/3.json";
    let asked = |name| w.get(unlisted).as_(name).header("if-none-match", "\"a-guess\"");
    let origin = || json(machine(SECRET));
    let unasked = asked("a").origin(origin());
    unasked.sees(|seen| assert_eq!(seen.header("if-none-match"), None)).await;
    let passed = asked("knows").origin(origin());
    passed.sees(|seen| assert_eq!(seen.header("if-none-match"), Some("\"a-guess\""))).await;
    let head = w.head(unlisted).as_("a").origin(json("").header("Content-Length", "222")).await;
    assert_eq!((head.status, head.header("content-length")), (200, ""));
}
