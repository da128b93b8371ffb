//! What the token may ask for: guarded and secret routes, scopes, policies, and the method that will really run.
//!
//! A POST whose body Rack may turn into another method is read here, within a bound, because it
//! is judged as that method; only then is it known what it does. The body goes on byte for byte.

use std::{future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;
use futures_util::future::Either;
use http::Method;
use http_body_util::BodyExt as _;
use tower::{Layer, Service, layer::layer_fn};

use super::{Answer, Step, always_ready, of_body, police, refuse};
use crate::{
    api::{method, routes::RouteTable, target::Target},
    auth::scopes::Permission,
    call::{Aimed, Call, Effect},
    metrics::Metrics,
    net::server::ClientBody,
    policy::PolicyName,
    rejection::Rejection,
    tenants::snapshot::Grant,
};

/// The service of this layer.
#[derive(Clone)]
pub struct Authorise<S> {
    inner: S,
    judge: Judge,
}

/// Who decides.
#[derive(Clone)]
struct Judge {
    routes: Arc<RouteTable>,
    metrics: Arc<Metrics>,
    /// The largest body that is read for a method override.
    max_inspected_body: u64,
}

/// The future of this layer.
pub type Authorised<F> =
    Either<Step<F>, Pin<Box<dyn Future<Output = Result<Answer, Rejection>> + Send>>>;

/// Judges calls by the routes, and by the token's scopes and policies.
pub fn layer<S>(
    routes: Arc<RouteTable>,
    metrics: Arc<Metrics>,
    max_inspected_body: u64,
) -> impl Layer<S, Service = Authorise<S>> + Clone {
    let judge = Judge { routes, metrics, max_inspected_body };
    layer_fn(move |inner| Authorise { inner, judge: judge.clone() })
}

impl<S> Service<Call> for Authorise<S>
where
    S: Service<Call, Response = Answer, Error = Rejection> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Answer;
    type Error = Rejection;
    type Future = Authorised<S::Future>;

    always_ready!();

    fn call(&mut self, mut call: Call) -> Self::Future {
        let request = &*call.request;
        let grant = call.caller.grant();
        let Aimed { method, target, effect, .. } = request;
        if let Err(rejection) = judge(&self.judge.routes, grant, method, target, *effect) {
            return Either::Left(refuse(rejection));
        }
        if method::may_hide_override(&request.method, &request.headers) {
            let (judge, mut inner) = (self.judge.clone(), self.inner.clone());
            return Either::Right(Box::pin(async move {
                let call = judge.reveal_override(call).await?;
                inner.call(call).await
            }));
        }
        match self.judge.police(&call, &call.request.method) {
            Err(rejection) => Either::Left(refuse(rejection)),
            Ok(counted) => {
                call.request.counted = counted;
                Either::Left(Either::Right(self.inner.call(call)))
            }
        }
    }
}

impl Judge {
    async fn reveal_override(&self, mut call: Call) -> Result<Call, Rejection> {
        let most = self.max_inspected_body;
        let request = &mut call.request;
        let body = std::mem::replace(&mut request.body, ClientBody::empty());
        let bytes = read_whole(body, most).await?;
        let overriding = method::body_override(&request.headers, &bytes)?;
        if let Some(method) = &overriding {
            if self.routes.is_guarded(method, &request.target) {
                return Err(Rejection::Guarded);
            }
            request.effect = Effect::Write(self.routes.touches_by(method, &request.target));
        }
        request.body = ClientBody::from_bytes(bytes);
        let method = overriding.as_ref().unwrap_or(&call.request.method);
        call.request.counted = self.police(&call, method)?;
        Ok(call)
    }

    fn police(&self, call: &Call, method: &Method) -> Result<Option<PolicyName>, Rejection> {
        police::enforce(&self.routes, &self.metrics, call.caller.grant(), &call.request, method)
    }
}

/// Whether scopes and permissions allow what a request does.
pub fn judge(
    routes: &RouteTable,
    grant: &Grant,
    method: &Method,
    target: &Target,
    effect: Effect,
) -> Result<(), Rejection> {
    let (guarded, secret, scope) = match effect {
        Effect::Read(listed) => (
            routes.is_guarded_read(listed, method, target),
            routes.is_secret_read(listed, target),
            routes.route(listed.id).scope_mask(),
        ),
        Effect::Write(touches) | Effect::UnlistedRead { touches, .. } => {
            (routes.is_guarded(method, target), routes.is_secret(target), touches.scope)
        }
    };
    // Of these the gateway keeps what they make.
    let kept = || {
        let may = grant.permissions.contains(Permission::ManageCredentials);
        may && routes.mints(method, target).is_some()
    };
    if guarded && !kept() {
        return Err(Rejection::Guarded);
    }
    if secret && !grant.permissions.contains(Permission::ReadSecrets) {
        return Err(Rejection::SecretsHidden);
    }
    let scopes = &grant.scopes;
    if effect.may_change() && !scopes.permits_writes() {
        return Err(Rejection::ReadOnly);
    }
    if scopes.permits(scope) { Ok(()) } else { Err(Rejection::OutOfScope) }
}

/// Reads a request's body within a bound.
async fn read_whole(body: ClientBody, most: u64) -> Result<Bytes, Rejection> {
    let collected = body.limited(most).collect().await;
    collected.map(http_body_util::Collected::to_bytes).map_err(|error| of_body(&error, most))
}
