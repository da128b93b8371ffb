//! Hits that were drawn to be compared with what the upstream shows.

use super::{
    families::{AGE_BUCKETS, CounterGrid, Counters, Gauges, Histograms},
    registrar::Registrar,
};
use crate::vocabulary::{RouteClass, Sampled};

/// Series of the samples, by route class.
pub struct Samples {
    /// `tollgate_cache_samples_total`, also by outcome.
    pub outcomes: CounterGrid<RouteClass, Sampled>,
    /// `tollgate_cache_stale_hits_total`.
    pub stale_hits: Counters<RouteClass>,
    /// `tollgate_cache_staleness_seconds`.
    pub staleness: Histograms<RouteClass>,
    /// `tollgate_cache_quarantined`.
    pub quarantined: Gauges<RouteClass>,
}

impl Samples {
    pub(super) fn new(r: &Registrar<'_>) -> Self {
        Self {
            outcomes: r.grid(
                "cache_samples_total",
                "Hits drawn to be compared with what the upstream shows, by class and outcome.",
                ["class", "outcome"],
            ),
            stale_hits: r.counters(
                "cache_stale_hits_total",
                "Sampled hits that no longer showed what the upstream does, by route class.",
                "class",
            ),
            staleness: r.histograms(
                "cache_staleness_seconds",
                "Age of the sampled hits that were stale: the most that they can have been so.",
                "class",
                &AGE_BUCKETS,
            ),
            quarantined: Gauges::new(&r.gauge_vec(
                "cache_quarantined",
                "Whether a route class is passed by the cache, because its samples were stale.",
                &["class"],
            )),
        }
    }
}
