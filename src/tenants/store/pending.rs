//! The keys that clients have made and that wait for an owner.

use sqlx::{any::AnyRow, query};

use super::{
    Edit, Session, StoreError, View, data_keys::sealed, get, meaningless,
    rotations::RotationRefusal,
};
use crate::{
    audit::event::Action,
    tenants::{
        record::{PendingRecord, SecretKind, Standing},
        secret::{UpstreamSecret, Vault},
    },
};

/// A key that was asked for and belongs to none of ours.
#[derive(Clone, Copy, Debug)]
pub struct NewPending<'a> {
    /// Of which upstream.
    pub upstream: &'a str,
    /// The user's number.
    pub user: i64,
    /// The user's e-mail address, with which the key is sent.
    pub login: &'a str,
    /// The public id of the token that asked.
    pub token: &'a str,
}

/// The columns of a pending key, and of the key that has sealed it.
macro_rules! select {
    ($rest:literal) => {
        query(concat!(
            "SELECT pending_keys.*, data_keys.wrapped, data_keys.wrapped_by FROM pending_keys
             LEFT JOIN data_keys
                 ON data_keys.purpose = 'vault' AND data_keys.id = pending_keys.key_id ",
            $rest
        ))
    };
}

impl View<'_> {
    /// So many keys at most that wait for an owner, from behind a row on.
    pub fn pending(&self, after: i64, limit: i64) -> Result<Vec<PendingRecord>, StoreError> {
        let select = select!("WHERE pending_keys.row > $1 ORDER BY pending_keys.row LIMIT $2");
        self.session.all(select.bind(after).bind(limit), record)
    }
}

impl Edit<'_> {
    /// Writes down that a key is being asked for, and gives its row. None is where it could not be sealed.
    pub fn expect_key(&self, vault: &Vault<'_>, new: &NewPending<'_>) -> Result<i64, StoreError> {
        self.sealing_key(vault.keyring)?;
        let insert = query(
            "INSERT INTO pending_keys (upstream, panel_user, login, token, sealed, key_id, created)
             VALUES ($1, $2, $3, $4, $5, '', $6)",
        );
        let insert = insert
            .bind(new.upstream)
            .bind(new.user)
            .bind(new.login)
            .bind(new.token)
            .bind(Vec::<u8>::new())
            .bind(self.now);
        self.session.execute(insert)?;
        let row = self.session.first(
            query("SELECT max(row) AS row FROM pending_keys WHERE token = $1").bind(new.token),
            |row| get(row, "row"),
        )?;
        row.ok_or_else(|| meaningless("row", ""))
    }

    /// Keeps the key that came, though somebody may have said meanwhile that none would.
    pub fn keep_key(
        &self,
        vault: &Vault<'_>,
        row: i64,
        new: &NewPending<'_>,
        secret: &UpstreamSecret,
    ) -> Result<(), StoreError> {
        let (name, bound_to) = (row.to_string(), PendingRecord::bound_to(row));
        let sealed = self.sealed(vault, &name, bound_to, new.upstream, secret)?;
        let keep = query(
            "INSERT INTO pending_keys (row, upstream, panel_user, login, token, sealed, key_id,
                 created)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (row) DO UPDATE SET sealed = excluded.sealed, key_id = excluded.key_id",
        );
        let keep = keep
            .bind(row)
            .bind(new.upstream)
            .bind(new.user)
            .bind(new.login)
            .bind(new.token)
            .bind(sealed.bytes)
            .bind(sealed.key_id)
            .bind(self.now);
        self.session.execute(keep)?;
        self.did(Action::KeyCatch, &name);
        Ok(())
    }

    /// Forgets that a key was asked for: the panel made none.
    pub fn unexpect_key(&self, row: i64) -> Result<(), StoreError> {
        let delete = query("DELETE FROM pending_keys WHERE row = $1");
        self.session.execute(delete.bind(row)).map(drop)
    }

    /// Forgets a pending key, whether it came or not; the panel keeps it.
    pub fn forget_key(&self, row: i64) -> Result<(), StoreError> {
        self.require_pending(row)?;
        self.unexpect_key(row)?;
        self.did(Action::KeyForget, &row.to_string());
        Ok(())
    }

    fn require_pending(&self, row: i64) -> Result<PendingRecord, StoreError> {
        let select = select!("WHERE pending_keys.row = $1");
        let key = self.session.first(select.bind(row), record)?;
        key.ok_or_else(|| RotationRefusal::NoPending(row).into())
    }

    /// Makes a pending key the secret of a credential: of a new one, or of one that there is. Gives its
    /// generation.
    pub fn claim_key(&self, vault: &Vault<'_>, row: i64, name: &str) -> Result<i64, StoreError> {
        let key = self.require_pending(row)?;
        if key.sealed.bytes.is_empty() {
            return Err(RotationRefusal::Unanswered(row).into());
        }
        let opened = vault.open_sealed(
            PendingRecord::bound_to(row),
            &key.upstream,
            SecretKind::Key,
            &key.sealed,
        );
        let secret = opened.map_err(StoreError::vault(name))?;
        let generation = match self.credential(name)? {
            Some(credential) if credential.upstream != key.upstream => {
                return Err(RotationRefusal::OtherUpstream(name.to_owned()).into());
            }
            Some(_) => self.rotate_credential(vault, name, &secret)?,
            None => {
                let standing = Standing::default();
                self.add_credential(vault, name, &key.upstream, &secret, &standing)?;
                1
            }
        };
        self.unexpect_key(row)?;
        self.did(Action::KeyClaim, name);
        Ok(generation)
    }
}

pub(super) fn all(session: &Session<'_>) -> Result<Vec<PendingRecord>, StoreError> {
    session.all(select!("ORDER BY pending_keys.row"), record)
}

fn record(row: &AnyRow) -> Result<PendingRecord, StoreError> {
    Ok(PendingRecord {
        row: get(row, "row")?,
        upstream: get(row, "upstream")?,
        user: get(row, "panel_user")?,
        login: get(row, "login")?,
        token: get(row, "token")?,
        sealed: sealed(row, ["sealed", "key_id", "wrapped", "wrapped_by"])?,
        created: get(row, "created")?,
    })
}
