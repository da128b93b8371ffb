//! The panel's own word on when transactions have ended, past the gateway.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use crate::{
    client::{Ask, Trouble},
    shown,
    tally::Tally,
    tenant::Tenant,
};

/// Why the panel's word is not known.
#[derive(Debug, thiserror::Error)]
enum Unknown {
    #[error(transparent)]
    Asking(#[from] Trouble),
    #[error("it said {0}")]
    Status(u16),
    #[error(transparent)]
    Reading(#[from] serde_json::Error),
}

const INTERVAL: Duration = Duration::from_millis(200);

/// The state of all machines at once, under the tenant's own key.
const STATES: &str = "/virtual_machines/status.json";

/// Asks for as long as transactions of the tenant are under way, and notes which have ended.
pub(crate) async fn follow(tenant: Arc<Tenant>, tally: Arc<Tally>) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(unknown) = look(&tenant).await {
            tally.error(&format!("the panel, asked by {}: {unknown}", tenant.name));
        }
    }
}

async fn look(tenant: &Tenant) -> Result<(), Unknown> {
    // Noted before the panel is asked: what begins in between stays open.
    let open = tenant.truth.open();
    if open.is_empty() {
        return Ok(());
    }
    let reply = tenant.panel.line().await.ask(Ask::get(STATES.to_owned())).await?;
    if reply.status != 200 {
        return Err(Unknown::Status(reply.status));
    }
    let states = shown::list(&reply.body)?;
    for open in &open {
        let state = states.iter().find(|state| state.id == open.id);
        if let Some(state) = state.filter(|state| !state.locked) {
            tenant.truth.settled(open, state.booted);
        }
    }
    Ok(())
}
