//! A small origin that speaks as each test wants, byte by byte.

use std::{
    future::Future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use rustls_pki_types::{PrivateKeyDer, pem::PemObject};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

/// An origin on a port of its own; it ends when dropped.
pub(super) struct TestOrigin {
    pub(super) address: SocketAddr,
    connections: Arc<Connections>,
    task: JoinHandle<()>,
}

/// One connection, at the origin's end.
pub(super) struct Peer {
    /// Counted from one.
    pub(super) number: usize,
    stream: BufReader<Box<dyn Stream>>,
    _open: Open,
}

/// A certificate with its key, and the PEM text of its issuer.
pub(super) struct Identity {
    pub(super) authority: String,
    certificate: rcgen::Certificate,
    key: rcgen::KeyPair,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

#[derive(Default)]
struct Connections {
    accepted: AtomicUsize,
    open: AtomicUsize,
    most_open: AtomicUsize,
}

struct Open(Arc<Connections>);

/// Serves each connection with `serve`.
pub(super) async fn origin<F, Fut>(serve: F) -> TestOrigin
where
    F: Fn(Peer) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    start(None, serve).await
}

/// The same, over TLS.
pub(super) async fn tls_origin<F, Fut>(identity: &Identity, serve: F) -> TestOrigin
where
    F: Fn(Peer) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    start(Some(identity.acceptor()), serve).await
}

async fn start<F, Fut>(tls: Option<TlsAcceptor>, serve: F) -> TestOrigin
where
    F: Fn(Peer) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let connections = Arc::new(Connections::default());
    let counted = Arc::clone(&connections);
    let task = tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.expect("a connection");
            let open = Open::new(&counted);
            let number = counted.accepted.load(SeqCst);
            let stream: Box<dyn Stream> = match &tls {
                None => Box::new(tcp),
                Some(tls) => match tls.accept(tcp).await {
                    Ok(tls) => Box::new(tls),
                    Err(_) => continue,
                },
            };
            tokio::spawn(serve(Peer { number, stream: BufReader::new(stream), _open: open }));
        }
    });
    TestOrigin { address, connections, task }
}

impl TestOrigin {
    /// How many connections there have been.
    pub(super) fn accepted(&self) -> usize {
        self.connections.accepted.load(SeqCst)
    }

    /// How many there are now.
    pub(super) fn open(&self) -> usize {
        self.connections.open.load(SeqCst)
    }

    /// How many there were at once, at most.
    pub(super) fn most_open(&self) -> usize {
        self.connections.most_open.load(SeqCst)
    }
}

impl Drop for TestOrigin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Peer {
    /// The next head, with its empty line; none when the connection ended.
    pub(super) async fn head(&mut self) -> Option<String> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head).await.ok()? == 0 {
                return None;
            }
        }
        Some(head)
    }

    /// So many bytes of a body.
    pub(super) async fn body(&mut self, length: usize) -> String {
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await.expect("a body");
        String::from_utf8(body).expect("text")
    }

    /// Whether the connection ended, rather than that a byte came.
    pub(super) async fn ended(&mut self) -> bool {
        !matches!(self.stream.read(&mut [0]).await, Ok(1..))
    }

    /// Writes what is given.
    pub(super) async fn say(&mut self, text: &str) {
        // The other side may be gone, as many tests want it.
        let _ = self.stream.write_all(text.as_bytes()).await;
        let _ = self.stream.flush().await;
    }

    /// Replies 200 with a body.
    pub(super) async fn reply(&mut self, body: &str) {
        let (length, number) = (body.len(), self.number);
        let head = format!("HTTP/1.1 200 OK\r\nX-Connection: {number}\r\nContent-Length: {length}");
        self.say(&format!("{head}\r\n\r\n{body}")).await;
    }

    /// Replies to every request until the connection ends.
    pub(super) async fn serve(mut self, body: &str) {
        while self.head().await.is_some() {
            self.reply(body).await;
        }
    }
}

impl Open {
    fn new(connections: &Arc<Connections>) -> Self {
        connections.accepted.fetch_add(1, SeqCst);
        let open = connections.open.fetch_add(1, SeqCst) + 1;
        connections.most_open.fetch_max(open, SeqCst);
        Self(Arc::clone(connections))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, SeqCst);
    }
}

impl Identity {
    /// A certificate for a name or address, signed by an authority of its own.
    pub(super) fn of(name: &str) -> Self {
        let mut params = rcgen::CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority_key = rcgen::KeyPair::generate().expect("a key");
        let authority = params.self_signed(&authority_key).expect("an authority").pem();
        let issuer = rcgen::Issuer::new(params, authority_key);
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = rcgen::CertificateParams::new([name.to_owned()])
            .and_then(|params| params.signed_by(&key, &issuer))
            .expect("a certificate");
        Self { authority, certificate, key }
    }

    fn acceptor(&self) -> TlsAcceptor {
        let key = PrivateKeyDer::from_pem_slice(self.key.serialize_pem().as_bytes()).expect("PEM");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.der().clone()], key)
            .expect("a certificate and its key");
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}
