//! Data keys: random keys that the store keeps, each wrapped by the key that the master key gives.
//!
//! 1. Nothing that is kept is made with the master key itself, so another master key wraps a few
//!    keys anew, and what they have made stays good.
//! 2. A wrapped key is bound to its purpose and its id: in another's place it does not open.
//! 3. What a key has sealed is bound to its row and to the host that it is for. The id of the key
//!    stands beside it.

use std::fmt;

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::keyring::{VaultError, random};
use crate::{closed, vocabulary::Closed as _};

closed! {
    /// What a data key is for.
    pub enum Purpose {
        /// It seals the secrets of credentials.
        Vault => "vault",
        /// Tokens are recognized by it.
        Tokens => "tokens",
        /// It is the seed of the signatures of the audit log.
        Audit => "audit",
    }
}

/// The public name of a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyId(String);

/// A data key in the clear.
pub struct DataKey {
    purpose: Purpose,
    id: KeyId,
    bytes: Zeroizing<[u8; KEY_BYTES]>,
}

/// A data key as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedKey {
    /// What it is for.
    pub purpose: Purpose,
    /// Its public name.
    pub id: String,
    /// The key, encrypted.
    pub wrapped: Vec<u8>,
    /// The id of the master key that gives the key which wraps it.
    pub wrapped_by: String,
}

/// The key that wraps data keys.
pub struct WrappingKey {
    cipher: XChaCha20Poly1305,
    id: KeyId,
}

/// What a sealed secret is bound to: moved to another row or host, it does not open.
#[derive(Clone, Copy, Debug)]
pub struct Binding<'a> {
    /// The id of the row.
    pub row: i64,
    /// The scheme, host and port of the upstream: `https://panel.example.com:443`.
    pub origin: &'a str,
}

/// Why a data key cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnwrapError {
    /// Wrapped by the key of another master key.
    #[error("it belongs to another master key (key id {0})")]
    OtherMaster(String),
    /// Nothing names another master key, but one has signed what there is.
    #[error("the audit log was signed last with another master key")]
    OtherSigner,
    /// The bytes were changed, or belong to another key.
    #[error("the data key {0} does not open: its row was changed")]
    Changed(String),
}

/// How long a key is.
pub const KEY_BYTES: usize = 32;

const NONCE_BYTES: usize = 24;

/// The ids of 2^32 keys would have to be drawn before two are likely to be the same.
const ID_BYTES: usize = 8;

impl KeyId {
    /// The name that some bytes make.
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(bytes.iter().take(ID_BYTES).map(|byte| format!("{byte:02x}")).collect())
    }

    /// As it stands in the store.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl DataKey {
    /// A new one, with a name of its own.
    pub fn random(purpose: Purpose) -> Result<Self, VaultError> {
        let id = KeyId::of(&*random::<ID_BYTES>()?);
        Ok(Self { purpose, id, bytes: random()? })
    }

    /// One that is made of something else.
    pub(super) fn derived(purpose: Purpose, id: KeyId, bytes: Zeroizing<[u8; KEY_BYTES]>) -> Self {
        Self { purpose, id, bytes }
    }

    /// Its public name.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    pub(super) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.bytes
    }

    /// Encrypts a secret under a random nonce, which comes first.
    pub fn seal(&self, secret: &[u8], binding: Binding<'_>) -> Result<Vec<u8>, VaultError> {
        seal(&self.cipher(), secret, &binding.bytes())
    }

    /// Decrypts what was sealed with the same binding.
    pub fn open(
        &self,
        sealed: &[u8],
        binding: Binding<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        open(&self.cipher(), sealed, &binding.bytes()).ok_or(VaultError::Sealed)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.bytes).into())
    }
}

/// Its bytes wipe themselves.
impl ZeroizeOnDrop for DataKey {}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (purpose, id) = (&self.purpose, &self.id.0);
        f.debug_struct("DataKey").field("purpose", purpose).field("id", id).finish_non_exhaustive()
    }
}

impl WrappingKey {
    /// The key of a master key with this id.
    pub(super) fn new(id: KeyId, bytes: &[u8; KEY_BYTES]) -> Self {
        Self { cipher: XChaCha20Poly1305::new(bytes.into()), id }
    }

    /// The id of the master key.
    pub(super) fn id(&self) -> &KeyId {
        &self.id
    }

    /// Wraps a key, for the store.
    pub(super) fn wrap(&self, key: &DataKey) -> Result<WrappedKey, VaultError> {
        let wrapped = seal(&self.cipher, &*key.bytes, &place(key.purpose, &key.id.0))?;
        let wrapped_by = self.id.0.clone();
        Ok(WrappedKey { purpose: key.purpose, id: key.id.0.clone(), wrapped, wrapped_by })
    }

    /// Opens a key of the store.
    pub(super) fn unwrap(&self, key: &WrappedKey) -> Result<DataKey, UnwrapError> {
        if key.wrapped_by != self.id.0 {
            return Err(UnwrapError::OtherMaster(key.wrapped_by.clone()));
        }
        let changed = || UnwrapError::Changed(key.id.clone());
        let opened = open(&self.cipher, &key.wrapped, &place(key.purpose, &key.id));
        let opened = opened.ok_or_else(changed)?;
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        if opened.len() != bytes.len() {
            return Err(changed());
        }
        bytes.copy_from_slice(&opened);
        Ok(DataKey { purpose: key.purpose, id: KeyId(key.id.clone()), bytes })
    }
}

