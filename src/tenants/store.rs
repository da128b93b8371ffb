//! The store: tenants, credentials and tokens in SQLite or PostgreSQL, with one schema and the same
//! statements; edited in whole transactions and read as of one moment.
//!
//! Every edit first counts the revision on, which also makes the others wait for their turn. Who
//! follows the store asks for the revision, or listens to PostgreSQL's announcements.

use std::{cell::RefCell, fs::OpenOptions, io, os::unix::fs::OpenOptionsExt, path::Path, rc::Rc};

use sqlx::query;

use super::{Config, record::Noun, schema};
use crate::auth::data_key::DataKey;

mod acts;
mod admin_tokens;
pub mod announcements;
mod answers;
pub mod audit;
mod columns;
mod credentials;
mod data_keys;
mod error;
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
pub use error::StoreError;
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
