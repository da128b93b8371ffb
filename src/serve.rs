//! The whole process: from a configuration to a drained end.
//!
//! Listeners and the shutdown are arguments, so that a test brings a free port and its own signal.

mod administration;
mod base;
mod explanations;

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::base::Base;
use crate::{
    accounts::Accounts,
    admin::{self, AdminToken, Condition, Readiness},
    api::routes::{RouteError, RouteTable},
    audit::event::{Actor, ActorKind},
    auditor::{self, Pen},
    auth::keyring::{Keyring, VaultError},
    cache::{names::Names, partition::Commons},
    canary::Canary,
    clock::Clock,
    config::Config,
    gateway::{Shared, request_path},
    keeper::lost::Search,
    metrics::Metrics,
    net::{
        server,
        tls::Tls,
        upstream::{TlsSetupError, Upstream},
    },
    rotation::{self, Panel, Rotor},
    sampler::Sampler,
    site::Site,
    telemetry::AccessLogError,
    tenants::{
        directory::{Directory, NotTaken},
        snapshot::Surroundings,
        store::StoreError,
    },
    vocabulary::UpstreamCause,
    watch::{self, Settler, Watches},
};

/// A process that is ready to serve.
pub struct Process {
    config: Config,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
    shared: Shared,
    directory: Arc<Directory>,
    rotor: Arc<Rotor>,
    tls: Arc<Tls>,
    tasks: TaskTracker,
    watches: Arc<Watches>,
    /// Ends all that goes on beside the requests.
    background: CancellationToken,
    /// Writes the audit log, once it runs.
    pen: Mutex<Option<Pen>>,
    admin_token: Option<Arc<AdminToken>>,
    /// The certificate of the admin listener, if it has one.
    admin_tls: Option<Arc<Tls>>,
}

/// Where it listens.
pub struct Listeners {
    /// For clients.
    pub data: TcpListener,
    /// For operators.
    pub admin: TcpListener,
}

