//! The tenant's quotas of reads and writes, and the token's own, before anything that can be refused for free.
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

use super::{Answer, Step, always_ready, charge, police, refuse};
use crate::{
    call::Call,
    clock::unix,
    limit::Limit,
    metrics::Metrics,
    policy::{Mode, PolicyName, policies::Held},
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
        shown: Option<Shown>,
    }
}

/// The `RateLimit` and `RateLimit-Policy` headers.
type Shown = (HeaderValue, HeaderValue);

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
    /// The token's own limits first: what they refuse is not taken from the other tokens of its tenant.
    fn count(&self, call: &Call) -> Result<Option<Shown>, Rejection> {
        let grant = call.caller.grant();
        let limits = &grant.tenant.limits;
        let is_write = call.request.effect.may_change();
        let own = if grant.allowance.is_empty() { None } else { self.check_own(call, is_write)? };
        let (limiter, limit) = if is_write {
            (Limiter::Writes, limits.writes())
        } else {
            (Limiter::Reads, limits.reads())
        };
        let shown = limit.map(|limit| self.charge(call, limiter, limit)).transpose()?;
        if !grant.allowance.is_empty() {
            self.count_month(call, is_write)?;
        }
        Ok(own.or(shown))
    }

    fn charge(&self, call: &Call, limiter: Limiter, limit: &Limit) -> Result<Shown, Rejection> {
        let status = call.caller.grant().limit_status;
        let allowed = charge(limiter, limit, status, &self.metrics)?;
        call.request.record.quota.set(Charged { limiter, remaining: allowed.remaining });
        Ok((limit.state(allowed.remaining), limit.policy()))
    }

    /// What the token itself may in a second, and whether it has used up its month.
    fn check_own(&self, call: &Call, is_write: bool) -> Result<Option<Shown>, Rejection> {
        let (grant, request, metrics) = (call.caller.grant(), &call.request, &self.metrics);
        let limiter = if is_write { Limiter::TokenWrites } else { Limiter::TokenReads };
        let shown = match grant.allowance.limit(is_write) {
            None => None,
            Some(Held { mode: Mode::Enforce, rule }) => Some(self.charge(call, limiter, rule)?),
            Some(Held { mode, rule }) => {
                if rule.check().is_err() {
                    police::shadowed(metrics, request, PolicyName::Limits, *mode);
                }
                None
            }
        };
        let checked = grant.allowance.check_month(unix(request.record.received), is_write);
        // In shadow it is noted where it is counted.
        if checked.is_err_and(|full| full.mode == Mode::Enforce) {
            police::exhausted(metrics, request, grant, checked)?;
        }
        Ok(shown)
    }

    fn count_month(&self, call: &Call, is_write: bool) -> Result<(), Rejection> {
        let (grant, request) = (call.caller.grant(), &call.request);
        let counted = grant.allowance.count_in_month(unix(request.record.received), is_write);
        police::exhausted(&self.metrics, request, grant, counted)
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
