//! The running server, asked over its admin listener.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST},
    uri::Scheme,
};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};
use tokio_rustls::TlsConnector;
use tokio_util::either::Either;

use self::{
    hearing::Hearing,
    trust::{Trust, TrustError},
};
use super::{Cli, dispatch::admin_token, failure::Failure, serve::runtime};
use crate::{
    admin::{self, AdminToken, Problem, problem::Kind},
    config::{Config, ConfigError},
};

mod hearing;
mod once;
mod trust;

/// A server that runs, and how to reach it.
pub struct Remote {
    /// The host and port.
    place: String,
    tls: Option<Trust>,
    token: Option<AdminToken>,
    /// How long an exchange may take.
    patience: Duration,
    /// What else can be done where nobody answers.
    instead: &'static str,
}

/// What is asked of it.
#[derive(Clone, Debug)]
pub struct Call {
    method: Method,
    path: String,
    body: Bytes,
    kind: &'static str,
    more: HeaderMap,
    /// How long the answer may be.
    most: usize,
}

/// Why the server did not answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nothing listens there.
    #[error("no connection")]
    Connect(#[source] io::Error),
    /// Nothing answers there in time.
    #[error("no connection within {} seconds", .0.as_secs())]
    Unreached(Duration),
    /// It does not speak TLS, or has a certificate that is not trusted.
    #[error("no TLS")]
    Tls(#[source] io::Error),
    /// The exchange failed.
    #[error("no answer")]
    Exchange(#[from] hyper::Error),
    /// The answer is too long, or broke off.
    #[error("no whole answer")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It took too long.
    #[error("no answer within {} seconds", .0.as_secs())]
    TimedOut(Duration),
    /// No Tollgate of this kind answers so.
    #[error("what listens there answered {0}, and not as a Tollgate would")]
    Foreign(StatusCode),
    /// What it can be trusted by cannot be read.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

/// Many times what most answers have.
const ANSWER_MAX: usize = 16 << 20;

const JSON: &str = "application/json";

impl Call {
    /// Gets what stands at a path.
    pub fn get(path: impl Into<String>) -> Self {
        let (method, body, more) = (Method::GET, Bytes::new(), HeaderMap::new());
        Self { method, path: path.into(), body, kind: JSON, more, most: ANSWER_MAX }
    }

    /// Removes what stands at a path.
    pub fn delete(path: impl Into<String>) -> Self {
        Self { method: Method::DELETE, ..Self::get(path) }
    }

    /// Posts a question to a path.
    pub fn post(path: impl Into<String>, question: &impl Serialize) -> Self {
        let body = serde_json::to_vec(question).expect("strings always serialize").into();
        Self { method: Method::POST, body, ..Self::get(path) }
    }

    /// Posts to a path what needs no words.
    pub fn post_nothing(path: impl Into<String>) -> Self {
        Self { method: Method::POST, ..Self::get(path) }
    }

    /// Changes what stands at a path.
    pub fn patch(path: impl Into<String>, change: &impl Serialize) -> Self {
        Self { method: Method::PATCH, ..Self::post(path, change) }
    }

    /// Puts something in the place of what stands at a path.
    pub fn put(path: impl Into<String>, value: &impl Serialize) -> Self {
        Self { method: Method::PUT, ..Self::post(path, value) }
    }

    /// Posts JSON lines to a path.
    pub fn lines(path: impl Into<String>, lines: Vec<u8>) -> Self {
        let (method, kind) = (Method::POST, "application/x-ndjson");
        Self { method, body: lines.into(), kind, ..Self::get(path) }
    }

    /// With one more header.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.more.insert(name, value);
        self
    }

    /// With an answer of so many bytes at most.
    #[must_use]
    pub fn answered_within(self, most: usize) -> Self {
        Self { most, ..self }
    }
}

impl Remote {
    /// The server that the command line names, or else that of the configuration.
    pub fn of(cli: &Cli) -> Result<Self, Failure> {
        match Config::load(&cli.config) {
            Ok(config) => Self::by(&config.admin, cli),
            // Who asks a server elsewhere may have no configuration here.
            Err(ConfigError::Unreadable { .. }) if cli.server.is_some() => {
                Self::by(&admin::Config::default(), cli)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn by(admin: &admin::Config, cli: &Cli) -> Result<Self, Failure> {
        let token = admin_token(admin)?;
        let (place, tls) = match &cli.server {
            Some(url) => named(url, cli.ca.as_deref())?,
            None => configured(admin)?,
        };
        Ok(Self { place, tls, token, patience: admin.patience(), instead: "" })
    }

    /// Says what else can be done where nobody answers.
    #[must_use]
    pub fn or_else(self, instead: &'static str) -> Self {
        Self { instead, ..self }
    }

    /// Asks, and reads the answer.
    pub fn ask<A: DeserializeOwned>(&self, call: Call) -> Result<A, Failure> {
        let answer = self.hear(call)?.map_err(|problem| self.refused(&problem))?;
        self.read(&answer)
    }

    /// Asks, and takes the answer, or why there is none, as it comes.
    pub fn hear(&self, call: Call) -> Result<Result<Response<Bytes>, Problem>, Failure> {
        let most = call.most;
        let request = self.request(call)?;
        let asked = runtime(1)?.block_on(self.exchange(request, most));
        let answer = asked.map_err(|why| self.unasked(why))?;
        if answer.status().is_success() { Ok(Ok(answer)) } else { self.read(&answer).map(Err) }
    }

    /// What an answer of JSON says.
    pub fn read<A: DeserializeOwned>(&self, answer: &Response<Bytes>) -> Result<A, Failure> {
        let empty = answer.status() == StatusCode::NO_CONTENT;
        let text = if empty { &b"null"[..] } else { answer.body() };
        let foreign = |_| self.unasked(AskError::Foreign(answer.status()));
        serde_json::from_slice(text).map_err(foreign)
    }

    /// The failure that a refusal is.
    pub fn refused(&self, problem: &Problem) -> Failure {
        let (place, why) = (self.place.clone(), problem.report());
        let is = |kind: Kind| problem.kind == kind.uri();
        match StatusCode::from_u16(problem.status) {
            _ if is(Kind::Untaken) => Failure::NotStored(why),
            _ if is(Kind::Untested) => {
                Failure::NotStored(format!("{why} (--no-test stores it untested)"))
            }
            _ if is(Kind::Unsettled) => Failure::Unsettled { place, why },
            Ok(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                Failure::NotPermitted { place, why }
            }
            Ok(StatusCode::SERVICE_UNAVAILABLE) => Failure::NotNow { place, why },
            Ok(StatusCode::PAYLOAD_TOO_LARGE) => Failure::NotDone(format!("{why}{}", self.instead)),
            _ => Failure::NotDone(why),
        }
    }

    fn unasked(&self, source: AskError) -> Failure {
        Failure::Unasked { place: self.place.clone(), instead: self.instead, source }
    }

    fn request(&self, call: Call) -> Result<Request<Full<Bytes>>, Failure> {
        let Call { method, path, body, kind, more, .. } = call;
        let uri: Uri =
            path.parse().map_err(|_| Failure::NotDone(format!("{path:?} is no path")))?;
        let mut request = Request::new(Full::from(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        let host = HeaderValue::try_from(&self.place);
        let host = host.map_err(|_| Failure::NotDone(format!("{:?} is no host", self.place)))?;
        *request.headers_mut() = more;
        let headers = request.headers_mut();
        headers.insert(HOST, host);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        // Without one the server says what is missing.
        if let Some(token) = &self.token {
            headers.insert(AUTHORIZATION, token.authorization());
        }
        Ok(request)
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        most: usize,
    ) -> Result<Response<Bytes>, AskError> {
        let begun = Instant::now();
        let left = || self.patience.saturating_sub(begun.elapsed());
        let reached = async {
            let stream = TcpStream::connect(&self.place).await.map_err(AskError::Connect)?;
            let stream = Hearing::new(stream);
            let Some(trust) = &self.tls else { return Ok(Either::Left(stream)) };
            let connector = TlsConnector::from(trust.config.clone());
            let connected = connector.connect(trust.name.clone(), stream).await;
            Ok(Either::Right(connected.map_err(AskError::Tls)?))
        };
        // Until then nothing was asked.
        let reached = timeout(left(), reached).await;
        let stream = reached.unwrap_or(Err(AskError::Unreached(self.patience)))?;
        let answered = timeout(left(), answer(stream, request, most)).await;
        answered.unwrap_or(Err(AskError::TimedOut(self.patience)))
    }
}

/// Waits until a server may be asked again.
pub fn pause(wait: Duration) -> Result<(), Failure> {
    runtime(1)?.block_on(async { sleep(wait).await });
    Ok(())
}

/// A path of names that may have anything in them: `path(&["/v1/tenants", name])`.
pub fn path(parts: &[&str]) -> String {
    let [first, names @ ..] = parts else { return String::new() };
    let mut path = (*first).to_owned();
    for name in names {
        path.push('/');
        path.push_str(&escaped(name));
    }
    path
}

/// What is safe in a path and in a query stays as it is.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

fn named(url: &str, ca: Option<&Path>) -> Result<(String, Option<Trust>), Failure> {
    let wrong = || Failure::BadServer(url.to_owned());
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    let host = uri.host().ok_or_else(wrong)?;
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(wrong());
    }
    let https = uri.scheme() == Some(&Scheme::HTTPS);
    if !https && uri.scheme() != Some(&Scheme::HTTP) {
        return Err(wrong());
    }
    if !https && (ca.is_some() || !is_here(host)) {
        return Err(Failure::InClear(url.to_owned()));
    }
    let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
    let place = format!("{host}:{port}");
    let trust =
        https.then(|| Trust::authorities(ca, host)).transpose().map_err(untrusted(&place))?;
    Ok((place, trust))
}

/// Whether nobody on a network hears what is said to it.
fn is_here(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse();
    host == "localhost" || address.is_ok_and(|address: IpAddr| address.is_loopback())
}

/// The server of the configuration is known by its certificate, whatever that says its name is.
fn configured(admin: &admin::Config) -> Result<(String, Option<Trust>), Failure> {
    let place = reachable(admin.listen).to_string();
    let certificate = admin.certificate.as_deref().filter(|_| admin.key.is_some());
    let trust = certificate.map(Trust::pinned).transpose().map_err(untrusted(&place))?;
    Ok((place, trust))
}

/// Who cannot be trusted, is not asked.
fn untrusted(place: &str) -> impl FnOnce(TrustError) -> Failure {
    let place = place.to_owned();
    |source| Failure::Unasked { place, instead: "", source: AskError::Trust(source) }
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

async fn answer(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
    most: usize,
) -> Result<Response<Bytes>, AskError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = Limited::new(body, most).collect().await.map_err(AskError::Body)?;
    Ok(Response::from_parts(head, body.to_bytes()))
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

    #[test]
    fn an_answer_is_waited_for_as_long_as_the_server_may_take_and_a_little_longer() {
        let cli = Cli::read(["tollgate", "export"].map(Into::into)).expect("usage");
        let seconds = Duration::from_secs;
        for (given, waited) in [(None, 35), (Some(seconds(300)), 305), (Some(seconds(2)), 7)] {
            let mut admin = admin::Config::default();
            admin.exchange_timeout = given.unwrap_or(admin.exchange_timeout);
            let server = Remote::by(&admin, &cli).expect("a server");
            assert_eq!(server.patience, seconds(waited));
        }
    }

    #[test]
    fn a_server_is_named_by_scheme_host_and_port() {
        for (url, want) in [
            ("http://localhost:1", "localhost:1"),
            ("http://127.0.0.1/", "127.0.0.1:80"),
            ("http://[::1]:9145", "[::1]:9145"),
        ] {
            let (place, trust) = named(url, None).unwrap_or_else(|e| panic!("{url}: {e}"));
            assert_eq!((&*place, trust.is_none()), (want, true), "{url}");
        }
        for url in ["a:1", "ftp://a:1", "http://a:1/v1", "http://a?b", "a b"] {
            assert!(matches!(named(url, None), Err(Failure::BadServer(_))), "{url}");
        }
        let ca = Some(Path::new("ca.pem"));
        for (url, ca) in [("http://a:1", None), ("http://192.0.2.1", None), ("http://[::1]:1", ca)]
        {
            assert!(matches!(named(url, ca), Err(Failure::InClear(_))), "{url}");
        }
    }

    #[test]
    fn what_a_name_has_in_it_leads_nowhere_else() {
        assert_eq!(path(&["/v1/tenants", "a.b@c-d"]), "/v1/tenants/a.b@c-d");
        assert_eq!(path(&["/v1/tenants", "../x?y#z/é"]), "/v1/tenants/..%2Fx%3Fy%23z%2F%C3%A9");
    }
}
