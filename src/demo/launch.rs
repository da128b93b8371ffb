//! Puts the demo together: panel, store, tenants, tokens, and a real process in front.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{
    Card, TenantCard, certificate, local,
    simulator::{self, Simulator, User},
};
use crate::{
    admin::AdminToken,
    audit::event::{Actor, ActorKind},
    auth::{
        keyring::{self, Keyring, MasterKey},
        scopes::{Access, Permission, ScopeNames},
        token::Token,
    },
    cli::Failure,
    config::{Config, ConfigError},
    limit::{Quota, Quotas},
    metrics::Metrics,
    net::{server, tls::Tls},
    serve::{Listeners, Process},
    tenants::{
        record::{Reach, SecretKind, Standing, TenantSettings, TokenTerms},
        secret::{UpstreamSecret, Vault},
        store::{Edit, NewToken, Store},
    },
};

/// How the demo is set up.
#[derive(Clone)]
pub struct Options {
    /// The panel.
    pub panel: simulator::Options,
    /// Where to listen if it is free; another port is taken if not.
    pub data: SocketAddr,
    /// Likewise for operators.
    pub admin: SocketAddr,
    /// Keys of the section `formats`; with `learn = false` each format is fetched by itself, and the
    /// panel is asked for what clients ask for and nothing else.
    pub formats: String,
}

/// A demo that is ready to serve.
pub struct Demo {
    card: Card,
    process: Arc<Process>,
    listeners: Listeners,
    panel: Simulator,
    folder: TempDir,
}

/// A demo that serves.
pub struct Serving {
    card: Card,
    process: JoinHandle<()>,
    panel: Simulator,
    _folder: TempDir,
}

/// More than three hundred requests a second for as long as anybody looks.
const GENEROUS: Quota = Quota { per_second: 2000, burst: 5000 };

/// Few enough to see the limit by hand.
const TIGHT: Quota = Quota { per_second: 1, burst: 3 };

/// The credential of the panel's administrator, in whose name transactions can be watched.
const WATCHER: &str = "watcher";

impl Default for Options {
    fn default() -> Self {
        Self {
            panel: simulator::Options::default(),
            data: SocketAddr::from((Ipv4Addr::LOCALHOST, 8443)),
            admin: SocketAddr::from((Ipv4Addr::LOCALHOST, 9145)),
            formats: String::new(),
        }
    }
}

impl Demo {
    /// Starts the panel and prepares everything else. Must be called within a tokio runtime.
    pub async fn start(options: Options) -> Result<Self, Failure> {
        let panel =
            Simulator::start(options.panel).await.map_err(|e| failed("the simulated panel")(&e))?;
        let folder = tempfile::Builder::new()
            .prefix("tollgate-demo-")
            .tempdir()
            .map_err(|e| failed("its folder")(&e))?;
        let certificate = certificate::make().map_err(|e| failed("its certificate")(&e))?;
        fs::write(authority_file(folder.path()), &certificate.authority)
            .map_err(|e| failed("its certificate")(&e))?;
        let listeners =
            Listeners { data: bind(options.data).await?, admin: bind(options.admin).await? };
        let address =
            |listener: &TcpListener| listener.local_addr().map_err(|e| failed("its address")(&e));
        let (data, admin) = (address(&listeners.data)?, address(&listeners.admin)?);
        let url = format!("https://{}", local(data));
        let (master_key, admin_token) = (MasterKey::generate()?, admin_token()?);
        let written = |name: &str, text: &str| {
            fs::write(folder.path().join(name), text).map_err(|e| failed("its folder")(&e))
        };
        written(MASTER_KEY, &master_key)?;
        written(ADMIN_TOKEN, &admin_token)?;
        let text = configuration(&url, &panel.url(), admin, folder.path(), &options.formats);
        written(CONFIGURATION, &text)?;
        let config = parsed(&text)?;
        let keyring = Keyring::derive(
            &MasterKey::parse(&master_key).map_err(|e| failed("its master key")(&e))?,
        );
        let tenants = fill(&config, &keyring, &panel)?;
        let metrics = Arc::new(Metrics::new());
        let (pem, key) = (certificate.certificate.as_bytes(), certificate.key.as_bytes());
        let tls = Tls::from_pem(pem, key, &config.tls, Arc::clone(&metrics))?;
        let card = Card {
            url,
            admin: format!("http://{}", local(admin)),
            ca: certificate.authority,
            upstream: panel.url(),
            tenants,
        };
        let token = AdminToken::find(&config.admin, None).map_err(|e| failed("its token")(&e))?;
        let process = Process::new(config, keyring, tls, metrics)?.with_admin_token(token);
        let process = Arc::new(process);
        Ok(Self { card, process, listeners, panel, folder })
    }

    /// What a client needs to know.
    pub fn card(&self) -> &Card {
        &self.card
    }

    /// The process in front.
    pub fn process(&self) -> &Arc<Process> {
        &self.process
    }

    /// The panel behind.
    pub fn panel(&self) -> &Simulator {
        &self.panel
    }

    /// The file of the configuration, with which the other commands work on the demo.
    pub fn configuration_file(&self) -> PathBuf {
        self.folder.path().join(CONFIGURATION)
    }

    /// The file of the certificate's authority.
    pub fn authority_file(&self) -> PathBuf {
        authority_file(self.folder.path())
    }

