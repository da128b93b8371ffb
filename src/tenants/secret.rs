//! The secret of an upstream credential, and the vault that seals it to its row and host.

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD};
use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::record::{CredentialRecord, SecretKind};
use crate::auth::{
    data_key::{Binding, DataKey, UnwrapError, WrappedKey},
    keyring::{Keyring, VaultError},
};

/// What the upstream is shown: a login and password, or an e-mail address and API key.
pub struct UpstreamSecret {
    kind: SecretKind,
    login: Zeroizing<String>,
    secret: SecretString,
}

/// A secret as the journal of rotations has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SealedSecret {
    /// Login and secret, encrypted; empty where there is none.
    pub bytes: Vec<u8>,
    /// The id of the data key that sealed it.
    pub key_id: String,
    /// That key; none when it is not in the store.
    pub key: Option<WrappedKey>,
}

/// Seals and opens the secrets of credentials.
#[derive(Clone, Copy)]
pub struct Vault<'a> {
    /// The keys, of which one opens the data keys of the store.
    pub keyring: &'a Keyring,
    /// The scheme, host and port of an upstream by its name, from the server's configuration.
    pub origin: &'a dyn Fn(&str) -> Option<String>,
}

/// Why a login and a secret cannot be sent upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSecret {
    /// Nothing before the colon of Basic.
    #[error("the login or e-mail address is empty")]
    NoLogin,
    /// Basic ends the login at the first colon.
    #[error("the login or e-mail address contains a colon or a control character")]
    Login,
    /// Nothing after the colon of Basic.
    #[error("the password or key is empty")]
    NoSecret,
    /// Most likely a line break that was not meant.
    #[error("the password or key contains a control character or more than one line")]
    Secret,
    /// More than any panel takes.
    #[error("login and secret have more than {SECRET_MAX} bytes")]
    TooLong,
}

/// Why a credential cannot be sealed or opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaultRefusal {
    /// Secrets are bound to hosts, so the host must be known.
    #[error("there is no upstream \"{0}\" in the configuration")]
    NoUpstream(String),
    /// The data key that sealed it cannot be had.
    #[error("the data key of its secret: {0}")]
    Key(#[from] UnwrapError),
    /// The data key that sealed it is gone.
    #[error("its secret was sealed with the data key {0}, which is not in the store")]
    NoKey(String),
    /// The keys refuse.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// It opens, but not to a login and a secret.
    #[error("what was sealed is no login and secret: {0}")]
    Content(#[from] BadSecret),
}

const SECRET_MAX: usize = 512;

impl UpstreamSecret {
    /// Takes a pair that can be sent as Basic.
    pub fn new(kind: SecretKind, login: &str, secret: &str) -> Result<Self, BadSecret> {
        if login.is_empty() {
            return Err(BadSecret::NoLogin);
        }
        if login.contains(|c: char| c == ':' || c.is_control()) {
            return Err(BadSecret::Login);
        }
        if secret.is_empty() {
            return Err(BadSecret::NoSecret);
        }
        if secret.contains(char::is_control) {
            return Err(BadSecret::Secret);
        }
        if login.len() + secret.len() > SECRET_MAX {
            return Err(BadSecret::TooLong);
        }
        Ok(Self {
            kind,
            login: Zeroizing::new(login.to_owned()),
            secret: SecretString::from(secret),
        })
    }

    /// What it is made of.
    pub fn kind(&self) -> SecretKind {
        self.kind
    }

    /// Login and secret, for masking them in replies.
    pub fn pair(&self) -> (&str, &str) {
        (&self.login, self.expose())
    }

    fn expose(&self) -> &str {
        self.secret.expose_secret()
    }

    /// The value of `Authorization`, marked as sensitive.
    pub fn authorization(&self) -> HeaderValue {
        let encoded = Zeroizing::new(BASE64_STANDARD.encode(&*self.joined()));
        let text = Zeroizing::new(format!("Basic {}", *encoded));
        let mut value = HeaderValue::from_str(&text).expect("base64 is visible ASCII");
        value.set_sensitive(true);
        value
    }

    fn joined(&self) -> Zeroizing<Vec<u8>> {
        let parts = [self.login.as_bytes(), b":", self.expose().as_bytes()];
        Zeroizing::new(parts.concat())
    }

    fn from_pair(kind: SecretKind, pair: &[u8]) -> Result<Self, BadSecret> {
        let text = std::str::from_utf8(pair).map_err(|_| BadSecret::Secret)?;
        let (login, secret) = text.split_once(':').ok_or(BadSecret::NoSecret)?;
        Self::new(kind, login, secret)
    }
}

/// Both parts wipe themselves.
impl ZeroizeOnDrop for UpstreamSecret {}

impl PartialEq for UpstreamSecret {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.login == other.login && self.expose() == other.expose()
    }
}

