//! The journal of rotations.
//!
//! One process at a time works on a rotation: it has a lease, and whatever it writes counts only while it
//! has it. Each step is written in a transaction of its own; the switch is one with the credential's.

use std::sync::Arc;

use sqlx::{any::AnyRow, query};

use super::{
    Edit, Session, Store, StoreError, View, data_keys::sealed, get, meaningless, word, word_or_none,
};
use crate::{
    audit::event::Action,
    tenants::{
        course::{Course, Facts, Note, Step, Way},
        record::{CredentialRecord, RotationRecord, SecretKind},
        secret::{UpstreamSecret, Vault},
    },
    vocabulary::Closed,
};

/// The columns of a rotation, and of its credential.
macro_rules! select {
    () => {
        "SELECT rotations.*, credentials.name AS name, credentials.upstream AS upstream,
             credentials.generation AS now_generation,
             old.wrapped AS old_wrapped, old.wrapped_by AS old_wrapped_by,
             new.wrapped AS new_wrapped, new.wrapped_by AS new_wrapped_by
         FROM rotations JOIN credentials ON credentials.row = rotations.credential
         LEFT JOIN data_keys AS old ON old.purpose = 'vault' AND old.id = rotations.old_key_id
         LEFT JOIN data_keys AS new ON new.purpose = 'vault' AND new.id = rotations.new_key_id"
    };
}

mod by_hand;
mod ended;
mod leases;
mod refusal;

pub use leases::Lease;
pub use refusal::RotationRefusal;

/// What is written of a step.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Which rotation.
    pub row: i64,
    /// Where it is.
    pub course: &'a Course<Arc<UpstreamSecret>>,
    /// When there is something to do again, as a Unix time in milliseconds.
    pub due: i64,
    /// Since when it is at this step, likewise.
    pub since: i64,
}

impl Store {
    /// Every rotation, the latest first.
    pub fn rotations(&mut self) -> Result<Vec<RotationRecord>, StoreError> {
        self.look_at(|moment| {
            moment.all(query(concat!(select!(), " ORDER BY rotations.row DESC")), record)
        })
    }

    /// A rotation.
    pub fn rotation(&mut self, row: i64) -> Result<Option<RotationRecord>, StoreError> {
        self.look_at(|moment| find(moment, row))
    }

    /// The row of the rotation of a credential that has not ended.
    pub fn open_rotation(&mut self, name: &str) -> Result<Option<i64>, StoreError> {
        let select =
            query(concat!(select!(), " WHERE credentials.name = $1 AND rotations.ended IS NULL"));
        self.look_at(|moment| moment.first(select.bind(name), |row| get(row, "row")))
    }

    /// Every credential.
    pub fn credentials(&mut self) -> Result<Vec<CredentialRecord>, StoreError> {
        self.look_at(super::credentials::all)
    }
}

impl View<'_> {
    /// So many rotations at most, the latest first, from before a row on.
    pub fn rotations(&self, before: i64, limit: i64) -> Result<Vec<RotationRecord>, StoreError> {
        let select =
            concat!(select!(), " WHERE rotations.row < $1 ORDER BY rotations.row DESC LIMIT $2");
        self.session.all(query(select).bind(before).bind(limit), record)
    }
}

