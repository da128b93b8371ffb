//! Answers reads from memory: a hit ends here.
//!
//! An entry is shown when it is young enough and its stamp is still current; both are a few loads.
//! What is not found goes on as a miss with the stamp of this moment, which is before anything is
//! sent for it. So does what is found and is not new enough for the request; whoever may not demand
//! that is not listened to, so that nobody's hit costs a look at headers but theirs. Some of the hits
//! are put to the test when they have been answered (`sampler/`).

use std::{future::Future, pin::Pin, sync::Arc};

use futures_util::future::Either;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tower::{Layer, Service, layer::layer_fn};

use super::{Answer, Step, always_ready, refuse, show};
use crate::{
    api::routes::Listed,
    auth::scopes::Permission,
    cache::{
        dependence::Dependence,
        directives::Directives,
        entry::Stored,
        key::Key,
        standing::{Circumstances, Standing},
        status::CacheStatus,
        validator::Held,
    },
    call::{Effect, Exchange, Lookup, Miss},
    net::server::ClientBody,
    rejection::Rejection,
    sampler::{Sample, Sampler},
    vocabulary::{Bypass, CacheOutcome, Forward, Staleness},
};

/// The service of this layer.
#[derive(Clone)]
pub struct FromCache<S> {
    inner: S,
    sampler: Arc<Sampler>,
}

/// The future of this layer.
pub type Looked<F> =
    Either<Step<F>, Pin<Box<dyn Future<Output = Result<Answer, Rejection>> + Send>>>;

/// Answers from a sampler's shelf.
pub fn layer<S>(sampler: Arc<Sampler>) -> impl Layer<S, Service = FromCache<S>> + Clone {
    layer_fn(move |inner| FromCache { inner, sampler: Arc::clone(&sampler) })
}

impl<S> Service<Exchange> for FromCache<S>
where
    S: Service<Lookup, Response = Answer, Error = Rejection> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Answer;
    type Error = Rejection;
    type Future = Looked<S::Future>;

    always_ready!();

    fn call(&mut self, mut exchange: Exchange) -> Self::Future {
        let request = &mut exchange.call.request;
        if request.effect.is_write() || request.body.is_end_stream() {
            return Either::Left(self.look(exchange));
        }
        // Some clients send `null` with every GET; Rails reads that as no parameters.
        if request.body.size_hint().exact() != Some(NULL.len() as u64) {
            return Either::Left(self.pass(exchange, Some(Bypass::Body)));
        }
        let body = std::mem::replace(&mut request.body, ClientBody::empty());
        let mut this = self.clone();
        Either::Right(Box::pin(async move {
            let body = body.collect().await.map_err(|_| Rejection::BodyBroken)?.to_bytes();
            if body == NULL {
                this.look(exchange).await
            } else {
                exchange.call.request.body = ClientBody::from_bytes(body);
                this.pass(exchange, Some(Bypass::Body)).await
            }
        }))
    }
}

const NULL: &[u8] = b"null";

impl<S> FromCache<S>
where
    S: Service<Lookup, Response = Answer, Error = Rejection>,
    S::Future: Send + 'static,
{
    fn look(&mut self, mut exchange: Exchange) -> Step<S::Future> {
        let listed = match exchange.call.request.effect {
            Effect::Read(listed) => listed,
            Effect::UnlistedRead { .. } => return self.pass(exchange, Some(Bypass::Unlisted)),
            Effect::Write(_) => return self.pass(exchange, None),
        };
        let mut demands = demands(&exchange);
        match find(&self.sampler, &mut exchange, listed, demands) {
            Found::Answer(answer) => Either::Left(std::future::ready(Ok(answer))),
            Found::Sampled(answer, sample) => {
                let fetched = self.inner.call(Lookup::Sample(Box::new(sample.question())));
                self.sampler.compare(*sample, fetched);
                Either::Left(std::future::ready(Ok(answer)))
            }
            Found::Bypass(why) => self.pass(exchange, Some(why)),
            Found::Nothing { key, dependence, forward, held, stale } => {
                // Rule of coherence: the stamps are taken before anything is sent for it.
                let partition = &exchange.call.caller.credential().partition;
                let stamps = dependence.stamps(partition);
                if !stamps.shown.is_settled()
                    && let Some(cause) = partition.unsettled_by(dependence.view)
                {
                    exchange.call.request.record.cause.set(cause);
                }
                let (route, class) = (listed.id, dependence.class);
                demands.only_if_cached = must_not_ask(&exchange);
                let miss = Miss {
                    exchange,
                    key,
                    stamps,
                    route,
                    dependence,
                    forward,
                    demands,
                    held,
                    stale,
                    trusted_from: self.sampler.trusted_from(class),
                };
                Either::Right(self.inner.call(Lookup::Miss(Box::new(miss))))
            }
        }
    }

    fn pass(&mut self, exchange: Exchange, why: Option<Bypass>) -> Step<S::Future> {
        if let Some(why) = why {
            if must_not_ask(&exchange) {
                return refuse(Rejection::NotCached);
            }
            exchange.call.request.record.cache.set(CacheStatus::Bypass(why));
            self.sampler.shelf.metrics.cache.lookups.of(CacheOutcome::Bypass).inc();
        }
        Either::Right(self.inner.call(Lookup::Pass(Box::new(exchange), why)))
    }
}

