//! Equal misses become one fetch, in a task of its own.
//!
//! The first reader of a miss leads: it pays the tenant's upstream quota and starts the task, and
//! may then leave like any other. Everybody who joined shares the outcome, an error too. Who wants
//! what is newer than the fetch under way shares the next one with its likes. What turns out to be
//! too large to keep is streamed to one of them; the others fetch it themselves, and a marker keeps
//! the next readers from queueing for it.

mod flight;
mod lessons;
mod stale;

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderValue, Method, StatusCode,
    header::{CACHE_CONTROL, ETAG, VARY},
};
use tokio_util::task::TaskTracker;
use tower::{Layer, Service, layer::layer_fn};

use flight::{Flight, Landing, Outcome};
use lessons::{Lesson, Lessons};

use super::{Answer, charge, reply};
use crate::{
    api::{families::FamilySet, format},
    body::{Body, BodyError, Read},
    cache::{
        cause::Cause,
        coherence::{Change, Stamp},
        entry::{Candidate, Dependence, Representation, strong_tag},
        flight::{Flights, Join, Reader},
        key::Key,
        shelf::{Filled, Shelf},
        status::{CACHE_STATUS, CacheStatus},
        touch::Settle,
    },
    call::{Exchange, Lookup, Miss, Outbound},
    metrics::Metrics,
    rejection::Rejection,
    tenants::snapshot::Credential,
    vocabulary::{Bypass, CacheOutcome, InvalidationCause, Limiter, NotStored, UpstreamCause},
};

/// The service of this layer.
#[derive(Clone)]
pub struct Coalesce<S> {
    inner: S,
    hangar: Arc<Hangar>,
}

/// The fetches under way, and where they put what they bring.
pub struct Hangar {
    flights: Mutex<Flights<Key, Arc<Flight>>>,
    shelf: Arc<Shelf>,
    lessons: Lessons,
    tasks: TaskTracker,
    fetch_timeout: Duration,
}

/// What a leader's task takes with it: nothing of the request but what the key says.
struct Fetch {
    key: Key,
    credential: Arc<Credential>,
    stamp: Stamp,
    /// When its turn came.
    asked_at: u64,
    dependence: Dependence,
    /// Whether the reply is searched for secrets.
    masked: bool,
    /// What a transaction that is under way on the same resource may change.
    neighbors: FamilySet,
}

/// Whether a reply is kept, and for how long.
struct Verdict {
    /// Nothing is under way that may change what it shows.
    settled: bool,
    not_stored: Option<NotStored>,
}

type Answered = Pin<Box<dyn Future<Output = Result<Answer, Rejection>> + Send>>;

/// Coalesces in the given hangar.
pub fn layer<S>(hangar: Arc<Hangar>) -> impl Layer<S, Service = Coalesce<S>> + Clone {
    layer_fn(move |inner| Coalesce { inner, hangar: Arc::clone(&hangar) })
}

impl<S> Service<Lookup> for Coalesce<S>
where
    S: Service<Outbound, Response = Answer, Error = Rejection> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Answer;
    type Error = Rejection;
    type Future = Answered;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, lookup: Lookup) -> Answered {
        let mut this = self.clone();
        match lookup {
            Lookup::Pass(exchange, why) => Box::pin(async move { this.pass(exchange, why).await }),
            Lookup::Miss(miss) => Box::pin(async move { this.fetch(*miss).await }),
            // It joins nothing: what is under way may have been asked for before the hit.
            Lookup::Sample(asked) => Box::pin(async move { this.inner.call(*asked).await }),
        }
    }
}

