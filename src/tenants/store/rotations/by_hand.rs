//! Secrets that are set by hand, and credentials that are removed, while keys are rotated.

use sqlx::query;

use super::{RotationRefusal, record};
use crate::{
    audit::event::Action,
    auth::keyring::VaultError,
    tenants::{
        course::{ByHand, Note, Step},
        record::{CredentialRecord, RotationRecord, SecretKind},
        secret::{SealedSecret, UpstreamSecret, Vault, VaultRefusal},
        store::{Edit, StoreError},
    },
    vocabulary::Closed as _,
};

/// So many seconds after a rotation has ended the panel may still do what it was asked for: longer than
/// anybody waits for its answer.
const LATE: i64 = 600;

impl Edit<'_> {
    /// Refuses if the panel was asked for anything by a rotation of a credential that has not ended. What
    /// is only planned goes with its credential; who works on it finds that before it asks for a key.
    pub(in crate::tenants::store) fn require_untouched(
        &self,
        credential: &CredentialRecord,
    ) -> Result<(), StoreError> {
        match self.open_of(credential)? {
            Some(open) if !open.course.is_untouched() => {
                Err(RotationRefusal::Needed(credential.name.clone()).into())
            }
            Some(_) => {
                self.did(Action::KeyRotationUndone, &credential.name);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Has the rotation of a credential that has not ended make way for a secret that is set by hand, if
    /// it can.
    pub(in crate::tenants::store) fn make_way(
        &self,
        vault: &Vault<'_>,
        credential: &CredentialRecord,
        secret: &UpstreamSecret,
    ) -> Result<(), StoreError> {
        let Some(open) = self.open_of(credential)? else { return Ok(()) };
        let refusal = || Err(RotationRefusal::Switching(credential.name.clone()).into());
        let endangers = open.course.endangers();
        // It may still open for who works on it, with a configuration that knows the upstream where it was.
        let is_leased = open.leased > self.now.saturating_mul(1000);
        let is_nobodys = !is_leased && has_moved(vault, &open);
        let handed = match open.course.by_hand() {
            ByHand::Noticed | ByHand::Refused if is_nobodys => open.course.abandoned(),
            ByHand::Noticed => return Ok(()),
            ByHand::Refused => return refusal(),
            ByHand::Ends => open.course.handed(),
        };
        let leaves_old = handed.leaves_old();
        // The panel may be asked to remove or replace it at this moment, or may be late in doing so.
        let dies = leaves_old || endangers;
        if dies && is_in(vault, credential.row, &credential.upstream, &open.old, secret) {
            return refusal();
        }
        let end = query(
            "UPDATE rotations SET step = $2, note = $3, ended = $4, leased = 0,
                 old_key = CASE WHEN $5 = 1 THEN old_key ELSE $6 END,
                 old_key_id = CASE WHEN $5 = 1 THEN old_key_id ELSE '' END
             WHERE row = $1",
        );
        let end = end
            .bind(open.row)
            .bind(handed.step.as_str())
            .bind(handed.note.map(Note::as_str))
            .bind(self.now)
            .bind(i64::from(leaves_old))
            .bind(Vec::<u8>::new());
        self.session.execute(end)?;
        let switched = handed.step == Step::Done;
        let action = if switched { Action::KeyRotated } else { Action::KeyRotationUndone };
        self.did(action, &credential.name);
        Ok(())
    }

    /// Refuses a secret that a rotation has the panel remove or replace at this moment, or had it remove a
    /// moment ago: who does so has looked before that no other credential has it.
    pub(in crate::tenants::store) fn require_kept(
        &self,
        vault: &Vault<'_>,
        upstream: &str,
        secret: &UpstreamSecret,
    ) -> Result<(), StoreError> {
        let select = concat!(
            select!(),
            " WHERE credentials.upstream = $1 AND (rotations.ended IS NULL OR rotations.ended > $2)"
        );
        let select = query(select).bind(upstream).bind(self.now.saturating_sub(LATE));
        for RotationRecord { credential, name, course, old, .. } in
            self.session.all(select, record)?
        {
            let going = match course.step {
                Step::Removing => Some(old),
                // One that nobody asked to be removed works on.
                Step::Done if course.note == Some(Note::OldLeft) => Some(old),
                Step::Undoing => course.new,
                _ if course.endangers() => Some(old),
                _ => None,
            };
            if going.is_some_and(|sealed| is_in(vault, credential, upstream, &sealed, secret)) {
                return Err(RotationRefusal::Switching(name).into());
            }
        }
        Ok(())
    }
}

/// Whether a key of the journal, of a credential by its row, is the one of a secret.
fn is_in(
    vault: &Vault<'_>,
    credential: i64,
    upstream: &str,
    sealed: &SealedSecret,
    secret: &UpstreamSecret,
) -> bool {
    let opened = vault.open_sealed(credential, upstream, SecretKind::Key, sealed);
    opened.is_ok_and(|key| key.pair().1 == secret.pair().1)
}

/// Whether the upstream of a rotation is elsewhere by now. What is sealed for where it was opens for nobody
/// who has read the same configuration.
fn has_moved(vault: &Vault<'_>, rotation: &RotationRecord) -> bool {
    let RotationRecord { credential, upstream, old, .. } = rotation;
    let opened = vault.open_sealed(*credential, upstream, SecretKind::Key, old);
    matches!(opened, Err(VaultRefusal::Vault(VaultError::Sealed)))
}

#[cfg(test)]
mod tests;
