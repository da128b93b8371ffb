//! The one place where a refusal becomes HTTP, and where a panic becomes a refusal.
//!
//! The format of a refusal is decided here, before anything is refused, from what was sent, valid
//! or not. A panic is caught so that a bug costs one request and not its connection.

use std::{
    convert::Infallible,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_util::future::{CatchUnwind, FutureExt as _};
use http::{HeaderName, header::ACCEPT};
use pin_project_lite::pin_project;
use tower::{Layer, Service, layer::layer_fn};

use super::Answer;
use crate::{
    api::format::{ErrorFormat, error_format},
    call::Traced,
    metrics::Metrics,
    record::Record,
    rejection::Rejection,
};

/// The service of this layer.
#[derive(Clone)]
pub struct Respond<S> {
    inner: S,
    metrics: Arc<Metrics>,
}

pin_project! {
    /// The future of this layer.
    pub struct Responding<F> {
        #[pin]
        inner: CatchUnwind<AssertUnwindSafe<F>>,
        format: ErrorFormat,
        record: Arc<Record>,
        metrics: Arc<Metrics>,
    }
}

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Answers refusals, and counts them.
pub fn layer<S>(metrics: Arc<Metrics>) -> impl Layer<S, Service = Respond<S>> + Clone {
    layer_fn(move |inner| Respond { inner, metrics: Arc::clone(&metrics) })
}

impl<S> Service<Traced> for Respond<S>
where
    S: Service<Traced, Response = Answer, Error = Rejection>,
{
    type Response = Answer;
    type Error = Infallible;
    type Future = Responding<S::Future>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Traced) -> Self::Future {
        let accept = request.headers.get(ACCEPT).and_then(|v| v.to_str().ok());
        Responding {
            format: error_format(request.uri.path(), accept),
            record: Arc::clone(&request.record),
            metrics: Arc::clone(&self.metrics),
            inner: AssertUnwindSafe(self.inner.call(request)).catch_unwind(),
        }
    }
}

impl<F: Future<Output = Result<Answer, Rejection>>> Future for Responding<F> {
    type Output = Result<Answer, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answered = ready!(this.inner.poll(cx)).unwrap_or(Err(Rejection::Panicked));
        let mut answer = answered.unwrap_or_else(|rejection| {
            let code = rejection.code();
            this.record.notes().rejection = Some(code);
            this.metrics.rejections.with_label_values(&[code]).inc();
            rejection.into_response(*this.format)
        });
        answer.headers_mut().insert(&REQUEST_ID, this.record.id.header());
        Poll::Ready(Ok(answer))
    }
}
