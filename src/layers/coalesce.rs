//! Equal misses become one fetch, in a task of its own.
//!
//! The first reader of a miss leads: it pays the tenant's upstream quota and starts the task, and
//! may then leave like any other. Everybody who joined shares the outcome, an error too. Who wants
//! what is newer than the fetch under way shares the next one with its likes. What turns out to be
//! too large to keep is streamed to one of them; the others fetch it themselves, and a marker keeps
//! the next readers from queueing for it.
//!
//! A reader is never told of a 404 that was asked for before something was made which it may be: see
//! `cache/dependence`.

mod derive;
mod flight;
mod learn;
mod lessons;
mod receive;
mod stale;

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    thread,
    time::Duration,
};

use http::{Method, StatusCode};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tower::{Layer, Service, layer::layer_fn};

use flight::{Flight, Landing, Outcome};
use lessons::Lessons;

use super::{Answer, charge, reply};
use crate::{
    api::families::FamilySet,
    cache::{
        dependence::{Dependence, Stamps},
        entry::Representation,
        flight::{Flights, Join, Reader},
        key::Key,
        shelf::Shelf,
        status::{CACHE_STATUS, CacheStatus},
        touch::Settle,
        validator::Held,
    },
    call::{Effect, Exchange, Lookup, Miss, Outbound},
    formats::Book,
    metrics::Metrics,
    rejection::Rejection,
    tenants::snapshot::Credential,
    vocabulary::{Bypass, CacheOutcome, Limiter, NotStored, UpstreamCause},
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
    /// What is known of the formats of routes.
    book: Arc<Book>,
    /// Bounds how much is derived at once.
    derivations: Arc<Semaphore>,
}

/// What a leader's task takes with it: nothing of the request but what the key says.
struct Fetch {
    key: Key,
    credential: Arc<Credential>,
    stamps: Stamps,
    /// When its turn came.
    asked_at: u64,
    dependence: Dependence,
    /// Whether the reply is searched for secrets.
    masked: bool,
    /// What a transaction that is under way on the same resource may change.
    neighbors: FamilySet,
    /// What is kept, if the upstream is asked whether it still shows that.
    held: Option<Held>,
}

