//! What creates have answered goes when it has expired, whether or not anybody creates anything again.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::Office;
use crate::{admin::access::Caller, error_chain::error_chain};

/// How often it is looked for.
const PRUNE_EVERY: Duration = Duration::from_secs(60);

impl Office {
    /// Deletes answers that have expired, now and then until the shutdown.
    pub async fn prune(self: Arc<Self>, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(PRUNE_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            let nobody = Caller::configured();
            let pruned = self.work(&nobody, |store, _, now| Ok(store.prune_answers(now)?)).await;
            if let Err(refusal) = pruned {
                let reason = error_chain(&refusal);
                tracing::warn!(reason, "answers that have expired stay in the store");
            }
        }
    }
}
