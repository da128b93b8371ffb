//! The audit log in the store: one chain for all that share it, appended in the same transaction as
//! what it tells of.

use std::cell::RefCell;

use sqlx::{any::AnyRow, query};

use super::{Edit, Session, Store, StoreError, get, meaningless, number};
use crate::{
    audit::{
        chain::{Hash, Link, Tail},
        event::{Action, Actor, ActorKind, Decision, Event},
        head::{Checkpoint, Head, Signature, Signer},
        verify::{Broken, Report, verify},
    },
    auth::keyring::Keyring,
};

/// Who changes the store, and with what key it is said that they did.
#[derive(Debug)]
pub(super) struct Scribe {
    actor: Actor,
    signer: Option<Signer>,
}

/// What an edit has done so far.
pub(super) type Deeds = RefCell<Vec<(Action, String)>>;

/// What retention did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// How many links are gone.
    pub links: u64,
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

/// The one chain of a store.
pub const CHAIN: &str = "tollgate";

/// So many links are read at once.
const PAGE: i64 = 1000;

impl Scribe {
    /// Nobody in particular, and no key.
    pub(super) fn nobody() -> Self {
        Self { actor: Actor::unnamed(ActorKind::Server), signer: None }
    }
}

impl Store {
    /// Writes down from now on who it is that changes it, and signs that.
    #[must_use]
    pub fn audited(self, actor: Actor, keyring: &Keyring) -> Self {
        let signer = Some(Signer::from_seed(keyring.audit_seed()));
        Self { scribe: Scribe { actor, signer }, ..self }
    }

    /// Appends what others have done, each with its Unix time, in this order.
    pub fn append_audit(&mut self, events: &[(i64, Event)]) -> Result<(), StoreError> {
        let Some((now, _)) = events.last() else { return Ok(()) };
        let signer = self.scribe.signer.take();
        let appended = self.write(|session| append(session, events, *now, signer.as_ref()));
        self.scribe.signer = signer;
        appended
    }

    /// The heads of the chain, and the checkpoint if its beginning is gone.
    pub fn audit_heads(&mut self) -> Result<(Vec<Head>, Option<Checkpoint>), StoreError> {
        self.write(|session| Ok((heads(session)?, checkpoint(session)?)))
    }

    /// The links that come after a number, some at a time, in their order.
    pub fn audit_links(&mut self, after: u64) -> Result<Vec<Link>, StoreError> {
        self.write(|session| links(session, after, u64::MAX))
    }

    /// Deletes what is older than a Unix time, once it was found whole, and signs up to where.
    pub fn prune_audit(&mut self, before: i64, now: i64) -> Result<Pruned, PruneError> {
        let signer = self.scribe.signer.take().ok_or(PruneError::Unsigned)?;
        let pruned = self.write(|session| prune(session, before, now, &signer));
        self.scribe.signer = Some(signer);
        pruned
    }

    /// Follows the chain to its end, and gives each link besides.
    pub fn verify_audit(
        &mut self,
        keyring: &Keyring,
        mut each: impl FnMut(&Link),
    ) -> Result<Result<Report, Broken>, StoreError> {
        // The heads first: what is appended meanwhile only comes after them.
        let (heads, checkpoint) = self.audit_heads()?;
        let verifier = Signer::from_seed(keyring.audit_seed()).verifier();
        let mut failed = None;
        let mut page = Vec::new().into_iter();
        let mut after = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.sequence);
        let links = std::iter::from_fn(|| {
            if page.len() == 0 {
                match self.audit_links(after) {
                    Ok(links) => page = links.into_iter(),
                    Err(error) => failed = Some(error),
                }
            }
            let link: Link = page.next()?;
            after = link.sequence;
            each(&link);
            Some(link)
        });
        let verified = verify(CHAIN, links, &heads, checkpoint.as_ref(), &verifier);
        failed.map_or(Ok(verified), Err)
    }
}

impl Edit<'_> {
    /// Notes what was done to what, to be appended when the edit ends.
    pub(super) fn did(&self, action: Action, object: &str) {
        self.deeds.borrow_mut().push((action, object.to_owned()));
    }
}

/// Appends what an edit has done.
pub(super) fn append_deeds(
    session: &Session<'_>,
    scribe: &Scribe,
    deeds: Vec<(Action, String)>,
    now: i64,
) -> Result<(), StoreError> {
    let event = |(action, object): (Action, String)| {
        let done = Event::new(scribe.actor.clone(), action, Decision::Done);
        (now, Event { object: Some(object.into()), ..done })
    };
    let events: Vec<_> = deeds.into_iter().map(event).collect();
    append(session, &events, now, scribe.signer.as_ref())
}

fn append(
    session: &Session<'_>,
    events: &[(i64, Event)],
    now: i64,
    signer: Option<&Signer>,
) -> Result<(), StoreError> {
    if events.is_empty() {
        return Ok(());
    }
    // Whoever else appends waits here for the end of this transaction.
    session.execute(query("UPDATE audit_tail SET sequence = sequence"))?;
    let mut tail = tail(session)?;
    for (time, event) in events {
        let link = tail.append(*time, event);
        session.execute(
            query("INSERT INTO audit (sequence, time, event, previous, hash) VALUES ($1, $2, $3, $4, $5)")
                .bind(signed(link.sequence))
                .bind(link.time)
                .bind(&*link.event)
                .bind(link.previous.to_string())
                .bind(link.hash.to_string()),
        )?;
        tail = Tail::of(&link);
    }
    let update = query("UPDATE audit_tail SET sequence = $1, hash = $2");
    session.execute(update.bind(signed(tail.sequence)).bind(tail.hash.to_string()))?;
    match signer {
        Some(signer) => insert_head(session, "head", &signer.sign(&tail, now)),
        None => Ok(()),
    }
}

