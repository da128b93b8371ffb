//! `tollgate demo`, as a program drives it and as a person does.

use std::time::Duration;

use rustix::process::Signal;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::Value;

use crate::{
    harness::{Client, Speaks, within},
    panel::{basic, direct, local, request},
    program::{PATIENCE, Program, command, find, tollgate},
};

/// The drain's bound in the demo, and what a process needs on top of it.
const ENDS_WITHIN: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_is_one_line_with_all_that_a_program_needs() {
    let mut demo = Program::start(tollgate(["demo", "--json"]), "");
    let line = demo.line("card");
    let card: Value = serde_json::from_str(&line).expect("JSON");
    let keys =
        |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    let mut wanted = vec!["url", "admin", "ca", "upstream", "tenants"];
    wanted.sort_unstable();
    let mut found = keys(&card);
    found.sort_unstable();
    assert_eq!(found, wanted);
    let tenants = card["tenants"].as_array().expect("a list");
    assert_eq!(tenants.len(), 3);
    for tenant in tenants {
        let mut found = keys(tenant);
        found.sort_unstable();
        assert_eq!(found, ["login", "name", "token", "upstream_key", "upstream_login"]);
    }
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let pem = text(&card["ca"]);
    let trusted = [CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM")];
    let url = text(&card["url"]);
    assert!(url.starts_with("https://localhost:"), "{url}");
    let connected = Client::connect(local(&url), &trusted, Speaks::Http2);
    let mut client = within("a connection", connected).await.expect("a connection");
    for tenant in &tenants[..2] {
        let pair = |login: &str, key: &str| basic(&text(&tenant[login]), &text(&tenant[key]));
        let line = "GET /virtual_machines.json";
        // Faster than three hundred a second for longer than any burst of a tight limit.
        for _ in 0..50 {
            let ours = request(line, &pair("login", "token"), "");
            let ours = client.send(ours).await.expect("an answer");
            assert_eq!(ours.status, 200, "{ours:?}");
            assert!(!ours.text().contains(r#""locked":true"#));
        }
        let ours = client.send(request(line, &pair("login", "token"), "")).await.expect("one");
        let theirs = request(line, &pair("upstream_login", "upstream_key"), "");
        let theirs = direct(local(&text(&card["upstream"])), theirs).await;
        assert_eq!(ours.body, theirs.body);
    }
    demo.signal(Signal::TERM);
    let ended = demo.end_within(ENDS_WITHIN);
    assert_eq!((ended.code, &*ended.out), (Some(0), ""), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_ends_within_its_bound_with_connections_open_and_a_request_under_way() {
    let mut demo = Program::start(tollgate(["demo", "--json"]), "");
    let card: Value = serde_json::from_str(&demo.line("card")).expect("JSON");
    let pem = card["ca"].as_str().expect("text").as_bytes();
    let trusted = [CertificateDer::from_pem_slice(pem).expect("PEM")];
    let address = local(card["url"].as_str().expect("text"));
    let mut idle = Vec::new();
    for speaks in [Speaks::Http1, Speaks::Http2] {
        let connected = Client::connect(address, &trusted, speaks);
        idle.push(within("a connection", connected).await.expect("a connection"));
    }
    // A handshake that never comes, and a head that never ends.
    let silent = tokio::net::TcpStream::connect(address).await.expect("a connection");
    let mut slow = crate::harness::Raw::connect(address, &trusted).await;
    assert!(slow.send("GET /version.json HTTP/1.1\r\nHost: ").await);
    demo.signal(Signal::TERM);
    let ended = demo.end_within(ENDS_WITHIN);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    drop((idle, silent));
}

#[test]
fn two_demos_do_not_quarrel_about_ports() {
    let mut demos: Vec<_> =
        (0..2).map(|_| Program::start(tollgate(["demo", "--json"]), "")).collect();
    let cards: Vec<Value> = demos
        .iter_mut()
        .map(|demo| serde_json::from_str(&demo.line("card")).expect("JSON"))
        .collect();
    for listener in ["url", "admin", "upstream"] {
        assert_ne!(cards[0][listener], cards[1][listener], "{listener}");
    }
    for demo in demos {
        demo.signal(Signal::INT);
        assert_eq!(demo.end_within(ENDS_WITHIN).code, Some(0));
    }
}

/// Every printed command, in order, does what the text beside it says.
#[test]
fn each_printed_command_does_what_is_said_beside_it() {
    let mut demo = Program::start(tollgate(["demo"]), "");
    let mut exports = Vec::new();
    let mut stops: Vec<(String, String)> = Vec::new();
    let mut pasted = String::new();
    while !pasted.contains("tollgate_cache_lookups_total") || stops.is_empty() {
        let line = demo.line("printed line");
        assert!(!line.contains('\u{1b}'), "colored although nobody looks: {line:?}");
        let Some(text) = line.strip_prefix("  ") else { continue };
        if text.starts_with("export ") {
            exports.push(text.to_owned());
        } else if let Some(expected) = text.strip_prefix("# -> ") {
            stops.push((std::mem::take(&mut pasted), expected.to_owned()));
        } else if !text.starts_with('#') && !exports.is_empty() && !text.is_empty() {
            pasted = text.to_owned();
        }
    }
    stops.push((pasted, demo.line("printed line").trim_start_matches("  # -> ").to_owned()));
    assert!(stops.len() >= 10 && exports.len() == 5, "{stops:?}");
    let bash = find("bash", "bash");
    for (pasted, expected) in stops {
        let script = format!("{}\n{pasted}\n", exports.join("\n"));
        let ended = Program::start(command(&bash, ["-e", "-s"]), &script).end_within(PATIENCE);
        assert_eq!((ended.code, &*ended.err), (Some(0), ""), "{pasted}: {ended:?}");
        let shown = ended.out;
        let said = match &*expected {
            "hits, misses, and what passed the cache by" => {
                ["hit", "miss", "bypass"].iter().all(|outcome| {
                    shown.lines().any(|l| l.contains(&format!("outcome=\"{outcome}\"")))
                }) && crate::harness::sum_of(
                    &shown,
                    r#"tollgate_cache_lookups_total{outcome="hit"}"#,
                ) >= 1.0
            }
            exact if shown.contains(exact) => true,
            words => words.split(", ").all(|word| shown.contains(word)),
        };
        assert!(said, "{pasted}\nshows\n{shown}\nnot {expected}");
    }
    demo.signal(Signal::TERM);
    assert_eq!(demo.end_within(ENDS_WITHIN).code, Some(0));
}
