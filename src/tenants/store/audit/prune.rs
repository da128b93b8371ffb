//! Retention: what is old is deleted from the front, some at a time, once it was found whole.

use std::cell::RefCell;

use super::{
    super::{Session, Store, StoreError},
    CHAIN, Keys, rows,
};
use crate::audit::{
    chain::Tail,
    head::Head,
    verify::{Broken, verify},
};

/// What retention did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// How many links are gone.
    pub links: u64,
    /// Whether there may be more to delete.
    pub more: bool,
}

/// Why nothing was pruned.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// The store refuses.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is old is kept, so that somebody can look at it.
    #[error("the audit log is broken, and nothing of it was deleted: {0}")]
    Broken(#[from] Broken),
    /// Nobody could say later that it was not cut off.
    #[error("the store was opened without keys")]
    Unsigned,
}

/// So many links go in one transaction, for which others wait.
pub(super) const AT_ONCE: usize = 1000;

impl Store {
    /// Deletes what is older than a Unix time, once it was found whole, and signs up to where. A call
    /// deletes a bounded number, and says whether there may be more.
    pub fn prune_audit(&mut self, before: i64, now: i64) -> Result<Pruned, PruneError> {
        let keys = self.scribe.keys.clone().ok_or(PruneError::Unsigned)?;
        self.write(|session| prune(session, before, now, &keys))
    }
}

fn prune(session: &Session<'_>, before: i64, now: i64, keys: &Keys) -> Result<Pruned, PruneError> {
    rows::take_turn(session)?;
    let old = rows::checkpoint(session)?;
    let from = old.as_ref().map_or(0, |checkpoint| checkpoint.sequence);
    // One more, because what goes has to be followed by what stays: so the last link stays, whatever
    // its age, and nothing is deleted that the rest does not follow.
    let most = i64::try_from(AT_ONCE).unwrap_or(i64::MAX).saturating_add(1);
    let mut page = rows::links(session, from, most)?;
    let old_enough = page.iter().take_while(|link| link.time < before).count();
    let going = old_enough.min(page.len().saturating_sub(1));
    page.truncate(going + 1);
    let [.., last, next] = &page[..] else { return Ok(Pruned::default()) };
    let (last, next) = (Tail::of(last), next.sequence);
    let failed = RefCell::new(None);
    let read = |after| rows::heads(session, after, next);
    let heads = rows::paged(from, |head: &Head| head.sequence, &failed, read);
    let whole = verify(CHAIN, page, heads, old.as_ref(), &keys.signer.verifier());
    if let Some(error) = failed.take() {
        return Err(error.into());
    }
    whole?;
    rows::delete_to(session, last.sequence)?;
    rows::insert_checkpoint(session, keys, &last, now)?;
    let links = u64::try_from(going).unwrap_or(u64::MAX);
    Ok(Pruned { links, more: going == AT_ONCE })
}
