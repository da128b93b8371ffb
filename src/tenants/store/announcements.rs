//! What tells a process that another one has changed the store, so that it need not ask.
//!
//! It is a hint and never the only way: whoever follows the store asks for its revision, too, in
//! case an announcement is lost.

use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio::time::{sleep, timeout};

use super::{Location, backend::CHANNEL};
use crate::error_chain::error_chain;

/// The announcements of a store.
pub struct Announcements {
    location: Location,
    listener: Option<PgListener>,
    /// How long a connection may take, and how long it is until the next is tried.
    patience: Duration,
    /// Whether it was said that they are not heard.
    deaf: bool,
}

impl Announcements {
    /// Those of a store; nothing is asked of it yet.
    pub fn of(location: &Location, patience: Duration) -> Self {
        Self { location: location.clone(), listener: None, patience, deaf: false }
    }

    /// Waits until the store may have changed; for ever, where nothing is announced.
    pub async fn next(&mut self) {
        let Some(server) = self.location.server() else { return std::future::pending().await };
        loop {
            let Some(listener) = &mut self.listener else {
                match timeout(self.patience, listen(server.url())).await {
                    // What was announced before it listened is lost.
                    Ok(Ok(listener)) => {
                        self.listener = Some(listener);
                        self.deaf = false;
                        tracing::info!("the store announces its changes");
                        return;
                    }
                    Ok(Err(error)) => {
                        fail(&mut self.deaf, &error_chain(&error));
                        sleep(self.patience).await;
                    }
                    Err(_) => fail(&mut self.deaf, "it did not answer in time"),
                }
                continue;
            };
            match listener.try_recv().await {
                Ok(Some(_)) => return,
                // The connection broke. Whoever asks for the revision reports why.
                Ok(None) | Err(_) => self.listener = None,
            }
        }
    }
}

/// Says so once.
fn fail(deaf: &mut bool, reason: &str) {
    if !std::mem::replace(deaf, true) {
        tracing::warn!(reason, "changes of the store are not announced, and are polled for");
    }
}

async fn listen(url: &str) -> sqlx::Result<PgListener> {
    let mut listener = PgListener::connect(url).await?;
    listener.listen(CHANNEL).await?;
    Ok(listener)
}
