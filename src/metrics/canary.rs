//! The canary.

use prometheus::{Gauge, IntCounter};

use super::{families::Counters, registrar::Registrar};
use crate::closed;

/// Series of the canary.
pub struct Canary {
    /// `tollgate_canary_checks_total` by outcome.
    pub checks: Counters<CanaryOutcome>,
    /// `tollgate_canary_leaks_total`.
    pub leaks: IntCounter,
    /// `tollgate_canary_success_timestamp_seconds`.
    pub success: Gauge,
}

closed! {
    /// What came of one round of the canary.
    pub enum CanaryOutcome {
        /// Each planted tenant was shown its own, and nothing of the other's.
        Passed => "passed",
        /// One was shown what is the other's, or let in as the other.
        Leaked => "leaked",
        /// It could prove nothing: a planted token is not good, both are alike, or nothing of
        /// their own was shown to them.
        Blind => "blind",
        /// The upstream or the gateway did not answer, or not in time.
        Failed => "failed",
    }
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
