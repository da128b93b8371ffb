//! The maps of all routes and upstreams, and when a pair is wanted.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};

use super::{Config, course::Course};
use crate::{
    api::routes::{RouteId, RouteTable},
    chance::Share,
    limit::{
        Limit, Quota,
        in_flight::{Gate, Permit},
    },
    transcode::learned::{Map, NoMap},
    vocabulary::{Format, Secrecy, Taken},
};

/// What is known of the formats of every route.
pub struct Book {
    learns: bool,
    routes: Arc<RouteTable>,
    chapters: Mutex<HashMap<Subject, Chapter>>,
    checks: Share,
    gate: Gate,
    checking: Gate,
    budget: Limit,
}

/// A route of an upstream in one view: what is masked has another type than what it stands for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Subject {
    upstream: Box<str>,
    route: RouteId,
    secrecy: Secrecy,
}

#[derive(Default)]
struct Chapter {
    course: Course,
    /// When each format was fetched last, in milliseconds of the process.
    seen: [Option<u64>; 2],
    /// Until when no pair is wanted, because one was of no use.
    rests_until: u64,
    /// How many pairs in a row could not be fetched.
    failures: u32,
    /// How many pairs were taken, or maps handed in.
    taken: u64,
}

/// The same resource in both formats.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// As JSON.
    pub json: &'a [u8],
    /// As XML.
    pub xml: &'a [u8],
}

/// A map that is good to derive by.
#[derive(Clone, Debug)]
pub struct Proven {
    /// It.
    pub map: Arc<Map>,
    /// JSON may be derived from XML, too.
    pub tells_json: bool,
    generation: u64,
}

/// A route's map as operators see it.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = FormatMap)]
pub struct Shown {
    /// The upstream.
    pub upstream: String,
    /// The pattern of the route.
    pub route: String,
    /// Whether it is of the view with secrets.
    #[serde(default)]
    pub secrets: bool,
    /// Whether it is used; what is handed in has to prove itself here first.
    #[serde(default)]
    pub proven: bool,
    /// It.
    #[schema(value_type = Object)]
    pub map: Map,
}

/// Why maps were not taken.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A route that the configuration does not have.
    #[error("{0:?} is no route that is listed; `tollgate formats` shows how they are written")]
    Route(String),
    /// A map that is none.
    #[error("the map of {route:?}: {source}")]
    Map {
        /// Whose.
        route: String,
        /// Why.
        source: NoMap,
    },
}

/// A route is read in both formats if the other one was fetched no longer than this ago, in
/// milliseconds.
const RECENT: u64 = 3_600_000;

/// How long a route is left alone of which nothing could be learned, in milliseconds.
const REST: u64 = 600_000;

/// How long after what may be otherwise the next time.
const SHORT_REST: u64 = 1_000;

/// Pairs that are fetched at once.
const AT_ONCE: usize = 1;

impl Book {
    /// A book in which nothing is written.
    pub fn new(config: &Config, routes: Arc<RouteTable>) -> Self {
        let quota = Quota { per_second: config.pairs_per_second, burst: config.pairs_per_second };
        Self {
            learns: config.learn,
            routes,
            chapters: Mutex::default(),
            checks: Share::of_a_million(config.check_share),
            gate: Gate::new(AT_ONCE),
            checking: Gate::new(AT_ONCE),
            budget: Limit::new("pairs", quota),
        }
    }

    /// The map of a route, if it is good.
    pub fn proven(&self, upstream: &str, route: RouteId, secrecy: Secrecy) -> Option<Proven> {
        let chapters = self.chapters();
        let course = &chapters.get(&Subject::new(upstream, route, secrecy))?.course;
        course.proven.then(|| Proven {
            map: Arc::clone(&course.map),
            tells_json: course.tells_json(),
            generation: course.generation,
        })
    }

    /// A route was fetched in a format. Gives a place to fetch a pair, if one is wanted; `now` is in
    /// milliseconds of the process.
    pub fn fetched(
        &self,
        upstream: &str,
        route: RouteId,
        secrecy: Secrecy,
        format: Format,
        now: u64,
    ) -> Option<Permit> {
        if !self.learns {
            return None;
        }
        let mut chapters = self.chapters();
        let chapter = chapters.entry(Subject::new(upstream, route, secrecy)).or_default();
        chapter.seen[format as usize] = Some(now);
        let in_both =
            chapter.seen.iter().all(|at| at.is_some_and(|at| now.saturating_sub(at) < RECENT));
        let wanted = in_both && !chapter.course.proven && now >= chapter.rests_until;
        if wanted { self.admit() } else { None }
    }

    /// A place to fetch a pair of what a map has not seen.
    pub fn unfit(
        &self,
        upstream: &str,
        route: RouteId,
        secrecy: Secrecy,
        now: u64,
    ) -> Option<Permit> {
        let chapters = self.chapters();
        let rests_until = chapters.get(&Subject::new(upstream, route, secrecy))?.rests_until;
        if self.learns && now >= rests_until { self.admit() } else { None }
    }

