//! Scenarios over real sockets: what a client of a control panel sees.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

/// A reply as it came over the wire.
struct Got {
    status: u16,
    head: String,
    body: String,
}

impl Got {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The text of the first such field in a JSON body.
    fn field(&self, name: &str) -> String {
        let json: serde_json::Value = serde_json::from_str(&self.body).expect("JSON");
        find(&json, name).unwrap_or_else(|| panic!("no {name} in {}", self.body)).to_string()
    }
}

fn find<'a>(json: &'a serde_json::Value, name: &str) -> Option<&'a serde_json::Value> {
    match json {
        serde_json::Value::Object(fields) => {
            fields.get(name).or_else(|| fields.values().find_map(|value| find(value, name)))
        }
        serde_json::Value::Array(items) => items.iter().find_map(|item| find(item, name)),
        _ => None,
    }
}

fn basic(login: &str, password: &str) -> String {
    format!("Authorization: Basic {}\r\n", STANDARD.encode(format!("{login}:{password}")))
}

async fn panel(options: Options) -> Simulator {
    Simulator::start(options).await.expect("a simulator")
}

async fn quick() -> Simulator {
    panel(Options { job_duration: Duration::from_millis(40), ..Options::default() }).await
}

/// Sends a request as it stands and reads to the end of the connection.
async fn raw(simulator: &Simulator, request: &str) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(simulator.addr()).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).await?;
    Ok(reply)
}

async fn send(simulator: &Simulator, line: &str, headers: &str, body: &str) -> Got {
    let length = body.len();
    let request = format!(
        "{line} HTTP/1.1\r\nHost: panel\r\nConnection: close\r\nContent-Length: {length}\r\n\
         {headers}\r\n{body}"
    );
    let reply = raw(simulator, &request).await.expect("a reply");
    let reply = String::from_utf8(reply).expect("UTF-8");
    let (head, body) = reply.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
    Got { status, head: head.to_owned(), body: body.to_owned() }
}

/// As a user, with its key.
async fn ask(simulator: &Simulator, login: &str, line: &str) -> Got {
    tell(simulator, login, line, "").await
}

async fn tell(simulator: &Simulator, login: &str, line: &str, body: &str) -> Got {
    let user = simulator.user(login).expect("a user");
    let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
    send(simulator, line, &format!("{}{kind}", basic(&user.email, &user.api_key)), body).await
}

#[tokio::test]
async fn a_list_in_both_formats_with_rails_headers() {
    let panel = quick().await;
    let json = ask(&panel, "alice", "GET /virtual_machines.json").await;
    assert_eq!(json.status, 200);
    assert_eq!(json.header("content-type"), Some("application/json; charset=utf-8"));
    assert_eq!(json.header("cache-control"), Some("max-age=0, private, must-revalidate"));
    assert!(json.header("etag").is_some_and(|tag| tag.starts_with("W/\"")));
    assert!(json.header("set-cookie").is_some_and(|c| c.starts_with("_session_id=")));
    assert!(json.body.starts_with("[{\"virtual_machine\":{"), "{}", json.body);
    assert!(json.body.contains(r"Päckchen \u0026 \u003cfront\u003e"));
    let xml = ask(&panel, "alice", "GET /virtual_machines.xml").await;
    assert_eq!(xml.header("content-type"), Some("application/xml; charset=utf-8"));
    let start = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
                 <virtual_machines type=\"array\">\n  <virtual_machine>\n";
    assert!(xml.body.starts_with(start), "{}", xml.body);
    assert!(xml.body.contains("<note>Päckchen &amp; &lt;front&gt;</note>"));
    assert!(xml.body.contains("<ip_addresses type=\"array\">\n      <ip_address>\n"));
}

