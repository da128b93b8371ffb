//! What is sent to upstreams, and their connections.

use prometheus::{IntCounter, IntGauge};

use super::{
    families::{CounterGrid, DURATION_BUCKETS, Histograms},
    registrar::Registrar,
};
use crate::{closed, vocabulary::UpstreamCause};

/// Series of the requests to all upstreams, and of their connections.
pub struct Upstreams {
    /// `tollgate_upstream_requests_total` by cause and outcome.
    pub requests: CounterGrid<UpstreamCause, UpstreamOutcome>,
    /// `tollgate_upstream_duration_seconds` by cause, until the head of the reply.
    pub durations: Histograms<UpstreamCause>,
    /// `tollgate_upstream_connections`, idle ones included.
    pub connections: IntGauge,
    /// `tollgate_upstream_requests_waiting`.
    pub waiting: IntGauge,
    /// `tollgate_upstream_breaker_openings_total`.
    pub breaker_openings: IntCounter,
}

closed! {
    /// How an upstream request ended.
    pub enum UpstreamOutcome {
        /// A 1xx to 3xx reply.
        Success => "success",
        /// A 4xx reply.
        ClientError => "client_error",
        /// A 5xx reply.
        ServerError => "server_error",
        /// No connection could be made.
        ConnectFailed => "connect_failed",
        /// No reply within the deadline.
        TimedOut => "timed_out",
        /// The connection broke.
        Broken => "broken",
        /// No slot became free within the bound.
        Saturated => "saturated",
        /// Its caller left, or failed to deliver the request's body, before a reply.
        Abandoned => "abandoned",
    }
}

impl Upstreams {
    pub(super) fn new(r: &Registrar<'_>) -> Self {
        Self {
            requests: r.grid(
                "upstream_requests_total",
                "Requests sent to an upstream, by cause and outcome.",
                ["cause", "outcome"],
            ),
            durations: r.histograms(
                "upstream_duration_seconds",
                "Time until the head of an upstream's reply, by cause.",
                "cause",
                &DURATION_BUCKETS,
            ),
            connections: r.gauge("upstream_connections", "Connections to upstreams."),
            waiting: r.gauge(
                "upstream_requests_waiting",
                "Requests that wait for a slot of their upstream.",
            ),
            breaker_openings: r.counter(
                "upstream_breaker_openings_total",
                "Times that an upstream was found to be down.",
            ),
        }
    }
}
