//! Fetches pairs of formats, and lets the book learn from them.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use tower::Service;

use super::{Answer, Coalesce, Hangar, Outbound, flight::Brought};
use crate::{
    api::routes::RouteId,
    body::Read,
    cache::{dependence::Dependence, entry::Candidate, key::Key},
    call::Miss,
    formats::Pair,
    limit::in_flight::Permit,
    rejection::Rejection,
    tenants::snapshot::Credential,
    vocabulary::{Format, Taken, UpstreamCause},
};

/// What a pair is fetched of.
struct Subject {
    json: Key,
    xml: Key,
    credential: Arc<Credential>,
    route: RouteId,
    dependence: Dependence,
    masked: bool,
}

impl<S> Coalesce<S>
where
    S: Service<Outbound, Response = Answer, Error = Rejection> + Clone + Send + 'static,
    S::Future: Send,
{
    /// Notes that a route was fetched in a format, and fetches a pair if that is wanted.
    pub(super) fn note_format(&self, miss: &Miss, brought: &Brought) {
        let Some(format) = miss.key.format() else { return };
        let there_are_both = miss.exchange.native.is_none();
        if !there_are_both
            || brought.representation.status != StatusCode::OK
            || brought.kept.is_err()
        {
            return;
        }
        let Hangar { book, shelf, .. } = &*self.hangar;
        let upstream = &miss.exchange.call.caller.credential().upstream;
        let (secrecy, now) = (miss.key.secrecy(), shelf.clock.now());
        if let Some(permit) = book.fetched(upstream, miss.route, secrecy, format, now) {
            self.fetch_pair(miss, permit);
        }
    }

    /// Fetches a pair in a task of its own: nobody waits for it or is charged for it.
    pub(super) fn fetch_pair(&self, miss: &Miss, permit: Permit) {
        let Some(subject) = Subject::of(miss, &self.hangar) else { return };
        let (hangar, inner) = (Arc::clone(&self.hangar), self.inner.clone());
        let (credential, route) = (Arc::clone(&subject.credential), subject.route);
        let secrecy = subject.json.secrecy();
        self.hangar.tasks.spawn(async move {
            let learning = learn(&hangar, inner, subject);
            let taken = tokio::time::timeout(hangar.fetch_timeout, learning).await;
            let taken = taken.ok().flatten().unwrap_or(Taken::Failed);
            if taken == Taken::Failed {
                let now = hangar.shelf.clock.now();
                hangar.book.failed(&credential.upstream, route, secrecy, now);
            }
            hangar.shelf.metrics.formats.pairs.of(taken).inc();
            drop(permit);
        });
    }
}

impl Subject {
    fn of(miss: &Miss, hangar: &Hangar) -> Option<Self> {
        let (own, other) = (miss.key.clone(), miss.key.in_other_format()?);
        let (json, xml) = match own.format()? {
            Format::Json => (own, other),
            Format::Xml => (other, own),
        };
        Some(Self {
            json,
            xml,
            credential: Arc::clone(miss.exchange.call.caller.credential()),
            route: miss.route,
            dependence: miss.dependence,
            masked: hangar.shelf.routes.route(miss.route).masked,
        })
    }
}

/// Fetches JSON, XML, and JSON again, and hands them in; none if they may not be of one state.
async fn learn<S>(hangar: &Arc<Hangar>, mut inner: S, subject: Subject) -> Option<Taken>
where
    S: Service<Outbound, Response = Answer, Error = Rejection>,
{
    let partition = &subject.credential.partition;
    let view = subject.dependence.view;
    let stamp = partition.stamp(view);
    let json = fetch(hangar, &mut inner, &subject, &subject.json).await?;
    let xml = fetch(hangar, &mut inner, &subject, &subject.xml).await?;
    let again = fetch(hangar, &mut inner, &subject, &subject.json).await?;
    if json != again || !stamp.is_settled() || !partition.is_current(view, &stamp) {
        return None;
    }
    let taking = {
        let hangar = Arc::clone(hangar);
        move || hangar.take(&subject, &json, &xml)
    };
    tokio::task::spawn_blocking(taking).await.ok()
}

async fn fetch<S>(hangar: &Hangar, inner: &mut S, subject: &Subject, key: &Key) -> Option<Bytes>
where
    S: Service<Outbound, Response = Answer, Error = Rejection>,
{
    let fill = Outbound::Fill {
        key: key.clone(),
        credential: Arc::clone(&subject.credential),
        masked: subject.masked,
        held: None,
        cause: UpstreamCause::Learn,
    };
    let (parts, body) = inner.call(fill).await.ok()?.into_parts();
    let (class, format, status) = (subject.dependence.class, key.format(), parts.status);
    let candidate = Candidate { class, status, headers: &parts.headers, format };
    if !status.is_success() || candidate.refusal(&hangar.shelf.config).is_some() {
        return None;
    }
    match body.read_up_to(hangar.shelf.config.max_entry.get()).await.ok()? {
        Read::Whole(bytes) => Some(bytes),
        Read::Longer(_) => None,
    }
}

impl Hangar {
    fn take(&self, subject: &Subject, json: &[u8], xml: &[u8]) -> Taken {
        let (upstream, route) = (&*subject.credential.upstream, subject.route);
        let (secrecy, now) = (subject.json.secrecy(), self.shelf.clock.now());
        let taken = self.book.take(upstream, route, secrecy, Pair { json, xml }, now);
        let template = &*self.shelf.routes.route(route).template;
        match taken {
            Taken::Contradicted => {
                // What was derived by what was wrong is shown to nobody any more.
                self.shelf.forget_derived();
                tracing::warn!(upstream, route = template, "its formats are learned anew");
            }
            Taken::Proved => tracing::info!(upstream, route = template, "its formats are proven"),
            _ => {}
        }
        let proven = i64::try_from(self.book.count_proven()).unwrap_or(i64::MAX);
        self.shelf.metrics.formats.proven_routes.set(proven);
        taken
    }
}
