//! One fetch for both formats: what is kept, or fetched, in one is shown in the other.
//!
//! Where the formats of a route are proven (`formats/`), a miss is answered from the other format's
//! entry if that may be shown; that is a hit. If there is none, JSON is fetched for readers of XML,
//! too: of that both are shown. What does not fit, and what is no 200, is fetched as it was asked
//! for.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE, header::ETAG};
use tokio::{sync::OwnedSemaphorePermit, task::spawn_blocking};
use tower::Service;

use super::{
    Answer, Coalesce, Hangar, Outbound, Outcome,
    flight::{Brought, Flight},
    show,
};
use crate::{
    cache::{
        entry::{Entry, Representation, Stored, strong_tag},
        key::Key,
        standing::{Circumstances, Standing},
        status::CacheStatus,
        validator::Held,
    },
    call::Miss,
    formats::Proven,
    metrics::formats::Derived,
    rejection::Rejection,
    transcode::{
        errors::content_type,
        json,
        learned::{to_json, to_xml},
        tree::Bounds,
        xml::{self, Mixed},
    },
    vocabulary::{Format, NotStored},
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
        match stored.as_deref() {
            Some(Stored::Uncacheable { .. }) => return Ok(None),
            Some(Stored::Entry(source)) if self.hangar.is_fresh(miss, source) => {
                let Some(stored) = stored else { return Ok(None) };
                return Ok(self.show_derived(miss, &plan, &stored).await);
            }
            Some(Stored::Entry(_)) | None => {}
        }
        if plan.wanted == Format::Json {
            // XML says less: who asks for JSON is shown the upstream's own.
            return Ok(None);
        }
        let (flight, collapsed) = self.board_source(miss, &plan, stored)?;
        let landed = flight.landed().await;
        if landed.is_failure()
            && let Some(answer) = self.hangar.instead(miss, &landed)
        {
            return Ok(Some(answer));
        }
        match landed {
            Outcome::Refused(rejection) => {
                self.hangar.note_unanswered(miss, collapsed);
                Err(rejection)
            }
            Outcome::Streamed(_) => Ok(None),
            Outcome::Shared(brought) => {
                Ok(self.tell_derived(miss, &plan, &brought, collapsed).await)
            }
        }
    }

    /// The same of what is kept alone.
    pub(super) async fn derive_kept(&mut self, miss: &mut Miss) -> Option<Answer> {
        let plan = self.hangar.plan(miss)?;
        let stored = self.hangar.shelf.store.get(&plan.source)?;
        let Stored::Entry(source) = &*stored else { return None };
        if self.hangar.is_fresh(miss, source) {
            self.show_derived(miss, &plan, &stored).await
        } else {
            None
        }
    }

    /// Begins to fetch anew what is shown meanwhile.
    pub(super) fn board_anew(&mut self, miss: &mut Miss) -> Result<(), Rejection> {
        let plan = self.hangar.plan(miss).filter(|plan| plan.wanted == Format::Xml);
        let Some(plan) = plan else { return self.board(miss).map(drop) };
        let stored = self.hangar.shelf.store.get(&plan.source);
        self.board_source(miss, &plan, stored).map(drop)
    }

    /// Fetches the other format, together with all who read that.
    fn board_source(
        &mut self,
        miss: &mut Miss,
        plan: &Plan,
        stored: Option<Arc<Stored>>,
    ) -> Result<(Arc<Flight>, bool), Rejection> {
        let may_ask = |stored: &Arc<Stored>| {
            let trusted = matches!(&**stored, Stored::Entry(entry)
                if entry.asked_at >= miss.trusted_from);
            trusted && self.hangar.shelf.config.revalidate
        };
        let held = stored.filter(may_ask).and_then(|stored| Held::of(&stored));
        let own = (miss.key.clone(), miss.held.take());
        (miss.key, miss.held) = (plan.source.clone(), held);
        let boarded = self.board(miss);
        (miss.key, miss.held) = own;
        boarded
    }

    /// Shows what is derived from an entry, and keeps it: a hit.
    async fn show_derived(
        &mut self,
        miss: &mut Miss,
        plan: &Plan,
        stored: &Arc<Stored>,
    ) -> Option<Answer> {
        let Stored::Entry(source) = &**stored else { return None };
        // What is not there is said in the format's own words, and what was derived may be of what is
        // gone.
        if source.representation.status != StatusCode::OK || source.derived {
            return None;
        }
        let hangar = Arc::clone(&self.hangar);
        // Whoever comes with the same wish waits here, and finds it done.
        let turn = Arc::clone(&hangar.derivations).acquire_owned().await.ok()?;
        let done = hangar.shelf.store.get(&miss.key);
        let shown = match done.as_deref() {
            Some(Stored::Entry(done))
                if done.representation.status == StatusCode::OK && hangar.is_fresh(miss, done) =>
            {
                done.representation.clone()
            }
            _ => self.derived(miss, plan, &source.representation, Some(stored), turn).await?,
        };
        let now = hangar.shelf.clock.now();
        let status = CacheStatus::Derived;
        Some(crate::layers::show(
            &hangar.shelf,
            &mut miss.exchange,
            &source.derived(shown),
            now,
            status,
        ))
    }

    /// Shows what is derived from what a flight has brought; the first of its readers derives it.
    async fn tell_derived(
        &mut self,
        miss: &mut Miss,
        plan: &Plan,
        brought: &Brought,
        collapsed: bool,
    ) -> Option<Answer> {
        if brought.representation.status != StatusCode::OK {
            return None;
        }
        let derivations = Arc::clone(&self.hangar.derivations);
        let shown = brought.derived.get_or_init(async || {
            let turn = derivations.acquire_owned().await.ok()?;
            let kept = brought.kept.as_ref().ok();
            self.derived(miss, plan, &brought.representation, kept, turn).await
        });
        let shown = shown.await.as_ref()?.clone();
        let status = CacheStatus::Miss {
            forward: miss.forward,
            collapsed,
            not_modified: brought.not_modified,
            not_stored: brought.not_stored(),
        };
        let metrics = &self.hangar.shelf.metrics;
        if collapsed {
            metrics.cache.collapsed_reads.inc();
        }
        metrics.cache.lookups.of(status.outcome()).inc();
        Some(show(&mut miss.exchange, &shown, status))
    }

    /// The same in the format that is asked for, kept beside its source; what does not fit is learned
    /// from.
    async fn derived(
        &mut self,
        miss: &mut Miss,
        plan: &Plan,
        source: &Representation,
        kept: Option<&Arc<Stored>>,
        turn: OwnedSemaphorePermit,
    ) -> Option<Representation> {
        let hangar = Arc::clone(&self.hangar);
        let Hangar { book, shelf, .. } = &*hangar;
        let made = derived(plan, source, shelf.config.max_entry.get(), turn).await;
        let outcome = if made.is_some() { Derived::Done } else { Derived::Unfit };
        shelf.metrics.formats.derived.of(outcome).inc();
        let credential = Arc::clone(miss.exchange.call.caller.credential());
        let secrecy = miss.key.secrecy();
        let Some(shown) = made else {
            let now = shelf.clock.now();
            if let Some(permit) = book.unfit(&credential.upstream, miss.route, secrecy, now) {
                self.fetch_pair(miss, permit);
            }
            return None;
        };
        let keep = || {
            let beside = |kept| {
                let source = (&plan.source, kept);
                shelf.keep_derived(&miss.key, &credential.partition, source, shown.clone())
            };
            kept.map(beside)
        };
        // Found wrong meanwhile: it is not even shown.
        book.keep(&credential.upstream, miss.route, secrecy, &plan.proven, keep)?;
        if let Some(permit) = book.check() {
            self.fetch_pair(miss, permit);
        }
        Some(shown)
    }
}

