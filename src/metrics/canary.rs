//! The canary.

use prometheus::{Gauge, IntCounter};

use super::{families::Counters, registrar::Registrar};
use crate::vocabulary::CanaryOutcome;

/// Series of the canary.
pub struct Canary {
    /// `tollgate_canary_checks_total` by outcome.
    pub checks: Counters<CanaryOutcome>,
    /// `tollgate_canary_leaks_total`.
    pub leaks: IntCounter,
    /// `tollgate_canary_success_timestamp_seconds`.
    pub success: Gauge,
}

impl Canary {
    pub(super) fn new(r: &Registrar<'_>) -> Self {
        Self {
            checks: r.counters(
                "canary_checks_total",
                "Rounds of the canary, by what came of them.",
                "outcome",
            ),
            leaks: r.counter(
                "canary_leaks_total",
                "Times that a planted tenant was shown what is another's; any is worth a page.",
            ),
            success: r.float_gauge(
                "canary_success_timestamp_seconds",
                "When the canary last proved that its tenants are kept apart, as a Unix time.",
            ),
        }
    }
}
