//! Every series that Tollgate exports, reached from one struct, resolved when the process starts.
//!
//! Prometheus looks label values up by a hash behind a lock. So each family of series is resolved
//! once over its closed lists (`Closed`), and the request path only adds to an atomic. No label
//! is ever made from an id, a path, a token or an address; of credentials there are so many names as
//! the configuration says.

pub mod audit;
pub mod cache;
pub mod canary;
pub mod connections;
pub mod credentials;
mod families;
pub mod formats;
pub mod idempotency;
pub mod limits;
mod registrar;
pub mod reloads;
pub mod rotations;
pub mod samples;
pub mod store;
pub mod unsettled;
pub mod upstreams;

use prometheus::{Encoder, IntCounter, IntCounterVec, IntGauge, Registry, TextEncoder};

pub use self::families::{CounterGrid, Counters, Durations, Gauges, Histograms, Raised, Requests};
use self::{
    audit::Audit, cache::Cache, canary::Canary, connections::Connections, credentials::Credentials,
    formats::Formats, idempotency::Idempotency, limits::Limits, registrar::Registrar,
    reloads::Reloads, rotations::Rotations, samples::Samples, store::Store, unsettled::Unsettled,
    upstreams::Upstreams,
};

/// All series of the process.
pub struct Metrics {
    registry: Registry,
    /// `tollgate_requests_total`, see [`Requests`].
    pub requests: Requests,
    /// `tollgate_request_duration_seconds` by route class and cache outcome.
    pub durations: Durations,
    /// `tollgate_requests_in_flight`.
    pub in_flight: IntGauge,
    /// `tollgate_rejections_total` by reason.
    pub rejections: IntCounterVec,
    /// `tollgate_cache_…` and `tollgate_collapsed_reads_total`, see [`Cache`].
    pub cache: Cache,
    /// `tollgate_cache_…` of what was compared with the upstream, see [`Samples`].
    pub samples: Samples,
    /// `tollgate_formats_…`, see [`Formats`].
    pub formats: Formats,
    /// `tollgate_unsettled_…`, see [`Unsettled`].
    pub unsettled: Unsettled,
    /// `tollgate_upstream_…`, see [`Upstreams`].
    pub upstreams: Upstreams,
    /// `tollgate_limiter_…` and `tollgate_policy_…`, see [`Limits`].
    pub limits: Limits,
    /// `tollgate_audit_…`, see [`Audit`].
    pub audit: Audit,
    /// `tollgate_idempotent_…`, see [`Idempotency`].
    pub idempotency: Idempotency,
    /// `tollgate_disclosures_masked_total`.
    pub disclosures_masked: IntCounter,
    /// `tollgate_canary_…`, see [`Canary`].
    pub canary: Canary,
    /// `tollgate_unlisted_reads_total`.
    pub unlisted_reads: IntCounter,
    /// `tollgate_connection…` and `tollgate_tls_…`, see [`Connections`].
    pub connections: Connections,
    /// `tollgate_reloads_total`, and what is in force, see [`Reloads`].
    pub reloads: Reloads,
    /// `tollgate_credential_…` by credential, see [`Credentials`].
    pub credentials: Credentials,
    /// `tollgate_key_…`, see [`Rotations`].
    pub rotations: Rotations,
    /// `tollgate_store_…`, see [`Store`].
    pub store: Store,
    /// `tollgate_access_log_dropped_total`.
    pub access_log_dropped: IntCounter,
}

impl Metrics {
    /// Registers every series; called once, when the process starts.
    pub fn new() -> Self {
        let registry = Registry::new();
        let r = &Registrar(&registry);
        let info = r.gauge_vec("build_info", "The version that runs; always 1.", &["version"]);
        info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Self {
            requests: Requests::new(r),
            durations: Durations::new(r),
            in_flight: r.gauge("requests_in_flight", "Requests whose reply has not begun."),
            rejections: r.counter_vec(
                "rejections_total",
                "Requests that Tollgate itself refused, by reason.",
                &["reason"],
            ),
            cache: Cache::new(r),
            samples: Samples::new(r),
            formats: Formats::new(r),
            unsettled: Unsettled::new(r),
            upstreams: Upstreams::new(r),
            limits: Limits::new(r),
            audit: Audit::new(r),
            idempotency: Idempotency::new(r),
            disclosures_masked: r.counter(
                "disclosures_masked_total",
                "Secrets of upstreams that the last look at replies found and starred.",
            ),
            canary: Canary::new(r),
            unlisted_reads: r.counter(
                "unlisted_reads_total",
                "GETs of routes that the route table does not list.",
            ),
            connections: Connections::new(r),
            reloads: Reloads::new(r),
            credentials: Credentials::new(r),
            rotations: Rotations::new(r),
            store: Store::new(r),
            access_log_dropped: r.counter(
                "access_log_dropped_total",
                "Access log lines dropped because the writer could not keep up.",
            ),
            registry,
        }
    }

    /// The exposition text of every series.
    #[expect(clippy::missing_panics_doc, reason = "writing to memory cannot fail")]
    pub fn render(&self) -> String {
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut text)
            .expect("writing to memory cannot fail");
        String::from_utf8(text).expect("the exposition format is UTF-8")
    }

    /// Raises a gauge for as long as the guard lives.
    pub fn raise(gauge: &IntGauge) -> Raised {
        gauge.inc();
        Raised(gauge.clone())
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use http::{Method, StatusCode};

    use super::*;
    use crate::vocabulary::{CacheOutcome, RouteClass};

    #[test]
    fn a_request_counts_in_its_own_series() {
        let metrics = Metrics::new();
        metrics.requests.of(&Method::GET, StatusCode::OK, CacheOutcome::Hit).inc();
        metrics.requests.of(&Method::TRACE, StatusCode::IM_A_TEAPOT, CacheOutcome::None).inc();
        metrics.durations.of(Some(RouteClass::Volatile), CacheOutcome::Miss).observe(0.2);
        let text = metrics.render();
        let hit = "tollgate_requests_total{cache=\"hit\",method=\"GET\",status=\"200\"} 1";
        let odd = "tollgate_requests_total{cache=\"none\",method=\"other\",status=\"other\"} 1";
        assert!(text.contains(hit) && text.contains(odd), "{text}");
        assert!(text.contains("_count{cache=\"miss\",class=\"volatile\"} 1"), "{text}");
    }

    #[test]
    fn a_gauge_falls_when_its_guard_is_dropped() {
        let metrics = Metrics::new();
        let raised = Metrics::raise(&metrics.in_flight);
        assert_eq!(metrics.in_flight.get(), 1);
        drop(raised);
        assert_eq!(metrics.in_flight.get(), 0);
    }

    /// In the order that the binary search needs.
    #[test]
    fn every_registered_status_has_a_name_of_its_own() {
        let is_registered = |status: &u16| {
            let reason = StatusCode::from_u16(*status).ok().and_then(|s| s.canonical_reason());
            // The registry has it as unused.
            reason.is_some() && *status != 418
        };
        let known: Vec<u16> = (200..600).filter(|s| is_registered(s) || *s == 499).collect();
        assert_eq!(families::STATUSES, *known);
    }
}