impl Hangar {
    fn plan(&self, miss: &Miss) -> Option<Plan> {
        let wanted = miss.key.format()?;
        let credential = miss.exchange.call.caller.credential();
        let proven = self.book.proven(&credential.upstream, miss.route, miss.key.secrecy())?;
        if wanted == Format::Json && !proven.tells_json {
            return None;
        }
        Some(Plan { proven, source: miss.key.in_other_format()?, wanted })
    }

    /// Whether an entry may be shown to whoever has missed the other format, as far as it is for its
    /// age and what has touched it.
    fn is_fresh(&self, miss: &Miss, entry: &Entry) -> bool {
        let partition = &miss.exchange.call.caller.credential().partition;
        let circumstances = Circumstances {
            now: self.shelf.clock.now(),
            current: partition.is_current(entry.view, &entry.stamp),
            trusted_from: miss.trusted_from,
            demands: miss.demands,
        };
        Standing::of(entry, circumstances, &self.shelf.config) == Standing::Fresh
    }

    /// A read whose fetch was refused.
    fn note_unanswered(&self, miss: &Miss, collapsed: bool) {
        let status = CacheStatus::Miss {
            forward: miss.forward,
            collapsed,
            not_modified: false,
            not_stored: Some(NotStored::Failed),
        };
        miss.exchange.call.request.record.cache.set(status);
        self.shelf.metrics.cache.lookups.of(status.outcome()).inc();
    }
}

/// The same in the format that is asked for, if it fits and is no longer than an entry may be.
async fn derived(
    plan: &Plan,
    source: &Representation,
    most: usize,
    turn: OwnedSemaphorePermit,
) -> Option<Representation> {
    let (map, wanted, body) = (Arc::clone(&plan.proven.map), plan.wanted, source.body.clone());
    let work = move || {
        // Held for as long as it takes, whoever waits for it.
        let _turn = turn;
        match wanted {
            Format::Xml => {
                let tree = json::read(&body, Bounds::REPLY).ok()?;
                to_xml(&map, &tree, body.len()).ok().map(Bytes::from)
            }
            Format::Json => {
                let tree = xml::read(&body, Mixed::Never, Bounds::REPLY).ok()?;
                to_json(&map, &tree, body.len()).ok().map(Bytes::from)
            }
        }
    };
    let body = if source.body.len() < LARGE {
        work()?
    } else {
        spawn_blocking(work).await.ok().flatten()?
    };
    if body.len() > most {
        return None;
    }
    let mut headers = source.headers.to_map();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(wanted)));
    headers.insert(ETAG, strong_tag(&body));
    Some(Representation::new(source.status, &headers, body))
}
