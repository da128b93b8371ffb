//! What is shown beyond its lifetime: while the upstream cannot answer, or meanwhile.
//!
//! Never past an invalidation: the stamp has to be current. Never past a revocation: whoever is let
//! in was authenticated before. And never longer than its bound.

use std::sync::Arc;

use http::header::RETRY_AFTER;

use super::{Hangar, Outcome, receive::says_nothing};
use crate::{
    cache::{entry::Stored, key::Key, shelf::Shelf, status::CacheStatus},
    call::Miss,
    clock::millis,
    layers::{Answer, show},
    net::upstream::breaker,
    rejection::Rejection,
    vocabulary::Staleness,
};

impl Outcome {
    /// Whether the upstream says by it that it cannot answer.
    pub(super) fn is_failure(&self) -> bool {
        match self {
            Self::Refused(rejection) => rejection.is_the_upstreams(),
            Self::Shared(brought) => says_nothing(brought.representation.status),
            Self::Streamed(_) => false,
        }
    }
}

impl Hangar {
    /// What could not be fetched is not tried again for a while, if there is anything to show, and
    /// nobody else has fetched it since it was asked for.
    pub(super) fn rest(&self, key: &Key, asked_at: u64, outcome: &Outcome) {
        let Shelf { config, clock, .. } = &*self.shelf;
        // Counted from when it was tried: the upstream may have come back before that had failed.
        let until = asked_at.saturating_add(millis(config.retry_interval));
        let until = match outcome {
            // Nothing was sent. Whoever finds out whether the upstream is back may be about to.
            Outcome::Refused(Rejection::UpstreamDown(_)) => return,
            Outcome::Shared(brought) => {
                let wished = breaker::rest(brought.representation.headers.get(&RETRY_AFTER));
                wished.map_or(until, |wished| clock.after(wished).max(until))
            }
            Outcome::Refused(_) | Outcome::Streamed(_) => until,
        };
        if let Some(stored) = self.shelf.store.get(key)
            && let Stored::Entry(entry) = &*stored
            && entry.asked_at <= asked_at
        {
            entry.rest_until(until);
        }
    }

    /// Whether to fetch it anew has just failed.
    pub(super) fn rests(&self, miss: &Miss) -> bool {
        let now = self.shelf.clock.now();
        matches!(miss.stale.as_deref(), Some(Stored::Entry(entry)) if entry.rests(now))
    }

    /// What is shown while it is fetched anew, for those who ask later.
    pub(super) fn meanwhile(&self, miss: &mut Miss) -> Option<Answer> {
        let stored = self.stale(miss)?;
        let Stored::Entry(entry) = &*stored else { return None };
        let now = self.shelf.clock.now();
        if !entry.serves_meanwhile(now, &self.shelf.config) {
            return None;
        }
        let status = CacheStatus::Stale(Staleness::Revalidating, entry.staleness(now));
        Some(show(&self.shelf, &mut miss.exchange, entry, now, status))
    }

    /// What may be shown although its lifetime is over: nothing has touched it.
    fn stale(&self, miss: &Miss) -> Option<Arc<Stored>> {
        let stored = miss.stale.as_ref()?;
        let Stored::Entry(entry) = &**stored else { return None };
        let partition = &miss.exchange.call.caller.credential().partition;
        partition.is_current(entry.view, &entry.stamp).then(|| Arc::clone(stored))
    }

    /// What is shown instead of an outcome by which the upstream says that it cannot answer.
    pub(super) fn instead(&self, miss: &mut Miss, landed: &Outcome) -> Option<Answer> {
        let failed = landed.is_failure();
        let stored = failed.then(|| self.stale(miss)).flatten()?;
        let Stored::Entry(entry) = &*stored else { return None };
        let now = self.shelf.clock.now();
        if !entry.serves_if_error(now, &self.shelf.config) {
            return None;
        }
        let status = CacheStatus::Stale(Staleness::Error, entry.staleness(now));
        Some(show(&self.shelf, &mut miss.exchange, entry, now, status))
    }
}
