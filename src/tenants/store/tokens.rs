//! The tokens in the store.

mod columns;

use ipnet::IpNet;
use sqlx::{AssertSqlSafe, query};

use columns::{packed_record, record, select_packed};

use super::{Edit, Session, StoreError, View, audit::details, get};
use crate::{
    audit::event::Action,
    auth::{
        keyring::{KeyId, Mac},
        scopes::PermissionSet,
    },
    policy::document::PolicyDocument,
    tenants::record::{Noun, TokenRecord, TokenTerms},
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

/// A token with the names of what it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The token.
    pub token: TokenRecord,
    /// The name of its tenant.
    pub tenant: String,
    /// The name of its credential.
    pub credential: String,
    /// Its place in the order of creation.
    pub place: i64,
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
        self.require_future(terms.not_before, terms.expires)?;
        let insert = query(
            "INSERT INTO tokens (id, tenant, credential, mac, key_id, access, allow, deny,
                 addresses, not_before, expires, limit_status, adopted, created, permissions,
                 label, policies, ordinal)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,
                 (SELECT coalesce(max(ordinal), 0) + 1 FROM tokens))",
        );
        let addresses: Vec<String> = terms.addresses.iter().map(IpNet::to_string).collect();
        let permissions: Vec<&str> = terms.permissions.words().collect();
        let insert = insert
            .bind(new.id)
            .bind(tenant.row)
            .bind(credential.row)
            .bind(new.mac.as_bytes().to_vec())
            .bind(new.key_id.as_str())
            .bind(terms.scopes.access.as_str())
            .bind(terms.scopes.allow.join(" "))
            .bind(terms.scopes.deny.join(" "))
            .bind(addresses.join(" "))
            .bind(terms.not_before)
            .bind(terms.expires)
            .bind(terms.limit_status.map(|status| i64::from(status.code())))
            .bind(i64::from(new.adopted))
            .bind(self.now)
            .bind(permissions.join(" "))
            .bind(&*terms.label)
            .bind(written(&terms.policies));
        self.session.execute(insert)?;
        self.did_so(Action::TokenCreate, new.id, details::of_permissions(terms.permissions));
        Ok(())
    }

    /// Replaces the policies of a token.
    pub fn set_policies(&self, id: &str, policies: &PolicyDocument) -> Result<(), StoreError> {
        let update = query("UPDATE tokens SET policies = $2 WHERE id = $1");
        let changed = self.session.execute(update.bind(id).bind(written(policies)))?;
        if changed == 0 {
            return Err(StoreError::missing(Noun::Token, id));
        }
        self.follow_windows(id, policies)?;
        self.did_so(Action::TokenSet, id, details::POLICIES.to_owned());
        Ok(())
    }

    /// Replaces the permissions of a token.
    pub fn set_permissions(&self, id: &str, permissions: PermissionSet) -> Result<(), StoreError> {
        let update = query("UPDATE tokens SET permissions = $2 WHERE id = $1");
        let words: Vec<&str> = permissions.words().collect();
        let changed = self.session.execute(update.bind(id).bind(words.join(" ")))?;
        if changed == 0 {
            return Err(StoreError::missing(Noun::Token, id));
        }
        self.did_so(Action::TokenSet, id, details::to_permissions(permissions));
        Ok(())
    }

    /// Replaces what a token is good for, and the credential that it stands for.
    pub fn set_terms(
        &self,
        id: &str,
        credential: &str,
        terms: &TokenTerms,
    ) -> Result<(), StoreError> {
        require_good(terms)?;
        let old = self.require_token(id)?;
        self.require_last(&old)?;
        let revives = old.has_ended(self.now) && old.terms.expires != terms.expires;
        if old.revoked.is_some() || revives {
            return Err(StoreError::Ended { id: old.id });
        }
        let row = self.require_credential(credential)?.row;
        let update = query(
            "UPDATE tokens SET credential = $2, access = $3, allow = $4, deny = $5,
                 addresses = $6, not_before = $7, expires = $8, limit_status = $9,
                 permissions = $10, label = $11, policies = $12
             WHERE id = $1",
        );
        let addresses: Vec<String> = terms.addresses.iter().map(IpNet::to_string).collect();
        let permissions: Vec<&str> = terms.permissions.words().collect();
        let update = update
            .bind(id)
            .bind(row)
            .bind(terms.scopes.access.as_str())
            .bind(terms.scopes.allow.join(" "))
            .bind(terms.scopes.deny.join(" "))
            .bind(addresses.join(" "))
            .bind(terms.not_before)
            .bind(terms.expires)
            .bind(terms.limit_status.map(|status| i64::from(status.code())))
            .bind(permissions.join(" "))
            .bind(&*terms.label)
            .bind(written(&terms.policies));
        if self.session.execute(update)? == 0 {
            return Err(StoreError::missing(Noun::Token, id));
        }
        self.follow_windows(id, &terms.policies)?;
        let details = details::of_terms(&old.terms, terms, old.credential != row);
        self.did_so(Action::TokenSet, id, details);
        Ok(())
    }

    /// Revokes a token for good; false when it was revoked before.
    pub fn revoke_token(&self, id: &str) -> Result<bool, StoreError> {
        let revoked = self.require_token(id)?.revoked;
        if revoked.is_none() {
            let update = query("UPDATE tokens SET revoked = $2 WHERE id = $1");
            self.session.execute(update.bind(id).bind(self.now))?;
            self.did(Action::TokenRevoke, id);
        }
        Ok(revoked.is_none())
    }

    /// What is made has to be good at some time from now on.
    pub(super) fn require_future(
        &self,
        not_before: Option<i64>,
        expires: Option<i64>,
    ) -> Result<(), StoreError> {
        let from = not_before.map_or(self.now, |from| from.max(self.now));
        if expires.is_some_and(|until| until <= from) { Err(StoreError::NeverGood) } else { Ok(()) }
    }
}

