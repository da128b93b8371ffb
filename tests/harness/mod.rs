//! The harness: a whole gateway in front of an origin that does what the scenario says.
//!
//! A scenario is a list of steps. A step says what the client asks, what the origin does, and what
//! must hold. **A step that declares no origin must not reach the upstream**: whatever arrives
//! there undeclared fails the test, at the latest when its [`World`] is dropped.

mod client;
mod configuration;
mod directory;
mod log;
mod origin;
mod postgres;
mod raw;
mod reply;
mod step;
mod world;

pub use client::{Answer, Client, Speaks};
pub use directory::{Person, secret_of};
pub use log::captured as captured_log;
pub use origin::{Exchange, Origin, Seen};
pub use postgres::Postgres;
pub use raw::{Raw, RawReply};
pub use reply::{Reply, json, status, xml};
pub use step::Step;
pub use world::World;

use std::time::Duration;

/// Longer than anything that a test waits for on purpose; what takes longer hangs.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Waits for something that has to happen, and says what did not.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited in vain for {what}"),
    }
}

/// Asks again and again until the answer is yes; for what another task does soon.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    within(what, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// The sum of all series of a page of metrics that have this name and these labels:
/// `tollgate_requests_total{code="200"}`; zero when there is none.
pub fn sum_of(page: &str, series: &str) -> f64 {
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    let labels: Vec<_> =
        labels.trim_end_matches('}').split(',').filter(|l| !l.is_empty()).collect();
    let lines = page.lines().filter(|line| {
        let its_name = line.split(['{', ' ']).next();
        its_name == Some(name) && labels.iter().all(|label| line.contains(label))
    });
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}