#[tokio::test]
async fn nobody_unknown_gets_in_and_a_cookie_is_enough() {
    let panel = quick().await;
    let alice = panel.user("alice").expect("alice");
    let refused = send(&panel, "GET /profile.json", "", "").await;
    assert_eq!(refused.status, 401);
    assert_eq!(refused.header("content-type"), Some("text/html; charset=utf-8"));
    let realm = "Basic realm=\"OnApp API Authentication\"";
    assert_eq!(refused.header("www-authenticate"), Some(realm));
    for (login, password) in [
        (&alice.login, &alice.password),
        (&alice.login, &alice.api_key),
        (&alice.email, &alice.api_key),
    ] {
        let got = send(&panel, "GET /profile.json", &basic(login, password), "").await;
        assert_eq!((got.status, got.field("api_key")), (200, format!("\"{}\"", alice.api_key)));
    }
    let wrong = send(&panel, "GET /profile.json", &basic(&alice.email, &alice.password), "").await;
    assert_eq!(wrong.status, 401);
    let profile = ask(&panel, "alice", "GET /profile.json").await;
    let cookie = profile.header("set-cookie").and_then(|c| c.split(';').next()).expect("a cookie");
    let bob = panel.user("bob").expect("bob");
    let both = format!("{}Cookie: {cookie}\r\n", basic(&bob.email, &bob.api_key));
    let got = send(&panel, "GET /profile.json", &both, "").await;
    assert_eq!(got.field("login"), "\"alice\"");
    assert!(panel.revoke("alice"));
    assert_eq!(send(&panel, "GET /profile.json", &both, "").await.field("login"), "\"bob\"");
    let old = basic(&alice.email, &alice.api_key);
    assert_eq!(send(&panel, "GET /profile.json", &old, "").await.status, 401);
}