impl<S> Coalesce<S>
where
    S: Service<Outbound, Response = Answer, Error = Rejection> + Clone + Send + 'static,
    S::Future: Send,
{
    async fn pass(
        &mut self,
        exchange: Box<Exchange>,
        why: Option<Bypass>,
    ) -> Result<Answer, Rejection> {
        if why.is_some() {
            self.hangar.charge(&exchange)?;
        }
        let status = why.map_or(CacheStatus::Write, CacheStatus::Bypass);
        let mut answer = self.inner.call(Outbound::Forward(exchange)).await?;
        answer.headers_mut().insert(&CACHE_STATUS, status.header());
        Ok(answer)
    }

    async fn fetch(&mut self, mut miss: Miss) -> Result<Answer, Rejection> {
        if let Some(answer) = self.hangar.meanwhile(&mut miss) {
            // Who may not start a fetch is shown what there is all the same.
            drop(self.board(&miss));
            return Ok(answer);
        }
        let (flight, collapsed) = self.board(&miss)?;
        let metrics = &self.hangar.shelf.metrics;
        let outcome = if collapsed { CacheOutcome::Collapsed } else { CacheOutcome::Miss };
        let forward = miss.forward;
        let status = CacheStatus::Miss { forward, collapsed, not_stored: None };
        miss.exchange.call.request.record.cache.set(status);
        if collapsed {
            metrics.collapsed_reads.inc();
        }
        // One that may end as something else is counted when it has.
        let open = miss.stale.is_some();
        if !open {
            metrics.cache_lookups.of(outcome).inc();
        }
        let landed = flight.landed().await;
        if let Some(answer) = self.hangar.instead(&mut miss, &landed) {
            return Ok(answer);
        }
        if open {
            metrics.cache_lookups.of(outcome).inc();
        }
        match landed {
            Outcome::Refused(rejection) => Err(rejection),
            Outcome::Shared(representation, not_stored) => {
                let status = CacheStatus::Miss { forward: miss.forward, collapsed, not_stored };
                Ok(show(&mut miss.exchange, &representation, status))
            }
            Outcome::Streamed(slot) => {
                let taken = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
                match taken {
                    Some(mut answer) if miss.exchange.call.request.method == Method::GET => {
                        let not_stored = Some(NotStored::TooLarge);
                        let forward = miss.forward;
                        let status = CacheStatus::Miss { forward, collapsed, not_stored };
                        miss.exchange.call.request.record.cache.set(status);
                        answer.headers_mut().insert(&CACHE_STATUS, status.header());
                        Ok(answer)
                    }
                    _ => self.pass(Box::new(miss.exchange), Some(Bypass::Marked)).await,
                }
            }
        }
    }

    /// Joins a flight, or starts one.
    fn board(&self, miss: &Miss) -> Result<(Arc<Flight>, bool), Rejection> {
        let mut flights = self.hangar.flights();
        let partition = &miss.exchange.call.caller.credential().partition;
        let restamp = || partition.stamp(miss.dependence.view);
        let (stamp, now) = (&miss.stamp, self.hangar.shelf.clock.now());
        let reader = Reader { stamp, now, max_age: miss.max_age };
        let (id, flight, waits) = match flights.join(&miss.key, reader, restamp, Flight::new) {
            Join::Share(flight) => return Ok((flight, true)),
            Join::ShareStarted(flight, stamp) => {
                flight.start(stamp);
                return Ok((flight, true));
            }
            Join::Lead(id, flight) => (id, flight, false),
            Join::LeadNext(id, flight) => (id, flight, true),
        };
        // Under the lock, so that nobody can join a flight that its leader cannot pay for.
        if let Err(rejection) = self.hangar.charge(&miss.exchange) {
            // Nothing begins in its place: had anybody waited for that, this reader would wait, too.
            flights.finish(&miss.key, id, now, || miss.stamp.clone());
            return Err(rejection);
        }
        drop(flights);
        let fetch = Fetch::of(miss, &self.hangar.shelf);
        let landing = Landing {
            hangar: Arc::clone(&self.hangar),
            key: fetch.key.clone(),
            credential: Arc::clone(&fetch.credential),
            view: fetch.dependence.view,
            id,
        };
        let run = run(self.inner.clone(), landing, fetch, Arc::clone(&flight), waits);
        self.hangar.tasks.spawn(run);
        Ok((flight, false))
    }
}