    /// Serves until the shutdown.
    pub fn serve(self, shutdown: CancellationToken) -> Serving {
        let process = tokio::spawn(Arc::clone(&self.process).run(self.listeners, shutdown));
        Serving { card: self.card, process, panel: self.panel, _folder: self.folder }
    }
}

impl Serving {
    /// What a client needs to know.
    pub fn card(&self) -> &Card {
        &self.card
    }

    /// The panel behind.
    pub fn panel(&self) -> &Simulator {
        &self.panel
    }

    /// Waits for the end.
    pub async fn ended(self) {
        drop(self.process.await);
    }
}

fn authority_file(folder: &Path) -> PathBuf {
    folder.join("ca.pem")
}

fn failed(what: &'static str) -> impl Fn(&dyn std::error::Error) -> Failure {
    move |error| Failure::Demo(format!("{what}: {error}"))
}

/// The wished port if it is free, or any.
async fn bind(wished: SocketAddr) -> Result<TcpListener, Failure> {
    if let Ok(listener) = TcpListener::bind(wished).await {
        return Ok(listener);
    }
    let any = SocketAddr::new(wished.ip(), 0);
    let config = server::Config { listen: any, ..server::Config::default() };
    server::listen(&config).map_err(|source| Failure::Listen {
        address: any,
        key: "nothing else",
        source,
    })
}

const MASTER_KEY: &str = "master.key";
const ADMIN_TOKEN: &str = "admin.token";
const CONFIGURATION: &str = "tollgate.toml";

/// The configuration, written down so that every command works on the demo, too. No hit is sampled:
/// the panel is asked for what the clients ask for, and its record shows it.
fn configuration(
    url: &str,
    upstream: &str,
    admin: SocketAddr,
    folder: &Path,
    formats: &str,
) -> String {
    let path = |name| folder.join(name).display().to_string();
    format!(
        "[gateway]\npublic_url = \"{url}\"\n\
         [tenants]\nstore = \"{}\"\nmaster_key_file = \"{}\"\ntoken_environment = \"demo\"\n\
         [admin]\nlisten = \"{admin}\"\ntoken_file = \"{}\"\n\
         [access_log]\nenabled = false\n\
         [sampler]\nshare = 0\n\
         [formats]\n{formats}\n\
         [server]\ndrain_timeout = \"5s\"\n\
         [upstreams.panel]\nurl = \"{upstream}\"\n",
        path("tollgate.db"),
        path(MASTER_KEY),
        path(ADMIN_TOKEN),
    )
}

fn parsed(text: &str) -> Result<Config, Failure> {
    let wrong = |problems| ConfigError::Wrong { path: "the demo's own".into(), problems };
    Ok(Config::parse(text, std::iter::empty()).map_err(wrong)?)
}

/// A token that nobody guesses, of 32 characters.
fn admin_token() -> Result<String, Failure> {
    Ok(keyring::random::<16>()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A tenant for each of the panel's first users; the last has a tight limit, and is shown no
/// passwords. For the administrator
/// a credential alone.
fn fill(config: &Config, keyring: &Keyring, panel: &Simulator) -> Result<Vec<TenantCard>, Failure> {
    let origin = |name: &str| config.upstreams.get(name).map(|u| u.origin.to_string());
    let vault = Vault { keyring, origin: &origin };
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    let (admins, users): (Vec<_>, Vec<_>) = panel.users().into_iter().partition(|user| user.admin);
    let mut cards = Vec::new();
    let server = Actor::unnamed(ActorKind::Server);
    let mut store = Store::open(&config.tenants)?.audited(server, keyring);
    store.edit(now, |edit| -> Result<(), Failure> {
        if let Some(admin) = admins.first() {
            add_credential(edit, &vault, WATCHER, admin, Reach::All)?;
        }
        for (i, user) in users.iter().take(3).enumerate() {
            let reads = if i == 2 { TIGHT } else { GENEROUS };
            let quotas =
                Quotas { reads: Some(reads), writes: Some(GENEROUS), upstream_reads: None };
            let settings = TenantSettings { quotas, ..TenantSettings::default() };
            // The last has a token of least privilege, too.
            let permissions = if i == 2 { None } else { Some(Permission::ReadSecrets) };
            let token = Token::mint(&config.environment, &*keyring::random()?);
            edit.add_tenant(&user.login, &settings)?;
            add_credential(edit, &vault, &user.login, user, Reach::Own)?;
            edit.add_token(&NewToken {
                id: token.id(),
                tenant: &user.login,
                credential: &user.login,
                mac: keyring.mac(token.expose().as_bytes()),
                key_id: keyring.id(),
                adopted: false,
                terms: &TokenTerms {
                    scopes: ScopeNames::all(Access::ReadWrite),
                    permissions: permissions.into_iter().collect(),
                    ..TokenTerms::default()
                },
            })?;
            cards.push(TenantCard {
                name: user.login.clone(),
                login: user.login.clone(),
                token: token.expose().to_owned(),
                upstream_login: user.email.clone(),
                upstream_key: user.api_key.clone(),
            });
        }
        Ok(())
    })?;
    Ok(cards)
}

fn add_credential(
    edit: &Edit<'_>,
    vault: &Vault<'_>,
    name: &str,
    user: &User,
    reach: Reach,
) -> Result<(), Failure> {
    let secret = UpstreamSecret::new(SecretKind::Key, &user.email, &user.api_key)?;
    let standing = Standing { reach: Some(reach), account: Some(user.login.clone()) };
    edit.add_credential(vault, name, "panel", &secret, &standing)?;
    Ok(())
}
