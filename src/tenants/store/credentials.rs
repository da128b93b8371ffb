//! The credentials in the store.

use sqlx::{any::AnyRow, query};

use super::{
    ACCOUNT_MAX, Edit, Session, StoreError, View, audit::details, get, require_name, tokens, word,
    word_or_none,
};
use crate::{
    audit::event::Action,
    auth::data_key::{Purpose, WrappedKey},
    tenants::{
        record::{CredentialRecord, Noun, Reach, Standing},
        secret::{UpstreamSecret, Vault},
    },
    vocabulary::Closed,
};

/// Every credential comes with the key that opens it.
macro_rules! select {
    ($rest:literal) => {
        query(concat!(
            "SELECT credentials.*, data_keys.wrapped, data_keys.wrapped_by FROM credentials
             LEFT JOIN data_keys
                 ON data_keys.purpose = 'vault' AND data_keys.id = credentials.key_id ",
            $rest
        ))
    };
}

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
        self.require_kept(vault, upstream, secret)?;
        let insert = query(
            "INSERT INTO credentials (name, upstream, kind, sealed, key_id, generation, created,
                 reach, account)
             VALUES ($1, $2, $3, $4, '', 1, $5, $6, $7)",
        );
        let insert = insert
            .bind(name)
            .bind(upstream)
            .bind(secret.kind().as_str())
            .bind(Vec::<u8>::new())
            .bind(self.now)
            .bind(standing.reach.map(Reach::as_str))
            .bind(standing.account.as_deref());
        self.session.execute(insert)?;
        let row = self.require_credential(name)?.row;
        // The secret is bound to the row, so the row comes first.
        self.put_secret(vault, row, name, upstream, secret)?;
        self.did(Action::CredentialAdd, name);
        Ok(row)
    }

    /// Gives a credential another secret by hand, in its next generation, whose number it returns.
    pub fn rotate_credential(
        &self,
        vault: &Vault<'_>,
        name: &str,
        secret: &UpstreamSecret,
    ) -> Result<i64, StoreError> {
        let credential = self.require_credential(name)?;
        self.make_way(vault, &credential, secret)?;
        self.require_kept(vault, &credential.upstream, secret)?;
        let generation = self.give_secret(vault, &credential, secret)?;
        if !is_of_the_same_user(vault, &credential, secret) {
            // What the one before was answered is not for whoever this is from now on.
            let update = query("UPDATE credentials SET user_since = $2 WHERE row = $1");
            self.session.execute(update.bind(credential.row).bind(generation))?;
        }
        Ok(generation)
    }

    /// The same, whatever rotation there is of it.
    pub(super) fn give_secret(
        &self,
        vault: &Vault<'_>,
        credential: &CredentialRecord,
        secret: &UpstreamSecret,
    ) -> Result<i64, StoreError> {
        let CredentialRecord { row, name, upstream, generation, .. } = credential;
        self.put_secret(vault, *row, name, upstream, secret)?;
        let update = query("UPDATE credentials SET kind = $2, generation = $3 WHERE row = $1");
        let update = update.bind(*row).bind(secret.kind().as_str()).bind(generation + 1);
        self.session.execute(update)?;
        self.did(Action::CredentialRotate, name);
        Ok(generation + 1)
    }

    /// Replaces what is declared of a credential.
    pub fn set_standing(&self, name: &str, standing: &Standing) -> Result<(), StoreError> {
        require_account(name, standing)?;
        let old = self.require_credential(name)?.standing;
        let Standing { reach, account } = standing;
        let update = query("UPDATE credentials SET reach = $2, account = $3 WHERE name = $1");
        let update = update.bind(name).bind(reach.map(Reach::as_str)).bind(account.as_deref());
        self.session.execute(update)?;
        self.did_so(Action::CredentialSet, name, details::of_standing(&old, standing));
        Ok(())
    }

    /// Removes a credential that no token uses; its revoked tokens go with it.
    pub fn remove_credential(&self, name: &str) -> Result<(), StoreError> {
        let credential = self.require_credential(name)?;
        let live = tokens::live_of_credential(&self.session, credential.row)?;
        if !live.is_empty() {
            let name = name.to_owned();
            return Err(StoreError::InUse { noun: Noun::Credential, name, tokens: live });
        }
        self.require_untouched(&credential)?;
        let delete = query("DELETE FROM tokens WHERE credential = $1");
        self.session.execute(delete.bind(credential.row))?;
        let delete = query("DELETE FROM credentials WHERE row = $1");
        self.session.execute(delete.bind(credential.row))?;
        self.did(Action::CredentialRemove, name);
        Ok(())
    }

    fn put_secret(
        &self,
        vault: &Vault<'_>,
        row: i64,
        name: &str,
        upstream: &str,
        secret: &UpstreamSecret,
    ) -> Result<(), StoreError> {
        let sealed = self.sealed(vault, name, row, upstream, secret)?;
        let update = query("UPDATE credentials SET sealed = $2, key_id = $3 WHERE row = $1");
        self.session.execute(update.bind(row).bind(sealed.bytes).bind(sealed.key_id)).map(drop)
    }
}

