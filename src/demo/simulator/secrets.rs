//! Keys, passwords, identifiers and tags: nothing that anyone could guess, nothing twice.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;

/// What all of a simulator's secrets are derived from.
pub(crate) struct Secrets {
    seed: [u8; 32],
    given: u64,
}

/// The system's random source does not answer.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random bytes")]
pub(crate) struct NoRandomness;

impl Secrets {
    pub(crate) fn random() -> Result<Self, NoRandomness> {
        let mut seed = [0; 32];
        rand::fill(&mut seed).map_err(|_| NoRandomness)?;
        Ok(Self { seed, given: 0 })
    }

    /// Hexadecimal digits, at most 64, never the same twice.
    pub(crate) fn hex(&mut self, digits: usize) -> String {
        let mut text = hex(&self.next());
        text.truncate(digits);
        text
    }

    /// 14 letters and digits with a letter first, as the panel names machines and disks.
    pub(crate) fn identifier(&mut self) -> String {
        const SIGNS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        let bytes = self.next();
        let sign = |(n, byte): (usize, &u8)| {
            let choices = if n == 0 { 26 } else { SIGNS.len() };
            char::from(SIGNS[usize::from(*byte) % choices])
        };
        bytes.iter().take(14).enumerate().map(sign).collect()
    }

    fn next(&mut self) -> [u8; 32] {
        self.given += 1;
        let mut input = self.seed.to_vec();
        input.extend_from_slice(&self.given.to_be_bytes());
        sha256(&input)
    }
}

/// The first half of a SHA-256, in hexadecimal: what Rails makes weak tags of.
pub(crate) fn fingerprint(bytes: &[u8]) -> String {
    hex(&sha256(bytes)[..16])
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
