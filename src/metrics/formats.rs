//! What is learned of formats, and derived by it.

use prometheus::IntGauge;

use super::{families::Counters, registrar::Registrar};
use crate::{closed, vocabulary::Taken};

/// Series of the second format.
pub struct Formats {
    /// `tollgate_formats_derived_total` by outcome.
    pub derived: Counters<Derived>,
    /// `tollgate_formats_pairs_total` by outcome.
    pub pairs: Counters<Taken>,
    /// `tollgate_formats_proven_entries`.
    pub proven_routes: IntGauge,
}

closed! {
    /// What came of what could be derived from the other format.
    pub enum Derived {
        /// It was derived.
        Done => "done",
        /// It shows what was never seen, and was fetched.
        Unfit => "unfit",
    }
}

impl Formats {
    pub(super) fn new(r: &Registrar<'_>) -> Self {
        Self {
            derived: r.counters(
                "formats_derived_total",
                "Replies that could be derived from the other format, by what came of it.",
                "outcome",
            ),
            pairs: r.counters(
                "formats_pairs_total",
                "Pairs of formats that were fetched to learn from, by what came of it.",
                "outcome",
            ),
            proven_routes: r.gauge(
                "formats_proven_entries",
                "Routes whose second format is derived and not fetched.",
            ),
        }
    }
}
