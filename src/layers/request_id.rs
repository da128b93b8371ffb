//! Gives each request a name, first of all, so that everything below can name it.
//!
//! A client's own `X-Request-Id` is not taken: two clients could choose the same, and an operator
//! who follows one request through the log would read another's.

use tower::{Layer, Service, layer::layer_fn};

use super::always_ready;
use crate::{
    call::Traced,
    net::server::Arrival,
    record::{Record, RequestId},
};

/// The service of this layer.
#[derive(Clone)]
pub struct NameRequests<S> {
    inner: S,
    seed: u64,
}

/// Names requests; `seed` tells this process from others.
pub fn layer<S>(seed: u64) -> impl Layer<S, Service = NameRequests<S>> + Clone {
    layer_fn(move |inner| NameRequests { inner, seed })
}

impl<S: Service<Traced>> Service<Arrival> for NameRequests<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    always_ready!();

    fn call(&mut self, arrival: Arrival) -> S::Future {
        let (parts, body) = arrival.request.into_parts();
        let id = RequestId::next(self.seed);
        let client = arrival.peer.ip().to_canonical();
        let record = Record::new(id, client, arrival.protocol, parts.method.clone());
        self.inner.call(Traced {
            record,
            method: parts.method,
            uri: parts.uri,
            version: parts.version,
            headers: parts.headers,
            body,
        })
    }
}