impl Edit<'_> {
    /// Plans a rotation of a credential's key, and gives its row; none where a new key could not be
    /// sealed.
    pub fn plan_rotation(
        &self,
        vault: &Vault<'_>,
        name: &str,
        way: Way,
        facts: &Facts,
    ) -> Result<i64, StoreError> {
        self.sealing_key(vault.keyring)?;
        let credential = self.require_credential(name)?;
        if credential.kind != SecretKind::Key {
            return Err(RotationRefusal::NotAKey(name.to_owned()).into());
        }
        if self.is_rotating(credential.row)? {
            return Err(RotationRefusal::UnderWay(name.to_owned()).into());
        }
        // Whoever takes it up has to know where to ask, and in whose name.
        vault.open(&credential).map_err(StoreError::vault(name))?;
        let insert = query(
            "INSERT INTO rotations (credential, way, step, facts, old_key, old_key_id, new_key,
                 new_key_id, generation, tries, due, since, holder, leased, created)
             VALUES ($1, $2, $3, $4, $5, $6, $7, '', $8, 0, 0, $9, '', 0, $10)",
        );
        let insert = insert
            .bind(credential.row)
            .bind(way.as_str())
            .bind(Step::Planned.as_str())
            .bind(json(facts))
            .bind(credential.sealed)
            .bind(credential.key_id)
            .bind(Vec::<u8>::new())
            .bind(credential.generation)
            .bind(self.now.saturating_mul(1000))
            .bind(self.now);
        self.session.execute(insert)?;
        self.did(Action::KeyRotate, name);
        let planned = query("SELECT row FROM rotations WHERE credential = $1 AND ended IS NULL");
        let row = self.session.first(planned.bind(credential.row), |row| get(row, "row"))?;
        row.ok_or_else(|| meaningless("row", ""))
    }

    /// Whether a rotation of a credential has not ended.
    fn is_rotating(&self, credential: i64) -> Result<bool, StoreError> {
        let open = query("SELECT row FROM rotations WHERE credential = $1 AND ended IS NULL");
        let open: Option<i64> = self.session.first(open.bind(credential), |row| get(row, "row"))?;
        Ok(open.is_some())
    }

    /// The rotation of a credential that has not ended.
    fn open_of(&self, credential: &CredentialRecord) -> Result<Option<RotationRecord>, StoreError> {
        let select = concat!(select!(), " WHERE credentials.row = $1 AND rotations.ended IS NULL");
        self.session.first(query(select).bind(credential.row), record)
    }

    /// Writes a step, if the lease is still ours; says whether it is. A new key is sealed anew with each,
    /// so that it is with the data key in force; where none could be, no key is announced.
    pub fn advance_rotation(
        &self,
        vault: &Vault<'_>,
        entry: &Entry<'_>,
        lease: Lease<'_>,
    ) -> Result<bool, StoreError> {
        let Entry { row, course, due, since } = *entry;
        let ended = course.step.is_end();
        let forgets_old = ended && !course.leaves_old();
        let Some(rotation) = self.rotation(row)? else { return Ok(false) };
        let seal = |new: &Arc<UpstreamSecret>| {
            self.sealed(vault, &rotation.name, rotation.credential, &rotation.upstream, new)
        };
        let new = course.new.as_ref().map(seal).transpose()?.unwrap_or_default();
        if course.step == Step::Minting {
            self.sealing_key(vault.keyring)?;
        }
        // What has ended needs the old key only if that still works: it is hidden from clients.
        let update = query(
            "UPDATE rotations SET step = $3, facts = $4, new_key = $5, note = $6, tries = $7, due = $8,
                 since = $9, leased = $10, ended = $11, new_key_id = $12,
                 old_key = CASE WHEN $13 = 1 THEN $14 ELSE old_key END,
                 old_key_id = CASE WHEN $13 = 1 THEN '' ELSE old_key_id END
             WHERE row = $1 AND holder = $2 AND ended IS NULL",
        );
        let update = update
            .bind(row)
            .bind(lease.holder)
            .bind(course.step.as_str())
            .bind(json(&course.facts))
            .bind(new.bytes)
            .bind(course.note.map(Note::as_str))
            .bind(i64::from(course.tries))
            .bind(due)
            .bind(since)
            .bind(lease.until)
            .bind(ended.then_some(self.now))
            .bind(new.key_id)
            .bind(i64::from(forgets_old))
            .bind(Vec::<u8>::new());
        if self.session.execute(update)? == 0 {
            return Ok(false);
        }
        let action = match course.step {
            Step::Done => Action::KeyRotated,
            Step::Undone => Action::KeyRotationUndone,
            Step::Lost => Action::KeyLost,
            _ => return Ok(true),
        };
        self.did(action, &rotation.name);
        Ok(true)
    }

    /// Gives the credential of a rotation its new key; none if it was given another one meanwhile.
    pub fn switch_key(
        &self,
        vault: &Vault<'_>,
        rotation: &RotationRecord,
        secret: &UpstreamSecret,
    ) -> Result<Option<i64>, StoreError> {
        let credential = self.require_credential(&rotation.name)?;
        let CredentialRecord { row, generation, .. } = credential;
        if (row, generation) != (rotation.credential, rotation.generation) {
            return Ok(None);
        }
        self.give_secret(vault, &credential, secret).map(Some)
    }
}

impl View<'_> {
    /// A rotation.
    pub fn rotation(&self, row: i64) -> Result<Option<RotationRecord>, StoreError> {
        find(&self.session, row)
    }

    /// Every rotation of every credential.
    pub fn every_rotation(&self) -> Result<Vec<RotationRecord>, StoreError> {
        self.session.all(query(select!()), record)
    }

    /// Every credential.
    pub fn every_credential(&self) -> Result<Vec<CredentialRecord>, StoreError> {
        super::credentials::all(&self.session)
    }
}

/// What is open, and what has a key that nothing else has.
pub(super) fn open(session: &Session<'_>) -> Result<Vec<RotationRecord>, StoreError> {
    let select = concat!(
        select!(),
        " WHERE rotations.ended IS NULL OR length(rotations.new_key) > 0
             OR length(rotations.old_key) > 0"
    );
    session.all(query(select), record)
}

fn find(session: &Session<'_>, row: i64) -> Result<Option<RotationRecord>, StoreError> {
    let select = query(concat!(select!(), " WHERE rotations.row = $1"));
    session.first(select.bind(row), record)
}

fn record(row: &AnyRow) -> Result<RotationRecord, StoreError> {
    let facts: String = get(row, "facts")?;
    let facts = serde_json::from_str(&facts).map_err(|_| meaningless("facts", &facts))?;
    let tries: i64 = get(row, "tries")?;
    let new = sealed(row, ["new_key", "new_key_id", "new_wrapped", "new_wrapped_by"])?;
    Ok(RotationRecord {
        row: get(row, "row")?,
        credential: get(row, "credential")?,
        name: get(row, "name")?,
        upstream: get(row, "upstream")?,
        course: Course {
            way: word(row, "way")?,
            step: word(row, "step")?,
            facts,
            tries: u32::try_from(tries).unwrap_or(u32::MAX),
            new: (!new.bytes.is_empty()).then_some(new),
            note: word_or_none(row, "note")?,
        },
        old: sealed(row, ["old_key", "old_key_id", "old_wrapped", "old_wrapped_by"])?,
        generation: get(row, "generation")?,
        now_generation: get(row, "now_generation")?,
        due: get(row, "due")?,
        since: get(row, "since")?,
        holder: get(row, "holder")?,
        leased: get(row, "leased")?,
        created: get(row, "created")?,
        ended: get(row, "ended")?,
    })
}

fn json(facts: &Facts) -> String {
    serde_json::to_string(facts).expect("numbers and words always serialize")
}

#[cfg(test)]
mod tests;
