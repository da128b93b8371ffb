//! Decides which format is answered, and how the upstream is asked for it.

use std::{collections::HashMap, sync::Arc};

use futures_util::future::Either;
use http::uri::PathAndQuery;
use http_body::Body as _;
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
    tenants::snapshot::Grant,
    vocabulary::Format,
};

/// The service of this layer.
#[derive(Clone)]
pub struct Negotiate<S> {
    inner: S,
    rules: Arc<Rules>,
}

/// By what formats are negotiated.
#[derive(Debug)]
pub struct Rules {
    /// The routes.
    pub routes: Arc<RouteTable>,
    /// Contradictions are refused.
    pub strict: bool,
    /// The upstreams that have one format alone.
    pub natives: HashMap<String, Format>,
}

/// How the upstream is asked, and what is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The target as it is asked for upstream, if not as it stands.
    pub ask: Option<PathAndQuery>,
    /// The format that is answered; none for what is asked for as it is.
    pub format: Option<Format>,
    /// The one format that the upstream has, if it has not both.
    pub native: Option<Format>,
}

/// Negotiates by these rules and the tenant's default format.
pub fn layer<S>(rules: Arc<Rules>) -> impl Layer<S, Service = Negotiate<S>> + Clone {
    layer_fn(move |inner| Negotiate { inner, rules: Arc::clone(&rules) })
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
        let Aimed { target, effect, headers, record, body, .. } = &*call.request;
        let wishes = Wishes::of(target, headers, !body.is_end_stream());
        let grant = call.caller.grant();
        let agreed = self.rules.agree(grant, target, *effect, &wishes)?;
        let Agreed { ask, format, native } = agreed;
        if let Some(format) = format {
            record.format.set(format);
        }
        Ok(Exchange { call, ask, format, native, touch: None })
    }
}

impl Rules {
    /// How a target is asked for upstream, and in which format it is answered.
    pub fn agree(
        &self,
        grant: &Grant,
        target: &Target,
        effect: Effect,
        wishes: &Wishes<'_>,
    ) -> Result<Agreed, Rejection> {
        let terms = Terms { only: None, default: grant.tenant.default_format, strict: self.strict };
        let wished = negotiate(wishes, terms);
        let as_it_is = |format| Agreed { ask: None, format, native: None };
        match effect {
            Effect::Read(listed) => {
                let route = self.routes.route(listed.id);
                if route.as_is {
                    return Ok(as_it_is(None));
                }
                let format = wished?;
                let native = self.native(grant, route.only_format);
                let place = route.suffix_place(target.path());
                let ask = target.asked_in(native.unwrap_or(format), place)?;
                Ok(Agreed { ask, format: Some(format), native })
            }
            Effect::Write(_) => self.in_native(grant, target, as_it_is(Some(wished?))),
            // It may have a format that is none of ours (a CSV, a download): the upstream's to say.
            Effect::UnlistedRead { .. } => self.in_native(grant, target, as_it_is(wished.ok())),
        }
    }

    /// What is asked for as it is, in the format that the upstream has.
    fn in_native(
        &self,
        grant: &Grant,
        target: &Target,
        agreed: Agreed,
    ) -> Result<Agreed, Rejection> {
        let route = self.routes.read(target).and_then(|l| self.routes.route(l.id).only_format);
        let native = self.native(grant, route);
        let Some(only) = native else { return Ok(agreed) };
        // An Accept is enough where nothing in the target says another format.
        let says = target.suffix().is_some() || target.format_parameter().is_some();
        let other = agreed.format.is_some_and(|format| format != only);
        let ask =
            if says && other { target.asked_in(only, target.path().len())? } else { agreed.ask };
        Ok(Agreed { ask, native, ..agreed })
    }

    fn native(&self, grant: &Grant, of_route: Option<Format>) -> Option<Format> {
        // Most installations have none, and a look is cheaper than a hash.
        if of_route.is_some() || self.natives.is_empty() {
            return of_route;
        }
        self.natives.get(&*grant.credential.upstream).copied()
    }
}