    /// A place to compare what was derived with the upstream's own, if this is one of those that are.
    pub fn check(&self) -> Option<Permit> {
        // A place of its own: what is learned elsewhere keeps no check from being made.
        if self.learns && self.checks.draws() { self.checking.enter() } else { None }
    }

    /// A pair could not be fetched, or was not of one state: the route is left alone for a while.
    pub fn failed(&self, upstream: &str, route: RouteId, secrecy: Secrecy, now: u64) {
        let mut chapters = self.chapters();
        let chapter = chapters.entry(Subject::new(upstream, route, secrecy)).or_default();
        // What moves with every read is soon asked about no more than once in a while.
        let rest = SHORT_REST.saturating_mul(1 << chapter.failures.min(16)).min(REST);
        chapter.failures += 1;
        chapter.rests_until = now.saturating_add(rest);
    }

    fn admit(&self) -> Option<Permit> {
        self.gate.enter().filter(|_| self.budget.check().is_ok())
    }

    /// Takes a pair. It is looked at without holding anybody up.
    pub fn take(
        &self,
        upstream: &str,
        route: RouteId,
        secrecy: Secrecy,
        pair: Pair<'_>,
        now: u64,
    ) -> Taken {
        let Pair { json, xml } = pair;
        let subject = Subject::new(upstream, route, secrecy);
        loop {
            let (mut course, taken_before) = {
                let chapters = self.chapters();
                let chapter = chapters.get(&subject);
                chapter.map(|chapter| (chapter.course.clone(), chapter.taken)).unwrap_or_default()
            };
            let taken = course.take(json, xml, now);
            let mut chapters = self.chapters();
            let chapter = chapters.entry(subject.clone()).or_default();
            // Another pair was taken meanwhile: what that has shown must not be forgotten.
            if chapter.taken != taken_before {
                continue;
            }
            (chapter.course, chapter.taken, chapter.failures) = (course, taken_before + 1, 0);
            chapter.rests_until = now.saturating_add(match taken {
                Taken::Unlearned => REST,
                // The next reply may well be another one.
                Taken::Repeated => SHORT_REST,
                _ => 0,
            });
            return taken;
        }
    }

    /// Keeps what was derived by a map, unless that was found wrong meanwhile. Whatever is kept so is
    /// kept before it is found wrong, or not at all.
    pub fn keep<T>(
        &self,
        upstream: &str,
        route: RouteId,
        secrecy: Secrecy,
        by: &Proven,
        keep: impl FnOnce() -> T,
    ) -> Option<T> {
        let chapters = self.chapters();
        let course = &chapters.get(&Subject::new(upstream, route, secrecy))?.course;
        let good = course.proven && course.generation == by.generation;
        good.then(keep)
    }

    /// How many routes are proven.
    pub fn count_proven(&self) -> usize {
        self.chapters().values().filter(|chapter| chapter.course.proven).count()
    }

    /// All maps, in the order of upstreams and routes.
    pub fn shown(&self) -> Vec<Shown> {
        let chapters = self.chapters();
        let learned = chapters.iter().filter(|(_, chapter)| !chapter.course.map.is_empty());
        let shown = learned.map(|(subject, chapter)| Shown {
            upstream: subject.upstream.to_string(),
            route: self.routes.route(subject.route).template.to_string(),
            secrets: subject.secrecy == Secrecy::Shown,
            proven: chapter.course.proven,
            map: Map::clone(&chapter.course.map),
        });
        let mut shown: Vec<_> = shown.collect();
        let order = |a: &Shown, b: &Shown| {
            (&a.upstream, &a.route, a.secrets).cmp(&(&b.upstream, &b.route, b.secrets))
        };
        shown.sort_by(order);
        shown
    }

    /// Takes maps from elsewhere, all or none. Each has to reproduce a pair before it is used; one
    /// that is proven here already stays.
    pub fn import(&self, maps: Vec<Shown>) -> Result<usize, ImportError> {
        let checked = maps.into_iter().map(|Shown { upstream, route, secrets, map, .. }| {
            let secrecy = if secrets { Secrecy::Shown } else { Secrecy::Hidden };
            let id = self.routes.by_template(&route);
            let id = id.ok_or_else(|| ImportError::Route(route.clone()))?;
            map.check().map_err(|source| ImportError::Map { route, source })?;
            Ok((Subject::new(&upstream, id, secrecy), map))
        });
        let checked = checked.collect::<Result<Vec<_>, ImportError>>()?;
        let mut chapters = self.chapters();
        let mut count = 0;
        for (subject, map) in checked {
            let chapter = chapters.entry(subject).or_default();
            if !chapter.course.proven {
                chapter.course.import(map);
                (chapter.rests_until, chapter.taken) = (0, chapter.taken + 1);
                count += 1;
            }
        }
        Ok(count)
    }

    fn chapters(&self) -> MutexGuard<'_, HashMap<Subject, Chapter>> {
        self.chapters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subject {
    fn new(upstream: &str, route: RouteId, secrecy: Secrecy) -> Self {
        Self { upstream: upstream.into(), route, secrecy }
    }
}