/// So many fetches that began too early are waited for at most; then a reader asks for itself.
const MOST_WAITED_FOR: usize = 3;

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
        let request = &exchange.call.request;
        request.record.cache.set(status);
        let (partition, effect) =
            (Arc::clone(&exchange.call.caller.credential().partition), request.effect);
        let mut answer = self.inner.call(Outbound::Forward(exchange)).await?;
        if answer.status() == StatusCode::FORBIDDEN
            && let Effect::Read(listed) = effect
        {
            let shelf = &self.hangar.shelf;
            shelf.forbidden(&partition, shelf.routes.route(listed.id).families);
        }
        answer.headers_mut().insert(&CACHE_STATUS, status.header());
        Ok(answer)
    }

    async fn fetch(&mut self, mut miss: Miss) -> Result<Answer, Rejection> {
        if miss.demands.only_if_cached {
            return self.derive_kept(&mut miss).await.ok_or(Rejection::NotCached);
        }
        if let Some(answer) = self.hangar.meanwhile(&mut miss) {
            if !self.hangar.rests(&miss) {
                // Who may not start a fetch is shown what there is all the same.
                drop(self.board_anew(&mut miss));
            }
            return Ok(answer);
        }
        if let Some(answer) = self.derive(&mut miss).await? {
            return Ok(answer);
        }
        let (mut flight, mut collapsed) = self.board(&miss)?;
        let metrics = &self.hangar.shelf.metrics;
        let outcome = if collapsed { CacheOutcome::Collapsed } else { CacheOutcome::Miss };
        // Until it is known to be otherwise.
        let (forward, not_modified, not_stored) = (miss.forward, false, Some(NotStored::Failed));
        let status = CacheStatus::Miss { forward, collapsed, not_modified, not_stored };
        miss.exchange.call.request.record.cache.set(status);
        if collapsed {
            metrics.cache.collapsed_reads.inc();
        }
        // One that may end as something else is counted when it has.
        let open = miss.stale.is_some();
        if !open {
            metrics.cache.lookups.of(outcome).inc();
        }
        let mut landed = flight.landed().await;
        let mut waited_for = 1;
        while collapsed && landed.is_of_an_older_absence(&miss) {
            if waited_for == MOST_WAITED_FOR {
                return self.pass(Box::new(miss.exchange), Some(Bypass::Marked)).await;
            }
            waited_for += 1;
            miss.stamps = miss.dependence.stamps(&miss.exchange.call.caller.credential().partition);
            (flight, collapsed) = self.board(&miss)?;
            landed = flight.landed().await;
        }
        if let Some(answer) = self.hangar.instead(&mut miss, &landed) {
            return Ok(answer);
        }
        if open {
            self.hangar.shelf.metrics.cache.lookups.of(outcome).inc();
        }
        self.tell(miss, landed, collapsed).await
    }

    /// What a reader is told of the outcome of its flight.
    async fn tell(
        &mut self,
        mut miss: Miss,
        landed: Outcome,
        collapsed: bool,
    ) -> Result<Answer, Rejection> {
        let slot = match landed {
            Outcome::Refused(rejection) => return Err(rejection),
            Outcome::Shared(brought) => {
                self.note_format(&miss, &brought);
                note_unsettled_absence(&miss, brought.representation.status);
                let status = CacheStatus::Miss {
                    forward: miss.forward,
                    collapsed,
                    not_modified: brought.not_modified,
                    not_stored: brought.not_stored(),
                };
                return Ok(show(&mut miss.exchange, &brought.representation, status));
            }
            Outcome::Streamed(slot) => slot,
        };
        let whole = miss.exchange.call.request.method == Method::GET;
        // Who asks for the head alone leaves the body to the others.
        let take = || slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        match whole.then(take).flatten() {
            // When a 404 was asked for is not known any more.
            Some(mut answer) if !(collapsed && answer.status() == StatusCode::NOT_FOUND) => {
                let status = CacheStatus::Miss {
                    forward: miss.forward,
                    collapsed,
                    not_modified: false,
                    not_stored: Some(NotStored::TooLarge),
                };
                miss.exchange.call.request.record.cache.set(status);
                answer.headers_mut().insert(&CACHE_STATUS, status.header());
                Ok(answer)
            }
            _ => self.pass(Box::new(miss.exchange), Some(Bypass::Marked)).await,
        }
    }

    /// Joins a flight, or starts one.
    fn board(&self, miss: &Miss) -> Result<(Arc<Flight>, bool), Rejection> {
        let mut flights = self.hangar.flights();
        let partition = &miss.exchange.call.caller.credential().partition;
        let stamps = || miss.dependence.stamps(partition);
        let (stamp, now) = (&miss.stamps.shown, self.hangar.shelf.clock.now());
        let reader = Reader { stamp, now, max_age: miss.demands.max_age };
        let joined = flights.join(&miss.key, reader, || stamps().shown, Flight::new);
        let (id, flight, waits) = match joined {
            Join::Share(flight) => return Ok((flight, true)),
            Join::ShareStarted(flight, shown) => {
                // Nothing has been sent for it yet.
                flight.start(Stamps { shown, ..stamps() });
                return Ok((flight, true));
            }
            Join::Lead(id, flight) => (id, flight, false),
            Join::LeadNext(id, flight) => (id, flight, true),
        };
        // Under the lock, so that nobody can join a flight that its leader cannot pay for.
        if let Err(rejection) = self.hangar.charge(&miss.exchange) {
            // Nothing begins in its place: had anybody waited for that, this reader would wait, too.
            flights.finish(&miss.key, id, now, || miss.stamps.shown.clone());
            return Err(rejection);
        }
        drop(flights);
        let fetch = Fetch::of(miss, &self.hangar.shelf);
        let landing = Landing {
            hangar: Arc::clone(&self.hangar),
            key: fetch.key.clone(),
            credential: Arc::clone(&fetch.credential),
            dependence: fetch.dependence,
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
    let _under_way = Metrics::raise(&hangar.shelf.metrics.cache.flights);
    if waits {
        // No longer than what it waits for may take, which is not its own time.
        let turn = tokio::time::timeout(hangar.fetch_timeout, flight.wait_for_turn()).await;
        let Ok(stamps) = turn else {
            drop(landing);
            teller.send_replace(Some(Outcome::Refused(Rejection::UpstreamTimedOut)));
            return;
        };
        (fetch.stamps, fetch.asked_at) = (stamps, hangar.shelf.clock.now());
    }
    let fly = async {
        let fill = Outbound::Fill {
            key: fetch.key.clone(),
            credential: Arc::clone(&fetch.credential),
            masked: fetch.masked,
            held: fetch.held.clone(),
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
        hangar.rest(&landing.key, fetch.asked_at, &outcome);
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
        book: Arc<Book>,
    ) -> Self {
        let flights = Mutex::new(Flights::new(shelf.config.max_fetches_per_key));
        let transactions = shelf.routes.families().find("transactions").unwrap_or_default();
        let lessons = Lessons {
            routes: Arc::clone(&shelf.routes),
            settler,
            transactions,
            metrics: Arc::clone(&shelf.metrics),
        };
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let derivations = Arc::new(Semaphore::new(cores));
        Self { flights, shelf, lessons, tasks, fetch_timeout, book, derivations }
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
}

impl Fetch {
    fn of(miss: &Miss, shelf: &Shelf) -> Self {
        Self {
            key: miss.key.clone(),
            credential: Arc::clone(miss.exchange.call.caller.credential()),
            stamps: miss.stamps.clone(),
            asked_at: shelf.clock.now(),
            dependence: miss.dependence,
            masked: shelf.routes.route(miss.route).masked,
            neighbors: shelf.routes.touches(&miss.exchange.call.request.target).all,
            held: miss.held.clone(),
        }
    }
}

/// What keeps a 404 from staying, which is known when it is known that it is one.
fn note_unsettled_absence(miss: &Miss, status: StatusCode) {
    let call = &miss.exchange.call;
    if status == StatusCode::NOT_FOUND
        && !miss.stamps.absent.is_settled()
        && let Some(cause) =
            call.caller.credential().partition.unsettled_by(miss.dependence.view_of(status))
    {
        call.request.record.cause.set(cause);
    }
}

fn show(exchange: &mut Exchange, representation: &Representation, status: CacheStatus) -> Answer {
    let request = &mut exchange.call.request;
    request.record.cache.set(status);
    let known = representation.is_known_to(&request.headers);
    let room = std::mem::take(&mut request.headers);
    let mut answer = reply(representation, &request.method, known, room);
    answer.headers_mut().insert(&CACHE_STATUS, status.header());
    answer
}

#[cfg(test)]
mod tests;
