//! A demo that serves on free ports, and what tests ask of it.

use std::net::SocketAddr;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tollgate::demo::{
    Card, Demo, Options, Serving, TenantCard,
    simulator::{Machine, Simulator, User},
};

use crate::harness::{Answer, Client, Raw, Speaks, within};

/// A running demo; it ends with its handle.
pub struct House {
    serving: Serving,
    shutdown: CancellationToken,
}

impl House {
    /// As `tollgate demo` makes it, but for the ports.
    pub async fn new() -> Self {
        Self::with(|_| ()).await
    }

    /// With other options.
    pub async fn with(change: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options::default();
        for listen in [&mut options.data, &mut options.admin] {
            listen.set_port(0);
        }
        options.formats = "learn = false".to_owned();
        change(&mut options);
        let demo = Demo::start(options).await.expect("a demo");
        let shutdown = CancellationToken::new();
        Self { serving: demo.serve(shutdown.clone()), shutdown }
    }

    /// What the demo says of itself.
    pub fn card(&self) -> &Card {
        self.serving.card()
    }

    /// The panel behind.
    pub fn panel(&self) -> &Simulator {
        self.serving.panel()
    }

    /// Where the gateway listens.
    pub fn address(&self) -> SocketAddr {
        local(&self.card().url)
    }

    /// What a client has to trust.
    pub fn trusted(&self) -> Vec<CertificateDer<'static>> {
        vec![CertificateDer::from_pem_slice(self.card().ca.as_bytes()).expect("PEM")]
    }

    /// A tenant by its name.
    pub fn tenant(&self, name: &str) -> &TenantCard {
        self.card().tenants.iter().find(|t| t.name == name).expect("a tenant of the demo")
    }

    /// The user of the panel behind a tenant.
    pub fn user(&self, name: &str) -> User {
        self.panel().user(name).expect("a user of the panel")
    }

    /// The machines of a tenant.
    pub fn machines(&self, name: &str) -> Vec<Machine> {
        let user = self.user(name).id;
        self.panel().machines().into_iter().filter(|m| m.user_id == user).collect()
    }

    /// A connection of a client.
    pub async fn connect(&self, speaks: Speaks) -> Client {
        let trusted = self.trusted();
        let connected = Client::connect(self.address(), &trusted, speaks);
        within("a connection", connected).await.expect("a connection")
    }

    /// A connection of a client that sends bytes.
    pub async fn raw(&self) -> Raw {
        Raw::connect(self.address(), &self.trusted()).await
    }

    /// A tenant's `Authorization`.
    pub fn authorization(&self, name: &str) -> String {
        let TenantCard { login, token, .. } = self.tenant(name);
        basic(login, token)
    }

    /// A request of a tenant; with a body it is JSON.
    pub fn request(&self, name: &str, line: &str, body: &str) -> Request<Bytes> {
        request(line, &self.authorization(name), body)
    }

    /// Asks the gateway: `"GET /version.json"`.
    pub async fn ask(&self, name: &str, line: &str, body: &str) -> Answer {
        self.send(Speaks::Http1, self.request(name, line, body)).await
    }

    /// Sends any request over a connection of its own.
    pub async fn send(&self, speaks: Speaks, request: Request<Bytes>) -> Answer {
        let what = format!("the answer to {} {}", request.method(), request.uri());
        let mut client = self.connect(speaks).await;
        let answer = within(&what, client.send(request)).await.expect(&what);
        // What the panel says to browsers of itself is nobody's business, whatever was asked.
        for name in ["set-cookie", "server", "x-powered-by", "x-runtime"] {
            assert_eq!(answer.header(name), "", "{what}: {name}");
        }
        answer
    }

    /// Reads through the gateway.
    pub async fn get(&self, name: &str, target: &str) -> Answer {
        self.ask(name, &format!("GET {target}"), "").await
    }

    /// Reads JSON through the gateway.
    pub async fn json(&self, name: &str, target: &str) -> Value {
        let answer = self.get(name, target).await;
        assert_eq!(answer.status, 200, "{target}: {answer:?}");
        serde_json::from_slice(&answer.body).expect("JSON")
    }

    /// Asks the panel itself, with the tenant's own credential there.
    pub async fn direct(&self, name: &str, target: &str) -> Answer {
        let TenantCard { upstream_login, upstream_key, .. } = self.tenant(name);
        let authorization = basic(upstream_login, upstream_key);
        direct(self.panel().addr(), request(&format!("GET {target}"), &authorization, "")).await
    }

    /// Asserts that the gateway says the same as the panel, byte for byte, and says what the
    /// cache did.
    #[track_caller]
    pub fn same(&self, name: &str, target: &str) -> impl Future<Output = String> {
        let place = std::panic::Location::caller();
        async move {
            let (direct, ours) = (self.direct(name, target).await, self.get(name, target).await);
            assert_eq!(ours.status, direct.status, "{place}: {target}: {ours:?}");
            assert_eq!(ours.body, direct.body, "{place}: {target}");
            for header in ["content-type", "x-page", "x-limit", "x-total"] {
                assert_eq!(ours.header(header), direct.header(header), "{place}: {target}");
            }
            ours.cache()
        }
    }

    /// The value of a series, summed over the labels that are not given; `tollgate_hits{a="b"}`.
    pub async fn metric(&self, series: &str) -> f64 {
        let text = admin_at(local(&self.card().admin), "/metrics").await;
        crate::harness::sum_of(&text, series)
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// A page of an admin listener.
pub async fn admin_at(address: SocketAddr, path: &str) -> String {
    let request = Request::get(path).header("host", "localhost").body(Bytes::new());
    direct(address, request.expect("a request")).await.text().to_owned()
}

/// Asks over plain HTTP.
pub async fn direct(address: SocketAddr, mut request: Request<Bytes>) -> Answer {
    let what = format!("the panel's answer to {} {}", request.method(), request.uri());
    let host = address.to_string().parse().expect("a header value");
    request.headers_mut().entry("host").or_insert(host);
    let exchange = async {
        let stream = TcpStream::connect(address).await.expect("a listening panel");
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let (head, body) = sender.send_request(request.map(Full::new)).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok::<_, hyper::Error>(Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
            whole: true,
        })
    };
    within(&what, exchange).await.expect(&what)
}

/// HTTP Basic.
pub fn basic(login: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{login}:{password}")))
}

/// A request; with a body it is JSON.
pub fn request(line: &str, authorization: &str, body: &str) -> Request<Bytes> {
    let (method, target) = line.split_once(' ').expect("a method and a target");
    let mut request =
        Request::builder().method(method).uri(target).header("authorization", authorization);
    if !body.is_empty() {
        request = request.header("content-type", "application/json");
    }
    request.body(Bytes::copy_from_slice(body.as_bytes())).expect("a request")
}

/// The loopback address of a URL of the demo.
pub fn local(url: &str) -> SocketAddr {
    let port = url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    SocketAddr::from(([127, 0, 0, 1], port))
}