/// Why a process cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The routes of the configuration do not fit together.
    #[error(transparent)]
    Routes(#[from] RouteError),
    /// The store of tenants.
    #[error("the store of tenants cannot be opened")]
    Store(#[from] StoreError),
    /// The trust in an upstream.
    #[error("upstream {name}")]
    Upstream {
        /// Which one.
        name: String,
        /// Why.
        source: TlsSetupError,
    },
    /// The access log.
    #[error(transparent)]
    AccessLog(#[from] AccessLogError),
    /// The system gives no random numbers.
    #[error(transparent)]
    Random(#[from] VaultError),
    /// The thread that asks for idempotency keys.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
    /// The thread that watches the certificate.
    #[error("cannot listen")]
    Listen(#[from] io::Error),
}

/// How often moka does the work that it puts off, and gauges are brought up to date.
const HOUSEKEEPING: Duration = Duration::from_millis(500);

impl Process {
    /// Puts all parts together. Must be called within a tokio runtime.
    pub fn new(
        config: Config,
        keyring: Keyring,
        tls: Arc<Tls>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, StartError> {
        let routes = Arc::new(RouteTable::new(&config.routes)?);
        let clock = Clock::start();
        let sites = sites(&config, &routes, &metrics)?;
        let directory = Arc::new(Directory::open(
            &config.tenants,
            keyring,
            surroundings(&sites, &routes),
            Arc::clone(&metrics),
        )?);
        let rotor = Arc::new(Rotor::new(rotation::Parts {
            config: config.rotation.clone(),
            store: config.tenants.clone(),
            keyring: Arc::clone(directory.keyring()),
            actor: Actor::unnamed(ActorKind::Server),
            panels: panels(&sites),
            metrics: Arc::clone(&metrics),
        })?);
        let background = CancellationToken::new();
        let watches = Watches::new(watch::Parts {
            config: config.watch.clone(),
            settle_window: config.cache.settle_window,
            sites: sites.clone(),
            directory: Arc::clone(&directory),
            routes: Arc::clone(&routes),
            clock,
            metrics: Arc::clone(&metrics),
            stop: background.clone(),
        });
        let tasks = TaskTracker::new();
        let settler = Arc::new(Settler(Arc::clone(&watches)));
        let search = Arc::clone(&settler) as Arc<dyn Search>;
        let base = Base { routes, clock, sites, directory, settler, search, rotor, tasks, metrics };
        let (auditor, pen) = auditor::new(&config.audit, &base.metrics);
        let shared = base.shared(&config, auditor)?;
        let Base { directory, rotor, tasks, metrics, .. } = base;
        Ok(Self {
            config,
            metrics,
            readiness: Arc::new(Readiness::new()),
            shared,
            directory,
            rotor,
            tls,
            tasks,
            watches,
            background,
            pen: Mutex::new(Some(pen)),
            admin_token: None,
            admin_tls: None,
        })
    }

    /// The same, but whoever presents this token may purge.
    #[must_use]
    pub fn with_admin_token(self, token: Option<AdminToken>) -> Self {
        Self { admin_token: token.map(Arc::new), ..self }
    }

    /// The same, but the admin listener speaks TLS.
    #[must_use]
    pub fn with_admin_tls(self, tls: Option<Arc<Tls>>) -> Self {
        Self { admin_tls: tls, ..self }
    }

    /// What the layers share, for those who drive the path without sockets.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The tenants in force.
    pub fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// Reads the master key anew, for all that opens the keys of the store.
    pub fn reload_master_key(&self, variable: Option<&str>) -> Result<(), NotTaken> {
        self.rotor.use_keyring(self.directory.reload_master_key(variable)?);
        Ok(())
    }

    /// The certificate in force.
    pub fn tls(&self) -> &Arc<Tls> {
        &self.tls
    }

    /// The certificate in force, and that of the admin listener, if it has one.
    pub fn certificates(&self) -> impl Iterator<Item = &Arc<Tls>> {
        [Some(&self.tls), self.admin_tls.as_ref()].into_iter().flatten()
    }

    /// Opens the file of the access log anew, for whoever rotates it.
    pub fn reopen_logs(&self) {
        self.shared.observer.log.reopen();
    }

    /// Serves until the shutdown, and returns when all that was begun has ended or the bound of
    /// the drain has passed. The admin listener ends last, so that the drain can be watched.
    pub async fn run(self: Arc<Self>, listeners: Listeners, shutdown: CancellationToken) {
        let mut watches = self.watches(&self.background);
        let admin = self.admin();
        watches.push(tokio::spawn(Arc::clone(&admin.office).prune(self.background.clone())));
        self.readiness.set(Condition::Certificate, true);
        let admin = tokio::spawn(admin::serve(
            listeners.admin,
            self.admin_tls.as_ref().map(|tls| tls.http1_acceptor()),
            self.config.admin.clone(),
            admin,
            self.background.clone().cancelled_owned(),
        ));
        self.readiness.serving();
        let accepting = CancellationToken::new();
        let serving = server::serve(
            listeners.data,
            Arc::clone(&self.tls),
            Arc::new(self.config.server.clone()),
            Arc::clone(&self.metrics),
            request_path(&self.shared),
            accepting.clone(),
        );
        let drained = async {
            shutdown.cancelled().await;
            // First whoever balances the load is told; then the door closes.
            self.readiness.draining();
            tokio::time::sleep(self.config.server.drain_notice).await;
            accepting.cancel();
            tokio::time::Instant::now() + self.config.server.drain_timeout
        };
        let ((), end) = tokio::join!(serving, drained);
        self.tasks.close();
        // Writes go on without their clients; they have their own deadline, and this is the last.
        // It is the one that the connections had, so that the process ends within it.
        if tokio::time::timeout_at(end, self.tasks.wait()).await.is_err() {
            tracing::warn!(open = self.tasks.len(), "writes or fetches did not end in time");
        }
        self.background.cancel();
        for watch in watches.into_iter().chain([admin]) {
            drop(watch.await);
        }
    }

    fn watches(&self, shutdown: &CancellationToken) -> Vec<JoinHandle<()>> {
        let directory = Arc::clone(&self.directory).watch(shutdown.clone());
        let pen = self.pen.lock().unwrap_or_else(PoisonError::into_inner).take();
        let audited = Arc::clone(&self.directory);
        let audit_ends = shutdown.clone();
        let audit = async move {
            if let Some(pen) = pen {
                pen.write(audited, audit_ends).await;
            }
        };
        let rotor = Arc::clone(&self.rotor);
        let rotations = rotor.keep(Arc::clone(&self.directory), shutdown.clone());
        let housekeeping = housekeep(Arc::clone(&self.shared.sampler), shutdown.clone());
        let mut watches = vec![
            tokio::spawn(directory),
            tokio::spawn(audit),
            tokio::spawn(Arc::clone(&self.shared.keeper).prune(shutdown.clone())),
            tokio::spawn(rotations),
            tokio::spawn(Arc::clone(&self.watches).keep()),
            tokio::spawn(housekeeping),
        ];
        let certificates = self.certificates();
        watches.extend(certificates.map(|tls| {
            let certificate = Arc::clone(tls).watch(shutdown.clone());
            tokio::spawn(async move {
                if let Err(error) = certificate.await {
                    tracing::error!(%error, "the certificate is not watched; SIGHUP reloads it");
                }
            })
        }));
        watches.extend(self.canary(shutdown));
        watches
    }

    /// Asks for the planted tenants through a request path of its own, over what all paths share.
    fn canary(&self, shutdown: &CancellationToken) -> Option<JoinHandle<()>> {
        let shared = Shared { counted_as: Some(UpstreamCause::Canary), ..self.shared.clone() };
        let canary = Canary::new(
            &self.config.canary,
            shared.sites.by_name.clone(),
            Arc::clone(&self.directory),
            Arc::clone(&self.metrics),
        )?;
        Some(tokio::spawn(canary.keep(request_path(&shared), shutdown.clone())))
    }
}

async fn housekeep(sampler: Arc<Sampler>, shutdown: CancellationToken) {
    let mut ticks = tokio::time::interval(HOUSEKEEPING);
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        sampler.release();
        let shelf = Arc::clone(&sampler.shelf);
        drop(tokio::task::spawn_blocking(move || shelf.housekeep()).await);
    }
}

fn sites(
    config: &Config,
    routes: &RouteTable,
    metrics: &Arc<Metrics>,
) -> Result<HashMap<String, Arc<Site>>, StartError> {
    let mut by_name = HashMap::new();
    for (name, upstream) in &config.upstreams {
        let pool =
            Upstream::new(upstream.origin.clone(), upstream.config.clone(), Arc::clone(metrics))
                .map_err(|source| StartError::Upstream { name: name.clone(), source })?;
        let names = Names::new(config.cache.max_names);
        let (families, precise) = (routes.families().len(), routes.precise());
        let commons = Arc::new(Commons::new(families, precise, routes.shared(), names));
        let site = Site::new(name, pool, commons).with_only(upstream.config.only_format);
        by_name.insert(name.clone(), Arc::new(site));
    }
    Ok(by_name)
}

/// The way to each panel for what the process asks about keys.
fn panels(sites: &HashMap<String, Arc<Site>>) -> HashMap<String, Panel> {
    let panel =
        |site: &Site| Panel { pool: Arc::clone(site.pool()), only_format: site.only_format() };
    sites.iter().map(|(name, site)| (name.clone(), panel(site))).collect()
}

/// What the snapshot asks of the rest of the program.
fn surroundings(by_name: &HashMap<String, Arc<Site>>, routes: &Arc<RouteTable>) -> Surroundings {
    let origins = by_name.clone();
    let sites: Vec<_> = by_name.values().map(Arc::clone).collect();
    let accounts = Accounts::new(by_name.clone(), routes);
    let routes = Arc::clone(routes);
    Surroundings {
        origin: Box::new(move |name| origins.get(name).map(|site| site.origin().to_owned())),
        partition: Box::new(move |upstream, standing| accounts.partition(upstream, standing)),
        scope: Box::new(move |name| routes.scope_bit(name)),
        vault: Box::new(move |snapshot| sites.iter().for_each(|site| site.seek(snapshot))),
    }
}
