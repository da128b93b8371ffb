//! JSON as the masker sees it: strings, bare words, and the structure between them.

use memchr::{memchr, memchr2};

use super::{Copier, Escapes, MaskError, Rules, fields::Kind};

/// Cuts JSON into tokens. Where it stands within an unfinished one is kept from chunk to chunk.
#[derive(Default)]
pub(super) struct Lexer {
    field: Field,
    scanned: usize,
    escaped: bool,
    plain: Vec<u8>,
}

/// How what was just read relates to the name of a field that is masked.
#[derive(Clone, Copy, Default, PartialEq)]
enum Field {
    #[default]
    Other,
    /// A string that says such a name; it is one if a colon follows.
    Named(Kind),
    /// Its value comes next.
    Value(Kind),
    /// Within an array or object that is its value, so deep.
    Within(u32),
}

/// How many bytes a character of a name takes at most: as `\uXXXX`.
const LONGEST_ESCAPE: usize = 6;

const ESCAPES: Escapes = Escapes { marker: b'\\', undo: unescape };

/// In place of a bare word, too, so that what was JSON stays JSON.
const QUOTED_MASK: &[u8] = b"\"********\"";

/// Whether a bare word ends before this byte.
pub(super) fn is_delimiter(byte: u8) -> bool {
    byte == b'"' || is_structure(byte)
}

impl Lexer {
    pub(super) fn rewrite(
        &mut self,
        bytes: &[u8],
        last: bool,
        rules: &Rules,
        copier: &mut Copier<'_>,
    ) -> Result<usize, MaskError> {
        let mut at = 0;
        while let Some(&first) = bytes.get(at) {
            if is_structure(first) {
                self.field = self.field.after(first, rules.complains);
                at += 1;
                continue;
            }
            let found = match first {
                b'"' => self.string_end(&bytes[at..]),
                _ => self.word_end(&bytes[at..]),
            };
            let end = match found {
                Some(length) => at + length,
                None if last => bytes.len(),
                None => break,
            };
            rules.bound(end - at)?;
            let is_string = first == b'"';
            let inner = if is_string {
                &bytes[at + 1..end - usize::from(found.is_some())]
            } else {
                &bytes[at..end]
            };
            if self.must_mask(inner, is_string, rules) {
                copier.replace(at, end, QUOTED_MASK);
            }
            (self.scanned, self.escaped) = (0, false);
            at = end;
        }
        copier.copy_to(at);
        rules.bound(self.scanned)?;
        Ok(at)
    }

    /// The length of the string with its quotes.
    fn string_end(&mut self, string: &[u8]) -> Option<usize> {
        let mut at = self.scanned.max(1);
        while let Some(rest) = string.get(at..) {
            let Some(offset) = memchr2(b'"', b'\\', rest) else {
                self.scanned = string.len();
                return None;
            };
            if rest[offset] == b'"' {
                return Some(at + offset + 1);
            }
            self.escaped = true;
            at += offset + 2;
        }
        self.scanned = at - 2;
        None
    }

    /// The length of a bare word. A backslash takes the next byte with it: valid JSON has none
    /// here, and in what is broken the quote behind it was no quote either.
    fn word_end(&mut self, word: &[u8]) -> Option<usize> {
        let mut at = self.scanned;
        while let Some(&byte) = word.get(at) {
            if byte == b'\\' {
                self.escaped = true;
                if at + 1 == word.len() {
                    break;
                }
                at += 1;
            } else if is_delimiter(byte) {
                return Some(at);
            }
            at += 1;
        }
        self.scanned = at;
        None
    }

    fn must_mask(&mut self, inner: &[u8], is_string: bool, rules: &Rules) -> bool {
        let field = self.field;
        if !matches!(field, Field::Within(_)) {
            self.field = Field::Other;
        }
        match field {
            Field::Value(_) | Field::Within(_) if is_string => !inner.is_empty(),
            Field::Value(_) | Field::Within(_) => inner != b"null",
            Field::Other | Field::Named(_) => {
                if is_string && let Some(kind) = self.kind(inner, rules) {
                    self.field = Field::Named(kind);
                }
                rules.leak(inner, &ESCAPES, &mut self.plain)
            }
        }
    }

