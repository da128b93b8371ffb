//! The admin listener over real sockets.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, timeout},
};

use super::*;
use crate::settings::{Problem, Section, Table};

struct Server {
    at: SocketAddr,
    readiness: Arc<Readiness>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

fn fast() -> Config {
    Config {
        head_timeout: Duration::from_millis(100),
        exchange_timeout: Duration::from_millis(300),
        max_connections: 4,
        ..Config::default()
    }
}

async fn start(config: Config, before_scrape: BeforeScrape) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("bound");
    let readiness = Arc::new(Readiness::new());
    let admin = Admin {
        metrics: Arc::new(Metrics::new()),
        readiness: Arc::clone(&readiness),
        before_scrape,
    };
    let (stop, stopped) = oneshot::channel();
    let shutdown = async {
        drop(stopped.await);
    };
    let task = tokio::spawn(serve(listener, config, admin, shutdown));
    Server { at, readiness, stop, task }
}

async fn start_fast() -> Server {
    start(fast(), Arc::new(|_| {})).await
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
    let refresh: BeforeScrape = Arc::new(|metrics| metrics.cache_entries.set(42));
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
    server.readiness.set(Condition::Tenants, false);
    server.readiness.draining();
    let reply = ask(server.at, "GET /readyz").await;
    assert!(reply.ends_with("\r\n\r\ndraining\ntenants cannot be read\n"), "{reply}");
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
    let server = start(config, Arc::new(|_| {})).await;
    let mut idle = Vec::new();
    for _ in 0..4 {
        idle.push(TcpStream::connect(server.at).await.expect("it listens"));
    }
    let reply = timeout(Duration::from_secs(5), ask(server.at, "GET /livez")).await;
    assert!(reply.expect("in time").starts_with("HTTP/1.1 200 "));
    let oldest = idle.remove(0);
    assert_eq!(read_all(oldest).await, "", "the oldest was cut off");
}

#[tokio::test]
async fn a_panic_before_a_scrape_ends_one_connection_only() {
    let first = AtomicBool::new(true);
    let once: BeforeScrape = Arc::new(move |_| {
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
        let keys: Vec<_> = problems.iter().map(|p: &Problem| p.key.as_str()).collect();
        assert_eq!(keys, want, "{text}");
    };
    check("", &[]);
    check("listen = \"[::1]:1\"", &[]);
    check("listen = \"0.0.0.0:1\"", &["admin.listen"]);
    check("listen = \"10.0.0.1:1\"\nallow_remote_plain = true", &[]);
    check("max_connections = 0", &["admin.max_connections"]);
}
