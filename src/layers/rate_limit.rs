//! The tenant's quotas of reads and writes, before anything that can be refused for free.
//!
//! Every reply of a limited tenant says what is left (`RateLimit`, `RateLimit-Policy`), a refusal
//! too. What goes upstream is charged elsewhere, to the leader of a fetch alone.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_util::future::Either;
use http::HeaderValue;
use pin_project_lite::pin_project;
use tower::{Layer, Service, layer::layer_fn};

use super::{Answer, Step, always_ready, charge, refuse};
use crate::{
    call::Call,
    metrics::Metrics,
    record::Charged,
    rejection::{RATE_LIMIT, RATE_LIMIT_POLICY, Rejection},
    vocabulary::Limiter,
};

/// The service of this layer.
#[derive(Clone)]
pub struct RateLimit<S> {
    inner: S,
    metrics: Arc<Metrics>,
}

pin_project! {
    /// A call that may go on; its reply will say what is left.
    pub struct Counted<F> {
        #[pin]
        inner: F,
        shown: Option<(HeaderValue, HeaderValue)>,
    }
}

/// Limits callers by their tenant's quotas.
pub fn layer<S>(metrics: Arc<Metrics>) -> impl Layer<S, Service = RateLimit<S>> + Clone {
    layer_fn(move |inner| RateLimit { inner, metrics: Arc::clone(&metrics) })
}

impl<S> Service<Call> for RateLimit<S>
where
    S: Service<Call, Response = Answer, Error = Rejection>,
{
    type Response = Answer;
    type Error = Rejection;
    type Future = Step<Counted<S::Future>>;

    always_ready!();

    fn call(&mut self, call: Call) -> Self::Future {
        match self.count(&call) {
            Ok(shown) => Either::Right(Counted { inner: self.inner.call(call), shown }),
            Err(rejection) => refuse(rejection),
        }
    }
}

impl<S> RateLimit<S> {
    fn count(&self, call: &Call) -> Result<Option<(HeaderValue, HeaderValue)>, Rejection> {
        let grant = call.caller.grant();
        let limits = &grant.tenant.limits;
        let (limiter, limit) = if call.request.effect.may_change() {
            (Limiter::Writes, limits.writes())
        } else {
            (Limiter::Reads, limits.reads())
        };
        let Some(limit) = limit else { return Ok(None) };
        let allowed = charge(limiter, limit, grant.limit_status, &self.metrics)?;
        call.request.record.quota.set(Charged { limiter, remaining: allowed.remaining });
        Ok(Some((limit.state(allowed.remaining), limit.policy())))
    }
}

impl<F: Future<Output = Result<Answer, Rejection>>> Future for Counted<F> {
    type Output = Result<Answer, Rejection>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut answer = ready!(this.inner.poll(cx))?;
        if let Some((state, policy)) = this.shown.take() {
            answer.headers_mut().insert(RATE_LIMIT, state);
            answer.headers_mut().insert(RATE_LIMIT_POLICY, policy);
        }
        Poll::Ready(Ok(answer))
    }
}
