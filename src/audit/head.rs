//! Signatures: where a chain ended at a time, and up to where it was deleted.

use std::{fmt, str::FromStr};

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, ParsedPublicKey};

use super::{
    chain::{Hash, Tail},
    encoding::{encoded, read_hex, write_hex},
};

/// Signs with Ed25519. It does not print.
pub struct Signer(Ed25519KeyPair);

/// Says what a signer has signed; it needs no secret.
#[derive(Clone, Debug)]
pub struct Verifier(ParsedPublicKey);

/// The public half of a signer, of 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

/// Why something is no public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a public key has 32 bytes, written as 64 hexadecimal digits in lower case")]
pub struct BadPublicKey;

/// Where a chain ended when it was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The name of the chain.
    pub chain: String,
    /// The number of its last link; 0 if it had none.
    pub sequence: u64,
    /// The hash of that link, or of the chain's start.
    pub hash: Hash,
    /// When it was signed, as a Unix time in seconds.
    pub time: i64,
    /// The signature of all of the above.
    pub signature: Signature,
}

/// The last link that retention has deleted; what is kept follows it.
///
/// It is signed under another label than a head. So a head, which every chain has many of, does not
/// excuse that what came before it is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The name of the chain.
    pub chain: String,
    /// The number of the last link that was deleted.
    pub sequence: u64,
    /// Its hash.
    pub hash: Hash,
    /// When it was signed, as a Unix time in seconds.
    pub time: i64,
    /// The signature of all of the above.
    pub signature: Signature,
}

/// An Ed25519 signature.
pub type Signature = [u8; 64];

const HEAD: &str = "tollgate audit head 1";
const CHECKPOINT: &str = "tollgate audit checkpoint 1";

impl Signer {
    /// The signer of a seed, which has to be as secret and as random as any key. A copy of it stays
    /// in here until the signer is dropped; clearing `seed` is the caller's matter.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(seed).expect("any 32 bytes are a seed"))
    }

    /// The public half, to check signatures with, here or elsewhere.
    pub fn public_key(&self) -> PublicKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(bytes)
    }

    /// What says what it has signed.
    pub fn verifier(&self) -> Verifier {
        let public = self.public_key();
        Verifier::from_public_key(public.as_bytes()).expect("it is a public key")
    }

    /// Signs where a chain ends, at a Unix time in seconds.
    pub fn sign(&self, tail: &Tail, time: i64) -> Head {
        let signature = self.signature(HEAD, tail, time);
        let Tail { chain, sequence, hash } = tail.clone();
        Head { chain, sequence, hash, time, signature }
    }

    /// Signs up to where a chain is deleted, at a Unix time in seconds: `tail` is that of the last
    /// link that goes. Whoever asks for it has verified the links that go.
    pub fn checkpoint(&self, tail: &Tail, time: i64) -> Checkpoint {
        let signature = self.signature(CHECKPOINT, tail, time);
        let Tail { chain, sequence, hash } = tail.clone();
        Checkpoint { chain, sequence, hash, time, signature }
    }

    fn signature(&self, label: &str, tail: &Tail, time: i64) -> Signature {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.0.sign(&message(label, tail, time)).as_ref());
        signature
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(..)")
    }
}

impl Verifier {
    /// The verifier of a public key of 32 bytes. Bytes that no signer has are not always noticed
    /// here; nothing is signed with them.
    pub fn from_public_key(bytes: &[u8]) -> Result<Self, BadPublicKey> {
        // The library would also take a longer encoding of a key.
        let bytes: &[u8; 32] = bytes.try_into().map_err(|_| BadPublicKey)?;
        ParsedPublicKey::new(&ED25519, bytes).map(Self).map_err(|_| BadPublicKey)
    }

    /// Whether it is this key's signature that the head has.
    pub fn has_signed(&self, head: &Head) -> bool {
        self.is_signature(HEAD, &head.tail(), head.time, &head.signature)
    }

    /// Whether it is this key's signature that the checkpoint has.
    pub fn has_signed_checkpoint(&self, checkpoint: &Checkpoint) -> bool {
        self.is_signature(CHECKPOINT, &checkpoint.tail(), checkpoint.time, &checkpoint.signature)
    }

    fn is_signature(&self, label: &str, tail: &Tail, time: i64, signature: &Signature) -> bool {
        self.0.verify_sig(&message(label, tail, time), signature).is_ok()
    }
}

impl PublicKey {
    /// The bytes, as a verifier takes them.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl FromStr for PublicKey {
    type Err = BadPublicKey;

