//! Masks what no tenant may see, in one pass over a reply and however its bytes are cut.
//!
//! Two rules, and nothing else of a body changes by one byte:
//!
//! 1. The value of a field `api_key`, and in the view without secrets of the others in `fields.rs`,
//!    becomes `********`: a JSON value behind that name (however the name is escaped), the text of an
//!    XML element of that name. `null`, the empty string and white space alone stay. If a JSON array
//!    or object stands there, everything in it is masked; but in a refusal of what was sent, an array
//!    behind a password's name says what is wrong with it (`["is too short"]`), and stays.
//! 2. A value that contains one of our upstream secrets, as it stands or below its escapes,
//!    becomes `********` as a whole: a JSON string or bare word, an XML attribute value, or the
//!    character data up to the next tag (text, CDATA sections and comments together).
//!
//! Why not a parser: a parser that fails has either let the rest through or lost the body, and
//! what it writes back is not what it read. So each format is cut into tokens that exist in any
//! bytes at all, and every byte belongs to a token that was searched. A secret which could itself
//! be cut, because it contains a delimiter of tokens, is also sought in the finished bytes; in a
//! body that is valid it is never found there.
//!
//! A token is held back until its end is known. One that is longer than the bound is an error:
//! what cannot be judged is not let through. Bodies are taken to be UTF-8, as the upstream's are.

use std::sync::Arc;

use memchr::memchr;

use crate::vocabulary::Format;

mod fields;
mod json;
mod secrets;
mod xml;

#[cfg(test)]
mod tests;

pub use fields::Fields;
pub use secrets::Secrets;

/// What stands in place of a value that is not shown.
pub const MASK: &str = "********";

/// Masks one body; see the module's documentation.
pub struct Masker {
    lexer: Lexer,
    rules: Rules,
    pending: Vec<u8>,
    sieve: Option<secrets::Sieve>,
    failed: Option<MaskError>,
}

/// Why a body cannot be masked, and so must not be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MaskError {
    /// A value, or what looks like one, does not end within the bound.
    #[error("a value of the body is longer than the {bound} bytes that are held back at most")]
    TokenTooLong {
        /// The bound.
        bound: usize,
    },
}

enum Lexer {
    Json(json::Lexer),
    Xml(xml::Lexer),
}

struct Rules {
    secrets: Arc<Secrets>,
    fields: Arc<Fields>,
    /// The body may say what is wrong with a password, in a list behind its name.
    complains: bool,
    max_token: usize,
}

/// Where a lexer writes: runs of untouched bytes are copied as one.
struct Copier<'a> {
    from: &'a [u8],
    copied: usize,
    out: &'a mut Vec<u8>,
}

/// How a format escapes characters.
struct Escapes {
    /// The byte that every escape begins with.
    marker: u8,
    /// Undoes one layer in place; false when there was none. Text never gets longer.
    undo: fn(&mut Vec<u8>) -> bool,
}

/// A value may quote another document (a log, an error): so many layers of escapes are undone.
const LAYERS: usize = 3;

impl Masker {
    /// A masker for one body. `max_token` bounds the bytes that are held back for one value.
    pub fn new(
        format: Format,
        secrets: Arc<Secrets>,
        fields: Arc<Fields>,
        max_token: usize,
    ) -> Self {
        let (lexer, cut_by): (_, fn(u8) -> bool) = match format {
            Format::Json => (Lexer::Json(json::Lexer::default()), json::is_delimiter),
            Format::Xml => (Lexer::Xml(xml::Lexer::default()), xml::is_delimiter),
        };
        let sieve = secrets.any_byte(cut_by).then(secrets::Sieve::default);
        let rules = Rules { secrets, fields, complains: false, max_token };
        Self { lexer, rules, pending: Vec::new(), sieve, failed: None }
    }

    /// The same, for the body of a refusal of what was sent: lists behind the names of passwords are
    /// complaints about them.
    #[must_use]
    pub fn of_a_refusal(mut self) -> Self {
        self.rules.complains = true;
        self
    }

    /// Takes the next bytes and appends to `out` what is decided. After an error it stays failed.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), MaskError> {
        self.advance(chunk, false, out)
    }

    /// The body ended: appends what was still held back.
    ///
    /// Of a body that was cut off, a secret's first part may be the last thing shown; whoever
    /// knows that it is incomplete must not deliver it.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<(), MaskError> {
        self.advance(&[], true, out)
    }

    fn advance(&mut self, chunk: &[u8], last: bool, out: &mut Vec<u8>) -> Result<(), MaskError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = match self.sieve.take() {
            None => self.lex(chunk, last, out),
            Some(mut sieve) => {
                let result = self.lex(chunk, last, sieve.inlet());
                sieve.pass(&self.rules.secrets, last, out);
                self.sieve = Some(sieve);
                result
            }
        };
        self.failed = result.err();
        result
    }

    fn lex(&mut self, chunk: &[u8], last: bool, out: &mut Vec<u8>) -> Result<(), MaskError> {
        if self.pending.is_empty() {
            let done = self.lexer.rewrite(chunk, last, &self.rules, out)?;
            self.pending.extend_from_slice(&chunk[done..]);
        } else {
            self.pending.extend_from_slice(chunk);
            let done = self.lexer.rewrite(&self.pending, last, &self.rules, out)?;
            self.pending.drain(..done);
        }
        Ok(())
    }
}

impl Lexer {
    /// Rewrites all whole tokens and says how many bytes they were; `last` makes the rest one too.
    fn rewrite(
        &mut self,
        bytes: &[u8],
        last: bool,
        rules: &Rules,
        out: &mut Vec<u8>,
    ) -> Result<usize, MaskError> {
        let mut copier = Copier { from: bytes, copied: 0, out };
        match self {
            Self::Json(lexer) => lexer.rewrite(bytes, last, rules, &mut copier),
            Self::Xml(lexer) => lexer.rewrite(bytes, last, rules, &mut copier),
        }
    }
}

impl Rules {
    /// Refuses a token of which so many bytes are known. The verdict does not depend on how the
    /// body was cut: an unfinished token never counts more bytes than the whole one will.
    fn bound(&self, token: usize) -> Result<(), MaskError> {
        let bound = self.max_token;
        if token > bound { Err(MaskError::TokenTooLong { bound }) } else { Ok(()) }
    }

    /// Whether a secret stands in the text, or below its escapes. `plain` is working space.
    fn leak(&self, text: &[u8], escapes: &Escapes, plain: &mut Vec<u8>) -> bool {
        if !self.secrets.fit_in(text) {
            return false;
        }
        if self.secrets.found_in(text) {
            return true;
        }
        if memchr(escapes.marker, text).is_none() {
            return false;
        }
        plain.clear();
        plain.extend_from_slice(text);
        (0..LAYERS).any(|_| (escapes.undo)(plain) && self.secrets.found_in(plain))
    }
}

impl Copier<'_> {
    /// Puts `instead` in place of the bytes from `start` to `end`.
    fn replace(&mut self, start: usize, end: usize, instead: &[u8]) {
        self.copy_to(start);
        self.out.extend_from_slice(instead);
        self.copied = end;
    }

    fn copy_to(&mut self, end: usize) {
        self.out.extend_from_slice(&self.from[self.copied..end]);
        self.copied = end;
    }
}
