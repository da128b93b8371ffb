//! An installation: a configuration, a master key, a certificate and a store in a folder of its
//! own, and the program working on them.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use rcgen::{CertificateParams, KeyPair};
use rustix::process::Signal;
use rustls::pki_types::CertificateDer;
use serde_json::Value;
use tempfile::TempDir;
use tollgate::demo::simulator::{Options, Simulator, User};

use crate::{
    harness::{Answer, Client, Speaks, within},
    panel::{basic, request},
    program::{Ended, PATIENCE, Program, tollgate},
};

/// The folder and the panel behind.
pub struct Installation {
    pub panel: Simulator,
    folder: TempDir,
    certificate: CertificateDer<'static>,
}

/// A running `tollgate serve`.
pub struct Server {
    pub program: Program,
    pub data: SocketAddr,
    pub admin: SocketAddr,
    trusted: Vec<CertificateDer<'static>>,
}

/// The way in to a running server, for whoever needs no more of it.
#[derive(Clone)]
pub struct Door {
    data: SocketAddr,
    trusted: Vec<CertificateDer<'static>>,
}

/// What a running server takes at most to see an edit of the store.
pub const SEEN_WITHIN: Duration = Duration::from_secs(1);

impl Installation {
    /// In front of a panel as it is.
    pub async fn new() -> Self {
        Self::with(Options::default(), "").await
    }

    /// In front of a panel with other options, with keys of its upstream's section.
    pub async fn with(options: Options, upstream: &str) -> Self {
        Self::build(options, upstream, None).await
    }

    /// With its store elsewhere than in a file of its own.
    pub async fn on(store: &str) -> Self {
        Self::build(Options::default(), "", Some(store)).await
    }

    /// With its store elsewhere, and with sections of its configuration set otherwise.
    pub async fn on_with(store: &str, sections: &str) -> Self {
        Self::build(Options::default(), sections, Some(store)).await
    }

    async fn build(options: Options, upstream: &str, store: Option<&str>) -> Self {
        let panel = Simulator::start(options).await.expect("a panel");
        let folder = tempfile::tempdir().expect("a folder");
        let certificate = CertificateDer::from(Vec::new());
        let mut installation = Self { panel, folder, certificate };
        installation.swap_certificate();
        let path = |name: &str| installation.path(name).display().to_string();
        let configuration = format!(
            r#"
            [server]
            listen = "127.0.0.1:0"
            drain_timeout = "3s"
            [admin]
            listen = "127.0.0.1:0"
            [tls]
            certificate = "{}"
            key = "{}"
            # Longer than any test: what is read anew, is read because it was asked for.
            settle = "1h"
            [tenants]
            store = "{}"
            master_key_file = "{}"
            token_environment = "test"
            usage_interval = "50ms"
            [log]
            format = "json"
            [access_log]
            path = "{}"
            flush_interval = "10ms"
            [formats]
            pairs_per_second = 1000
            check_share = 0
            [upstreams.main]
            url = "{}"
            {upstream}
            "#,
            path("tls.crt"),
            path("tls.key"),
            store.map_or_else(|| path("tollgate.db"), str::to_owned),
            path("master.key"),
            path("access.log"),
            installation.panel.url(),
        );
        installation.write("tollgate.toml", &configuration);
        installation.run(&["master-key", &path("master.key")], "").good();
        installation
    }

