//! Decides which format is answered, and how the upstream is asked for it.

use futures_util::future::Either;
use http::uri::PathAndQuery;
use http_body::Body as _;
use std::sync::Arc;
use tower::{Layer, Service, layer::layer_fn};

use super::{Answer, Step, always_ready, refuse};
use crate::{
    api::{
        format::{Terms, Wishes, negotiate},
        routes::RouteTable,
        target::Target,
    },
    call::{Aimed, Call, Effect, Exchange},
    rejection::Rejection,
    vocabulary::Format,
};

/// The service of this layer.
#[derive(Clone)]
pub struct Negotiate<S> {
    inner: S,
    routes: Arc<RouteTable>,
    strict: bool,
}

/// Negotiates by the routes and the tenant's default format; `strict` refuses contradictions.
pub fn layer<S>(
    routes: Arc<RouteTable>,
    strict: bool,
) -> impl Layer<S, Service = Negotiate<S>> + Clone {
    layer_fn(move |inner| Negotiate { inner, routes: Arc::clone(&routes), strict })
}

impl<S> Service<Call> for Negotiate<S>
where
    S: Service<Exchange, Response = Answer, Error = Rejection>,
{
    type Response = Answer;
    type Error = Rejection;
    type Future = Step<S::Future>;

    always_ready!();

    fn call(&mut self, call: Call) -> Self::Future {
        match self.exchange(call) {
            Ok(exchange) => Either::Right(self.inner.call(exchange)),
            Err(rejection) => refuse(rejection),
        }
    }
}

impl<S> Negotiate<S> {
    fn exchange(&self, call: Call) -> Result<Exchange, Rejection> {
        let Aimed { target, effect, headers, record, body, .. } = &call.request;
        let wishes = Wishes::of(target, headers, !body.is_end_stream());
        let default = call.caller.grant().tenant.default_format;
        let terms = Terms { only: None, default, strict: self.strict };
        let (ask, format) = ask(&self.routes, target, *effect, &wishes, terms)?;
        if let Some(format) = format {
            record.format.set(format);
        }
        Ok(Exchange { call, ask, format, touch: None })
    }
}

/// How a target is asked for upstream, and in which format; none for what is asked for as it is.
pub fn ask(
    routes: &RouteTable,
    target: &Target,
    effect: Effect,
    wishes: &Wishes<'_>,
    terms: Terms,
) -> Result<(PathAndQuery, Option<Format>), Rejection> {
    let wished = negotiate(wishes, terms);
    let as_it_is = || target.path_and_query().clone();
    Ok(match effect {
        Effect::Read(listed) => {
            let route = routes.route(listed.id);
            if route.as_is {
                (as_it_is(), None)
            } else {
                let format = wished?;
                (target.asked_in(format, route.suffix_place(target.path()))?, Some(format))
            }
        }
        Effect::Write(_) => (as_it_is(), Some(wished?)),
        // It may have a format that is none of ours (a CSV, a download): the upstream's to say.
        Effect::UnlistedRead { .. } => (as_it_is(), wished.ok()),
    })
}
