//! The accept loop of the admin listener, which nobody can keep busy for long.
//!
//! Why not `axum::serve`: it has no deadlines. Here a connection serves one request, so its whole
//! life has one bound. When there are too many, the oldest is cut off rather than the newest kept
//! waiting: a probe takes a millisecond, so the oldest is the one that does nothing.

use std::{collections::VecDeque, time::Duration};

use axum::Router;
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use super::{Admin, Config, access::Peer, router};

/// The largest head that is read; a scraper's has a few hundred bytes.
const MAX_HEAD: usize = 16 << 10;

/// The most header fields of a request.
const MAX_FIELDS: usize = 64;

/// How long to wait when no connection can be accepted, for want of descriptors most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How each connection is served.
#[derive(Clone)]
struct Door {
    http: http1::Builder,
    tls: Option<TlsAcceptor>,
    router: Router,
    handshake_timeout: Duration,
}

/// Serves until `shutdown` ends, then lets what has begun finish within the exchange timeout. Without
/// an acceptor it is plain HTTP.
pub async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    config: Config,
    admin: Admin,
    shutdown: impl Future<Output = ()>,
) {
    let http = http(&config);
    let handshake_timeout = config.head_timeout;
    let door = Door { http, tls, router: router(admin), handshake_timeout };
    let mut connections = Connections::default();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.tasks.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => {
                    connections.make_room(config.max_connections);
                    let exchange = exchange(door.clone(), stream, Peer(from.ip()));
                    connections.start(timeout(config.exchange_timeout, exchange));
                }
                Err(error) => {
                    tracing::warn!(%error, "the admin listener cannot accept");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    while connections.tasks.join_next().await.is_some() {}
}

/// The connections that are open, the oldest first.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    oldest_first: VecDeque<AbortHandle>,
}

impl Connections {
    fn make_room(&mut self, max: usize) {
        if self.oldest_first.len() < max {
            return;
        }
        self.oldest_first.retain(|connection| !connection.is_finished());
        while self.oldest_first.len() >= max {
            let Some(oldest) = self.oldest_first.pop_front() else { break };
            oldest.abort();
        }
    }

    fn start(&mut self, connection: impl Future + Send + 'static) {
        let handle = self.tasks.spawn(async {
            connection.await;
        });
        self.oldest_first.push_back(handle);
    }
}

fn http(config: &Config) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(config.head_timeout)
        .keep_alive(false)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_FIELDS);
    http
}

type Trouble = Box<dyn std::error::Error + Send + Sync>;

async fn exchange(door: Door, stream: TcpStream, peer: Peer) {
    if let Err(error) = answer(door, stream, peer).await {
        tracing::debug!(error = &*error, "an admin connection broke");
    }
}

async fn answer(door: Door, stream: TcpStream, peer: Peer) -> Result<(), Trouble> {
    stream.set_nodelay(true)?;
    match &door.tls {
        None => speak(&door, stream, peer).await,
        Some(acceptor) => {
            let stream = timeout(door.handshake_timeout, acceptor.accept(stream)).await??;
            speak(&door, stream, peer).await
        }
    }
}

async fn speak(
    door: &Door,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
) -> Result<(), Trouble> {
    let service = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        door.router.clone().oneshot(request)
    });
    Ok(door.http.serve_connection(TokioIo::new(stream), service).await?)
}
