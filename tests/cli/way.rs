//! A way from a command to a server, on which answers are lost, forgotten or become something else.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::{Place, Server, TOKEN};
use crate::program::Ended;

/// What becomes of the answers to requests that begin so.
#[derive(Clone, Copy)]
pub(super) enum Fate {
    /// The first so many are lost.
    Lost(usize),
    /// The same, and the server forgets what it has answered.
    Forgotten(usize),
    /// The first so many are something else.
    Instead(usize, &'static str),
    /// So many spaces stand behind them.
    Padded(usize),
}

/// The way to a server.
pub(super) struct Way {
    url: String,
    pub(super) asked: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Way {
    pub(super) async fn to(server: &Server, line: &'static str, fate: Fate) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let asked = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn(hand_on(listener, server.admin, line, fate, Arc::clone(&asked)));
        Self { url, asked, task }
    }

    pub(super) fn run(&self, place: &Place, line: &str) -> Ended {
        let args: Vec<&str> = line.split(' ').chain(["--server", &self.url]).collect();
        tokio::task::block_in_place(|| place.run_as(TOKEN, &args))
    }

    /// How often it was asked what has a fate.
    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn hand_on(
    listener: TcpListener,
    to: SocketAddr,
    line: &str,
    fate: Fate,
    asked: Arc<AtomicUsize>,
) {
    loop {
        let (mut client, _) = listener.accept().await.expect("it listens");
        let mut request = whole_request(&mut client).await;
        if matches!(fate, Fate::Forgotten(_)) {
            request = unkept(&request);
        }
        let mut server = TcpStream::connect(to).await.expect("it listens");
        server.write_all(&request).await.expect("it reads");
        let mut answer = Vec::new();
        server.read_to_end(&mut answer).await.expect("it answers");
        if request.starts_with(line.as_bytes()) {
            let before = asked.fetch_add(1, Ordering::Relaxed);
            answer = match fate {
                Fate::Lost(first) | Fate::Forgotten(first) if before < first => continue,
                Fate::Instead(first, text) if before < first => text.into(),
                Fate::Lost(_) | Fate::Forgotten(_) | Fate::Instead(..) => answer,
                Fate::Padded(spaces) => padded(&answer, spaces),
            };
        }
        // Who wants no more of it has heard enough.
        drop(client.write_all(&answer).await);
    }
}

/// The same JSON, so much longer.
fn padded(answer: &[u8], spaces: usize) -> Vec<u8> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let lines = head.lines().filter(|line| !line.to_lowercase().starts_with("content-length"));
    let head = lines.collect::<Vec<_>>().join("\r\n");
    let length = body.len() + spaces;
    format!("{head}\r\ncontent-length: {length}\r\n\r\n{body}{}", " ".repeat(spaces)).into_bytes()
}

/// The same request, whose answer nobody keeps.
fn unkept(request: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(request);
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let lines = head.lines().filter(|line| !line.to_lowercase().starts_with("idempotency-key"));
    format!("{}\r\n\r\n{body}", lines.collect::<Vec<_>>().join("\r\n")).into_bytes()
}

async fn whole_request(client: &mut TcpStream) -> Vec<u8> {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.parse().expect("a number"));
            if body.len() >= length {
                return request;
            }
        }
        assert_ne!(client.read_buf(&mut request).await.expect("a request"), 0, "it broke off");
    }
}
