//! Staleness, measured: a share of the hits is fetched again, and what comes is compared.
//!
//! The cache argues that a hit is never older than an acknowledged write. What changes past the
//! gateway it cannot know, nor whether the argument holds of the panel that is really there. So
//! some hits are put to the test, after they were answered:
//!
//! 1. A sample costs its reader nothing and no tenant any quota. Its fetch is built from the key
//!    alone, as a fill is, and bounded in number, rate and time.
//! 2. It says something only if nothing has touched the entry by the time that the fetch has been
//!    received: then no write of ours explains a difference.
//! 3. What is found stale is not shown again, nor asked about by its tag. Nobody knows what else was
//!    changed with it, so its families are touched for the account; but what is `volatile` changes by
//!    itself, which says nothing of its families, and goes alone.
//! 4. A class of which too much is found stale goes into quarantine: its reads are passed by the
//!    cache for a while, and nothing that was asked for before the end of that is shown after it.

mod quarantine;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{HeaderMap, Response, StatusCode};
use tokio_util::task::TaskTracker;

use self::quarantine::{Judge, Terms};
use crate::{
    api::format,
    body::{Body, Read},
    cache::{
        cause::Cause,
        coherence::Change,
        entry::{Candidate, Entry, Stored},
        key::Key,
        shelf::Shelf,
    },
    call::Outbound,
    chance::{self, Share},
    clock::millis,
    limit::{
        Limit, Quota,
        in_flight::{Gate, Permit},
    },
    rejection::Rejection,
    settings::Problems,
    tenants::snapshot::Credential,
    transcode::compare::equal_but_for,
    vocabulary::{Closed, InvalidationCause, RouteClass, Sampled, UpstreamCause},
};

crate::section! {
    /// The samples by which staleness is measured.
    pub struct Config {
        /// How many of a million hits are sampled; 0 samples none.
        pub share: u32 = 1000,
        /// Samples a second, of the whole process.
        pub per_second: u32 = 1,
        /// Samples under way at once.
        pub max_in_flight: usize = 2,
        /// The fields that change by themselves and are not compared.
        pub volatile_fields: Vec<String> = VOLATILE_FIELDS.map(str::to_owned).to_vec(),
        /// The class `static` goes into quarantine when more percent of its samples are stale.
        pub static_threshold: u32 = 5,
        /// The same of the class `inventory`.
        pub inventory_threshold: u32 = 5,
        /// The same of the class `volatile`, which is stale by its nature.
        pub volatile_threshold: u32 = 100,
        /// With fewer samples of a class within the window it is not judged.
        pub min_samples: u32 = 50,
        /// How long a sample counts.
        pub window: Duration = Duration::from_secs(3600),
        /// How long a quarantine lasts.
        pub quarantine: Duration = Duration::from_secs(600),
    }
}

/// What the panel counts and notes by itself, within what otherwise changes with writes.
const VOLATILE_FIELDS: [&str; 10] = [
    "called_in_at", // hypervisors: when it was last heard of, and how busy it was
    "cpu_idle",
    "free_memory",
    "monthly_bandwidth_used", // machines
    "outstanding_amount",     // users: what is owed grows by the hour
    "total_amount",
    "updated_at", // moves with any of the others
    "usage",      // data stores and interfaces
    "usage_last_reset_at",
    "usage_month_rolled_at",
];

/// Where a client learns how long the list is of which it was shown a page.
const PAGING: [&str; 3] = ["x-page", "x-limit", "x-total"];

const CLASSES: usize = <RouteClass as Closed>::ALL.len();

/// Decides which hits are sampled, and what comes of it.
pub struct Sampler {
    /// The entries whose hits they are.
    pub shelf: Arc<Shelf>,
    config: Config,
    share: Share,
    gate: Gate,
    budget: Limit,
    /// The end of the last quarantine of each class, in milliseconds of the process.
    trusted_from: [AtomicU64; CLASSES],
    judges: Mutex<[Judge; CLASSES]>,
    tasks: TaskTracker,
    fetch_timeout: Duration,
}

/// A hit that is put to the test.
pub struct Sample {
    /// What was shown.
    pub stored: Arc<Stored>,
    /// What it is kept under.
    pub key: Key,
    /// In whose name it was fetched.
    pub credential: Arc<Credential>,
    /// The class of its route.
    pub class: RouteClass,
    /// Whether replies of its route are searched for secrets.
    pub masked: bool,
    /// When it was shown, in milliseconds of the process.
    pub shown_at: u64,
    /// The place that it takes among those under way.
    pub permit: Permit,
}

