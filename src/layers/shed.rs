//! Refuses what is over the bound of requests under way, until the reply of one has ended.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_util::future::Either;
use pin_project_lite::pin_project;
use tower::{Layer, Service, layer::layer_fn};

use super::{Answer, Step, always_ready, refuse};
use crate::{
    call::Traced,
    limit::in_flight::{Gate, Permit},
    rejection::Rejection,
};

/// The service of this layer.
#[derive(Clone)]
pub struct Shed<S> {
    inner: S,
    gate: Gate,
}

pin_project! {
    /// A request that has a place.
    pub struct Inside<F> {
        #[pin]
        inner: F,
        permit: Option<Permit>,
    }
}

/// Lets so many requests be under way at once.
pub fn layer<S>(most: usize) -> impl Layer<S, Service = Shed<S>> + Clone {
    let gate = Gate::new(most);
    layer_fn(move |inner| Shed { inner, gate: gate.clone() })
}

impl<S> Service<Traced> for Shed<S>
where
    S: Service<Traced, Response = Answer, Error = Rejection>,
{
    type Response = Answer;
    type Error = Rejection;
    type Future = Step<Inside<S::Future>>;

    always_ready!();

    fn call(&mut self, request: Traced) -> Self::Future {
        match self.gate.enter() {
            Some(permit) => {
                Either::Right(Inside { inner: self.inner.call(request), permit: Some(permit) })
            }
            None => refuse(Rejection::Overloaded),
        }
    }
}

impl<F: Future<Output = Result<Answer, Rejection>>> Future for Inside<F> {
    type Output = Result<Answer, Rejection>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(this.inner.poll(cx))?;
        Poll::Ready(Ok(match this.permit.take() {
            Some(permit) => answer.map(|body| body.with_permit(permit)),
            None => answer,
        }))
    }
}
