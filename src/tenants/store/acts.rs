//! What tokens have made and removed within the windows of their caps: written by running servers now
//! and then, and no edit.

use sqlx::query;

use super::{Edit, Store, StoreError, get, word};
use crate::{
    policy::{PolicyName, document::PolicyDocument},
    vocabulary::Closed as _,
};

/// What is counted under one date of a cap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acts {
    /// The public id of the token.
    pub token: String,
    /// The cap that counts: `creates` or `deletes`.
    pub policy: PolicyName,
    /// The date, in milliseconds of Unix time.
    pub dated: i64,
    /// How many; below zero for what is to be taken away.
    pub number: i64,
    /// From when on they count no more, likewise.
    pub ends: i64,
}

/// How long what counts no more is kept, in milliseconds: the clocks of servers may differ.
const MARGIN_MS: i64 = 60_000;

/// How many rows one deletion takes, so that no edit waits for long.
const AT_ONCE: i64 = 500;

impl Store {
    /// Adds what a process has counted at a time, of tokens that are gone nothing; and deletes some of
    /// what counts no more.
    pub fn add_acts(&mut self, acts: &[Acts], now: i64) -> Result<(), StoreError> {
        self.write(|session| {
            for one in acts {
                session.execute(added(one))?;
            }
            let delete = query(
                "DELETE FROM acts WHERE (token, policy, dated) IN
                     (SELECT token, policy, dated FROM acts WHERE ends <= $1 LIMIT $2)",
            );
            let before = now.saturating_sub(MARGIN_MS);
            session.execute(delete.bind(before).bind(AT_ONCE)).map(drop)
        })
    }

    /// What counts at a time, of all tokens.
    pub fn acts(&mut self, now: i64) -> Result<Vec<Acts>, StoreError> {
        let select = query("SELECT * FROM acts WHERE ends > $1").bind(now);
        self.look_at(|session| {
            session.all(select, |row| {
                Ok(Acts {
                    token: get(row, "token")?,
                    policy: word(row, "policy")?,
                    dated: get(row, "dated")?,
                    number: get(row, "number")?,
                    ends: get(row, "ends")?,
                })
            })
        })
    }
}

impl Edit<'_> {
    /// Has what a token has made and removed count for as long as other policies of it say: what a wider
    /// window still counts is not to be deleted, or passed over by whoever begins to count. A narrower one
    /// shortens nothing: it may be widened again.
    pub(super) fn follow_windows(
        &self,
        token: &str,
        policies: &PolicyDocument,
    ) -> Result<(), StoreError> {
        let caps =
            [(PolicyName::Creates, &policies.creates), (PolicyName::Deletes, &policies.deletes)];
        for (policy, cap) in caps {
            let Some(cap) = cap else { continue };
            let window = i64::from(cap.window_seconds) * 1000;
            let later = query(
                "SELECT dated FROM acts WHERE token = $1 AND policy = $2 AND ends < dated + $3
                 ORDER BY dated",
            );
            let later = later.bind(token).bind(policy.as_str()).bind(window);
            // One by one, in the order in which all take them.
            for dated in self.session.all(later, |row| get::<i64>(row, "dated"))? {
                let update = query(
                    "UPDATE acts SET ends = dated + $4
                     WHERE token = $1 AND policy = $2 AND dated = $3 AND ends < dated + $4",
                );
                let update = update.bind(token).bind(policy.as_str()).bind(dated).bind(window);
                self.session.execute(update)?;
            }
        }
        Ok(())
    }
}

impl Acts {
    /// All take the rows in this order: otherwise two would wait for each other.
    pub fn order(&self) -> (&str, &str, i64) {
        (&self.token, self.policy.as_str(), self.dated)
    }
}

fn added(acts: &Acts) -> super::session::Statement<'_> {
    query(
        "INSERT INTO acts (token, policy, dated, number, ends)
         SELECT id, $2, $3, $4, $5 FROM tokens WHERE id = $1
         ON CONFLICT (token, policy, dated) DO UPDATE SET
             number = acts.number + excluded.number,
             ends = CASE WHEN acts.ends < excluded.ends THEN excluded.ends ELSE acts.ends END",
    )
    .bind(&*acts.token)
    .bind(acts.policy.as_str())
    .bind(acts.dated)
    .bind(acts.number)
    .bind(acts.ends)
}
