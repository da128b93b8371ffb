//! The accept loop of the admin listener, which nobody can keep busy for long.
//!
//! Why not `axum::serve`: it has no deadlines. Here a connection serves one request, so its whole
//! life has one bound. When there are too many, one is cut off rather than the newest kept waiting, and
//! `connections.rs` says which.

use std::{convert::Infallible, time::Duration};

use axum::{Router, http::HeaderName};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use super::{
    Admin, Config,
    access::Origin,
    connections::{Admitted, Connections},
    router,
};
use crate::record::RequestId;

/// The largest head that is read; a scraper's has a few hundred bytes.
const MAX_HEAD: usize = 16 << 10;

/// The most header fields of a request.
const MAX_FIELDS: usize = 64;

/// How long to wait when no connection can be accepted, for want of descriptors most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What names a request in its answer, and in the audit log.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

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
    let (handshake_timeout, seed) = (config.head_timeout, admin.seed);
    let door = Door { http, tls, router: router(admin), handshake_timeout };
    let mut connections = Connections::default();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(()) = connections.ended() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => {
                    connections.make_room(config.max_connections);
                    let (from, admitted) = (from.ip().to_canonical(), Admitted::default());
                    let origin = Origin { from, id: RequestId::next(seed), admitted: admitted.clone() };
                    let exchange = exchange(door.clone(), stream, origin);
                    connections.start(from, admitted, timeout(config.exchange_timeout, exchange));
                }
                Err(error) => {
                    tracing::warn!(%error, "the admin listener cannot accept");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    while connections.ended().await.is_some() {}
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

async fn exchange(door: Door, stream: TcpStream, origin: Origin) {
    if let Err(error) = answer(door, stream, origin).await {
        tracing::debug!(error = &*error, "an admin connection broke");
    }
}

async fn answer(door: Door, stream: TcpStream, origin: Origin) -> Result<(), Trouble> {
    stream.set_nodelay(true)?;
    match &door.tls {
        None => speak(&door, stream, origin).await,
        Some(acceptor) => {
            let stream = timeout(door.handshake_timeout, acceptor.accept(stream)).await??;
            speak(&door, stream, origin).await
        }
    }
}

async fn speak(
    door: &Door,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    origin: Origin,
) -> Result<(), Trouble> {
    let name = origin.id.header();
    let service = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(origin.clone());
        let answered = door.router.clone().oneshot(request);
        let name = name.clone();
        async {
            let mut answer = answered.await?;
            answer.headers_mut().insert(REQUEST_ID, name);
            Ok::<_, Infallible>(answer)
        }
    });
    Ok(door.http.serve_connection(TokioIo::new(stream), service).await?)
}
