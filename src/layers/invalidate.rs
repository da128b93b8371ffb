//! Every attempted write, before and after, whatever its outcome.
//!
//! A write runs in a task of its own that holds the [`Touch`]: a client that goes away drops the
//! future that waits for it, and the write may have taken effect all the same. The reply's head
//! bumps before it is relayed. Its body is read first when it is small, as nearly all are, because
//! a body that says `locked` means that the resource changes again later, and nobody will tell.

use std::{future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;
use futures_util::future::Either;
use http::StatusCode;
use tokio_util::task::TaskTracker;
use tower::{Layer, Service, layer::layer_fn};

use super::{Answer, always_ready, leaves_open};
use crate::{
    api::{
        format,
        routes::{Narrow, RouteTable, Touches},
    },
    body::{Body, BodyError, Read},
    cache::{
        cause::Cause,
        coherence::Change,
        partition::{Breadth, Partition},
        status::CacheStatus,
        touch::{Named, Plan, Settle, Settlement, Touch},
    },
    call::{Effect, Exchange},
    metrics::Metrics,
    rejection::Rejection,
    transcode::{locked::says_locked, resources::resources},
    vocabulary::{Bypass, Format, Unrest},
};

/// The service of this layer.
#[derive(Clone)]
pub struct Invalidate<S> {
    inner: S,
    rules: Arc<Rules>,
}

/// What writes touch, and who sees through what they leave open.
pub struct Rules {
    /// The routes.
    pub routes: Arc<RouteTable>,
    /// Who takes what is unsettled.
    pub settler: Arc<dyn Settle>,
    /// The series.
    pub metrics: Arc<Metrics>,
    /// Who waits for writes when the process ends.
    pub tasks: TaskTracker,
}

type Written = Pin<Box<dyn Future<Output = Result<Answer, Rejection>> + Send>>;

/// The largest reply of a write that is read before it is relayed.
const INSPECTED: usize = 64 << 10;

/// Invalidates by the given rules.
pub fn layer<S>(rules: Arc<Rules>) -> impl Layer<S, Service = Invalidate<S>> + Clone {
    layer_fn(move |inner| Invalidate { inner, rules: Arc::clone(&rules) })
}

impl<S> Service<Exchange> for Invalidate<S>
where
    S: Service<Exchange, Response = Answer, Error = Rejection> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Answer;
    type Error = Rejection;
    type Future = Either<S::Future, Written>;

    always_ready!();

    fn call(&mut self, mut exchange: Exchange) -> Self::Future {
        let Some((plan, breadth)) = self.rules.plan(&exchange) else {
            return Either::Left(self.inner.call(exchange));
        };
        let partition = Arc::clone(&exchange.call.caller.credential().partition);
        let making = Making::of(&exchange, &partition);
        let effect = exchange.call.request.effect;
        let removes = matches!(effect, Effect::Write(touches) if touches.removes);
        let (settler, metrics) = (Arc::clone(&self.rules.settler), Arc::clone(&self.rules.metrics));
        let cause = Cause::Request(exchange.call.request.record.id.number());
        let touch = Touch::new(partition, breadth, plan, settler, metrics).because(cause);
        let touch = Arc::new(touch);
        exchange.touch = Some(Arc::clone(&touch));
        let (mut inner, rules) = (self.inner.clone(), Arc::clone(&self.rules));
        let write = self.rules.tasks.spawn(async move {
            let answered = inner.call(exchange).await;
            rules.conclude(answered, touch, making, removes).await
        });
        Either::Right(Box::pin(async move { write.await.unwrap_or(Err(Rejection::Panicked)) }))
    }
}

/// A write that makes something new, of which only the reply knows the name.
struct Making {
    family: usize,
    touches: Touches,
    partition: Arc<Partition>,
}

impl Making {
    fn of(exchange: &Exchange, partition: &Arc<Partition>) -> Option<Self> {
        let Effect::Write(touches) = exchange.call.request.effect else { return None };
        let Some(Narrow::New(family)) = touches.narrow else { return None };
        Some(Self { family, touches, partition: Arc::clone(partition) })
    }

