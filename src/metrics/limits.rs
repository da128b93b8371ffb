//! Limits and policies.

use super::{families::CounterGrid, registrar::Registrar};
use crate::{
    closed,
    vocabulary::{Limiter, PolicyMode, PolicyName},
};

/// Series of what limiters and policies said.
pub struct Limits {
    /// `tollgate_limiter_decisions_total` by limiter and decision.
    pub decisions: CounterGrid<Limiter, Decision>,
    /// `tollgate_policy_refusals_total` by policy and mode.
    pub policy_refusals: CounterGrid<PolicyName, PolicyMode>,
}

closed! {
    /// What a limiter said.
    pub enum Decision {
        /// Go on.
        Allowed => "allowed",
        /// Not now.
        Limited => "limited",
    }
}

impl Limits {
    pub(super) fn new(r: &Registrar<'_>) -> Self {
        Self {
            decisions: r.grid(
                "limiter_decisions_total",
                "Decisions of the limiters, by limiter and decision.",
                ["limiter", "decision"],
            ),
            policy_refusals: r.grid(
                "policy_refusals_total",
                "Requests that a token's policy refused, or would have in shadow, by policy and mode.",
                ["policy", "mode"],
            ),
        }
    }
}