    /// What a field of this name holds, if that is masked.
    fn kind(&mut self, inner: &[u8], rules: &Rules) -> Option<Kind> {
        if !self.escaped {
            return rules.fields.kind(inner);
        }
        if inner.len() > rules.fields.longest() * LONGEST_ESCAPE {
            return None;
        }
        self.plain.clear();
        self.plain.extend_from_slice(inner);
        unescape(&mut self.plain);
        rules.fields.kind(&self.plain)
    }
}

impl Field {
    fn after(self, structure: u8, complains: bool) -> Self {
        match (self, structure) {
            (Self::Other, _) => Self::Other,
            (_, b' ' | b'\t' | b'\r' | b'\n') => self,
            (Self::Named(kind), b':') => Self::Value(kind),
            (Self::Value(Kind::Password), b'[') if complains => Self::Other,
            (Self::Value(_), b'[' | b'{') => Self::Within(1),
            (Self::Within(depth), b'[' | b'{') => Self::Within(depth.saturating_add(1)),
            (Self::Within(depth), b']' | b'}') if depth > 1 => Self::Within(depth - 1),
            (Self::Within(_), b',' | b':') => self,
            _ => Self::Other,
        }
    }
}

fn is_structure(byte: u8) -> bool {
    matches!(byte, b',' | b':' | b'[' | b']' | b'{' | b'}' | b' ' | b'\t' | b'\r' | b'\n')
}

/// Undoes one layer of escapes in place; false when there was none. What is no escape of JSON
/// loses its backslash, as lenient parsers have it.
fn unescape(text: &mut Vec<u8>) -> bool {
    let Some(first) = memchr(b'\\', text) else { return false };
    let (mut read, mut write) = (first, first);
    while let Some(&byte) = text.get(read) {
        if byte != b'\\' {
            text[write] = byte;
            (read, write) = (read + 1, write + 1);
            continue;
        }
        let (character, length) = escape(&text[read..]);
        read += length;
        if let Some(character) = character {
            write += character.encode_utf8(&mut text[write..read]).len();
        }
    }
    text.truncate(write);
    true
}

/// The character that an escape stands for, if it is one, and the escape's length.
fn escape(rest: &[u8]) -> (Option<char>, usize) {
    match rest.get(1) {
        Some(b'u') => unicode_escape(rest),
        Some(b'b') => (Some('\u{8}'), 2),
        Some(b'f') => (Some('\u{c}'), 2),
        Some(b'n') => (Some('\n'), 2),
        Some(b'r') => (Some('\r'), 2),
        Some(b't') => (Some('\t'), 2),
        Some(&byte) if byte.is_ascii() => (Some(char::from(byte)), 2),
        Some(_) | None => (None, 1),
    }
}

fn unicode_escape(rest: &[u8]) -> (Option<char>, usize) {
    let unit = |at: usize| -> Option<u16> {
        let digits = rest.get(at..at + 6)?.strip_prefix(b"\\u")?;
        digits.iter().try_fold(0, |n, d| {
            let digit = char::from(*d).to_digit(16)?;
            Some(n << 4 | u16::try_from(digit).ok()?)
        })
    };
    let Some(first) = unit(0) else { return (Some('u'), 2) };
    let units = [first, unit(6).unwrap_or(0)];
    match char::decode_utf16(units).next() {
        Some(Ok(character)) => (Some(character), if character.len_utf16() == 2 { 12 } else { 6 }),
        Some(Err(_)) | None => (Some(char::REPLACEMENT_CHARACTER), 6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: &str) {
        let mut bytes = text.as_bytes().to_vec();
        unescape(&mut bytes);
        assert_eq!(String::from_utf8_lossy(&bytes), want, "{text}");
    }

    #[test]
    fn escapes_are_undone() {
        check(r"plain", "plain");
        check(r#"\"\\\/\b\f\n\r\t"#, "\"\\/\u{8}\u{c}\n\r\t");
        check(r"\u0061\u00E9\u20ac\uD83D\uDE00!", "aé€😀!");
        check(r"\ud83d\u0061\ud83d", "\u{fffd}a\u{fffd}");
        check(r"\a\u12\é\", "au12é");
    }
}
