//! The figures of a run, a line each.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    time::Duration,
};

use crate::tally::{Answered, Counts};

/// The gateway's own count of what it asked the panel.
const UPSTREAM: &str = "tollgate_upstream_requests_total{";

/// Prints what was counted here, and what the gateway counted.
pub(crate) fn print(counts: &Counts, metrics: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for told in &counts.told {
        writeln!(out, "{told}")?;
    }
    let numbers = [
        ("requests", counts.requests()),
        ("reads", counts.reads()),
        ("writes", counts.writes),
        ("refused", counts.refused),
        ("skipped", counts.skipped),
        ("errors", counts.errors),
        ("stale reads", counts.stale),
    ];
    for (name, number) in numbers {
        writeln!(out, "{name:<20} {number:>9}")?;
    }
    let Counts { lists, items, .. } = *counts;
    let reads = Answered { all: lists.all + items.all, hits: lists.hits + items.hits };
    for (name, answered) in [("reads", reads), ("lists", lists), ("items", items)] {
        let name = format!("hit ratio, {name}");
        let ratio = percent(answered.hits, answered.all);
        writeln!(out, "{name:<20} {:>9} {ratio:>7.2} %", answered.hits)?;
    }
    let upstream = upstream(metrics);
    let all = upstream.values().sum();
    let causes = upstream.iter().map(|(cause, number)| (*cause, *number));
    for (cause, number) in causes.chain([("all", all)]) {
        let name = format!("upstream, {cause}");
        let share = percent(number, counts.requests());
        writeln!(out, "{name:<20} {number:>9} {share:>7.2} %")?;
    }
    for (name, times) in [("hits", &counts.hit_times), ("misses", &counts.miss_times)] {
        let mut times = times.clone();
        times.sort_unstable();
        let [p50, p99] = [50, 99].map(|percent| milliseconds(&times, percent));
        writeln!(out, "{name:<20} p50 {p50:.2} ms, p99 {p99:.2} ms")?;
    }
    Ok(())
}

/// What was asked of the panel, by cause.
fn upstream(metrics: &str) -> BTreeMap<&str, usize> {
    let mut by_cause = BTreeMap::new();
    for line in metrics.lines() {
        let Some((labels, value)) = line.strip_prefix(UPSTREAM).and_then(|l| l.split_once("} "))
        else {
            continue;
        };
        let cause = labels.split(',').find_map(|label| label.strip_prefix("cause=\""));
        let cause = cause.expect("a cause").trim_end_matches('"');
        let value: usize = value.parse().expect("a count");
        *by_cause.entry(cause).or_default() += value;
    }
    by_cause
}

/// A part of a whole in percent.
pub(crate) fn percent(part: usize, whole: usize) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}

/// A percentile of times in order.
fn milliseconds(times: &[Duration], percent: usize) -> f64 {
    let at = (times.len() * percent / 100).min(times.len().saturating_sub(1));
    times.get(at).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
}
