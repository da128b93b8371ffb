//! The data keys in the store: which one seals now, and with which ones something is sealed still.
//!
//! Every edit reads the key in force within its own transaction. So a credential is never sealed with
//! a key that a rotation has retired meanwhile, and whose row it is about to delete.

use std::rc::Rc;

use sqlx::{any::AnyRow, query};

mod reseal;

use reseal::sealed_with;
pub use reseal::{Holder, LeftBehind, Resealed};

use super::{Edit, Session, Store, StoreError, audit, credentials::wrapped_key, get, word};
use crate::{
    audit::event::Action,
    auth::{
        data_key::{DataKey, Purpose, UnwrapError, WrappedKey},
        keyring::{KeyId, Keyring},
    },
    tenants::secret::{SealedSecret, UpstreamSecret, Vault},
    vocabulary::Closed as _,
};

/// A data key, without itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyUse {
    /// What it is for.
    pub purpose: Purpose,
    /// Its public name.
    pub id: String,
    /// The id of the master key that it is wrapped with.
    pub wrapped_by: String,
    /// When it was made, as a Unix time.
    pub created: i64,
    /// When another took its place, as a Unix time.
    pub retired: Option<i64>,
    /// How many secrets are sealed with it, or tokens recognized by it that are not revoked.
    pub used_by: Option<i64>,
}

impl Store {
    /// The keyring with which the store is used: its own keys, opened with the master key.
    ///
    /// A store that keeps none yet goes on with those that its master key gives, where anything was
    /// made with them; a new one gets random ones. A master key that is not the store's is refused.
    pub fn unlock(&mut self, keyring: Keyring, now: i64) -> Result<Keyring, StoreError> {
        self.write(|session| {
            if let Some(lock) = session.backend().lock_schema() {
                session.script(lock)?;
            }
            let tokens = in_force(session, Purpose::Tokens)?;
            let audit = in_force(session, Purpose::Audit)?;
            let Some((tokens, audit)) = tokens.zip(audit) else {
                return begin(session, keyring, now);
            };
            let (tokens, audit) = (unwrapped(&keyring, &tokens)?, unwrapped(&keyring, &audit)?);
            Ok(keyring.with_lasting(tokens, audit))
        })
    }

    /// The data keys, and what they are used by.
    pub fn key_uses(&mut self) -> Result<Vec<KeyUse>, StoreError> {
        let select = query(concat!(
            "SELECT purpose, id, wrapped_by, created, retired,
                 CASE purpose
                     WHEN 'vault' THEN (SELECT count(*) FROM ",
            sealed_with!(),
            " WHERE sealed.key_id = data_keys.id)
                     WHEN 'tokens' THEN (SELECT count(*) FROM tokens
                         WHERE key_id = data_keys.id AND revoked IS NULL)
                 END AS used_by
             FROM data_keys ORDER BY purpose, created, id",
        ));
        self.write(|session| {
            session.all(select, |row| {
                Ok(KeyUse {
                    purpose: word(row, "purpose")?,
                    id: get(row, "id")?,
                    wrapped_by: get(row, "wrapped_by")?,
                    created: get(row, "created")?,
                    retired: get(row, "retired")?,
                    used_by: get(row, "used_by")?,
                })
            })
        })
    }
}

impl Edit<'_> {
    /// The key that seals credentials now; the first one is made when it is needed.
    pub(super) fn sealing_key(&self, keyring: &Keyring) -> Result<Rc<DataKey>, StoreError> {
        if let Some(key) = &*self.sealing.borrow() {
            return Ok(Rc::clone(key));
        }
        match in_force(&self.session, Purpose::Vault)? {
            Some(wrapped) => Ok(self.sealing_from_now_on(unwrapped(keyring, &wrapped)?)),
            None => self.make_vault_key(keyring),
        }
    }

