//! Every refusal of the gateway: its status, its code, its shape in each format.

use tollgate::{
    api::format::ErrorFormat, auth::presented::PresentError, limit::Limited, rejection::Rejection,
    vocabulary::Format,
};

use crate::harness::{Answer, Reply, Step, World, json};

/// The three shapes of a refusal, and how a client gets each.
const SHAPES: [(&str, &str); 4] = [
    ("json", "*/*"),
    ("xml", "*/*"),
    ("json", "application/json, application/problem+json"),
    ("json", "application/json, application/problem+xml"),
];

/// Refuses in every shape; `ask` is given a world and a path that ends in the format.
async fn check(
    overrides: &str,
    path: &str,
    code: (u16, &'static str),
    origin: Option<Reply>,
    ask: impl for<'w> Fn(&'w World, &str) -> Step<'w>,
) {
    for (suffix, accept) in SHAPES {
        let w = World::with(overrides).await;
        let target = path.replace("{}", suffix);
        let mut step = ask(&w, &target).accept(accept).expect_refusal(code.0, code.1);
        if let Some(reply) = origin.clone() {
            step = step.origin(reply);
        }
        let answer = step.await;
        check_shape(&answer, suffix, accept);
    }
}

fn check_shape(answer: &Answer, suffix: &str, accept: &str) {
    let text = answer.text();
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("cache-status"), "");
    assert_eq!(answer.header("x-request-id").len(), 16);
    if accept.contains("problem+xml") {
        assert_eq!(answer.header("content-type"), "application/problem+xml");
        let (status, code) = (answer.status, answer.code());
        for part in [&*format!("<status>{status}</status>"), &format!("<code>{code}</code>")] {
            assert!(text.contains(part), "{text}");
        }
        assert!(text.contains("<problem xmlns=\"urn:ietf:rfc:7807\">"), "{text}");
    } else if accept.contains("problem+json") {
        assert_eq!(answer.header("content-type"), "application/problem+json");
        let value: serde_json::Value = serde_json::from_str(text).expect("JSON");
        assert_eq!(value["status"], answer.status);
        assert_eq!(value["code"], answer.code());
        assert!(value["title"].is_string() && value["detail"].is_string(), "{text}");
    } else if suffix == "xml" {
        assert_eq!(answer.header("content-type"), "application/xml; charset=utf-8");
        let head = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<errors type=\"array\">\n  <error>";
        assert!(text.starts_with(head) && text.ends_with("</error>\n</errors>\n"), "{text}");
    } else {
        assert_eq!(answer.header("content-type"), "application/json; charset=utf-8");
        let value: serde_json::Value = serde_json::from_str(text).expect("JSON");
        assert!(
            value["errors"].as_array().is_some_and(|e| e.len() == 1 && e[0].is_string()),
            "{text}"
        );
    }
}

