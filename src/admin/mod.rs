//! The second listener: metrics, health and the API, for operators and their programs.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::future::BoxFuture;
use tokio::sync::Mutex;

use self::{
    api::{cache::RunPurge, explain::Explainer},
    office::Office,
};
use crate::{
    auditor::Auditor,
    auth::failures::FailedTokens,
    formats::Book,
    metrics::Metrics,
    operations::upstreams::Upstream,
    settings::{ByteSize, Problems},
    trial::TrialError,
};

pub mod access;
pub mod api;
mod connections;
pub mod office;
pub mod problem;
mod readiness;
mod serve;
pub mod token;

pub use problem::Problem;
pub use readiness::{Condition, Phase, Readiness};
pub use serve::serve;
pub use token::AdminToken;

crate::section! {
    /// The admin listener: plain HTTP on the same machine, or TLS.
    pub struct Config {
        /// Where it listens.
        pub listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 9145)),
        /// The file of the token that commands present; the variable `TOLLGATE_ADMIN_TOKEN` wins over it.
        /// A text of one's own is an owner's to the server, one that is in the store what it is there.
        pub token_file: Option<PathBuf> = None,
        /// PEM file with its certificate and the chain of that, leaf first; plain HTTP without.
        pub certificate: Option<PathBuf> = None,
        /// PEM file with the private key of the certificate.
        pub key: Option<PathBuf> = None,
        /// Whether it may listen elsewhere than on loopback without a certificate, where anyone can
        /// read it.
        pub allow_remote_plain: bool = false,
        /// How many connections are open at most; one more cuts off one on which nobody has presented a
        /// good token, of the address that has most of those, and only else the oldest.
        pub max_connections: usize = 64,
        /// How long a request's head may take.
        pub head_timeout: Duration = Duration::from_secs(5),
        /// How long a whole exchange may take, from its first byte to its last.
        pub exchange_timeout: Duration = Duration::from_secs(30),
        /// How many operations ask the store at once, each over a connection that stays open; further
        /// ones wait.
        pub max_operations: usize = 8,
        /// How long an operation may wait for its turn and for the store, and a secret that is tested
        /// for its turn and its upstream, all of a declaration together.
        pub operation_timeout: Duration = Duration::from_secs(20),
        /// The largest body of a request.
        pub max_body: ByteSize = ByteSize::mib(1),
        /// The largest body of an import of tenants, of a declaration, or of maps of formats. A
        /// declaration has one value for every eight bytes of it at most.
        pub max_import: ByteSize = ByteSize::mib(16),
        /// How long a create that is repeated with its `Idempotency-Key` is answered as the first time;
        /// longer than a command asks.
        pub replay_window: Duration = Duration::from_secs(600),
        /// How many answers are kept for that; one more drops the one that would go first.
        pub max_replays: u32 = 1000,
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
    /// The configured token.
    pub token: Option<Arc<AdminToken>>,
    /// Asks the store.
    pub office: Arc<Office>,
    /// Asks an upstream, by its name, whether it takes a secret.
    pub trial: Trial,
    /// The upstreams of the configuration.
    pub upstreams: Arc<[Upstream]>,
    /// The largest body of a request, in bytes.
    pub max_body: usize,
    /// The largest body of an import, or of a declaration, in bytes.
    pub max_import: usize,
    /// Called for each purge.
    pub purge: RunPurge,
    /// Asked for each explanation.
    pub explain: Explainer,
    /// The maps of formats.
    pub formats: Arc<Book>,
    /// Tells the requests of this process from those of others.
    pub seed: u64,
    /// How often tokens that were none have come from an address.
    pub failures: Arc<FailedTokens>,
    /// Takes what was done, for the audit log.
    pub auditor: Arc<Auditor>,
    /// Held by whoever follows the audit log to its end.
    pub verifying: Arc<Mutex<()>>,
    /// Held by the soft purge that runs.
    pub softening: Arc<Mutex<()>>,
}

/// Sets gauges and conditions to what they should be now.
pub type Refresh = Arc<dyn Fn(&Metrics, &Readiness) + Send + Sync>;

/// None where there is no such upstream; else what it answers, or why it does not.
pub type Trial = Arc<
    dyn Fn(&str, HeaderValue) -> Option<BoxFuture<'static, Result<StatusCode, TrialError>>>
        + Send
        + Sync,
>;

/// How often a command asks for an answer that does not come.
pub const TRIES: u32 = 3;

/// How much longer it waits for each than the server gives itself.
const MARGIN: Duration = Duration::from_secs(5);

const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Config {
    /// How long a command waits for an answer.
    pub fn patience(&self) -> Duration {
        self.exchange_timeout.saturating_add(MARGIN)
    }

    /// How long a command goes on asking for an answer, the pauses included. One that has not this
    /// configuration, takes the default for what the server gives itself.
    pub fn asks_within(&self) -> Duration {
        self.patience().max(Self::default().patience()).saturating_mul(TRIES)
    }

    /// Adds what is wrong with the section as a whole.
    pub fn validate(&self, problems: &mut Problems) {
        let encrypted = self.certificate.is_some() && self.key.is_some();
        if !self.listen.ip().is_loopback() && !encrypted && !self.allow_remote_plain {
            let message = format!(
                "{} is not loopback, and the admin listener is not encrypted; give it \
                 admin.certificate and admin.key, or set admin.allow_remote_plain = true if its \
                 network is trusted",
                self.listen
            );
            problems.add(None, "admin.listen", &message);
        }
        if self.certificate.is_some() != self.key.is_some() {
            let (key, other) = match self.key {
                None => ("admin.certificate", "admin.key"),
                Some(_) => ("admin.key", "admin.certificate"),
            };
            problems.add(None, key, &format!("is of no use without {other}"));
        }
        if self.max_connections == 0 {
            problems.add(None, "admin.max_connections", "must be at least 1");
        }
        if self.max_operations == 0 {
            problems.add(None, "admin.max_operations", "must be at least 1");
        }
        if self.operation_timeout >= self.exchange_timeout {
            let message = "must be shorter than admin.exchange_timeout, so that it is answered";
            problems.add(None, "admin.operation_timeout", message);
        }
    }
}

fn router(admin: Admin) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(async || "ok"))
        .route("/readyz", get(ready))
        .merge(api::router())
        .fallback(api::nowhere)
        .method_not_allowed_fallback(api::no_method)
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
