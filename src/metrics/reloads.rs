//! What was read anew, and what is in force since.

use prometheus::{Gauge, IntGauge};

use super::{families::CounterGrid, registrar::Registrar};
use crate::closed;

/// Series of reloads.
pub struct Reloads {
    /// `tollgate_reloads_total` by what was read and whether it worked.
    pub tried: CounterGrid<Reload, Success>,
    /// `tollgate_tokens`.
    pub tokens: IntGauge,
    /// `tollgate_certificate_expiry_timestamp_seconds`.
    pub certificate_expiry: Gauge,
}

closed! {
    /// What was read anew.
    pub enum Reload {
        /// Tenants, tokens and credentials.
        Tenants => "tenants",
        /// The certificate and its key.
        Certificate => "certificate",
    }
}

closed! {
    /// Whether it worked.
    pub enum Success {
        /// It did.
        Ok => "ok",
        /// It did not; what was in force stays in force.
        Failed => "failed",
    }
}

impl Reloads {
    pub(super) fn new(r: &Registrar<'_>) -> Self {
        Self {
            tried: r.grid(
                "reloads_total",
                "Times that something was read anew, by what and outcome.",
                ["what", "outcome"],
            ),
            tokens: r.gauge("tokens", "Tokens in the snapshot that is in force."),
            certificate_expiry: r.float_gauge(
                "certificate_expiry_timestamp_seconds",
                "When the certificate in force expires, as a Unix time.",
            ),
        }
    }
}
