//! One request and its reply, with the rule of what may be sent twice, and the counts of it all.

use std::{
    hash::BuildHasher as _,
    sync::{Arc, MutexGuard, PoisonError},
};

use http::{
    Request, Response, StatusCode, Uri, Version,
    header::{AUTHORIZATION, HOST, RETRY_AFTER},
    uri::PathAndQuery,
};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::{
    RequestBody,
    breaker::{Breaker, is_down, rest},
    budget::RetryBudget,
    link::SendError,
    pool::{Lease, LeaseError, Upstream},
    reply::ReplyBody,
};
use crate::{
    metrics::{Metrics, upstreams::UpstreamOutcome},
    vocabulary::UpstreamCause,
};

/// Why a request got no reply.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// There was no connection for it.
    #[error(transparent)]
    NoConnection(#[from] LeaseError),
    /// It was not written, twice over.
    #[error("the upstream closes its connections before a request can be sent")]
    NotSent(#[source] hyper::Error),
    /// The head of a reply did not come in time. The upstream may still act on the request.
    #[error("the upstream did not reply in time")]
    TimedOut,
    /// The connection broke before the head of a reply. The upstream may have acted on it.
    #[error("the connection to the upstream broke")]
    Broken(#[source] hyper::Error),
    /// The body of the request failed, so that it was not sent whole.
    #[error("the body of the request could not be read")]
    RequestBody(#[source] hyper::Error),
    /// The reply was a 101, to a request that asked for no such thing.
    #[error("the upstream switched protocols unasked")]
    SwitchedProtocols,
}

/// Counts one attempt when it is over, however it ends.
struct Attempt<'a> {
    metrics: &'a Metrics,
    cause: UpstreamCause,
    outcome: UpstreamOutcome,
}

/// For a request that is never to be sent again once it may have been written.
pub fn never<B>() -> Option<Request<B>> {
    None
}

impl<B: RequestBody> Upstream<B> {
    /// Sends a request and waits for the head of its reply.
    ///
    /// The request's target is sent in origin form, and its `Host` is set here.
    ///
    /// `on_send` is called once, when there is a connection and before the first byte is written;
    /// never, if there is no connection. If the connection turns out to be dead before a byte was
    /// written, the request is sent again on a new one.
    ///
    /// `replay` makes the request anew, or gives none if it must not be sent twice ([`never()`]).
    /// It is asked only for a safe request without a body, when a connection that had idled broke
    /// without a byte of a reply, and only while the budget for retries lasts.
    pub async fn exchange(
        self: &Arc<Self>,
        cause: UpstreamCause,
        request: Request<B>,
        on_send: impl FnOnce(),
        replay: impl FnOnce() -> Option<Request<B>>,
    ) -> Result<Response<ReplyBody<B>>, UpstreamError> {
        let harmless = request.method().is_safe() && request.body().is_end_stream();
        let asked = self.asked(&request);
        let entered = self.breaker().enter(Instant::now(), harmless.then_some(asked));
        entered.map_err(|wait| UpstreamError::NoConnection(LeaseError::Down(wait)))?;
        let answered = self.ask(cause, request, harmless, on_send, replay).await;
        self.judge(&answered, harmless, asked);
        answered
    }

    async fn ask(
        self: &Arc<Self>,
        cause: UpstreamCause,
        request: Request<B>,
        harmless: bool,
        on_send: impl FnOnce(),
        replay: impl FnOnce() -> Option<Request<B>>,
    ) -> Result<Response<ReplyBody<B>>, UpstreamError> {
        let attempt = Attempt::new(&self.metrics, cause);
        let mut lease = match self.lease().await {
            Ok(lease) => lease,
            Err(error) => return Err(attempt.failed(error.into())),
        };
        self.budget().deposit();
        on_send();
        let (again, failure) = match self.send(&mut lease, request, cause).await {
            Ok(head) => return attempt.answered(head, lease),
            Err(SendError::NotSent(request, error)) => {
                (Some(*request), UpstreamError::NotSent(error))
            }
            Err(error) => {
                let may = harmless && self.may_replay(&mut lease, &error);
                (if may { replay() } else { None }, error.into())
            }
        };
        let failure = attempt.failed(failure);
        let Some(request) = again else { return Err(failure) };
        self.send_again(lease, request).await.map_err(|second| failure.then(second))
    }

    /// Tells what is asked for, and in whose name, from what else may be.
    fn asked(&self, request: &Request<B>) -> u64 {
        let who = request.headers().get(AUTHORIZATION);
        self.tell_apart.hash_one((who, request.uri().path()))
    }

    /// Tells the breaker what came of a request.
    fn judge(
        &self,
        answered: &Result<Response<ReplyBody<B>>, UpstreamError>,
        harmless: bool,
        asked: u64,
    ) {
        let (asked, rest) = match answered {
            Ok(reply) if is_down(reply.status()) => {
                (Some(asked), rest(reply.headers().get(RETRY_AFTER)))
            }
            Ok(_) => return self.breaker().succeeded(),
            Err(UpstreamError::TimedOut | UpstreamError::Broken(_)) if harmless => {
                (Some(asked), None)
            }
            Err(error) if error.says_it_is_down() => (None, None),
            Err(_) => return,
        };
        if self.breaker().failed(Instant::now(), asked, rest) {
            self.metrics.upstreams.breaker_openings.inc();
            tracing::error!(upstream = %self.origin(), "an upstream is down");
        }
    }

    async fn send_again(
        &self,
        mut lease: Lease<B>,
        request: Request<B>,
    ) -> Result<Response<ReplyBody<B>>, UpstreamError> {
        let attempt = Attempt::new(&self.metrics, UpstreamCause::Retry);
        if let Err(error) = lease.renew().await {
            return Err(attempt.failed(error.into()));
        }
        match self.send(&mut lease, request, UpstreamCause::Retry).await {
            Ok(head) => attempt.answered(head, lease),
            Err(error) => Err(attempt.failed(error.into())),
        }
    }

    async fn send(
        &self,
        lease: &mut Lease<B>,
        mut request: Request<B>,
        cause: UpstreamCause,
    ) -> Result<Response<Incoming>, SendError<B>> {
        self.address(&mut request);
        let sent = Instant::now();
        let head = lease.send(request).await?;
        self.metrics.upstreams.durations.of(cause).observe(sent.elapsed().as_secs_f64());
        Ok(head)
    }

    /// Makes it a request to this upstream, whatever it was before.
    fn address(&self, request: &mut Request<B>) {
        *request.version_mut() = Version::HTTP_11;
        request.headers_mut().insert(HOST, self.host_header.clone());
        if request.uri().scheme().is_some() || request.uri().authority().is_some() {
            let root = || PathAndQuery::from_static("/");
            *request.uri_mut() =
                Uri::from(request.uri().path_and_query().cloned().unwrap_or_else(root));
        }
    }

    fn may_replay(&self, lease: &mut Lease<B>, error: &SendError<B>) -> bool {
        matches!(error, SendError::Broken(_))
            && lease.is_reused()
            && !lease.link().heard_anything()
            && self.budget().withdraw(Instant::now())
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn budget(&self) -> MutexGuard<'_, RetryBudget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UpstreamError {
    /// Whether the upstream cannot have seen any of the request.
    pub fn provably_not_sent(&self) -> bool {
        match self {
            Self::NoConnection(_) | Self::NotSent(_) => true,
            Self::TimedOut | Self::Broken(_) | Self::RequestBody(_) | Self::SwitchedProtocols => {
                false
            }
        }
    }

    /// Whether the upstream could not be reached, whatever was asked for.
    fn says_it_is_down(&self) -> bool {
        match self {
            Self::NoConnection(
                LeaseError::ConnectFailed(_)
                | LeaseError::ConnectTimedOut
                | LeaseError::TlsFailed(_),
            )
            | Self::NotSent(_) => true,
            // With a body it may be the client that was slow, or too long for the upstream.
            Self::NoConnection(LeaseError::Saturated | LeaseError::Down(_))
            | Self::TimedOut
            | Self::Broken(_)
            | Self::RequestBody(_)
            | Self::SwitchedProtocols => false,
        }
    }

    /// What two failures come to. That the second attempt was not sent says nothing about the
    /// first one.
    fn then(self, second: Self) -> Self {
        if second.provably_not_sent() && !self.provably_not_sent() { self } else { second }
    }

    fn outcome(&self) -> UpstreamOutcome {
        match self {
            Self::NoConnection(LeaseError::Saturated | LeaseError::Down(_)) => {
                UpstreamOutcome::Saturated
            }
            Self::NoConnection(
                LeaseError::ConnectFailed(_)
                | LeaseError::ConnectTimedOut
                | LeaseError::TlsFailed(_),
            ) => UpstreamOutcome::ConnectFailed,
            Self::TimedOut => UpstreamOutcome::TimedOut,
            Self::NotSent(_) | Self::Broken(_) | Self::SwitchedProtocols => UpstreamOutcome::Broken,
            Self::RequestBody(_) => UpstreamOutcome::Abandoned,
        }
    }
}

impl<B> From<SendError<B>> for UpstreamError {
    fn from(error: SendError<B>) -> Self {
        match error {
            SendError::NotSent(_, error) => Self::NotSent(error),
            SendError::TimedOut => Self::TimedOut,
            SendError::Broken(error) if error.is_user() => Self::RequestBody(error),
            SendError::Broken(error) => Self::Broken(error),
        }
    }
}

impl<'a> Attempt<'a> {
    fn new(metrics: &'a Metrics, cause: UpstreamCause) -> Self {
        Self { metrics, cause, outcome: UpstreamOutcome::Abandoned }
    }

    fn answered<B: RequestBody>(
        mut self,
        head: Response<Incoming>,
        lease: Lease<B>,
    ) -> Result<Response<ReplyBody<B>>, UpstreamError> {
        if head.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(self.failed(UpstreamError::SwitchedProtocols));
        }
        self.outcome = match head.status().as_u16() {
            ..400 => UpstreamOutcome::Success,
            400..500 => UpstreamOutcome::ClientError,
            500.. => UpstreamOutcome::ServerError,
        };
        Ok(head.map(|incoming| ReplyBody::new(incoming, lease)))
    }

    fn failed(mut self, error: UpstreamError) -> UpstreamError {
        self.outcome = error.outcome();
        error
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.metrics.upstreams.requests.of(self.cause, self.outcome).inc();
    }
}
