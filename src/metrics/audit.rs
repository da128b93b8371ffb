//! The audit log.

use prometheus::IntGauge;

use super::{families::Counters, registrar::Registrar};
use crate::closed;

/// Series of the audit log.
pub struct Audit {
    /// `tollgate_audit_events_total` by outcome.
    pub events: Counters<Audited>,
    /// `tollgate_audit_up`.
    pub up: IntGauge,
}

closed! {
    /// What became of an event for the audit log.
    pub enum Audited {
        /// It was written.
        Written => "written",
        /// There were too many in a second, and it was counted alone.
        Counted => "counted",
        /// It could not be written.
        Lost => "lost",
    }
}

impl Audit {
    pub(super) fn new(r: &Registrar<'_>) -> Self {
        Self {
            events: r.counters(
                "audit_events_total",
                "Events for the audit log, by what became of them.",
                "outcome",
            ),
            up: r.gauge("audit_up", "Whether the audit log could be written last: 1 or 0."),
        }
    }
}
