//! The tokens in the store.

use ipnet::IpNet;
use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::{Edit, StoreError, limit_status, meaningless, member, word};
use crate::{
    auth::{
        keyring::{KeyId, Mac},
        scopes::{PermissionSet, ScopeNames},
    },
    tenants::record::{LimitStatus, Noun, TokenRecord, TokenTerms},
    vocabulary::Closed,
};

/// A token to add.
#[derive(Clone, Copy, Debug)]
pub struct NewToken<'a> {
    /// The public id.
    pub id: &'a str,
    /// The name of its tenant.
    pub tenant: &'a str,
    /// The name of its credential.
    pub credential: &'a str,
    /// What it is recognized by.
    pub mac: Mac,
    /// The keys that made the MAC.
    pub key_id: &'a KeyId,
    /// What it is good for.
    pub terms: &'a TokenTerms,
    /// Whether it is a key of its client's.
    pub adopted: bool,
}

/// A token that takes another's place.
#[derive(Clone, Copy, Debug)]
pub struct Successor<'a> {
    /// The public id.
    pub id: &'a str,
    /// What it is recognized by.
    pub mac: Mac,
    /// The keys that made the MAC.
    pub key_id: &'a KeyId,
    /// When it ends, as a Unix time; as the one before it if not given.
    pub expires: Option<i64>,
}

impl Edit<'_> {
    /// Adds a token.
    pub fn add_token(&self, new: &NewToken<'_>) -> Result<(), StoreError> {
        let tenant = self.require_tenant(new.tenant)?;
        let credential = self.require_credential(new.credential)?;
        if let Some(taken) = self.token_by_mac(&new.mac)? {
            return Err(StoreError::TokenTaken { id: taken.id });
        }
        let terms = new.terms;
        if let (Some(from), Some(until)) = (terms.not_before, terms.expires)
            && from >= until
        {
            return Err(StoreError::NeverGood);
        }
        let mut insert = self.transaction.prepare_cached(
            "INSERT INTO tokens (id, tenant, credential, mac, key_id, access, allow, deny,
                 addresses, not_before, expires, limit_status, adopted, created, permissions)
             VALUES (:id, :tenant, :credential, :mac, :key_id, :access, :allow, :deny,
                 :addresses, :not_before, :expires, :limit_status, :adopted, :created,
                 :permissions)",
        )?;
        let addresses: Vec<String> = terms.addresses.iter().map(IpNet::to_string).collect();
        let permissions: Vec<&str> = terms.permissions.words().collect();
        insert.execute(named_params! {
            ":id": new.id,
            ":tenant": tenant.row,
            ":credential": credential.row,
            ":mac": new.mac.as_bytes(),
            ":key_id": new.key_id.as_str(),
            ":access": terms.scopes.access.as_str(),
            ":allow": terms.scopes.allow.join(" "),
            ":deny": terms.scopes.deny.join(" "),
            ":addresses": addresses.join(" "),
            ":not_before": terms.not_before,
            ":expires": terms.expires,
            ":limit_status": terms.limit_status.map(LimitStatus::code),
            ":adopted": new.adopted,
            ":created": self.now,
            ":permissions": permissions.join(" "),
        })?;
        Ok(())
    }

    /// A token, revoked or not.
    pub fn require_token(&self, id: &str) -> Result<TokenRecord, StoreError> {
        let mut select = self.transaction.prepare_cached("SELECT * FROM tokens WHERE id = ?1")?;
        let found = select.query_row([id], record).optional()?;
        found.ok_or_else(|| StoreError::missing(Noun::Token, id))
    }

    /// Replaces a token by one with another secret and the same terms, but for when it ends. The old
    /// one is good until `overlap_ends`, or until its own end if that is earlier.
    pub fn rotate_token(
        &self,
        old: &str,
        successor: &Successor<'_>,
        overlap_ends: i64,
    ) -> Result<TokenRecord, StoreError> {
        let old = self.require_token(old)?;
        let has_ended = old.terms.expires.is_some_and(|end| end <= self.now);
        if old.revoked.is_some() || has_ended {
            return Err(StoreError::Ended { id: old.id });
        }
        if let Some(taken) = self.token_by_mac(&successor.mac)? {
            return Err(StoreError::TokenTaken { id: taken.id });
        }
        self.transaction.execute(
            "INSERT INTO tokens (id, tenant, credential, mac, key_id, access, allow, deny,
                 addresses, not_before, expires, limit_status, adopted, created, permissions)
             SELECT :id, tenant, credential, :mac, :key_id, access, allow, deny,
                 addresses, NULL, :expires, limit_status, 0, :created, permissions
             FROM tokens WHERE id = :old",
            named_params! {
                ":id": successor.id,
                ":mac": successor.mac.as_bytes(),
                ":key_id": successor.key_id.as_str(),
                ":expires": successor.expires.or(old.terms.expires),
                ":created": self.now,
                ":old": old.id,
            },
        )?;
        let ends = old.terms.expires.map_or(overlap_ends, |end| end.min(overlap_ends));
        let update = "UPDATE tokens SET expires = ?2 WHERE id = ?1";
        self.transaction.execute(update, (&old.id, ends))?;
        self.require_token(&old.id)
    }

    /// Revokes a token for good; false when it was revoked before.
    pub fn revoke_token(&self, id: &str) -> Result<bool, StoreError> {
        let revoked = self
            .transaction
            .query_row("SELECT revoked FROM tokens WHERE id = ?1", [id], |row| {
                row.get::<_, Option<i64>>("revoked")
            })
            .optional()?
            .ok_or_else(|| StoreError::missing(Noun::Token, id))?;
        if revoked.is_none() {
            let update = "UPDATE tokens SET revoked = ?2 WHERE id = ?1";
            self.transaction.execute(update, (id, self.now))?;
        }
        Ok(revoked.is_none())
    }

    /// The token that a MAC belongs to, revoked or not.
    pub fn token_by_mac(&self, mac: &Mac) -> Result<Option<TokenRecord>, StoreError> {
        let mut select = self.transaction.prepare_cached("SELECT * FROM tokens WHERE mac = ?1")?;
        Ok(select.query_row([mac.as_bytes()], record).optional()?)
    }
}

pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<TokenRecord>> {
    let mut select = connection.prepare_cached("SELECT * FROM tokens ORDER BY created, rowid")?;
    select.query_map([], record)?.collect()
}

/// The ids of the tokens that use a row and are not revoked; `column` is one of ours.
pub(super) fn live(
    connection: &Connection,
    column: &'static str,
    row: i64,
) -> rusqlite::Result<Vec<String>> {
    let select =
        format!("SELECT id FROM tokens WHERE {column} = ?1 AND revoked IS NULL ORDER BY rowid");
    connection.prepare(&select)?.query_map([row], |row| row.get(0))?.collect()
}

fn record(row: &Row<'_>) -> rusqlite::Result<TokenRecord> {
    let mac: Vec<u8> = row.get("mac")?;
    let terms = TokenTerms {
        scopes: ScopeNames {
            access: word(row, "access")?,
            allow: names(row, "allow")?,
            deny: names(row, "deny")?,
        },
        addresses: names(row, "addresses")?
            .iter()
            .map(|text| text.parse().map_err(|_| meaningless("addresses", text)))
            .collect::<rusqlite::Result<_>>()?,
        not_before: row.get("not_before")?,
        expires: row.get("expires")?,
        limit_status: limit_status(row)?,
        permissions: permissions(row)?,
    };
    Ok(TokenRecord {
        id: row.get("id")?,
        tenant: row.get("tenant")?,
        credential: row.get("credential")?,
        mac: Mac::from_bytes(&mac).ok_or_else(|| meaningless("mac", ""))?,
        key_id: row.get("key_id")?,
        terms,
        adopted: row.get("adopted")?,
        created: row.get("created")?,
        revoked: row.get("revoked")?,
    })
}

/// An unknown one is no less an error than an unknown access: nobody can say what it gives.
fn permissions(row: &Row<'_>) -> rusqlite::Result<PermissionSet> {
    const COLUMN: &str = "permissions";
    let words = names(row, COLUMN)?;
    words.iter().map(|word| member(word).ok_or_else(|| meaningless(COLUMN, word))).collect()
}

fn names(row: &Row<'_>, column: &str) -> rusqlite::Result<Vec<String>> {
    let text: String = row.get(column)?;
    Ok(text.split_ascii_whitespace().map(str::to_owned).collect())
}
