//! What the admin listener asks for explanations: the request path's own parts.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{
    admin::api::explain::Explain,
    dry_run::{Deciders, DryRun, DryRunError},
    explain::Explanation,
    gateway::Shared,
    record::RequestId,
    tenants::directory::Directory,
};

/// What the admin listener asks for explanations.
pub(super) struct Explanations {
    /// What the layers share.
    pub(super) shared: Shared,
    /// The tenants in force.
    pub(super) directory: Arc<Directory>,
}

impl Explain for Explanations {
    fn past(&self, id: RequestId) -> Option<Explanation> {
        let Shared { observer, routes, .. } = &self.shared;
        let decision = observer.decisions.find(id)?;
        let snapshot = self.directory.snapshot();
        Some(Explanation::of(&decision, &observer.decisions, &snapshot, routes))
    }

    fn dry_run(&self, run: &DryRun) -> Result<Explanation, DryRunError> {
        let Shared { config, observer, sampler, book, negotiation, .. } = &self.shared;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let deciders = Deciders {
            trusted_from: &|class| sampler.trusted_from(class),
            max_target: config.max_target.get(),
            unlisted_reads_harmless: config.unlisted_reads_harmless,
            book,
            negotiation,
            shelf: &sampler.shelf,
            snapshot: &self.directory.snapshot(),
            decisions: &observer.decisions,
            now: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        };
        deciders.explain(run)
    }
}
