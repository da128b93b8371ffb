//! The credentials in the store.

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::{ACCOUNT_MAX, Edit, StoreError, require_name, tokens, word, word_or_none};
use crate::{
    tenants::{
        record::{CredentialRecord, Noun, Reach, Standing},
        secret::{UpstreamSecret, Vault},
    },
    vocabulary::Closed,
};

impl Edit<'_> {
    /// Adds a credential in its first generation and gives its row.
    pub fn add_credential(
        &self,
        vault: &Vault<'_>,
        name: &str,
        upstream: &str,
        secret: &UpstreamSecret,
        standing: &Standing,
    ) -> Result<i64, StoreError> {
        require_name(Noun::Credential, name)?;
        require_account(name, standing)?;
        if self.credential(name)?.is_some() {
            return Err(StoreError::Exists { noun: Noun::Credential, name: name.to_owned() });
        }
        let mut insert = self.transaction.prepare_cached(
            "INSERT INTO credentials (name, upstream, kind, sealed, key_id, generation, created,
                 reach, account)
             VALUES (:name, :upstream, :kind, x'', '', 1, :created, :reach, :account)",
        )?;
        let row = insert.insert(named_params! {
            ":name": name,
            ":upstream": upstream,
            ":kind": secret.kind().as_str(),
            ":created": self.now,
            ":reach": standing.reach.map(Reach::as_str),
            ":account": standing.account,
        })?;
        // The secret is bound to the row, so the row comes first.
        self.put_secret(vault, row, name, upstream, secret)?;
        Ok(row)
    }

    /// Gives a credential another secret, in its next generation, whose number it returns.
    pub fn rotate_credential(
        &self,
        vault: &Vault<'_>,
        name: &str,
        secret: &UpstreamSecret,
    ) -> Result<i64, StoreError> {
        let CredentialRecord { row, upstream, generation, .. } = self.require_credential(name)?;
        self.put_secret(vault, row, name, &upstream, secret)?;
        self.transaction.execute(
            "UPDATE credentials SET kind = ?2, generation = ?3 WHERE row = ?1",
            (row, secret.kind().as_str(), generation + 1),
        )?;
        Ok(generation + 1)
    }

    /// Replaces what is declared of a credential.
    pub fn set_standing(&self, name: &str, standing: &Standing) -> Result<(), StoreError> {
        require_account(name, standing)?;
        let Standing { reach, account } = standing;
        let changed = self.transaction.execute(
            "UPDATE credentials SET reach = ?2, account = ?3 WHERE name = ?1",
            (name, reach.map(Reach::as_str), account),
        )?;
        if changed == 0 { Err(StoreError::missing(Noun::Credential, name)) } else { Ok(()) }
    }

    /// Removes a credential that no token uses; its revoked tokens go with it.
    pub fn remove_credential(&self, name: &str) -> Result<(), StoreError> {
        let credential = self.require_credential(name)?;
        let live = tokens::live(&self.transaction, "credential", credential.row)?;
        if !live.is_empty() {
            let name = name.to_owned();
            return Err(StoreError::InUse { noun: Noun::Credential, name, tokens: live });
        }
        self.transaction.execute("DELETE FROM tokens WHERE credential = ?1", [credential.row])?;
        self.transaction.execute("DELETE FROM credentials WHERE row = ?1", [credential.row])?;
        Ok(())
    }

    /// A credential by its name.
    pub fn credential(&self, name: &str) -> Result<Option<CredentialRecord>, StoreError> {
        let mut select =
            self.transaction.prepare_cached("SELECT * FROM credentials WHERE name = ?1")?;
        Ok(select.query_row([name], record).optional()?)
    }

    /// A credential that has to be there.
    pub fn require_credential(&self, name: &str) -> Result<CredentialRecord, StoreError> {
        self.credential(name)?.ok_or_else(|| StoreError::missing(Noun::Credential, name))
    }

    fn put_secret(
        &self,
        vault: &Vault<'_>,
        row: i64,
        name: &str,
        upstream: &str,
        secret: &UpstreamSecret,
    ) -> Result<(), StoreError> {
        let sealed = vault.seal(row, upstream, secret).map_err(StoreError::vault(name))?;
        self.transaction
            .prepare_cached("UPDATE credentials SET sealed = ?2, key_id = ?3 WHERE row = ?1")?
            .execute((row, sealed, vault.keyring.id().as_str()))?;
        Ok(())
    }
}

pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<CredentialRecord>> {
    let mut select = connection.prepare_cached("SELECT * FROM credentials ORDER BY name")?;
    select.query_map([], record)?.collect()
}

fn record(row: &Row<'_>) -> rusqlite::Result<CredentialRecord> {
    Ok(CredentialRecord {
        row: row.get("row")?,
        name: row.get("name")?,
        upstream: row.get("upstream")?,
        kind: word(row, "kind")?,
        sealed: row.get("sealed")?,
        key_id: row.get("key_id")?,
        generation: row.get("generation")?,
        created: row.get("created")?,
        standing: Standing { reach: word_or_none(row, "reach")?, account: row.get("account")? },
    })
}

fn require_account(credential: &str, standing: &Standing) -> Result<(), StoreError> {
    let name = || credential.to_owned();
    let good = |account: &str| {
        (1..=ACCOUNT_MAX).contains(&account.chars().count()) && !account.contains(char::is_control)
    };
    match &standing.account {
        None if standing.reach == Some(Reach::Own) => Err(StoreError::NoAccount { name: name() }),
        Some(account) if !good(account) => Err(StoreError::BadAccount { name: name() }),
        Some(_) | None => Ok(()),
    }
}
