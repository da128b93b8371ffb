//! Prometheus, as Debian packages it, before the admin listener.

use std::{net::TcpListener, time::Duration};

use bytes::Bytes;
use http::Request;
use serde_json::Value;

use crate::{
    harness::within,
    panel::{House, admin_at, direct, local},
    program::{Program, command, find, run},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_scrapes_and_answers_queries() {
    let house = busy().await;
    let folder = tempfile::tempdir().expect("a folder");
    let target = house.card().admin.trim_start_matches("http://").replace("localhost", "127.0.0.1");
    let config = format!(
        "global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\n\
         scrape_configs: [{{job_name: tollgate, static_configs: [{{targets: ['{target}']}}]}}]\n"
    );
    std::fs::write(folder.path().join("prometheus.yml"), config).expect("written");
    // It cannot be told to take any port, so it is told one that was free a moment ago.
    let free = TcpListener::bind(("127.0.0.1", 0)).and_then(|l| l.local_addr()).expect("a port");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let arguments = [
        format!("--config.file={}", path("prometheus.yml")),
        format!("--storage.tsdb.path={}", path("data")),
        format!("--web.listen-address={free}"),
    ];
    let mut program = Program::start(command(find("prometheus", "prometheus"), arguments), "");

    let query = async |query: &str| {
        let request = Request::get(format!("/api/v1/query?query={query}")).body(Bytes::new());
        let answer = direct(free, request.expect("a request")).await;
        // Until it is ready it says so, and not in JSON.
        let page: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        page["data"]["result"].clone()
    };
    within("a target that is up", async {
        while tokio::net::TcpStream::connect(free).await.is_err() {
            assert!(program.is_running(), "{:?}", program.complaint("err"));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        while query("up")
            .await
            .as_array()
            .is_none_or(|found| found.iter().all(|series| series["value"][1] != "1"))
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let requests = query("sum(tollgate_requests_total)").await;
    let count: f64 =
        requests[0]["value"][1].as_str().and_then(|n| n.parse().ok()).expect("a number");
    assert_eq!(count, house.metric("tollgate_requests_total").await);
    let build = query("tollgate_build_info").await;
    assert_eq!(build[0]["metric"]["version"], env!("CARGO_PKG_VERSION"), "{build}");
    program.signal(rustix::process::Signal::TERM);
    tokio::task::spawn_blocking(move || program.end_within(Duration::from_secs(20)))
        .await
        .expect("an end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promtool_has_no_complaint() {
    let house = busy().await;
    let page = admin_at(local(&house.card().admin), "/metrics").await;
    let promtool = find("promtool", "prometheus");
    let checked = run(command(promtool, ["check", "metrics"]), &page).await;
    assert_eq!((checked.code, &*checked.out, &*checked.err), (Some(0), "", ""), "{checked:?}");
    for name in [
        "requests_total",
        "request_duration_seconds_bucket",
        "rejections_total",
        "cache_lookups_total",
        "cache_entries",
        "cache_bytes",
        "cache_evictions_total",
        "cache_invalidations_total",
        "upstream_requests_total",
        "upstream_duration_seconds_bucket",
        "upstream_connections",
        "limiter_decisions_total",
        "tls_handshakes_total",
        "connections",
        "build_info",
        "reloads_total",
    ] {
        assert!(page.contains(&format!("\ntollgate_{name}")), "{name} is missing: {page}");
    }
}

/// A demo that has seen something of everything.
async fn busy() -> House {
    let house = House::new().await;
    let machine = house.machines("alice")[0].id;
    for target in ["/virtual_machines.json", "/virtual_machines.json", "/nowhere.json"] {
        house.get("alice", target).await;
    }
    let body = r#"{"virtual_machine":{"label":""}}"#;
    house.ask("alice", &format!("PUT /virtual_machines/{machine}.json"), body).await;
    for _ in 0..5 {
        house.get("carol", "/version.xml").await;
    }
    house.get("bob", "/virtual_machines/1;x.json").await;
    house
}
