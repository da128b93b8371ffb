//! The keys that the master key gives: one to recognize tokens, one to lock credentials away.
//!
//! Every derived key has its own HKDF label, so that none is of use in the place of another. The
//! public key id stands beside each row that was made with the keys, so that a change of the
//! master key is noticed, and not taken for a stranger's token.

use std::{fmt, hash};

use aws_lc_rs::{hkdf, hmac, rand};
use base64::{
    Engine,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use zeroize::Zeroizing;

/// The operator's one secret; everything else can be derived from it.
pub struct MasterKey(Zeroizing<Vec<u8>>);

/// The keys in force.
pub struct Keyring {
    mac: hmac::Key,
    vault: XChaCha20Poly1305,
    id: KeyId,
    audit_seed: Zeroizing<[u8; 32]>,
    idempotency_seeds: [Zeroizing<[u8; 32]>; 2],
}

/// A public fingerprint of a keyring.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyId(String);

/// What is kept of a token: enough to recognize it, nothing to make it from.
#[derive(Clone, Copy, Eq)]
pub struct Mac([u8; 32]);

/// What a sealed secret is bound to: moved to another row or host, it does not open.
#[derive(Clone, Copy, Debug)]
pub struct Binding<'a> {
    /// The id of the row.
    pub row: i64,
    /// The scheme, host and port of the upstream: `https://panel.example.com:443`.
    pub origin: &'a str,
}

/// Why a text is no master key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MasterKeyError {
    /// Neither hexadecimal nor base64.
    #[error("a master key is written in hexadecimal or base64")]
    Encoding,
    /// Fewer bytes than the derived keys have.
    #[error("a master key has at least {MASTER_BYTES} bytes, this one has {0}")]
    TooShort(usize),
    /// Plainly not random, such as all zeros.
    #[error("this master key is not random; make one with `tollgate master-key FILE`")]
    Weak,
}

/// Why a secret could not be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// Another key, another row, another host, or changed bytes.
    #[error("the secret does not open: it was sealed with another key, or for another host")]
    Sealed,
    /// The operating system gave no random bytes.
    #[error("the operating system gives no random bytes")]
    NoRandomness,
}

/// The bytes of a master key that is made here, and the least of one that is not.
pub const MASTER_BYTES: usize = 32;

/// 32 random bytes have about 30 different values; fewer than this never happens.
const DISTINCT_BYTES: usize = 12;

const NONCE_BYTES: usize = 24;

const SALT: &[u8] = b"tollgate keyring 1";

const ANY_BASE64: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

impl MasterKey {
    /// Reads the text of a master key file or variable.
    pub fn parse(text: &str) -> Result<Self, MasterKeyError> {
        let text = text.trim();
        let bytes = Zeroizing::new(hexadecimal(text).or_else(|| base64(text)).unwrap_or_default());
        if bytes.is_empty() {
            return Err(MasterKeyError::Encoding);
        }
        if bytes.len() < MASTER_BYTES {
            return Err(MasterKeyError::TooShort(bytes.len()));
        }
        let mut seen = [false; 256];
        bytes.iter().for_each(|byte| seen[usize::from(*byte)] = true);
        if seen.iter().filter(|seen| **seen).count() < DISTINCT_BYTES {
            return Err(MasterKeyError::Weak);
        }
        Ok(Self(bytes))
    }

    /// The text of a new master key.
    pub fn generate() -> Result<Zeroizing<String>, VaultError> {
        let bytes = random::<MASTER_BYTES>()?;
        let engine = GeneralPurpose::new(&base64::alphabet::STANDARD, ANY_BASE64);
        Ok(Zeroizing::new(engine.encode(bytes)))
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

impl Keyring {
    /// Derives every key.
    pub fn derive(master: &MasterKey) -> Self {
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(&master.0);
        let mac = hmac::Key::new(hmac::HMAC_SHA256, &*expand(&root, b"token mac"));
        let vault = XChaCha20Poly1305::new((&*expand(&root, b"credential vault")).into());
        let id = expand(&root, b"key id")[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        let audit_seed = expand(&root, b"audit signature");
        let idempotency_seeds =
            [&b"idempotency mac"[..], b"idempotency replies"].map(|label| expand(&root, label));
        Self { mac, vault, id: KeyId(id), audit_seed, idempotency_seeds }
    }

    /// The id of these keys.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// The seed of the signatures of the audit log.
    pub fn audit_seed(&self) -> &[u8; 32] {
        &self.audit_seed
    }

    /// The keys by which idempotent requests are recognized, and their replies sealed.
    pub fn idempotency_seeds(&self) -> [&[u8; 32]; 2] {
        self.idempotency_seeds.each_ref().map(|seed| &**seed)
    }

    /// The MAC by which a token is known.
    pub fn mac(&self, token: &[u8]) -> Mac {
        let tag = hmac::sign(&self.mac, token);
        let mut mac = [0; 32];
        mac.copy_from_slice(tag.as_ref());
        Mac(mac)
    }

    /// Encrypts a secret under a random nonce, which comes first.
    pub fn seal(&self, secret: &[u8], binding: Binding<'_>) -> Result<Vec<u8>, VaultError> {
        let nonce = random::<NONCE_BYTES>()?;
        let payload = Payload { msg: secret, aad: &binding.bytes() };
        let sealed = self.vault.encrypt(XNonce::from_slice(&*nonce), payload);
        let mut all = nonce.to_vec();
        all.extend(sealed.map_err(|_| VaultError::Sealed)?);
        Ok(all)
    }

    /// Decrypts what was sealed with the same binding.
    pub fn open(
        &self,
        sealed: &[u8],
        binding: Binding<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let (nonce, rest) = sealed.split_at_checked(NONCE_BYTES).ok_or(VaultError::Sealed)?;
        let payload = Payload { msg: rest, aad: &binding.bytes() };
        let opened = self.vault.decrypt(XNonce::from_slice(nonce), payload);
        opened.map(Zeroizing::new).map_err(|_| VaultError::Sealed)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("id", &self.id.0).finish_non_exhaustive()
    }
}

impl KeyId {
    /// As it stands in the store.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Mac {
    /// As it stands in the store; none when it has another length.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes to keep.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for Mac {
    fn eq(&self, other: &Self) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl hash::Hash for Mac {
    /// Eight bytes say enough: nobody without the key can choose them.
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        state.write_u64(u64::from_ne_bytes([a, b, c, d, e, f, g, h]));
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mac(..)")
    }
}

impl Binding<'_> {
    fn bytes(self) -> Vec<u8> {
        [b"credential 1\0", &self.row.to_be_bytes()[..], self.origin.as_bytes()].concat()
    }
}

/// So many bytes of the operating system's randomness.
pub fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, VaultError> {
    let mut bytes = Zeroizing::new([0; N]);
    rand::fill(&mut *bytes).map_err(|_| VaultError::NoRandomness)?;
    Ok(bytes)
}

fn expand(root: &hkdf::Prk, label: &[u8]) -> Zeroizing<[u8; 32]> {
    struct Length;
    impl hkdf::KeyType for Length {
        fn len(&self) -> usize {
            32
        }
    }
    let mut key = Zeroizing::new([0; 32]);
    root.expand(&[label], Length)
        .and_then(|okm| okm.fill(&mut *key))
        .expect("HKDF-SHA-256 gives up to 255 times 32 bytes");
    key
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?));
    rest.is_empty().then(|| bytes.collect()).flatten()
}