impl View<'_> {
    /// A token, revoked or not.
    pub fn require_token(&self, id: &str) -> Result<TokenRecord, StoreError> {
        let found =
            self.session.first(query("SELECT * FROM tokens WHERE id = $1").bind(id), record)?;
        found.ok_or_else(|| StoreError::missing(Noun::Token, id))
    }

    /// The token that a MAC belongs to, revoked or not.
    pub fn token_by_mac(&self, mac: &Mac) -> Result<Option<TokenRecord>, StoreError> {
        let select = query("SELECT * FROM tokens WHERE mac = $1").bind(mac.as_bytes().to_vec());
        self.session.first(select, record)
    }

    /// So many tokens at most in the order of their creation, from behind a place on, each with its
    /// place; those of one tenant alone, if it is named.
    pub fn tokens(
        &self,
        tenant: Option<&str>,
        after: i64,
        limit: i64,
    ) -> Result<Vec<Listed>, StoreError> {
        let select = query(
            "SELECT tokens.*, tenants.name AS tenant_name, credentials.name AS credential_name
             FROM tokens
             JOIN tenants ON tenants.row = tokens.tenant
             JOIN credentials ON credentials.row = tokens.credential
             WHERE tokens.ordinal > $1 AND (tenants.name = $2 OR $3 = 1)
             ORDER BY tokens.ordinal LIMIT $4",
        );
        let all = i64::from(tenant.is_none());
        let select = select.bind(after).bind(tenant.unwrap_or_default()).bind(all).bind(limit);
        self.session.all(select, |row| {
            Ok(Listed {
                token: record(row)?,
                tenant: get(row, "tenant_name")?,
                credential: get(row, "credential_name")?,
                place: get(row, "ordinal")?,
            })
        })
    }

    /// A token with the names of what it belongs to.
    pub fn named_token(&self, id: &str) -> Result<Listed, StoreError> {
        let token = self.require_token(id)?;
        let name = |table: &'static str, row: i64| {
            let found = self.session.first(query(table).bind(row), |row| get(row, "name"))?;
            Ok::<String, StoreError>(found.unwrap_or_default())
        };
        let tenant = name("SELECT name FROM tenants WHERE row = $1", token.tenant)?;
        let credential = name("SELECT name FROM credentials WHERE row = $1", token.credential)?;
        Ok(Listed { token, tenant, credential, place: 0 })
    }
}

pub(super) fn all(session: &Session<'_>) -> Result<Vec<TokenRecord>, StoreError> {
    let select = format!("{} ORDER BY ordinal", select_packed(session.backend()));
    // Ours, and no part of it is anybody's input.
    session.all(query(AssertSqlSafe(select)), packed_record)
}

/// The ids of the tokens of a tenant that are not revoked.
pub(super) fn live_of_tenant(session: &Session<'_>, row: i64) -> Result<Vec<String>, StoreError> {
    let select = "SELECT id FROM tokens WHERE tenant = $1 AND revoked IS NULL ORDER BY ordinal";
    session.all(query(select).bind(row), |row| get(row, "id"))
}

/// The ids of the tokens of a credential that are not revoked.
pub(super) fn live_of_credential(
    session: &Session<'_>,
    row: i64,
) -> Result<Vec<String>, StoreError> {
    let select = "SELECT id FROM tokens WHERE credential = $1 AND revoked IS NULL ORDER BY ordinal";
    session.all(query(select).bind(row), |row| get(row, "id"))
}

fn require_good(terms: &TokenTerms) -> Result<(), StoreError> {
    let never = terms.not_before.zip(terms.expires).is_some_and(|(from, until)| from >= until);
    if never { Err(StoreError::NeverGood) } else { Ok(()) }
}

fn written(policies: &PolicyDocument) -> String {
    serde_json::to_string(policies).expect("strings and numbers always serialize")
}