fn prune(
    session: &Session<'_>,
    before: i64,
    now: i64,
    signer: &Signer,
) -> Result<Pruned, PruneError> {
    session.execute(query("UPDATE audit_tail SET sequence = sequence"))?;
    let first_kept = query("SELECT min(sequence) AS sequence FROM audit WHERE time >= $1");
    let first_kept: Option<u64> =
        session.first(first_kept.bind(before), |row| number(row, "sequence"))?.flatten();
    // The last link stays, whatever its age, so that the chain can be seen to end where it does.
    let end = tail(session)?.sequence;
    let last = first_kept.unwrap_or(end).min(end).saturating_sub(1);
    let old = checkpoint(session)?;
    let from = old.as_ref().map_or(0, |checkpoint| checkpoint.sequence);
    if last <= from {
        return Ok(Pruned::default());
    }
    let mut walked = None;
    let mut after = from;
    let mut page = Vec::new().into_iter();
    let mut failed = None;
    let going = std::iter::from_fn(|| {
        if page.len() == 0 {
            match links(session, after, last) {
                Ok(links) => page = links.into_iter(),
                Err(error) => failed = Some(error),
            }
        }
        let link: Link = page.next()?;
        (after, walked) = (link.sequence, Some(Tail::of(&link)));
        Some(link)
    });
    verify(CHAIN, going, &[], old.as_ref(), &signer.verifier())?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    let Some(tail) = walked else { return Ok(Pruned::default()) };
    let Checkpoint { chain, sequence, hash, time, signature } = signer.checkpoint(&tail, now);
    for delete in
        ["DELETE FROM audit WHERE sequence <= $1", "DELETE FROM audit_heads WHERE sequence <= $1"]
    {
        session.execute(query(delete).bind(signed(sequence)))?;
    }
    let head = Head { chain, sequence, hash, time, signature };
    insert_head(session, "checkpoint", &head)?;
    Ok(Pruned { links: sequence - from })
}

fn insert_head(session: &Session<'_>, kind: &'static str, head: &Head) -> Result<(), StoreError> {
    let insert = query(
        "INSERT INTO audit_heads (kind, sequence, hash, time, signature) VALUES ($1, $2, $3, $4, $5)",
    );
    let insert = insert
        .bind(kind)
        .bind(signed(head.sequence))
        .bind(head.hash.to_string())
        .bind(head.time)
        .bind(head.signature.to_vec());
    session.execute(insert).map(drop)
}

fn tail(session: &Session<'_>) -> Result<Tail, StoreError> {
    let row = session.first(query("SELECT sequence, hash FROM audit_tail"), |row| {
        let text: String = get(row, "hash")?;
        Ok((number(row, "sequence")?.unwrap_or(0), text))
    })?;
    match row {
        Some((0, _)) => Ok(Tail::start(CHAIN)),
        Some((sequence, text)) => {
            Ok(Tail { chain: CHAIN.to_owned(), sequence, hash: hash_of("hash", &text)? })
        }
        None => Err(meaningless("audit_tail", "")),
    }
}

fn links(session: &Session<'_>, after: u64, last: u64) -> Result<Vec<Link>, StoreError> {
    let select = query(
        "SELECT * FROM audit WHERE sequence > $1 AND sequence <= $2 ORDER BY sequence LIMIT $3",
    );
    session.all(select.bind(signed(after)).bind(signed(last)).bind(PAGE), |row| {
        let (previous, hash): (String, String) = (get(row, "previous")?, get(row, "hash")?);
        Ok(Link {
            chain: CHAIN.to_owned(),
            sequence: number(row, "sequence")?.unwrap_or(0),
            time: get(row, "time")?,
            event: get(row, "event")?,
            previous: hash_of("previous", &previous)?,
            hash: hash_of("hash", &hash)?,
        })
    })
}

fn heads(session: &Session<'_>) -> Result<Vec<Head>, StoreError> {
    session.all(query("SELECT * FROM audit_heads WHERE kind = 'head' ORDER BY sequence"), head)
}

fn checkpoint(session: &Session<'_>) -> Result<Option<Checkpoint>, StoreError> {
    let select =
        "SELECT * FROM audit_heads WHERE kind = 'checkpoint' ORDER BY sequence DESC LIMIT 1";
    let found = session.first(query(select), head)?;
    Ok(found.map(|Head { chain, sequence, hash, time, signature }| Checkpoint {
        chain,
        sequence,
        hash,
        time,
        signature,
    }))
}

fn head(row: &AnyRow) -> Result<Head, StoreError> {
    let (hash, signature): (String, Vec<u8>) = (get(row, "hash")?, get(row, "signature")?);
    let signature: Signature =
        signature.try_into().map_err(|_| meaningless("signature", "another length"))?;
    Ok(Head {
        chain: CHAIN.to_owned(),
        sequence: number(row, "sequence")?.unwrap_or(0),
        hash: hash_of("hash", &hash)?,
        time: get(row, "time")?,
        signature,
    })
}

fn hash_of(column: &'static str, text: &str) -> Result<Hash, StoreError> {
    text.parse().map_err(|_| meaningless(column, text))
}

/// As the databases count; there will never be so many.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