/// So does the cipher, which is all that there is.
impl ZeroizeOnDrop for WrappingKey {}

impl Binding<'_> {
    fn bytes(self) -> Vec<u8> {
        [b"credential 1\0", &self.row.to_be_bytes()[..], self.origin.as_bytes()].concat()
    }
}

/// What a wrapped key is bound to.
fn place(purpose: Purpose, id: &str) -> Vec<u8> {
    [b"data key 1\0", purpose.as_str().as_bytes(), b"\0", id.as_bytes()].concat()
}

fn seal(cipher: &XChaCha20Poly1305, secret: &[u8], aad: &[u8]) -> Result<Vec<u8>, VaultError> {
    let nonce = random::<NONCE_BYTES>()?;
    let sealed = cipher.encrypt(XNonce::from_slice(&*nonce), Payload { msg: secret, aad });
    let mut all = nonce.to_vec();
    all.extend(sealed.map_err(|_| VaultError::Sealed)?);
    Ok(all)
}

fn open(cipher: &XChaCha20Poly1305, sealed: &[u8], aad: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, rest) = sealed.split_at_checked(NONCE_BYTES)?;
    let opened = cipher.decrypt(XNonce::from_slice(nonce), Payload { msg: rest, aad });
    opened.ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::keyring::wiped;

    const ORIGIN: &str = "https://panel.example.com:443";

    fn wrapping(byte: u8) -> WrappingKey {
        WrappingKey::new(KeyId::of(&[byte; ID_BYTES]), &[byte; KEY_BYTES])
    }

    fn vault_key() -> DataKey {
        DataKey::random(Purpose::Vault).expect("randomness")
    }

    #[test]
    fn a_sealed_secret_opens_only_in_its_place() {
        let key = vault_key();
        let home = Binding { row: 7, origin: ORIGIN };
        let sealed = key.seal(b"joe:secret", home).expect("sealed");
        assert_eq!(&**key.open(&sealed, home).expect("opened"), b"joe:secret");
        let elsewhere = [
            Binding { row: 8, ..home },
            Binding { origin: "https://panel.example.com:444", ..home },
            Binding { origin: "http://panel.example.com:443", ..home },
            Binding { origin: "https://evil.example.com:443", ..home },
        ];
        for binding in elsewhere {
            assert_eq!(key.open(&sealed, binding), Err(VaultError::Sealed), "{binding:?}");
        }
    }

    #[test]
    fn another_key_and_changed_bytes_do_not_open() {
        let (one, other) = (vault_key(), vault_key());
        assert_ne!(one.id(), other.id());
        let home = Binding { row: 1, origin: ORIGIN };
        let sealed = one.seal(b"secret", home).expect("sealed");
        assert_eq!(other.open(&sealed, home), Err(VaultError::Sealed));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(one.open(&changed, home), Err(VaultError::Sealed));
            assert_eq!(one.open(&sealed[..at], home), Err(VaultError::Sealed));
        }
        assert_ne!(sealed, one.seal(b"secret", home).expect("sealed"), "the nonce is random");
    }

    #[test]
    fn a_wrapped_key_opens_with_its_master_alone_and_in_its_place_alone() {
        let (one, other, key) = (wrapping(1), wrapping(2), vault_key());
        let wrapped = one.wrap(&key).expect("wrapped");
        let opened = one.unwrap(&wrapped).expect("opened");
        assert_eq!((opened.bytes(), opened.id()), (key.bytes(), key.id()));
        assert!(!wrapped.wrapped.windows(4).any(|part| key.bytes().starts_with(part)));
        let refused = |wrapped: WrappedKey| one.unwrap(&wrapped).expect_err("refused");
        let changed = |id: &str| UnwrapError::Changed(id.to_owned());
        assert_eq!(
            other.unwrap(&wrapped).expect_err("another master"),
            UnwrapError::OtherMaster(one.id().as_str().to_owned())
        );
        // Whoever writes the store may claim whatever they like.
        let forged = WrappedKey { wrapped_by: other.id().0.clone(), ..wrapped.clone() };
        assert_eq!(other.unwrap(&forged).expect_err("forged"), changed(&key.id.0));
        let moved = WrappedKey { purpose: Purpose::Tokens, ..wrapped.clone() };
        assert_eq!(refused(moved), changed(&key.id.0));
        assert_eq!(refused(WrappedKey { id: "ab".to_owned(), ..wrapped.clone() }), changed("ab"));
        for at in 0..wrapped.wrapped.len() {
            let cut = WrappedKey { wrapped: wrapped.wrapped[..at].to_vec(), ..wrapped.clone() };
            assert_eq!(refused(cut), changed(&key.id.0));
        }
    }

    #[test]
    fn keys_are_wiped_and_never_printed() {
        let (DataKey { bytes, .. }, WrappingKey { cipher, .. }) = (&vault_key(), &wrapping(1));
        wiped(bytes);
        wiped(cipher);
        let (key, id) = (vault_key(), "0101010101010101");
        let key = DataKey { id: KeyId(id.to_owned()), ..key };
        let text = format!("DataKey {{ purpose: Vault, id: \"{id}\", .. }}");
        assert_eq!(format!("{key:?}"), text);
    }
}
