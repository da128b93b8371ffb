//! What is under load: a gateway that serves over TLS, and the panel behind it, in one process.

use std::{net::Ipv4Addr, path::Path, sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use rcgen::{Certificate, CertificateParams, KeyPair};
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
};
use tokio_util::sync::CancellationToken;
use tollgate::{
    auth::{
        keyring::{Keyring, MasterKey, random},
        token::Token,
    },
    config::Config,
    demo::simulator::{Machine, Simulator, User},
    metrics::Metrics,
    net::tls::Tls,
    serve::{Listeners, Process},
    tenants::{
        record::{Reach, SecretKind, Standing, TenantSettings, TokenTerms},
        secret::{UpstreamSecret, Vault},
        store::{Edit, NewToken, Store, StoreError},
    },
};

use crate::{client::Door, gate::Gate, panel::Panel};

/// A gateway and its panel, each on threads of its own; they end with it.
pub(crate) struct House {
    gateway: Arc<Door>,
    past: Arc<Door>,
    callers: Vec<Caller>,
    metrics: Arc<Metrics>,
    lifetimes: Lifetimes,
    panel: Panel,
    _threads: [Runtime; 2],
    _folder: TempDir,
}

/// How the house is built.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    /// How many tenants there are.
    pub(crate) tenants: usize,
    /// Whether the panel goes away for a while.
    pub(crate) goes_away: bool,
    /// How long lists and items are fresh; the default if not given.
    pub(crate) lifetime: Option<Duration>,
}

/// For how long the gateway may show what it has been shown.
#[derive(Clone, Copy)]
pub(crate) struct Lifetimes {
    /// Until it is asked for again.
    pub(crate) fresh: Duration,
    /// Beyond that, while the panel cannot be asked.
    pub(crate) stale: Duration,
}

/// Somebody who may call, and what is theirs.
pub(crate) struct Caller {
    /// The tenant's name, and its user's login at the panel.
    pub(crate) name: String,
    /// `Authorization` at the gateway.
    pub(crate) token: String,
    /// `Authorization` at the panel.
    pub(crate) key: String,
    /// The machines that there are before anything is written.
    pub(crate) machines: Vec<Machine>,
}

/// The panel's side of the trade: `(name, token)` of each tenant.
type Tokens = Vec<(User, String)>;

/// The credential in whose name transactions are watched; it has no token.
const WATCHER: &str = "watcher";

impl House {
    /// Opens one; each tenant is a user of the panel's own.
    pub(crate) fn open(plan: Plan) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let behind = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let behind = behind.expect("a runtime");
        let panel = behind.block_on(Panel::open(plan.tenants, plan.goes_away));
        let config = configuration(folder.path(), &panel.settings(folder.path()), plan.lifetime);
        let lifetimes = Lifetimes {
            fresh: config.cache.inventory_lifetime,
            stale: config.cache.stale_if_error,
        };
        let master = MasterKey::generate().expect("random numbers");
        let keyring = Keyring::derive(&MasterKey::parse(&master).expect("a master key"));
        let simulator = panel.simulator();
        let tokens = fill(&config, &keyring, simulator.users());
        let callers = tokens.into_iter().map(|(user, token)| Caller::new(user, &token, simulator));
        let callers = callers.collect();
        let metrics = Arc::new(Metrics::new());
        let (tls, certificate) = certified(&config, &metrics);
        let front = Builder::new_multi_thread().enable_all().build().expect("a runtime");
        let listeners = front.block_on(listeners());
        let address = listeners.data.local_addr().expect("an address");
        let process = {
            let _inside = front.enter();
            Process::new(config, keyring, tls, Arc::clone(&metrics)).expect("a process")
        };
        front.spawn(Arc::new(process).run(listeners, CancellationToken::new()));
        Self {
            gateway: Arc::new(Door::tls(address, certificate.der().clone())),
            past: Arc::new(panel.door()),
            callers,
            metrics,
            lifetimes,
            panel,
            _threads: [front, behind],
            _folder: folder,
        }
    }

    /// The way in for clients.
    pub(crate) fn gateway(&self) -> &Arc<Door> {
        &self.gateway
    }

    /// The way past the gateway.
    pub(crate) fn panel(&self) -> &Arc<Door> {
        &self.past
    }

    /// The way of the gateway to the panel, where it can be closed.
    pub(crate) fn gate(&self) -> Option<&Gate> {
        self.panel.gate()
    }

    /// For how long lists and items may be shown.
    pub(crate) fn lifetimes(&self) -> Lifetimes {
        self.lifetimes
    }

    /// Who may call.
    pub(crate) fn callers(&self) -> &[Caller] {
        &self.callers
    }

    /// The gateway's series.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}

