//! The leaf: what goes to the upstream, and what comes back from it.
//!
//! 1. A fill is built from its key alone; no header of the first caller reaches it. What is kept under
//!    that key may be asked about by the upstream's own tag (`cache/validator`).
//! 2. What is passed on has an allow-list of headers, each with its reason. `Cookie` (a session
//!    cookie alone is a login), forwarding headers, method overrides and names with `_` (the same
//!    name as one with `-` to CGI) are not on it, nor is `Range`: half a secret is not recognized.
//! 3. The credential is put in last, after everything of the client's was left out.
//! 4. Of a reply, hop-by-hop headers, cookies and the upstream's own traces stay here, and its
//!    address is replaced in `Location` and `Link`.
//! 5. Every reply that may be text is masked by the caller's view, unless the operator says of a
//!    route of theirs that it holds no secrets. What is passed on loses the upstream's tag if anything
//!    may have been hidden in it: that is a hash of what is hidden, and a short password is guessed.
//!    A page or a table has no fields that are known, and is for those alone who may read all of it.

mod requests;
mod search;

pub use self::search::Views;

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::SystemTime,
};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode,
    header::{self, CONTENT_ENCODING, CONTENT_LENGTH, ETAG},
};
use tower::Service;

use self::{
    requests::{fill_request, forward_request},
    search::{Search, shows_whole},
};
use super::Answer;
use crate::{
    api::{format::to_search, method::is_read, routes::RouteTable},
    body::{Body, UpstreamBody},
    cache::{
        cause::Cause,
        coherence::Change,
        key::Key,
        touch::Settlement,
        validator::{Held, Provenance},
    },
    call::{Effect, Exchange, Outbound},
    clock::unix,
    error_chain::error_chain,
    limit::Limited,
    metrics::{Metrics, cache::Revalidation},
    net::{
        hop_by_hop,
        server::ClientBodyError,
        upstream::{LeaseError, UpstreamError, never},
    },
    rejection::Rejection,
    rotation::Patience,
    site::Site,
    tenants::{directory::Directory, snapshot::Credential},
    vocabulary::{InvalidationCause, Secrecy, UpstreamCause},
};

/// The service at the end of the request path.
#[derive(Clone)]
pub struct ToUpstream {
    sites: Arc<Sites>,
    /// What its requests are counted as, if not by what each is for.
    counted_as: Option<UpstreamCause>,
}

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
    /// What is masked in each view.
    pub fields: Views,
    /// The longest text that is held back while it is searched for secrets.
    pub max_masked_token: usize,
    /// The largest body of a request, for the refusal that names it.
    pub max_request_body: u64,
    /// How long requests wait for a key that is being replaced.
    pub patience: Arc<Patience>,
    /// The series.
    pub metrics: Arc<Metrics>,
}

type Answered = Pin<Box<dyn Future<Output = Result<Answer, Rejection>> + Send>>;

/// Headers of a reply that stay here.
static KEPT_BACK: [HeaderName; 7] = [
    header::SET_COOKIE, // a login
    header::SERVER,     // traces of what the upstream runs
    HeaderName::from_static("x-powered-by"),
    HeaderName::from_static("x-runtime"),
    HeaderName::from_static("x-request-id"), // ours is the name of the request
    CONTENT_LENGTH,                          // framed anew: a masked body has another length
    header::ACCEPT_RANGES,                   // no `Range` is passed on
];

/// The service over the configured upstreams; `counted_as` is what all of its requests are for.
pub fn service(sites: Arc<Sites>, counted_as: Option<UpstreamCause>) -> ToUpstream {
    ToUpstream { sites, counted_as }
}

impl Service<Outbound> for ToUpstream {
    type Response = Answer;
    type Error = Rejection;
    type Future = Answered;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, outbound: Outbound) -> Answered {
        let (sites, counted_as) = (Arc::clone(&self.sites), self.counted_as);
        match outbound {
            Outbound::Fill { key, credential, masked, held, cause } => {
                let cause = counted_as.unwrap_or(cause);
                Box::pin(async move { sites.fill(&key, &credential, masked, held, cause).await })
            }
            Outbound::Forward(exchange) => {
                Box::pin(async move { sites.forward(*exchange, counted_as).await })
            }
        }
    }
}

