//! Answers reads from memory: a hit ends here.
//!
//! An entry is shown when it is young enough and its stamp is still current; both are a few loads.
//! What is not found goes on as a miss with the stamp of this moment, which is before anything is
//! sent for it.

use std::{future::Future, pin::Pin, sync::Arc};

use futures_util::future::Either;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tower::{Layer, Service, layer::layer_fn};

use super::{Answer, Step, always_ready, show};
use crate::{
    api::routes::Listed,
    cache::{
        coherence::{Item, View},
        dependence::Dependence,
        entry::Stored,
        key::Key,
        shelf::Shelf,
        status::CacheStatus,
    },
    call::{Effect, Exchange, Lookup, Miss},
    net::server::ClientBody,
    rejection::Rejection,
    vocabulary::{Bypass, CacheOutcome, Staleness},
};

/// The service of this layer.
#[derive(Clone)]
pub struct FromCache<S> {
    inner: S,
    shelf: Arc<Shelf>,
}

/// The future of this layer.
pub type Looked<F> =
    Either<Step<F>, Pin<Box<dyn Future<Output = Result<Answer, Rejection>> + Send>>>;

/// Answers from the given shelf.
pub fn layer<S>(shelf: Arc<Shelf>) -> impl Layer<S, Service = FromCache<S>> + Clone {
    layer_fn(move |inner| FromCache { inner, shelf: Arc::clone(&shelf) })
}

impl<S> Service<Exchange> for FromCache<S>
where
    S: Service<Lookup, Response = Answer, Error = Rejection> + Clone + Send + 'static,
    S::Future: Send,
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
{
    fn look(&mut self, mut exchange: Exchange) -> Step<S::Future> {
        let listed = match exchange.call.request.effect {
            Effect::Read(listed) => listed,
            Effect::UnlistedRead { .. } => return self.pass(exchange, Some(Bypass::Unlisted)),
            Effect::Write(_) => return self.pass(exchange, None),
        };
        match find(&self.shelf, &mut exchange, listed) {
            Found::Answer(answer) => Either::Left(std::future::ready(Ok(answer))),
            Found::Bypass(why) => self.pass(exchange, Some(why)),
            Found::Nothing(key, dependence, kept) => {
                // Rule of coherence: the stamps are taken before anything is sent for it.
                let stamps = dependence.stamps(&exchange.call.caller.credential().partition);
                let route = listed.id;
                let miss = Miss { exchange, key, stamps, route, dependence, kept };
                Either::Right(self.inner.call(Lookup::Miss(Box::new(miss))))
            }
        }
    }

    fn pass(&mut self, exchange: Exchange, why: Option<Bypass>) -> Step<S::Future> {
        if why.is_some() {
            exchange.call.request.record.notes().cache = CacheOutcome::Bypass;
            self.shelf.metrics.cache_lookups.of(CacheOutcome::Bypass).inc();
        }
        Either::Right(self.inner.call(Lookup::Pass(Box::new(exchange), why)))
    }
}

enum Found {
    Answer(Answer),
    Bypass(Bypass),
    Nothing(Key, Dependence, Option<Arc<Stored>>),
}

fn find(shelf: &Shelf, exchange: &mut Exchange, listed: Listed) -> Found {
    let route = shelf.routes.route(listed.id);
    if shelf.config.lifetime(route.class).is_none() {
        return Found::Bypass(Bypass::Never);
    }
    let item = route.item(&exchange.call.request.target);
    let item = item.map(|(family, name)| Item::new(family, name));
    let view = View { families: route.families, item };
    let dependence = Dependence { view, class: route.class };
    let partition = &exchange.call.caller.credential().partition;
    let key = Key::new(partition, exchange.ask.clone(), exchange.format);
    let Some(stored) = shelf.store.get(&key) else {
        return Found::Nothing(key, dependence, None);
    };
    match &*stored {
        Stored::Uncacheable { .. } => Found::Bypass(Bypass::Marked),
        Stored::Entry(entry) => {
            let now = shelf.clock.at(exchange.call.request.record.started);
            let view = dependence.view_of(entry.representation.status);
            if !partition.is_current(view, &entry.stamp) {
                Found::Nothing(key, dependence, Some(stored))
            } else if entry.is_fresh(now) {
                Found::Answer(show(shelf, exchange, entry, now, CacheStatus::Hit))
            } else if entry.is_usable(now) && entry.rests(now) {
                let status = CacheStatus::Stale(Staleness::Error, entry.staleness(now));
                Found::Answer(show(shelf, exchange, entry, now, status))
            } else {
                Found::Nothing(key, dependence, Some(stored))
            }
        }
    }
}
