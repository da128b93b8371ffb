//! What operators can do to the store: each thing once, for the command line and for the admin API.
//!
//! 1. A request and an answer are types that are written in JSON; the answers are what `--json`
//!    prints and what the API sends.
//! 2. What is changed takes an [`Edit`](crate::tenants::store::Edit), so that whoever asks decides
//!    what else belongs to the same transaction. What is read takes a
//!    [`View`](crate::tenants::store::View).
//! 3. No answer has a secret in it, but for that of a token, when it is made.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    audit::verify::Broken,
    auth::{keyring::VaultError, scopes::UnknownName, token::Environment},
    policy::policies::PolicyError,
    settings::Problem,
    tenants::{
        declared::NotCarriedOut,
        secret::{BadSecret, Vault},
        store::StoreError,
    },
};

pub mod admin_tokens;
pub mod audit;
pub mod credentials;
pub mod declaration;
pub mod keys;
pub mod plain;
pub mod tenants;
pub mod tokens;
pub mod upstreams;
pub mod vault;
pub mod words;

/// What operations work with, besides the store.
#[derive(Clone, Copy)]
pub struct Means<'a> {
    /// Seals the secrets of credentials, and has the keys.
    pub vault: Vault<'a>,
    /// The bit of a route class or a family.
    pub scope: &'a dyn Fn(&str) -> Option<u64>,
    /// The word in new tokens.
    pub environment: &'a Environment,
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    /// The store refuses.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The secret cannot be sent upstream.
    #[error(transparent)]
    BadSecret(#[from] BadSecret),
    /// A scope that there is not.
    #[error(transparent)]
    Scope(#[from] UnknownName),
    /// Policies that make no sense.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// There is no randomness.
    #[error(transparent)]
    Random(#[from] VaultError),
    /// The time is beyond all calendars.
    #[error("the time given lies too far in the future")]
    TooLate,
    /// A label that would break a list.
    #[error("a label has at most {} characters, on one line", tokens::LABEL_MAX)]
    BadLabel,
    /// The audit log is not what was written.
    #[error("the audit log is broken: {0}")]
    Broken(#[from] Broken),
    /// There is nothing wrong with the audit log.
    #[error("there is nothing to accept: the audit log is whole, and signed to its end")]
    NothingToAccept,
    /// What is declared cannot be done.
    #[error("what is declared cannot be done; problems: {}", .0.len())]
    Undeclarable(Vec<Problem>),
    /// What was planned was not carried out.
    #[error(transparent)]
    NotCarriedOut(#[from] NotCarriedOut),
    /// A key that is added is never lost with an answer.
    #[error("only a key that is replaced can be lost: unrecoverable is of no use without replace")]
    NothingToLose,
    /// An event of the audit log that is none.
    #[error("event {0} of the audit log is no JSON; `tollgate audit verify` says more")]
    NoEvent(u64),
    /// A cursor that no list has given.
    #[error("the cursor is not one that a list has given as \"next\"")]
    BadCursor,
}

/// Which part of a list is asked for.
#[derive(Clone, Debug)]
pub struct Page {
    /// How many items at most.
    pub limit: u16,
    /// Behind which item it begins; at the first if there is none.
    pub cursor: Option<Cursor>,
}

/// A place in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(String);

/// A part of a list.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Listed<T> {
    /// What stands in it.
    pub items: Vec<T>,
    /// The cursor of what follows; absent at the end of the list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The largest part.
pub const LIMIT_MAX: u16 = 1000;

impl Page {
    /// The beginning, as much of it as there may be.
    pub fn first() -> Self {
        Self { limit: LIMIT_MAX, cursor: None }
    }

    /// As it stands in a query.
    pub fn query(&self) -> String {
        let limit = format!("limit={}", self.limit);
        match &self.cursor {
            Some(cursor) => format!("{limit}&cursor={}", cursor.written()),
            None => limit,
        }
    }

    /// What the list goes on behind; empty at its beginning.
    fn after(&self) -> &str {
        self.cursor.as_ref().map_or("", |Cursor(place)| place)
    }

    /// The number that it goes on behind.
    fn after_number<N: std::str::FromStr + Default>(&self) -> Result<N, OperationError> {
        let number = |Cursor(place): &Cursor| place.parse().map_err(|_| OperationError::BadCursor);
        self.cursor.as_ref().map_or(Ok(N::default()), number)
    }

    /// The number that it goes on before, in a list whose greatest is first.
    fn before_number(&self) -> Result<i64, OperationError> {
        if self.cursor.is_some() { self.after_number() } else { Ok(i64::MAX) }
    }

    /// One more than is wanted, to see whether there is more.
    fn probe(&self) -> i64 {
        i64::from(self.limit) + 1
    }

    /// Makes a part of what was found, with the place of its last item.
    fn of<T>(&self, mut found: Vec<T>, place: impl Fn(&T) -> String) -> Listed<T> {
        let limit = usize::from(self.limit);
        let more = found.len() > limit;
        found.truncate(limit);
        let last = found.last().filter(|_| more);
        let next = last.map(|last| Cursor(place(last)).written());
        Listed { items: found, next }
    }
}

impl Cursor {
    /// Reads what a list has given.
    pub fn parse(text: &str) -> Result<Self, OperationError> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok();
        let place = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        // What no list gives might be what no database takes.
        let good = place.filter(|place| !place.is_empty() && !place.contains(char::is_control));
        good.map(Self).ok_or(OperationError::BadCursor)
    }

    fn written(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(&self.0)
    }
}

impl<T> Listed<T> {
    fn map<U>(self, change: impl FnMut(T) -> U) -> Listed<U> {
        Listed { items: self.items.into_iter().map(change).collect(), next: self.next }
    }
}

/// Every item of a list, part after part.
pub fn every<T, E: From<OperationError>>(
    mut part: impl FnMut(&Page) -> Result<Listed<T>, E>,
) -> Result<Vec<T>, E> {
    let mut page = Page::first();
    let mut items = Vec::new();
    loop {
        let found = part(&page)?;
        items.extend(found.items);
        let Some(next) = found.next else { return Ok(items) };
        page.cursor = Some(Cursor::parse(&next)?);
    }
}

#[cfg(test)]
mod tests;