    /// What a client has to trust.
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.certificate.clone()
    }

    /// A file of the installation.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes one.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("a writable folder");
    }

    /// Puts a new certificate in place.
    pub fn swap_certificate(&mut self) {
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        self.write("tls.key", &key.serialize_pem());
        self.write("tls.crt", &certificate.pem());
        self.certificate = certificate.der().clone();
    }

    /// Starts a command; one that edits the store does so itself, and through no server.
    pub fn start(&self, args: &[&str], input: &str) -> Program {
        const EDITS: [&str; 9] = [
            "admin-token",
            "apply",
            "audit",
            "credential",
            "export",
            "import",
            "tenant",
            "token",
            "vault",
        ];
        let offline = args.first().is_some_and(|first| EDITS.contains(first));
        let offline: &[&str] = if offline { &["--offline"] } else { &[] };
        self.start_online(&[offline, args].concat(), input)
    }

    /// Starts a command as it is.
    pub fn start_online(&self, args: &[&str], input: &str) -> Program {
        let config = self.path("tollgate.toml");
        let mut command = tollgate(["--config".as_ref(), config.as_os_str()]);
        command.args(args);
        Program::start(command, input)
    }

    /// Runs a command to its end.
    pub fn run(&self, args: &[&str], input: &str) -> Ended {
        self.start(args, input).end_within(PATIENCE)
    }

    /// Runs a command that answers JSON.
    pub fn json(&self, line: &str, input: &str) -> Value {
        let args: Vec<&str> = line.split(' ').chain(["--json"]).collect();
        let out = self.run(&args, input).good();
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("{line}: {e}: {out}"))
    }

    /// Sets up a tenant named like a user of the panel, with its credential; and gives a token.
    pub fn tenant(&self, name: &str) -> String {
        let User { email, api_key, .. } = self.panel.user(name).expect("a user");
        self.json(&format!("tenant add {name}"), "");
        let credential = format!("credential add {name} --upstream main --email {email}");
        self.json(&format!("{credential} --secret-stdin"), &format!("{api_key}\n"));
        self.token(name)
    }

    /// One more token.
    pub fn token(&self, name: &str) -> String {
        let created = self.json(&format!("token create --tenant {name} --credential {name}"), "");
        created["token"].as_str().expect("a token").to_owned()
    }

    /// Starts the server, and returns when it listens.
    pub fn serve(&self) -> Server {
        let mut program = self.start(&["serve"], "");
        let line = program.complaint("serving");
        let line: Value = serde_json::from_str(&line).expect("a line of JSON");
        let address = |name: &str| {
            let text = line[name].as_str().expect("an address");
            text.parse().expect("an address")
        };
        let trusted = vec![self.certificate.clone()];
        Server { data: address("data"), admin: address("admin"), program, trusted }
    }
}

impl Server {
    /// Also trusts what the installation has now.
    pub fn trust(&mut self, installation: &Installation) {
        self.trusted.push(installation.certificate.clone());
    }

    /// The way in.
    pub fn door(&self) -> Door {
        Door { data: self.data, trusted: self.trusted.clone() }
    }

    /// A connection.
    pub async fn connect(&self) -> std::io::Result<Client> {
        self.door().connect().await
    }

    /// Asks with a token.
    pub async fn ask(&self, token: &str, line: &str, body: &str) -> Answer {
        self.door().ask(token, line, body).await
    }

    /// Reads with a token.
    pub async fn get(&self, token: &str, target: &str) -> Answer {
        self.ask(token, &format!("GET {target}"), "").await
    }

    /// Waits until a read is answered so, within what an edit may take.
    pub async fn answers(&self, token: &str, status: u16, code: &str) {
        let begun = std::time::Instant::now();
        loop {
            let answer = self.get(token, "/version.json").await;
            if (answer.status, answer.code()) == (status, code) {
                return;
            }
            let so_long = begun.elapsed();
            assert!(so_long < SEEN_WITHIN, "after {so_long:?}, not {status} {code}: {answer:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends it as an operator does.
    pub fn terminate(self) -> Ended {
        self.program.signal(Signal::TERM);
        self.program.end_within(Duration::from_secs(10))
    }
}

impl Door {
    /// A connection.
    pub async fn connect(&self) -> std::io::Result<Client> {
        within("a connection", Client::connect(self.data, &self.trusted, Speaks::Http1)).await
    }

    /// Asks with a token.
    pub async fn ask(&self, token: &str, line: &str, body: &str) -> Answer {
        let mut client = self.connect().await.expect("a connection");
        let sent = client.send(request(line, &basic("anybody", token), body));
        within(line, sent).await.expect("an answer")
    }
}
