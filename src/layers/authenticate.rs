//! The trust boundary: a request comes in, a call of a known caller goes on.
//!
//! Failed tokens are counted by address, and the count answers failed tokens alone: a valid one is
//! never locked out by its neighbor, and a request without credentials is no failure, because some
//! clients wait for the challenge.

use std::sync::Arc;

use futures_util::future::Either;
use tower::{Layer, Service, layer::layer_fn};

use super::{Answer, Step, always_ready, refuse};
use crate::{
    auth::{
        failures::FailedTokens,
        presented::{PresentError, presented},
    },
    call::{Aimed, Call, Caller},
    clock::unix,
    limit::Limited,
    metrics::{Metrics, limits::Decision},
    rejection::Rejection,
    tenants::directory::Directory,
    vocabulary::Limiter,
};

/// The service of this layer.
#[derive(Clone)]
pub struct Authenticate<S> {
    inner: S,
    gatekeeper: Arc<Gatekeeper>,
}

/// Who is let in, and how often one may try.
pub struct Gatekeeper {
    /// The tokens.
    pub directory: Arc<Directory>,
    /// The count of failures.
    pub failures: FailedTokens,
    /// The series.
    pub metrics: Arc<Metrics>,
}

/// Authenticates with the given gatekeeper.
pub fn layer<S>(gatekeeper: Arc<Gatekeeper>) -> impl Layer<S, Service = Authenticate<S>> + Clone {
    layer_fn(move |inner| Authenticate { inner, gatekeeper: Arc::clone(&gatekeeper) })
}

impl<S> Service<Box<Aimed>> for Authenticate<S>
where
    S: Service<Call, Response = Answer, Error = Rejection>,
{
    type Response = Answer;
    type Error = Rejection;
    type Future = Step<S::Future>;

    always_ready!();

    fn call(&mut self, request: Box<Aimed>) -> Self::Future {
        match self.gatekeeper.recognize(&request) {
            Ok(caller) => {
                let _ = request.record.grant.set(Arc::clone(caller.grant()));
                Either::Right(self.inner.call(Call { caller, request }))
            }
            Err(rejection) => refuse(rejection),
        }
    }
}

impl Gatekeeper {
    fn recognize(&self, request: &Aimed) -> Result<Caller, Rejection> {
        let failed = |rejection| Err(self.failed(request, rejection));
        match presented(&request.headers) {
            Ok(None) => Err(Rejection::NoCredentials),
            Err(error @ PresentError::Disagree) => Err(error.into()),
            Err(error @ PresentError::Undecodable) => failed(error.into()),
            Ok(Some(presented)) => {
                let (now, client) = (unix(request.record.received), request.record.client);
                match Caller::verify(&self.directory, &presented, now, client) {
                    Ok(caller) => {
                        caller.grant().allowance.touch(now);
                        Ok(caller)
                    }
                    Err(why) => failed(Rejection::Token(why)),
                }
            }
        }
    }

    fn failed(&self, request: &Aimed, rejection: Rejection) -> Rejection {
        let counted = self.failures.record(request.record.client);
        let decision = if counted.is_ok() { Decision::Allowed } else { Decision::Limited };
        self.metrics.limits.decisions.of(Limiter::FailedTokens, decision).inc();
        match counted {
            Ok(()) => rejection,
            Err(wait) => Rejection::FailedTokens(Limited { retry_after: wait.0 }),
        }
    }
}
