//! Every series that Tollgate exports, in one struct, resolved when the process starts.
//!
//! Prometheus looks label values up by a hash behind a lock. So each family of series is resolved
//! once over its closed lists (`Closed`), and the request path only adds to an atomic. No label
//! is ever made from an id, a path, a token or an address; of credentials there are so many names as
//! the configuration says.

mod connections;
mod credentials;
mod families;
mod registrar;
mod samples;
mod upstream;

use prometheus::{Encoder, Gauge, IntCounter, IntCounterVec, IntGauge, Registry, TextEncoder};

use self::registrar::Registrar;
pub use self::{
    connections::Connections,
    credentials::Credentials,
    families::{CounterGrid, Counters, Durations, Gauges, Histograms, Raised, Requests},
    samples::{Sampled, Samples},
    upstream::{Upstream, UpstreamOutcome},
};
use crate::{
    closed,
    vocabulary::{
        Audited, CacheOutcome, CanaryOutcome, Decision, Derived, InvalidationCause, KeyOutcome,
        Limiter, PolicyMode, PolicyName, Rotated, Settled, Taken,
    },
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
    /// `tollgate_cache_lookups_total` by outcome.
    pub cache_lookups: Counters<CacheOutcome>,
    /// `tollgate_cache_entries`.
    pub cache_entries: IntGauge,
    /// `tollgate_cache_bytes`.
    pub cache_bytes: IntGauge,
    /// `tollgate_cache_evictions_total`.
    pub cache_evictions: IntCounter,
    /// `tollgate_cache_invalidations_total` by cause.
    pub invalidations: Counters<InvalidationCause>,
    /// `tollgate_cache_revalidations_total` by outcome.
    pub revalidations: Counters<Revalidation>,
    /// `tollgate_cache_…` of what was compared with the upstream, see [`Samples`].
    pub samples: Samples,
    /// `tollgate_formats_derived_total` by outcome.
    pub derived: Counters<Derived>,
    /// `tollgate_formats_pairs_total` by outcome.
    pub pairs: Counters<Taken>,
    /// `tollgate_formats_proven_entries`.
    pub proven_routes: IntGauge,
    /// `tollgate_unsettled_waiting`.
    pub unsettled: IntGauge,
    /// `tollgate_unsettled_ends_total` by how.
    pub settled: Counters<Settled>,
    /// `tollgate_collapsed_reads_total`.
    pub collapsed_reads: IntCounter,
    /// `tollgate_cache_fills_in_flight`.
    pub flights: IntGauge,
    /// `tollgate_upstream_…`, see [`Upstream`].
    pub upstream: Upstream,
    /// `tollgate_limiter_decisions_total` by limiter and decision.
    pub limiter: CounterGrid<Limiter, Decision>,
    /// `tollgate_policy_refusals_total` by policy and mode.
    pub policy_refusals: CounterGrid<PolicyName, PolicyMode>,
    /// `tollgate_audit_events_total` by outcome.
    pub audit_events: Counters<Audited>,
    /// `tollgate_audit_up`.
    pub audit_up: IntGauge,
    /// `tollgate_idempotent_requests_total` by outcome.
    pub idempotent_requests: Counters<KeyOutcome>,
    /// `tollgate_idempotent_requests_waiting`.
    pub idempotent_waiting: IntGauge,
    /// `tollgate_disclosures_masked_total`.
    pub disclosures_masked: IntCounter,
    /// `tollgate_canary_checks_total` by outcome.
    pub canary_checks: Counters<CanaryOutcome>,
    /// `tollgate_canary_leaks_total`.
    pub canary_leaks: IntCounter,
    /// `tollgate_canary_success_timestamp_seconds`.
    pub canary_success: Gauge,
    /// `tollgate_unlisted_reads_total`.
    pub unlisted_reads: IntCounter,
    /// `tollgate_connection…` and `tollgate_tls_…`, see [`Connections`].
    pub connections: Connections,
    /// `tollgate_reloads_total` by what was read and whether it worked.
    pub reloads: CounterGrid<Reload, Success>,
    /// `tollgate_credential_…` by credential, see [`Credentials`].
    pub credentials: Credentials,
    /// `tollgate_tokens`.
    pub tokens: IntGauge,
    /// `tollgate_key_rotations_total` by outcome.
    pub rotations: Counters<Rotated>,
    /// `tollgate_key_rotations_waiting`.
    pub open_rotations: IntGauge,
    /// `tollgate_key_requests_waiting`.
    pub held_requests: IntGauge,
    /// `tollgate_store_up`.
    pub store_up: IntGauge,
    /// `tollgate_store_followed_timestamp_seconds`.
    pub store_followed: IntGauge,
    /// `tollgate_certificate_expiry_timestamp_seconds`.
    pub certificate_expiry: Gauge,
    /// `tollgate_access_log_dropped_total`.
    pub access_log_dropped: IntCounter,
}