impl Config {
    /// Adds what is wrong with the values as such.
    pub fn validate(&self, problems: &mut Problems) {
        if self.share > chance::MILLION {
            problems.add(None, "sampler.share", "must be from 0 to 1000000");
        }
        let enough = self.per_second > 0 && self.max_in_flight > 0 && self.min_samples > 0;
        let counts = [
            ("sampler.per_second", u64::from(self.per_second)),
            ("sampler.max_in_flight", self.max_in_flight as u64),
            ("sampler.min_samples", u64::from(self.min_samples)),
        ];
        for (key, _) in counts.into_iter().filter(|(_, count)| *count == 0) {
            problems.add(None, key, "must be at least 1; sampler.share = 0 samples nothing");
        }
        let most = self.window.as_secs().saturating_mul(u64::from(self.per_second));
        if enough && u64::from(self.min_samples) > most {
            let wanted = "must not be more than per_second allows in sampler.window";
            problems.add(None, "sampler.min_samples", wanted);
        }
        if self.quarantine.is_zero() {
            problems.add(None, "sampler.quarantine", "must be longer than 0");
        }
        for (name, percent) in [
            ("sampler.static_threshold", self.static_threshold),
            ("sampler.inventory_threshold", self.inventory_threshold),
            ("sampler.volatile_threshold", self.volatile_threshold),
        ] {
            if percent > 100 {
                problems.add(None, name, "must be from 0 to 100");
            }
        }
    }

    fn terms(&self, class: RouteClass) -> Terms {
        let threshold = match class {
            RouteClass::Static => self.static_threshold,
            RouteClass::Inventory => self.inventory_threshold,
            RouteClass::Volatile => self.volatile_threshold,
            // Never kept, and so never sampled.
            RouteClass::Never => 100,
        };
        Terms {
            threshold,
            min_samples: self.min_samples,
            window: millis(self.window),
            quarantine: millis(self.quarantine),
        }
    }
}

impl Sampler {
    /// A sampler of a shelf's hits; none of its fetches takes longer than `fetch_timeout`.
    pub fn new(
        config: Config,
        shelf: Arc<Shelf>,
        tasks: TaskTracker,
        fetch_timeout: Duration,
    ) -> Self {
        let judge = |place| Judge::new(config.terms(RouteClass::ALL[place]));
        let quota = Quota { per_second: config.per_second, burst: config.per_second };
        Self {
            shelf,
            share: Share::of_a_million(config.share),
            gate: Gate::new(config.max_in_flight),
            budget: Limit::new("samples", quota),
            trusted_from: std::array::from_fn(|_| AtomicU64::new(0)),
            judges: Mutex::new(std::array::from_fn(judge)),
            tasks,
            fetch_timeout,
            config,
        }
    }

    /// When the last quarantine of a class ends: until then its reads are passed by the cache, and
    /// what was asked for before is not to be believed.
    pub fn trusted_from(&self, class: RouteClass) -> u64 {
        self.trusted_from[class.index()].load(Ordering::Relaxed)
    }

    /// Whether a hit is sampled, and then its place among those under way.
    pub fn draw(&self, class: RouteClass, entry: &Entry) -> Option<Permit> {
        // Of what is unsettled everybody knows that it may be shown a moment too long, and of what is
        // not there that it may come to be.
        // What was derived is compared where it was learned (`formats/`).
        let judged =
            entry.settled && !entry.derived && entry.representation.status == StatusCode::OK;
        let drawn = judged && self.share.draws();
        if drawn { self.admit(class) } else { None }
    }

    /// Keeps the bounds of number and rate.
    fn admit(&self, class: RouteClass) -> Option<Permit> {
        let permit = self.gate.enter().filter(|_| self.budget.check().is_ok());
        if permit.is_none() {
            self.count(class, Sampled::Skipped);
        }
        permit
    }

    /// Compares a sample with what is fetched for it, in a task of its own.
    pub fn compare<F>(self: &Arc<Self>, sample: Sample, fetched: F)
    where
        F: Future<Output = Result<Response<Body>, Rejection>> + Send + 'static,
    {
        let this = Arc::clone(self);
        self.tasks.spawn(async move {
            let Stored::Entry(entry) = &*sample.stored else { return };
            let seen = tokio::time::timeout(this.fetch_timeout, this.see(&sample, entry, fetched));
            let (seen, forbidden) = seen.await.unwrap_or((Sampled::Failed, false));
            this.conclude(&sample, entry, seen, forbidden);
        });
    }

    /// What the upstream shows now, beside what was shown, and whether it refuses to show it.
    async fn see<F>(&self, sample: &Sample, entry: &Entry, fetched: F) -> (Sampled, bool)
    where
        F: Future<Output = Result<Response<Body>, Rejection>>,
    {
        let Ok(answer) = fetched.await else { return (Sampled::Failed, false) };
        let (parts, body) = answer.into_parts();
        if matches!(parts.status, StatusCode::NOT_FOUND | StatusCode::FORBIDDEN) {
            // It is gone, or no longer for this credential to see.
            return (Sampled::Stale, parts.status == StatusCode::FORBIDDEN);
        }
        let (class, status, format) = (sample.class, parts.status, sample.key.format());
        let candidate = Candidate { class, status, headers: &parts.headers, format };
        if candidate.refusal(&self.shelf.config).is_some() {
            return (Sampled::Failed, false);
        }
        let seen = match body.read_up_to(self.shelf.config.max_entry.get()).await {
            Ok(Read::Whole(bytes)) if self.says_the_same(entry, &parts.headers, &bytes) => {
                Sampled::Fresh
            }
            Ok(Read::Whole(_) | Read::Longer(_)) => Sampled::Stale,
            Err(_) => Sampled::Failed,
        };
        (seen, false)
    }

