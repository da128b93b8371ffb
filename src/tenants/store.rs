//! The store: tenants, credentials and tokens in SQLite or PostgreSQL, with one schema and the same
//! statements; edited in whole transactions and read as of one moment.
//!
//! Every edit first counts the revision on, which also makes the others wait for their turn. Who
//! follows the store asks for the revision, or listens to PostgreSQL's announcements.

use std::{
    cell::RefCell,
    fs::OpenOptions,
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};

use sqlx::query;

use super::{Config, record::Noun, schema, secret::VaultRefusal};
use crate::{
    auth::{
        data_key::{DataKey, UnwrapError},
        keyring::VaultError,
    },
    vocabulary::Closed as _,
};

mod acts;
mod admin_tokens;
pub mod announcements;
mod answers;
pub mod audit;
mod columns;
mod credentials;
mod data_keys;
pub mod idempotency;
pub mod location;
pub mod pending;
pub mod rotations;
mod seen;
mod session;
mod succession;
mod tenants;
mod tokens;
mod uses;
mod view;

pub(super) mod backend;

#[cfg(test)]
mod tests;

pub use acts::Acts;
pub use admin_tokens::NewAdminToken;
pub use answers::Kept;
pub(super) use columns::get;
use columns::{limit_status, meaningless, number, word, word_or_none};
pub(super) use credentials::require_account;
pub use data_keys::{Holder, KeyUse, LeftBehind, Resealed};
pub use location::Location;
use session::Link;
pub(super) use session::Session;
#[cfg(test)]
pub(super) use session::loss;
pub use succession::{Succession, Successor};
pub use tokens::{Listed, NewToken};
pub use uses::{Use, Used};
pub use view::View;

/// An open store.
#[derive(Debug)]
pub struct Store {
    link: Link,
    place: Location,
    scribe: audit::Scribe,
}

