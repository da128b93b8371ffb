//! The secrets that must not be shown, found in bytes all at once.

use std::fmt;

use aho_corasick::{AhoCorasick, MatchKind};

use super::MASK;

/// Secrets of ours. Nothing prints them, and nothing gives them back.
#[derive(Default)]
pub struct Secrets {
    automaton: Option<AhoCorasick>,
    shortest: usize,
    longest: usize,
    bytes: ByteSet,
}

/// Masks secrets in finished bytes, whatever they are.
#[derive(Default)]
pub(super) struct Sieve {
    held: Vec<u8>,
}

#[derive(Clone, Copy)]
struct ByteSet([bool; 256]);

/// Shorter ones would be found in ordinary words.
const SHORTEST: usize = 8;

impl Secrets {
    /// Secrets to seek; those with fewer than eight characters are ignored.
    ///
    /// They are sought as they are given and below the escapes of the body's format. Other
    /// encodings in which an upstream might show them, such as the base64 of login and key, are
    /// given as secrets of their own.
    ///
    /// # Panics
    ///
    /// When the secrets are more than 2 GiB in all, which no store of credentials holds.
    pub fn new<S: AsRef<str>>(plain: impl IntoIterator<Item = S>) -> Self {
        let plain: Vec<S> =
            plain.into_iter().filter(|s| s.as_ref().chars().count() >= SHORTEST).collect();
        let lengths = || plain.iter().map(|s| s.as_ref().len());
        let (Some(shortest), Some(longest)) = (lengths().min(), lengths().max()) else {
            return Self::default();
        };
        let mut bytes = ByteSet::default();
        plain.iter().flat_map(|s| s.as_ref().bytes()).for_each(|b| bytes.0[usize::from(b)] = true);
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(plain.iter().map(AsRef::as_ref))
            .expect("the secrets are less than 2 GiB");
        Self { automaton: Some(automaton), shortest, longest, bytes }
    }

    /// Whether there is none to seek.
    pub fn is_empty(&self) -> bool {
        self.automaton.is_none()
    }

    /// Whether the text is long enough for any of them. Undoing escapes never makes text longer.
    pub(super) fn fit_in(&self, text: &[u8]) -> bool {
        self.automaton.is_some() && text.len() >= self.shortest
    }

    /// Whether any stands in the text.
    pub(super) fn found_in(&self, text: &[u8]) -> bool {
        self.fit_in(text) && self.automaton.as_ref().is_some_and(|a| a.is_match(text))
    }

    /// Whether any of them contains such a byte.
    pub(super) fn any_byte(&self, is: fn(u8) -> bool) -> bool {
        (0..=u8::MAX).any(|b| self.bytes.0[usize::from(b)] && is(b))
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(..)")
    }
}

impl Sieve {
    /// Where the bytes to pass are appended.
    pub(super) fn inlet(&mut self) -> &mut Vec<u8> {
        &mut self.held
    }

    /// Appends to `out` what can no longer be the start of a secret.
    pub(super) fn pass(&mut self, secrets: &Secrets, last: bool, out: &mut Vec<u8>) {
        let Some(automaton) = &secrets.automaton else {
            out.append(&mut self.held);
            return;
        };
        let undecided = if last { 0 } else { secrets.longest - 1 };
        let decided = self.held.len().saturating_sub(undecided);
        let mut from = 0;
        while from < decided {
            // A match that starts in the decided part has all the room that its longest
            // alternative needs, so it is the same however the bytes arrived.
            match automaton.find(&self.held[from..]) {
                Some(found) if from + found.start() < decided => {
                    out.extend_from_slice(&self.held[from..from + found.start()]);
                    out.extend_from_slice(MASK.as_bytes());
                    from += found.end();
                }
                _ => {
                    out.extend_from_slice(&self.held[from..decided]);
                    from = decided;
                }
            }
        }
        self.held.drain(..from);
    }
}

impl Default for ByteSet {
    fn default() -> Self {
        Self([false; 256])
    }
}
