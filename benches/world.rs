//! Where the request path is timed: a process that does not listen, its tenants, and a panel.

use std::{path::Path, sync::Arc};

use http::{
    HeaderMap, HeaderValue, Version,
    header::{ETAG, HOST},
};
use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tollgate::{
    api::target::Target,
    auth::{
        keyring::{Keyring, MasterKey, random},
        token::{Environment, Token},
    },
    cache::{
        coherence::Change,
        entry::{Entry, Stored},
        key::Key,
        partition::Partition,
    },
    config::Config,
    demo::simulator::{Options, Simulator},
    formats::Pair,
    limit::{Quota, Quotas},
    metrics::Metrics,
    net::tls::Tls,
    serve::Process,
    tenants::{
        record::{SecretKind, Standing, TenantSettings, TokenTerms},
        secret::{UpstreamSecret, Vault},
        store::{Edit, NewToken, Store, StoreError},
    },
    vocabulary::{Format, Secrecy, Taken},
};

/// A gateway without its sockets, in front of a panel with some.
pub(crate) struct World {
    /// What the request path runs on: one thread, the bench's own.
    pub(crate) runtime: Runtime,
    /// The gateway.
    pub(crate) process: Process,
    /// A token of each tenant. Their credentials are their own; the panel knows the first one.
    pub(crate) callers: Vec<String>,
    /// The token of a tenant with one request a second, who shares the first credential.
    pub(crate) tight: String,
    _panel: Panel,
    _folder: TempDir,
}

/// The panel, on another thread: its work is not the gateway's.
struct Panel {
    simulator: Simulator,
    _runtime: Runtime,
}

/// Enters people into the store.
struct Clerk<'a, 'e> {
    edit: &'a Edit<'e>,
    vault: Vault<'a>,
}

/// So many machines make a list of 20 KiB.
const MACHINES: usize = 12;

const TIGHT: Quota = Quota { per_second: 1, burst: 1 };

impl World {
    /// A world with so many tenants.
    pub(crate) fn new(tenants: usize) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let folder = tempfile::tempdir().expect("a folder");
        let panel = Panel::start();
        let config = configuration(folder.path(), &panel.simulator.url());
        let master = MasterKey::generate().expect("random numbers");
        let keyring = Keyring::derive(&MasterKey::parse(&master).expect("a master key"));
        let (callers, tight) = populate(&config, &keyring, &panel.simulator, tenants);
        let metrics = Arc::new(Metrics::new());
        let tls = unused_tls(&config, &metrics);
        let process = {
            let _inside = runtime.enter();
            Process::new(config, keyring, tls, metrics).expect("a process")
        };
        Self { runtime, process, callers, tight, _panel: panel, _folder: folder }
    }

    /// Gives every caller a copy of what the first one was shown.
    pub(crate) fn share(&self, target: &str) {
        let stored = self.stored(target);
        let shown = entry(&stored);
        let fresh_until = shown.fresh_until();
        let Entry { view, asked_at, stale_for, .. } = *shown;
        for caller in &self.callers[1..] {
            // Nobody has written yet, so the stamp says the same in every partition.
            let (shown, stamp) = (shown.representation.clone(), shown.stamp.clone());
            let copy = Entry::new(shown, view, stamp, asked_at, fresh_until, stale_for);
            let key = key(&self.partition(caller), target);
            self.process.shared().shelf.store.insert(key, Arc::new(Stored::Entry(copy)));
        }
    }

    /// The entity tag that every caller was shown.
    pub(crate) fn entity_tag(&self, target: &str) -> HeaderValue {
        let stored = self.stored(target);
        entry(&stored).representation.headers.get(&ETAG).expect("kept entries have one").clone()
    }

    /// Proves the formats of a route by two pairs of its documents, a minute apart.
    pub(crate) fn prove(&self, target: &str, json: &[u8], xml: &[u8]) {
        let shared = self.process.shared();
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("cloud.example.com"));
        let uri = target.parse().expect("a target");
        let target = Target::canonicalize(uri, &headers, Version::HTTP_11, 1000);
        let route = shared.routes.read(&target.expect("a target")).expect("a listed route").id;
        let take = |now| shared.book.take("panel", route, Secrecy::Hidden, Pair { json, xml }, now);
        assert_eq!([take(0), take(60_000)], [Taken::Learned, Taken::Proved]);
    }

    /// Makes all that the first caller was shown untrue, as a write does.
    pub(crate) fn forget(&self) {
        let families = self.process.shared().routes.families().all();
        self.partition(&self.callers[0]).account().touch(Change::whole(families));
    }

    fn stored(&self, target: &str) -> Arc<Stored> {
        let key = key(&self.partition(&self.callers[0]), target);
        self.process.shared().shelf.store.get(&key).expect("what was read is kept")
    }

    fn partition(&self, token: &str) -> Arc<Partition> {
        let directory = self.process.directory();
        let grant = directory.find(&directory.keyring().mac(token.as_bytes()));
        Arc::clone(&grant.expect("a known token").credential.partition)
    }
}