/// The task of a flight.
async fn run<S>(mut inner: S, landing: Landing, mut fetch: Fetch, flight: Arc<Flight>, waits: bool)
where
    S: Service<Outbound, Response = Answer, Error = Rejection>,
{
    let Some(teller) = flight.take_teller() else { return };
    let hangar = Arc::clone(&landing.hangar);
    let _under_way = Metrics::raise(&hangar.shelf.metrics.flights);
    let fly = async {
        if waits {
            fetch.stamp = flight.wait_for_turn().await;
            fetch.asked_at = hangar.shelf.clock.now();
        }
        let fill = Outbound::Fill {
            key: fetch.key.clone(),
            credential: Arc::clone(&fetch.credential),
            masked: fetch.masked,
            cause: UpstreamCause::Fill,
        };
        match inner.call(fill).await {
            Ok(answer) => hangar.receive(&fetch, answer).await,
            Err(rejection) => Outcome::Refused(rejection),
        }
    };
    let flown = tokio::time::timeout(hangar.fetch_timeout, fly).await;
    let outcome = flown.unwrap_or(Outcome::Refused(Rejection::UpstreamTimedOut));
    if outcome.is_failure() {
        hangar.rest(&landing.key, &outcome);
    }
    // First the flight ends, then it is told: who comes now finds the entry, or fetches anew.
    drop(landing);
    teller.send_replace(Some(outcome));
}

impl Hangar {
    /// A hangar whose fetches fill a shelf; none takes longer than `fetch_timeout`.
    pub fn new(
        shelf: Arc<Shelf>,
        settler: Arc<dyn Settle>,
        tasks: TaskTracker,
        fetch_timeout: Duration,
    ) -> Self {
        let flights = Mutex::new(Flights::new(shelf.config.max_fetches_per_key));
        let transactions = shelf.routes.families().find("transactions").unwrap_or_default();
        let lessons = Lessons { routes: Arc::clone(&shelf.routes), settler, transactions };
        Self { flights, shelf, lessons, tasks, fetch_timeout }
    }

    fn flights(&self) -> MutexGuard<'_, Flights<Key, Arc<Flight>>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Charges the tenant's quota of reads that go upstream.
    fn charge(&self, exchange: &Exchange) -> Result<(), Rejection> {
        let grant = exchange.call.caller.grant();
        let Some(limit) = grant.tenant.limits.upstream_reads() else { return Ok(()) };
        let metrics = &self.shelf.metrics;
        charge(Limiter::UpstreamReads, limit, grant.limit_status, metrics).map(drop)
    }

    /// Reads a reply whole, if it may be held, and keeps it, if it may be kept.
    async fn receive(&self, fetch: &Fetch, answer: Answer) -> Outcome {
        let (parts, body) = answer.into_parts();
        let format = fetch.key.format();
        let candidate = Candidate { status: parts.status, headers: &parts.headers, format };
        let refusal = candidate.refusal();
        if parts.status == StatusCode::FORBIDDEN {
            // What the credential may see has changed behind our back.
            let families = fetch.dependence.view.families;
            let (all, cause) = (Change::whole(families), InvalidationCause::Forbidden);
            fetch.credential.partition.account().because(all, Cause::Other(cause));
            fetch.credential.partition.account().touch(all);
            self.shelf.metrics.invalidations.of(cause).inc();
        }
        let held = match body.read_up_to(self.shelf.config.max_entry.get()).await {
            Ok(Read::Whole(bytes)) => bytes,
            Ok(Read::Longer(body)) => return self.stream(fetch, parts, body),
            Err(BodyError::Upstream(_)) => return Outcome::Refused(Rejection::UpstreamBroken),
            Err(BodyError::Mask(_)) => return Outcome::Refused(Rejection::Unmaskable),
        };
        let (representation, Verdict { settled, mut not_stored }) =
            self.judge(fetch, parts, held, refusal);
        let representation = Arc::new(representation);
        if not_stored.is_none() {
            let (stamp, dependence) = (&fetch.stamp, fetch.dependence);
            let filled = Filled { stamp, dependence, settled, asked_at: fetch.asked_at };
            let (partition, shown) = (&fetch.credential.partition, (*representation).clone());
            let kept = self.shelf.keep(&fetch.key, partition, filled, shown);
            not_stored = (!kept).then_some(NotStored::Share);
        } else if refusal.is_some() && !representation.status.is_server_error() {
            // A newer answer is not followed by an older one.
            self.shelf.store.remove(&fetch.key);
        }
        if matches!(not_stored, Some(NotStored::NoStore)) {
            self.shelf.mark_uncacheable(&fetch.key);
        }
        Outcome::Shared(representation, not_stored)
    }

