//! What a token makes and removes, counted by its policies.
//!
//! Below the layer that replays: a repeated request makes nothing, so it is answered when nothing is
//! left, and counts nothing. What is refused further down, with nothing left open, is given back.

use std::{future::Future, pin::Pin, sync::Arc, time::SystemTime};

use futures_util::future::Either;
use tokio_util::task::TaskTracker;
use tower::{Layer, Service, layer::layer_fn};

use super::{Answer, Step, always_ready, police, refuse};
use crate::{
    cache::touch::Settlement, call::Call, clock::unix_millis, metrics::Metrics, policy::PolicyName,
    rejection::Rejection, tenants::snapshot::Grant,
};

/// The service of this layer.
#[derive(Clone)]
pub struct Caps<S> {
    inner: S,
    metrics: Arc<Metrics>,
    tasks: TaskTracker,
}

/// The future of this layer.
pub type Capped<F> =
    Either<Step<F>, Pin<Box<dyn Future<Output = Result<Answer, Rejection>> + Send>>>;

/// What a request has taken of a cap.
struct Taken {
    grant: Arc<Grant>,
    policy: PolicyName,
    date: u64,
}

/// Counts what calls make and remove; each that counts runs in a task, whether or not anybody still waits
/// for it, since only its end says whether it counts.
pub fn layer<S>(
    metrics: Arc<Metrics>,
    tasks: TaskTracker,
) -> impl Layer<S, Service = Caps<S>> + Clone {
    layer_fn(move |inner| {
        let (metrics, tasks) = (Arc::clone(&metrics), tasks.clone());
        Caps { inner, metrics, tasks }
    })
}

impl<S> Service<Call> for Caps<S>
where
    S: Service<Call, Response = Answer, Error = Rejection> + 'static,
    S::Future: Send + 'static,
{
    type Response = Answer;
    type Error = Rejection;
    type Future = Capped<S::Future>;

    always_ready!();

    fn call(&mut self, call: Call) -> Self::Future {
        let Some(policy) = call.request.counted else {
            return Either::Left(Either::Right(self.inner.call(call)));
        };
        match self.take(&call, policy) {
            Err(rejection) => Either::Left(refuse(rejection)),
            Ok(None) => Either::Left(Either::Right(self.inner.call(call))),
            Ok(Some(taken)) => {
                let answered = self.inner.call(call);
                let write = self.tasks.spawn(async move { taken.settle(answered.await) });
                Either::Right(Box::pin(async { write.await.unwrap_or(Err(Rejection::Panicked)) }))
            }
        }
    }
}

impl<S> Caps<S> {
    fn take(&self, call: &Call, policy: PolicyName) -> Result<Option<Taken>, Rejection> {
        let grant = call.caller.grant();
        match grant.allowance.count_in_window(policy, unix_millis(SystemTime::now())) {
            Ok(date) => Ok(date.map(|date| Taken { grant: Arc::clone(grant), policy, date })),
            Err(full) => {
                police::exhausted(&self.metrics, &call.request, grant, Err(full)).map(|()| None)
            }
        }
    }
}

impl Taken {
    /// What the call below answers; if by that the upstream has done nothing, nothing was taken.
    fn settle(&self, answered: Result<Answer, Rejection>) -> Result<Answer, Rejection> {
        let undone = |rejection: &Rejection| rejection.settlement() == Settlement::Settled;
        if answered.as_ref().is_err_and(undone) {
            self.grant.allowance.give_back(self.policy, self.date);
        }
        answered
    }
}