impl Sites {
    async fn fill(
        &self,
        key: &Key,
        credential: &Arc<Credential>,
        masked: bool,
        held: Option<Held>,
        cause: UpstreamCause,
    ) -> Result<Answer, Rejection> {
        let site = self.site(credential)?;
        let asked = held.as_ref().and_then(|held| held.condition(self.vault()));
        let mut reply = self.ask(site, key, credential, cause, asked).await?;
        if let Some(held) = held.as_ref().filter(|_| asked.is_some()) {
            if reply.status() == StatusCode::NOT_MODIFIED {
                if let Some(answer) = self.renew(site, held, &mut reply) {
                    return Ok(answer);
                }
                // Of something else, or the secrets are others by now: once more, in full.
                reply = self.ask(site, key, credential, cause, None).await?;
            } else if reply.status().is_success() {
                self.metrics.cache.revalidations.of(Revalidation::Modified).inc();
            }
        }
        if reply.status() == StatusCode::NOT_MODIFIED {
            tracing::warn!(upstream = site.origin(), "the upstream answers 304 unasked");
            return Err(Rejection::UpstreamBroken);
        }
        if masked && key.secrecy() == Secrecy::Hidden && shows_whole(&reply) {
            return Err(Rejection::SecretsHidden);
        }
        // Before the secrets are looked for, which are then those of this version or later ones.
        let vault = self.vault();
        let search = masked.then(|| Search {
            format: to_search(reply.headers(), key.format()),
            secrecy: key.secrecy(),
        });
        let mut answer = self.receive(site, credential, &Method::GET, reply, search).await?;
        answer.extensions_mut().insert(Provenance { vault, not_modified: false });
        Ok(answer)
    }

    /// Sends a fill, with a condition or without.
    async fn ask(
        &self,
        site: &Site,
        key: &Key,
        credential: &Arc<Credential>,
        cause: UpstreamCause,
        condition: Option<&HeaderValue>,
    ) -> Result<Response<UpstreamBody>, Rejection> {
        let ask = async |credential: &Credential| {
            let make = || fill_request(key, credential, condition);
            let sent = site.pool().exchange(cause, make(), || (), || Some(make())).await;
            sent.map_err(|error| self.refusal(&error))
        };
        let credential = self.patience.current(credential).await.ok_or(Rejection::KeyHeld)?;
        let reply = ask(&credential).await?;
        if reply.status() != StatusCode::UNAUTHORIZED {
            return Ok(reply);
        }
        // Its slot may be what the new key waits for.
        drop(reply);
        // A read changes nothing, so it may be sent again with the key that works.
        match self.patience.replaced(&credential).await {
            Some(next) => ask(&next).await,
            None => Err(self.refused(&credential)),
        }
    }

    /// The 200 that a 304 stands for, if it speaks of what is held.
    fn renew(
        &self,
        site: &Site,
        held: &Held,
        reply: &mut Response<UpstreamBody>,
    ) -> Option<Answer> {
        let vault = self.vault();
        self.clean(site, reply.headers_mut());
        let (headers, body) = held.renewed(reply.headers(), vault)?;
        self.metrics.cache.revalidations.of(Revalidation::NotModified).inc();
        let mut answer = Answer::new(Body::from(body));
        *answer.headers_mut() = headers;
        answer.extensions_mut().insert(Provenance { vault, not_modified: true });
        Some(answer)
    }

    /// The version of the secrets that must not be shown.
    fn vault(&self) -> u64 {
        self.directory.snapshot().vault_version()
    }

