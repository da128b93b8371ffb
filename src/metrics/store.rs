//! The store, as this process follows it.

use prometheus::IntGauge;

use super::registrar::Registrar;

/// Series of the store.
pub struct Store {
    /// `tollgate_store_up`.
    pub up: IntGauge,
    /// `tollgate_store_followed_timestamp_seconds`.
    pub followed: IntGauge,
}

impl Store {
    pub(super) fn new(r: &Registrar<'_>) -> Self {
        Self {
            up: r.gauge("store_up", "Whether the store could be read last: 1 or 0."),
            followed: r.gauge(
                "store_followed_timestamp_seconds",
                "When the store was last seen to be as it is in force, as a Unix time.",
            ),
        }
    }
}