impl View<'_> {
    /// A credential by its name.
    pub fn credential(&self, name: &str) -> Result<Option<CredentialRecord>, StoreError> {
        self.session.first(select!("WHERE name = $1").bind(name), record)
    }

    /// A credential that has to be there.
    pub fn require_credential(&self, name: &str) -> Result<CredentialRecord, StoreError> {
        self.credential(name)?.ok_or_else(|| StoreError::missing(Noun::Credential, name))
    }

    /// So many credentials at most by name, from behind a name on.
    pub fn credentials(
        &self,
        after: &str,
        limit: i64,
    ) -> Result<Vec<CredentialRecord>, StoreError> {
        let select = select!("WHERE name > $1 ORDER BY name LIMIT $2");
        self.session.all(select.bind(after).bind(limit), record)
    }
}

pub(super) fn all(session: &Session<'_>) -> Result<Vec<CredentialRecord>, StoreError> {
    session.all(select!("ORDER BY name"), record)
}

/// Whether a secret is another one of the user whose the credential is. Whose one is that cannot be opened,
/// nobody knows.
fn is_of_the_same_user(
    vault: &Vault<'_>,
    credential: &CredentialRecord,
    secret: &UpstreamSecret,
) -> bool {
    let before = vault.open(credential);
    before.is_ok_and(|before| before.kind() == secret.kind() && before.pair().0 == secret.pair().0)
}

fn record(row: &AnyRow) -> Result<CredentialRecord, StoreError> {
    let key_id: String = get(row, "key_id")?;
    let key = wrapped_key(&key_id, get(row, "wrapped")?, get(row, "wrapped_by")?);
    Ok(CredentialRecord {
        row: get(row, "row")?,
        name: get(row, "name")?,
        upstream: get(row, "upstream")?,
        kind: word(row, "kind")?,
        sealed: get(row, "sealed")?,
        key_id,
        key,
        generation: get(row, "generation")?,
        created: get(row, "created")?,
        standing: Standing { reach: word_or_none(row, "reach")?, account: get(row, "account")? },
    })
}

/// The data key that was found beside what it has sealed.
pub(super) fn wrapped_key(
    id: &str,
    wrapped: Option<Vec<u8>>,
    wrapped_by: Option<String>,
) -> Option<WrappedKey> {
    let (wrapped, wrapped_by) = wrapped.zip(wrapped_by)?;
    Some(WrappedKey { purpose: Purpose::Vault, id: id.to_owned(), wrapped, wrapped_by })
}

/// Whether what is declared of a credential can be kept.
pub(in crate::tenants) fn require_account(
    credential: &str,
    standing: &Standing,
) -> Result<(), StoreError> {
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
