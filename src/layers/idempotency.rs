//! A POST with an `Idempotency-Key` is sent once; who sends the same again is given its answer.
//!
//! Below authorization, so that a replay passes authentication, limits and scopes like any request, and
//! the method is known that will run. Above all that a request does: a replay asks no cache, touches
//! nothing and is not charged upstream. The rules are those of `idempotency`.
//!
//! The first request of a key goes on in a task of its own: its client may leave, and what became of it
//! is written down all the same. What is refused below is judged by `Rejection::settlement`,
//! as where writes invalidate: what may have taken effect is unknown here as it is there.

use std::{future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;
use futures_util::future::Either;
use http::{HeaderName, HeaderValue, Method, StatusCode, header::CONTENT_TYPE};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, sleep, timeout};
use tower::{Layer, Service, layer::layer_fn};

use super::{Answer, always_ready, leaves_open, of_body};
use crate::{
    api::{method, routes::Narrow},
    auth::keyring::Mac,
    body::{Body, BodyError, Read},
    cache::{
        status::CACHE_STATUS,
        touch::{Named, Settlement},
    },
    call::{Aimed, Call, Effect},
    idempotency::{Asked, End, Entry, Key, Refused, Reply, Slot, Verdict},
    keeper::{
        Claim, Found, Keeper,
        lost::{About, Lost, Trace},
        now,
    },
    metrics::Metrics,
    net::server::{ClientBody, ClientBodyError},
    record::{Record, RequestId},
    rejection::Rejection,
    vocabulary::{Closed as _, KeyOutcome},
};

/// The service of this layer.
#[derive(Clone)]
pub struct Idempotency<S> {
    inner: S,
    keeper: Arc<Keeper>,
}

/// A request with its key, as it is looked for.
struct Question {
    slot: Slot,
    print: Mac,
    number: u64,
    /// None where its transactions could not be told from others.
    trace: Option<Trace>,
}

/// The first request of a key.
struct First {
    claim: Claim,
    trace: Option<Trace>,
}

/// Whose turn it is.
enum Turn {
    /// This request's: it is the first.
    First(First),
    /// It has been: this is what it was answered.
    Over(Answer),
}

type Kept = Pin<Box<dyn Future<Output = Result<Answer, Rejection>> + Send>>;

/// The client's key.
static KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Says that an answer is that of an earlier request.
static REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Names that request.
static FIRST: HeaderName = HeaderName::from_static("idempotency-first-request-id");

const TRUE: HeaderValue = HeaderValue::from_static("true");

/// Up to so many times the interval another server's request is looked for more and more rarely.
const SLOWEST: u32 = 8;

/// Keeps answers by the keeper.
pub fn layer<S>(keeper: Arc<Keeper>) -> impl Layer<S, Service = Idempotency<S>> + Clone {
    layer_fn(move |inner| Idempotency { inner, keeper: Arc::clone(&keeper) })
}

impl<S> Service<Call> for Idempotency<S>
where
    S: Service<Call, Response = Answer, Error = Rejection> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Answer;
    type Error = Rejection;
    type Future = Either<S::Future, Kept>;

    always_ready!();

    fn call(&mut self, call: Call) -> Self::Future {
        let request = &call.request;
        let keyed = request.method == Method::POST && request.headers.contains_key(&KEY);
        if !keyed || !self.keeper.config.enabled {
            return Either::Left(self.inner.call(call));
        }
        let this = self.clone();
        Either::Right(Box::pin(this.keep(call)))
    }
}