    /// Makes a new key for credentials; what is sealed with others stays so.
    pub fn rotate_vault_key(&self, keyring: &Keyring) -> Result<KeyId, StoreError> {
        let retire =
            query("UPDATE data_keys SET retired = $1 WHERE purpose = 'vault' AND retired IS NULL");
        self.session.execute(retire.bind(self.now))?;
        let key = self.make_vault_key(keyring)?;
        self.did(Action::VaultRotate, key.id().as_str());
        Ok(key.id().clone())
    }

    /// Seals a secret with the key in force, for a row and an upstream; a refusal names the credential.
    pub(super) fn sealed(
        &self,
        vault: &Vault<'_>,
        name: &str,
        row: i64,
        upstream: &str,
        secret: &UpstreamSecret,
    ) -> Result<SealedSecret, StoreError> {
        let key = self.sealing_key(vault.keyring)?;
        let bytes = vault.seal(&key, row, upstream, secret).map_err(StoreError::vault(name))?;
        Ok(SealedSecret { bytes, key_id: key.id().as_str().to_owned(), key: None })
    }

    /// Deletes the retired keys with which nothing is sealed, and says how many they were.
    pub fn discard_keys(&self) -> Result<u64, StoreError> {
        self.session.execute(query(concat!(
            "DELETE FROM data_keys WHERE purpose = 'vault' AND retired IS NOT NULL
                 AND NOT EXISTS (SELECT 1 FROM ",
            sealed_with!(),
            " WHERE sealed.key_id = data_keys.id)"
        )))
    }

    /// Wraps every data key with another master key, and says how many they are.
    pub fn rewrap(&self, from: &Keyring, to: &Keyring) -> Result<u64, StoreError> {
        let select = query("SELECT purpose, id, wrapped, wrapped_by FROM data_keys");
        let keys = self.session.all(select, wrapped)?;
        for key in &keys {
            let WrappedKey { purpose, id, wrapped, wrapped_by } =
                to.wrap(&unwrapped(from, key)?)?;
            let update = query(
                "UPDATE data_keys SET wrapped = $3, wrapped_by = $4 WHERE purpose = $1 AND id = $2",
            );
            let update = update.bind(purpose.as_str()).bind(id).bind(wrapped).bind(wrapped_by);
            self.session.execute(update)?;
        }
        self.did(Action::VaultRewrap, to.master_id().as_str());
        Ok(keys.len() as u64)
    }

    fn make_vault_key(&self, keyring: &Keyring) -> Result<Rc<DataKey>, StoreError> {
        let key = DataKey::random(Purpose::Vault)?;
        insert(&self.session, &keyring.wrap(&key)?, self.now, None)?;
        Ok(self.sealing_from_now_on(key))
    }

    fn sealing_from_now_on(&self, key: DataKey) -> Rc<DataKey> {
        let key = Rc::new(key);
        *self.sealing.borrow_mut() = Some(Rc::clone(&key));
        key
    }
}

/// Gives a store that keeps no keys yet those that it is used with from now on.
fn begin(session: &Session<'_>, keyring: Keyring, now: i64) -> Result<Keyring, StoreError> {
    let derived = keyring.id().as_str().to_owned();
    let keyring = match first_keys(session, &keyring)? {
        FirstKeys::Given => keyring,
        FirstKeys::Others(why) => return Err(locked(&keyring)(why)),
        FirstKeys::None => keyring
            .with_lasting(DataKey::random(Purpose::Tokens)?, DataKey::random(Purpose::Audit)?),
    };
    for key in keyring.lasting() {
        insert(session, &keyring.wrap(key)?, now, None)?;
    }
    // What it has sealed opens until it is sealed anew; nothing more is sealed with it.
    let sealed = query("SELECT count(*) AS credentials FROM credentials WHERE key_id = $1");
    let sealed: Option<i64> =
        session.first(sealed.bind(&*derived), |row| get(row, "credentials"))?;
    if sealed.is_some_and(|count| count > 0) {
        insert(session, &keyring.wrap(keyring.first_vault())?, now, Some(now))?;
    }
    Ok(keyring)
}

/// Whose keys a store was used with before it kept any.
enum FirstKeys {
    /// Those of the master key that is given.
    Given,
    /// Those of another one.
    Others(UnwrapError),
    /// Nobody's: it is new.
    None,
}

/// Looks for what the master key has left in the store. Where the keys were changed, tokens from before
/// may name the ones that were left; whoever signed the audit log last, or sealed a credential, has the
/// later ones.
fn first_keys(session: &Session<'_>, keyring: &Keyring) -> Result<FirstKeys, StoreError> {
    let ids = |statement| session.all(query(statement), |row| get::<String>(row, "key_id"));
    let (sealing, named) = (ids(SEALING_KEYS)?, ids(NAMED_KEYS)?);
    let signed = audit::is_signed_last(session, keyring)?;
    let given = keyring.id().as_str();
    let is_given = |id: &String| id == given;
    let is_ours = match signed {
        _ if !named.is_empty() && named.iter().all(is_given) => true,
        Some(signed) => signed && (named.is_empty() || named.iter().any(is_given)),
        None if named.is_empty() => return Ok(FirstKeys::None),
        None => sealing.iter().any(is_given),
    };
    if is_ours {
        return Ok(FirstKeys::Given);
    }
    let other = sealing.into_iter().chain(named).find(|id| id != given);
    Ok(FirstKeys::Others(other.map_or(UnwrapError::OtherSigner, UnwrapError::OtherMaster)))
}

/// The ids of the keys that sealed credentials before there were data keys.
const SEALING_KEYS: &str = "
SELECT DISTINCT key_id FROM credentials
WHERE key_id NOT IN (SELECT id FROM data_keys WHERE purpose = 'vault')";

/// The same, and those of tokens.
const NAMED_KEYS: &str = "
SELECT key_id FROM tokens
UNION SELECT key_id FROM credentials
    WHERE key_id NOT IN (SELECT id FROM data_keys WHERE purpose = 'vault')";

fn in_force(session: &Session<'_>, purpose: Purpose) -> Result<Option<WrappedKey>, StoreError> {
    let select = query(
        "SELECT purpose, id, wrapped, wrapped_by FROM data_keys
         WHERE purpose = $1 AND retired IS NULL",
    );
    session.first(select.bind(purpose.as_str()), wrapped)
}

fn wrapped(row: &AnyRow) -> Result<WrappedKey, StoreError> {
    Ok(WrappedKey {
        purpose: word(row, "purpose")?,
        id: get(row, "id")?,
        wrapped: get(row, "wrapped")?,
        wrapped_by: get(row, "wrapped_by")?,
    })
}

/// A secret, and the key that opens it, from these columns.
pub(super) fn sealed(
    row: &AnyRow,
    [bytes, key_id, wrapped, wrapped_by]: [&'static str; 4],
) -> Result<SealedSecret, StoreError> {
    let id: String = get(row, key_id)?;
    let key = wrapped_key(&id, get(row, wrapped)?, get(row, wrapped_by)?);
    Ok(SealedSecret { bytes: get(row, bytes)?, key_id: id, key })
}

fn insert(
    session: &Session<'_>,
    key: &WrappedKey,
    created: i64,
    retired: Option<i64>,
) -> Result<(), StoreError> {
    let insert = query(
        "INSERT INTO data_keys (purpose, id, wrapped, wrapped_by, created, retired)
         VALUES ($1, $2, $3, $4, $5, $6)",
    );
    let insert = insert
        .bind(key.purpose.as_str())
        .bind(&*key.id)
        .bind(key.wrapped.clone())
        .bind(&*key.wrapped_by)
        .bind(created)
        .bind(retired);
    session.execute(insert).map(drop)
}

fn unwrapped(keyring: &Keyring, key: &WrappedKey) -> Result<DataKey, StoreError> {
    keyring.unwrap(key).map_err(locked(keyring))
}

fn locked(keyring: &Keyring) -> impl FnOnce(UnwrapError) -> StoreError {
    let given = keyring.master_id().as_str().to_owned();
    |why| StoreError::Locked { given, why }
}

#[cfg(test)]
mod tests;
