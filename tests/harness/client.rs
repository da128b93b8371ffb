//! A client over TLS that speaks HTTP/1.1 or HTTP/2 as hyper does.

use std::{io, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::within;

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// HTTP/1.1 by ALPN.
    Http1,
    /// HTTP/2 by ALPN.
    Http2,
    /// HTTP/1.1 without ALPN, as old clients do.
    NoAlpn,
}

/// One connection.
pub struct Client {
    sender: Sender,
    authority: String,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Clone for Client {
    /// Another stream of the same connection, which only HTTP/2 has.
    fn clone(&self) -> Self {
        let Sender::Http2(sender) = &self.sender else { panic!("HTTP/1.1 has no streams") };
        Self { sender: Sender::Http2(sender.clone()), authority: self.authority.clone() }
    }
}

/// A reply as the client got it.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, as far as it came.
    pub body: Bytes,
    /// Whether the body ended as it should.
    pub whole: bool,
}

impl Client {
    /// Connects; TLS, and then the protocol.
    pub async fn connect(
        address: SocketAddr,
        trusted: &[CertificateDer<'static>],
        speaks: Speaks,
    ) -> io::Result<Self> {
        let stream = TokioIo::new(tls(address, trusted, speaks).await?);
        let sender = if speaks == Speaks::Http2 {
            let handshake = http2::handshake(TokioExecutor::new(), stream).await;
            let (sender, connection) = handshake.map_err(io::Error::other)?;
            tokio::spawn(connection);
            Sender::Http2(sender)
        } else {
            let (sender, connection) = http1::handshake(stream).await.map_err(io::Error::other)?;
            tokio::spawn(connection);
            Sender::Http1(sender)
        };
        Ok(Self { sender, authority: format!("localhost:{}", address.port()) })
    }

    /// Sends a request whose URI is a target, and reads the whole reply.
    pub async fn send(&mut self, mut request: Request<Bytes>) -> Result<Answer, hyper::Error> {
        let sent = match &mut self.sender {
            Sender::Http1(sender) => {
                let host = self.authority.parse().expect("a header value");
                request.headers_mut().entry(http::header::HOST).or_insert(host);
                sender.ready().await?;
                sender.send_request(request.map(Full::new))
            }
            Sender::Http2(sender) => {
                let url = format!("https://{}{}", self.authority, request.uri());
                *request.uri_mut() = url.parse().expect("a target");
                sender.ready().await?;
                return Answer::read(sender.send_request(request.map(Full::new)).await?).await;
            }
        };
        Answer::read(sent.await?).await
    }
}

impl Answer {
    async fn read(reply: http::Response<hyper::body::Incoming>) -> Result<Self, hyper::Error> {
        let (parts, mut incoming) = reply.into_parts();
        let mut body = Vec::new();
        let mut whole = true;
        while let Some(frame) = within("the rest of a reply", incoming.frame()).await {
            match frame {
                Ok(frame) => body.extend(frame.into_data().unwrap_or_default()),
                Err(_) => {
                    whole = false;
                    break;
                }
            }
        }
        let status = parts.status.as_u16();
        Ok(Self { status, headers: parts.headers, body: body.into(), whole })
    }

    /// The value of a header; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().expect("text"))
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    /// The gateway's own error code; empty when it is not the gateway's error.
    pub fn code(&self) -> &str {
        self.header("tollgate-error")
    }

    /// What the cache did, in one word: `hit`, `miss` (and kept), `miss:WHY` (and not kept),
    /// `collapsed`, `collapsed:WHY`, `bypass:WHY`, `write`; `request` for what was fetched because
    /// the request demanded it; empty when it was not asked.
    pub fn cache(&self) -> String {
        let value = self.header("cache-status");
        let parts: Vec<_> = value.split(';').map(str::trim).skip(1).collect();
        let word = match parts.as_slice() {
            [] => return value.to_owned(),
            ["hit", ..] => "hit",
            ["fwd=method"] => "write",
            ["fwd=bypass", ..] => "bypass",
            ["fwd=request", ..] => "request",
            ["fwd=miss" | "fwd=stale", "collapsed", ..] => "collapsed",
            ["fwd=miss" | "fwd=stale", ..] => "miss",
            other => panic!("an unknown Cache-Status: {other:?}"),
        };
        let detail = parts.iter().find_map(|p| p.strip_prefix("detail="));
        detail.map_or_else(|| word.to_owned(), |detail| format!("{word}:{detail}"))
    }
}

/// A TLS connection to the gateway.
pub(super) async fn tls(
    address: SocketAddr,
    trusted: &[CertificateDer<'static>],
    speaks: Speaks,
) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(trusted.iter().cloned());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = match speaks {
        Speaks::Http1 => vec![b"http/1.1".to_vec()],
        Speaks::Http2 => vec![b"h2".to_vec()],
        Speaks::NoAlpn => Vec::new(),
    };
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await
}