    /// What was made is the one resource that the reply shows. If it shows none, it may be any: until
    /// that has settled, nothing of the family is spared.
    fn note(&self, routes: &RouteTable, touch: &Touch, format: Option<Format>, body: &Bytes) {
        let kind = routes.item_kinds().iter().find(|kind| kind.family == self.family);
        let shown = kind.zip(format).and_then(|(kind, f)| resources(f, &kind.root, body, 1));
        let shown = shown.unwrap_or_default();
        let [made] = &*shown else { return touch.made_something() };
        let names = self.partition.upstream().names();
        if let Some(identifier) = &made.identifier {
            names.learn(self.family, &made.id, identifier);
        }
        let item = Named { family: self.family, name: made.id.clone() };
        let open = item.changed(self.touches.all, names);
        touch.made(item, open);
    }
}

impl Rules {
    /// What a call changes, and who may see it; none for a read that changes nothing.
    fn plan(&self, exchange: &Exchange) -> Option<(Plan, Breadth)> {
        let request = &exchange.call.request;
        match request.effect {
            Effect::Read(_) => None,
            Effect::UnlistedRead { harmless, .. } => {
                self.metrics.unlisted_reads.inc();
                request.record.cache.set(CacheStatus::Bypass(Bypass::Unlisted));
                let all = Change::whole(self.routes.families().all());
                let plan = Plan { change: all, removal: None, item: None };
                (!harmless).then_some((plan, Breadth::Account))
            }
            Effect::Write(touches) => {
                request.record.cache.set(CacheStatus::Write);
                let names = exchange.call.caller.credential().partition.upstream().names();
                let plan = Plan::of(&request.target, touches, names);
                let breadth = if touches.everyone { Breadth::Everyone } else { Breadth::Reach };
                Some((plan, breadth))
            }
        }
    }

    /// Bumps for the reply's head, and for its end once that has been seen.
    async fn conclude(
        &self,
        answered: Result<Answer, Rejection>,
        touch: Arc<Touch>,
        making: Option<Making>,
        removes: bool,
    ) -> Result<Answer, Rejection> {
        let answer = match answered {
            Ok(answer) => answer,
            Err(rejection) => {
                touch.end(rejection.settlement());
                return Err(rejection);
            }
        };
        touch.answered();
        let (parts, body) = answer.into_parts();
        let body = match body.read_up_to(INSPECTED).await {
            Ok(Read::Whole(body)) => body,
            // Too large to look into: it is relayed as it comes, and its end is open.
            Ok(Read::Longer(body)) => {
                if making.is_some() {
                    touch.made_something();
                }
                return Ok(Answer::from_parts(parts, body.holding(touch)));
            }
            Err(error) => {
                touch.end(Settlement::Open(Unrest::Unknown));
                return Err(match error {
                    BodyError::Upstream(_) => Rejection::UpstreamBroken,
                    BodyError::Mask(_) => Rejection::Unmaskable,
                });
            }
        };
        let format = format::of_reply(&parts.headers);
        if let Some(making) = making.filter(|_| parts.status.is_success()) {
            making.note(&self.routes, &touch, format, &body);
        }
        let settlement = settlement_of_reply(parts.status, format, &body);
        // What is gone at once is removed by a transaction all the same.
        let removed = removes && parts.status.is_success() && settlement == Settlement::Settled;
        touch.end(if removed { Settlement::Open(Unrest::Scheduled) } else { settlement });
        Ok(Answer::from_parts(parts, Body::from(body)))
    }
}

fn settlement_of_reply(status: StatusCode, format: Option<Format>, body: &Bytes) -> Settlement {
    match status {
        StatusCode::CREATED | StatusCode::ACCEPTED => Settlement::Open(Unrest::Scheduled),
        status if leaves_open(status) => Settlement::Open(Unrest::Unknown),
        _ if format.is_some_and(|format| says_locked(format, body)) => {
            Settlement::Open(Unrest::Locked)
        }
        _ => Settlement::Settled,
    }
}
