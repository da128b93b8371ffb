//! A world: one process of Tollgate, its origin, its people and its files.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{Method, Request};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::CertificateDer;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use tollgate::{
    admin::{self, AdminToken},
    auth::keyring::{Keyring, MasterKey},
    auth::scopes::Permission,
    metrics::Metrics,
    net::tls::Tls,
    purge::Purged,
    serve::{Listeners, Process},
    tenants::record::{Reach, TenantSettings, TokenTerms},
};

use super::{
    Answer, Client, Origin, Person, Raw, Speaks, Step, client::tls, configuration::configuration,
    directory::Registry, log, within,
};

/// A gateway in front of a scripted origin.
pub struct World {
    /// The upstream.
    pub origin: Origin,
    /// The process, for what only its parts can do at once.
    pub process: Arc<Process>,
    data: SocketAddr,
    admin: SocketAddr,
    pub(super) registry: Registry,
    trusted: Mutex<Vec<CertificateDer<'static>>>,
    shutdown: CancellationToken,
    running: Mutex<Option<JoinHandle<()>>>,
    folder: TempDir,
}

const ADMIN_TOKEN: &str = "0123456789abcdef0123456789abcdef";

impl World {
    /// With the default configuration.
    pub async fn new() -> Self {
        Self::with("").await
    }

    /// With keys of the configuration set otherwise, as TOML.
    pub async fn with(overrides: &str) -> Self {
        log::capture();
        let folder = tempfile::tempdir().expect("a folder");
        let origin = Origin::start().await;
        let config = configuration(&folder, origin.address(), overrides);
        let master = MasterKey::generate().expect("random numbers");
        let keyring = || Keyring::derive(&MasterKey::parse(&master).expect("a master key"));
        let upstream = config.upstreams["main"].origin.to_string();
        let registry = Registry::open(&config.tenants, keyring(), &upstream);
        registry.populate();
        let certificate = write_certificate(&folder);
        let metrics = Arc::new(Metrics::new());
        let tls = Tls::load(&config.tls, Arc::clone(&metrics)).expect("a certificate");
        let process = Process::new(config, keyring(), tls, metrics).expect("a process");
        let token = AdminToken::find(&admin::Config::default(), Some(ADMIN_TOKEN));
        let process = process.with_admin_token(token.expect("a good token"));
        let process = Arc::new(process);
        let listen = async || TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let listeners = Listeners { data: listen().await, admin: listen().await };
        let address = |l: &TcpListener| l.local_addr().expect("a bound socket");
        let (data, admin) = (address(&listeners.data), address(&listeners.admin));
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(Arc::clone(&process).run(listeners, shutdown.clone()));
        Self {
            origin,
            process,
            data,
            admin,
            registry,
            trusted: Mutex::new(vec![certificate]),
            shutdown,
            running: Mutex::new(Some(running)),
            folder,
        }
    }