impl<S> Idempotency<S>
where
    S: Service<Call, Response = Answer, Error = Rejection> + Send + 'static,
    S::Future: Send,
{
    async fn keep(mut self, mut call: Call) -> Result<Answer, Rejection> {
        let (keeper, record) = (Arc::clone(&self.keeper), Arc::clone(&call.request.record));
        let request = &mut call.request;
        let body = std::mem::replace(&mut request.body, ClientBody::empty());
        let read = match read_whole(body, keeper.config.max_body.0).await {
            Ok(read) => read,
            Err(rejection) => return Err(noted(&keeper, &record, rejection)),
        };
        request.body = ClientBody::from_bytes(read.clone());
        if stands_for_another(request, &read) {
            return self.inner.call(call).await;
        }
        let turn = match Question::of(&keeper, &call, &read) {
            Ok(question) => turn(&keeper, question).await,
            Err(refused) => Err(refused),
        };
        match turn {
            Ok(Turn::First(first)) => {
                note(&keeper, &record, KeyOutcome::First);
                self.send(first, call).await
            }
            Ok(Turn::Over(answer)) => {
                note(&keeper, &record, KeyOutcome::Replayed);
                Ok(answer)
            }
            Err(refused) => Err(noted(&keeper, &record, refused.into())),
        }
    }

    /// Sends the first request of a key; whatever becomes of it is written down.
    async fn send(mut self, mut first: First, call: Call) -> Result<Answer, Rejection> {
        let keeper = Arc::clone(&self.keeper);
        first.claim.sent(call.caller.credential().generation);
        let sending = keeper.tasks.spawn(async move {
            let answered = self.inner.call(call).await;
            conclude(&self.keeper, first, answered).await
        });
        sending.await.unwrap_or(Err(Rejection::Panicked))
    }
}

impl Question {
    fn of(keeper: &Keeper, call: &Call, body: &Bytes) -> Result<Self, Refused> {
        let (request, grant) = (&call.request, call.caller.grant());
        let values = request.headers.get_all(&KEY).into_iter().map(HeaderValue::as_bytes);
        let key = Key::parse(values)?;
        let print = keeper.keys.print(&Asked {
            method: request.method.as_str(),
            target: request.target.path_and_query().as_str(),
            content_type: request.headers.get(CONTENT_TYPE).map_or(&[], HeaderValue::as_bytes),
            view: call.caller.secrecy().as_str(),
            body,
        });
        Ok(Self {
            slot: keeper.keys.slot(grant.tenant.row, grant.credential.row, &key),
            print,
            number: request.record.id.number(),
            trace: about(request)
                .map(|about| Trace { credential: Arc::clone(&grant.credential), about }),
        })
    }
}

impl First {
    /// Writes how it came out; if nobody knows, what it may have begun is looked for.
    async fn end(self, keeper: &Arc<Keeper>, end: End) {
        let unknown = end == End::Unknown;
        let lost = self.trace.filter(|_| unknown).map(|trace| self.claim.lost(trace));
        self.claim.end(end).await;
        if let Some(lost) = lost {
            keeper.look_for(lost);
        }
    }
}

/// What a request is about, if it is about something that transactions name.
fn about(request: &Aimed) -> Option<About> {
    let Effect::Write(touches) = request.effect else { return None };
    match touches.narrow? {
        Narrow::New(family) => Some(About::New(family)),
        Narrow::Item(place) => {
            let name = place.name(&request.target)?.into();
            Some(About::Item(Named { family: place.family, name }))
        }
    }
}

/// Waits for the turn of a request.
async fn turn(keeper: &Arc<Keeper>, question: Question) -> Result<Turn, Refused> {
    let Question { slot, print, number, trace } = question;
    let until = Instant::now() + keeper.config.wait_timeout;
    let slowest = keeper.config.poll_interval.saturating_mul(SLOWEST);
    let mut pace = keeper.config.poll_interval;
    let mut place = None;
    loop {
        let entry = match keeper.claim(slot, print, number).await {
            Ok(Found::Claimed(claim)) => return Ok(Turn::First(First { claim, trace })),
            Ok(Found::Known(entry)) => entry,
            Ok(Found::Full) => return Err(Refused::TooMany),
            Err(_) => return Err(Refused::Unavailable),
        };
        let verdict = entry.judge(&print, now());
        if let Some(trace) = trace.as_ref().filter(|_| verdict == Verdict::Unknown)
            && entry.transactions.is_empty()
        {
            // Who repeats it once more is told.
            keeper.look_for(Lost::of(&entry, trace.clone()));
        }
        if verdict != Verdict::Wait {
            return known(keeper, &slot, &entry, verdict).map(Turn::Over);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Refused::InFlight);
        }
        if place.is_none() {
            let permit = keeper.waiting.enter().ok_or(Refused::InFlight)?;
            place = Some((permit, Metrics::raise(&keeper.metrics.idempotency.waiting)));
        }
        match keeper.under_way(&slot) {
            // Of this process: it closes at its end, whether or not there was time for that.
            Some(mut live) => drop(timeout(left, live.changed()).await),
            None => sleep(left.min(pace)).await,
        }
        pace = slowest.min(pace.saturating_mul(2));
    }
}

