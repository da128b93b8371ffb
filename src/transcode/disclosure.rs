//! The last look at a reply: no secret of an upstream leaves in any of its usual spellings.
//!
//! `mask.rs` reads a reply as JSON or XML and masks whole values. This knows no format and judges
//! any body: wherever a secret stands, as it is or as encoders write it (`spellings.rs`), each of
//! its bytes becomes `*`. Every other byte stays, and so does the length, which keeps a
//! `Content-Length` true.
//!
//! Why not an automaton over all bytes: each of its steps waits for the one before it, and every
//! reply would pay for that. Looks at short pieces, which wait for nothing, rule nearly all of a
//! body out (`grams.rs`). The automaton reads what is left (`finder.rs`), so that no body takes
//! more than linear time, whatever stands in it.
//!
//! Of a stream only the longest end is held back that more bytes could make a spelling: most often
//! nothing or a few bytes, and never more than the longest spelling without its last byte.
//!
//! What is not found: a secret that is compressed, encrypted or hashed, base64 with line breaks in
//! it, and escapes below escapes, but for those over base64. `mask.rs` undoes several layers of
//! them where it knows the format.

use std::{fmt, ops::Range, sync::Arc};

use aho_corasick::automaton::StateID;
use bytes::Bytes;

use finder::Finder;

mod finder;
mod grams;
mod spellings;

#[cfg(test)]
mod tests;

/// The spellings of all secrets that are sought. Nothing prints them, and nothing gives them back.
pub struct Needles {
    finder: Finder,
}

/// A secret, and whom it belongs to.
#[derive(Clone, Copy)]
pub struct Secret<'a> {
    /// The login or e-mail address, since both together are sent in base64; empty if there is none.
    pub login: &'a str,
    /// The password or key.
    pub secret: &'a str,
}

/// A body without secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Masked {
    /// As long as what was given, and the very same bytes in memory if nothing was found.
    pub body: Bytes,
    /// How many spellings were found. One that overlaps the one before it is not counted again.
    pub found: usize,
}

/// Masks one body that comes in pieces.
///
/// What [`push`](Self::push) and then [`finish`](Self::finish) give, joined, is what
/// [`Needles::mask`] gives for the joined pieces, wherever they were cut.
pub struct Scanner {
    needles: Arc<Needles>,
    state: StateID,
    /// What may be the beginning of a spelling, with what was found in it already masked.
    held: Vec<u8>,
    stars: Stars,
}

/// What a search writes, on a copy that is made when there is something to write.
#[derive(Default)]
struct Stars {
    copy: Option<Vec<u8>>,
    /// Where the last match ended.
    covered: usize,
    found: usize,
}

/// A shorter secret would be found by chance all over a reply. No spelling is shorter either.
const SHORTEST: usize = 8;

/// What stands in place of each byte.
const STAR: u8 = b'*';

impl Needles {
    /// Compiles the spellings of the secrets; those of fewer than eight bytes are ignored. It takes
    /// the longer the more secrets there are, and belongs off the request path.
    ///
    /// # Panics
    ///
    /// When the automaton would exceed 2^31 words, which no store of credentials brings about.
    pub fn new<'a>(secrets: impl IntoIterator<Item = Secret<'a>>) -> Self {
        Self { finder: Finder::new(&spellings::all(secrets)) }
    }

    /// Whether there is nothing to seek.
    pub fn is_empty(&self) -> bool {
        self.finder.is_empty()
    }

    /// Masks a whole body. It is copied only if something is found.
    pub fn mask(&self, body: Bytes) -> Masked {
        let mut stars = Stars::default();
        self.finder.scan(self.finder.start(), &body, |end, length| {
            stars.put(&[], &body, end - length..end);
        });
        Masked { found: stars.found, body: stars.copy.map_or(body, Bytes::from) }
    }
}

impl Default for Needles {
    /// None.
    fn default() -> Self {
        Self::new([])
    }
}

impl fmt::Debug for Needles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Needles").finish_non_exhaustive()
    }
}

impl fmt::Debug for Secret<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").finish_non_exhaustive()
    }
}

impl Scanner {
    /// A scanner for one body.
    pub fn new(needles: Arc<Needles>) -> Self {
        let state = needles.finder.start();
        Self { needles, state, held: Vec::new(), stars: Stars::default() }
    }

    /// Takes the next piece and gives what can be let go, which may be nothing.
    ///
    /// The piece is not copied unless something was found in it, or was held back before it.
    pub fn push(&mut self, mut chunk: Bytes) -> Bytes {
        let before = self.held.len();
        let finder = &self.needles.finder;
        self.state = finder.scan(self.state, &chunk, |end, length| {
            let end = before + end;
            self.stars.put(&self.held, &chunk, end - length..end);
        });
        let ready = before + chunk.len() - finder.open(self.state);
        self.stars.covered = self.stars.covered.saturating_sub(ready);
        match self.stars.copy.take() {
            None if before == 0 => {
                self.held.extend_from_slice(&chunk[ready..]);
                chunk.truncate(ready);
                chunk
            }
            None if ready == 0 => {
                self.held.extend_from_slice(&chunk);
                Bytes::new()
            }
            copy => {
                let mut joined = copy.unwrap_or_else(|| [&self.held[..], &chunk[..]].concat());
                self.held.clear();
                self.held.extend_from_slice(&joined[ready..]);
                joined.truncate(ready);
                joined.into()
            }
        }
    }

    /// The body ended: gives what was still held back. The scanner is then ready for another one.
    ///
    /// Of a body that was cut off, the first part of a secret may be the last thing shown; whoever
    /// knows that it is incomplete must not deliver it.
    pub fn finish(&mut self) -> Bytes {
        self.state = self.needles.finder.start();
        self.stars.covered = 0;
        std::mem::take(&mut self.held).into()
    }

    /// How many bytes are held back.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// How many spellings were found so far, counted as in [`Masked::found`].
    pub fn found(&self) -> usize {
        self.stars.found
    }
}

impl fmt::Debug for Scanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scanner").field("found", &self.stars.found).finish_non_exhaustive()
    }
}

impl Stars {
    /// Masks a part of what was held back and the piece behind it, taken as one.
    fn put(&mut self, held: &[u8], chunk: &[u8], part: Range<usize>) {
        self.found += usize::from(part.start >= self.covered);
        self.covered = part.end;
        let copy = self.copy.get_or_insert_with(|| [held, chunk].concat());
        copy[part].fill(STAR);
    }
}
