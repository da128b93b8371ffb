//! Clients that keep their connections: HTTPS to the gateway, plain HTTP to the panel.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST},
};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};
use tokio_rustls::TlsConnector;

/// Where to connect, and how.
pub(crate) struct Door {
    address: SocketAddr,
    tls: Option<TlsConnector>,
}

/// The connections of one client, and how it says who it is.
pub(crate) struct Pool {
    door: Arc<Door>,
    authorization: HeaderValue,
    host: HeaderValue,
    idle: Mutex<Vec<Sender>>,
    free: Semaphore,
}

/// One of the connections, for one exchange.
pub(crate) struct Line<'a> {
    pool: &'a Pool,
    _free: SemaphorePermit<'a>,
}

/// A request; with a body it is JSON.
#[derive(Debug)]
pub(crate) struct Ask {
    /// What to do.
    pub(crate) method: Method,
    /// To what.
    pub(crate) target: String,
    /// With what; empty for nothing.
    pub(crate) body: String,
}

/// A whole reply.
pub(crate) struct Reply {
    /// Its status.
    pub(crate) status: u16,
    /// What it says of the cache.
    pub(crate) cache: String,
    /// How many seconds ago the panel was asked, if it says so.
    pub(crate) age: Option<u64>,
    /// Why the gateway refused; empty for what the panel said.
    pub(crate) refusal: String,
    /// Its body.
    pub(crate) body: Bytes,
    /// The time from sending to the body's end.
    pub(crate) took: Duration,
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// No connection.
    #[error("cannot connect: {0}")]
    Connect(#[from] io::Error),
    /// It broke.
    #[error("the exchange broke: {0}")]
    Broken(#[from] hyper::Error),
    /// Nobody knows.
    #[error("no reply within {PATIENCE:?}")]
    TimedOut,
}

type Sender = SendRequest<Full<Bytes>>;

/// Longer than anything takes that ends at all.
const PATIENCE: Duration = Duration::from_secs(30);

impl Door {
    /// HTTPS, where this certificate is shown.
    pub(crate) fn tls(address: SocketAddr, trusted: CertificateDer<'static>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(trusted).expect("a certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self { address, tls: Some(TlsConnector::from(Arc::new(config))) }
    }

    /// Plain HTTP.
    pub(crate) fn plain(address: SocketAddr) -> Self {
        Self { address, tls: None }
    }

    async fn open(&self) -> Result<Sender, Trouble> {
        let tcp = TcpStream::connect(self.address).await?;
        tcp.set_nodelay(true)?;
        let Some(tls) = &self.tls else { return handshake(tcp).await };
        let name = ServerName::try_from("localhost").expect("a name");
        handshake(tls.connect(name, tcp).await?).await
    }
}

impl Pool {
    /// Opens so many connections.
    pub(crate) async fn open(door: &Arc<Door>, authorization: &str, size: usize) -> Self {
        let mut idle = Vec::with_capacity(size);
        for _ in 0..size {
            idle.push(door.open().await.expect("a connection"));
        }
        let host = format!("localhost:{}", door.address.port());
        Self {
            door: Arc::clone(door),
            authorization: authorization.parse().expect("a header value"),
            host: host.parse().expect("a header value"),
            idle: Mutex::new(idle),
            free: Semaphore::new(size),
        }
    }

    /// Waits for a connection that nobody uses.
    pub(crate) async fn line(&self) -> Line<'_> {
        let free = self.free.acquire().await.expect("never closed");
        Line { pool: self, _free: free }
    }

    /// A connection that is kept, or a new one in place of one that has ended.
    async fn sender(&self) -> Result<Sender, Trouble> {
        let kept = self.idle().pop();
        if let Some(mut kept) = kept
            && kept.ready().await.is_ok()
        {
            return Ok(kept);
        }
        self.door.open().await
    }

    fn request(&self, ask: Ask) -> Request<Full<Bytes>> {
        let mut request = Request::builder()
            .method(ask.method)
            .uri(ask.target)
            .header(HOST, self.host.clone())
            .header(AUTHORIZATION, self.authorization.clone())
            .header(ACCEPT, "application/json");
        if !ask.body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        request.body(Full::from(ask.body)).expect("a request")
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Sender>> {
        self.idle.lock().expect("no panic before")
    }
}

impl Line<'_> {
    /// Sends a request, and reads the whole reply.
    pub(crate) async fn ask(self, ask: Ask) -> Result<Reply, Trouble> {
        let request = self.pool.request(ask);
        timeout(PATIENCE, self.exchange(request)).await.map_err(|_| Trouble::TimedOut)?
    }

    async fn exchange(self, request: Request<Full<Bytes>>) -> Result<Reply, Trouble> {
        let mut sender = self.pool.sender().await?;
        let sent = Instant::now();
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        let took = sent.elapsed();
        self.pool.idle().push(sender);
        let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        let text = |name| header(name).unwrap_or_default().to_owned();
        Ok(Reply {
            status: head.status.as_u16(),
            cache: text("cache-status"),
            age: header("age").and_then(|age| age.parse().ok()),
            refusal: text("tollgate-error"),
            body,
            took,
        })
    }
}

impl Ask {
    /// A read.
    pub(crate) fn get(target: String) -> Self {
        Self { method: Method::GET, target, body: String::new() }
    }
}

impl Reply {
    /// Whether it came from memory.
    pub(crate) fn is_hit(&self) -> bool {
        self.cache.contains("; hit")
    }

    /// Whether it is in memory now.
    pub(crate) fn is_kept(&self) -> bool {
        self.is_hit() || self.cache.contains("; stored")
    }

    /// For how many seconds it has not been fresh, if it is shown for want of anything better.
    pub(crate) fn staleness(&self) -> Option<u64> {
        let mut parts = self.cache.split("; ");
        let seconds = parts.find_map(|part| part.strip_prefix("ttl=-"))?.parse().ok()?;
        parts.any(|part| part == "detail=stale-if-error").then_some(seconds)
    }

    /// Whether the gateway says that it could not ask the panel, and sent it nothing.
    pub(crate) fn is_unsent(&self) -> bool {
        ["upstream_down", "upstream_unreachable", "upstream_saturated"].contains(&&*self.refusal)
    }
}

async fn handshake<S>(stream: S) -> Result<Sender, Trouble>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}
