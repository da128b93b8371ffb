//! Rotations of the upstreams' keys.

use prometheus::IntGauge;

use super::{families::Counters, registrar::Registrar};
use crate::closed;

/// Series of rotations, and of who waits for them.
pub struct Rotations {
    /// `tollgate_key_rotations_total` by outcome.
    pub ended: Counters<Rotated>,
    /// `tollgate_key_rotations_waiting`.
    pub open: IntGauge,
    /// `tollgate_key_requests_waiting`.
    pub held_requests: IntGauge,
}

closed! {
    /// How a rotation of a key ended.
    pub enum Rotated {
        /// The credential has a new key.
        Done => "done",
        /// The credential has what it had.
        Undone => "undone",
        /// The credential has a dead key; an operator is needed.
        Lost => "lost",
    }
}

impl Rotations {
    pub(super) fn new(r: &Registrar<'_>) -> Self {
        Self {
            ended: r.counters(
                "key_rotations_total",
                "Rotations of upstream keys that this process ended, by outcome; alarm on lost.",
                "outcome",
            ),
            open: r.gauge(
                "key_rotations_waiting",
                "Rotations of upstream keys in the store that have not ended.",
            ),
            held_requests: r.gauge(
                "key_requests_waiting",
                "Requests that wait for the key of their credential to be replaced.",
            ),
        }
    }
}
