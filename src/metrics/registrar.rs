//! Registers series, each family once over its closed lists.

use std::marker::PhantomData;

use prometheus::{
    Gauge, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

use super::{CounterGrid, Counters, Histograms};
use crate::vocabulary::Closed;

/// Registers series under the common prefix.
pub(super) struct Registrar<'a>(pub(super) &'a Registry);

impl Registrar<'_> {
    fn add<C: prometheus::core::Collector + Clone + 'static>(
        &self,
        made: prometheus::Result<C>,
    ) -> C {
        let collector = made.expect("the name and labels of a series are literals");
        self.0.register(Box::new(collector.clone())).expect("no two series share a name");
        collector
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.add(IntCounter::with_opts(opts(name, help)))
    }

    pub(super) fn counter_vec(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.add(IntCounterVec::new(opts(name, help), labels))
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.add(IntGauge::with_opts(opts(name, help)))
    }

    pub(super) fn float_gauge(&self, name: &str, help: &str) -> Gauge {
        self.add(Gauge::with_opts(opts(name, help)))
    }

    pub(super) fn gauge_vec(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.add(IntGaugeVec::new(opts(name, help), labels))
    }

    pub(super) fn histogram_vec(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> HistogramVec {
        let opts = HistogramOpts::from(opts(name, help)).buckets(buckets.to_vec());
        self.add(HistogramVec::new(opts, labels))
    }

    pub(super) fn counters<L: Closed>(&self, name: &str, help: &str, label: &str) -> Counters<L> {
        let family = self.counter_vec(name, help, &[label]);
        let each = L::ALL.iter().map(|l| family.with_label_values(&[l.as_str()])).collect();
        Counters { each, label: PhantomData }
    }

    pub(super) fn grid<A: Closed, B: Closed>(
        &self,
        name: &str,
        help: &str,
        labels: [&str; 2],
    ) -> CounterGrid<A, B> {
        let family = self.counter_vec(name, help, &labels);
        let pairs = A::ALL.iter().flat_map(|a| B::ALL.iter().map(|b| [a.as_str(), b.as_str()]));
        let each = pairs.map(|labels| family.with_label_values(&labels)).collect();
        CounterGrid { each, labels: PhantomData }
    }

    pub(super) fn histograms<L: Closed>(
        &self,
        name: &str,
        help: &str,
        label: &str,
        buckets: &[f64],
    ) -> Histograms<L> {
        let family = self.histogram_vec(name, help, &[label], buckets);
        let each = L::ALL.iter().map(|l| family.with_label_values(&[l.as_str()])).collect();
        Histograms { each, label: PhantomData }
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(format!("tollgate_{name}"), help)
}
