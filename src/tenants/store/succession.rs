//! One token takes another's place, and so on: a chain, of which the last one is what can be rotated.

use sqlx::query;

use super::{Edit, StoreError, View, audit::details, get};
use crate::{
    audit::event::Action,
    auth::keyring::{KeyId, Mac},
    tenants::record::TokenRecord,
};

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

/// What a rotation has left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Succession {
    /// The token that ends by itself.
    pub replaced: TokenRecord,
    /// The token that has taken its place.
    pub successor: TokenRecord,
}

impl Edit<'_> {
    /// Replaces a token by one with another secret and the same terms, but for when it ends. The old
    /// one is good until `overlap_ends`, or until its own end if that is earlier. That end is not one
    /// to hand on, so a token is replaced once.
    pub fn rotate_token(
        &self,
        old: &str,
        successor: &Successor<'_>,
        overlap_ends: i64,
    ) -> Result<Succession, StoreError> {
        let old = self.require_token(old)?;
        self.require_last(&old)?;
        if old.revoked.is_some() || old.has_ended(self.now) {
            return Err(StoreError::Ended { id: old.id });
        }
        let expires = successor.expires.or(old.terms.expires);
        self.require_future(old.terms.not_before, expires)?;
        if let Some(taken) = self.token_by_mac(&successor.mac)? {
            return Err(StoreError::TokenTaken { id: taken.id });
        }
        let insert = query(
            "INSERT INTO tokens (id, tenant, credential, mac, key_id, access, allow, deny,
                 addresses, not_before, expires, limit_status, adopted, created, permissions,
                 label, policies, ordinal)
             SELECT $1, tenant, credential, $2, $3, access, allow, deny,
                 addresses, CASE WHEN not_before > $5 THEN not_before END, $4, limit_status, 0, $5,
                 permissions, label, policies,
                 (SELECT max(ordinal) + 1 FROM tokens)
             FROM tokens WHERE id = $6",
        );
        let insert = insert
            .bind(successor.id)
            .bind(successor.mac.as_bytes().to_vec())
            .bind(successor.key_id.as_str())
            .bind(expires)
            .bind(self.now)
            .bind(&*old.id);
        self.session.execute(insert)?;
        // Its quota of the month is used up by as much, and so are its caps.
        let copy = query(
            "INSERT INTO uses (token, last_used, month, reads, writes)
             SELECT $1, 0, month, reads, writes FROM uses WHERE token = $2",
        );
        self.session.execute(copy.bind(successor.id).bind(&*old.id))?;
        let copy = query(
            "INSERT INTO acts (token, policy, dated, number, ends)
             SELECT $1, policy, dated, number, ends FROM acts WHERE token = $2",
        );
        self.session.execute(copy.bind(successor.id).bind(&*old.id))?;
        let ends = old.terms.expires.map_or(overlap_ends, |end| end.min(overlap_ends));
        let update = query("UPDATE tokens SET expires = $2, replaced_by = $3 WHERE id = $1");
        self.session.execute(update.bind(&*old.id).bind(ends).bind(successor.id))?;
        self.did(Action::TokenRotate, &old.id);
        let given = details::of_permissions(old.terms.permissions);
        self.did_so(Action::TokenCreate, successor.id, given);
        Ok(Succession {
            replaced: self.require_token(&old.id)?,
            successor: self.require_token(successor.id)?,
        })
    }

    /// Refuses what another token has taken the place of.
    pub(super) fn require_last(&self, token: &TokenRecord) -> Result<(), StoreError> {
        let mut next = token.replaced_by.clone();
        let mut last = None;
        while let Some(id) = next {
            let select = query("SELECT replaced_by FROM tokens WHERE id = $1").bind(id.clone());
            next = self.session.first(select, |row| get(row, "replaced_by"))?.flatten();
            last = Some(id);
        }
        last.map_or(Ok(()), |by| Err(StoreError::Replaced { id: token.id.clone(), by }))
    }
}

impl View<'_> {
    /// The public id of the token whose place a token has taken.
    pub fn replaced_by(&self, id: &str) -> Result<Option<String>, StoreError> {
        let select = query("SELECT id FROM tokens WHERE replaced_by = $1").bind(id);
        self.session.first(select, |row| get(row, "id"))
    }
}

#[cfg(test)]
mod tests;
