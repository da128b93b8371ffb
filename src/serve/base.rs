//! What the layers share, made of the configuration and of what the process has.

use std::{collections::HashMap, sync::Arc};

use tokio_util::task::TaskTracker;

use super::StartError;
use crate::{
    api::routes::RouteTable,
    auditor::Auditor,
    auth::{failures::FailedTokens, keyring},
    cache::{shelf::Shelf, touch::Settle},
    clock::Clock,
    config::Config,
    explain::Ring,
    formats::Book,
    gateway::Shared,
    keeper::{Keeper, lost::Search},
    layers::{
        authenticate::Gatekeeper,
        catch::Catcher,
        coalesce::Hangar,
        convert,
        invalidate::Rules,
        negotiate,
        observe::Observer,
        upstream::{Sites, Views},
    },
    metrics::Metrics,
    rotation::{Patience, Rotor},
    sampler::Sampler,
    site::Site,
    telemetry::AccessLog,
    tenants::directory::Directory,
};

/// What the layers' parts are made on.
pub(super) struct Base {
    pub(super) routes: Arc<RouteTable>,
    pub(super) clock: Clock,
    pub(super) sites: HashMap<String, Arc<Site>>,
    pub(super) directory: Arc<Directory>,
    pub(super) settler: Arc<dyn Settle>,
    pub(super) search: Arc<dyn Search>,
    pub(super) rotor: Arc<Rotor>,
    pub(super) tasks: TaskTracker,
    pub(super) metrics: Arc<Metrics>,
}

fn conversion(config: &Config) -> convert::Rules {
    convert::Rules::new(
        config.formats.inflection(),
        config.cache.max_entry.get(),
        config.gateway.max_inspected_body.0,
    )
}

impl Base {
    fn negotiation(&self, config: &Config) -> negotiate::Rules {
        negotiate::Rules {
            routes: Arc::clone(&self.routes),
            strict: config.gateway.strict_formats,
            natives: config.natives(),
        }
    }

    /// The end of the request path.
    fn leaf(&self, config: &Config, patience: Arc<Patience>) -> Sites {
        Sites {
            by_name: self.sites.clone(),
            directory: Arc::clone(&self.directory),
            routes: Arc::clone(&self.routes),
            public_url: config.gateway.public_url.clone(),
            fields: Views::new(&config.gateway.secret_fields),
            max_masked_token: config.gateway.max_masked_text.get(),
            max_request_body: config.gateway.max_body.0,
            patience,
            metrics: Arc::clone(&self.metrics),
        }
    }

    fn patience(&self, config: &Config) -> Arc<Patience> {
        let (directory, metrics) = (Arc::clone(&self.directory), Arc::clone(&self.metrics));
        Arc::new(Patience::new(&config.rotation, directory, metrics))
    }

    fn catcher(&self, auditor: Arc<Auditor>, patience: &Arc<Patience>) -> Catcher {
        let (rotor, routes) = (Arc::clone(&self.rotor), Arc::clone(&self.routes));
        Catcher { rotor, patience: Arc::clone(patience), routes, auditor }
    }

    fn keeper(&self, config: &Config) -> Result<Arc<Keeper>, StartError> {
        let (keyring, metrics) = (self.directory.keyring(), Arc::clone(&self.metrics));
        let (store, tasks) = (&config.tenants, self.tasks.clone());
        let search = Arc::clone(&self.search);
        Keeper::start(&config.idempotency, store, keyring, search, tasks, metrics)
            .map_err(StartError::Thread)
    }

    /// Makes what the layers share.
    pub(super) fn shared(&self, config: &Config, auditor: Auditor) -> Result<Shared, StartError> {
        let Self { routes, directory, settler, tasks, metrics, .. } = self;
        let auditor = Arc::new(auditor);
        let shelf = Arc::new(Shelf::new(
            config.cache.clone(),
            Arc::clone(routes),
            self.clock,
            Arc::clone(metrics),
        ));
        let book = Arc::new(Book::new(&config.formats, Arc::clone(routes)));
        let hangar = Hangar::new(
            Arc::clone(&shelf),
            Arc::clone(settler),
            tasks.clone(),
            config.gateway.fetch_timeout,
            Arc::clone(&book),
        );
        let sampler = Sampler::new(
            config.sampler.clone(),
            Arc::clone(&shelf),
            tasks.clone(),
            config.gateway.fetch_timeout,
        );
        let patience = self.patience(config);
        Ok(Shared {
            config: config.gateway.clone(),
            seed: u64::from_ne_bytes(*keyring::random::<8>()?),
            observer: Arc::new(Observer {
                metrics: Arc::clone(metrics),
                log: AccessLog::start(&config.access_log, metrics.access_log_dropped.clone())?,
                decisions: Arc::new(Ring::new(config.explain.decisions)),
                routes: Arc::clone(routes),
                auditor: Arc::clone(&auditor),
            }),
            gatekeeper: Arc::new(Gatekeeper {
                directory: Arc::clone(directory),
                failures: FailedTokens::new(&config.failed_tokens),
                metrics: Arc::clone(metrics),
            }),
            rules: Arc::new(Rules {
                routes: Arc::clone(routes),
                settler: Arc::clone(settler),
                metrics: Arc::clone(metrics),
                tasks: tasks.clone(),
            }),
            catcher: Arc::new(self.catcher(auditor, &patience)),
            keeper: self.keeper(config)?,
            negotiation: Arc::new(self.negotiation(config)),
            conversion: Arc::new(conversion(config)),
            hangar: Arc::new(hangar),
            book,
            sampler: Arc::new(sampler),
            shelf,
            sites: Arc::new(self.leaf(config, patience)),
            counted_as: None,
            routes: Arc::clone(routes),
        })
    }
}
