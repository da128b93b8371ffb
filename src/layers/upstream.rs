//! The leaf: what goes to the upstream, and what comes back from it.
//!
//! 1. A fill is built from its key alone; no header of the first caller reaches it.
//! 2. What is passed on has an allow-list of headers, each with its reason. `Cookie` (a session
//!    cookie alone is a login), forwarding headers, method overrides and names with `_` (the same
//!    name as one with `-` to CGI) are not on it, nor is `Range`: half a secret is not recognized.
//! 3. The credential is put in last, after everything of the client's was left out.
//! 4. Of a reply, hop-by-hop headers, cookies and the upstream's own traces stay here, and its
//!    address is replaced in `Location` and `Link`.
//! 5. Every reply that is text is masked, unless the operator's route is passed as it is.

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{
        self, ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH,
        CONTENT_TYPE, USER_AGENT,
    },
};
use tower::Service;

use super::Answer;
use crate::{
    api::{method::is_read, routes::RouteTable},
    body::{Body, UpstreamBody},
    cache::key::Key,
    call::{Effect, Exchange, Outbound},
    metrics::Metrics,
    net::{
        hop_by_hop,
        server::{ClientBody, ClientBodyError},
        upstream::{LeaseError, UpstreamError, never},
    },
    rejection::Rejection,
    site::Site,
    tenants::{directory::Directory, snapshot::Credential},
    transcode::mask::Masker,
    vocabulary::{Format, InvalidationCause, UpstreamCause},
};

/// The service at the end of the request path.
#[derive(Clone)]
pub struct ToUpstream(Arc<Sites>);

/// The upstreams that are configured, and what all of them share.
pub struct Sites {
    /// By name.
    pub by_name: HashMap<String, Arc<Site>>,
    /// The secrets that must not be shown.
    pub directory: Arc<Directory>,
    /// The routes.
    pub routes: Arc<RouteTable>,
    /// The address that clients know, without a slash at its end; none makes locations relative.
    pub public_url: Option<String>,
    /// The longest text that is held back while it is searched for secrets.
    pub max_masked_token: usize,
    /// The largest body of a request, for the refusal that names it.
    pub max_request_body: u64,
    /// The series.
    pub metrics: Arc<Metrics>,
}

type Answered = Pin<Box<dyn Future<Output = Result<Answer, Rejection>> + Send>>;

/// Headers of a client that are passed on.
static PASSED_ON: [HeaderName; 6] = [
    header::ACCEPT_LANGUAGE, // Rails translates messages by it
    header::IF_MATCH,        // conditions are the upstream's to judge where we keep nothing
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
    USER_AGENT, // an operator of the panel looks for it in its log
];

/// Headers of a reply that stay here.
static KEPT_BACK: [HeaderName; 6] = [
    header::SET_COOKIE, // a login
    header::SERVER,     // traces of what the upstream runs
    HeaderName::from_static("x-powered-by"),
    HeaderName::from_static("x-runtime"),
    HeaderName::from_static("x-request-id"), // ours is the name of the request
    CONTENT_LENGTH,                          // framed anew: a masked body has another length
];

const TOLLGATE: HeaderValue =
    HeaderValue::from_static(concat!("tollgate/", env!("CARGO_PKG_VERSION")));
const IDENTITY: HeaderValue = HeaderValue::from_static("identity");
const ANYTHING: HeaderValue = HeaderValue::from_static("*/*");
const HTTPS: HeaderValue = HeaderValue::from_static("https");

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The service over the configured upstreams.
pub fn service(sites: Arc<Sites>) -> ToUpstream {
    ToUpstream(sites)
}

impl Service<Outbound> for ToUpstream {
    type Response = Answer;
    type Error = Rejection;
    type Future = Answered;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, outbound: Outbound) -> Answered {
        let sites = Arc::clone(&self.0);
        match outbound {
            Outbound::Fill { key, credential } => {
                Box::pin(async move { sites.fill(&key, &credential).await })
            }
            Outbound::Forward(exchange) => Box::pin(async move { sites.forward(*exchange).await }),
        }
    }
}