impl Caller {
    fn new(user: User, token: &str, simulator: &Simulator) -> Self {
        let mut machines = simulator.machines();
        machines.retain(|machine| machine.user_id == user.id);
        let pair = BASE64_STANDARD.encode(format!("{}:{}", user.email, user.api_key));
        let (token, key) = (format!("Bearer {token}"), format!("Basic {pair}"));
        Self { name: user.login, token, key, machines }
    }
}

/// The defaults, without the log of every request.
fn configuration(folder: &Path, panel: &str, lifetime: Option<Duration>) -> Config {
    let lifetime = lifetime.map(|l| format!("cache.inventory_lifetime = \"{}ms\"", l.as_millis()));
    let text = format!(
        r#"
        {panel}
        {}
        tenants.store = "{}"
        access_log.enabled = false
        "#,
        lifetime.unwrap_or_default(),
        folder.join("tollgate.db").display(),
    );
    Config::parse(&text, std::iter::empty()).expect("a valid configuration")
}

/// A tenant with a token for each user; for the administrator a credential alone.
fn fill(config: &Config, keyring: &Keyring, users: Vec<User>) -> Tokens {
    let origin = |name: &str| config.upstreams.get(name).map(|u| u.origin.to_string());
    let vault = Vault { keyring, origin: &origin };
    let mut store = Store::open(&config.tenants).expect("a new store");
    let filled = store.edit(1_800_000_000, |edit| {
        let mut tokens = Vec::with_capacity(users.len());
        for user in users {
            if user.admin {
                credential(edit, &vault, WATCHER, &user, Reach::All)?;
                continue;
            }
            let token = Token::mint(&config.environment, &random().expect("random numbers"));
            edit.add_tenant(&user.login, &TenantSettings::default())?;
            credential(edit, &vault, &user.login, &user, Reach::Own)?;
            edit.add_token(&NewToken {
                id: token.id(),
                tenant: &user.login,
                credential: &user.login,
                mac: keyring.mac(token.expose().as_bytes()),
                key_id: keyring.id(),
                terms: &TokenTerms::default(),
                adopted: false,
            })?;
            tokens.push((user, token.expose().to_owned()));
        }
        Ok::<_, StoreError>(tokens)
    });
    filled.expect("the store takes them")
}

fn credential(
    edit: &Edit<'_>,
    vault: &Vault<'_>,
    name: &str,
    user: &User,
    reach: Reach,
) -> Result<(), StoreError> {
    let secret = UpstreamSecret::new(SecretKind::Key, &user.email, &user.api_key);
    let secret = secret.expect("a good secret");
    let standing = Standing { reach: Some(reach), account: Some(user.login.clone()) };
    edit.add_credential(vault, name, "panel", &secret, &standing).map(drop)
}

/// A certificate for this machine, which is its own authority.
fn certified(config: &Config, metrics: &Arc<Metrics>) -> (Arc<Tls>, Certificate) {
    let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    let (pem, key) = (certificate.pem(), key.serialize_pem());
    let tls = Tls::from_pem(pem.as_bytes(), key.as_bytes(), &config.tls, Arc::clone(metrics));
    (tls.expect("a usable certificate"), certificate)
}

async fn listeners() -> Listeners {
    let free = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    Listeners {
        data: free().await.expect("a free port"),
        admin: free().await.expect("a free port"),
    }
}
