//! The pool: slots, idle connections, and who may use them.

use std::{
    collections::VecDeque,
    fmt,
    hash::RandomState,
    io, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::AbortHandle,
    time::{Instant, sleep, timeout},
};

use super::{
    BoxError, RequestBody,
    breaker::Breaker,
    budget::RetryBudget,
    config::Config,
    dial::{Dialer, Dialing, TlsSetupError},
    link::{Link, SendError},
    origin::Origin,
};
use crate::metrics::Metrics;

/// One upstream and the connections to it. `B` is the body of the requests that are sent to it.
pub struct Upstream<B> {
    origin: Origin,
    dialer: Dialer,
    dial: fn(&Dialer) -> Dialing<'_, B>,
    slots: Arc<Semaphore>,
    waiters: Semaphore,
    idle: Mutex<VecDeque<Idle<B>>>,
    sweeper: AbortHandle,
    pub(super) host_header: HeaderValue,
    pub(super) budget: Mutex<RetryBudget>,
    pub(super) breaker: Mutex<Breaker>,
    /// For the breaker, which tells requests apart.
    pub(super) tell_apart: RandomState,
    pub(super) config: Config,
    pub(super) metrics: Arc<Metrics>,
}

/// Why there is no connection. Nothing was sent.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// All connections are in use, and none became free within the bounds of the queue.
    #[error("all connections to the upstream are in use")]
    Saturated,
    /// The upstream is down; the next request is let through after so long.
    #[error("the upstream is down and left alone for a while")]
    Down(Duration),
    /// The host has no address, or none accepts a connection.
    #[error("cannot connect to the upstream")]
    ConnectFailed(#[source] io::Error),
    /// Look-up, connection and handshake took too long.
    #[error("connecting to the upstream took too long")]
    ConnectTimedOut,
    /// The upstream could not be authenticated, or does not speak TLS.
    #[error("the TLS handshake with the upstream failed")]
    TlsFailed(#[source] io::Error),
}

/// A connection for one request, and the slot that it stands in. Dropped, it is closed.
pub(super) struct Lease<B> {
    upstream: Arc<Upstream<B>>,
    link: Link<B>,
    reused: bool,
    // Declared last, so that the slot is freed after the connection is let go.
    _slot: OwnedSemaphorePermit,
}

struct Idle<B> {
    link: Link<B>,
    since: Instant,
}

/// The bounds of how often idle connections are looked through.
const SWEEP_EVERY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

impl<B: RequestBody> Upstream<B> {
    /// The pool of an upstream whose settings were found [valid](Config::validate).
    ///
    /// Connections are made when they are needed. Must be called within a tokio runtime.
    pub fn new(
        origin: Origin,
        config: Config,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>, TlsSetupError>
    where
        B::Error: Into<BoxError>,
    {
        let dialer = Dialer::new(&origin, &config, &metrics)?;
        let every = (config.idle_timeout / 4).clamp(SWEEP_EVERY.0, SWEEP_EVERY.1);
        Ok(Arc::new_cyclic(|this| Self {
            host_header: origin.host_header(),
            origin,
            dialer,
            dial: Dialer::dial,
            slots: Arc::new(Semaphore::new(count(config.max_connections))),
            waiters: Semaphore::new(count(config.max_waiting)),
            idle: Mutex::default(),
            sweeper: tokio::spawn(sweep(Weak::clone(this), every)).abort_handle(),
            budget: Mutex::new(RetryBudget::new(
                config.retry_percent,
                config.retries_per_second,
                Instant::now(),
            )),
            tell_apart: RandomState::new(),
            breaker: Mutex::new(Breaker::new(config.breaker_failures, config.breaker_interval)),
            config,
            metrics,
        }))
    }

    /// Waits for a slot, then takes an idle connection or makes one.
    pub(super) async fn lease(self: &Arc<Self>) -> Result<Lease<B>, LeaseError> {
        let slot = self.slot().await?;
        let (link, reused) = match self.take_idle().await {
            Some(link) => (link, true),
            None => ((self.dial)(&self.dialer).await?, false),
        };
        Ok(Lease { upstream: Arc::clone(self), link, reused, _slot: slot })
    }

    async fn slot(&self) -> Result<OwnedSemaphorePermit, LeaseError> {
        if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
            return Ok(slot);
        }
        let _place = self.waiters.try_acquire().map_err(|_| LeaseError::Saturated)?;
        let _waiting = Metrics::raise(&self.metrics.upstreams.waiting);
        let slot = Arc::clone(&self.slots).acquire_owned();
        match timeout(self.config.queue_timeout, slot).await {
            Ok(Ok(slot)) => Ok(slot),
            Ok(Err(_)) | Err(_) => Err(LeaseError::Saturated),
        }
    }

    async fn take_idle(&self) -> Option<Link<B>> {
        loop {
            let mut idle = self.idle().pop_back()?;
            if self.is_fresh(&idle, Instant::now()) && idle.link.settled().await {
                return Some(idle.link);
            }
        }
    }
}

impl<B> Upstream<B> {
    /// Where it is.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    fn put_back(&self, link: Link<B>) {
        let now = Instant::now();
        if !link.is_usable(now) {
            return;
        }
        let mut idle = self.idle();
        idle.push_back(Idle { link, since: now });
        let oldest = if idle.len() > count(self.config.max_idle) { idle.pop_front() } else { None };
        // Closing wakes tasks, which is no work to do under the lock.
        drop(idle);
        drop(oldest);
    }

    fn close_stale(&self, now: Instant) {
        let mut idle = self.idle();
        let (fresh, stale): (VecDeque<_>, VecDeque<_>) =
            mem::take(&mut *idle).into_iter().partition(|i| self.is_fresh(i, now));
        *idle = fresh;
        drop(idle);
        drop(stale);
    }

    fn is_fresh(&self, idle: &Idle<B>, now: Instant) -> bool {
        idle.link.is_usable(now)
            && now.saturating_duration_since(idle.since) < self.config.idle_timeout
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<Idle<B>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B> Drop for Upstream<B> {
    fn drop(&mut self) {
        self.sweeper.abort();
    }
}

impl<B> fmt::Debug for Upstream<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Upstream").field(&format_args!("{}", self.origin)).finish()
    }
}

