//! What the admin listener is given: the process's own parts, and a way to the store.

use std::{collections::HashMap, sync::Arc};

use super::{Process, explanations::Explanations};
use crate::{
    admin::{
        Admin, Condition, Trial,
        office::{Office, Parts},
    },
    auth::failures::FailedTokens,
    cache::shelf::Shelf,
    metrics::Metrics,
    operations::upstreams::Upstream,
    purge, trial,
};

impl Process {
    pub(super) fn admin(&self) -> Admin {
        let shelf = Arc::clone(&self.shared.shelf);
        let (directory, purged) = (Arc::clone(&self.directory), Arc::clone(&shelf));
        let followed = Arc::clone(&self.directory);
        let config = &self.config.admin;
        Admin {
            metrics: Arc::clone(&self.metrics),
            readiness: Arc::clone(&self.readiness),
            refresh: Arc::new(move |metrics, readiness| {
                gauge(&shelf, metrics);
                readiness.set(Condition::Store, followed.is_current());
            }),
            token: self.admin_token.clone(),
            office: Arc::new(Office::new(self.parts())),
            trial: self.trial(),
            upstreams: self.upstreams(),
            max_body: config.max_body.get(),
            max_import: config.max_import.get(),
            purge: Arc::new(move |asked| purge::run(asked, &directory.snapshot(), &purged)),
            formats: Arc::clone(&self.shared.book),
            seed: self.shared.seed,
            failures: Arc::new(FailedTokens::new(&self.config.failed_tokens)),
            auditor: Arc::clone(&self.shared.observer.auditor),
            verifying: Arc::default(),
            softening: Arc::default(),
            explain: Arc::new(Explanations {
                shared: self.shared.clone(),
                directory: Arc::clone(&self.directory),
            }),
        }
    }

    fn trial(&self) -> Trial {
        let upstreams = &self.config.upstreams;
        let sites = self.shared.sites.by_name.iter().filter_map(|(name, site)| {
            let turns = trial::turns(upstreams.get(name)?.config.max_connections);
            Some((name.clone(), (Arc::clone(site), Arc::new(turns))))
        });
        let sites: HashMap<String, _> = sites.collect();
        let patience = self.config.admin.operation_timeout;
        Arc::new(move |name, authorization| {
            let (site, turns) = sites.get(name).cloned()?;
            Some(Box::pin(async move {
                let (pool, format) = (site.pool(), site.only_format());
                trial::ask_within(patience, &turns, pool, format, authorization).await
            }))
        })
    }

    fn parts(&self) -> Parts {
        let upstreams = &self.config.upstreams;
        let origin = |(name, upstream): (&String, &crate::config::Upstream)| {
            (name.clone(), upstream.origin.to_string())
        };
        let config = &self.config.admin;
        Parts {
            tenants: self.config.tenants.clone(),
            directory: Arc::clone(&self.directory),
            routes: Arc::clone(&self.shared.routes),
            origins: upstreams.iter().map(origin).collect(),
            environment: self.config.environment.clone(),
            max_operations: config.max_operations,
            patience: config.operation_timeout,
            replay_window: config.replay_window,
            max_replays: config.max_replays,
        }
    }

    fn upstreams(&self) -> Arc<[Upstream]> {
        let shown = self.config.upstreams.iter().map(|(name, upstream)| Upstream {
            name: name.clone(),
            url: upstream.origin.to_string(),
            max_connections: upstream.config.max_connections,
        });
        shown.collect()
    }
}

fn gauge(shelf: &Shelf, metrics: &Metrics) {
    let gauge = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    metrics.cache.entries.set(gauge(shelf.store.entries()));
    metrics.cache.bytes.set(gauge(shelf.store.bytes()));
}