#[tokio::test]
async fn each_sees_its_own_and_the_administrator_all() {
    let panel = quick().await;
    let bobs = panel.machines().into_iter().find(|m| m.user_id == 2).expect("a machine of bob's");
    let line = format!("GET /virtual_machines/{}.json", bobs.id);
    let hidden = ask(&panel, "alice", &line).await;
    assert_eq!(
        (hidden.status, hidden.body.as_str()),
        (404, r#"{"errors":["Resource not found"]}"#)
    );
    let xml = ask(&panel, "alice", "GET /virtual_machines/99.xml").await;
    let expected = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<errors type=\"array\">\n  \
                    <error>Resource not found</error>\n</errors>\n";
    assert_eq!(xml.body, expected);
    let own = ask(&panel, "bob", &line).await;
    assert!(!own.body.contains("admin_note"));
    assert!(ask(&panel, "admin", &line).await.body.contains("admin_note"));
    let all = ask(&panel, "admin", "GET /virtual_machines.json").await;
    assert_eq!(all.body.matches("\"virtual_machine\":").count(), panel.machines().len());
    assert_eq!(ask(&panel, "alice", "GET /settings/hypervisors.json").await.status, 403);
    assert_eq!(ask(&panel, "alice", "GET /users/2.json").await.status, 403);
}

#[tokio::test]
async fn one_machine_has_many_spellings() {
    let panel = quick().await;
    let first = panel.machines().remove(0);
    let plain = ask(&panel, "alice", "GET /virtual_machines/1.json").await.body;
    for id in ["01", "1-foo", "1abc", "+1", "%201", "1;x", "%31", &first.identifier] {
        let got = ask(&panel, "alice", &format!("GET /virtual_machines/{id}.json")).await;
        assert_eq!(got.body, plain, "{id}");
    }
    for target in ["//virtual_machines/1.json", "/virtual_machines/1.json/"] {
        assert_eq!(ask(&panel, "alice", &format!("GET {target}")).await.body, plain, "{target}");
    }
    for target in ["/virtual_machines/1.JSON", "/virtual_machines/1%2ejson", "/virtual_machines/1"]
    {
        let got = ask(&panel, "alice", &format!("GET {target}")).await;
        assert_eq!((got.status, got.body.as_str()), (406, ""), "{target}");
    }
    let lost = ask(&panel, "alice", "GET /nowhere.json").await;
    assert_eq!((lost.status, lost.body.as_str()), (404, r#"{"status":404,"error":"Not Found"}"#));
}

#[tokio::test]
async fn a_startup_locks_at_once_and_shows_at_the_end() {
    let panel = panel(Options::default()).await;
    let before = ask(&panel, "alice", "GET /virtual_machines/2.json").await;
    assert_eq!(before.field("booted"), "false");
    let accepted = ask(&panel, "alice", "POST /virtual_machines/2/startup.json").await;
    assert_eq!((accepted.status, accepted.field("locked")), (201, "true".to_owned()));
    let during = ask(&panel, "alice", "GET /virtual_machines/2.json").await;
    assert_eq!((during.field("locked"), during.field("booted")), ("true".into(), "false".into()));
    let running = ask(&panel, "alice", "GET /transactions.json").await;
    assert_eq!(running.field("status"), "\"running\"");
    panel.settle_all();
    let after = ask(&panel, "alice", "GET /virtual_machines/2.json").await;
    assert_eq!((after.field("locked"), after.field("booted")), ("false".into(), "true".into()));
    assert_ne!(after.field("updated_at"), before.field("updated_at"));
    assert_eq!(
        ask(&panel, "alice", "GET /transactions/1.json").await.field("status"),
        "\"complete\""
    );
}

#[tokio::test]
async fn a_transaction_ends_by_itself() {
    let panel = quick().await;
    ask(&panel, "alice", "POST /virtual_machines/2/startup.json").await;
    for _ in 0..200 {
        if ask(&panel, "alice", "GET /virtual_machines/2.json").await.field("booted") == "true" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the machine never started");
}

#[tokio::test]
async fn a_refused_change_still_moves_the_time_of_change() {
    let panel = quick().await;
    let updated_at =
        async || ask(&panel, "alice", "GET /virtual_machines/1.json").await.field("updated_at");
    let blank = r#"{"virtual_machine":{"label":""}}"#;
    let mut shown = vec![updated_at().await];
    for suffix in ["json", "xml"] {
        let line = format!("PUT /virtual_machines/1.{suffix}");
        let refused = tell(&panel, "alice", &line, blank).await;
        assert_eq!(refused.status, 422);
        let expected = match suffix {
            "json" => r#"{"errors":{"label":["can't be blank"]}}"#,
            _ => {
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<errors>\n  \
                 <error>Label can't be blank</error>\n</errors>\n"
            }
        };
        assert_eq!(refused.body, expected);
        shown.push(updated_at().await);
    }
    assert!(panel.touch_vm(1));
    shown.push(updated_at().await);
    assert_eq!(shown.len(), std::collections::BTreeSet::from_iter(&shown).len(), "{shown:?}");
    let broken = tell(&panel, "alice", "PUT /virtual_machines/1.json", "{'label':'x'}").await;
    assert_eq!(broken.status, 400);
}

#[tokio::test]
async fn a_machine_comes_and_goes_at_once() {
    let panel = quick().await;
    let body = r#"{"virtual_machine":{"label":"new","hostname":"new","memory":128,"cpus":1,
        "cpu_shares":1,"template_id":1,"primary_disk_size":5,"swap_disk_size":1}}"#;
    let made = tell(&panel, "alice", "POST /virtual_machines.json", body).await;
    assert_eq!((made.status, made.field("locked")), (201, "true".to_owned()));
    assert_eq!(made.header("cache-control"), Some("no-cache"));
    let identifier = made.field("identifier").trim_matches('"').to_owned();
    let location = format!("{}/virtual_machines/{identifier}", panel.url());
    assert_eq!(made.header("location"), Some(location.as_str()));
    assert_eq!(made.field("total_disk_size"), "6");
    let list = ask(&panel, "alice", "GET /virtual_machines.json").await;
    assert!(list.body.contains(&identifier));
    let line = format!("DELETE /virtual_machines/{identifier}.json?destroy_all_backups=0");
    let gone = ask(&panel, "alice", &line).await;
    assert_eq!((gone.status, gone.body.as_str()), (204, ""));
    let list = ask(&panel, "alice", "GET /virtual_machines.json").await;
    assert!(!list.body.contains(&identifier));
    let newest = ask(&panel, "alice", "GET /transactions.json?per_page=100").await;
    assert_eq!(newest.field("action"), "\"destroy_virtual_machine\"");
}

#[tokio::test]
async fn a_post_may_mean_another_method() {
    let panel = quick().await;
    let user = panel.user("carol").expect("carol");
    let carols: Vec<_> = panel.machines().into_iter().filter(|m| m.user_id == user.id).collect();
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let ways = [
        ("X-HTTP-Method-Override: delete\r\nContent-Type: text/plain\r\n", ""),
        ("X_HTTP_METHOD_OVERRIDE: DELETE\r\nContent-Type: application/json\r\n", ""),
        (form, "a=1;%5Fmethod=delete"),
        ("", "_method=delete"),
    ];
    for ((headers, body), machine) in ways.into_iter().zip(&carols) {
        let line = format!("POST /virtual_machines/{}.json", machine.id);
        let headers = format!("{}{headers}", basic(&user.email, &user.api_key));
        assert_eq!(send(&panel, &line, &headers, body).await.status, 204, "{headers}{body}");
    }
    assert!(!panel.machines().iter().any(|m| m.user_id == user.id));
}

#[tokio::test]
async fn pages_have_all_three_headers_or_none() {
    let panel = panel(Options { machines: Some(12), ..Options::default() }).await;
    let plain = ask(&panel, "alice", "GET /virtual_machines.json").await;
    assert_eq!(plain.header("x-total"), None);
    for (line, body) in [
        ("GET /virtual_machines.json?page=2&per_page=5", ""),
        ("GET /virtual_machines.json/page/2/per_page/5", ""),
        ("GET /virtual_machines.json?", r#"{"page":2,"per_page":"5"}"#),
    ] {
        let got = tell(&panel, "alice", line, body).await;
        let headers = ["x-page", "x-limit", "x-total"].map(|name| got.header(name));
        assert_eq!(headers, [Some("2"), Some("5"), Some("12")], "{line}");
        assert_eq!(got.body.matches("\"virtual_machine\":").count(), 5, "{line}");
        assert_eq!(got.field("id"), "6", "{line}");
    }
}

#[tokio::test]
async fn an_unchanged_read_is_a_304() {
    let panel = quick().await;
    let first = ask(&panel, "alice", "GET /templates.json").await;
    let alice = panel.user("alice").expect("alice");
    let tag = first.header("etag").expect("a tag");
    let headers = format!("{}If-None-Match: {tag}\r\n", basic(&alice.email, &alice.api_key));
    let second = send(&panel, "GET /templates.json", &headers, "").await;
    assert_eq!((second.status, second.body.as_str()), (304, ""));
    assert_eq!(second.header("etag"), Some(tag));
    let accept = format!("{}Accept: application/xml\r\n", basic(&alice.email, &alice.api_key));
    let xml = send(&panel, "GET /templates", &accept, "").await;
    assert_eq!(xml.header("vary"), Some("Accept"));
    assert!(xml.body.contains("<image_templates type=\"array\">"));
}

#[tokio::test]
async fn a_part_that_changes_changes_its_machine() {
    let panel = quick().await;
    let before = ask(&panel, "alice", "GET /virtual_machines/1.json").await;
    let disk = r#"{"disk":{"disk_size":7}}"#;
    let made = tell(&panel, "alice", "POST /virtual_machines/1/disks.json", disk).await;
    assert_eq!((made.status, made.field("built")), (201, "false".to_owned()));
    panel.settle_all();
    let after = ask(&panel, "alice", "GET /virtual_machines/1.json").await;
    assert_eq!([&before, &after].map(|m| m.field("total_disk_size")), ["11", "18"]);
    let line = format!("GET /settings/disks/{}.json", made.field("id"));
    assert_eq!(ask(&panel, "alice", &line).await.field("built"), "true");
    let rules = "/virtual_machines/1/firewall_rules";
    for port in ["80", "443"] {
        let rule = format!("{{\"firewall_rule\":{{\"port\":\"{port}\"}}}}");
        tell(&panel, "alice", &format!("POST {rules}.json"), &rule).await;
    }
    let first = ask(&panel, "alice", &format!("GET {rules}.json")).await.field("id");
    ask(&panel, "alice", &format!("DELETE {rules}/{first}.json")).await;
    let left = ask(&panel, "alice", &format!("GET {rules}.json")).await;
    assert_eq!((left.field("port"), left.field("position")), ("\"80\"".into(), "1".into()));
}

#[tokio::test]
async fn a_machine_changes_hands() {
    let panel = quick().await;
    let xml = "<user_id type=\"integer\">2</user_id>";
    let admin = panel.user("admin").expect("the administrator");
    let headers = format!("{}Content-Type: text/xml\r\n", basic(&admin.login, &admin.password));
    let line = "POST /virtual_machines/1/change_owner.json";
    assert_eq!(ask(&panel, "alice", line).await.status, 403);
    assert_eq!(send(&panel, line, &headers, xml).await.field("user_id"), "2");
    assert_eq!(ask(&panel, "alice", "GET /virtual_machines/1.json").await.status, 404);
    assert_eq!(ask(&panel, "bob", "GET /virtual_machines/1/disks.json").await.field("id"), "1");
    let bobs = ask(&panel, "bob", "GET /users/2/virtual_machines.json").await;
    assert_eq!(bobs.field("id"), "1");
}

#[tokio::test]
async fn reads_with_effects_and_new_keys() {
    let panel = quick().await;
    let old = panel.user("bob").expect("bob");
    let changed = ask(&panel, "bob", "POST /users/2/make_new_api_key.json").await;
    let new = panel.user("bob").expect("bob");
    assert_ne!(new.api_key, old.api_key);
    assert_eq!(changed.field("api_key"), format!("\"{}\"", new.api_key));
    let further = ask(&panel, "bob", "POST /users/2/user_api_keys/generate.json").await;
    let key = further.field("api_key").trim_matches('"').to_owned();
    let profile = async |key: &str| {
        send(&panel, "GET /profile.json", &basic(&old.email, key), "").await.status
    };
    assert_eq!([profile(&old.api_key).await, profile(&key).await], [401, 200]);
    let suspended = ask(&panel, "admin", "GET /users/2/suspend.json").await;
    assert_eq!((suspended.status, suspended.field("status")), (200, "\"suspended\"".into()));
    assert_eq!(profile(&key).await, 401);
    ask(&panel, "admin", "GET /users/2/activate_user.json").await;
    assert_eq!(profile(&key).await, 200);
    let console = async || {
        ask(&panel, "alice", "GET /virtual_machines/1/console.json").await.field("remote_key")
    };
    assert_ne!(console().await, console().await);
}

#[tokio::test]
async fn what_was_asked_is_remembered() {
    let panel = quick().await;
    tell(&panel, "bob", "PUT /users/2.json?a=%41", r#"{"user":{"first_name":"B"}}"#).await;
    ask(&panel, "alice", "GET /version.json").await;
    let seen = panel.seen();
    assert_eq!(
        (seen[0].target.as_str(), seen[0].user.as_deref()),
        ("/users/2.json?a=%41", Some("bob"))
    );
    assert_eq!(&seen[0].body[..], br#"{"user":{"first_name":"B"}}"#);
    assert!(seen[0].complete && seen[0].headers.contains_key("authorization"));
    assert_eq!(
        (panel.count("GET", "/"), panel.count("PUT", "/users"), panel.count("POST", "/")),
        (1, 1, 0)
    );
    panel.clear_seen();
    assert!(panel.seen().is_empty());
    assert!(!format!("{:?}", panel.users()).contains(&panel.users()[0].api_key));
}

#[tokio::test]
async fn faults_come_as_often_as_they_were_asked_for() {
    let panel = quick().await;
    panel.fault("GET /version", 2, Fault::Status { status: 502, applied: false });
    for status in [502, 502, 200] {
        assert_eq!(ask(&panel, "alice", "GET /version.json").await.status, status);
    }
    panel.fault("/version", 1, Fault::OneSpace);
    assert_eq!(ask(&panel, "alice", "GET /version.json").await.body, " ");
    panel.fault("/version", 1, Fault::LargeBody(100_000));
    assert_eq!(ask(&panel, "alice", "GET /version.json").await.body.len(), 100_000);
    panel.fault("/version", 1, Fault::NoStore);
    let got = ask(&panel, "alice", "GET /version.json").await;
    assert_eq!(got.header("cache-control"), Some("no-store"));
    panel.fault("/version", 1, Fault::ContentType("text/html"));
    let got = ask(&panel, "alice", "GET /version.json").await;
    assert_eq!(
        (got.header("content-type"), got.body.as_str()),
        (Some("text/html"), r#"{"version":"3.0.12"}"#)
    );
    panel.fault("/version", 1, Fault::Chunked);
    let got = ask(&panel, "alice", "GET /version.json").await;
    assert_eq!(got.header("transfer-encoding"), Some("chunked"));
    let slow = Fault::SlowBody { piece: 5, pause: Duration::from_millis(2) };
    panel.fault("/version", 1, slow);
    assert_eq!(ask(&panel, "alice", "GET /version.json").await.body, r#"{"version":"3.0.12"}"#);
    panel.fault("/version", 1, Fault::EarlyStatus(413));
    assert_eq!(ask(&panel, "alice", "GET /version.json").await.status, 413);
}

#[tokio::test]
async fn connections_break_where_they_were_asked_to() {
    let panel = quick().await;
    let alice = panel.user("alice").expect("alice");
    let request = format!(
        "GET /version.json HTTP/1.1\r\nHost: panel\r\nConnection: close\r\n{}\r\n",
        basic(&alice.login, &alice.password)
    );
    panel.fault("/version", 1, Fault::CloseBeforeReply { applied: true });
    assert_eq!(raw(&panel, &request).await.expect("an end"), b"");
    panel.fault("/version", 1, Fault::ResetBeforeHead { applied: false });
    let reset = raw(&panel, &request).await.expect_err("a reset");
    assert_eq!(reset.kind(), io::ErrorKind::ConnectionReset);
    panel.fault("/version", 1, Fault::ResetInBody);
    let reset = raw(&panel, &request).await.expect_err("a reset");
    assert_eq!(reset.kind(), io::ErrorKind::ConnectionReset);
    panel.fault("/version", 1, Fault::TruncatedBody);
    let half = String::from_utf8(raw(&panel, &request).await.expect("half")).expect("UTF-8");
    assert!(
        half.contains("Content-Length: 20\r\n") && half.ends_with("\r\n\r\n{\"version\""),
        "{half}"
    );
    panel.fault("/version", 1, Fault::TruncatedChunks);
    let half = String::from_utf8(raw(&panel, &request).await.expect("half")).expect("UTF-8");
    assert!(half.ends_with("\r\n\r\nA\r\n{\"version\"\r\n"), "{half}");
}

#[tokio::test]
async fn a_gate_holds_what_it_was_asked_to_and_no_more() {
    let panel = quick().await;
    let gate = panel.hold("GET /virtual_machines/1", Stage::BeforeReply, 1);
    let (held, ()) = tokio::join!(ask(&panel, "alice", "GET /virtual_machines/1.json"), async {
        gate.arrived().await.expect("the read to come");
        assert!(panel.touch_vm(1));
        let later = ask(&panel, "alice", "GET /virtual_machines/1.json").await;
        assert_eq!((later.status, gate.held()), (200, 1));
        gate.release();
    });
    let now = ask(&panel, "alice", "GET /virtual_machines/1.json").await;
    assert_ne!(
        held.field("updated_at"),
        now.field("updated_at"),
        "the held reply is the older one"
    );
}

#[tokio::test]
async fn work_goes_on_when_its_client_has_left() {
    let panel = quick().await;
    let alice = panel.user("alice").expect("alice");
    let gate = panel.hold("DELETE", Stage::BeforeAction, 1);
    drop(gate);
    let gate = panel.hold("DELETE /virtual_machines/1", Stage::BeforeAction, 1);
    let mut stream = TcpStream::connect(panel.addr()).await.expect("a connection");
    let head = format!(
        "DELETE /virtual_machines/1.json HTTP/1.1\r\nHost: panel\r\n{}\r\n",
        basic(&alice.email, &alice.api_key)
    );
    stream.write_all(head.as_bytes()).await.expect("a request");
    gate.arrived().await.expect("the request to come");
    drop(stream);
    gate.release();
    for _ in 0..200 {
        if !panel.machines().iter().any(|m| m.id == 1) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the machine is still there");
}

#[tokio::test]
async fn five_hundred_readers_at_once() {
    let panel = Arc::new(quick().await);
    panel.delay("GET /virtual_machines", Duration::from_millis(100));
    let started = std::time::Instant::now();
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..500 {
        let panel = Arc::clone(&panel);
        readers
            .spawn(async move { ask(&panel, "alice", "GET /virtual_machines.json").await.status });
    }
    let statuses = readers.join_all().await;
    assert!(statuses.iter().all(|status| *status == 200));
    assert!(started.elapsed() >= Duration::from_millis(100));
    assert_eq!(panel.count("GET", "/virtual_machines"), 500);
}

#[tokio::test]
async fn two_readers_in_two_zones_see_two_times() {
    let panel = quick().await;
    let carols = panel.machines().into_iter().find(|m| m.user_id == 3).expect("a machine");
    let line = format!("GET /virtual_machines/{}.json", carols.id);
    assert!(ask(&panel, "carol", &line).await.field("updated_at").ends_with(".000+02:00\""));
    assert!(ask(&panel, "admin", &line).await.field("updated_at").ends_with(".000Z\""));
}

#[tokio::test]
async fn the_same_panel_over_tls() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = rustls_pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der());
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.expect("a key"))
        .expect("a configuration");
    let panel = panel(Options { tls: Some(Arc::new(config)), ..Options::default() }).await;
    assert!(panel.url().starts_with("https://127.0.0.1:"));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("a root");
    let client =
        rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
    let tcp = TcpStream::connect(panel.addr()).await.expect("a connection");
    let name = rustls_pki_types::ServerName::try_from("localhost").expect("a name");
    let mut stream = connector.connect(name, tcp).await.expect("a handshake");
    let alice = panel.user("alice").expect("alice");
    let request = format!(
        "GET /version.xml HTTP/1.1\r\nHost: panel\r\n{}\r\n",
        basic(&alice.email, &alice.api_key)
    );
    stream.write_all(request.as_bytes()).await.expect("a request");
    let mut reply = [0; 12];
    stream.read_exact(&mut reply).await.expect("a reply");
    assert_eq!(&reply, b"HTTP/1.1 200");
    assert_eq!((panel.accepted_connections(), panel.open_connections()), (1, 1));
    panel.cut_connections();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    drop(panel);
}

#[tokio::test]
async fn it_stops_with_its_handle() {
    let panel = quick().await;
    let addr = panel.addr();
    let mut idle = TcpStream::connect(addr).await.expect("a connection");
    idle.write_all(b"GET /").await.expect("a beginning");
    drop(panel);
    let mut rest = Vec::new();
    let _ = idle.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
    for _ in 0..200 {
        if TcpStream::connect(addr).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it still listens");
}