const VMS: &str = "/virtual_machines.{}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_requests() {
    check("", "/a.{}?b=1;c=2", (400, "bad_target"), None, |w, t| w.get(t).as_("a")).await;
    check("", VMS, (405, "method_not_served"), None, |w, t| w.ask("TRACE", t).as_("a")).await;
    check("", VMS, (400, "upgrade_refused"), None, |w, t| {
        w.get(t).as_("a").header("upgrade", "h2c")
    })
    .await;
    check("", VMS, (400, "bad_method_override"), None, |w, t| {
        w.post(t).as_("a").header("x-http-method-override", "GET")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials() {
    check("", VMS, (401, "no_credentials"), None, |w, t| w.get(t)).await;
    check("", VMS, (401, "bad_credentials"), None, |w, t| w.get(t).header("authorization", "x"))
        .await;
    check("", VMS, (401, "invalid_token"), None, |w, t| w.get(t).header("x-api-key", "x")).await;
    check("", VMS, (400, "conflicting_credentials"), None, |w, t| {
        w.get(t).as_("a").header("x-api-key", "x")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn permissions() {
    check("", VMS, (403, "read_only_token"), None, |w, t| w.post(t).as_("reader")).await;
    check("", VMS, (403, "out_of_scope"), None, |w, t| w.get(t).as_("not-vms")).await;
    check("", "/users/1/suspend.{}", (403, "guarded_route"), None, |w, t| w.get(t).as_("a")).await;
    let console = "/virtual_machines/1/console.{}";
    check("", console, (403, "secrets_hidden"), None, |w, t| w.get(t).as_("a")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_impossible_wish() {
    let w = World::new().await;
    let answer =
        w.get("/users").as_("a").accept("text/html").expect_refusal(406, "not_acceptable").await;
    check_shape(&answer, "json", "");
    let answer = w.get("/users?format=csv").as_("a").accept("application/xml");
    check_shape(&answer.expect_refusal(406, "not_acceptable").await, "xml", "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_the_cache_was_to_answer() {
    check("", VMS, (504, "not_cached"), None, |w, t| {
        w.get(t).as_("a").header("cache-control", "only-if-cached")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits() {
    for (suffix, accept) in SHAPES {
        let w = World::with("failed_tokens.failed_tokens_burst = 1").await;
        let target = VMS.replace("{}", suffix);
        for _ in 0..2 {
            w.put(&target).as_("tight").origin(json("{}")).await;
        }
        let limited =
            w.put(&target).as_("tight").accept(accept).expect_refusal(429, "rate_limited");
        check_shape(&limited.await, suffix, accept);
        w.get(&target).header("x-api-key", "x").await;
        let failed = w.get(&target).header("x-api-key", "x").accept(accept);
        let failed = failed.expect_refusal(429, "too_many_failed_tokens").await;
        check_shape(&failed, suffix, accept);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies() {
    check("gateway.max_body = \"1KiB\"", VMS, (413, "body_too_large"), None, |w, t| {
        w.post(t).as_("a").body("application/json", "x".repeat(2000))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_does_not_come() {
    let w = World::with("server.body_idle_timeout = \"100ms\"").await;
    let fields = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 10\r\n";
    let mut raw = w.raw().await;
    raw.send(w.raw_request("POST", "/virtual_machines.json", "a", fields) + "abc").await;
    let reply = raw.reply().await;
    assert_eq!((reply.status, reply.code()), (408, "body_timed_out"), "{reply:?}");
    assert_eq!(reply.header("connection"), Some("close"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateway_is_full() {
    check("gateway.max_requests = 0", VMS, (503, "overloaded"), None, |w, t| w.get(t).as_("a"))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deadlines() {
    let never = Some(Reply::never());
    let short = "gateway.read_timeout = \"50ms\"";
    check(short, VMS, (504, "deadline_exceeded"), never.clone(), |w, t| w.get(t).as_("a")).await;
    let short = "upstreams.main.reply_timeout = \"50ms\"";
    check(short, VMS, (504, "upstream_timed_out"), never.clone(), |w, t| w.get(t).as_("a")).await;
    check(short, VMS, (504, "upstream_timed_out"), never, |w, t| w.put(t).as_("a")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_upstream() {
    // Port 9 of loopback: nobody listens.
    let nowhere = "upstreams.main.url = \"http://127.0.0.1:9\"";
    check(nowhere, VMS, (502, "upstream_unreachable"), None, |w, t| w.get(t).as_("a")).await;
    let full = "upstreams.main = { max_connections = 1, max_waiting = 0 }";
    for (suffix, accept) in SHAPES {
        let w = World::with(full).await;
        let held = w.origin.expect(json("{}").gated());
        let mut client = w.connect(crate::harness::Speaks::Http1).await;
        let request = w.request("GET", "/version.json", "a");
        let reading = tokio::spawn(async move { client.send(request).await });
        held.arrived().await;
        let target = VMS.replace("{}", suffix);
        let step = w.get(&target).as_("a").accept(accept).expect_refusal(503, "upstream_saturated");
        check_shape(&step.await, suffix, accept);
        held.release();
        reading.await.expect("no panic").expect("an answer");
    }
    for reply in [Reply::reset(), Reply::hang_up(), Reply::raw("garbage\r\n\r\n")] {
        let reply = Some(reply);
        check("", VMS, (502, "upstream_broken"), reply.clone(), |w, t| w.get(t).as_("a")).await;
        check("", VMS, (502, "upstream_broken"), reply, |w, t| w.put(t).as_("a")).await;
    }
    let unauthorized =
        Some(Reply::new(401).header("WWW-Authenticate", "Basic realm=\"x\"").body("who?"));
    check("", VMS, (502, "credential_refused"), unauthorized, |w, t| w.get(t).as_("a")).await;
    let long = Some(json(format!("[\"{}\"]", "x".repeat(5000))));
    let bound = "gateway.max_masked_text = \"1KiB\"";
    check(bound, VMS, (502, "unmaskable"), long, |w, t| w.get(t).as_("a")).await;
}

/// What cannot be brought about from outside is put in HTTP like the rest. The match is here so
/// that a new refusal does not compile before it has a line in this file.
#[test]
fn every_refusal_is_known_here() {
    fn driven(rejection: &Rejection) -> bool {
        match rejection {
            Rejection::NoUpstream | Rejection::Panicked => false,
            Rejection::Target(_)
            | Rejection::MethodNotServed
            | Rejection::Upgrade
            | Rejection::Override(_)
            | Rejection::NoCredentials
            | Rejection::Presented(PresentError::Disagree | PresentError::Undecodable)
            | Rejection::Token(_)
            | Rejection::FailedTokens(Limited { .. })
            | Rejection::Limited { .. }
            | Rejection::ReadOnly
            | Rejection::OutOfScope
            | Rejection::Policy(_)
            | Rejection::UsedUp { .. }
            | Rejection::Guarded
            | Rejection::SecretsHidden
            | Rejection::Format(_)
            | Rejection::NotCached
            | Rejection::BodyTooLarge(_)
            | Rejection::BodyTimedOut
            | Rejection::BodyBroken
            | Rejection::Overloaded
            | Rejection::DeadlineExceeded
            | Rejection::UpstreamSaturated
            | Rejection::UpstreamDown(Limited { .. })
            | Rejection::UpstreamUnreachable
            | Rejection::UpstreamTimedOut
            | Rejection::UpstreamBroken
            | Rejection::CredentialRefused
            | Rejection::Unmaskable
            | Rejection::Unconvertible
            | Rejection::Body(_)
            // Of keys, by tests/cli/rotation.
            | Rejection::KeyHeld
            | Rejection::VaultAway
            | Rejection::NoKey(_)
            | Rejection::Idempotency(_) => true,
        }
    }
    for (rejection, status, code) in
        [(Rejection::NoUpstream, 502, "no_upstream"), (Rejection::Panicked, 500, "internal")]
    {
        assert!(!driven(&rejection));
        for format in [Format::Json, Format::Xml] {
            let response = rejection.clone().into_response(ErrorFormat::Upstream(format));
            assert_eq!(response.status(), status);
            assert_eq!(response.headers()["tollgate-error"], code);
        }
    }
}