    /// A step that asks something.
    #[track_caller]
    pub fn ask(&self, method: &str, target: &str) -> Step<'_> {
        Step::new(self, method.parse().expect("a method"), target)
    }

    /// A step that reads.
    #[track_caller]
    pub fn get(&self, target: &str) -> Step<'_> {
        Step::new(self, Method::GET, target)
    }

    /// A step that asks for a head alone.
    #[track_caller]
    pub fn head(&self, target: &str) -> Step<'_> {
        Step::new(self, Method::HEAD, target)
    }

    /// A step that creates.
    #[track_caller]
    pub fn post(&self, target: &str) -> Step<'_> {
        Step::new(self, Method::POST, target)
    }

    /// A step that alters.
    #[track_caller]
    pub fn put(&self, target: &str) -> Step<'_> {
        Step::new(self, Method::PUT, target)
    }

    /// A step that deletes.
    #[track_caller]
    pub fn delete(&self, target: &str) -> Step<'_> {
        Step::new(self, Method::DELETE, target)
    }

    /// A connection of a client.
    pub async fn connect(&self, speaks: Speaks) -> Client {
        self.try_connect(speaks).await.expect("a connection")
    }

    /// A connection of a client, if the gateway takes one.
    pub async fn try_connect(&self, speaks: Speaks) -> io::Result<Client> {
        let trusted = self.trusted();
        within("a connection", Client::connect(self.data, &trusted, speaks)).await
    }

    /// Sends a request now, on a connection of its own; its answer is awaited later.
    pub fn begin(&self, method: &str, target: &str, name: &str) -> JoinHandle<Answer> {
        let (request, data) = (self.request(method, target, name), self.data);
        let trusted = self.trusted();
        tokio::spawn(async move {
            let mut client = Client::connect(data, &trusted, Speaks::Http1).await.expect("open");
            client.send(request).await.expect("an answer")
        })
    }

    /// A connection of a client that sends bytes.
    pub async fn raw(&self) -> Raw {
        let trusted = self.trusted();
        let connected = tls(self.data, &trusted, Speaks::NoAlpn);
        Raw::new(within("a connection", connected).await.expect("a connection"))
    }

    /// The same, by ALPN promised to speak HTTP/2.
    pub async fn raw_http2(&self) -> Raw {
        let trusted = self.trusted();
        let connected = tls(self.data, &trusted, Speaks::Http2);
        Raw::new(within("a connection", connected).await.expect("a connection"))
    }

    /// A bare TCP connection to the data listener.
    pub async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.data).await.expect("a listening gateway")
    }

    /// The name and port by which clients know the gateway.
    pub fn authority(&self) -> String {
        format!("localhost:{}", self.data.port())
    }

    /// A request for [`Client::send`].
    pub fn request(&self, method: &str, target: &str, name: &str) -> Request<Bytes> {
        Request::builder()
            .method(method)
            .uri(target)
            .header("authorization", self.authorization(name))
            .body(Bytes::new())
            .expect("a request")
    }

    /// Head and empty line of a request of somebody's, for [`Raw::send`].
    pub fn raw_request(&self, method: &str, target: &str, name: &str, fields: &str) -> String {
        let authorization = self.authorization(name);
        format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {authorization}\r\n{fields}\r\n"
        )
    }

    /// Somebody's `Authorization`.
    pub fn authorization(&self, name: &str) -> String {
        let token = self.registry.person(name).token;
        format!("Basic {}", BASE64_STANDARD.encode(format!("anybody:{token}")))
    }

    /// Somebody's token.
    pub fn person(&self, name: &str) -> Person {
        self.registry.person(name)
    }

    /// Every token that there is.
    pub fn people(&self) -> Vec<Person> {
        self.registry.people()
    }

    /// Adds a credential whose login is its name.
    pub fn add_credential(&self, name: &str) {
        self.registry.credential(name);
        self.reload();
    }

    /// Gives a credential another secret, in its next generation.
    pub fn rotate_credential(&self, name: &str, secret: &str) {
        self.hand_over(name, name, secret);
    }

    /// The same, of a user with this login.
    pub fn hand_over(&self, credential: &str, login: &str, secret: &str) {
        self.registry.rotate(credential, login, secret);
        self.reload();
    }

    /// Says what a credential reaches, and whose it is.
    pub fn declare(&self, credential: &str, reach: Reach, account: &str) {
        self.registry.declare(credential, reach, account);
        self.reload();
    }

    /// Adds a tenant.
    pub fn add_tenant(&self, name: &str, settings: &TenantSettings) {
        self.registry.tenant(name, settings);
        self.reload();
    }

    /// Changes a tenant; a running server finds out by itself.
    pub fn set_tenant(&self, name: &str, settings: &TenantSettings) {
        self.registry.set_tenant(name, settings);
    }

    /// Adds a token like that of `a`, which may read secrets besides.
    pub fn add_reader_of_secrets(&self, name: &str) {
        let permissions = [Permission::ReadSecrets].into_iter().collect();
        self.add_token(name, "a", "a", &TokenTerms { permissions, ..TokenTerms::default() });
    }

    /// Adds a token.
    pub fn add_token(&self, name: &str, tenant: &str, credential: &str, terms: &TokenTerms) {
        self.registry.token(name, tenant, credential, terms);
        self.reload();
    }

    /// Revokes somebody's token; a running server finds out by itself.
    pub fn revoke(&self, name: &str) {
        self.registry.revoke(name);
    }

    /// Puts what was changed in force at once.
    pub fn reload(&self) {
        self.process.directory().reload().expect("the store is there");
    }

    /// Puts another certificate where the configuration says.
    pub fn swap_certificate(&self) {
        let certificate = write_certificate(&self.folder);
        self.trusted.lock().expect("no panic before").push(certificate);
    }

    /// Puts a certificate that is none where the configuration says.
    pub fn spoil_certificate(&self) {
        let path = self.folder.path().join("tls.crt");
        std::fs::write(path, "no certificate").expect("a writable folder");
    }

    /// Every certificate that there was, the one in force last.
    pub fn trusted(&self) -> Vec<CertificateDer<'static>> {
        self.trusted.lock().expect("no panic before").clone()
    }

    /// The certificate that a new connection is shown.
    pub async fn shown_certificate(&self) -> CertificateDer<'static> {
        let trusted = self.trusted();
        let stream = tls(self.data, &trusted, Speaks::Http1).await.expect("a handshake");
        let (_, session) = stream.get_ref();
        session.peer_certificates().expect("a certificate")[0].clone().into_owned()
    }

    /// A page of the admin listener.
    pub async fn admin(&self, path: &str) -> Answer {
        self.ask_admin("GET", path, "").await
    }

    /// Purges with the admin token; what was done.
    pub async fn purge(&self, selectors: &str) -> Purged {
        let answer = self.ask_admin("POST", "/v1/purge", selectors).await;
        assert_eq!(answer.status, 200, "{selectors}: {answer:?}");
        serde_json::from_slice(&answer.body).expect("what was done")
    }

    async fn ask_admin(&self, method: &str, path: &str, body: &str) -> Answer {
        let mut stream = TcpStream::connect(self.admin).await.expect("a listening process");
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Authorization: Bearer {ADMIN_TOKEN}\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.expect("an open connection");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
        let body = Bytes::copy_from_slice(body.as_bytes());
        Answer { status, headers: http::HeaderMap::new(), body, whole: true }
    }

    /// The value of a series, zero when it is not there: `tollgate_requests_total{code="200"}`
    /// stands for the sum of all series that have these labels.
    pub async fn metric(&self, series: &str) -> f64 {
        let text = self.admin("/metrics").await;
        super::sum_of(text.text(), series)
    }

    /// What the access log says until now, once it has so many lines.
    pub async fn access_log(&self, lines: usize) -> String {
        let path = self.folder.path().join("access.log");
        let read = || std::fs::read_to_string(&path).unwrap_or_default();
        super::until("lines of the access log", || read().lines().count() >= lines).await;
        read()
    }

    /// Waits until so many entries are kept.
    pub async fn kept(&self, entries: u64) {
        let store = &self.process.shared().shelf.store;
        super::until("an entry of the cache", || {
            store.housekeep();
            store.entries() >= entries
        })
        .await;
    }

    /// Tells the process to end, as SIGTERM does.
    pub fn begin_shutdown(&self) {
        self.shutdown.cancel();
    }

    /// Waits until the process has ended.
    pub async fn ended(&self) {
        let running = self.running.lock().expect("no panic before").take().expect("once");
        within("the end of the process", running).await.expect("no panic");
    }

    /// Whether the process has ended.
    pub fn has_ended(&self) -> bool {
        self.running.lock().expect("no panic before").as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// The bytes of the store, its side files included.
    pub fn store_bytes(&self) -> Vec<u8> {
        let files = ["tollgate.db", "tollgate.db-wal"];
        let read = |name| std::fs::read(self.folder.path().join(name)).unwrap_or_default();
        files.into_iter().flat_map(read).collect()
    }

    /// Fails when something has reached the upstream that no step declared.
    #[track_caller]
    pub fn undeclared_is_none(&self, place: &str) {
        let undeclared = self.origin.undeclared();
        assert!(undeclared.is_empty(), "{place}: undeclared requests upstream: {undeclared:?}");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.cancel();
        if !std::thread::panicking() {
            self.undeclared_is_none("the end of the scenario");
            let outstanding = self.origin.outstanding();
            assert_eq!(outstanding, 0, "exchanges that were declared and did not happen");
        }
    }
}

fn write_certificate(folder: &TempDir) -> CertificateDer<'static> {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    params.not_after = rcgen::date_time_ymd(2100, 1, 1);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    let write = |name: &str, text: String| {
        std::fs::write(folder.path().join(name), text).expect("a writable folder");
    };
    write("tls.key", key.serialize_pem());
    write("tls.crt", certificate.pem());
    certificate.der().clone()
}
