//! What rotations leave when they have ended: keys that no credential has, and lines that grow old.

use sqlx::query;

use super::{super::get, RotationRefusal};
use crate::{
    audit::event::Action,
    tenants::{
        record::{RotationRecord, SecretKind},
        secret::Vault,
        store::{Edit, Store, StoreError},
    },
};

/// So many ended rotations go in one transaction, for which others wait.
const AT_ONCE: i64 = 500;

impl Store {
    /// Deletes rotations that ended before a Unix time and keep no key; whether there may be more. The
    /// last of a credential that came to a new key stays: its age and its generation are those of the
    /// key.
    pub fn prune_rotations(&mut self, before: i64) -> Result<bool, StoreError> {
        self.write(|session| {
            let delete = query(
                "DELETE FROM rotations WHERE row IN (
                     SELECT row FROM rotations AS old
                     WHERE ended < $1 AND length(old_key) = 0 AND length(new_key) = 0
                         AND (step <> 'done' OR EXISTS (
                             SELECT 1 FROM rotations AS later
                             WHERE later.credential = old.credential AND later.step = 'done'
                                 AND later.row > old.row))
                     LIMIT $2)",
            );
            let deleted = session.execute(delete.bind(before).bind(AT_ONCE))?;
            Ok(i64::try_from(deleted).is_ok_and(|deleted| deleted == AT_ONCE))
        })
    }
}

impl Edit<'_> {
    /// Refuses if so many keys of an upstream are kept that no credential has. What is kept is hidden
    /// from clients, which costs every reload and every reply.
    pub fn require_room(&self, upstream: &str, most: u32) -> Result<(), StoreError> {
        let count = query(
            "SELECT (SELECT count(*) FROM pending_keys WHERE upstream = $1) +
                 (SELECT count(*) FROM rotations
                      JOIN credentials ON credentials.row = rotations.credential
                  WHERE credentials.upstream = $1 AND rotations.ended IS NOT NULL
                      AND (length(rotations.new_key) > 0 OR length(rotations.old_key) > 0)) AS kept",
        );
        let kept: Option<i64> = self.session.first(count.bind(upstream), |row| get(row, "kept"))?;
        if kept.unwrap_or_default() < i64::from(most) {
            return Ok(());
        }
        Err(RotationRefusal::Full { upstream: upstream.to_owned(), most }.into())
    }

    /// Gives a credential the new key that an ended rotation of it has kept; its name and generation.
    pub fn use_kept(&self, vault: &Vault<'_>, row: i64) -> Result<(String, i64), StoreError> {
        let kept = self.rotation(row)?.filter(|rotation| rotation.ended.is_some());
        let nothing = || StoreError::from(RotationRefusal::NothingKept(row));
        let RotationRecord { credential, name, upstream, course, .. } = kept.ok_or_else(nothing)?;
        let new = course.new.ok_or_else(nothing)?;
        let opened = vault.open_sealed(credential, &upstream, SecretKind::Key, &new);
        let secret = opened.map_err(StoreError::vault(&name))?;
        let generation = self.rotate_credential(vault, &name, &secret)?;
        let used = query("UPDATE rotations SET new_key = $2, new_key_id = '' WHERE row = $1");
        self.session.execute(used.bind(row).bind(Vec::<u8>::new()))?;
        self.did(Action::KeyClaim, &name);
        Ok((name, generation))
    }

    /// Forgets the keys that an ended rotation has kept; the panel keeps them.
    pub fn forget_kept(&self, row: i64) -> Result<(), StoreError> {
        let forget = query(
            "UPDATE rotations SET new_key = $2, new_key_id = '', old_key = $2, old_key_id = ''
             WHERE row = $1 AND ended IS NOT NULL
                 AND (length(new_key) > 0 OR length(old_key) > 0)",
        );
        if self.session.execute(forget.bind(row).bind(Vec::<u8>::new()))? == 0 {
            return Err(RotationRefusal::NothingKept(row).into());
        }
        let name = self.rotation(row)?.map(|rotation| rotation.name).unwrap_or_default();
        self.did(Action::KeyForget, &name);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
