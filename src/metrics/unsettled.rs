//! What writes and locks have left unsettled.

use prometheus::IntGauge;

use super::{families::Counters, registrar::Registrar};
use crate::closed;

/// Series of what is unsettled.
pub struct Unsettled {
    /// `tollgate_unsettled_waiting`.
    pub waiting: IntGauge,
    /// `tollgate_unsettled_ends_total` by how.
    pub ends: Counters<Settled>,
}

closed! {
    /// How what was unsettled came to an end.
    pub enum Settled {
        /// Its transactions have ended, or there is none.
        Seen => "seen",
        /// Its window has passed, where nobody can look.
        Window => "window",
        /// It was waited for as long as it may be, and its transaction had not ended.
        Overdue => "overdue",
    }
}

impl Unsettled {
    pub(super) fn new(r: &Registrar<'_>) -> Self {
        Self {
            waiting: r.gauge(
                "unsettled_waiting",
                "Writes and locked resources whose transaction has not been seen to end.",
            ),
            ends: r.counters(
                "unsettled_ends_total",
                "Ends of what was unsettled, by how; any that is overdue is worth an alarm.",
                "outcome",
            ),
        }
    }
}