/// One transaction that changes the store, whole or not at all.
pub struct Edit<'a> {
    view: View<'a>,
    deeds: audit::Deeds,
    /// The data key in force, once it was asked for.
    sealing: RefCell<Option<Rc<DataKey>>>,
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
    /// The database cannot be opened, or not be reached.
    #[error("the store {place} cannot be opened")]
    Open {
        /// Where it is.
        place: Location,
        /// Why.
        source: sqlx::Error,
    },
    /// A database of another program.
    #[error("{place} is a database, but not a store of Tollgate")]
    Foreign {
        /// Where it is.
        place: Location,
    },
    /// Written by a later program.
    #[error(
        "the store {place} has version {found}, and this program knows up to {known}; \
         run the newer program that wrote it",
        known = schema::VERSION
    )]
    Newer {
        /// Where it is.
        place: Location,
        /// Its version.
        found: i64,
    },
    /// The database refused.
    #[error("the store could not be read or written")]
    Database(#[from] sqlx::Error),
    /// The database did not answer.
    #[error(
        "the store did not answer within {} ms (tenants.store_timeout)",
        after.as_millis()
    )]
    TimedOut {
        /// For how long it was waited.
        after: Duration,
    },
    /// The database went away while it was to make a change last.
    #[error("the store did not say whether the change was made; look before you repeat it")]
    Unsettled(#[source] Box<StoreError>),
    /// The audit log is not as it was signed.
    #[error(
        "nothing can be added to the audit log, and so nothing be changed, until an operator has \
         accepted it as it is (`tollgate audit accept`)"
    )]
    Untrusted(#[from] audit::Untrusted),
    /// A value that no program of ours has written.
    #[error("\"{}\" means nothing in the column {column}", value.escape_debug())]
    Meaningless {
        /// Where it stands.
        column: &'static str,
        /// What stands there.
        value: String,
    },
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
    /// A token whose place another one has taken.
    #[error(
        "the token {id} was rotated before: rotate {by}, which has taken its place, or create \
         another one"
    )]
    Replaced {
        /// Its public id.
        id: String,
        /// The public id of the one that nothing has replaced yet.
        by: String,
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
    /// Its keys are another master key's.
    #[error("the keys of the store cannot be had with this master key (key id {given}): {why}")]
    Locked {
        /// The id of the master key.
        given: String,
        /// Why.
        why: UnwrapError,
    },
    /// No key could be made.
    #[error("no data key can be made")]
    NoNewKey(#[from] VaultError),
    /// The keys that rotate.
    #[error(transparent)]
    Rotation(#[from] rotations::RotationRefusal),
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

impl Store {
    /// Opens the store. SQLite's file is made, readable by its owner alone, when it does not exist;
    /// a store of an earlier version is brought to this one.
    pub fn open(config: &Config) -> Result<Self, StoreError> {
        if let Location::File(path) = &config.store {
            make_file(path)?;
        }
        let link = Link::open(&config.store, config.store_timeout)?;
        let place = config.store.clone();
        let mut store = Self { link, place, scribe: audit::Scribe::nobody() };
        store.require_schema()?;
        Ok(store)
    }

    /// Changes the store in one transaction; on an error nothing is changed.
    pub fn edit<T, E: From<StoreError>>(
        &mut self,
        now: i64,
        change: impl FnOnce(&Edit<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let backend = self.link.backend();
        let session = self.link.begin(backend.begin_write())?;
        let view = View { session, place: self.place.clone(), now };
        let deeds = audit::Deeds::default();
        let edit = Edit { view, deeds, sealing: RefCell::default() };
        let change = || {
            // First of all, so that the others wait for their turn.
            edit.session.execute(query("UPDATE store SET revision = revision + 1"))?;
            view::revision(&edit.session, &self.place)?;
            let changed = change(&edit)?;
            audit::append_deeds(&edit.session, &self.scribe, edit.deeds.take(), now)?;
            backend.announce().map_or(Ok(()), |announce| edit.session.script(announce))?;
            Ok(changed)
        };
        let changed = change();
        edit.view.session.end(changed)
    }

    fn require_schema(&mut self) -> Result<(), StoreError> {
        let place = self.place.clone();
        // Asked inside a write transaction: two processes may open a new store at once.
        self.write_any(|session| {
            if let Some(lock) = session.backend().lock_schema() {
                session.script(lock)?;
            }
            match schema::identity(session)? {
                (schema::APPLICATION, schema::VERSION) => Ok(()),
                (schema::APPLICATION, earlier @ 1..schema::VERSION) => {
                    schema::upgrade(session, earlier)
                }
                (schema::APPLICATION, found) => {
                    Err(StoreError::Newer { place: place.clone(), found })
                }
                (0, 0) if schema::is_empty(session)? => schema::create(session),
                _ => Err(StoreError::Foreign { place: place.clone() }),
            }
        })
    }

    /// Reads as of one moment, without a turn that others would wait for.
    fn look_at<T, E: From<StoreError>>(
        &mut self,
        look: impl FnOnce(&Session<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let begin = self.link.backend().begin_read();
        let moment = self.link.begin(begin)?;
        let seen = look(&moment);
        moment.end(seen)
    }

    /// Changes what nobody follows, in one transaction.
    fn write<T, E: From<StoreError>>(
        &mut self,
        change: impl FnOnce(&Session<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let place = self.place.clone();
        self.write_any(|session| {
            view::revision(session, &place)?;
            change(session)
        })
    }

    /// The same, whatever version the store has.
    fn write_any<T, E: From<StoreError>>(
        &mut self,
        change: impl FnOnce(&Session<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let begin = self.link.backend().begin_write();
        let session = self.link.begin(begin)?;
        let changed = change(&session);
        session.end(changed)
    }
}

impl StoreError {
    /// Whether the connection may be at fault, or what it is connected to: it is not asked again.
    pub fn is_of_the_connection(&self) -> bool {
        matches!(
            self,
            Self::Database(_) | Self::TimedOut { .. } | Self::Unsettled(_) | Self::Newer { .. }
        )
    }

    fn missing(noun: Noun, name: &str) -> Self {
        Self::Missing { noun, name: name.to_owned() }
    }

    fn vault(name: &str) -> impl FnOnce(VaultRefusal) -> Self {
        let name = name.to_owned();
        |why| Self::Vault { name, why }
    }
}

/// SQLite would make the file readable by everybody; its side files follow its mode.
fn make_file(path: &Path) -> Result<(), StoreError> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        // Closed before SQLite opens the file: a close drops every lock that the process has on it,
        // and another process would then take the store for its own and remove the log.
        Ok(file) => {
            drop(file);
            Ok(())
        }
        Err(source) if source.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(StoreError::Create { path: path.to_owned(), source }),
    }
}

pub(super) fn require_name(noun: Noun, name: &str) -> Result<(), StoreError> {
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