impl<B: RequestBody> Lease<B> {
    /// Sends a request and waits for the head of its reply.
    pub(super) async fn send(
        &mut self,
        request: Request<B>,
    ) -> Result<Response<Incoming>, SendError<B>> {
        self.link.send(request, self.upstream.config.reply_timeout).await
    }

    /// Makes a new connection in the place of this one, in the same slot.
    pub(super) async fn renew(&mut self) -> Result<(), LeaseError> {
        self.link = (self.upstream.dial)(&self.upstream.dialer).await?;
        self.reused = false;
        Ok(())
    }
}

impl<B> Lease<B> {
    /// Whether the connection had idled, so that the upstream may have closed it meanwhile.
    pub(super) fn is_reused(&self) -> bool {
        self.reused
    }

    /// The connection.
    pub(super) fn link(&mut self) -> &mut Link<B> {
        &mut self.link
    }

    /// How long the body of a reply may be silent.
    pub(super) fn body_patience(&self) -> Duration {
        self.upstream.config.body_idle_timeout
    }

    /// The reply has ended cleanly: the connection goes back, then the slot.
    pub(super) fn put_back(self) {
        self.upstream.put_back(self.link);
    }
}

/// Closes idle connections in time, for as long as the pool lives.
async fn sweep<B>(upstream: Weak<Upstream<B>>, every: Duration) {
    loop {
        sleep(every).await;
        let Some(upstream) = upstream.upgrade() else { return };
        upstream.close_stale(Instant::now());
    }
}

/// A configured number as a length.
fn count(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}
