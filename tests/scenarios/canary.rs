//! The canary: what it says while tenants are kept apart, and when they are not.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tempfile::TempDir;

use crate::harness::{Reply, Seen, World, captured_log, json, within, xml};

const LEAKS: &str = "tollgate_canary_leaks_total";
const OF_ANN: &str = "ann-has-this-machine";
const OF_BOB: &str = "bob-has-this-machine";

/// A world with a canary, whose tokens are those of two people.
struct Cage {
    w: World,
    _files: TempDir,
}

impl Cage {
    async fn new(
        people: [&str; 2],
        panel: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let files = tempfile::tempdir().expect("a folder");
        let [first, second] = ["first", "second"].map(|name| files.path().join(name));
        let w = World::with(&format!(
            "canary = {{ first_token_file = \"{}\", second_token_file = \"{}\", interval = \"20ms\", \
             paths = [\"/virtual_machines\"] }}",
            first.display(),
            second.display(),
        ))
        .await;
        w.origin.otherwise(panel);
        for (file, who) in [first, second].iter().zip(people) {
            std::fs::write(file, format!("{}\n", w.person(who).token)).expect("a writable folder");
        }
        Self { w, _files: files }
    }

    async fn rounds(&self, outcome: &str, wanted: f64) {
        let series = format!("tollgate_canary_checks_total{{outcome=\"{outcome}\"}}");
        within(&series, async {
            while self.w.metric(&series).await < wanted {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
    }
}

fn of_whom(seen: &Seen) -> &'static str {
    if seen.login().starts_with("a:") { OF_ANN } else { OF_BOB }
}

/// The measure, as opposed to what the gateway asks for.
fn is_direct(seen: &Seen) -> bool {
    seen.header("cache-control") == Some("no-cache")
}

fn machines(seen: &Seen, labels: &[&str]) -> Reply {
    if seen.target.ends_with(".xml") {
        let all: String = labels
            .iter()
            .map(|label| {
                format!("  <virtual_machine>\n    <label>{label}</label>\n  </virtual_machine>\n")
            })
            .collect();
        return xml(format!("<virtual_machines type=\"array\">\n{all}</virtual_machines>\n"));
    }
    let all = labels.iter().map(|l| format!("{{\"virtual_machine\":{{\"label\":\"{l}\"}}}}"));
    json(format!("[{}]", all.collect::<Vec<_>>().join(",")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_that_are_kept_apart_leak_nothing() {
    let cage = Cage::new(["a", "b"], |seen| machines(seen, &[of_whom(seen)])).await;
    cage.rounds("passed", 3.0).await;
    let w = &cage.w;
    assert_eq!(w.metric(LEAKS).await, 0.0);
    assert_eq!(w.metric("tollgate_canary_checks_total{outcome=\"leaked\"}").await, 0.0);
    assert!(w.metric("tollgate_canary_success_timestamp_seconds").await > 1_700_000_000.0);
    // What it asks for is counted as its own, and is kept like anybody's.
    assert!(w.metric("tollgate_upstream_requests_total{cause=\"canary\"}").await >= 6.0);
    for cause in ["fill", "pass", "write"] {
        let series = format!("tollgate_upstream_requests_total{{cause=\"{cause}\"}}");
        assert_eq!(w.metric(&series).await, 0.0, "{series}");
    }
    assert!(w.metric("tollgate_cache_lookups_total{outcome=\"hit\"}").await > 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_that_shows_what_is_anothers_is_found() {
    // The panel, or what stands before it, shows to everybody what was ann's.
    let mixed = |seen: &Seen| {
        let whose = if is_direct(seen) { of_whom(seen) } else { OF_ANN };
        machines(seen, &[whose])
    };
    let cage = Cage::new(["a", "b"], mixed).await;
    cage.rounds("leaked", 1.0).await;
    assert!(cage.w.metric(LEAKS).await >= 1.0);
    assert_eq!(cage.w.metric("tollgate_canary_checks_total{outcome=\"passed\"}").await, 0.0);
    let log = captured_log();
    let line = log.lines().find(|line| line.contains("LEAK")).expect("said aloud");
    assert!(line.contains("shown_to=\"b\"") && !log.contains(OF_ANN), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_panel_itself_comes_to_show_is_no_leak() {
    let asked = Arc::new(AtomicUsize::new(0));
    let shared = move |seen: &Seen| {
        // After the first look at what bob has, he has what was ann's, too.
        let is_bob = of_whom(seen) == OF_BOB;
        let before = if is_bob { asked.fetch_add(1, Ordering::SeqCst) } else { 0 };
        let labels = [of_whom(seen), OF_ANN];
        machines(seen, if is_bob && before > 0 { &labels } else { &labels[..1] })
    };
    let cage = Cage::new(["a", "b"], shared).await;
    cage.rounds("passed", 1.0).await;
    // From then on nothing is ann's alone.
    cage.rounds("blind", 1.0).await;
    assert_eq!(cage.w.metric(LEAKS).await, 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_proves_nothing_is_no_success() {
    let own = |seen: &Seen| machines(seen, &[of_whom(seen)]);
    // One credential under two tokens.
    let cage = Cage::new(["a", "c"], own).await;
    cage.rounds("blind", 3.0).await;
    // A token that was revoked.
    let cage = Cage::new(["a", "b"], own).await;
    cage.rounds("passed", 1.0).await;
    cage.w.revoke("b");
    cage.rounds("blind", 2.0).await;
    // A panel that does not answer.
    let cage = Cage::new(["a", "b"], |_| Reply::new(500)).await;
    cage.rounds("failed", 1.0).await;
    for series in [LEAKS, "tollgate_canary_success_timestamp_seconds"] {
        assert_eq!(cage.w.metric(series).await, 0.0, "{series}");
    }
}
