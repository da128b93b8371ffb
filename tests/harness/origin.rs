//! The scripted origin: plain HTTP/1.1 over a socket, which does what it is told and records all.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Notify, mpsc, watch},
};

use super::{
    reply::{Act, Content, Reply},
    within,
};

/// A request as it arrived, byte for byte.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Its method.
    pub method: String,
    /// Its target.
    pub target: String,
    /// Its headers in order, in their own spelling.
    pub headers: Vec<(String, String)>,
    /// Its body, without framing.
    pub body: Vec<u8>,
    /// Which connection it came on.
    pub connection: usize,
}

/// The origin.
#[derive(Clone)]
pub struct Origin {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// One declared exchange, to be watched and steered.
#[derive(Clone)]
pub struct Exchange(Arc<Ticket>);

type Fallback = Arc<dyn Fn(&Seen) -> Reply + Send + Sync>;

#[derive(Default)]
struct Shared {
    plans: Mutex<VecDeque<(Reply, Arc<Ticket>)>>,
    seen: Mutex<Vec<Seen>>,
    undeclared: Mutex<Vec<String>>,
    otherwise: Mutex<Option<Fallback>>,
    connections: AtomicUsize,
}

struct Ticket {
    seen: watch::Sender<Stage>,
    released: Notify,
    feed: Mutex<Option<mpsc::UnboundedSender<Bytes>>>,
    fed: Mutex<Option<mpsc::UnboundedReceiver<Bytes>>>,
}

#[derive(Clone, Default)]
struct Stage {
    seen: Option<Seen>,
    /// The whole body has come.
    whole: bool,
    /// The exchange is over, well or not.
    over: bool,
}

/// How the end of a request's body is found.
#[derive(Clone, Copy)]
enum Framing {
    Length(usize),
    Chunked,
}

impl Seen {
    /// The values of a header, whatever its spelling.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let of_name = self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        of_name.map(|(_, v)| v.as_str()).collect()
    }

    /// The one value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "{name} is there more than once: {all:?}");
        all.first().copied()
    }

    /// The names of its headers, in lower case and in order of the alphabet.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.headers.iter().map(|(n, _)| n.to_ascii_lowercase()).collect();
        names.sort();
        names
    }

    /// Method and target.
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }

    /// Login and password of its credential.
    pub fn login(&self) -> String {
        use base64::{Engine as _, prelude::BASE64_STANDARD};
        let value = self.header("authorization").expect("a credential");
        let encoded = value.strip_prefix("Basic ").expect("Basic");
        let decoded = BASE64_STANDARD.decode(encoded).expect("base64");
        String::from_utf8(decoded).expect("text")
    }
}

impl Origin {
    /// Listens on a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let shared = Arc::new(Shared::default());
        tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(Arc::clone(&shared), stream));
                }
            }
        });
        Self { address, shared }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Declares an exchange: the next request gets this reply.
    pub fn expect(&self, reply: Reply) -> Exchange {
        let ticket = Ticket::new();
        lock(&self.shared.plans).push_back((reply, Arc::clone(&ticket)));
        Exchange(ticket)
    }

    /// Answers all that is not declared otherwise; for load, where the count is the assertion.
    pub fn otherwise(&self, answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) {
        *lock(&self.shared.otherwise) = Some(Arc::new(answer));
    }

    /// Every request so far.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.shared.seen).clone()
    }

    /// How many connections were made to it.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// What arrived without having been declared.
    pub fn undeclared(&self) -> Vec<String> {
        lock(&self.shared.undeclared).clone()
    }

    /// How many declared exchanges have not begun.
    pub fn outstanding(&self) -> usize {
        lock(&self.shared.plans).len()
    }
}

impl Exchange {
    /// Waits for the head of the request.
    pub async fn arrived(&self) -> Seen {
        let stage = self.stage("a request at the origin", |s| s.seen.is_some()).await;
        stage.seen.expect("it was waited for")
    }

    /// Waits for the whole request.
    pub async fn request(&self) -> Seen {
        let stage = self.stage("a whole request at the origin", |s| s.whole).await;
        stage.seen.expect("it was waited for")
    }

    /// Waits until so much of the request's body has come.
    pub async fn body_reaches(&self, length: usize) {
        let enough = |s: &Stage| s.seen.as_ref().is_some_and(|s| s.body.len() >= length);
        self.stage("the request's body at the origin", enough).await;
    }