enum Found {
    Answer(Answer),
    Sampled(Answer, Box<Sample>),
    Bypass(Bypass),
    Nothing {
        key: Key,
        dependence: Dependence,
        forward: Forward,
        /// What may be asked about.
        held: Option<Held>,
        /// What may be shown.
        stale: Option<Arc<Stored>>,
    },
}

/// What the request demands of what it is shown, if it may.
fn demands(exchange: &Exchange) -> Directives {
    let may = exchange.call.caller.grant().permissions.contains(Permission::Refresh);
    if may { Directives::of(&exchange.call.request.headers) } else { Directives::default() }
}

/// Whether the request is to be answered by the cache or not at all.
fn must_not_ask(exchange: &Exchange) -> bool {
    Directives::of(&exchange.call.request.headers).only_if_cached
}

#[expect(clippy::too_many_lines, reason = "one decision, and an arm for each of its outcomes")]
fn find(sampler: &Sampler, exchange: &mut Exchange, listed: Listed, demands: Directives) -> Found {
    let shelf = &*sampler.shelf;
    let route = shelf.routes.route(listed.id);
    if shelf.config.lifetime(route.class).is_none() {
        return Found::Bypass(Bypass::Never);
    }
    let now = shelf.clock.at(exchange.call.request.record.started);
    let trusted_from = sampler.trusted_from(route.class);
    if now < trusted_from {
        return Found::Bypass(Bypass::Quarantined);
    }
    let dependence = Dependence::of(route, &exchange.call.request.target);
    let partition = &exchange.call.caller.credential().partition;
    let secrecy = exchange.call.caller.secrecy();
    let key = Key::new(partition, secrecy, exchange.upstream_target(), exchange.format);
    let key = key.converted_from(exchange.native);
    let stored = shelf.store.get(&key);
    let known = match stored.as_deref() {
        Some(Stored::Entry(entry)) => entry.digest,
        Some(Stored::Uncacheable { .. }) | None => None,
    };
    exchange.call.request.record.key.set(known.unwrap_or_else(|| key.digest()));
    let nothing = |key: Key<&_>, forward, held, stale| {
        let key = key.owned();
        Found::Nothing { key, dependence, forward, held, stale }
    };
    let Some(stored) = stored else {
        if let Some(cause) = partition.changed_by(dependence.view) {
            exchange.call.request.record.changed.set(cause);
        }
        return nothing(key, Forward::Miss, None, None);
    };
    match &*stored {
        Stored::Uncacheable { .. } => Found::Bypass(Bypass::Marked),
        Stored::Entry(entry) => {
            // What is not to be believed is not asked about either: its tag may be what misled.
            let may_ask = shelf.config.revalidate && entry.asked_at >= trusted_from;
            let held = || Held::of(&stored).filter(|_| may_ask);
            let current = partition.is_current(entry.view, &entry.stamp);
            let circumstances = Circumstances { now, current, trusted_from, demands };
            match Standing::of(entry, circumstances, &shelf.config) {
                Standing::Fresh => {
                    // First, because the key borrows what is shown next.
                    let drawn =
                        sampler.draw(route.class, entry).map(|permit| (permit, key.owned()));
                    let answer = show(shelf, exchange, entry, now, CacheStatus::Hit);
                    let Some((permit, key)) = drawn else { return Found::Answer(answer) };
                    let sample = Sample {
                        stored: Arc::clone(&stored),
                        key,
                        credential: Arc::clone(exchange.call.caller.credential()),
                        class: route.class,
                        masked: route.masked,
                        shown_at: now,
                        permit,
                    };
                    Found::Sampled(answer, Box::new(sample))
                }
                Standing::Resting => {
                    let status = CacheStatus::Stale(Staleness::Error, entry.staleness(now));
                    Found::Answer(show(shelf, exchange, entry, now, status))
                }
                Standing::Outdated => {
                    if let Some(cause) = partition.outdated_by(entry.view, &entry.stamp) {
                        exchange.call.request.record.cause.set(cause);
                    }
                    nothing(key, Forward::Miss, held(), None)
                }
                Standing::TooOld { fresh: true } => nothing(key, Forward::Request, held(), None),
                Standing::TooOld { fresh: false } | Standing::Expired => {
                    nothing(key, Forward::Stale, held(), None)
                }
                Standing::Distrusted => nothing(key, Forward::Stale, None, None),
                Standing::Meanwhile | Standing::IfError => {
                    nothing(key, Forward::Stale, held(), Some(Arc::clone(&stored)))
                }
            }
        }
    }
}
