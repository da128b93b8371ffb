//! Every attempted write, before and after, whatever its outcome.
//!
//! A write runs in a task of its own that holds the [`Touch`]: a client that goes away drops the
//! future that waits for it, and the write may have taken effect all the same. The reply's head
//! bumps before it is relayed. Its body is read first when it is small, as nearly all are, because
//! a body that says `locked` means that the resource changes again later, and nobody will tell.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::Either;
use http::StatusCode;
use tokio_util::task::TaskTracker;
use tower::{Layer, Service, layer::layer_fn};

use super::{Answer, always_ready};
use crate::{
    api::{format, routes::RouteTable},
    body::{Body, BodyError, Read},
    cache::touch::{Place, Settlement, Touch},
    call::{Effect, Exchange},
    clock::Clock,
    metrics::Metrics,
    rejection::Rejection,
    transcode::locked::says_locked,
    vocabulary::{CacheOutcome, Format},
};

/// The service of this layer.
#[derive(Clone)]
pub struct Invalidate<S> {
    inner: S,
    rules: Arc<Rules>,
}

/// What writes touch, and for how long.
pub struct Rules {
    /// The routes.
    pub routes: Arc<RouteTable>,
    /// How long nothing is kept after an outcome that is open.
    pub settle_window: Duration,
    /// The time.
    pub clock: Clock,
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
        let Some(touch) = self.rules.touch(&exchange) else {
            return Either::Left(self.inner.call(exchange));
        };
        let touch = Arc::new(touch);
        exchange.touch = Some(Arc::clone(&touch));
        let mut inner = self.inner.clone();
        let write = self.rules.tasks.spawn(async move {
            let answered = inner.call(exchange).await;
            conclude(answered, touch).await
        });
        Either::Right(Box::pin(async move { write.await.unwrap_or(Err(Rejection::Panicked)) }))
    }
}

impl Rules {
    /// The guard of what a call touches; none for a read that changes nothing.
    fn touch(&self, exchange: &Exchange) -> Option<Touch> {
        let partition = &exchange.call.caller.credential().partition;
        let request = &exchange.call.request;
        let (place, families) = match request.effect {
            Effect::Read(_) => return None,
            Effect::UnlistedRead { harmless, .. } => {
                self.metrics.unlisted_reads.inc();
                request.record.notes().cache = CacheOutcome::Bypass;
                if harmless {
                    return None;
                }
                (Place::Partition(Arc::clone(partition)), self.routes.families().all())
            }
            Effect::Write(touches) => {
                request.record.notes().cache = CacheOutcome::Write;
                (Place::Upstream(Arc::clone(partition.upstream())), touches.all)
            }
        };
        let (window, metrics) = (self.settle_window, Arc::clone(&self.metrics));
        Some(Touch::new(place, families, window, self.clock, metrics))
    }
}

/// Bumps for the reply's head, and for its end once that has been seen.
async fn conclude(
    answered: Result<Answer, Rejection>,
    touch: Arc<Touch>,
) -> Result<Answer, Rejection> {
    let answer = match answered {
        Ok(answer) => answer,
        Err(rejection) => {
            touch.end(settlement_of(&rejection));
            return Err(rejection);
        }
    };
    touch.answered();
    let (parts, body) = answer.into_parts();
    let body = match body.read_up_to(INSPECTED).await {
        Ok(Read::Whole(body)) => body,
        // Too large to look into: it is relayed as it comes, and its end is open.
        Ok(Read::Longer(body)) => return Ok(Answer::from_parts(parts, body.holding(touch))),
        Err(error) => {
            touch.end(Settlement::Open);
            return Err(match error {
                BodyError::Upstream(_) => Rejection::UpstreamBroken,
                BodyError::Mask(_) => Rejection::Unmaskable,
            });
        }
    };
    touch.end(settlement(parts.status, format::of_reply(&parts.headers), &body));
    Ok(Answer::from_parts(parts, Body::from(body)))
}

fn settlement(status: StatusCode, format: Option<Format>, body: &Bytes) -> Settlement {
    let goes_on = match status {
        StatusCode::CREATED | StatusCode::ACCEPTED => true,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            true
        }
        _ => format.is_some_and(|format| says_locked(format, body)),
    };
    if goes_on { Settlement::Open } else { Settlement::Settled }
}

/// Whether the upstream may still apply a write that was refused on its way.
fn settlement_of(rejection: &Rejection) -> Settlement {
    match rejection {
        Rejection::UpstreamTimedOut
        | Rejection::UpstreamBroken
        | Rejection::BodyTooLarge(_)
        | Rejection::BodyTimedOut
        | Rejection::BodyBroken
        | Rejection::DeadlineExceeded
        | Rejection::Unmaskable
        | Rejection::Panicked => Settlement::Open,
        // What follows was refused before it was sent, or by the upstream itself.
        Rejection::Target(_)
        | Rejection::MethodNotServed
        | Rejection::Upgrade
        | Rejection::Override(_)
        | Rejection::NoCredentials
        | Rejection::Presented(_)
        | Rejection::Token(_)
        | Rejection::FailedTokens(_)
        | Rejection::Limited { .. }
        | Rejection::ReadOnly
        | Rejection::OutOfScope
        | Rejection::Guarded
        | Rejection::NotAcceptable(_)
        | Rejection::Overloaded
        | Rejection::NoUpstream
        | Rejection::UpstreamSaturated
        | Rejection::UpstreamUnreachable
        | Rejection::CredentialRefused => Settlement::Settled,
    }
}