    /// Waits until the exchange is over, well or not.
    pub async fn over(&self) {
        self.stage("the end of an exchange at the origin", |s| s.over).await;
    }

    /// Whether the request has come.
    pub fn has_arrived(&self) -> bool {
        self.0.seen.borrow().seen.is_some()
    }

    /// Whether the exchange is over, well or not.
    pub fn is_over(&self) -> bool {
        self.0.seen.borrow().over
    }

    /// Lets a gated reply go.
    pub fn release(&self) {
        self.0.released.notify_one();
    }

    /// Sends a chunk of a reply that is fed.
    pub fn feed(&self, chunk: impl Into<Bytes>) {
        let feed = lock(&self.0.feed);
        // An origin whose client has gone takes nothing more.
        let _ = feed.as_ref().expect("not finished").send(chunk.into());
    }

    /// Ends a reply that is fed.
    pub fn finish(&self) {
        lock(&self.0.feed).take();
    }

    async fn stage(&self, what: &str, holds: impl Fn(&Stage) -> bool) -> Stage {
        let mut stages = self.0.seen.subscribe();
        within(what, stages.wait_for(holds)).await.expect("the sender lives").clone()
    }
}

impl Ticket {
    fn new() -> Arc<Self> {
        let (feed, fed) = mpsc::unbounded_channel();
        Arc::new(Self {
            seen: watch::Sender::new(Stage::default()),
            released: Notify::new(),
            feed: Mutex::new(Some(feed)),
            fed: Mutex::new(Some(fed)),
        })
    }
}

impl Framing {
    fn of(seen: &Seen) -> Self {
        if seen.header("transfer-encoding").is_some_and(|v| v == "chunked") {
            return Self::Chunked;
        }
        Self::Length(seen.header("content-length").and_then(|v| v.parse().ok()).unwrap_or(0))
    }
}

impl Shared {
    /// What to do with a request; a request that nobody declared is remembered as a failure.
    fn plan(&self, seen: &Seen) -> (Reply, Arc<Ticket>) {
        let mut plans = lock(&self.plans);
        let fits =
            |(reply, _): &(Reply, _)| reply.target.as_ref().is_none_or(|t| *t == seen.target);
        if let Some((reply, ticket)) = plans.iter().position(fits).and_then(|i| plans.remove(i)) {
            return (reply, ticket);
        }
        drop(plans);
        if let Some(answer) = &*lock(&self.otherwise) {
            return (answer(seen), Ticket::new());
        }
        lock(&self.undeclared).push(seen.line());
        (Reply::new(500).body("undeclared"), Ticket::new())
    }
}

async fn serve(shared: Arc<Shared>, mut stream: TcpStream) {
    let number = shared.connections.fetch_add(1, Ordering::SeqCst);
    let mut buffer = Vec::new();
    while let Some(mut seen) = read_head(&mut stream, &mut buffer).await {
        seen.connection = number;
        let (reply, ticket) = shared.plan(&seen);
        let goes_on = exchange(&shared, &mut stream, &mut buffer, seen, reply, &ticket).await;
        ticket.seen.send_modify(|stage| stage.over = true);
        if goes_on != Some(true) {
            return;
        }
    }
}

async fn exchange(
    shared: &Shared,
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    seen: Seen,
    reply: Reply,
    ticket: &Ticket,
) -> Option<bool> {
    let is_head = seen.method == "HEAD";
    let framing = Framing::of(&seen);
    let index = {
        let mut all = lock(&shared.seen);
        all.push(seen.clone());
        all.len() - 1
    };
    ticket.seen.send_modify(|stage| stage.seen = Some(seen));
    if !reply.early {
        let whole = read_body(stream, buffer, framing, ticket).await;
        if let Some(seen) = &ticket.seen.borrow().seen {
            lock(&shared.seen)[index].body.clone_from(&seen.body);
        }
        whole?;
        ticket.seen.send_modify(|stage| stage.whole = true);
    }
    act(stream, reply, ticket, is_head).await
}

