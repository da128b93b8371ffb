//! The store: one SQLite file, edited in whole transactions and read as of one moment.

use std::{
    fs::OpenOptions,
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, Row, Transaction, TransactionBehavior};

use super::{
    record::{LimitStatus, Noun, Records, member},
    schema,
    secret::VaultRefusal,
};
use crate::vocabulary::Closed;

mod credentials;
mod tenants;
mod tokens;

#[cfg(test)]
mod tests;

pub use tokens::{NewToken, Successor};

/// An open store.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
}

/// One transaction that changes the store, whole or not at all.
pub struct Edit<'a> {
    transaction: Transaction<'a>,
    now: i64,
}

/// Why the store could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be made, most likely because of its directory.
    #[error("the store {} cannot be created", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is there, but SQLite cannot open it.
    #[error("the store {} cannot be opened", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// A database of another program.
    #[error("{} is a database, but not a store of Tollgate", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Written by a later program.
    #[error(
        "the store {} has version {found}, and this program knows up to {known}; \
         run the newer program that wrote it",
        path.display(), known = schema::VERSION
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
    },
    /// SQLite refused.
    #[error("the store could not be read or written")]
    Sqlite(#[from] rusqlite::Error),
    /// The name is taken.
    #[error("there is already a {} \"{name}\"", noun.as_str())]
    Exists {
        /// What it would be.
        noun: Noun,
        /// Its name.
        name: String,
    },
    /// The name is unknown.
    #[error("there is no {} \"{name}\"", noun.as_str())]
    Missing {
        /// What it would be.
        noun: Noun,
        /// Its name.
        name: String,
    },
    /// It cannot go while others stand on it.
    #[error("the {} \"{name}\" is in use by {}; revoke them first", noun.as_str(), users(tokens))]
    InUse {
        /// What it is.
        noun: Noun,
        /// Its name.
        name: String,
        /// The ids of the tokens that use it.
        tokens: Vec<String>,
    },
    /// The name would not be safe in lists and logs.
    #[error(
        "\"{}\" is no name for a {}: use 1 to {NAME_MAX} letters, digits and \"._@-\"",
        name.escape_debug(), noun.as_str()
    )]
    BadName {
        /// What it would be.
        noun: Noun,
        /// The name.
        name: String,
    },
    /// The same key cannot be two tokens.
    #[error("this key is already the token {id}")]
    TokenTaken {
        /// The public id of the token that it is.
        id: String,
    },
    /// A token that is not good any more, so that nothing can take its place.
    #[error("the token {id} has been revoked or has expired; create another one")]
    Ended {
        /// Its public id.
        id: String,
    },
    /// A token that is never good.
    #[error("the token would expire before it becomes good")]
    NeverGood,
    /// What belongs to an account cannot be known without it.
    #[error(
        "credential \"{name}\" reaches what its account owns (\"own\"), and has no account; \
         name its account, or let it reach \"all\""
    )]
    NoAccount {
        /// The credential.
        name: String,
    },
    /// The account would not be safe in lists and logs.
    #[error(
        "credential \"{name}\": its account must have 1 to {ACCOUNT_MAX} characters, and no \
         control character"
    )]
    BadAccount {
        /// The credential.
        name: String,
    },
    /// The vault refuses.
    #[error("credential \"{name}\": {why}")]
    Vault {
        /// The credential.
        name: String,
        /// Why.
        why: VaultRefusal,
    },
}

const NAME_MAX: usize = 64;

/// In characters.
const ACCOUNT_MAX: usize = 255;

/// How long one writer waits for another.
const BUSY: Duration = Duration::from_secs(5);

/// More statements than there are.
const STATEMENTS: usize = 64;

