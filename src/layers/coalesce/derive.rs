//! One fetch for both formats: what is kept, or fetched, in one is shown in the other.
//!
//! Where the formats of a route are proven (`formats/`), a miss is answered from the other format's
//! entry if that may be shown; that is a hit. If there is none, JSON is fetched for readers of XML,
//! too: of that both are shown. What does not fit, and what is no 200, is fetched as it was asked
//! for.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE, header::ETAG};
use tokio::task::spawn_blocking;
use tower::Service;

use super::{Answer, Coalesce, Hangar, Outbound, Outcome, flight::Brought, show};
use crate::{
    cache::{
        directives::Directives,
        entry::{Entry, Representation, Stored, strong_tag},
        key::Key,
        standing::{Circumstances, Standing},
        status::CacheStatus,
        validator::Held,
    },
    call::Miss,
    formats::Proven,
    rejection::Rejection,
    transcode::{
        errors::content_type,
        json,
        learned::{to_json, to_xml},
        tree::Bounds,
        xml::{self, Mixed},
    },
    vocabulary::{CacheOutcome, Derived, Format},
};

/// How a miss may be answered by the other format.
struct Plan {
    proven: Proven,
    /// What the other format is kept under.
    source: Key,
    /// The format that is asked for.
    wanted: Format,
}

/// From so many bytes on, a document is derived beside the requests.
const LARGE: usize = 16 << 10;

impl<S> Coalesce<S>
where
    S: Service<Outbound, Response = Answer, Error = Rejection> + Clone + Send + 'static,
    S::Future: Send,
{
    /// Answers a miss by the other format; none where that cannot be.
    pub(super) async fn derive(&mut self, miss: &mut Miss) -> Result<Option<Answer>, Rejection> {
        let Some(plan) = self.hangar.plan(miss) else { return Ok(None) };
        let stored = self.hangar.shelf.store.get(&plan.source);
        if let Some(stored) = stored.clone()
            && self.hangar.is_fresh(miss, &stored)
        {
            return Ok(self.show_derived(miss, &plan, &stored, CacheStatus::Derived).await);
        }
        if plan.wanted == Format::Json {
            // It says less: who asks for JSON is shown the upstream's own.
            return Ok(None);
        }
        let (brought, collapsed) = match self.fetch_source(miss, &plan, stored).await? {
            (Outcome::Shared(brought), collapsed) => (brought, collapsed),
            (Outcome::Refused(rejection), _) if miss.stale.is_none() => return Err(rejection),
            // What is stale may be shown, or it is passed on as it comes.
            (Outcome::Refused(_) | Outcome::Streamed(_), _) => return Ok(None),
        };
        let Brought { representation, not_stored, not_modified, .. } = &*brought;
        if representation.status != StatusCode::OK {
            return Ok(None);
        }
        let status = CacheStatus::Miss {
            forward: miss.forward,
            collapsed,
            not_modified: *not_modified,
            not_stored: *not_stored,
        };
        // What was kept of it, if it was.
        let stored = self.hangar.shelf.store.get(&plan.source).filter(|_| not_stored.is_none());
        if let Some(stored) = stored {
            return Ok(self.show_derived(miss, &plan, &stored, status).await);
        }
        let Some(derived) = self.derived(miss, &plan, representation).await else {
            return Ok(None);
        };
        Ok(Some(self.hangar.tell_derived(miss, &derived, status)))
    }

    /// Fetches the other format, together with all who read that.
    async fn fetch_source(
        &mut self,
        miss: &mut Miss,
        plan: &Plan,
        stored: Option<Arc<Stored>>,
    ) -> Result<(Outcome, bool), Rejection> {
        let held = stored.as_ref().filter(|_| self.hangar.shelf.config.revalidate);
        let own = (miss.key.clone(), miss.held.take());
        (miss.key, miss.held) = (plan.source.clone(), held.and_then(Held::of));
        let boarded = self.board(miss);
        (miss.key, miss.held) = own;
        let (flight, collapsed) = boarded?;
        if collapsed {
            self.hangar.shelf.metrics.collapsed_reads.inc();
        }
        Ok((flight.landed().await, collapsed))
    }

    /// Shows what is derived from an entry, and keeps it.
    async fn show_derived(
        &mut self,
        miss: &mut Miss,
        plan: &Plan,
        stored: &Arc<Stored>,
        status: CacheStatus,
    ) -> Option<Answer> {
        let Stored::Entry(source) = &**stored else { return None };
        let hangar = Arc::clone(&self.hangar);
        // Whoever comes with the same wish waits here, and finds it done.
        let _turn = hangar.derivations.acquire().await.ok()?;
        let done = hangar.shelf.store.get(&miss.key).filter(|done| hangar.is_fresh(miss, done));
        if let Some(done) = done
            && let Stored::Entry(entry) = &*done
        {
            return Some(hangar.show_entry(miss, entry, status));
        }
        let shown = self.derived(miss, plan, &source.representation).await?;
        let (key, credential) = (&miss.key, miss.exchange.call.caller.credential());
        let partition = &credential.partition;
        let keep = || hangar.shelf.keep_derived(key, partition, source, shown.clone());
        // Found wrong meanwhile: it is not even shown.
        hangar.book.keep(&credential.upstream, miss.route, &plan.proven, keep)?;
        if let Some(permit) = hangar.book.check() {
            self.fetch_pair(miss, permit);
        }
        Some(hangar.show_entry(miss, &source.derived(shown), status))
    }

    /// The same in the format that is asked for; what does not fit is learned from.
    async fn derived(
        &mut self,
        miss: &mut Miss,
        plan: &Plan,
        source: &Representation,
    ) -> Option<Representation> {
        let Hangar { book, shelf, .. } = &*self.hangar;
        let derived = derived(plan, source).await;
        let outcome = if derived.is_some() { Derived::Done } else { Derived::Unfit };
        shelf.metrics.derived.of(outcome).inc();
        if derived.is_none() {
            let upstream = &miss.exchange.call.caller.credential().upstream;
            if let Some(permit) = book.unfit(upstream, miss.route, shelf.clock.now()) {
                self.fetch_pair(miss, permit);
            }
        }
        derived
    }
}

