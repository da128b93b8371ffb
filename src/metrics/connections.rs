//! Clients' connections.

use prometheus::IntGauge;

use super::{
    families::{Counters, Gauges},
    registrar::Registrar,
};
use crate::{
    closed,
    vocabulary::{ConnectionEnd, Protocol},
};

/// Series of the connections of clients, and of their TLS handshakes.
pub struct Connections {
    /// `tollgate_connections` by protocol.
    pub open: Gauges<Protocol>,
    /// `tollgate_connection_ends_total` by reason.
    pub ends: Counters<ConnectionEnd>,
    /// `tollgate_tls_handshakes_total` by outcome.
    pub handshakes: Counters<Handshake>,
    /// `tollgate_tls_handshakes_in_flight`.
    pub handshakes_in_flight: IntGauge,
}

closed! {
    /// How a TLS handshake ended.
    pub enum Handshake {
        /// A full handshake.
        Full => "full",
        /// Resumed with a ticket.
        Resumed => "resumed",
        /// Broken off or refused.
        Failed => "failed",
        /// Not done within the deadline.
        TimedOut => "timed_out",
    }
}

impl Connections {
    pub(super) fn new(r: &Registrar<'_>) -> Self {
        Self {
            open: Gauges::new(&r.gauge_vec(
                "connections",
                "Connections of clients, by protocol.",
                &["protocol"],
            )),
            ends: r.counters(
                "connection_ends_total",
                "Connections of clients that ended or were refused, by reason.",
                "reason",
            ),
            handshakes: r.counters(
                "tls_handshakes_total",
                "TLS handshakes with clients, by outcome.",
                "outcome",
            ),
            handshakes_in_flight: r
                .gauge("tls_handshakes_in_flight", "TLS handshakes with clients, under way."),
        }
    }
}
