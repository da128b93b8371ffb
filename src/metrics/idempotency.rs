//! Requests with an `Idempotency-Key`.

use prometheus::IntGauge;

use super::{families::Counters, registrar::Registrar};
use crate::vocabulary::KeyOutcome;

/// Series of idempotent requests.
pub struct Idempotency {
    /// `tollgate_idempotent_requests_total` by outcome.
    pub requests: Counters<KeyOutcome>,
    /// `tollgate_idempotent_requests_waiting`.
    pub waiting: IntGauge,
}

impl Idempotency {
    pub(super) fn new(r: &Registrar<'_>) -> Self {
        Self {
            requests: r.counters(
                "idempotent_requests_total",
                "POSTs with an Idempotency-Key, by what came of the key.",
                "outcome",
            ),
            waiting: r.gauge(
                "idempotent_requests_waiting",
                "POSTs that wait for what the first one with their Idempotency-Key is answered.",
            ),
        }
    }
}