    async fn forward(
        &self,
        exchange: Exchange,
        counted_as: Option<UpstreamCause>,
    ) -> Result<Answer, Rejection> {
        let credential = self.patience.current(exchange.call.caller.credential()).await;
        let credential = credential.ok_or(Rejection::KeyHeld)?;
        let site = self.site(&credential)?;
        let touch = exchange.touch.clone();
        let method = exchange.call.request.method.clone();
        let counts_as_write = exchange.call.request.effect.is_write();
        let cause = if counts_as_write { UpstreamCause::Write } else { UpstreamCause::Pass };
        let cause = counted_as.unwrap_or(cause);
        let (masked, format) = (self.is_masked(&exchange), exchange.format);
        let secrecy = exchange.call.caller.secrecy();
        let may_hide = masked && secrecy == Secrecy::Hidden;
        let request = forward_request(exchange, &credential, may_hide);
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
                touch.end(Settlement::Settled);
            }
            self.refusal(&error)
        })?;
        let shown_whole = may_hide && shows_whole(&reply);
        // A GET that counts as a write shows what it reads.
        if shown_whole && is_read(&method) {
            return Err(Rejection::SecretsHidden);
        }
        let search = masked.then(|| Search { format: to_search(reply.headers(), format), secrecy });
        let hides = search.as_ref().is_some_and(Search::hides);
        let mut answer = self.receive(site, &credential, &method, reply, search).await?;
        // What became of a write is said by the status; a form that comes with it shows the item.
        if shown_whole {
            *answer.body_mut() = Body::empty();
        }
        // A 304 says it of what the client has named.
        if hides && answer.status() != StatusCode::NOT_MODIFIED {
            answer.headers_mut().remove(ETAG);
        }
        Ok(answer)
    }

    async fn receive(
        &self,
        site: &Site,
        credential: &Credential,
        method: &Method,
        reply: Response<UpstreamBody>,
        search: Option<Search>,
    ) -> Result<Answer, Rejection> {
        let (mut parts, body) = reply.into_parts();
        if parts.status == StatusCode::UNAUTHORIZED {
            return Err(self.refused(credential));
        }
        if *method != Method::HEAD && hop_by_hop::is_encoded(&parts.headers) {
            // Nobody asked for it, and it can be neither searched nor handed on without the header.
            let searched = search.is_some();
            return Err(if searched { Rejection::Unmaskable } else { Rejection::UpstreamBroken });
        }
        let length = parts.headers.get(CONTENT_LENGTH).cloned();
        self.clean(site, &mut parts.headers);
        // Of the whole: where something is hidden it says how long that is.
        let hides = search.as_ref().is_some_and(Search::hides);
        if let Some(length) = length.filter(|_| *method == Method::HEAD && !hides) {
            parts.headers.insert(CONTENT_LENGTH, length);
        }
        let Some(Search { format, secrecy }) = search else {
            return Ok(Response::from_parts(parts, Body::upstream(body, None)));
        };
        if *method != Method::HEAD && parts.headers.contains_key(CONTENT_ENCODING) {
            // Nobody asked for it, and what is compressed cannot be searched.
            return Err(Rejection::Unmaskable);
        }
        let sought = site.sought();
        let found = &self.metrics.disclosures_masked;
        sought.star_headers(&mut parts.headers, found);
        let refused = parts.status == StatusCode::UNPROCESSABLE_ENTITY;
        let masker = format.filter(|_| *method != Method::HEAD).map(|format| {
            let masker = sought.masker(format, self.fields.of(secrecy), self.max_masked_token);
            if refused { masker.of_a_refusal() } else { masker }
        });
        let body = Body::upstream(body, masker).scanned(sought.scanner(), found.clone());
        Ok(Response::from_parts(parts, body))
    }

    /// What the credential was shown is no longer its to see.
    fn refused(&self, credential: &Credential) -> Rejection {
        let all = self.routes.families().all();
        let (all, cause) = (Change::whole(all), InvalidationCause::CredentialRefused);
        credential.partition.account().because(all, Cause::Other(cause));
        credential.partition.account().touch(all);
        self.metrics.cache.invalidations.of(cause).inc();
        self.metrics.credentials.rejected(&credential.name, unix(SystemTime::now()));
        tracing::error!(credential = credential.name, "the upstream refused a credential");
        Rejection::CredentialRefused
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

    /// Only an operator's own route can be one whose replies are not searched.
    fn is_masked(&self, exchange: &Exchange) -> bool {
        let request = &exchange.call.request;
        let listed = match request.effect {
            Effect::Read(listed) => Some(listed),
            Effect::Write(_) | Effect::UnlistedRead { .. } => self.routes.read(&request.target),
        };
        listed.is_none_or(|listed| self.routes.route(listed.id).masked)
    }

    fn refusal(&self, error: &UpstreamError) -> Rejection {
        if let UpstreamError::NoConnection(LeaseError::Down(wait)) = error {
            // Said once, when it went down.
            return Rejection::UpstreamDown(Limited { retry_after: *wait });
        }
        tracing::warn!(reason = error_chain(error), "an upstream request failed");
        match error {
            UpstreamError::NoConnection(LeaseError::Saturated | LeaseError::Down(_)) => {
                Rejection::UpstreamSaturated
            }
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
