//! The keys in force: the one that wraps, which the master key gives, and those that last.
//!
//! The keys by which tokens are recognized and the audit log is signed outlast the master key: a
//! store keeps them wrapped. One from before it kept keys has those that its master key gives, and
//! goes on with them. Every derived key has its own HKDF label, so that none is of use in the place
//! of another. The public id of its key stands beside each token, so that it is not taken for a
//! stranger's where the keys are others.

use std::{fmt, hash};

use aws_lc_rs::{hkdf, rand};
use base64::{
    Engine,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::data_key::{DataKey, KEY_BYTES, Purpose, UnwrapError, WrappedKey, WrappingKey};

pub use super::data_key::KeyId;

/// The operator's one secret; it opens the keys that the store keeps.
pub struct MasterKey(Zeroizing<Vec<u8>>);

/// The keys in force.
pub struct Keyring {
    wrapping: WrappingKey,
    /// Keyed once; a request only copies it.
    mac: Hmac<Sha256>,
    tokens: DataKey,
    audit: DataKey,
    /// What sealed credentials before there were data keys.
    first_vault: DataKey,
}

/// What is kept of a token: enough to recognize it, nothing to make it from.
#[derive(Clone, Copy, Eq)]
pub struct Mac([u8; 32]);

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

const SALT: &[u8] = b"tollgate keyring 1";

const ANY_BASE64: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

impl MasterKey {
    /// Reads the text of a master key file or variable.
    pub fn parse(text: &str) -> Result<Self, MasterKeyError> {
        let text = text.trim();
        let bytes = hexadecimal(text).or_else(|| base64(text).map(Zeroizing::new));
        let bytes = bytes.unwrap_or_default();
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

/// Its bytes wipe themselves.
impl ZeroizeOnDrop for MasterKey {}

impl Keyring {
    /// Derives every key; a store may know of others that last, and then those are in force.
    pub fn derive(master: &MasterKey) -> Self {
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(&master.0);
        let id = KeyId::of(&*expand(&root, b"key id"));
        let derived = |purpose, label| DataKey::derived(purpose, id.clone(), expand(&root, label));
        let tokens = derived(Purpose::Tokens, b"token mac");
        Self {
            wrapping: WrappingKey::new(id.clone(), &expand(&root, b"data key wrapping")),
            mac: keyed(&tokens),
            audit: derived(Purpose::Audit, b"audit signature"),
            first_vault: derived(Purpose::Vault, b"credential vault"),
            tokens,
        }
    }

    /// The same, but with the keys that a store keeps for tokens and for the audit log.
    #[must_use]
    pub fn with_lasting(self, tokens: DataKey, audit: DataKey) -> Self {
        let mac = keyed(&tokens);
        Self { mac, tokens, audit, ..self }
    }

    /// The keys for tokens and for the audit log, which a store keeps.
    pub fn lasting(&self) -> [&DataKey; 2] {
        [&self.tokens, &self.audit]
    }

    /// What the master key gives to seal credentials, as was done before there were data keys.
    pub fn first_vault(&self) -> &DataKey {
        &self.first_vault
    }

    /// The id of the key by which tokens are recognized.
    pub fn id(&self) -> &KeyId {
        self.tokens.id()
    }

    /// The id of the master key.
    pub fn master_id(&self) -> &KeyId {
        self.wrapping.id()
    }

    /// The seed of the signatures of the audit log.
    pub fn audit_seed(&self) -> &[u8; KEY_BYTES] {
        self.audit.bytes()
    }

    /// The keys by which idempotent requests are recognized, and their replies sealed. They come of a
    /// key that outlasts the master key: a request that comes again must be recognized.
    pub fn idempotency_seeds(&self) -> [Zeroizing<[u8; KEY_BYTES]>; 2] {
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(self.tokens.bytes());
        [&b"idempotency mac"[..], b"idempotency replies"].map(|label| expand(&root, label))
    }

    /// Seals what an operator was answered, for whoever asks the same again.
    pub fn answer_key(&self) -> DataKey {
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(self.tokens.bytes());
        let id = self.tokens.id().clone();
        DataKey::derived(Purpose::Tokens, id, expand(&root, b"admin answers"))
    }

    /// The MAC by which a token is known.
    pub fn mac(&self, token: &[u8]) -> Mac {
        Mac(self.mac.clone().chain_update(token).finalize().into_bytes().into())
    }

    /// Wraps a data key, for the store.
    pub fn wrap(&self, key: &DataKey) -> Result<WrappedKey, VaultError> {
        self.wrapping.wrap(key)
    }

    /// Opens a data key of the store.
    pub fn unwrap(&self, key: &WrappedKey) -> Result<DataKey, UnwrapError> {
        self.wrapping.unwrap(key)
    }
}

/// Every key in it wipes itself; the state of the MAC does by the feature `zeroize` of sha2.
impl ZeroizeOnDrop for Keyring {}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("id", &self.id().as_str()).finish_non_exhaustive()
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
    /// By words and without an early end. Nobody without the key can choose one, so the time that it
    /// takes would tell nothing; every request compares one.
    fn eq(&self, other: &Self) -> bool {
        let words = |mac: &Self| [0, 8, 16, 24].map(|at| word(&mac.0, at));
        let pairs = words(self).into_iter().zip(words(other));
        pairs.fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
    }
}

impl hash::Hash for Mac {
    /// Eight bytes say enough: nobody without the key can choose them.
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        state.write_u64(word(&self.0, 0));
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mac(..)")
    }
}

/// So many bytes of the operating system's randomness.
pub fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, VaultError> {
    let mut bytes = Zeroizing::new([0; N]);
    rand::fill(&mut *bytes).map_err(|_| VaultError::NoRandomness)?;
    Ok(bytes)
}

/// The word at a place of a MAC.
fn word(mac: &[u8; 32], at: usize) -> u64 {
    u64::from_ne_bytes(std::array::from_fn(|i| mac[at + i]))
}

fn keyed(tokens: &DataKey) -> Hmac<Sha256> {
    Hmac::new_from_slice(tokens.bytes()).expect("a key of HMAC may have any length")
}

fn expand(root: &hkdf::Prk, label: &[u8]) -> Zeroizing<[u8; KEY_BYTES]> {
    struct Length;
    impl hkdf::KeyType for Length {
        fn len(&self) -> usize {
            KEY_BYTES
        }
    }
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    root.expand(&[label], Length)
        .and_then(|okm| okm.fill(&mut *key))
        .expect("HKDF-SHA-256 gives up to 255 times 32 bytes");
    key
}

/// In memory that is its own from the beginning: what grows leaves its bytes where it was.
fn hexadecimal(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let mut bytes = Zeroizing::new(Vec::with_capacity(pairs.len()));
    for [high, low] in pairs {
        bytes.push(digit(*high)? << 4 | digit(*low)?);
    }
    rest.is_empty().then_some(bytes)
}

fn base64(text: &str) -> Option<Vec<u8>> {
    [&base64::alphabet::STANDARD, &base64::alphabet::URL_SAFE]
        .into_iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, ANY_BASE64).decode(text).ok())
}