    fn says_the_same(&self, entry: &Entry, headers: &HeaderMap, body: &[u8]) -> bool {
        let shown = &entry.representation;
        let mut paging = PAGING.iter();
        let same_body = || match format::of_reply(headers) {
            Some(format) => equal_but_for(&self.config.volatile_fields, format, &shown.body, body),
            None => shown.body == body,
        };
        paging.all(|name| shown.headers.get(*name) == headers.get(*name)) && same_body()
    }

    /// Draws the conclusion, once the reply has been received.
    fn conclude(&self, sample: &Sample, entry: &Entry, seen: Sampled, forbidden: bool) {
        let (view, class) = (entry.view, sample.class);
        let stale = match seen {
            Sampled::Fresh => false,
            Sampled::Stale => true,
            Sampled::Failed | Sampled::Inconclusive | Sampled::Skipped => {
                return self.count(class, seen);
            }
        };
        let partition = &sample.credential.partition;
        let current = partition.is_current(view, &entry.stamp);
        if forbidden {
            // Whatever has touched the entry, this is news.
            self.shelf.forbidden(partition, view.families);
        }
        if !current {
            return self.count(class, Sampled::Inconclusive);
        }
        if stale {
            let metrics = &self.shelf.metrics;
            let age = Duration::from_millis(sample.shown_at.saturating_sub(entry.asked_at));
            metrics.samples.stale_hits.of(class).inc();
            metrics.samples.staleness.of(class).observe(age.as_secs_f64());
            metrics.cache.invalidations.of(InvalidationCause::Sample).inc();
            // Not even asked about by its tag, which has told nothing of the change.
            self.shelf.forget_derived_from(&sample.key, entry.asked_at);
            self.shelf.store.remove(&sample.key);
            if !forbidden && class != RouteClass::Volatile {
                let change = Change::whole(view.families);
                partition.account().because(change, Cause::Other(InvalidationCause::Sample));
                partition.account().touch(change);
            }
        }
        self.judge(class, stale);
        self.count(class, seen);
    }

    fn judge(&self, class: RouteClass, stale: bool) {
        let now = self.shelf.clock.now();
        let mut judges = self.judges();
        let Some(until) = judges[class.index()].take(now, stale) else { return };
        self.trusted_from[class.index()].store(until, Ordering::Relaxed);
        self.shelf.metrics.samples.quarantined.of(class).set(1);
        let (class, seconds) = (class.as_str(), (until - now) / 1000);
        tracing::warn!(class, seconds, "too many hits were stale; the class is in quarantine");
    }

    /// Says of quarantines that are over that they are; called now and then.
    pub fn release(&self) {
        let now = self.shelf.clock.now();
        let mut judges = self.judges();
        for (judge, class) in judges.iter_mut().zip(RouteClass::ALL) {
            if judge.release(now) {
                self.shelf.metrics.samples.quarantined.of(*class).set(0);
                tracing::warn!(class = class.as_str(), "the quarantine of a class is over");
            }
        }
    }

    fn judges(&self) -> MutexGuard<'_, [Judge; CLASSES]> {
        self.judges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, class: RouteClass, outcome: Sampled) {
        self.shelf.metrics.samples.outcomes.of(class, outcome).inc();
    }
}

impl Sample {
    /// What the upstream is asked for it.
    pub fn question(&self) -> Outbound {
        Outbound::Fill {
            key: self.key.clone(),
            credential: Arc::clone(&self.credential),
            masked: self.masked,
            // In full: whether its tag tells of changes is put to the test, too.
            held: None,
            cause: UpstreamCause::Sample,
        }
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
    fn what_could_not_work_is_refused() {
        assert_eq!(problems(|_| ()), Vec::<String>::new());
        assert_eq!(problems(|c| c.share = 1_000_001), ["sampler.share"]);
        assert_eq!(problems(|c| c.per_second = 0), ["sampler.per_second"]);
        assert_eq!(problems(|c| c.max_in_flight = 0), ["sampler.max_in_flight"]);
        assert_eq!(problems(|c| c.min_samples = 0), ["sampler.min_samples"]);
        assert_eq!(problems(|c| c.window = Duration::from_secs(49)), ["sampler.min_samples"]);
        assert_eq!(problems(|c| c.quarantine = Duration::ZERO), ["sampler.quarantine"]);
        assert_eq!(problems(|c| c.static_threshold = 101), ["sampler.static_threshold"]);
    }
}
