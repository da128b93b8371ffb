//! Families of series, resolved over their closed lists.

use std::{marker::PhantomData, sync::OnceLock};

use http::{Method, StatusCode};
use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::registrar::Registrar;
use crate::vocabulary::{CacheOutcome, Closed, RouteClass};

/// One counter for each member of a closed list.
pub struct Counters<L> {
    pub(super) each: Box<[IntCounter]>,
    pub(super) label: PhantomData<L>,
}

/// One counter for each pair of two closed lists.
pub struct CounterGrid<A, B> {
    pub(super) each: Box<[IntCounter]>,
    pub(super) labels: PhantomData<(A, B)>,
}

/// One gauge for each member of a closed list.
pub struct Gauges<L> {
    pub(super) each: Box<[IntGauge]>,
    pub(super) label: PhantomData<L>,
}

/// One histogram for each member of a closed list.
pub struct Histograms<L> {
    pub(super) each: Box<[Histogram]>,
    pub(super) label: PhantomData<L>,
}

/// Request durations by route class (none for what was refused before routing) and outcome.
pub struct Durations(Box<[Histogram]>);

/// Requests by method, status and cache outcome; other methods and statuses are `other`.
///
/// A series is resolved when it first counts: thousands of zeros would be noise.
pub struct Requests {
    family: IntCounterVec,
    pub(super) each: Box<[OnceLock<IntCounter>]>,
}

/// Holds a gauge up by one for as long as it lives.
pub struct Raised(pub(super) IntGauge);

const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"];

/// The statuses that may have series of their own: all final ones that are registered (RFC 9110, section
/// 16.2.1) and not marked unused, and 499 where there was no reply. What is not here counts as `other`.
pub(super) const STATUSES: [u16; 58] = [
    200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 307, 308, 400,
    401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 421, 422,
    423, 424, 425, 426, 428, 429, 431, 451, 499, 500, 501, 502, 503, 504, 505, 506, 507, 508, 510,
    511,
];

/// From a hit (tens of microseconds) to the slowest list on record (26 s) and beyond.
pub(super) const DURATION_BUCKETS: [f64; 14] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0, 15.0, 60.0,
];

/// From a moment to the longest lifetimes.
pub(super) const AGE_BUCKETS: [f64; 10] =
    [0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0];

impl<L: Closed> Counters<L> {
    /// The counter of one member.
    pub fn of(&self, label: L) -> &IntCounter {
        &self.each[label.index()]
    }
}

impl<A: Closed, B: Closed> CounterGrid<A, B> {
    /// The counter of one pair.
    pub fn of(&self, a: A, b: B) -> &IntCounter {
        &self.each[a.index() * B::ALL.len() + b.index()]
    }
}

impl<L: Closed> Gauges<L> {
    /// The gauge of one member.
    pub fn of(&self, label: L) -> &IntGauge {
        &self.each[label.index()]
    }

    pub(super) fn new(family: &IntGaugeVec) -> Self {
        let each = L::ALL.iter().map(|l| family.with_label_values(&[l.as_str()])).collect();
        Self { each, label: PhantomData }
    }
}

impl<L: Closed> Histograms<L> {
    /// The histogram of one member.
    pub fn of(&self, label: L) -> &Histogram {
        &self.each[label.index()]
    }
}

impl Durations {
    /// The histogram for a route class and an outcome.
    pub fn of(&self, class: Option<RouteClass>, outcome: CacheOutcome) -> &Histogram {
        let class = class.map_or(RouteClass::ALL.len(), Closed::index);
        &self.0[class * CacheOutcome::ALL.len() + outcome.index()]
    }

    pub(super) fn new(r: &Registrar<'_>) -> Self {
        let family = r.histogram_vec(
            "request_duration_seconds",
            "Time from a request's head to its reply's head, by route class and cache outcome.",
            &["class", "cache"],
            &DURATION_BUCKETS,
        );
        let classes = RouteClass::ALL.iter().map(|c| c.as_str()).chain(["none"]);
        let each = classes
            .flat_map(|c| CacheOutcome::ALL.iter().map(move |o| [c, o.as_str()]))
            .map(|labels| family.with_label_values(&labels));
        Self(each.collect())
    }
}

impl Requests {
    /// The counter for a method, a status and an outcome.
    pub fn of(&self, method: &Method, status: StatusCode, outcome: CacheOutcome) -> &IntCounter {
        let method =
            METHODS.iter().position(|m| *m == method.as_str()).unwrap_or(METHODS.len() - 1);
        let status = STATUSES.binary_search(&status.as_u16()).unwrap_or(STATUSES.len());
        let row = method * (STATUSES.len() + 1) + status;
        self.each[row * CacheOutcome::ALL.len() + outcome.index()].get_or_init(|| {
            let status = STATUSES.get(status).map_or("other".to_owned(), u16::to_string);
            self.family.with_label_values(&[METHODS[method], &status, outcome.as_str()])
        })
    }

    pub(super) fn new(r: &Registrar<'_>) -> Self {
        let family = r.counter_vec(
            "requests_total",
            "Requests by method, status (499: ended without a reply) and cache outcome.",
            &["method", "status", "cache"],
        );
        let slots = METHODS.len() * (STATUSES.len() + 1) * CacheOutcome::ALL.len();
        Self { family, each: (0..slots).map(|_| OnceLock::new()).collect() }
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        self.0.dec();
    }
}