impl Hangar {
    fn plan(&self, miss: &Miss) -> Option<Plan> {
        let wanted = miss.key.format()?;
        let credential = miss.exchange.call.caller.credential();
        let proven = self.book.proven(&credential.upstream, miss.route)?;
        if wanted == Format::Json && !proven.tells_json {
            return None;
        }
        Some(Plan { proven, source: self.other_key(miss)?, wanted })
    }

    /// What the other format of what is read is kept under; none where the query names the format.
    pub(super) fn other_key(&self, miss: &Miss) -> Option<Key> {
        let other = miss.key.format()?.other();
        if miss.key.conversion().is_some() {
            return None;
        }
        let target = &miss.exchange.call.request.target;
        if target.format_parameter().is_some() {
            return None;
        }
        let place = self.shelf.routes.route(miss.route).suffix_place(target.path());
        let asked = target.asked_in(other, place).ok()?;
        Some(Key::new(&miss.exchange.call.caller.credential().partition, asked, Some(other)))
    }

    /// Whether an entry may be shown to whoever has missed the other format.
    fn is_fresh(&self, miss: &Miss, stored: &Stored) -> bool {
        let Stored::Entry(entry) = stored else { return false };
        let partition = &miss.exchange.call.caller.credential().partition;
        let circumstances = Circumstances {
            now: self.shelf.clock.now(),
            current: partition.is_current(entry.view, &entry.stamp),
            trusted_from: miss.trusted_from,
            demands: Directives { max_age: miss.max_age, ..Directives::default() },
        };
        entry.representation.status == StatusCode::OK
            && Standing::of(entry, circumstances, &self.shelf.config) == Standing::Fresh
    }

    fn show_entry(&self, miss: &mut Miss, entry: &Entry, status: CacheStatus) -> Answer {
        if status.outcome() != CacheOutcome::Hit {
            return self.tell_derived(miss, &entry.representation, status);
        }
        let now = self.shelf.clock.now();
        crate::layers::show(&self.shelf, &mut miss.exchange, entry, now, status)
    }

    fn tell_derived(&self, miss: &mut Miss, shown: &Representation, status: CacheStatus) -> Answer {
        self.shelf.metrics.cache_lookups.of(status.outcome()).inc();
        show(&mut miss.exchange, shown, status)
    }
}

/// The same in the format that is asked for, if it fits.
async fn derived(plan: &Plan, source: &Representation) -> Option<Representation> {
    let (map, wanted, body) = (Arc::clone(&plan.proven.map), plan.wanted, source.body.clone());
    let work = move || match wanted {
        Format::Xml => {
            let tree = json::read(&body, Bounds::REPLY).ok()?;
            to_xml(&map, &tree, body.len()).ok().map(Bytes::from)
        }
        Format::Json => {
            let tree = xml::read(&body, Mixed::Refused, Bounds::REPLY).ok()?;
            to_json(&map, &tree, body.len()).ok().map(Bytes::from)
        }
    };
    let body = if source.body.len() < LARGE {
        work()?
    } else {
        spawn_blocking(work).await.ok().flatten()?
    };
    let mut headers = source.headers.clone();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(wanted)));
    headers.insert(ETAG, strong_tag(&body));
    Some(Representation::new(source.status, headers, body))
}
