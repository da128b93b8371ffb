//! The tokens of operators in the store, with the role of each.

use sqlx::{any::AnyRow, query};

use super::{Edit, StoreError, View, audit::details, get, meaningless, require_name, word};
use crate::{
    audit::event::Action,
    auth::{
        keyring::{KeyId, Mac},
        role::Role,
    },
    tenants::record::{AdminTokenRecord, Noun},
    vocabulary::Closed,
};

/// An admin token to add.
#[derive(Clone, Copy, Debug)]
pub struct NewAdminToken<'a> {
    /// The public id.
    pub id: &'a str,
    /// The name, which the audit log calls it by.
    pub name: &'a str,
    /// What it may.
    pub role: Role,
    /// What it is recognized by.
    pub mac: Mac,
    /// The keys that made the MAC.
    pub key_id: &'a KeyId,
    /// The Unix time from which it is no longer good.
    pub expires: Option<i64>,
}

impl Edit<'_> {
    /// Adds an admin token. A name is never used twice, so that the audit log stays clear.
    pub fn add_admin_token(&self, new: &NewAdminToken<'_>) -> Result<(), StoreError> {
        let name = new.name;
        require_name(Noun::AdminToken, name)?;
        if self.admin_token(name)?.is_some() {
            return Err(StoreError::Exists { noun: Noun::AdminToken, name: name.to_owned() });
        }
        if new.expires.is_some_and(|end| end <= self.now) {
            return Err(StoreError::NeverGood);
        }
        let insert = query(
            "INSERT INTO admin_tokens (id, name, role, mac, key_id, expires, created)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        );
        let insert = insert
            .bind(new.id)
            .bind(name)
            .bind(new.role.as_str())
            .bind(new.mac.as_bytes().to_vec())
            .bind(new.key_id.as_str())
            .bind(new.expires)
            .bind(self.now);
        self.session.execute(insert)?;
        self.did_so(Action::AdminTokenCreate, name, details::of_role(new.role));
        Ok(())
    }

    /// Revokes an admin token for good; false when it was revoked before.
    pub fn revoke_admin_token(&self, name: &str) -> Result<bool, StoreError> {
        let revoked = self.require_admin_token(name)?.revoked;
        if revoked.is_none() {
            let update = query("UPDATE admin_tokens SET revoked = $2 WHERE name = $1");
            self.session.execute(update.bind(name).bind(self.now))?;
            self.did(Action::AdminTokenRevoke, name);
        }
        Ok(revoked.is_none())
    }
}

impl View<'_> {
    /// An admin token by its name.
    pub fn admin_token(&self, name: &str) -> Result<Option<AdminTokenRecord>, StoreError> {
        self.session.first(query("SELECT * FROM admin_tokens WHERE name = $1").bind(name), record)
    }

    /// An admin token that has to be there, revoked or not.
    pub fn require_admin_token(&self, name: &str) -> Result<AdminTokenRecord, StoreError> {
        self.admin_token(name)?.ok_or_else(|| StoreError::missing(Noun::AdminToken, name))
    }

    /// The admin token that a MAC belongs to, if it is good now.
    pub fn good_admin_token(&self, mac: &Mac) -> Result<Option<AdminTokenRecord>, StoreError> {
        let select = query("SELECT * FROM admin_tokens WHERE mac = $1");
        let found = self.session.first(select.bind(mac.as_bytes().to_vec()), record)?;
        Ok(found.filter(|token| {
            token.revoked.is_none() && token.expires.is_none_or(|end| self.now < end)
        }))
    }

    /// So many admin tokens at most by name, from behind a name on.
    pub fn admin_tokens(
        &self,
        after: &str,
        limit: i64,
    ) -> Result<Vec<AdminTokenRecord>, StoreError> {
        let select = query("SELECT * FROM admin_tokens WHERE name > $1 ORDER BY name LIMIT $2");
        self.session.all(select.bind(after).bind(limit), record)
    }
}

fn record(row: &AnyRow) -> Result<AdminTokenRecord, StoreError> {
    let mac: Vec<u8> = get(row, "mac")?;
    Ok(AdminTokenRecord {
        id: get(row, "id")?,
        name: get(row, "name")?,
        role: word(row, "role")?,
        mac: Mac::from_bytes(&mac).ok_or_else(|| meaningless("mac", ""))?,
        expires: get(row, "expires")?,
        created: get(row, "created")?,
        revoked: get(row, "revoked")?,
    })
}
