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
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
    time::{sleep, timeout},
};
use tower::ServiceExt;

use super::{Admin, Config, router};

/// The largest head that is read; a scraper's has a few hundred bytes.
const MAX_HEAD: usize = 16 << 10;

/// The most header fields of a request.
const MAX_FIELDS: usize = 64;

/// How long to wait when no connection can be accepted, for want of descriptors most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `shutdown` ends, then lets what has begun finish within the exchange timeout.
pub async fn serve(
    listener: TcpListener,
    config: Config,
    admin: Admin,
    shutdown: impl Future<Output = ()>,
) {
    let http = http(&config);
    let router = router(admin);
    let mut connections = Connections::default();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.tasks.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.make_room(config.max_connections);
                    let exchange = exchange(http.clone(), router.clone(), stream);
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

async fn exchange(http: http1::Builder, router: Router, stream: TcpStream) {
    if let Err(error) = answer(http, router, stream).await {
        tracing::debug!(error = &*error, "an admin connection broke");
    }
}

async fn answer(
    http: http1::Builder,
    router: Router,
    stream: TcpStream,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    let service = service_fn(|request: Request<Incoming>| router.clone().oneshot(request));
    Ok(http.serve_connection(TokioIo::new(stream), service).await?)
}