    fn from_str(text: &str) -> Result<Self, BadPublicKey> {
        read_hex(text).map(Self).ok_or(BadPublicKey)
    }
}

impl Head {
    /// Where it says that the chain ended.
    pub fn tail(&self) -> Tail {
        Tail { chain: self.chain.clone(), sequence: self.sequence, hash: self.hash }
    }
}

impl Checkpoint {
    /// What the first link that is kept follows, or the next one if none is.
    pub fn tail(&self) -> Tail {
        Tail { chain: self.chain.clone(), sequence: self.sequence, hash: self.hash }
    }
}

/// What is signed.
fn message(label: &str, tail: &Tail, time: i64) -> Vec<u8> {
    encoded(
        label,
        &[
            tail.chain.as_bytes(),
            &tail.sequence.to_be_bytes(),
            tail.hash.as_bytes(),
            &time.to_be_bytes(),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: [u8; 32] = [7; 32];

    fn verifier(signer: &Signer) -> Verifier {
        Verifier::from_public_key(signer.public_key().as_bytes()).expect("a public key")
    }

    /// What was signed by one version is checked by all later ones.
    #[test]
    fn signatures_are_what_they_have_always_been() {
        let signer = Signer::from_seed(&SEED);
        let tail = Tail::start("main");
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(
            signer.public_key().to_string(),
            "ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c"
        );
        let head = signer.sign(&tail, 1_800_000_000);
        assert_eq!(
            hex(&head.signature),
            "28d8b656b1ea5f2463d00adc49b41099669d720efe1234687c5d0c3b6a7b9605\
             28ee549f654669ae2e1c1b2d4e30fb6f2175907e4f8ceff41b9a0f55b9716f05",
        );
        let checkpoint = signer.checkpoint(&tail, 1_800_000_000);
        assert_eq!(
            hex(&checkpoint.signature),
            "fd0315ae9b3744b857f011df818579023aed44dfcf24deecf99f4c3cca51ee29\
             9d7c92f992cad804776362959c285ce200d62160ef62d6652c629ecce2e20607",
        );
    }

    #[test]
    fn every_field_of_a_head_is_signed() {
        let signer = Signer::from_seed(&SEED);
        let verifier = verifier(&signer);
        let head = signer.sign(&Tail::start("main"), 5);
        assert!(verifier.has_signed(&head));
        let mut flipped = head.signature;
        flipped[63] ^= 1;
        let changed = [
            Head { chain: "mains".to_owned(), ..head.clone() },
            Head { sequence: 1, ..head.clone() },
            Head { hash: Tail::start("other").hash, ..head.clone() },
            Head { time: 6, ..head.clone() },
            Head { signature: flipped, ..head },
        ];
        for head in changed {
            assert!(!verifier.has_signed(&head), "{head:?}");
        }
    }

    #[test]
    fn a_head_is_no_checkpoint_and_a_checkpoint_no_head() {
        let signer = Signer::from_seed(&SEED);
        let (verifier, tail) = (verifier(&signer), Tail::start("main"));
        let (head, checkpoint) = (signer.sign(&tail, 5), signer.checkpoint(&tail, 5));
        assert!(verifier.has_signed_checkpoint(&checkpoint));
        let (of_head, of_checkpoint) = (head.signature, checkpoint.signature);
        assert!(!verifier.has_signed(&Head { signature: of_checkpoint, ..head }));
        let forged = Checkpoint { signature: of_head, ..checkpoint };
        assert!(!verifier.has_signed_checkpoint(&forged));
    }

    #[test]
    fn another_key_has_not_signed_it() {
        let head = Signer::from_seed(&SEED).sign(&Tail::start("main"), 5);
        assert!(!verifier(&Signer::from_seed(&[8; 32])).has_signed(&head));
    }

    #[test]
    fn a_public_key_has_32_bytes() {
        let key = Signer::from_seed(&SEED).public_key();
        assert_eq!(key.to_string().parse::<PublicKey>(), Ok(key));
        assert_eq!("00".parse::<PublicKey>(), Err(BadPublicKey));
        for length in [0, 31, 33, 44] {
            let refused = Verifier::from_public_key(&vec![0; length]);
            assert_eq!(refused.err(), Some(BadPublicKey), "{length}");
        }
    }

    #[test]
    fn a_signer_does_not_print() {
        assert_eq!(format!("{:?}", Signer::from_seed(&SEED)), "Signer(..)");
    }
}
