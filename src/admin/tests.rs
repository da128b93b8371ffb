//! The admin listener over real sockets.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, timeout},
};

use super::{api::explain::Explain, office::tests::office, *};
use crate::{
    api::routes::RouteTable,
    auditor::{self, Pen},
    auth::failures,
    dry_run::{DryRun, DryRunError},
    explain::Explanation,
    purge::{PurgeError, Purged},
    record::RequestId,
    settings::{self, Section, Table},
    tenants::fixture::Fixture,
    vocabulary::InvalidationCause,
};

const TOKEN: &str = "an-admin-token-of-32-characters!";

struct Server {
    at: SocketAddr,
    readiness: Arc<Readiness>,
    metrics: Arc<Metrics>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    _store: Fixture,
    pen: Pen,
}

fn fast() -> Config {
    Config {
        head_timeout: Duration::from_millis(100),
        exchange_timeout: Duration::from_millis(300),
        max_connections: 4,
        max_body: ByteSize::kib(16),
        ..Config::default()
    }
}

/// Explains nothing.
struct Nothing;

impl Explain for Nothing {
    fn past(&self, _: RequestId) -> Option<Explanation> {
        None
    }

    fn dry_run(&self, run: &DryRun) -> Result<Explanation, DryRunError> {
        Err(DryRunError::NoToken(run.token.clone()))
    }
}

async fn start(config: Config, refresh: Refresh) -> Server {
    start_with(config, refresh, Some(TOKEN)).await
}

/// A server whose purges find three credentials, or at the path `/none` nothing.
async fn start_with(config: Config, refresh: Refresh, token: Option<&str>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("bound");
    let store = Fixture::new();
    let token = AdminToken::find(&Config::default(), token).expect("a good token");
    let (admin, pen) = admin(&config, &store);
    let admin = Admin { refresh, token: token.map(Arc::new), ..admin };
    let (readiness, metrics) = (Arc::clone(&admin.readiness), Arc::clone(&admin.metrics));
    let (stop, stopped) = oneshot::channel();
    let shutdown = async {
        drop(stopped.await);
    };
    let task = tokio::spawn(serve(listener, None, config, admin, shutdown));
    Server { at, readiness, metrics, stop, task, _store: store, pen }
}

/// What a listener needs that has no token, and what it would write down.
pub(super) fn admin(config: &Config, store: &Fixture) -> (Admin, Pen) {
    let metrics = Arc::new(Metrics::new());
    let (auditor, pen) = auditor::new(&auditor::Config::default(), &metrics);
    let routes = Arc::new(RouteTable::new(&[]).expect("the table itself"));
    let admin = Admin {
        office: Arc::new(office(store, Duration::from_secs(5))),
        trial: Arc::new(|_, _| None),
        upstreams: Arc::new([]),
        max_body: config.max_body.get(),
        max_import: config.max_import.get(),
        auditor: Arc::new(auditor),
        metrics,
        readiness: Arc::new(Readiness::new()),
        refresh: Arc::new(|_, _| {}),
        seed: 1,
        failures: Arc::new(FailedTokens::new(&failures::Config::default())),
        token: None,
        purge: Arc::new(|purge| {
            if format!("{purge:?}").contains("none") {
                return Err(PurgeError::NotListed("/none".to_owned()));
            }
            let entries = purge.is_soft().then_some(7);
            Ok(Purged { partitions: 3, families: vec!["vms".to_owned()], entries })
        }),
        explain: Arc::new(Nothing),
        formats: Arc::new(Book::new(&crate::formats::Config::default(), routes)),
        verifying: Arc::default(),
        softening: Arc::default(),
    };
    (admin, pen)
}

async fn start_fast() -> Server {
    start(fast(), Arc::new(|_, _| {})).await
}

async fn read_all(mut stream: TcpStream) -> String {
    let mut reply = Vec::new();
    let read = timeout(Duration::from_secs(5), stream.read_to_end(&mut reply)).await;
    drop(read.expect("the connection was closed"));
    String::from_utf8(reply).expect("UTF-8")
}

async fn ask(at: SocketAddr, line: &str) -> String {
    let mut stream = TcpStream::connect(at).await.expect("it listens");
    let request = format!("{line} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it reads");
    read_all(stream).await
}

