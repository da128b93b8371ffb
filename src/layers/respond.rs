//! The one place where a refusal becomes HTTP, and where a panic becomes a refusal.
//!
//! The format of a refusal is decided here, before anything is refused, from what was sent, valid
//! or not. A panic is caught so that a bug costs one request and not its connection. The health
//! path is answered here too: it is about the process, not about anybody's request.

use std::{
    convert::Infallible,
    future::Ready,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::future::{CatchUnwind, Either, FutureExt as _};
use http::{
    HeaderName, HeaderValue, Response,
    header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE},
};
use pin_project_lite::pin_project;
use tower::{Layer, Service, layer::layer_fn};

use super::Answer;
use crate::{
    api::format::{ErrorFormat, error_format},
    body::Body,
    call::Traced,
    fields,
    record::Record,
    rejection::Rejection,
};

/// The service of this layer.
#[derive(Clone)]
pub struct Respond<S> {
    inner: S,
    health_path: Arc<str>,
}

pin_project! {
    /// The future of this layer.
    pub struct Responding<F> {
        #[pin]
        inner: CatchUnwind<AssertUnwindSafe<F>>,
        format: ErrorFormat,
        record: Arc<Record>,
    }
}

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Answers refusals, and the health path.
pub fn layer<S>(health_path: String) -> impl Layer<S, Service = Respond<S>> + Clone {
    let health_path: Arc<str> = health_path.into();
    layer_fn(move |inner| Respond { inner, health_path: Arc::clone(&health_path) })
}

impl<S> Service<Traced> for Respond<S>
where
    S: Service<Traced, Response = Answer, Error = Rejection>,
{
    type Response = Answer;
    type Error = Infallible;
    type Future = Either<Ready<Result<Answer, Infallible>>, Responding<S::Future>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Traced) -> Self::Future {
        if request.uri.path() == &*self.health_path {
            return Either::Left(std::future::ready(Ok(healthy())));
        }
        let accept = fields::first(&request.headers, ACCEPT).and_then(|v| v.to_str().ok());
        Either::Right(Responding {
            format: error_format(request.uri.path(), request.uri.query(), accept),
            record: Arc::clone(&request.record),
            inner: AssertUnwindSafe(self.inner.call(request)).catch_unwind(),
        })
    }
}

impl<F: Future<Output = Result<Answer, Rejection>>> Future for Responding<F> {
    type Output = Result<Answer, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answered = ready!(this.inner.poll(cx)).unwrap_or(Err(Rejection::Panicked));
        let mut answer = answered.unwrap_or_else(|rejection| {
            let code = rejection.code();
            // The first counts; there is no other.
            let _ = this.record.rejection.set(code);
            rejection.into_response(*this.format)
        });
        answer.headers_mut().insert(&REQUEST_ID, this.record.id.header());
        Poll::Ready(Ok(answer))
    }
}

fn healthy() -> Answer {
    let mut answer = Response::new(Body::from(Bytes::from_static(b"ok\n")));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
