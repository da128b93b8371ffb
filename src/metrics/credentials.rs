//! The health of credentials: when, and how often, an upstream refused each.
//!
//! They are labeled by the names that operators gave, and by as many as the configuration says; all
//! others share one label, which is no name.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use prometheus::{IntCounterVec, IntGaugeVec};

use super::registrar::Registrar;

/// Series for each credential.
pub struct Credentials {
    rejections: IntCounterVec,
    rejected: IntGaugeVec,
    named: Mutex<BTreeSet<String>>,
}

/// A name has no parentheses.
const OTHERS: &str = "(others)";

impl Credentials {
    pub(super) fn new(r: &Registrar<'_>) -> Self {
        let made = Self {
            rejections: r.counter_vec(
                "credential_rejections_total",
                "Replies of 401 by an upstream, by the credential that it refused.",
                &["credential"],
            ),
            rejected: r.gauge_vec(
                "credential_rejected_timestamp_seconds",
                "When an upstream answered a credential with 401 last, as a Unix time; 0 if never.",
                &["credential"],
            ),
            named: Mutex::default(),
        };
        made.begin(OTHERS);
        made
    }

    /// Gives so many of the credentials that there are series of their own, the first by name; those
    /// of credentials that have gone go.
    pub fn follow<'a>(&self, names: impl Iterator<Item = &'a str>, most: usize) {
        let all: BTreeSet<&str> = names.collect();
        let wanted: BTreeSet<String> = all.into_iter().take(most).map(str::to_owned).collect();
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in named.difference(&wanted) {
            // Both were made when it came.
            let _ = self.rejections.remove_label_values(&[gone]);
            let _ = self.rejected.remove_label_values(&[gone]);
        }
        for new in wanted.difference(&named) {
            self.begin(new);
        }
        *named = wanted;
    }

    /// Notes that an upstream refused a credential, at a Unix time.
    pub fn rejected(&self, name: &str, now: i64) {
        let named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        let label = if named.contains(name) { name } else { OTHERS };
        self.rejections.with_label_values(&[label]).inc();
        self.rejected.with_label_values(&[label]).set(now);
    }

    fn begin(&self, label: &str) {
        self.rejections.with_label_values(&[label]);
        self.rejected.with_label_values(&[label]);
    }
}

#[cfg(test)]
mod tests {
    use crate::metrics::Metrics;

    fn series(metrics: &Metrics) -> Vec<String> {
        let page = metrics.render();
        let lines = page.lines().filter(|line| line.starts_with("tollgate_credential_"));
        let plain = |line: &str| line.replace("tollgate_credential_", "").replace("\"", "");
        lines.map(plain).collect()
    }

    #[test]
    fn so_many_credentials_have_series_of_their_own_and_the_others_share_theirs() {
        let metrics = Metrics::new();
        metrics.credentials.follow(["c", "a", "b"].into_iter(), 2);
        for (name, now) in [("b", 7), ("c", 8), ("b", 9), ("gone", 10)] {
            metrics.credentials.rejected(name, now);
        }
        let expected = [
            "rejected_timestamp_seconds{credential=(others)} 10",
            "rejected_timestamp_seconds{credential=a} 0",
            "rejected_timestamp_seconds{credential=b} 9",
            "rejections_total{credential=(others)} 2",
            "rejections_total{credential=a} 0",
            "rejections_total{credential=b} 2",
        ];
        assert_eq!(series(&metrics), expected);
        metrics.credentials.follow(["b", "c"].into_iter(), 1);
        let expected = [expected[0], expected[2], expected[3], expected[5]];
        assert_eq!(series(&metrics), expected);
    }
}
