//! The second listener: metrics, health, purges, explanations and maps, for the operator's own
//! programs.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use tokio::sync::Mutex;

use crate::{auditor::Auditor, formats::Book, metrics::Metrics, settings::Problems};

pub mod access;
pub mod explain;
pub mod formats;
pub mod purge;
mod readiness;
mod serve;
pub mod token;

pub use explain::{Explain, Explainer};
pub use purge::RunPurge;
pub use readiness::{Condition, Phase, Readiness};
pub use serve::serve;
pub use token::AdminToken;

crate::section! {
    /// The admin listener: plain HTTP, meant for the same machine.
    pub struct Config {
        /// Where it listens.
        pub listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 9145)),
        /// The file that holds the token which a purge, an explanation, or who asks for maps of formats
        /// must present; the variable `TOLLGATE_ADMIN_TOKEN` wins over it. Without a token there is
        /// none of these.
        pub token_file: Option<PathBuf> = None,
        /// Whether it may listen elsewhere than on loopback, where anyone can read it.
        pub allow_remote_plain: bool = false,
        /// How many connections are open at most; one more cuts off the oldest.
        pub max_connections: usize = 64,
        /// How long a request's head may take.
        pub head_timeout: Duration = Duration::from_secs(5),
        /// How long a whole exchange may take, from its first byte to its last.
        pub exchange_timeout: Duration = Duration::from_secs(10),
    }
}

/// What the listener tells of, and what it does.
#[derive(Clone)]
pub struct Admin {
    /// Every series.
    pub metrics: Arc<Metrics>,
    /// Whether traffic should be sent here.
    pub readiness: Arc<Readiness>,
    /// Called before each answer, to set what nobody sets in passing.
    pub refresh: Refresh,
    /// What a purge or an explanation must present; without it there is none.
    pub token: Option<Arc<AdminToken>>,
    /// Called for each purge that presents it.
    pub purge: RunPurge,
    /// Asked for each explanation that presents it.
    pub explain: Explainer,
    /// The maps of formats.
    pub formats: Arc<Book>,
    /// Takes what was done, for the audit log.
    pub auditor: Arc<Auditor>,
    /// Held by the soft purge that runs.
    pub softening: Arc<Mutex<()>>,
}

/// Sets gauges and conditions to what they should be now.
pub type Refresh = Arc<dyn Fn(&Metrics, &Readiness) + Send + Sync>;

const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Config {
    /// Adds what is wrong with the section as a whole.
    pub fn validate(&self, problems: &mut Problems) {
        if !self.listen.ip().is_loopback() && !self.allow_remote_plain {
            let message = format!(
                "{} is not loopback, and the admin listener is neither encrypted nor \
                 authenticated; set admin.allow_remote_plain = true if its network is trusted",
                self.listen
            );
            problems.add(None, "admin.listen", &message);
        }
        if self.max_connections == 0 {
            problems.add(None, "admin.max_connections", "must be at least 1");
        }
    }
}

fn router(admin: Admin) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(async || "ok"))
        .route("/readyz", get(ready))
        .route(purge::PATH, post(purge::purge))
        .route(formats::PATH, get(formats::shown).post(formats::import))
        .route(explain::PATH, post(explain::dry_run))
        .route(&format!("{}/{{id}}", explain::PATH), get(explain::past))
        .with_state(admin)
}

async fn metrics(State(admin): State<Admin>) -> Response {
    (admin.refresh)(&admin.metrics, &admin.readiness);
    ([(CONTENT_TYPE, EXPOSITION)], admin.metrics.render()).into_response()
}

async fn ready(State(admin): State<Admin>) -> Response {
    (admin.refresh)(&admin.metrics, &admin.readiness);
    let failing: String =
        admin.readiness.failing().map(|condition| format!("{condition}\n")).collect();
    match (admin.readiness.is_ready(), failing.is_empty()) {
        (true, true) => "ok".into_response(),
        (true, false) => format!("ok\n{failing}").into_response(),
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, failing).into_response(),
    }
}

#[cfg(test)]
mod tests;
