//! A client that sends bytes: what no well-behaved client would send, and how the wire looks.

use std::{net::SocketAddr, time::Duration};

use rustls::pki_types::CertificateDer;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

use super::{Speaks, client::tls, within};

/// One connection over TLS, without ALPN.
pub struct Raw {
    stream: TlsStream<TcpStream>,
    buffer: Vec<u8>,
}

/// A reply in its own spelling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawReply {
    /// Its status.
    pub status: u16,
    /// Its head, the empty line left out.
    pub head: String,
    /// Its body, without framing.
    pub body: Vec<u8>,
}

impl Raw {
    /// Connects to a gateway that is no world's.
    pub async fn connect(address: SocketAddr, trusted: &[CertificateDer<'static>]) -> Self {
        let connected = tls(address, trusted, Speaks::NoAlpn);
        Self::new(within("a connection", connected).await.expect("a connection"))
    }

    pub(super) fn new(stream: TlsStream<TcpStream>) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// Sends bytes; false when the other side has closed.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let written = self.stream.write_all(bytes.as_ref()).await;
        written.is_ok() && self.stream.flush().await.is_ok()
    }

    /// Ends the sending side in order.
    pub async fn half_close(&mut self) {
        // The other side may have been first.
        let _ = self.stream.shutdown().await;
    }

    /// Resets the connection.
    pub fn abort(self) {
        let (tcp, _) = self.stream.into_inner();
        let linger = Some(Duration::ZERO);
        socket2::SockRef::from(&tcp).set_linger(linger).expect("a socket");
    }

    /// The next reply to a request that was no HEAD.
    pub async fn reply(&mut self) -> RawReply {
        within("a reply", self.read_reply(false)).await.expect("a whole reply")
    }

    /// The next reply to a HEAD.
    pub async fn reply_to_head(&mut self) -> RawReply {
        within("a reply", self.read_reply(true)).await.expect("a whole reply")
    }

    /// The next reply, if one comes whole before the connection ends.
    pub async fn try_reply(&mut self) -> Option<RawReply> {
        within("a reply or the end", self.read_reply(false)).await
    }

    /// Everything until the other side closes.
    pub async fn rest(&mut self) -> String {
        within("the end of the connection", async {
            // A reset ends it just as well.
            let _ = self.stream.read_to_end(&mut self.buffer).await;
        })
        .await;
        String::from_utf8_lossy(&std::mem::take(&mut self.buffer)).into_owned()
    }

    /// At least so many bytes, whatever they are.
    pub async fn read_some(&mut self, least: usize) -> Vec<u8> {
        while self.buffer.len() < least {
            within("more bytes", self.fill()).await.expect("an open connection");
        }
        std::mem::take(&mut self.buffer)
    }

    async fn read_reply(&mut self, to_head: bool) -> Option<RawReply> {
        let mut end = self.find(b"\r\n\r\n").await?;
        // Informational replies have no body; a 100 is waited for by itself.
        let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
        end = head.len() - 4;
        let head = String::from_utf8_lossy(&head[..end]).into_owned();
        let status: u16 = head.split(' ').nth(1)?.parse().ok()?;
        let mut reply = RawReply { status, head, body: Vec::new() };
        if to_head || status < 200 || status == 204 || status == 304 {
            return Some(reply);
        }
        if reply.header("transfer-encoding").is_some() {
            loop {
                let at = self.find(b"\r\n").await?;
                let line: Vec<u8> = self.buffer.drain(..at + 2).collect();
                let size = String::from_utf8_lossy(&line[..at]).into_owned();
                let size = usize::from_str_radix(&size, 16).ok()?;
                let piece = self.take(size + 2).await?;
                reply.body.extend(&piece[..size]);
                if size == 0 {
                    return Some(reply);
                }
            }
        }
        match reply.header("content-length").and_then(|v| v.parse().ok()) {
            Some(length) => reply.body = self.take(length).await?,
            None => {
                while self.fill().await.is_some() {}
                reply.body = std::mem::take(&mut self.buffer);
            }
        }
        Some(reply)
    }

    async fn find(&mut self, what: &[u8]) -> Option<usize> {
        loop {
            if let Some(at) = self.buffer.windows(what.len()).position(|w| w == what) {
                return Some(at);
            }
            self.fill().await?;
        }
    }

    async fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < length {
            self.fill().await?;
        }
        Some(self.buffer.drain(..length).collect())
    }

    async fn fill(&mut self) -> Option<()> {
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(()),
        }
    }
}

impl RawReply {
    /// The value of a header, whatever its spelling.
    pub fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        fields.into_iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v)
    }

    /// The gateway's own error code; empty when it is not the gateway's error.
    pub fn code(&self) -> &str {
        self.header("tollgate-error").unwrap_or_default()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
