//! The front door over real sockets and real TLS: one harness, then a scenario for each bound.

mod caps;
mod deadlines;
mod drain;
mod http2;
mod wire;

use std::{collections::HashMap, sync::Mutex};

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use rcgen::{CertificateParams, KeyPair};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinHandle,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::*;
use crate::vocabulary::{Closed, ConnectionEnd};

const SHORT: Duration = Duration::from_millis(150);

/// Longer than any deadline of a test, shorter than the ones it does not set.
const PATIENCE: Duration = Duration::from_secs(3);

/// A server, and what is needed to be its client.
struct Rig {
    address: SocketAddr,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
    server: JoinHandle<()>,
    seen: Arc<Mutex<Vec<String>>>,
    client: HashMap<&'static [u8], TlsConnector>,
}

type Client = TlsStream<TcpStream>;

impl Rig {
    async fn new(config: Config) -> Self {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        params.not_after = rcgen::date_time_ymd(2100, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let metrics = Arc::new(Metrics::new());
        let tls = Tls::from_pem(
            certificate.pem().as_bytes(),
            key.serialize_pem().as_bytes(),
            &crate::net::tls::Config::default(),
            metrics.clone(),
        );
        let tls = tls.expect("a good pair");
        Self::with(config, tls, metrics, vec![certificate.der().clone()]).await
    }

    async fn with(
        config: Config,
        tls: Arc<Tls>,
        metrics: Arc<Metrics>,
        trusted: Vec<rustls::pki_types::CertificateDer<'static>>,
    ) -> Self {
        let config = Config { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), ..config };
        let listener = listen(&config).expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let shutdown = CancellationToken::new();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let service = {
            let seen = seen.clone();
            tower::service_fn(move |arrival| answer(seen.clone(), arrival))
        };
        let server =
            serve(listener, tls, Arc::new(config), metrics.clone(), service, shutdown.clone());
        let server = tokio::spawn(server);
        let client = [&b"http/1.1"[..], b"h2"]
            .map(|alpn| (alpn, connector(alpn, &trusted)))
            .into_iter()
            .collect();
        Self { address, metrics, shutdown, server, seen, client }
    }

    async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("a listening server")
    }

    async fn try_tls(&self, alpn: &'static [u8]) -> io::Result<Client> {
        let name = ServerName::try_from("localhost").expect("a name");
        self.client[alpn].connect(name, self.tcp().await).await
    }

    async fn http1(&self) -> Client {
        self.try_tls(b"http/1.1").await.expect("a handshake")
    }

    async fn http2(&self) -> Client {
        self.try_tls(b"h2").await.expect("a handshake")
    }

    fn ends(&self, end: ConnectionEnd) -> u64 {
        self.metrics.connections.ends.of(end).get()
    }

    /// Waits until a connection has ended for this reason.
    async fn ended(&self, end: ConnectionEnd) {
        let patience = Instant::now() + PATIENCE;
        while self.ends(end) == 0 {
            let others: Vec<_> = ConnectionEnd::ALL.iter().filter(|e| self.ends(**e) > 0).collect();
            assert!(Instant::now() < patience, "no end {end:?} but {others:?}");
            sleep(Duration::from_millis(2)).await;
        }
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("no panic before").clone()
    }
}

fn connector(alpn: &[u8], trusted: &[rustls::pki_types::CertificateDer<'static>]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(trusted.iter().cloned());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![alpn.to_vec()];
    TlsConnector::from(Arc::new(client))
}

/// `/slow` takes a while, `/never` for ever, `/large` is more than sockets and buffers hold;
/// `/echo` answers the body or what became of it; everything else is `ok` without reading it.
async fn answer(
    seen: Arc<Mutex<Vec<String>>>,
    arrival: Arrival,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = arrival.request.uri().path().to_owned();
    seen.lock().expect("no panic before").push(path.clone());
    let (status, body) = match path.as_str() {
        "/slow" => {
            sleep(2 * SHORT).await;
            (StatusCode::OK, Bytes::from_static(b"slow"))
        }
        "/never" => std::future::pending().await,
        "/large" => (StatusCode::OK, Bytes::from(vec![b'x'; 64 << 20])),
        "/echo" => match arrival.request.into_body().limited(1 << 20).collect().await {
            Ok(body) => (StatusCode::OK, body.to_bytes()),
            Err(ClientBodyError::Broken(_)) => (StatusCode::BAD_REQUEST, Bytes::from("broken")),
            Err(error) => (StatusCode::REQUEST_TIMEOUT, Bytes::from(format!("{error:?}"))),
        },
        _ => (StatusCode::OK, Bytes::from_static(b"ok")),
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    Ok(response)
}

/// Everything until the server closes, orderly or not.
async fn read_all(client: &mut Client) -> String {
    let mut text = Vec::new();
    let read = timeout(PATIENCE, client.read_to_end(&mut text)).await;
    let _ = read.expect("the server closes the connection");
    String::from_utf8_lossy(&text).into_owned()
}

/// One reply with a `Content-Length`.
async fn read_reply(client: &mut Client) -> String {
    let mut text = Vec::new();
    loop {
        let string = String::from_utf8_lossy(&text).into_owned();
        if let Some((head, body)) = string.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|l| l.strip_prefix("Content-Length: "));
            let length = length.and_then(|l| l.parse().ok()).unwrap_or(0);
            if body.len() >= length {
                return string;
            }
        }
        let read = timeout(PATIENCE, client.read_buf(&mut text)).await.expect("a reply");
        assert_ne!(read.expect("a reply"), 0, "closed after {string:?}");
    }
}

async fn send(client: &mut Client, text: &str) {
    client.write_all(text.as_bytes()).await.expect("an open connection");
    client.flush().await.expect("an open connection");
}
