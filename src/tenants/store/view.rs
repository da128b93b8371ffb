//! What is read of the store, as of one moment.

use std::ops::Deref;

use sqlx::query;

use super::{
    Edit, Location, Session, Store, StoreError, credentials, get, meaningless, pending, rotations,
    tenants, tokens,
};
use crate::tenants::{record::Records, schema};

/// One transaction that only reads.
pub struct View<'a> {
    pub(super) session: Session<'a>,
    pub(super) place: Location,
    pub(super) now: i64,
}

impl Store {
    /// Reads as of one moment; `now` is the Unix time that what is read is judged by.
    pub fn view<T, E: From<StoreError>>(
        &mut self,
        now: i64,
        read: impl FnOnce(&View<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let begin = self.link.backend().begin_read();
        let place = self.place.clone();
        let view = View { session: self.link.begin(begin)?, place, now };
        let read = read(&view);
        view.session.end(read)
    }

    /// Everything, as of one moment, and the revision that it is.
    pub fn read(&mut self) -> Result<(i64, Records), StoreError> {
        let place = self.place.clone();
        self.look_at(|moment| {
            let revision = revision(moment, &place)?;
            Ok((revision, records(moment)?))
        })
    }

    /// Everything, as of one moment.
    pub fn records(&mut self) -> Result<Records, StoreError> {
        self.read().map(|(_, records)| records)
    }

    /// A number that grows with every edit.
    pub fn revision(&mut self) -> Result<i64, StoreError> {
        let place = self.place.clone();
        self.look_at(|moment| revision(moment, &place))
    }
}

impl View<'_> {
    /// The Unix time of it.
    pub fn now(&self) -> i64 {
        self.now
    }

    /// A number that grows with every edit, and in an edit has grown already.
    pub fn revision(&self) -> Result<i64, StoreError> {
        revision(&self.session, &self.place)
    }

    /// Everything.
    pub fn records(&self) -> Result<Records, StoreError> {
        records(&self.session)
    }
}

impl<'a> Deref for Edit<'a> {
    type Target = View<'a>;

    fn deref(&self) -> &View<'a> {
        &self.view
    }
}

fn records(moment: &Session<'_>) -> Result<Records, StoreError> {
    Ok(Records {
        tenants: tenants::all(moment)?,
        credentials: credentials::all(moment)?,
        tokens: tokens::all(moment)?,
        rotations: rotations::open(moment)?,
        pending: pending::all(moment)?,
    })
}

/// The revision, of a store that no later program has taken over since it was opened: what that has
/// written may mean what is not understood here.
pub(super) fn revision(session: &Session<'_>, place: &Location) -> Result<i64, StoreError> {
    let read = session.first(query("SELECT revision, version FROM store"), |row| {
        Ok((get(row, "revision")?, get(row, "version")?))
    })?;
    match read {
        Some((revision, schema::VERSION)) => Ok(revision),
        Some((_, found)) => Err(StoreError::Newer { place: place.clone(), found }),
        None => Err(meaningless("revision", "")),
    }
}
