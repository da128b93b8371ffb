//! Bounds the request's body, by what it says of itself and then by what comes.

use futures_util::future::Either;
use http_body::Body as _;
use tower::{Layer, Service, layer::layer_fn};

use super::{Answer, Step, always_ready, refuse};
use crate::{call::Traced, rejection::Rejection};

/// The service of this layer.
#[derive(Clone)]
pub struct BodyLimit<S> {
    inner: S,
    most: u64,
}

/// Bodies of at most so many bytes.
pub fn layer<S>(most: u64) -> impl Layer<S, Service = BodyLimit<S>> + Clone {
    layer_fn(move |inner| BodyLimit { inner, most })
}

impl<S> Service<Traced> for BodyLimit<S>
where
    S: Service<Traced, Response = Answer, Error = Rejection>,
{
    type Response = Answer;
    type Error = Rejection;
    type Future = Step<S::Future>;

    always_ready!();

    fn call(&mut self, mut request: Traced) -> Self::Future {
        if request.body.size_hint().lower() > self.most {
            return refuse(Rejection::BodyTooLarge(self.most));
        }
        request.body = request.body.limited(self.most);
        Either::Right(self.inner.call(request))
    }
}
