//! What the known clients of the panel send, byte for byte, and what they cannot do without.

use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::{harness::RawReply, panel::House};

const LIST: &str = "/virtual_machines.json";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_official_php_wrapper() {
    let house = House::new().await;
    for (target, body) in
        [("/version.json?", ""), ("/virtual_machines.json?", "null"), ("/version.json?", "")]
    {
        let fields = format!(
            "Accept: application/json\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n",
            body.len()
        );
        let reply = ask(&house, "GET", target, &fields, body).await;
        assert_eq!(reply.status, 200, "{target}: {reply:?}");
        assert_eq!(reply.text(), direct(&house, target.trim_end_matches('?')).await);
        // It compares the line, not the header.
        let line = "\r\nContent-Type: application/json; charset=utf-8\r\n";
        assert!(reply.head.contains(line), "{}", reply.head);
        assert_title_case(&reply);
    }
    let stale = r#"{"virtual_machine":{"label":"left over from the call before"}}"#;
    let reply = json(&house, "GET", "/virtual_machines.json?", stale).await;
    assert_eq!(reply.text(), direct(&house, LIST).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_json_in_title_case_too() {
    let house = House::new().await;
    let mut client = house.raw().await;
    let head = format!("GET {LIST} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n");
    assert!(client.send(head).await);
    let reply = client.reply().await;
    assert_eq!(reply.status, 401);
    let errors: serde_json::Value = serde_json::from_slice(&reply.body).expect("JSON");
    assert!(errors["errors"][0].is_string(), "{errors}");
    assert_title_case(&reply);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_official_go_sdk() {
    let house = House::new().await;
    let machine = house.machines("alice")[0].id;
    json(&house, "POST", &format!("/virtual_machines/{machine}/reboot.json"), "").await;
    house.panel().settle_all();
    for (target, paged) in [
        ("/transactions.json?per_page=100", true),
        ("/transactions.json?per_page=100", true),
        (LIST, false),
    ] {
        let mut client = house.raw().await;
        let fields = "Accept: application/json\r\nConnection: close\r\nUser-Agent: Go-http-client/1.1\r\nAccept-Encoding: gzip\r\n";
        assert!(client.send(head(&house, "GET", target, fields)).await);
        let reply = client.reply().await;
        let said = ["X-Page", "X-Limit", "X-Total"].map(|name| reply.header(name).is_some());
        assert!(said == [paged; 3] || said == [true; 3], "{target}: {}", reply.head);
        assert!(reply.header("x-limit").is_none_or(|limit| limit != "0"));
        assert_eq!(reply.header("connection").map(str::to_ascii_lowercase), Some("close".into()));
        assert_eq!(client.rest().await, "", "the connection goes on");
    }
    let body = r#"{"virtual_machine":{"label":""}}"#;
    let reply = json(&house, "PUT", &format!("/virtual_machines/{machine}.json"), body).await;
    assert_eq!(reply.text(), r#"{"errors":{"label":["can't be blank"]}}"#, "a map");
    let reply = json(&house, "GET", "/virtual_machines/99999.json", "").await;
    assert!(reply.text().starts_with(r#"{"errors":["#), "a list: {}", reply.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alexzorin_onapp_doubles_the_slash() {
    let house = House::new().await;
    let machine = house.machines("alice")[0].id;
    let reply = ask(&house, "GET", &format!("//virtual_machines/{machine}.json"), "", "").await;
    let target = format!("/virtual_machines/{machine}.json");
    assert_eq!((reply.status, reply.text()), (200, direct(&house, &target).await));
    let backups = format!("/virtual_machines/{machine}/backups.json");
    let backups: serde_json::Value =
        serde_json::from_str(&direct(&house, &backups).await).expect("JSON");
    let backup = format!("//backups/{}.json", backups[0]["backup"]["id"]);
    let reply = ask(&house, "DELETE", &backup, "", "").await;
    assert_eq!((reply.status, reply.body.len()), (204, 0), "exactly 204: {reply:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_onapp_shouts_and_says_nothing_else() {
    let house = House::new().await;
    let mut client = house.raw().await;
    let authorization = house.authorization("alice");
    let head = format!(
        "GET {LIST} HTTP/1.1\r\nAUTHORIZATION: {authorization}\r\nHost: localhost\r\n\
         Connection: close\r\n\r\n"
    );
    assert!(client.send(head).await);
    let reply = client.reply().await;
    assert_eq!((reply.status, reply.text()), (200, direct(&house, LIST).await));
    // Without a suffix and an Accept the panel would answer 406, and we in the tenant's format.
    let mut client = house.raw().await;
    let head = format!(
        "GET /virtual_machines HTTP/1.1\r\nAUTHORIZATION: {authorization}\r\nHost: localhost\r\n\r\n"
    );
    assert!(client.send(head).await);
    let reply = client.reply().await;
    assert_eq!((reply.status, reply.text()), (200, direct(&house, LIST).await));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pyonapp_sends_null_with_everything() {
    let house = House::new().await;
    let machine = house.machines("alice")[0].id;
    for expected in ["fwd=miss; stored", "hit"] {
        let reply = json(&house, "GET", LIST, "null").await;
        assert_eq!((reply.status, reply.text()), (200, direct(&house, LIST).await));
        let cache = reply.header("cache-status").expect("a Cache-Status");
        assert!(cache.ends_with(expected), "{cache}");
    }
    let target = format!("/virtual_machines/{machine}");
    let reply = json(&house, "POST", &format!("{target}/reboot.json"), "null").await;
    assert_eq!(reply.status, 201, "{reply:?}");
    let reply = json(&house, "DELETE", &format!("{target}.json"), "null").await;
    assert_eq!(reply.status, 204, "{reply:?}");
    let seen = house.panel().seen();
    assert!(seen.iter().filter(|s| s.method != "GET").all(|s| &s.body[..] == b"null"), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn net_onapp_waits_for_the_challenge() {
    let house = House::new().await;
    let fields =
        "TE: deflate,gzip;q=0.3\r\nConnection: TE, close\r\nUser-Agent: libwww-perl/6.05\r\n";
    let mut client = house.raw().await;
    let stranger = format!("GET {LIST} HTTP/1.1\r\n{fields}Host: localhost\r\n\r\n");
    assert!(client.send(stranger).await);
    let challenge = client.reply().await;
    assert_eq!(challenge.status, 401);
    let realm = challenge.header("www-authenticate");
    assert_eq!(realm, Some("Basic realm=\"OnApp API Authentication\""));
    let reply = ask(&house, "GET", LIST, fields, "").await;
    assert_eq!((reply.status, reply.text()), (200, direct(&house, LIST).await));
    assert!(!house.panel().seen().iter().any(|s| s.headers.contains_key("te")));
    // Whoever waits for a challenge fails no token, however often.
    for _ in 0..40 {
        let mut client = house.raw().await;
        let stranger = format!("GET {LIST} HTTP/1.1\r\n{fields}Host: localhost\r\n\r\n");
        assert!(client.send(stranger).await);
        assert_eq!(client.reply().await.status, 401);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn perl_scripts_break_their_base64() {
    let house = House::new().await;
    let alice = house.tenant("alice");
    let pair = BASE64_STANDARD.encode(format!("{}:{}", alice.login, alice.token));
    let (left, right) = pair.split_at(57);
    let bare = pair.trim_end_matches('=');
    for value in [
        format!("basic {pair}"),
        format!("Basic {left} {right}"),
        format!("basic  {left} {right} "),
        format!("BASIC {bare}"),
    ] {
        let mut client = house.raw().await;
        let head =
            format!("GET {LIST} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {value}\r\n\r\n");
        assert!(client.send(head).await);
        let reply = client.reply().await;
        assert_eq!(reply.status, 200, "{}: {reply:?}", value.replace(bare, "…"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn squall_sends_everything_in_the_query() {
    let house = House::new().await;
    let machine = house.machines("alice")[0].id;
    let query = "virtual_machine[label]=by-squall&virtual_machine[note]=a+note";
    let form = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 0\r\n";
    let target = format!("/virtual_machines/{machine}.json");
    json(&house, "GET", &target, "").await;
    let reply = ask(&house, "PUT", &format!("{target}?{query}"), form, "").await;
    assert_eq!(reply.status, 204, "{reply:?}");
    let shown = json(&house, "GET", &target, "").await.text();
    assert!(shown.contains(r#""label":"by-squall""#), "{shown}");
    let body = "virtual_machine[label]=by-form";
    let form = format!(
        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
        body.len()
    );
    let reply = ask(&house, "PUT", &target, &form, body).await;
    assert_eq!(reply.status, 204, "{reply:?}");
    let shown = json(&house, "GET", &target, "").await.text();
    assert!(shown.contains(r#""label":"by-form""#), "{shown}");
    let sent = house.panel().seen().into_iter().find(|s| s.target.contains('?')).expect("one");
    assert_eq!(sent.target, format!("{target}?{query}"), "the query keeps its bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_no_json_is_the_panels_to_refuse() {
    let house = House::new().await;
    let body = "{'user_id':'2'}";
    let machine = house.machines("alice")[0].id;
    let target = format!("/virtual_machines/{machine}/reboot.json");
    let reply = json(&house, "POST", &target, body).await;
    assert_eq!((reply.status, reply.header("tollgate-error")), (400, None), "{reply:?}");
    assert_eq!(house.panel().seen().last().expect("one").body, body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn xml_in_and_json_out() {
    let house = House::new().await;
    let machine = house.machines("alice")[0].id;
    let body = "<virtual_machine><label>by-xml</label></virtual_machine>";
    let fields = format!("Content-Type: application/xml\r\nContent-Length: {}\r\n", body.len());
    let target = format!("/virtual_machines/{machine}.json");
    assert_eq!(ask(&house, "PUT", &target, &fields, body).await.status, 204);
    assert!(json(&house, "GET", &target, "").await.text().contains(r#""label":"by-xml""#));
    let xml = format!("/virtual_machines/{machine}.xml");
    let reply = ask(&house, "GET", &xml, "Accept: */*\r\n", "").await;
    assert_eq!(reply.header("content-type"), Some("application/xml; charset=utf-8"));
    assert_eq!(reply.text(), direct(&house, &xml).await);
}

/// Every name is in title case: what the wrapper's parser looks for.
fn assert_title_case(reply: &RawReply) {
    for line in reply.head.lines().skip(1) {
        let (name, _) = line.split_once(':').expect("a field");
        let title = |part: &str| part.chars().next().is_some_and(|c| !c.is_ascii_lowercase());
        assert!(name.split('-').all(title), "{line:?} is not in title case");
    }
}

fn head(house: &House, method: &str, target: &str, fields: &str) -> String {
    let authorization = house.authorization("alice");
    format!(
        "{method} {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {authorization}\r\n\
         {fields}\r\n"
    )
}

async fn ask(house: &House, method: &str, target: &str, fields: &str, body: &str) -> RawReply {
    let mut client = house.raw().await;
    let message = head(house, method, target, fields) + body;
    assert!(client.send(message).await);
    client.reply().await
}

async fn json(house: &House, method: &str, target: &str, body: &str) -> RawReply {
    let fields = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    ask(house, method, target, &fields, body).await
}

async fn direct(house: &House, target: &str) -> String {
    house.direct("alice", target).await.text().to_owned()
}
