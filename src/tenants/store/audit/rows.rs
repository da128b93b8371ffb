//! The rows of the audit log, as they are read and written.

use std::{cell::RefCell, iter};

use sqlx::{any::AnyRow, query};

use super::{
    super::{Session, StoreError, get, meaningless, number},
    CHAIN, Keys,
};
use crate::audit::{
    chain::{Hash, Link, Tail},
    head::{Checkpoint, Head, Signature},
};

/// So many rows are read at once.
pub(super) const PAGE: i64 = 1000;

/// Waits until nobody else appends, and says where the chain ends. Whoever else appends waits from
/// now on for the end of this transaction.
pub(super) fn take_turn(session: &Session<'_>) -> Result<Tail, StoreError> {
    session.execute(query("UPDATE audit_tail SET sequence = sequence"))?;
    tail(session)
}

/// Where the chain is said to end.
pub(super) fn tail(session: &Session<'_>) -> Result<Tail, StoreError> {
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

pub(super) fn set_tail(session: &Session<'_>, tail: &Tail) -> Result<(), StoreError> {
    // The row may be gone, where somebody has changed what is not theirs.
    for set in [
        "UPDATE audit_tail SET sequence = $1, hash = $2",
        "INSERT INTO audit_tail (sequence, hash) VALUES ($1, $2)",
    ] {
        let set = query(set).bind(signed(tail.sequence)).bind(tail.hash.to_string());
        if session.execute(set)? > 0 {
            return Ok(());
        }
    }
    Ok(())
}

pub(super) fn insert_link(session: &Session<'_>, link: &Link) -> Result<(), StoreError> {
    let insert = query(
        "INSERT INTO audit (sequence, time, event, previous, hash) VALUES ($1, $2, $3, $4, $5)",
    );
    let insert = insert
        .bind(signed(link.sequence))
        .bind(link.time)
        .bind(&*link.event)
        .bind(link.previous.to_string())
        .bind(link.hash.to_string());
    session.execute(insert).map(drop)
}

pub(super) fn insert_head(
    session: &Session<'_>,
    keys: &Keys,
    tail: &Tail,
    now: i64,
) -> Result<(), StoreError> {
    insert_signature(session, keys, "head", &keys.signer.sign(tail, now))
}

pub(super) fn insert_checkpoint(
    session: &Session<'_>,
    keys: &Keys,
    tail: &Tail,
    now: i64,
) -> Result<(), StoreError> {
    let Checkpoint { chain, sequence, hash, time, signature } = keys.signer.checkpoint(tail, now);
    let head = Head { chain, sequence, hash, time, signature };
    insert_signature(session, keys, "checkpoint", &head)
}

fn insert_signature(
    session: &Session<'_>,
    keys: &Keys,
    kind: &'static str,
    head: &Head,
) -> Result<(), StoreError> {
    let insert = query(
        "INSERT INTO audit_heads (kind, sequence, hash, time, signature, key_id)
         VALUES ($1, $2, $3, $4, $5, $6)",
    );
    let insert = insert
        .bind(kind)
        .bind(signed(head.sequence))
        .bind(head.hash.to_string())
        .bind(head.time)
        .bind(head.signature.to_vec())
        .bind(&*keys.id);
    session.execute(insert).map(drop)
}

/// The first links after a number, in their order.
pub(super) fn links(session: &Session<'_>, after: u64, most: i64) -> Result<Vec<Link>, StoreError> {
    let select = query("SELECT * FROM audit WHERE sequence > $1 ORDER BY sequence LIMIT $2");
    session.all(select.bind(signed(after)).bind(most), |row| {
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

/// The first heads after a number and up to another, in their order.
pub(super) fn heads(session: &Session<'_>, after: u64, last: u64) -> Result<Vec<Head>, StoreError> {
    let select = query(
        "SELECT * FROM audit_heads WHERE kind = 'head' AND sequence > $1 AND sequence <= $2
         ORDER BY sequence LIMIT $3",
    );
    session.all(select.bind(signed(after)).bind(signed(last)).bind(PAGE), head)
}

/// The latest head, and the id of the key that it was signed with, if it was noted.
pub(super) fn last_head(session: &Session<'_>) -> Result<Option<(Head, String)>, StoreError> {
    let select = "SELECT * FROM audit_heads WHERE kind = 'head' ORDER BY sequence DESC LIMIT 1";
    session.first(query(select), |row| Ok((head(row)?, get(row, "key_id")?)))
}

/// The id of the key of a signature at a link.
pub(super) fn key_at(session: &Session<'_>, sequence: u64) -> Result<Option<String>, StoreError> {
    let select = query("SELECT key_id FROM audit_heads WHERE sequence = $1");
    session.first(select.bind(signed(sequence)), |row| get(row, "key_id"))
}

/// What stands in the place of the links that retention has deleted.
pub(super) fn checkpoint(session: &Session<'_>) -> Result<Option<Checkpoint>, StoreError> {
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

/// The hash of the link with a number.
pub(super) fn hash_at(session: &Session<'_>, sequence: u64) -> Result<Option<Hash>, StoreError> {
    let select = query("SELECT hash FROM audit WHERE sequence = $1");
    let text: Option<String> =
        session.first(select.bind(signed(sequence)), |row| get(row, "hash"))?;
    text.map(|text| hash_of("hash", &text)).transpose()
}

/// How many links have a number up to this one.
pub(super) fn count_to(session: &Session<'_>, sequence: u64) -> Result<u64, StoreError> {
    let select = query("SELECT count(*) AS links FROM audit WHERE sequence <= $1");
    let count = session.first(select.bind(signed(sequence)), |row| number(row, "links"))?;
    Ok(count.flatten().unwrap_or(0))
}

/// The greatest number that anything of the log has.
pub(super) fn greatest(session: &Session<'_>) -> Result<u64, StoreError> {
    let select = "SELECT max(sequence) AS sequence FROM (
             SELECT max(sequence) AS sequence FROM audit
             UNION ALL SELECT max(sequence) FROM audit_heads
             UNION ALL SELECT max(sequence) FROM audit_tail
         ) AS numbers";
    let greatest = session.first(query(select), |row| number::<i64>(row, "sequence"))?.flatten();
    Ok(greatest.and_then(|number| u64::try_from(number).ok()).unwrap_or(0))
}

/// Deletes links and signatures up to a number.
pub(super) fn delete_to(session: &Session<'_>, sequence: u64) -> Result<(), StoreError> {
    for delete in [
        "DELETE FROM audit WHERE sequence <= $1",
        "DELETE FROM audit_heads WHERE kind IN ('head', 'checkpoint') AND sequence <= $1",
    ] {
        session.execute(query(delete).bind(signed(sequence)))?;
    }
    Ok(())
}

/// Deletes what stands in the place of links that are gone.
pub(super) fn delete_checkpoints(session: &Session<'_>) -> Result<(), StoreError> {
    session.execute(query("DELETE FROM audit_heads WHERE kind = 'checkpoint'")).map(drop)
}

/// Goes through rows that come after a number, some of which are read at a time. A failure ends it,
/// and is left in `failed`.
pub(super) fn paged<'a, T: 'a>(
    mut after: u64,
    number: fn(&T) -> u64,
    failed: &'a RefCell<Option<StoreError>>,
    read: impl Fn(u64) -> Result<Vec<T>, StoreError> + 'a,
) -> impl Iterator<Item = T> + 'a {
    let mut page = Vec::new().into_iter();
    iter::from_fn(move || {
        if page.len() == 0 {
            match read(after) {
                Ok(rows) => page = rows.into_iter(),
                Err(error) => drop(failed.replace(Some(error))),
            }
        }
        let row = page.next()?;
        after = number(&row);
        Some(row)
    })
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
