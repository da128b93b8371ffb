//! The running server, asked over its admin listener.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, StatusCode, Uri,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST},
};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{net::TcpStream, time::timeout};

use super::{dispatch::admin_token, failure::Failure, serve::runtime};
use crate::{admin::access::Refused, config::Config};

/// Why the server did not answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nothing listens there.
    #[error("no connection")]
    Connect(#[source] io::Error),
    /// The exchange failed.
    #[error("no answer")]
    Exchange(#[from] hyper::Error),
    /// The answer is too long, or broke off.
    #[error("no whole answer")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It took too long.
    #[error("no answer within {} seconds", PATIENCE.as_secs())]
    TimedOut,
    /// No Tollgate of this kind answers so.
    #[error("what listens there answered {0}, and not as a Tollgate would")]
    Foreign(StatusCode),
}

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Many times what an answer has.
const ANSWER_MAX: usize = 16 << 20;

/// Gets what stands at a path.
pub fn get<A: DeserializeOwned>(config: &Config, path: &str) -> Result<A, Failure> {
    exchange(config, Method::GET, path, Bytes::new())
}

/// Posts a question to a path.
pub fn post<A: DeserializeOwned>(
    config: &Config,
    path: &str,
    question: &impl Serialize,
) -> Result<A, Failure> {
    let body = serde_json::to_vec(question).expect("strings always serialize");
    exchange(config, Method::POST, path, body.into())
}

fn exchange<A: DeserializeOwned>(
    config: &Config,
    method: Method,
    path: &str,
    body: Bytes,
) -> Result<A, Failure> {
    let address = reachable(config.admin.listen);
    let unasked = |source| Failure::Unasked { address, source };
    let uri: Uri = path.parse().map_err(|_| Failure::NotDone(format!("{path:?} is no path")))?;
    let mut request = request(address, method, uri, body);
    // Without one the server says what is missing.
    if let Some(token) = admin_token(config)? {
        request.headers_mut().insert(AUTHORIZATION, token.authorization());
    }
    let asked = runtime(1)?.block_on(async { timeout(PATIENCE, ask(address, request)).await });
    let (status, body) = asked.unwrap_or(Err(AskError::TimedOut)).map_err(unasked)?;
    let foreign = |_| unasked(AskError::Foreign(status));
    if status == StatusCode::OK {
        return serde_json::from_slice(&body).map_err(foreign);
    }
    let why = serde_json::from_slice::<Refused>(&body).map_err(foreign)?.errors.join("; ");
    Err(match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Failure::NotPermitted { address, why },
        _ => Failure::NotDone(why),
    })
}

/// Who listens on every address, listens on loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn request(address: SocketAddr, method: Method, uri: Uri, body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::from(body));
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    let host = HeaderValue::try_from(address.to_string()).expect("an address is ASCII");
    let headers = request.headers_mut();
    headers.insert(HOST, host);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    request
}

async fn ask(
    address: SocketAddr,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), AskError> {
    let stream = TcpStream::connect(address).await.map_err(AskError::Connect)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = Limited::new(body, ANSWER_MAX).collect().await.map_err(AskError::Body)?;
    Ok((head.status, body.to_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unspecified_address_is_reached_over_loopback() {
        for (listen, want) in
            [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:2", "[::1]:2"), ("10.0.0.1:3", "10.0.0.1:3")]
        {
            let listen = listen.parse().expect("an address");
            assert_eq!(reachable(listen).to_string(), want);
        }
    }
}
