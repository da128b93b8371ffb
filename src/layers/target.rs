//! Parses and canonicalizes once, or refuses: below this layer nobody looks at a raw URL.

use std::sync::Arc;

use futures_util::future::Either;
use http::{Method, header::UPGRADE};
use tower::{Layer, Service, layer::layer_fn};

use super::{Answer, Step, always_ready, refuse};
use crate::{
    api::{method, routes::RouteTable, target::Target},
    call::{Aimed, Effect, Traced},
    fields,
    record::TargetNote,
    rejection::Rejection,
};

/// The service of this layer.
#[derive(Clone)]
pub struct Aim<S> {
    inner: S,
    routes: Arc<RouteTable>,
    max_target: usize,
    unlisted_reads_harmless: bool,
}

/// Judges targets by the routes; a target has at most so many bytes.
pub fn layer<S>(
    routes: Arc<RouteTable>,
    max_target: usize,
    unlisted_reads_harmless: bool,
) -> impl Layer<S, Service = Aim<S>> + Clone {
    layer_fn(move |inner| Aim {
        inner,
        routes: Arc::clone(&routes),
        max_target,
        unlisted_reads_harmless,
    })
}

impl<S> Service<Traced> for Aim<S>
where
    S: Service<Box<Aimed>, Response = Answer, Error = Rejection>,
{
    type Response = Answer;
    type Error = Rejection;
    type Future = Step<S::Future>;

    always_ready!();

    fn call(&mut self, request: Traced) -> Self::Future {
        match self.aim(request) {
            Ok(aimed) => Either::Right(self.inner.call(aimed)),
            Err(rejection) => refuse(rejection),
        }
    }
}

impl<S> Aim<S> {
    fn aim(&self, request: Traced) -> Result<Box<Aimed>, Rejection> {
        let Traced { record, method, uri, version, headers, body } = request;
        if method == Method::CONNECT || method == Method::TRACE {
            return Err(Rejection::MethodNotServed);
        }
        if fields::first(&headers, UPGRADE).is_some() {
            return Err(Rejection::Upgrade);
        }
        let target = Target::canonicalize(uri, &headers, version, self.max_target)?;
        let method = method::header_override(&method, &headers)?.unwrap_or(method);
        let effect = Effect::of(&self.routes, &method, &target, self.unlisted_reads_harmless);
        // Noted once for each request, so nothing was there before.
        let _ = record.target.set(TargetNote::of(target.path_and_query()));
        if let Effect::Read(listed) = effect {
            record.route.set(listed.id);
        }
        Ok(Box::new(Aimed { record, method, target, effect, counted: None, headers, body }))
    }
}
