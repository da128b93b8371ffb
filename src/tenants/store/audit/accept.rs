//! A new beginning: what an operator does with a log that is not as it was signed, once they know why.
//!
//! Nothing is deleted. What stands there is no longer vouched for, a signature says up to where, and
//! the first event behind it says who accepted that, and what was wrong.

use serde::{Deserialize, Serialize};
use sqlx::query;
use utoipa::ToSchema;

use super::{
    super::{Session, Store, StoreError},
    CHAIN, Keys, append, rows,
};
use crate::{
    audit::{
        chain::Tail,
        event::{Action, Author, Decision, Event},
    },
    auth::keyring::Keyring,
    error_chain::error_chain,
};

/// What was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AcceptedLog)]
pub struct Accepted {
    /// The number of the last event that is not vouched for any more.
    pub up_to: u64,
    /// What was wrong.
    pub why: String,
}

impl Store {
    /// Lets the log begin anew behind what stands there, if there is anything wrong with it.
    pub fn accept_audit(
        &mut self,
        keyring: &Keyring,
        now: i64,
    ) -> Result<Option<Accepted>, StoreError> {
        let why = match self.verify_audit(keyring, None, |_| {}) {
            Ok(Ok(_)) => return Ok(None),
            Ok(Err(broken)) => broken.to_string(),
            Err(StoreError::Untrusted(untrusted)) => untrusted.to_string(),
            Err(error @ StoreError::Meaningless { .. }) => error_chain(&error),
            Err(error) => return Err(error),
        };
        let (keys, author) = (Keys::of(keyring), self.scribe.author.clone());
        let up_to = self.write(|session| begin_anew(session, &keys, author, &why, now))?;
        Ok(Some(Accepted { up_to, why }))
    }
}

fn begin_anew(
    session: &Session<'_>,
    keys: &Keys,
    author: Author,
    why: &str,
    now: i64,
) -> Result<u64, StoreError> {
    // Taken as it is: what stands there may mean nothing.
    session.execute(query("UPDATE audit_tail SET sequence = sequence"))?;
    let sequence = rows::greatest(session)?;
    let start = Tail::start(CHAIN);
    // What follows is bound to the last link, if there is one that can be read.
    let hash = rows::hash_at(session, sequence).ok().flatten().unwrap_or(start.hash);
    let end = Tail { sequence, hash, ..start };
    rows::delete_checkpoints(session)?;
    rows::insert_checkpoint(session, keys, &end, now)?;
    let accepted = Event {
        object: Some(format!("events up to {sequence}").into()),
        reason: Some(why.into()),
        ..Event::by(author, Action::AuditAccept, Decision::Done)
    };
    append(session, &[(now, accepted)], now, keys, end)?;
    Ok(sequence)
}
