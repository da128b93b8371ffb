//! Ends a read that takes longer than a client waits.
//!
//! A write is not ended here: its own deadline is the upstream's, and to answer "too late" while
//! it is still being applied would invite the client to send it again. A GET that has an effect is
//! a write, too. What is answered at once, as a hit is, has no timer made for it.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::future::Either;
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};
use tower::{Layer, Service, layer::layer_fn};

use super::{Answer, always_ready};
use crate::{call::Aimed, rejection::Rejection};

/// The service of this layer.
#[derive(Clone)]
pub struct Deadline<S> {
    inner: S,
    after: Duration,
}

pin_project! {
    /// A read under its deadline.
    pub struct Timed<F> {
        #[pin]
        inner: F,
        after: Duration,
        // Made when the read waits for the first time.
        end: Option<Pin<Box<Sleep>>>,
    }
}

/// Ends reads after so long.
pub fn layer<S>(after: Duration) -> impl Layer<S, Service = Deadline<S>> + Clone {
    layer_fn(move |inner| Deadline { inner, after })
}

impl<S> Service<Box<Aimed>> for Deadline<S>
where
    S: Service<Box<Aimed>, Response = Answer, Error = Rejection>,
{
    type Response = Answer;
    type Error = Rejection;
    type Future = Either<Timed<S::Future>, S::Future>;

    always_ready!();

    fn call(&mut self, request: Box<Aimed>) -> Self::Future {
        if request.effect.is_write() {
            return Either::Right(self.inner.call(request));
        }
        Either::Left(Timed { inner: self.inner.call(request), after: self.after, end: None })
    }
}

impl<F: Future<Output = Result<Answer, Rejection>>> Future for Timed<F> {
    type Output = Result<Answer, Rejection>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(answered) = this.inner.poll(cx) {
            return Poll::Ready(answered);
        }
        let end = this.end.get_or_insert_with(|| Box::pin(sleep(*this.after)));
        ready!(end.as_mut().poll(cx));
        Poll::Ready(Err(Rejection::DeadlineExceeded))
    }
}