    /// A reply that is too large to hold goes to the first who takes it, as it comes.
    fn stream(&self, fetch: &Fetch, parts: http::response::Parts, body: Body) -> Outcome {
        self.shelf.mark_uncacheable(&fetch.key);
        Outcome::Streamed(Arc::new(Mutex::new(Some(Answer::from_parts(parts, body)))))
    }

    /// Whether a reply may be kept, and as what it is shown.
    fn judge(
        &self,
        fetch: &Fetch,
        parts: http::response::Parts,
        body: Bytes,
        refusal: Option<NotStored>,
    ) -> (Representation, Verdict) {
        let mut headers = parts.headers;
        if refusal.is_none() {
            headers.insert(ETAG, strong_tag(&body));
            headers.insert(CACHE_CONTROL, REVALIDATE);
            headers.insert(VARY, BY_CALLER);
        }
        let lesson = format::of_reply(&headers).map_or(Lesson::Settled, |format| {
            self.lessons.learn(fetch, self.shelf.clock.now(), format, &body)
        });
        let settled = fetch.stamp.is_settled() && lesson == Lesson::Settled;
        let not_stored = refusal.or_else(|| {
            let view = fetch.dependence.view;
            let current = fetch.credential.partition.is_current(view, &fetch.stamp)
                && lesson != Lesson::Doubtful;
            if !settled && (!current || self.shelf.config.unsettled_lifetime.is_zero()) {
                Some(NotStored::Unsettled)
            } else {
                (!current).then_some(NotStored::Overtaken)
            }
        });
        let verdict = Verdict { settled, not_stored };
        (Representation::new(parts.status, headers, body), verdict)
    }
}

impl Fetch {
    fn of(miss: &Miss, shelf: &Shelf) -> Self {
        Self {
            key: miss.key.clone(),
            credential: Arc::clone(miss.exchange.call.caller.credential()),
            stamp: miss.stamp.clone(),
            asked_at: shelf.clock.now(),
            dependence: miss.dependence,
            masked: shelf.routes.route(miss.route).masked,
            neighbors: shelf.routes.touches(&miss.exchange.call.request.target).all,
        }
    }
}

const REVALIDATE: HeaderValue = HeaderValue::from_static("private, max-age=0, must-revalidate");

const BY_CALLER: HeaderValue = HeaderValue::from_static("Authorization, Accept");

fn show(exchange: &mut Exchange, representation: &Representation, status: CacheStatus) -> Answer {
    let request = &mut exchange.call.request;
    request.record.cache.set(status);
    let known =
        representation.status == StatusCode::OK && representation.is_known_to(&request.headers);
    let room = std::mem::take(&mut request.headers);
    let mut answer = reply(representation, &request.method, known, room);
    answer.headers_mut().insert(&CACHE_STATUS, status.header());
    answer
}

#[cfg(test)]
mod tests;