fn base64(text: &str) -> Option<Vec<u8>> {
    [&base64::alphabet::STANDARD, &base64::alphabet::URL_SAFE]
        .into_iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, ANY_BASE64).decode(text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const ORIGIN: &str = "https://panel.example.com:443";

    fn keyring(text: &str) -> Keyring {
        Keyring::derive(&MasterKey::parse(text).expect("a master key"))
    }

    #[test]
    fn hexadecimal_and_base64_of_the_same_bytes_are_the_same_key() {
        let base64 = " AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\n";
        assert_eq!(keyring(HEX).id(), keyring(base64).id());
        assert_eq!(keyring(HEX).id().as_str().len(), 16);
    }

    #[test]
    fn a_poor_master_key_is_refused() {
        let refused = |text: &str| MasterKey::parse(text).expect_err("a poor key");
        assert_eq!(refused(""), MasterKeyError::Encoding);
        assert_eq!(refused("not a key!"), MasterKeyError::Encoding);
        assert_eq!(refused(&HEX[..62]), MasterKeyError::TooShort(31));
        assert_eq!(refused(&"0".repeat(64)), MasterKeyError::Weak);
        assert_eq!(refused(&"ab".repeat(40)), MasterKeyError::Weak);
    }

    #[test]
    fn a_generated_key_is_good_and_new() {
        let [a, b] = [(); 2].map(|()| MasterKey::generate().expect("randomness"));
        assert_ne!(keyring(&a).id(), keyring(&b).id());
    }

    #[test]
    fn a_mac_depends_on_token_and_key() {
        let (one, other) = (keyring(HEX), keyring(&HEX.replace("00", "ff")));
        assert_eq!(one.mac(b"token"), one.mac(b"token"));
        assert_ne!(one.mac(b"token"), one.mac(b"tokem"));
        assert_ne!(one.mac(b"token"), other.mac(b"token"));
        assert_eq!(Mac::from_bytes(one.mac(b"t").as_bytes()), Some(one.mac(b"t")));
        assert_eq!(Mac::from_bytes(b"short"), None);
    }

    #[test]
    fn a_sealed_secret_opens_only_in_its_place() {
        let keyring = keyring(HEX);
        let home = Binding { row: 7, origin: ORIGIN };
        let sealed = keyring.seal(b"joe:secret", home).expect("sealed");
        assert_eq!(&**keyring.open(&sealed, home).expect("opened"), b"joe:secret");
        let elsewhere = [
            Binding { row: 8, ..home },
            Binding { origin: "https://panel.example.com:444", ..home },
            Binding { origin: "http://panel.example.com:443", ..home },
            Binding { origin: "https://evil.example.com:443", ..home },
        ];
        for binding in elsewhere {
            assert_eq!(keyring.open(&sealed, binding), Err(VaultError::Sealed), "{binding:?}");
        }
    }

    #[test]
    fn another_key_and_changed_bytes_do_not_open() {
        let (one, other) = (keyring(HEX), keyring(&HEX.replace("00", "ff")));
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
    fn nothing_prints_a_key() {
        let master = MasterKey::parse(HEX).expect("a master key");
        let keyring = Keyring::derive(&master);
        let text = format!("{master:?} {keyring:?} {:?}", keyring.mac(b"t"));
        let id = keyring.id().as_str();
        assert_eq!(text, format!("MasterKey(..) Keyring {{ id: \"{id}\", .. }} Mac(..)"));
    }
}
