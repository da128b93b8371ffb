//! The scripted origin: plain HTTP/1.1 over a socket, which does what it is told and records all.

mod wire;

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, mpsc, watch},
};

use self::wire::{Framing, act, read_body, read_head};
use super::{reply::Reply, within};

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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