impl Sites {
    async fn fill(&self, key: &Key, credential: &Credential) -> Result<Answer, Rejection> {
        let site = self.site(credential)?;
        let make = || fill_request(key, credential);
        let cause = UpstreamCause::Fill;
        let sent = site.pool().exchange(cause, make(), || (), || Some(make())).await;
        let reply = sent.map_err(|error| self.refusal(&error))?;
        let as_it_is = key.format().is_none();
        self.receive(site, credential, &Method::GET, reply, as_it_is).await
    }

    async fn forward(&self, exchange: Exchange) -> Result<Answer, Rejection> {
        let credential = Arc::clone(exchange.call.caller.credential());
        let site = self.site(&credential)?;
        let touch = exchange.touch.clone();
        let method = exchange.call.request.method.clone();
        let cause = if exchange.call.request.effect.is_write() {
            UpstreamCause::Write
        } else {
            UpstreamCause::Pass
        };
        let as_it_is = self.is_as_it_is(&exchange);
        let request = forward_request(exchange, &credential);
        let sent = || {
            if let Some(touch) = &touch {
                touch.sent();
            }
        };
        let sent = site.pool().exchange(cause, request, sent, never).await;
        let reply = sent.map_err(|error| {
            if error.provably_not_sent()
                && let Some(touch) = &touch
            {
                touch.end(crate::cache::touch::Settlement::Settled);
            }
            self.refusal(&error)
        })?;
        self.receive(site, &credential, &method, reply, as_it_is).await
    }

    async fn receive(
        &self,
        site: &Site,
        credential: &Credential,
        method: &Method,
        reply: Response<UpstreamBody>,
        as_it_is: bool,
    ) -> Result<Answer, Rejection> {
        let (mut parts, body) = reply.into_parts();
        if parts.status == StatusCode::UNAUTHORIZED {
            let all = self.routes.families().all();
            credential.partition.own().touch(all);
            self.metrics.invalidations.of(InvalidationCause::CredentialRefused).inc();
            tracing::error!(credential = credential.name, "the upstream refused a credential");
            return Err(Rejection::CredentialRefused);
        }
        let length = parts.headers.get(CONTENT_LENGTH).cloned();
        let masked = if as_it_is { None } else { text_format(&parts.headers) };
        self.clean(site, &mut parts.headers);
        let masker = match masked {
            Some(format) if *method != Method::HEAD => {
                if parts.headers.contains_key(CONTENT_ENCODING) {
                    // Nobody asked for it, and what is compressed cannot be searched.
                    return Err(Rejection::Unmaskable);
                }
                let secrets = site.secrets(&self.directory).await;
                Some(Masker::new(format, secrets, self.max_masked_token))
            }
            _ => None,
        };
        if let Some(length) = length.filter(|_| *method == Method::HEAD) {
            parts.headers.insert(CONTENT_LENGTH, length);
        }
        Ok(Response::from_parts(parts, Body::upstream(body, masker)))
    }

    /// Leaves out of a reply what is not for clients.
    fn clean(&self, site: &Site, headers: &mut HeaderMap) {
        hop_by_hop::strip(headers);
        for name in &KEPT_BACK {
            headers.remove(name);
        }
        for name in [header::LOCATION, header::LINK] {
            if let Some(value) = headers.get(&name)
                && let Some(rewritten) = site.public(value, self.public_url.as_deref())
            {
                headers.insert(name, rewritten);
            }
        }
    }

    fn site(&self, credential: &Credential) -> Result<&Site, Rejection> {
        self.by_name.get(&*credential.upstream).map(|s| &**s).ok_or(Rejection::NoUpstream)
    }

    fn is_as_it_is(&self, exchange: &Exchange) -> bool {
        match exchange.call.request.effect {
            Effect::Read(listed) => self.routes.route(listed.id).as_is,
            Effect::Write(_) | Effect::UnlistedRead => {
                let listed = self.routes.read(&exchange.call.request.target);
                listed.is_some_and(|l| self.routes.route(l.id).as_is)
            }
        }
    }

