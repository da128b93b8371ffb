//! The canary: two planted tenants, whom the running gateway asks for again and again.
//!
//! That nobody is shown what is another's follows from how keys and credentials are made, and is
//! tested. What a test cannot see is the installation: two credentials of one panel user, a proxy
//! behind the gateway that caches for everybody, a panel that does. So, every `interval`:
//!
//! 1. The panel itself is asked in the name of each planted credential. A *marker* is a text of one
//!    reply that stands nowhere in the other (`markers`).
//! 2. Both tenants then ask for the same through the whole request path, in turns and in both formats,
//!    each with the other's name as its login: what the first fills the second must not be shown, and
//!    the login must decide nothing. Two tokens in one request must be refused.
//! 3. A marker in the other's reply is a leak, unless the panel shows it there by now. A round in which
//!    a tenant was not shown even what is its own has proved nothing, and says so.
//!
//! Its requests to the panel are counted under a cause of their own, and are bounded in number by the
//! paths; no tenant pays for them but the planted ones. Nothing of a body or a token is logged.

mod markers;
mod round;

use std::{
    collections::HashMap,
    convert::Infallible,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::Response;
use tokio::time::{MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;
use tower::Service;

use crate::{
    body::Body,
    error_chain::error_chain,
    metrics::{Metrics, canary::CanaryOutcome},
    net::server::Arrival,
    settings::{ByteSize, Problems},
    site::Site,
    tenants::directory::Directory,
};

crate::section! {
    /// The canary.
    pub struct Config {
        /// The file that holds the token of the first planted tenant. Without both there is none.
        pub first_token_file: Option<PathBuf> = None,
        /// The file that holds the token of the second, which stands for another credential.
        pub second_token_file: Option<PathBuf> = None,
        /// The time between two rounds.
        pub interval: Duration = Duration::from_secs(300),
        /// How long a round may take.
        pub timeout: Duration = Duration::from_secs(60),
        /// What is asked for, without a suffix: reads of which each of the two is shown its own.
        pub paths: Vec<String> = ["/profile", "/virtual_machines"].map(str::to_owned).to_vec(),
        /// The largest reply that is looked at.
        pub max_body: ByteSize = ByteSize::mib(1),
    }
}

/// What looks after the planted tenants.
pub struct Canary {
    config: Config,
    /// The files of both tokens. They are read for every round: a token may be rotated.
    token_files: [PathBuf; 2],
    sites: HashMap<String, Arc<Site>>,
    directory: Arc<Directory>,
    metrics: Arc<Metrics>,
}

/// More would be a load, and no better proof.
const MAX_PATHS: usize = 16;

impl Config {
    /// Adds what is wrong with the values as such.
    pub fn validate(&self, problems: &mut Problems) {
        if self.first_token_file.is_some() != self.second_token_file.is_some() {
            let message = "there are two planted tenants or none: name both files";
            problems.add(None, "canary.second_token_file", message);
        }
        for (key, duration) in
            [("canary.interval", self.interval), ("canary.timeout", self.timeout)]
        {
            if duration.is_zero() {
                problems.add(None, key, "must be longer than 0");
            }
        }
        let good = |path: &String| path.starts_with('/') && !path.contains(['?', '#', '.', ' ']);
        if !(1..=MAX_PATHS).contains(&self.paths.len()) || !self.paths.iter().all(good) {
            let message = "expected from 1 to 16 paths that begin with \"/\", without a suffix";
            problems.add(None, "canary.paths", message);
        }
    }
}

impl Canary {
    /// The canary of a configuration, if tenants are planted.
    pub fn new(
        config: &Config,
        sites: HashMap<String, Arc<Site>>,
        directory: Arc<Directory>,
        metrics: Arc<Metrics>,
    ) -> Option<Self> {
        let token_files = [config.first_token_file.clone()?, config.second_token_file.clone()?];
        Some(Self { config: config.clone(), token_files, sites, directory, metrics })
    }

    /// Goes round after round through a request path until the shutdown.
    pub async fn keep<S>(self, path: S, shutdown: CancellationToken)
    where
        S: Service<Arrival, Response = Response<Body>, Error = Infallible, Future: Send>
            + Clone
            + Send
            + Sync,
    {
        let mut ticks = tokio::time::interval(self.config.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            let before = self.metrics.canary.leaks.get();
            let round = timeout(self.config.timeout, round::run(&self, path.clone()));
            let Some(ended) = shutdown.run_until_cancelled(round).await else { return };
            let outcome = match ended {
                // Whatever came of the rest.
                _ if self.metrics.canary.leaks.get() > before => CanaryOutcome::Leaked,
                Ok(Ok(())) => CanaryOutcome::Passed,
                Ok(Err(hindrance)) => {
                    let reason = error_chain(&hindrance);
                    tracing::warn!(reason, "the canary has proved nothing");
                    hindrance.outcome()
                }
                Err(_) => {
                    tracing::warn!("the canary has proved nothing: its round took too long");
                    CanaryOutcome::Failed
                }
            };
            self.conclude(outcome);
        }
    }

    fn conclude(&self, outcome: CanaryOutcome) {
        self.metrics.canary.checks.of(outcome).inc();
        if outcome == CanaryOutcome::Passed {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.metrics.canary.success.set(since.as_secs_f64());
        }
    }

    /// Says aloud that isolation is broken; what was shown is not said.
    fn leaked(&self, path: &str, shown_to: &str, of: &str, how: &'static str) {
        self.metrics.canary.leaks.inc();
        tracing::error!(path, shown_to, of, how, "the canary has found a LEAK between tenants");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(change: impl FnOnce(&mut Config)) -> Vec<String> {
        let (mut config, mut problems) = (Config::default(), Problems::default());
        change(&mut config);
        config.validate(&mut problems);
        problems.iter().map(|problem| problem.key.clone()).collect()
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert_eq!(problems(|_| ()), Vec::<String>::new());
        let one = |config: &mut Config| config.first_token_file = Some("a".into());
        assert_eq!(problems(one), ["canary.second_token_file"]);
        assert_eq!(problems(|config| config.interval = Duration::ZERO), ["canary.interval"]);
        assert_eq!(problems(|config| config.timeout = Duration::ZERO), ["canary.timeout"]);
        for paths in [vec![], vec!["profile"], vec!["/profile.json"], vec!["/a"; 17]] {
            let paths: Vec<String> = paths.into_iter().map(str::to_owned).collect();
            assert_eq!(problems(|config| config.paths = paths), ["canary.paths"]);
        }
    }
}