/// Whether the connection goes on; none when the other side has gone.
async fn act(stream: &mut TcpStream, reply: Reply, ticket: &Ticket, is_head: bool) -> Option<bool> {
    if !reply.delay.is_zero() {
        tokio::time::sleep(reply.delay).await;
    }
    if reply.gated {
        ticket.released.notified().await;
    }
    for bytes in &reply.informational {
        stream.write_all(bytes).await.ok()?;
    }
    match reply.act {
        Act::Raw(bytes) => stream.write_all(&bytes).await.ok()?,
        Act::Reset => {
            socket2::SockRef::from(&*stream).set_linger(Some(Duration::ZERO)).ok()?;
            return Some(false);
        }
        Act::Close => return Some(false),
        Act::Never => {
            let mut byte = [0];
            // Until the other side gives up.
            let _ = stream.read(&mut byte).await;
            return Some(false);
        }
        Act::Answer { status, headers, body } => {
            stream.write_all(&head(status, &headers, &body, reply.close)).await.ok()?;
            if !is_head {
                let whole = write_body(stream, body, ticket).await?;
                return Some(whole && !reply.close);
            }
        }
    }
    Some(!reply.close)
}

fn head(status: u16, headers: &[(String, String)], body: &Content, close: bool) -> Vec<u8> {
    let reason = http::StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason());
    let mut text = format!("HTTP/1.1 {status} {}\r\n", reason.unwrap_or("Odd"));
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    match body {
        Content::Whole(_) if status == 204 || status == 304 => {}
        Content::Whole(bytes) => text.push_str(&format!("Content-Length: {}\r\n", bytes.len())),
        Content::Cut { announced, .. } => {
            text.push_str(&format!("Content-Length: {announced}\r\n"))
        }
        Content::Chunks(_) | Content::Fed => text.push_str("Transfer-Encoding: chunked\r\n"),
    }
    if close {
        text.push_str("Connection: close\r\n");
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// Whether all that was announced was sent.
async fn write_body(stream: &mut TcpStream, body: Content, ticket: &Ticket) -> Option<bool> {
    match body {
        Content::Whole(bytes) => stream.write_all(&bytes).await.ok()?,
        Content::Cut { sent, .. } => {
            stream.write_all(&sent).await.ok()?;
            return Some(false);
        }
        Content::Chunks(chunks) => {
            for chunk in chunks {
                write_chunk(stream, &chunk).await?;
            }
            stream.write_all(b"0\r\n\r\n").await.ok()?;
        }
        Content::Fed => {
            let mut fed = lock(&ticket.fed).take()?;
            while let Some(chunk) = fed.recv().await {
                write_chunk(stream, &chunk).await?;
            }
            stream.write_all(b"0\r\n\r\n").await.ok()?;
        }
    }
    Some(true)
}

async fn write_chunk(stream: &mut TcpStream, chunk: &[u8]) -> Option<()> {
    stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).await.ok()?;
    stream.write_all(chunk).await.ok()?;
    stream.write_all(b"\r\n").await.ok()
}

async fn read_head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Seen> {
    let end = loop {
        if let Some(at) = find(buffer, b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head: Vec<u8> = buffer.drain(..end + 4).collect();
    let text = String::from_utf8_lossy(&head).into_owned();
    let mut lines = text.trim_end().split("\r\n");
    let mut parts = lines.next()?.split(' ');
    let headers = lines.filter_map(|line| line.split_once(": "));
    Some(Seen {
        method: parts.next()?.to_owned(),
        target: parts.next()?.to_owned(),
        headers: headers.map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
        ..Seen::default()
    })
}

async fn read_body(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    framing: Framing,
    ticket: &Ticket,
) -> Option<()> {
    match framing {
        Framing::Length(length) => take(stream, buffer, length, ticket).await,
        Framing::Chunked => loop {
            let size = read_line(stream, buffer).await?;
            let size = usize::from_str_radix(size.trim(), 16).ok()?;
            take(stream, buffer, size, ticket).await?;
            read_line(stream, buffer).await?;
            if size == 0 {
                return Some(());
            }
        },
    }
}

async fn read_line(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(at) = find(buffer, b"\r\n") {
            let line: Vec<u8> = buffer.drain(..at + 2).collect();
            return Some(String::from_utf8_lossy(&line).trim_end().to_owned());
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

async fn take(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    mut length: usize,
    ticket: &Ticket,
) -> Option<()> {
    while length > 0 {
        if buffer.is_empty() && stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
        let piece: Vec<u8> = buffer.drain(..length.min(buffer.len())).collect();
        length -= piece.len();
        ticket.seen.send_modify(|stage| {
            if let Some(seen) = &mut stage.seen {
                seen.body.extend(&piece);
            }
        });
    }
    Some(())
}

fn find(buffer: &[u8], what: &[u8]) -> Option<usize> {
    buffer.windows(what.len()).position(|w| w == what)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