    fn refusal(&self, error: &UpstreamError) -> Rejection {
        tracing::warn!(reason = chain(error), "an upstream request failed");
        match error {
            UpstreamError::NoConnection(LeaseError::Saturated) => Rejection::UpstreamSaturated,
            UpstreamError::NoConnection(
                LeaseError::ConnectFailed(_)
                | LeaseError::ConnectTimedOut
                | LeaseError::TlsFailed(_),
            )
            | UpstreamError::NotSent(_) => Rejection::UpstreamUnreachable,
            UpstreamError::TimedOut => Rejection::UpstreamTimedOut,
            UpstreamError::RequestBody(source) => self.refusal_of_body(source),
            UpstreamError::Broken(_) | UpstreamError::SwitchedProtocols => {
                Rejection::UpstreamBroken
            }
        }
    }

    fn refusal_of_body(&self, error: &hyper::Error) -> Rejection {
        let source = std::error::Error::source(error);
        match source.and_then(|s| s.downcast_ref::<ClientBodyError>()) {
            Some(ClientBodyError::Idle | ClientBodyError::Deadline) => Rejection::BodyTimedOut,
            Some(ClientBodyError::TooLarge) => Rejection::BodyTooLarge(self.max_request_body),
            Some(ClientBodyError::Broken(_)) | None => Rejection::BodyBroken,
        }
    }
}

fn fill_request(key: &Key, credential: &Credential) -> Request<ClientBody> {
    let mut request = Request::new(ClientBody::empty());
    *request.uri_mut() = Uri::from(key.target().clone());
    let headers = request.headers_mut();
    headers.insert(ACCEPT, key.format().map_or(ANYTHING, media_type));
    headers.insert(ACCEPT_ENCODING, IDENTITY);
    headers.insert(USER_AGENT, TOLLGATE);
    headers.insert(AUTHORIZATION, credential.authorization.clone());
    request
}

fn forward_request(exchange: Exchange, credential: &Credential) -> Request<ClientBody> {
    let Exchange { call, ask, format, .. } = exchange;
    let mut client = call.request;
    // The body was judged by its type: that one goes on, and no other, whatever `Connection` names.
    let judged_by = client.headers.get(CONTENT_TYPE).cloned();
    hop_by_hop::strip(&mut client.headers);
    // A type without a body makes Rails parse nothing as something.
    let bare = is_read(&client.method) && http_body::Body::is_end_stream(&client.body);
    let mut request = Request::new(client.body);
    *request.method_mut() = client.method;
    *request.uri_mut() = Uri::from(ask);
    let mut headers = HeaderMap::with_capacity(PASSED_ON.len() + 7);
    for name in &PASSED_ON {
        for value in client.headers.get_all(name) {
            headers.append(name, value.clone());
        }
    }
    if let Some(value) = judged_by.filter(|_| !bare) {
        headers.insert(CONTENT_TYPE, value);
    }
    let accept = match format {
        Some(format) => media_type(format),
        None => client.headers.get(ACCEPT).cloned().unwrap_or(ANYTHING),
    };
    headers.insert(ACCEPT, accept);
    headers.insert(ACCEPT_ENCODING, IDENTITY);
    if let Ok(address) = HeaderValue::from_str(&client.record.client.to_string()) {
        headers.insert(&X_FORWARDED_FOR, address);
        headers.insert(&X_FORWARDED_PROTO, HTTPS);
    }
    headers.insert(AUTHORIZATION, credential.authorization.clone());
    *request.headers_mut() = headers;
    request
}

fn media_type(format: Format) -> HeaderValue {
    match format {
        Format::Json => HeaderValue::from_static("application/json"),
        Format::Xml => HeaderValue::from_static("application/xml"),
    }
}

/// How a reply is searched for secrets; none for what is not text.
fn text_format(headers: &HeaderMap) -> Option<Format> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    match crate::api::format::of_media_type(value) {
        Some(format) => Some(format),
        // The scanner of markup finds a secret in any text.
        None if value.starts_with("text/") => Some(Format::Xml),
        None => None,
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