/// What a request is told whose key has been used, and that is not to wait.
fn known(keeper: &Keeper, slot: &Slot, entry: &Entry, verdict: Verdict) -> Result<Answer, Refused> {
    let first = entry.first;
    match verdict {
        Verdict::Mismatch => Err(Refused::Mismatch),
        Verdict::Wait => Err(Refused::InFlight),
        Verdict::Unkept => Err(Refused::Unkept { first }),
        Verdict::Unknown => {
            Err(Refused::Unknown { first, transactions: entry.transactions.clone() })
        }
        Verdict::Replay => {
            let sealed = entry.reply.as_deref().unwrap_or_default();
            let reply = keeper.keys.open(slot, entry.row, sealed);
            // A foreign hand has been at it. It was answered, and that is all that is known.
            reply.map(|reply| replay(reply, first)).ok_or(Refused::Unkept { first })
        }
    }
}

/// Counts what came of a key.
fn note(keeper: &Keeper, record: &Record, outcome: KeyOutcome) {
    record.idempotency.set(outcome);
    keeper.metrics.idempotency.requests.of(outcome).inc();
}

/// Counts a refusal, if it is for the key.
fn noted(keeper: &Keeper, record: &Record, rejection: Rejection) -> Rejection {
    if let Rejection::Idempotency(refused) = &rejection {
        note(keeper, record, refused.outcome());
    }
    rejection
}

/// Whether the body makes another method of it, which is no creation. That it can be judged is known.
fn stands_for_another(request: &Aimed, body: &Bytes) -> bool {
    method::may_hide_override(&request.method, &request.headers)
        && !matches!(method::body_override(&request.headers, body), Ok(None))
}

async fn read_whole(body: ClientBody, most: u64) -> Result<Bytes, Rejection> {
    let collected = body.limited(most).collect().await;
    collected.map(http_body_util::Collected::to_bytes).map_err(|error| match error {
        ClientBodyError::TooLarge => Refused::BodyTooLarge(most).into(),
        other => of_body(&other, most),
    })
}

/// Writes down how the first request of a key came out, and then answers it.
async fn conclude(
    keeper: &Arc<Keeper>,
    first: First,
    answered: Result<Answer, Rejection>,
) -> Result<Answer, Rejection> {
    let answer = match answered {
        Ok(answer) => answer,
        Err(rejection) => {
            let end = match rejection.settlement() {
                Settlement::Settled => End::Released,
                Settlement::Open(_) => End::Unknown,
            };
            first.end(keeper, end).await;
            return Err(rejection);
        }
    };
    let (parts, body) = answer.into_parts();
    let unkept = end_of(parts.status);
    match body.read_up_to(keeper.config.max_reply.get()).await {
        Ok(Read::Whole(body)) => {
            let end = unkept.unwrap_or_else(|| {
                let (status, mut headers) = (parts.status, parts.headers.clone());
                headers.remove(&CACHE_STATUS);
                first.claim.sealed(&Reply { status, headers, body: body.clone() })
            });
            first.end(keeper, end).await;
            Ok(Answer::from_parts(parts, Body::from(body)))
        }
        Ok(Read::Longer(body)) => {
            first.end(keeper, unkept.unwrap_or(End::Unkept)).await;
            Ok(Answer::from_parts(parts, body))
        }
        Err(error) => {
            first.end(keeper, End::Unknown).await;
            Err(match error {
                BodyError::Upstream(_) => Rejection::UpstreamBroken,
                BodyError::Mask(_) => Rejection::Unmaskable,
            })
        }
    }
}

/// How a request ends whose answer is none to be kept.
fn end_of(status: StatusCode) -> Option<End> {
    match status {
        status if leaves_open(status) => Some(End::Unknown),
        // The upstream has put it off, and done nothing.
        StatusCode::TOO_MANY_REQUESTS => Some(End::Released),
        _ => None,
    }
}

fn replay(reply: Reply, first: u64) -> Answer {
    let mut answer = Answer::new(Body::from(reply.body));
    *answer.status_mut() = reply.status;
    *answer.headers_mut() = reply.headers;
    let headers = answer.headers_mut();
    headers.insert(&REPLAYED, TRUE);
    headers.insert(&FIRST, RequestId::numbered(first).header());
    answer
}