impl Store {
    /// Opens the store; makes it, readable by its owner alone, when it does not exist. One of an
    /// earlier version is brought to this one.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        // SQLite would make the file readable by everybody; its side files follow its mode.
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        match made {
            // Closed before SQLite opens the file: a close drops every lock that the process has
            // on it, and another process would then take the store for its own and remove the log.
            Ok(file) => drop(file),
            Err(source) if source.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(StoreError::Create { path: path.to_owned(), source }),
        }
        let opened = |source| StoreError::Open { path: path.to_owned(), source };
        let connection = Connection::open(path).and_then(prepare).map_err(opened)?;
        let mut store = Self { connection };
        store.require_schema(path)?;
        Ok(store)
    }

    /// Changes the store in one transaction; on an error nothing is changed.
    pub fn edit<T, E: From<StoreError>>(
        &mut self,
        now: i64,
        change: impl FnOnce(&Edit<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let begun = self.connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let edit = Edit { transaction: begun.map_err(StoreError::from)?, now };
        let changed = change(&edit)?;
        edit.transaction.commit().map_err(StoreError::from)?;
        Ok(changed)
    }

    /// Everything, as of one moment.
    pub fn records(&self) -> Result<Records, StoreError> {
        let moment = self.connection.unchecked_transaction()?;
        Ok(Records {
            tenants: tenants::all(&moment)?,
            credentials: credentials::all(&moment)?,
            tokens: tokens::all(&moment)?,
        })
    }

    /// A number that changes when another connection has changed the store.
    pub fn version(&self) -> Result<i64, StoreError> {
        Ok(self.connection.pragma_query_value(None, "data_version", |row| row.get(0))?)
    }

    fn require_schema(&mut self, path: &Path) -> Result<(), StoreError> {
        // Asked inside a write transaction: two processes may open a new store at once.
        let known = schema::identity(&self.connection)? == (schema::APPLICATION, schema::VERSION);
        if known {
            return Ok(());
        }
        self.edit(0, |edit| match schema::identity(&edit.transaction)? {
            (schema::APPLICATION, schema::VERSION) => Ok(()),
            (schema::APPLICATION, earlier @ 1..schema::VERSION) => {
                Ok(schema::upgrade(&edit.transaction, earlier)?)
            }
            (schema::APPLICATION, found) => Err(StoreError::Newer { path: path.to_owned(), found }),
            (0, 0) if schema::is_empty(&edit.transaction)? => {
                Ok(schema::create(&edit.transaction)?)
            }
            _ => Err(StoreError::Foreign { path: path.to_owned() }),
        })
    }
}

impl StoreError {
    fn missing(noun: Noun, name: &str) -> Self {
        Self::Missing { noun, name: name.to_owned() }
    }

    fn vault(name: &str) -> impl FnOnce(VaultRefusal) -> Self {
        let name = name.to_owned();
        |why| Self::Vault { name, why }
    }
}

fn prepare(connection: Connection) -> rusqlite::Result<Connection> {
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Readers do not wait for writers. `synchronous` stays at FULL: a revocation that was
    // acknowledged survives a power failure.
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(connection)
}

fn require_name(noun: Noun, name: &str) -> Result<(), StoreError> {
    let good = |c: char| c.is_ascii_alphanumeric() || "._@-".contains(c);
    if (1..=NAME_MAX).contains(&name.len()) && name.chars().all(good) && !name.starts_with('-') {
        Ok(())
    } else {
        Err(StoreError::BadName { noun, name: name.to_owned() })
    }
}

fn users(tokens: &[String]) -> String {
    const SHOWN: usize = 5;
    let noun = if tokens.len() == 1 { "token" } else { "tokens" };
    let shown = tokens[..tokens.len().min(SHOWN)].join(", ");
    match tokens.len().checked_sub(SHOWN) {
        None | Some(0) => format!("the {noun} {shown}"),
        Some(more) => format!("the {noun} {shown} and {more} more"),
    }
}

/// A column that holds the word of a closed list.
fn word<L: Closed>(row: &Row<'_>, column: &str) -> rusqlite::Result<L> {
    let word: String = row.get(column)?;
    member(&word).ok_or_else(|| meaningless(column, &word))
}

/// A column that holds the word of a closed list, or nothing.
fn word_or_none<L: Closed>(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<L>> {
    let word: Option<String> = row.get(column)?;
    word.map(|word| member(&word).ok_or_else(|| meaningless(column, &word))).transpose()
}

/// A column that holds one of the statuses of limited requests, or nothing.
fn limit_status(row: &Row<'_>) -> rusqlite::Result<Option<LimitStatus>> {
    let code: Option<u16> = row.get("limit_status")?;
    let status = |code| {
        LimitStatus::from_code(code).ok_or_else(|| meaningless("limit_status", &code.to_string()))
    };
    code.map(status).transpose()
}

/// A value that no program of ours has written.
fn meaningless(column: &str, value: &str) -> rusqlite::Error {
    let text = format!("\"{}\" means nothing in the column {column}", value.escape_debug());
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, text.into())
}
