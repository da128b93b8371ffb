//! What a fetch has brought: it is read whole, judged, and kept if it may be.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{
    HeaderValue, StatusCode,
    header::{CACHE_CONTROL, ETAG, VARY},
    response::Parts,
};
use tokio::sync::OnceCell;

use super::{
    Fetch, Hangar,
    flight::{Brought, Outcome},
    lessons::Lesson,
};
use crate::{
    api::format,
    body::{Body, BodyError, Read},
    cache::{
        entry::{Candidate, Representation, Stored, strong_tag},
        shelf::Filled,
        validator::{Provenance, Validator},
    },
    layers::Answer,
    rejection::Rejection,
    vocabulary::{NotStored, Secrecy},
};

/// Whether a reply is kept, and for how long.
struct Verdict {
    /// Nothing is under way that may change what it shows.
    settled: bool,
    not_stored: Option<NotStored>,
}

const REVALIDATE: HeaderValue = HeaderValue::from_static("private, max-age=0, must-revalidate");

const BY_CALLER: HeaderValue = HeaderValue::from_static("Authorization, Accept");

impl Hangar {
    /// Reads a reply whole, if it may be held, and keeps it, if it may be kept.
    pub(super) async fn receive(&self, fetch: &Fetch, answer: Answer) -> Outcome {
        let (parts, body) = answer.into_parts();
        let (class, format) = (fetch.dependence.class, fetch.key.format());
        let candidate = Candidate { class, status: parts.status, headers: &parts.headers, format };
        let refusal = candidate.refusal(&self.shelf.config);
        if parts.status == StatusCode::FORBIDDEN {
            let families = fetch.dependence.view.families;
            self.shelf.forbidden(&fetch.credential.partition, families);
        }
        let held = match body.read_up_to(self.shelf.config.max_entry.get()).await {
            Ok(Read::Whole(bytes)) => bytes,
            Ok(Read::Longer(body)) => return self.stream(fetch, parts, body),
            Err(BodyError::Upstream(_)) => return Outcome::Refused(Rejection::UpstreamBroken),
            Err(BodyError::Mask(_)) => return Outcome::Refused(Rejection::Unmaskable),
        };
        let provenance = parts.extensions.get::<Provenance>();
        let not_modified = provenance.is_some_and(|provenance| provenance.not_modified);
        let (representation, verdict) = self.judge(fetch, parts, held, refusal);
        let kept = self.shelve(fetch, &representation, &verdict);
        let absent = fetch.stamps.absent.clone();
        let derived = OnceCell::new();
        let brought = Brought { representation, kept, not_modified, absent, derived };
        Outcome::Shared(Arc::new(brought))
    }

    /// Keeps what may be kept; why not, if not.
    fn shelve(
        &self,
        fetch: &Fetch,
        shown: &Representation,
        verdict: &Verdict,
    ) -> Result<Arc<Stored>, NotStored> {
        let &Verdict { settled, not_stored } = verdict;
        let kept = if let Some(why) = not_stored {
            if tells_more(fetch, shown.status) {
                self.shelf.forget(&fetch.key, fetch.asked_at);
            }
            Err(why)
        } else {
            let (stamp, dependence) = (fetch.stamps.of(shown.status), fetch.dependence);
            let filled = Filled { stamp, dependence, settled, asked_at: fetch.asked_at };
            let partition = &fetch.credential.partition;
            self.shelf.keep(&fetch.key, partition, filled, shown.clone())
        };
        if matches!(kept, Err(NotStored::NoStore)) {
            self.shelf.mark_uncacheable(&fetch.key);
        }
        kept
    }

    /// A reply that is too large to hold goes to the first who takes it, as it comes.
    fn stream(&self, fetch: &Fetch, mut parts: Parts, body: Body) -> Outcome {
        self.shelf.mark_uncacheable(&fetch.key);
        if fetch.hides() {
            parts.headers.remove(ETAG);
        }
        Outcome::Streamed(Arc::new(Mutex::new(Some(Answer::from_parts(parts, body)))))
    }

    /// Whether a reply may be kept, and as what it is shown.
    fn judge(
        &self,
        fetch: &Fetch,
        parts: Parts,
        body: Bytes,
        refusal: Option<NotStored>,
    ) -> (Representation, Verdict) {
        let Parts { status, mut headers, extensions, .. } = parts;
        let mut validator = None;
        if refusal.is_none() {
            let provenance = extensions.get::<Provenance>().filter(|_| status == StatusCode::OK);
            validator = provenance.and_then(|p| Validator::of(&headers, &body, p.vault));
            headers.insert(ETAG, strong_tag(&body));
            headers.insert(CACHE_CONTROL, REVALIDATE);
            headers.insert(VARY, BY_CALLER);
        } else if fetch.key.conversion().is_some() || fetch.hides() {
            // It is the tag of what was converted, or masked.
            headers.remove(ETAG);
        }
        let lesson = format::of_reply(&headers).map_or(Lesson::Settled, |format| {
            self.lessons.learn(fetch, self.shelf.clock.now(), format, &body)
        });
        let stamp = fetch.stamps.of(status);
        let settled = stamp.is_settled() && lesson == Lesson::Settled;
        let not_stored = refusal.or_else(|| {
            let view = fetch.dependence.view_of(status);
            let current =
                fetch.credential.partition.is_current(view, stamp) && lesson != Lesson::Doubtful;
            if !settled && (!current || self.shelf.config.unsettled_lifetime.is_zero()) {
                Some(NotStored::Unsettled)
            } else {
                (!current).then_some(NotStored::Overtaken)
            }
        });
        let verdict = Verdict { settled, not_stored };
        let shown = Representation::new(status, &headers, body);
        (Representation { validator: validator.map(Box::new), ..shown }, verdict)
    }
}

impl Fetch {
    /// Whether the upstream's own tag may be a hash of what is hidden from this reader.
    fn hides(&self) -> bool {
        self.masked && self.key.secrecy() == Secrecy::Hidden
    }
}

/// Whether a reply that is not kept tells more than what was asked for before it. If it was touched
/// meanwhile, what is kept was, too, but may still be asked about by its tag.
fn tells_more(fetch: &Fetch, status: StatusCode) -> bool {
    if status != StatusCode::OK {
        return !says_nothing(status);
    }
    let (view, stamp) = (fetch.dependence.view_of(status), fetch.stamps.of(status));
    fetch.credential.partition.is_current(view, stamp)
}

/// Whether a reply with this status tells nothing of what was asked for, but that it could not be told.
pub(super) fn says_nothing(status: StatusCode) -> bool {
    status.is_server_error()
        || status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT
}
