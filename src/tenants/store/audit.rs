//! The audit log in the store: one chain for all that share it, appended in the same transaction as
//! what it tells of.
//!
//! A store that was opened without keys writes no events, because nobody could say later that they
//! were not put in by somebody else.

use std::{cell::RefCell, sync::Arc};

use super::{Edit, Session, Store, StoreError, View};
use crate::{
    audit::{
        chain::{Link, Tail},
        event::{Action, Actor, ActorKind, Author, Decision, Event},
        head::Signer,
    },
    auth::keyring::Keyring,
};

mod accept;
mod check;
pub(super) mod details;
mod prune;
mod rows;
mod trust;

pub use accept::Accepted;
pub use check::Verified;
pub use prune::{PruneError, Pruned};
pub(super) use trust::is_signed_last;
pub use trust::{Memory, Untrusted};

/// Who changes the store, and with what key it is said that they did.
#[derive(Debug)]
pub(super) struct Scribe {
    author: Author,
    keys: Option<Arc<Keys>>,
}

/// What an edit has done so far.
pub(super) type Deeds = RefCell<Vec<Deed>>;

/// What was done to what.
#[derive(Debug)]
pub(super) struct Deed {
    action: Action,
    object: String,
    /// What of it was changed, or given to it; nothing where the action says all.
    details: String,
}

/// What signs, and the name by which it is told from other keys.
#[derive(Debug)]
struct Keys {
    signer: Signer,
    id: String,
}

/// The one chain of a store.
pub const CHAIN: &str = "tollgate";

impl Scribe {
    /// Nobody in particular, and no key.
    pub(super) fn nobody() -> Self {
        Self { author: Actor::unnamed(ActorKind::Server).into(), keys: None }
    }
}

impl Keys {
    fn of(keyring: &Keyring) -> Self {
        let signer = Signer::from_seed(keyring.audit_seed());
        let id = signer.public_key().to_string();
        Self { signer, id }
    }
}

impl Store {
    /// Writes down from now on who it is that changes it, and signs that.
    #[must_use]
    pub fn audited(self, author: impl Into<Author>, keyring: &Keyring) -> Self {
        let keys = Some(Arc::new(Keys::of(keyring)));
        Self { scribe: Scribe { author: author.into(), keys }, ..self }
    }

    /// Appends what others have done, each with its Unix time, in this order.
    ///
    /// On an error they can be given again, with more behind them. Those of which it was not known
    /// whether they were written are then written only if they were not.
    pub fn append_audit(
        &mut self,
        events: &[(i64, Event)],
        memory: &mut Memory,
    ) -> Result<(), StoreError> {
        let Some(keys) = self.scribe.keys.clone() else { return Ok(()) };
        let Some((now, _)) = events.last() else { return Ok(()) };
        let mut end = None;
        let appended = self.write(|session| {
            let tail = rows::take_turn(session)?;
            trust::require_signed(session, &tail, &keys)?;
            let written = memory.settle(session, &keys)?;
            let new = events.get(written..).unwrap_or_default();
            end = Some(append(session, new, *now, &keys, tail)?);
            Ok(())
        });
        memory.note(&appended, end, events.len());
        appended
    }
}

impl View<'_> {
    /// So many links at most that come after a number, in their order; none from before the log's
    /// beginning, which nothing vouches for.
    pub fn audit_links(&self, after: u64, limit: i64) -> Result<Vec<Link>, StoreError> {
        let beginning = rows::checkpoint(&self.session)?.map_or(0, |from| from.sequence);
        rows::links(&self.session, after.max(beginning), limit)
    }
}

impl Edit<'_> {
    /// Notes what was done to what, to be appended when the edit ends.
    pub(super) fn did(&self, action: Action, object: &str) {
        self.did_so(action, object, String::new());
    }

    /// The same, with what of it was changed or given to it, as [`details`] says it.
    pub(super) fn did_so(&self, action: Action, object: &str, details: String) {
        self.deeds.borrow_mut().push(Deed { action, object: object.to_owned(), details });
    }
}

/// Appends what an edit has done.
pub(super) fn append_deeds(
    session: &Session<'_>,
    scribe: &Scribe,
    deeds: Vec<Deed>,
    now: i64,
) -> Result<(), StoreError> {
    let Some(keys) = &scribe.keys else { return Ok(()) };
    if deeds.is_empty() {
        return Ok(());
    }
    let event = |Deed { action, object, details }| {
        let done = Event::by(scribe.author.clone(), action, Decision::Done);
        let reason = (!details.is_empty()).then(|| details.into());
        (now, Event { object: Some(object.into()), reason, ..done })
    };
    let events: Vec<_> = deeds.into_iter().map(event).collect();
    let tail = rows::take_turn(session)?;
    trust::require_signed(session, &tail, keys)?;
    append(session, &events, now, keys, tail).map(drop)
}

/// Appends to where the chain ends, and signs where it ends then.
fn append(
    session: &Session<'_>,
    events: &[(i64, Event)],
    now: i64,
    keys: &Keys,
    mut tail: Tail,
) -> Result<Tail, StoreError> {
    if events.is_empty() {
        return Ok(tail);
    }
    for (time, event) in events {
        let link = tail.append(*time, event);
        rows::insert_link(session, &link)?;
        tail = Tail::of(&link);
    }
    rows::set_tail(session, &tail)?;
    rows::insert_head(session, keys, &tail, now)?;
    Ok(tail)
}

#[cfg(test)]
mod tests;