#[tokio::test]
async fn metrics_are_refreshed_and_exposed() {
    let refresh: Refresh = Arc::new(|metrics, _| metrics.cache.entries.set(42));
    let server = start(fast(), refresh).await;
    let reply = ask(server.at, "GET /metrics").await;
    assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
    assert!(reply.contains("\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    assert!(reply.contains("\ntollgate_cache_entries 42\n"), "{reply}");
    assert!(reply.contains("\r\nconnection: close\r\n"), "{reply}");
}

#[tokio::test]
async fn health_is_told_with_its_reason() {
    let server = start_fast().await;
    assert!(ask(server.at, "GET /livez").await.ends_with("\r\n\r\nok"));
    let reply = ask(server.at, "GET /readyz").await;
    assert!(reply.starts_with("HTTP/1.1 503 ") && reply.ends_with("\r\n\r\nstarting\n"), "{reply}");
    server.readiness.serving();
    let reply = ask(server.at, "GET /readyz").await;
    assert!(reply.starts_with("HTTP/1.1 200 ") && reply.ends_with("\r\n\r\nok"), "{reply}");
    server.readiness.set(Condition::Store, false);
    let reply = ask(server.at, "GET /readyz").await;
    let store = "the store cannot be read; what was read last stays in force\n";
    assert!(
        reply.starts_with("HTTP/1.1 200 ") && reply.ends_with(&format!("ok\n{store}")),
        "{reply}"
    );
    server.readiness.draining();
    let reply = ask(server.at, "GET /readyz").await;
    assert!(reply.ends_with(&format!("\r\n\r\ndraining\n{store}")), "{reply}");
    assert!(ask(server.at, "GET /livez").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn nothing_else_is_served() {
    let server = start_fast().await;
    assert!(ask(server.at, "GET /").await.starts_with("HTTP/1.1 404 "));
    assert!(ask(server.at, "POST /metrics").await.starts_with("HTTP/1.1 405 "));
    assert!(ask(server.at, "HEAD /livez").await.ends_with("\r\n\r\n"));
    let long = format!("GET /livez?{}", "x".repeat(20 << 10));
    assert!(!ask(server.at, &long).await.starts_with("HTTP/1.1 200 "));
}

/// Asks for a purge; the status, and the body.
async fn purge(server: &Server, authorization: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(server.at).await.expect("it listens");
    let length = body.len();
    let head = format!(
        "POST /v1/purge HTTP/1.1\r\nHost: x\r\n{authorization}Content-Length: {length}\r\n\r\n"
    );
    stream.write_all((head + body).as_bytes()).await.expect("it reads");
    let reply = read_all(stream).await;
    let (head, body) = reply.split_once("\r\n\r\n").expect("a reply");
    let kind = if head.contains(" 200 ") { "json" } else { "problem+json" };
    assert!(head.contains(&format!("\r\ncontent-type: application/{kind}\r\n")), "{head}");
    assert_eq!(head.contains("\r\nwww-authenticate: Bearer\r\n"), head.contains(" 401 "), "{head}");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.expect("a status"), body.to_owned())
}

#[tokio::test]
async fn a_purge_needs_the_token() {
    let server = start_fast().await;
    let good = format!("Authorization: Bearer {TOKEN}\r\n");
    for bad in [
        String::new(),
        "Authorization: Bearer\r\n".to_owned(),
        good.replace("Bearer", "Basic"),
        good.replace("32", "33"),
        good.repeat(2),
    ] {
        let (status, body) = purge(&server, &bad, r#"{"all":true}"#).await;
        let why = if bad.is_empty() { "admin.token_file" } else { "is wrong" };
        assert_eq!((status, body.contains(why)), (401, true), "{bad}: {body}");
    }
    let purges = || server.metrics.cache.invalidations.of(InvalidationCause::Purge).get();
    assert_eq!(purges(), 0);
    for good in [&good, &good.replace("Bearer", "bearer")] {
        let done = purge(&server, good, r#"{"all":true}"#).await;
        assert_eq!(done, (200, r#"{"partitions":3,"families":["vms"]}"#.to_owned()));
    }
    assert_eq!(purges(), 2);
    let done = purge(&server, &good, r#"{"all":true,"soft":true}"#).await;
    assert_eq!(done, (200, r#"{"partitions":3,"families":["vms"],"entries":7}"#.to_owned()));
    assert_eq!(purges(), 2);
    assert_eq!(server.metrics.cache.invalidations.of(InvalidationCause::SoftPurge).get(), 1);
    assert!(ask(server.at, "GET /v1/purge").await.starts_with("HTTP/1.1 405 "));

    let server = start_with(fast(), Arc::new(|_, _| {}), None).await;
    let (status, body) = purge(&server, &good, r#"{"all":true}"#).await;
    assert_eq!((status, body.contains("is wrong")), (401, true), "{body}");
    let (status, body) = purge(&server, "", r#"{"all":true}"#).await;
    assert_eq!(status, 401, "{body}");
    assert!(body.contains("admin.token_file") && body.contains("TOLLGATE_ADMIN_TOKEN"), "{body}");
}

#[tokio::test]
async fn what_could_not_be_written_down_is_not_done() {
    let server = start_fast().await;
    drop(server.pen);
    let token = format!("Authorization: Bearer {TOKEN}\r\n");
    for (line, body) in [
        ("POST /v1/purge", r#"{"all":true}"#),
        ("POST /v1/purge", r#"{"all":true,"soft":true}"#),
        ("POST /v1/formats", "[]"),
    ] {
        let mut stream = TcpStream::connect(server.at).await.expect("it listens");
        let length = body.len();
        let head = format!("{line} HTTP/1.1\r\nHost: x\r\n{token}Content-Length: {length}\r\n\r\n");
        stream.write_all((head + body).as_bytes()).await.expect("it reads");
        let reply = read_all(stream).await;
        assert!(reply.starts_with("HTTP/1.1 503 "), "{line}: {reply}");
        assert!(reply.contains("nothing was done"), "{line}: {reply}");
    }
    for cause in [InvalidationCause::Purge, InvalidationCause::SoftPurge] {
        assert_eq!(server.metrics.cache.invalidations.of(cause).get(), 0);
    }
}

#[tokio::test]
async fn a_purge_that_cannot_be_done_is_refused_in_words() {
    let server = start_fast().await;
    let token = format!("Authorization: Bearer {TOKEN}\r\n");
    let long = format!(r#"{{"all":true,"path":"{}"}}"#, "x".repeat(17 << 10));
    for (body, status, why) in [
        ("", 400, "the body is no JSON: "),
        (r#"{"all":true,"hard":true}"#, 400, "unknown field `hard`"),
        (r#"{"all":true,"soft":1}"#, 400, "invalid type"),
        (r#"{"soft":true}"#, 422, "nothing is selected"),
        (r#"{"families":"vms"}"#, 400, "invalid type"),
        ("{}", 422, "nothing is selected"),
        (r#"{"all":true,"tenant":"a"}"#, 422, "only one of"),
        (r#"{"path":"/none"}"#, 404, "no route that is kept"),
        (&long, 413, "more than 16384 bytes"),
    ] {
        let (found, said) = purge(&server, &token, body).await;
        assert_eq!(found, status, "{body:.40}: {said}");
        let said: serde_json::Value = serde_json::from_str(&said).expect("JSON");
        let errors = said["errors"].as_array().expect("a list");
        assert_eq!(errors.len(), 1);
        assert!(errors[0].as_str().expect("text").contains(why), "{body:.40}: {said}");
    }
    assert_eq!(server.metrics.cache.invalidations.of(InvalidationCause::Purge).get(), 0);
}

#[tokio::test]
async fn who_says_nothing_is_cut_off() {
    let server = start_fast().await;
    for sent in ["", "GET /metrics HTTP/1.1\r\nHost:"] {
        let start = Instant::now();
        let mut stream = TcpStream::connect(server.at).await.expect("it listens");
        stream.write_all(sent.as_bytes()).await.expect("it reads");
        assert!(!read_all(stream).await.starts_with("HTTP/1.1 200 "));
        assert!(start.elapsed() >= Duration::from_millis(90));
    }
}

#[tokio::test]
async fn idle_connections_do_not_keep_a_probe_out() {
    let slow = Duration::from_secs(60);
    let config = Config { head_timeout: slow, exchange_timeout: slow, ..fast() };
    let server = start(config, Arc::new(|_, _| {})).await;
    let mut idle = Vec::new();
    for _ in 0..4 {
        idle.push(TcpStream::connect(server.at).await.expect("it listens"));
    }
    let reply = timeout(Duration::from_secs(5), ask(server.at, "GET /livez")).await;
    assert!(reply.expect("in time").starts_with("HTTP/1.1 200 "));
    let oldest = idle.remove(0);
    assert_eq!(read_all(oldest).await, "", "the oldest was cut off");
}

/// Whoever opens connections without end cuts off other strangers, and not what an operator has begun.
#[tokio::test]
async fn strangers_do_not_cut_off_an_operator() {
    let slow = Duration::from_secs(60);
    let config = Config { head_timeout: slow, exchange_timeout: slow, ..fast() };
    let server = start(config, Arc::new(|_, _| {})).await;
    let mut operator = TcpStream::connect(server.at).await.expect("it listens");
    let body = r#"{"all":true}"#;
    let head = format!(
        "POST /v1/purge HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\
         Expect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    operator.write_all(head.as_bytes()).await.expect("it reads");
    // The body is asked for from whoever was let in.
    let mut go_on = [0; 25];
    operator.read_exact(&mut go_on).await.expect("an answer");
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    let mut idle = Vec::new();
    for _ in 0..20 {
        idle.push(TcpStream::connect(server.at).await.expect("it listens"));
    }
    // Another exchange proves that all of them have been accepted.
    assert!(ask(server.at, "GET /livez").await.starts_with("HTTP/1.1 200 "));
    operator.write_all(body.as_bytes()).await.expect("it reads");
    let reply = read_all(operator).await;
    assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
    assert!(reply.contains("\r\nx-request-id: "), "{reply}");
}

#[tokio::test]
async fn a_panic_before_a_scrape_ends_one_connection_only() {
    let first = AtomicBool::new(true);
    let once: Refresh = Arc::new(move |_, _| {
        assert!(!first.swap(false, Ordering::Relaxed), "planted");
    });
    let server = start(fast(), once).await;
    assert_eq!(ask(server.at, "GET /metrics").await, "");
    assert!(ask(server.at, "GET /metrics").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn shutdown_lets_what_has_begun_finish() {
    let server = start_fast().await;
    let mut begun = TcpStream::connect(server.at).await.expect("it listens");
    begun.write_all(b"GET /livez HTTP/1.1\r\n").await.expect("it reads");
    // A second exchange proves that the first connection has been accepted.
    ask(server.at, "GET /livez").await;
    server.stop.send(()).expect("it runs");
    begun.write_all(b"Host: x\r\n\r\n").await.expect("it reads");
    assert!(read_all(begun).await.starts_with("HTTP/1.1 200 "));
    timeout(Duration::from_secs(5), server.task).await.expect("in time").expect("no panic");
    assert!(TcpStream::connect(server.at).await.is_err());
}

#[test]
fn elsewhere_than_on_loopback_needs_the_switch() {
    let check = |text: &str, want: &[&str]| {
        let mut problems = Problems::default();
        let config = Config::read(Table::parse(text, &mut problems), &mut problems);
        config.validate(&mut problems);
        let keys: Vec<_> = problems.iter().map(|p: &settings::Problem| p.key.as_str()).collect();
        assert_eq!(keys, want, "{text}");
    };
    check("", &[]);
    check("listen = \"[::1]:1\"", &[]);
    check("listen = \"0.0.0.0:1\"", &["admin.listen"]);
    check("listen = \"10.0.0.1:1\"\nallow_remote_plain = true", &[]);
    check("listen = \"10.0.0.1:1\"\ncertificate = \"a\"\nkey = \"b\"", &[]);
    check("certificate = \"a\"", &["admin.certificate"]);
    check("listen = \"10.0.0.1:1\"\nkey = \"b\"", &["admin.listen", "admin.key"]);
    check("max_operations = 0", &["admin.max_operations"]);
    check("operation_timeout = \"30s\"", &["admin.operation_timeout"]);
    check("max_connections = 0", &["admin.max_connections"]);
}

#[tokio::test]
async fn nothing_is_explained_without_the_token() {
    let server = start_fast().await;
    for line in ["GET /v1/explain/0123456789abcdef", "POST /v1/explain"] {
        let reply = ask(server.at, line).await;
        assert!(reply.starts_with("HTTP/1.1 401 "), "{line}: {reply}");
        assert!(reply.contains("\r\nwww-authenticate: Bearer\r\n"), "{line}: {reply}");
        let known = format!("{line} HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\nX: ");
        let reply = ask(server.at, &known).await;
        assert!(!reply.contains(" 401 "), "{line}: {reply}");
    }
}