impl fmt::Debug for UpstreamSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamSecret").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl Vault<'_> {
    /// Encrypts a secret for its row and for its upstream's scheme, host and port.
    pub fn seal(
        &self,
        key: &DataKey,
        row: i64,
        upstream: &str,
        secret: &UpstreamSecret,
    ) -> Result<Vec<u8>, VaultRefusal> {
        let origin = self.origin(upstream)?;
        Ok(key.seal(&secret.joined(), Binding { row, origin: &origin })?)
    }

    /// Decrypts the secret of a credential.
    pub fn open(&self, credential: &CredentialRecord) -> Result<UpstreamSecret, VaultRefusal> {
        self.open_with(&self.key_of(credential)?, credential)
    }

    /// The data key that sealed a credential.
    pub fn key_of(&self, credential: &CredentialRecord) -> Result<DataKey, VaultRefusal> {
        self.key(&credential.key_id, credential.key.as_ref())
    }

    /// The same as [`Vault::open`], for whoever has the data key.
    pub fn open_with(
        &self,
        key: &DataKey,
        credential: &CredentialRecord,
    ) -> Result<UpstreamSecret, VaultRefusal> {
        let CredentialRecord { row, upstream, kind, sealed, .. } = credential;
        self.open_bytes(key, *row, upstream, *kind, sealed)
    }

    /// Decrypts a secret of the journal of rotations, sealed for a row as a credential's is.
    pub fn open_sealed(
        &self,
        row: i64,
        upstream: &str,
        kind: SecretKind,
        sealed: &SealedSecret,
    ) -> Result<UpstreamSecret, VaultRefusal> {
        self.open_bytes(&self.key_of_sealed(sealed)?, row, upstream, kind, &sealed.bytes)
    }

    /// The data key that sealed it.
    pub fn key_of_sealed(&self, sealed: &SealedSecret) -> Result<DataKey, VaultRefusal> {
        self.key(&sealed.key_id, sealed.key.as_ref())
    }

    fn key(&self, id: &str, wrapped: Option<&WrappedKey>) -> Result<DataKey, VaultRefusal> {
        let no_key = || VaultRefusal::NoKey(id.to_owned());
        Ok(self.keyring.unwrap(wrapped.ok_or_else(no_key)?)?)
    }

    /// Decrypts, for whoever has the data key.
    pub fn open_bytes(
        &self,
        key: &DataKey,
        row: i64,
        upstream: &str,
        kind: SecretKind,
        sealed: &[u8],
    ) -> Result<UpstreamSecret, VaultRefusal> {
        let origin = self.origin(upstream)?;
        let pair = key.open(sealed, Binding { row, origin: &origin })?;
        Ok(UpstreamSecret::from_pair(kind, &pair)?)
    }

    fn origin(&self, upstream: &str) -> Result<String, VaultRefusal> {
        (self.origin)(upstream).ok_or_else(|| VaultRefusal::NoUpstream(upstream.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::keyring::wiped;

    #[test]
    fn both_parts_are_wiped() {
        let made = UpstreamSecret::new(SecretKind::Password, "joe", "secret").expect("good");
        let UpstreamSecret { kind: _, login, secret } = &made;
        wiped(login);
        wiped(secret);
    }

    #[test]
    fn the_header_is_basic_and_sensitive() {
        let secret =
            UpstreamSecret::new(SecretKind::Password, "joe", "geheimnißvoll").expect("good");
        let header = secret.authorization();
        assert_eq!(header.as_bytes(), b"Basic am9lOmdlaGVpbW5pw592b2xs");
        assert!(header.is_sensitive());
        assert!(!format!("{header:?}{secret:?}").contains("joe"));
        assert!(!format!("{header:?}{secret:?}").contains("geheim"));
    }

    #[test]
    fn what_basic_cannot_carry_is_refused() {
        let long = "x".repeat(SECRET_MAX);
        for (login, secret, why) in [
            ("", "s", BadSecret::NoLogin),
            ("a:b", "s", BadSecret::Login),
            ("a", "", BadSecret::NoSecret),
            ("a", "one\ntwo", BadSecret::Secret),
            ("a", &long, BadSecret::TooLong),
        ] {
            let found = UpstreamSecret::new(SecretKind::Key, login, secret);
            assert_eq!(found.expect_err("refused"), why);
        }
    }
}