impl Panel {
    fn start() -> Self {
        let threads = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = threads.expect("a runtime");
        let options = Options { users: 1, machines: Some(MACHINES), ..Options::default() };
        let simulator = runtime.block_on(Simulator::start(options)).expect("a free port");
        Self { simulator, _runtime: runtime }
    }
}

impl Clerk<'_, '_> {
    /// Adds a tenant with a token, and gives the token.
    fn tenant(&self, name: &str, quotas: Quotas, credential: &str) -> Result<String, StoreError> {
        let settings = TenantSettings { quotas, ..TenantSettings::default() };
        self.edit.add_tenant(name, &settings)?;
        let token = mint();
        let keyring = self.vault.keyring;
        self.edit.add_token(&NewToken {
            id: token.id(),
            tenant: name,
            credential,
            mac: keyring.mac(token.expose().as_bytes()),
            key_id: keyring.id(),
            terms: &TokenTerms::default(),
            adopted: false,
        })?;
        Ok(token.expose().to_owned())
    }

    fn credential(&self, name: &str, login: &str, key: &str) -> Result<(), StoreError> {
        let secret = UpstreamSecret::new(SecretKind::Key, login, key).expect("a good secret");
        let standing = Standing::default();
        self.edit.add_credential(&self.vault, name, "panel", &secret, &standing).map(drop)
    }
}

/// A token that is well formed, and nobody's.
pub(crate) fn unknown_token() -> String {
    mint().expose().to_owned()
}

/// A key in the panel's form, of which the panel knows nothing.
fn unknown_key() -> String {
    let bytes = random::<20>().expect("random numbers");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn mint() -> Token {
    Token::mint(&Environment::default(), &random().expect("random numbers"))
}

/// The defaults, except for what would end a bench that runs for minutes.
fn configuration(folder: &Path, panel: &str) -> Config {
    let text = format!(
        r#"
        upstreams.panel.url = "{panel}"
        tenants.store = "{}"
        cache = {{ capacity = "1GiB", inventory_lifetime = "1d", revalidate = false }}
        # The panel knows one of the credentials alone.
        sampler.share = 0
        formats.learn = false
        # Lines are written, and none is dropped.
        access_log = {{ path = "/dev/null", buffer = "64MiB" }}
        # Failures are counted, and are never too many.
        [failed_tokens]
        failed_tokens_per_minute = 1000000000
        failed_tokens_burst = 1000000000
        "#,
        folder.join("tollgate.db").display(),
    );
    Config::parse(&text, std::iter::empty()).expect("a valid configuration")
}

/// Fills the store; gives the tokens of all tenants, and that of the tight one.
fn populate(
    config: &Config,
    keyring: &Keyring,
    panel: &Simulator,
    tenants: usize,
) -> (Vec<String>, String) {
    let origin = |name: &str| config.upstreams.get(name).map(|u| u.origin.to_string());
    let user = panel.users().swap_remove(0);
    let mut store = Store::open(&config.tenants).expect("a new store");
    let filled = store.edit(1_800_000_000, |edit| {
        let clerk = Clerk { edit, vault: Vault { keyring, origin: &origin } };
        let mut callers = Vec::with_capacity(tenants);
        for n in 0..tenants {
            let name = format!("tenant-{n}");
            // As many secrets as tenants are looked for in every reply.
            let key = if n == 0 { user.api_key.clone() } else { unknown_key() };
            clerk.credential(&name, &user.email, &key)?;
            callers.push(clerk.tenant(&name, Quotas::default(), &name)?);
        }
        let quotas = Quotas { reads: Some(TIGHT), ..Quotas::default() };
        Ok::<_, StoreError>((callers, clerk.tenant("tight", quotas, "tenant-0")?))
    });
    filled.expect("the store takes them")
}

/// A process has a certificate, even one that never shows it.
fn unused_tls(config: &Config, metrics: &Arc<Metrics>) -> Arc<Tls> {
    let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate").pem();
    let (certificate, key) = (certificate.as_bytes(), key.serialize_pem());
    Tls::from_pem(certificate, key.as_bytes(), &config.tls, Arc::clone(metrics))
        .expect("a usable certificate")
}

fn key(partition: &Partition, target: &str) -> Key {
    Key::new(partition, Secrecy::Hidden, target.parse().expect("a target"), Some(Format::Json))
}

fn entry(stored: &Stored) -> &Entry {
    match stored {
        Stored::Entry(entry) => entry,
        Stored::Uncacheable { .. } => panic!("replies of the panel may be kept"),
    }
}
