//! Secrets that are set by hand, and credentials that are removed, while keys are rotated.

use sqlx::query;

use super::{RotationRefusal, record};
use crate::{
    audit::event::Action,
    tenants::{
        course::{ByHand, Course, Note, Step},
        record::{CredentialRecord, RotationRecord, SecretKind},
        secret::{UpstreamSecret, Vault},
        store::{Edit, StoreError},
    },
    vocabulary::Closed as _,
};

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
        credential: &CredentialRecord,
    ) -> Result<(), StoreError> {
        let Some(RotationRecord { row, course, .. }) = self.open_of(credential)? else {
            return Ok(());
        };
        match course.by_hand() {
            ByHand::Noticed => Ok(()),
            ByHand::Refused => Err(RotationRefusal::Switching(credential.name.clone()).into()),
            ByHand::Ends => {
                let Course { step, note, .. } = course.handed();
                let end = query(
                    "UPDATE rotations SET step = $2, note = $3, ended = $4, leased = 0,
                         old_key = $5, old_key_id = ''
                     WHERE row = $1",
                );
                let end = end.bind(row).bind(step.as_str()).bind(note.map(Note::as_str));
                self.session.execute(end.bind(self.now).bind(Vec::<u8>::new()))?;
                self.did(Action::KeyRotationUndone, &credential.name);
                Ok(())
            }
        }
    }

    /// Refuses a secret that a rotation has the panel remove or replace at this moment: who does so has
    /// looked before that no other credential has it.
    pub(in crate::tenants::store) fn require_kept(
        &self,
        vault: &Vault<'_>,
        upstream: &str,
        secret: &UpstreamSecret,
    ) -> Result<(), StoreError> {
        let select =
            concat!(select!(), " WHERE rotations.ended IS NULL AND credentials.upstream = $1");
        for RotationRecord { credential, name, course, old, .. } in
            self.session.all(query(select).bind(upstream), record)?
        {
            let going = match course.step {
                Step::Removing => Some(old),
                Step::Undoing => course.new,
                _ if course.endangers() => Some(old),
                _ => None,
            };
            let opens = |sealed| vault.open_sealed(credential, upstream, SecretKind::Key, &sealed);
            let is_it = |going: UpstreamSecret| going.pair().1 == secret.pair().1;
            if going.and_then(|sealed| opens(sealed).ok()).is_some_and(is_it) {
                return Err(RotationRefusal::Switching(name).into());
            }
        }
        Ok(())
    }
}
