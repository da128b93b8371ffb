//! When and how much tokens were used: written by running servers now and then, and no edit.

use std::str::FromStr as _;

use serde::{Deserialize, Serialize};
use sqlx::{any::AnyRow, query};
use utoipa::ToSchema;

use super::{Session, Store, StoreError, View, get, meaningless};
use crate::policy::month::Month;

/// What is known of the use of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Used {
    /// When it was used last, as a Unix time; 0 for never.
    pub last_used: i64,
    /// The month that was counted last, in UTC: `2026-11`.
    pub month: String,
    /// Reads in it that counted against a quota.
    pub reads: i64,
    /// Writes likewise.
    pub writes: i64,
}

/// What a process has to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// The public id of the token.
    pub token: String,
    /// When it was used last, as a Unix time.
    pub last_used: i64,
    /// The month under way.
    pub month: Month,
    /// Reads since it was written last.
    pub reads: i64,
    /// Writes likewise.
    pub writes: i64,
}

impl Store {
    /// Adds what a process has counted; of tokens that are gone nothing. What is written for a month
    /// behind `latest` gives way: somebody's clock was wrong.
    pub fn add_uses(&mut self, uses: &[Use], latest: Month) -> Result<(), StoreError> {
        let latest = latest.to_string();
        self.write(|session| {
            uses.iter().try_for_each(|used| session.execute(added(used, &latest)).map(drop))
        })
    }

    /// What is known of the use of every token that has a count.
    pub fn counted(&mut self) -> Result<Vec<(String, Used)>, StoreError> {
        let select = query("SELECT * FROM uses WHERE reads > 0 OR writes > 0");
        self.look_at(|session| session.all(select, |row| Ok((get(row, "token")?, record(row)?))))
    }
}

impl View<'_> {
    /// What is known of the use of a token.
    pub fn used(&self, token: &str) -> Result<Option<Used>, StoreError> {
        find(&self.session, token)
    }
}

impl Used {
    /// The month, to be counted on.
    pub fn month(&self) -> Result<Month, StoreError> {
        Month::from_str(&self.month).map_err(|_| meaningless("month", &self.month))
    }
}

/// Several processes add to the same row: what counts is the later month, and in it the sum.
fn added<'a>(used: &'a Use, latest: &'a str) -> super::session::Statement<'a> {
    query(
        "INSERT INTO uses (token, last_used, month, reads, writes)
         SELECT id, $2, $3, $4, $5 FROM tokens WHERE id = $1
         ON CONFLICT (token) DO UPDATE SET
             last_used = CASE WHEN uses.last_used < excluded.last_used OR uses.month > $6
                 THEN excluded.last_used ELSE uses.last_used END,
             reads = CASE WHEN uses.month = excluded.month THEN uses.reads + excluded.reads
                 WHEN uses.month < excluded.month OR uses.month > $6 THEN excluded.reads ELSE uses.reads END,
             writes = CASE WHEN uses.month = excluded.month THEN uses.writes + excluded.writes
                 WHEN uses.month < excluded.month OR uses.month > $6 THEN excluded.writes ELSE uses.writes END,
             month = CASE WHEN uses.month < excluded.month OR uses.month > $6
                 THEN excluded.month ELSE uses.month END",
    )
    .bind(&*used.token)
    .bind(used.last_used)
    .bind(used.month.to_string())
    .bind(used.reads)
    .bind(used.writes)
    .bind(latest)
}

fn find(session: &Session<'_>, token: &str) -> Result<Option<Used>, StoreError> {
    session.first(query("SELECT * FROM uses WHERE token = $1").bind(token), record)
}

fn record(row: &AnyRow) -> Result<Used, StoreError> {
    Ok(Used {
        last_used: get(row, "last_used")?,
        month: get(row, "month")?,
        reads: get(row, "reads")?,
        writes: get(row, "writes")?,
    })
}
