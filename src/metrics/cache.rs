//! The cache: what it holds, and what it was asked.

use prometheus::{IntCounter, IntGauge};

use super::{families::Counters, registrar::Registrar};
use crate::{
    closed,
    vocabulary::{CacheOutcome, InvalidationCause},
};

/// Series of the cache.
pub struct Cache {
    /// `tollgate_cache_lookups_total` by outcome.
    pub lookups: Counters<CacheOutcome>,
    /// `tollgate_cache_entries`.
    pub entries: IntGauge,
    /// `tollgate_cache_bytes`.
    pub bytes: IntGauge,
    /// `tollgate_cache_evictions_total`.
    pub evictions: IntCounter,
    /// `tollgate_cache_invalidations_total` by cause.
    pub invalidations: Counters<InvalidationCause>,
    /// `tollgate_cache_revalidations_total` by outcome.
    pub revalidations: Counters<Revalidation>,
    /// `tollgate_collapsed_reads_total`.
    pub collapsed_reads: IntCounter,
    /// `tollgate_cache_fills_in_flight`.
    pub flights: IntGauge,
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

impl Cache {
    pub(super) fn new(r: &Registrar<'_>) -> Self {
        Self {
            lookups: r.counters(
                "cache_lookups_total",
                "Reads that asked the cache, by outcome.",
                "outcome",
            ),
            entries: r.gauge("cache_entries", "Representations in the cache."),
            bytes: r.gauge("cache_bytes", "Bytes of the cache, keys and headers included."),
            evictions: r.counter(
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
            collapsed_reads: r.counter(
                "collapsed_reads_total",
                "Reads that shared a fetch which another reader had begun.",
            ),
            flights: r.gauge("cache_fills_in_flight", "Fetches that fill the cache, under way."),
        }
    }
}