closed! {
    /// What was read anew.
    pub enum Reload {
        /// Tenants, tokens and credentials.
        Tenants => "tenants",
        /// The certificate and its key.
        Certificate => "certificate",
    }
}

closed! {
    /// Whether it worked.
    pub enum Success {
        /// It did.
        Ok => "ok",
        /// It did not; what was in force stays in force.
        Failed => "failed",
    }
}

closed! {
    /// What the upstream said when it was asked whether it still shows what is kept.
    pub enum Revalidation {
        /// It does.
        NotModified => "not_modified",
        /// It shows something else.
        Modified => "modified",
    }
}

impl Metrics {
    /// Registers every series; called once, when the process starts.
    #[expect(clippy::too_many_lines, reason = "a list of every series, one beside the other")]
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
            cache_lookups: r.counters(
                "cache_lookups_total",
                "Reads that asked the cache, by outcome.",
                "outcome",
            ),
            cache_entries: r.gauge("cache_entries", "Representations in the cache."),
            cache_bytes: r.gauge("cache_bytes", "Bytes of the cache, keys and headers included."),
            cache_evictions: r.counter(
                "cache_evictions_total",
                "Entries that left the cache for want of room or because they had expired.",
            ),
            invalidations: r.counters(
                "cache_invalidations_total",
                "Invalidations of families of reads, by cause.",
                "cause",
            ),
            revalidations: r.counters(
                "cache_revalidations_total",
                "Fetches that asked whether what was kept is still shown, by outcome.",
                "outcome",
            ),
            samples: Samples::new(r),
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
            unsettled: r.gauge(
                "unsettled_waiting",
                "Writes and locked resources whose transaction has not been seen to end.",
            ),
            settled: r.counters(
                "unsettled_ends_total",
                "Ends of what was unsettled, by how; any that is overdue is worth an alarm.",
                "outcome",
            ),
            collapsed_reads: r.counter(
                "collapsed_reads_total",
                "Reads that shared a fetch which another reader had begun.",
            ),
            flights: r.gauge("cache_fills_in_flight", "Fetches that fill the cache, under way."),
            upstream: Upstream::new(r),
            limiter: r.grid(
                "limiter_decisions_total",
                "Decisions of the limiters, by limiter and decision.",
                ["limiter", "decision"],
            ),
            policy_refusals: r.grid(
                "policy_refusals_total",
                "Requests that a token's policy refused, or would have in shadow, by policy and mode.",
                ["policy", "mode"],
            ),
            audit_events: r.counters(
                "audit_events_total",
                "Events for the audit log, by what became of them.",
                "outcome",
            ),
            audit_up: r.gauge("audit_up", "Whether the audit log could be written last: 1 or 0."),
            idempotent_requests: r.counters(
                "idempotent_requests_total",
                "POSTs with an Idempotency-Key, by what came of the key.",
                "outcome",
            ),
            idempotent_waiting: r.gauge(
                "idempotent_requests_waiting",
                "POSTs that wait for what the first one with their Idempotency-Key is answered.",
            ),
            disclosures_masked: r.counter(
                "disclosures_masked_total",
                "Secrets of upstreams that the last look at replies found and starred.",
            ),
            canary_checks: r.counters(
                "canary_checks_total",
                "Rounds of the canary, by what came of them.",
                "outcome",
            ),
            canary_leaks: r.counter(
                "canary_leaks_total",
                "Times that a planted tenant was shown what is another's; any is worth a page.",
            ),
            canary_success: r.float_gauge(
                "canary_success_timestamp_seconds",
                "When the canary last proved that its tenants are kept apart, as a Unix time.",
            ),
            unlisted_reads: r.counter(
                "unlisted_reads_total",
                "GETs of routes that the route table does not list.",
            ),
            connections: Connections::new(r),
            reloads: r.grid(
                "reloads_total",
                "Times that something was read anew, by what and outcome.",
                ["what", "outcome"],
            ),
            credentials: Credentials::new(r),
            tokens: r.gauge("tokens", "Tokens in the snapshot that is in force."),
            rotations: r.counters(
                "key_rotations_total",
                "Rotations of upstream keys that this process ended, by outcome; alarm on lost.",
                "outcome",
            ),
            open_rotations: r.gauge(
                "key_rotations_waiting",
                "Rotations of upstream keys in the store that have not ended.",
            ),
            held_requests: r.gauge(
                "key_requests_waiting",
                "Requests that wait for the key of their credential to be replaced.",
            ),
            store_up: r.gauge("store_up", "Whether the store could be read last: 1 or 0."),
            store_followed: r.gauge(
                "store_followed_timestamp_seconds",
                "When the store was last seen to be as it is in force, as a Unix time.",
            ),
            certificate_expiry: r.float_gauge(
                "certificate_expiry_timestamp_seconds",
                "When the certificate in force expires, as a Unix time.",
            ),
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
    use crate::vocabulary::RouteClass;

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
