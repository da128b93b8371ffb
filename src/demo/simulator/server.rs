//! The simulator's sockets: connections over TCP or TLS, and each request's way through the rules.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::app::{Asked, respond};
use super::auth::authenticate;
use super::delivery::{deliver, replaced};
use super::faults::{Fault, Rules, Stage};
use super::journal::{Journal, Seen};
use super::panel::{Kind, Panel};
use super::reply::Reply;
use super::wire::{BrokenOff, Ending, Outgoing, Wire};

/// The most connections at a time; further ones wait in the backlog.
const CONNECTIONS: usize = 8192;

/// The largest body of a request.
const BODY: usize = 64 << 20;

const HANDSHAKE: Duration = Duration::from_secs(10);

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) rules: Arc<Rules>,
    pub(crate) journal: Journal,
    pub(crate) accepted: AtomicUsize,
    pub(crate) open: AtomicUsize,
    pub(crate) stop: CancellationToken,
    pub(crate) origin: String,
    pub(crate) keep_alive: Duration,
    pub(crate) hang: Duration,
    panel: Mutex<Panel>,
    /// Cancelled to cut all connections that are open now.
    cut: Mutex<CancellationToken>,
}

/// Counts a connection as open for as long as it lives.
struct Open(Arc<Shared>);

/// A request that has been read.
struct Whole {
    method: Method,
    target: String,
    headers: http::HeaderMap,
    body: Bytes,
}

impl Shared {
    pub(crate) fn new(panel: Panel, origin: String, keep_alive: Duration, hang: Duration) -> Self {
        let stop = CancellationToken::new();
        Self {
            rules: Arc::default(),
            journal: Journal::default(),
            accepted: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            cut: Mutex::new(stop.child_token()),
            stop,
            origin,
            keep_alive,
            hang,
            panel: Mutex::new(panel),
        }
    }

    pub(crate) fn panel(&self) -> MutexGuard<'_, Panel> {
        self.panel.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops every connection that is open now.
    pub(crate) fn cut_connections(&self) {
        let mut cut = self.cut.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *cut, self.stop.child_token()).cancel();
    }

    fn cut(&self) -> CancellationToken {
        self.cut.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Accepts connections until the simulator is dropped.
pub(crate) async fn accept(shared: Arc<Shared>, listener: TcpListener, tls: Option<TlsAcceptor>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let stop = shared.stop.clone();
    let serve = async {
        while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
            let Ok((tcp, _)) = listener.accept().await else {
                // Out of descriptors, or the peer has gone already; neither lasts.
                sleep(Duration::from_millis(10)).await;
                continue;
            };
            let (shared, tls) = (Arc::clone(&shared), tls.clone());
            tokio::spawn(async move {
                connection(shared, tcp, tls).await;
                drop(slot);
            });
        }
    };
    stop.run_until_cancelled(serve).await;
}

async fn connection(shared: Arc<Shared>, tcp: TcpStream, tls: Option<TlsAcceptor>) {
    shared.accepted.fetch_add(1, Ordering::Relaxed);
    shared.open.fetch_add(1, Ordering::Relaxed);
    let _open = Open(Arc::clone(&shared));
    let cut = shared.cut();
    // Without it a small reply waits for an acknowledgement; where it fails, it is only slower.
    let _ = tcp.set_nodelay(true);
    let ending = Ending::default();
    let wire = Wire::new(tcp, ending.clone());
    let serve = async {
        match tls {
            None => serve(shared, wire, ending).await,
            Some(tls) => {
                if let Ok(Ok(stream)) = timeout(HANDSHAKE, tls.accept(wire)).await {
                    serve(shared, stream, ending).await;
                }
            }
        }
    };
    cut.run_until_cancelled(Box::pin(serve)).await;
}

async fn serve<T>(shared: Arc<Shared>, io: T, ending: Ending)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(shared.keep_alive);
    builder.title_case_headers(true);
    let service = service_fn(|request| answer(Arc::clone(&shared), ending.clone(), request));
    // It ends with an error whenever a fault was asked for, and whenever a client leaves early.
    let _ = builder.serve_connection(TokioIo::new(io), service).await;
}

/// One request, worked off in a task of its own: a panel goes on when its client has left.
async fn answer(
    shared: Arc<Shared>,
    ending: Ending,
    request: Request<Incoming>,
) -> Result<Response<Outgoing>, BrokenOff> {
    let (head, body) = request.into_parts();
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
    if let Some(status) = shared.rules.take_early(&head.method, &target) {
        let early =
            Whole { method: head.method, target, headers: head.headers, body: Bytes::new() };
        record(&shared, &early, false);
        return Ok(deliver(Reply::of_web_server(status), None, None, &ending));
    }
    let read = Limited::new(body, BODY).collect().await;
    let complete = read.is_ok();
    let body = read.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let whole = Whole { method: head.method, target, headers: head.headers, body };
    record(&shared, &whole, complete);
    if !complete {
        return Err(BrokenOff);
    }
    let stop = shared.stop.clone();
    let work = async move { stop.run_until_cancelled(work(shared, ending, whole)).await };
    let outcome = tokio::spawn(work).await.ok().flatten();
    outcome.unwrap_or(Err(BrokenOff))
}

async fn work(
    shared: Arc<Shared>,
    ending: Ending,
    whole: Whole,
) -> Result<Response<Outgoing>, BrokenOff> {
    let (method, target) = (&whole.method, whole.target.as_str());
    // Half of a delay before the work and half after it: a slow reply shows a state from between.
    let half = shared.rules.delay(method, target) / 2;
    sleep_if(half).await;
    hold(&shared, &whole, Stage::BeforeAction).await;
    let fault = shared.rules.take_fault(method, target);
    let reply = match fault.as_ref().and_then(|fault| replaced(fault, target)) {
        Some(reply) => reply,
        None => respond_to(&shared, &whole),
    };
    sleep_if(half).await;
    hold(&shared, &whole, Stage::BeforeReply).await;
    match fault {
        Some(Fault::Hang { .. }) => {
            sleep(shared.hang).await;
            Err(BrokenOff)
        }
        Some(Fault::CloseBeforeReply { .. }) => Err(BrokenOff),
        Some(Fault::ResetBeforeHead { .. }) => {
            ending.set_reset();
            Err(BrokenOff)
        }
        other => {
            let gate = shared.rules.hold(method, target, Stage::InBody);
            Ok(deliver(reply, other.as_ref(), gate, &ending))
        }
    }
}

fn respond_to(shared: &Shared, whole: &Whole) -> Reply {
    let asked = Asked {
        method: &whole.method,
        target: &whole.target,
        headers: &whole.headers,
        body: &whole.body,
    };
    let mut panel = shared.panel();
    respond(&mut panel, &asked, &shared.origin, Instant::now())
}

fn record(shared: &Shared, whole: &Whole, complete: bool) {
    let user = {
        let panel = shared.panel();
        let id = authenticate(&panel, &whole.headers);
        let user = id.and_then(|id| panel.get(Kind::User, id));
        user.map(|user| user.fields.str("login").to_owned())
    };
    shared.journal.add(Seen {
        method: whole.method.clone(),
        target: whole.target.clone(),
        headers: whole.headers.clone(),
        body: whole.body.clone(),
        complete,
        user,
        at: Instant::now(),
    });
}

async fn hold(shared: &Shared, whole: &Whole, stage: Stage) {
    if let Some(hold) = shared.rules.hold(&whole.method, &whole.target, stage) {
        hold.pass().await;
    }
}

async fn sleep_if(delay: Duration) {
    if !delay.is_zero() {
        sleep(delay).await;
    }
}