/// Compiles for what wipes itself, for tests of types that hold it.
#[cfg(test)]
pub(crate) fn wiped<T: ZeroizeOnDrop>(_: &T) {}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

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

    /// What grows leaves parts of the key in memory that is no longer its own.
    #[test]
    fn the_bytes_of_a_key_never_move() {
        let bytes = hexadecimal(&"0f".repeat(41)).expect("hexadecimal");
        assert_eq!((bytes.len(), bytes.capacity()), (41, 41));
        assert!(hexadecimal("0f0").is_none() && hexadecimal("0fzz").is_none());
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
    fn macs_that_differ_anywhere_are_two() {
        for at in 0..32 {
            let mut bytes = [7; 32];
            bytes[at] ^= 1;
            assert_ne!(Mac(bytes), Mac([7; 32]), "{at}");
        }
    }

    #[test]
    fn the_keys_of_stores_from_before_they_kept_any_are_still_found() {
        let keyring = keyring(HEX);
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        // By another implementation of HKDF and HMAC.
        assert_eq!(keyring.id().as_str(), "939b72ea795e0430");
        assert_eq!(
            hex(keyring.mac(b"token").as_bytes()),
            "680332872c031bd1ef62f14173bd10a58e75b4ac9781206920522a5a3fbd1071"
        );
        assert_eq!(
            hex(keyring.audit_seed()),
            "71fd99176543aad0301d0600f33384babc1345d2b452e6280a4c4b78ffc6c05e"
        );
        assert_eq!(
            hex(keyring.first_vault().bytes()),
            "acc80c1edda057e37076b00f9bb93708b70dae85eef3e14230761137d1eabf08"
        );
    }

    #[test]
    fn keys_that_last_take_the_place_of_the_derived_ones() {
        let random = |purpose| DataKey::random(purpose).expect("randomness");
        let (tokens, audit) = (random(Purpose::Tokens), random(Purpose::Audit));
        let wrapped = [&tokens, &audit].map(|key| keyring(HEX).wrap(key).expect("wrapped"));
        let [tokens, audit] = wrapped.map(|key| keyring(HEX).unwrap(&key).expect("opened"));
        let (id, seed) = (tokens.id().clone(), *audit.bytes());
        let changed = keyring(HEX).with_lasting(tokens, audit);
        assert_eq!((changed.id(), changed.audit_seed()), (&id, &seed));
        assert_ne!(changed.mac(b"token"), keyring(HEX).mac(b"token"));
        assert_eq!(changed.master_id(), keyring(HEX).id());
    }

    #[test]
    fn what_is_secret_is_wiped() {
        let (master, keyring) = (MasterKey::parse(HEX).expect("a master key"), keyring(HEX));
        let MasterKey(bytes) = &master;
        wiped(bytes);
        let Keyring { wrapping, mac: _, tokens, audit, first_vault } = &keyring;
        // What `mac` consists of; it has the trait with the feature alone.
        wiped(&Sha256::default());
        wiped(wrapping);
        for key in [tokens, audit, first_vault] {
            wiped(key);
        }
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
