//! Whether the chain that the store has is the one that was signed.
//!
//! It is asked before anything is appended: a signature vouches for all that stands before it, so
//! that whoever signs what others have put in makes it look genuine.

use super::{
    super::{Session, StoreError},
    Keys, rows,
};
use crate::{audit::chain::Tail, auth::keyring::Keyring};

/// Why nothing is appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// The latest signature is wrong, names another end, or is not there.
    #[error("no signature says that the log ends at link {0}")]
    Unsigned(u64),
    /// Either the log was signed with a key that is no longer in force, or this is not its key.
    #[error("link {0} was signed under another master key")]
    OtherKey(u64),
    /// Links that this process has signed have gone, and not by retention.
    #[error(
        "the log no longer has link {0} as this process has signed it; if an older state of the \
         store was restored, restart the server"
    )]
    Forgotten(u64),
}

/// What a process remembers of the chain, whatever the store says later.
#[derive(Debug, Default)]
pub struct Memory {
    /// The end that was signed last.
    signed: Option<Tail>,
    /// What may have been written, the latest last. There are at most two: one that was found
    /// written, and one after it.
    attempts: Vec<Attempt>,
}

/// Events of which it is not known whether they were written.
#[derive(Debug)]
struct Attempt {
    /// Where the chain ends if they were.
    end: Tail,
    /// How many of the events that wait were written up to there.
    events: usize,
}

impl Memory {
    /// Requires that the store has what was signed, and says how many of the events that wait were
    /// written after all.
    pub(super) fn settle(
        &mut self,
        session: &Session<'_>,
        keys: &Keys,
    ) -> Result<usize, StoreError> {
        while let Some(Attempt { end, .. }) = self.attempts.last() {
            if rows::hash_at(session, end.sequence)? == Some(end.hash) {
                break;
            }
            self.attempts.pop();
        }
        let written = self.attempts.last();
        if let Some(known) = written.map(|attempt| &attempt.end).or(self.signed.as_ref()) {
            require_known(session, known, keys)?;
        }
        Ok(written.map_or(0, |attempt| attempt.events))
    }

    /// Notes what came of an attempt to write all events that wait.
    pub(super) fn note(
        &mut self,
        appended: &Result<(), StoreError>,
        end: Option<Tail>,
        events: usize,
    ) {
        match (appended, end) {
            (Ok(()), Some(end)) => *self = Self { signed: Some(end), attempts: Vec::new() },
            (Err(StoreError::Unsettled(_)), Some(end)) => {
                self.attempts.push(Attempt { end, events });
            }
            (Ok(()) | Err(_), _) => {}
        }
    }
}

/// Requires that the latest signature is this key's, and names the end.
pub(super) fn require_signed(
    session: &Session<'_>,
    tail: &Tail,
    keys: &Keys,
) -> Result<(), StoreError> {
    let verifier = keys.signer.verifier();
    let untrusted = match rows::last_head(session)? {
        Some((head, _)) if verifier.has_signed(&head) => {
            if head.tail() == *tail {
                return Ok(());
            }
            Untrusted::Unsigned(tail.sequence)
        }
        Some((head, key)) if is_another(&key, keys) => Untrusted::OtherKey(head.sequence),
        None if tail.sequence == 0 && rows::checkpoint(session)?.is_none() => return Ok(()),
        Some(_) | None => Untrusted::Unsigned(tail.sequence),
    };
    Err(untrusted.into())
}

/// Whether the latest signature is that of a keyring; none where nothing is signed.
pub(in crate::tenants::store) fn is_signed_last(
    session: &Session<'_>,
    keyring: &Keyring,
) -> Result<Option<bool>, StoreError> {
    let verifier = Keys::of(keyring).signer.verifier();
    Ok(rows::last_head(session)?.map(|(head, _)| verifier.has_signed(&head)))
}

/// Whether a signature says of itself that it is another key's; those of old say nothing.
pub(super) fn is_another(key: &str, keys: &Keys) -> bool {
    !key.is_empty() && key != keys.id
}

/// Requires that the store still has the end that was signed here, unless it was deleted by whoever
/// has the key.
fn require_known(session: &Session<'_>, known: &Tail, keys: &Keys) -> Result<(), StoreError> {
    if rows::hash_at(session, known.sequence)? == Some(known.hash) {
        return Ok(());
    }
    let deleted = rows::checkpoint(session)?.is_some_and(|checkpoint| {
        checkpoint.sequence >= known.sequence
            && keys.signer.verifier().has_signed_checkpoint(&checkpoint)
    });
    if deleted { Ok(()) } else { Err(Untrusted::Forgotten(known.sequence).into()) }
}
