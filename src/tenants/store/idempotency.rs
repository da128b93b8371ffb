//! The keys of idempotent requests in the store. The servers that share it take turns by the one line
//! that a key can have.

use sqlx::{any::AnyRow, query};

use super::{Session, Store, StoreError, get, meaningless, number, word};
use crate::{
    auth::keyring::Mac,
    idempotency::{End, Entry, Slot, State},
    vocabulary::Closed as _,
};

/// What is written of a key that is free.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Which request it is.
    pub print: Mac,
    /// The number of the request.
    pub first: u64,
    /// The time, before the request is sent; in milliseconds of Unix time, as the others.
    pub now: i64,
    /// Until when the request may be under way.
    pub lease: i64,
    /// From when on the key is free again.
    pub expires: i64,
    /// How many keys the tenant may have.
    pub most: u32,
    /// The id of the keys that are used.
    pub key_id: String,
}

/// What became of the wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// The key was free; it is taken now, by this line.
    New(i64),
    /// It is taken.
    Known(Entry),
    /// The tenant has as many as it may have.
    Full,
}

/// How many lines one deletion takes, so that no edit waits for long.
const AT_ONCE: i64 = 500;

/// How often a key is tried to be taken that others take and free at the same time.
const ATTEMPTS: usize = 3;

impl Store {
    /// Takes a key, or tells what is known of it.
    pub fn claim_key(&mut self, slot: &Slot, wish: &Wish) -> Result<Claimed, StoreError> {
        self.write(|session| claim(session, slot, wish))
    }

    /// Ends a line that is `sent`; whether it was.
    pub fn end_key(&mut self, row: i64, end: &End) -> Result<bool, StoreError> {
        self.write(|session| {
            let statement = match end {
                End::Released => {
                    query("DELETE FROM idempotency WHERE row = $1 AND state = 'sent'").bind(row)
                }
                End::Answered { reply, generation } => query(
                    "UPDATE idempotency SET state = 'answered', reply = $2, generation = $3
                     WHERE row = $1 AND state = 'sent'",
                )
                .bind(row)
                .bind(reply.to_vec())
                .bind(*generation),
                End::Unkept | End::Unknown => {
                    let state = end.state().map_or("", State::as_str);
                    query("UPDATE idempotency SET state = $2 WHERE row = $1 AND state = 'sent'")
                        .bind(row)
                        .bind(state)
                }
            };
            session.execute(statement).map(|ended| ended > 0)
        })
    }

    /// Writes down which transactions of the panel a request of unknown outcome may have begun.
    pub fn name_transactions(&mut self, row: i64, numbers: &[u64]) -> Result<(), StoreError> {
        let numbers: Vec<String> = numbers.iter().map(u64::to_string).collect();
        self.write(|session| {
            let update = query(
                "UPDATE idempotency SET transactions = $2
                 WHERE row = $1 AND state IN ('sent', 'unknown')",
            );
            session.execute(update.bind(row).bind(numbers.join(" "))).map(drop)
        })
    }

    /// Deletes lines that have expired; whether there may be more.
    pub fn prune_keys(&mut self, now: i64) -> Result<bool, StoreError> {
        self.write(|session| {
            let delete = query(
                "DELETE FROM idempotency WHERE row IN
                     (SELECT row FROM idempotency WHERE expires <= $1 LIMIT $2)",
            );
            let deleted = session.execute(delete.bind(now).bind(AT_ONCE))?;
            Ok(i64::try_from(deleted).is_ok_and(|deleted| deleted == AT_ONCE))
        })
    }
}

fn claim(session: &Session<'_>, slot: &Slot, wish: &Wish) -> Result<Claimed, StoreError> {
    if let Some((entry, expires)) = find(session, slot)? {
        if expires > wish.now {
            return Ok(Claimed::Known(entry));
        }
        let delete = query("DELETE FROM idempotency WHERE row = $1");
        session.execute(delete.bind(entry.row))?;
    }
    let count =
        query("SELECT count(*) AS taken FROM idempotency WHERE tenant = $1 AND expires > $2");
    let taken: Option<i64> =
        session.first(count.bind(slot.tenant).bind(wish.now), |row| get(row, "taken"))?;
    if taken.unwrap_or_default() >= i64::from(wish.most) {
        return Ok(Claimed::Full);
    }
    for _ in 0..ATTEMPTS {
        let ours = insert(session, slot, wish)?;
        // Another server's line, if it was faster, or else our own. Its own may be gone by now.
        match find(session, slot)? {
            Some((entry, _)) if ours => return Ok(Claimed::New(entry.row)),
            Some((entry, _)) => return Ok(Claimed::Known(entry)),
            None => {}
        }
    }
    Err(StoreError::Database(sqlx::Error::RowNotFound))
}

/// Whether the line is ours.
fn insert(session: &Session<'_>, slot: &Slot, wish: &Wish) -> Result<bool, StoreError> {
    let insert = query(
        "INSERT INTO idempotency
             (tenant, credential, mac, print, key_id, state, first, sent, lease, expires)
         VALUES ($1, $2, $3, $4, $5, 'sent', $6, $7, $8, $9)
         ON CONFLICT (tenant, credential, mac) DO NOTHING",
    );
    let insert = insert
        .bind(slot.tenant)
        .bind(slot.credential)
        .bind(slot.mac.as_bytes().to_vec())
        .bind(wish.print.as_bytes().to_vec())
        .bind(&*wish.key_id)
        .bind(i64::try_from(wish.first).unwrap_or(i64::MAX))
        .bind(wish.now)
        .bind(wish.lease)
        .bind(wish.expires);
    session.execute(insert).map(|inserted| inserted > 0)
}

/// What is written of a key, and when it expires. What was answered to the user whose the credential was
/// before is as if it were not kept: it is looked for here, since a request may end, or be sent with what
/// a server knew last, after the credential has become another user's.
fn find(session: &Session<'_>, slot: &Slot) -> Result<Option<(Entry, i64)>, StoreError> {
    let select = query(
        "SELECT row, print, first, sent, lease, expires, reply, transactions,
             CASE WHEN state = 'answered' AND generation < (SELECT user_since FROM credentials
                 WHERE credentials.row = idempotency.credential) THEN 'unkept' ELSE state END AS state
         FROM idempotency
         WHERE tenant = $1 AND credential = $2 AND mac = $3",
    );
    let select = select.bind(slot.tenant).bind(slot.credential).bind(slot.mac.as_bytes().to_vec());
    session.first(select, |row| Ok((entry(row)?, get(row, "expires")?)))
}

fn entry(row: &AnyRow) -> Result<Entry, StoreError> {
    let print: Vec<u8> = get(row, "print")?;
    Ok(Entry {
        row: get(row, "row")?,
        print: Mac::from_bytes(&print).ok_or_else(|| meaningless("print", "another length"))?,
        state: word(row, "state")?,
        sent: get(row, "sent")?,
        lease: get(row, "lease")?,
        first: number(row, "first")?.unwrap_or_default(),
        reply: get(row, "reply")?,
        transactions: transactions(row)?,
    })
}

fn transactions(row: &AnyRow) -> Result<Box<[u64]>, StoreError> {
    let text: String = get(row, "transactions")?;
    let numbers: Result<_, _> = text.split_whitespace().map(str::parse).collect();
    numbers.map_err(|_| meaningless("transactions", &text))
}

#[cfg(test)]
mod tests;
