//! XML as the masker sees it: tags, and the character data between them.
//!
//! CDATA sections, comments and processing instructions belong to the character data: a reader
//! joins the text around them, so a secret may stand across them.

use memchr::{memchr, memmem};

use super::{Copier, Escapes, Fields, MASK, MaskError, Rules};

/// Cuts XML into tokens. Where it stands within an unfinished one is kept from chunk to chunk.
#[derive(Default)]
pub(super) struct Lexer {
    /// How many elements are open whose text is masked.
    open: u32,
    scan: Scan,
    plain: Vec<u8>,
}

/// How far the unfinished token has been read.
#[derive(Default)]
struct Scan {
    at: usize,
    /// In a tag: the quote that an attribute value ends with.
    quote: Option<u8>,
    /// In character data: what the section ends with.
    closing: Option<&'static [u8]>,
    /// In character data: whether it has any section.
    sections: bool,
}

enum Markup {
    Tag,
    Section { opening: usize, closing: &'static [u8] },
    Undecided,
}

/// A piece of character data.
enum Piece<'a> {
    Text(&'a [u8]),
    Cdata(&'a [u8]),
    Aside,
}

const CDATA: &[u8] = b"<![CDATA[";

const ESCAPES: Escapes = Escapes { marker: b'&', undo: unescape };

/// What begins and ends within character data.
const SECTIONS: [(&[u8], &[u8]); 3] = [(CDATA, b"]]>"), (b"<!--", b"-->"), (b"<?", b"?>")];

/// Whether tokens end at this byte.
pub(super) fn is_delimiter(byte: u8) -> bool {
    matches!(byte, b'<' | b'>')
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
        while at < bytes.len() {
            let rest = &bytes[at..];
            let is_tag = match markup(rest) {
                Some(Markup::Undecided) if !last => break,
                Some(Markup::Undecided | Markup::Tag) => true,
                Some(Markup::Section { .. }) | None => false,
            };
            let found =
                if is_tag { self.scan.tag_end(rest) } else { self.scan.data_end(rest, last) };
            let end = match found {
                Some(length) => at + length,
                None if last => bytes.len(),
                None => break,
            };
            rules.bound(end - at)?;
            if is_tag {
                self.tag(at, end, rules, copier);
            } else if self.must_mask(&bytes[at..end], rules) {
                copier.replace(at, end, MASK.as_bytes());
            }
            self.scan = Scan::default();
            at = end;
        }
        copier.copy_to(at);
        rules.bound(self.scan.at)?;
        Ok(at)
    }

    fn tag(&mut self, start: usize, end: usize, rules: &Rules, copier: &mut Copier<'_>) {
        let tag = &copier.from[start..end];
        let is_named = |tag: &[u8]| is_named(tag, &rules.fields);
        if is_named(&tag[1..]) {
            self.open = self.open.saturating_add(u32::from(!tag.ends_with(b"/>")));
        } else if tag.strip_prefix(b"</").is_some_and(is_named) {
            self.open = self.open.saturating_sub(1);
        }
        if rules.leak(tag, &ESCAPES, &mut self.plain) {
            let masked = self.masked_tag(tag, rules);
            copier.replace(start, end, &masked);
        }
    }

    /// The tag with the attribute values masked that contain a secret; if there is one elsewhere
    /// in it, nothing of the tag is left.
    fn masked_tag(&mut self, tag: &[u8], rules: &Rules) -> Vec<u8> {
        let mut masked = Vec::with_capacity(tag.len());
        let mut rest = tag;
        while let Some((before, value, after)) = split_value(rest) {
            masked.extend_from_slice(before);
            let leaks = rules.leak(value, &ESCAPES, &mut self.plain);
            masked.extend_from_slice(if leaks { MASK.as_bytes() } else { value });
            rest = after;
        }
        masked.extend_from_slice(rest);
        if rules.leak(&masked, &ESCAPES, &mut self.plain) { MASK.into() } else { masked }
    }

    fn must_mask(&mut self, data: &[u8], rules: &Rules) -> bool {
        if self.open > 0 && !is_silent(data) {
            return true;
        }
        rules.leak(data, &ESCAPES, &mut self.plain)
            || self.scan.sections && rules.secrets.found_in(&joined(data))
    }
}

impl Scan {
    /// The length of the tag. It ends before a `<`, too: none may stand in a tag, so the first
    /// was none, or a quote is missing.
    fn tag_end(&mut self, tag: &[u8]) -> Option<usize> {
        let from = self.at.max(1);
        for (at, &byte) in tag.iter().enumerate().skip(from) {
            match (byte, self.quote) {
                (b'<', _) => return Some(at),
                (b'>', None) => return Some(at + 1),
                (b'"' | b'\'', None) if tag[..at].trim_ascii_end().ends_with(b"=") => {
                    self.quote = Some(byte);
                }
                (_, Some(quote)) if byte == quote => self.quote = None,
                _ => {}
            }
        }
        self.at = tag.len();
        None
    }

    /// The length of the character data up to the next tag.
    fn data_end(&mut self, data: &[u8], last: bool) -> Option<usize> {
        loop {
            if let Some(closing) = self.closing {
                let Some(offset) = memmem::find(&data[self.at..], closing) else {
                    // The first bytes of what closes it may have arrived.
                    self.at = self.at.max(data.len().saturating_sub(closing.len() - 1));
                    return None;
                };
                self.at += offset + closing.len();
                self.closing = None;
            }
            let Some(offset) = memchr(b'<', &data[self.at..]) else {
                self.at = data.len();
                return None;
            };
            self.at += offset;
            match markup(&data[self.at..]) {
                Some(Markup::Section { opening, closing }) => {
                    self.sections = true;
                    self.at += opening;
                    self.closing = Some(closing);
                }
                Some(Markup::Undecided) if !last => return None,
                Some(Markup::Tag | Markup::Undecided) | None => return Some(self.at),
            }
        }
    }
}

/// What begins with the first byte, if anything but text does.
fn markup(rest: &[u8]) -> Option<Markup> {
    match rest {
        [b'<', b'!' | b'?', ..] | [b'<'] => {}
        [b'<', ..] => return Some(Markup::Tag),
        _ => return None,
    }
    for (opening, closing) in SECTIONS {
        if rest.starts_with(opening) {
            return Some(Markup::Section { opening: opening.len(), closing });
        }
        if opening.starts_with(rest) {
            return Some(Markup::Undecided);
        }
    }
    Some(Markup::Tag)
}

/// Whether what follows `<` or `</` is the name of an element whose text is masked.
fn is_named(tag: &[u8], fields: &Fields) -> bool {
    let ends = |b: &u8| b.is_ascii_whitespace() || matches!(b, b'>' | b'/' | b'<');
    let end = tag.iter().position(ends).unwrap_or(tag.len());
    fields.kind(&tag[..end]).is_some()
}

/// Splits a tag around its first quoted attribute value.
fn split_value(tag: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let mut from = 0;
    loop {
        from += memchr(b'=', &tag[from..])? + 1;
        let value = tag[from..].trim_ascii_start();
        let (&quote, value) = value.split_first()?;
        if matches!(quote, b'"' | b'\'') {
            let start = tag.len() - value.len();
            let end = start + memchr(quote, value).unwrap_or(value.len());
            return Some((&tag[..start], &tag[start..end], &tag[end..]));
        }
    }
}

/// Whether the character data says nothing that a reader would see.
fn is_silent(data: &[u8]) -> bool {
    pieces(data).all(|piece| match piece {
        Piece::Text(text) | Piece::Cdata(text) => text.trim_ascii().is_empty(),
        Piece::Aside => false,
    })
}

/// The text that a reader of the document gets.
fn joined(data: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(data.len());
    for piece in pieces(data) {
        match piece {
            Piece::Text(raw) => {
                let mut plain = raw.to_vec();
                unescape(&mut plain);
                text.append(&mut plain);
            }
            Piece::Cdata(raw) => text.extend_from_slice(raw),
            Piece::Aside => {}
        }
    }
    text
}

fn pieces(data: &[u8]) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = data;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some(Markup::Section { opening, closing }) = markup(rest) else {
            let end = memchr(b'<', &rest[1..]).map_or(rest.len(), |at| at + 1);
            let text = rest.split_off(..end)?;
            return Some(Piece::Text(text));
        };
        let is_cdata = rest.starts_with(CDATA);
        let inner = &rest[opening..];
        let (inner, after) = match memmem::find(inner, closing) {
            Some(end) => (&inner[..end], &inner[end + closing.len()..]),
            None => (inner, &inner[inner.len()..]),
        };
        rest = after;
        Some(if is_cdata { Piece::Cdata(inner) } else { Piece::Aside })
    })
}

/// Undoes one layer of references in place; false when there was none.
fn unescape(text: &mut Vec<u8>) -> bool {
    let Some(first) = memchr(b'&', text) else { return false };
    let (mut read, mut write) = (first, first);
    while let Some(&byte) = text.get(read) {
        match reference(&text[read..]) {
            Some((character, length)) => {
                read += length;
                write += character.encode_utf8(&mut text[write..read]).len();
            }
            None => {
                text[write] = byte;
                (read, write) = (read + 1, write + 1);
            }
        }
    }
    let changed = write < text.len();
    text.truncate(write);
    changed
}

/// The character that a reference at the start stands for, and the reference's length.
fn reference(rest: &[u8]) -> Option<(char, usize)> {
    const NAMED: [(&[u8], char); 5] =
        [(b"amp;", '&'), (b"lt;", '<'), (b"gt;", '>'), (b"quot;", '"'), (b"apos;", '\'')];
    let body = rest.strip_prefix(b"&")?;
    let Some(number) = body.strip_prefix(b"#") else {
        let named = NAMED.iter().find(|(name, _)| body.starts_with(name));
        return named.map(|(name, character)| (*character, name.len() + 1));
    };
    let (radix, digits) = match number {
        [b'x' | b'X', digits @ ..] => (16, digits),
        digits => (10, digits),
    };
    let mut code = 0_u32;
    for (i, &byte) in digits.iter().enumerate() {
        if byte == b';' && i > 0 {
            let length = rest.len() - digits.len() + i + 1;
            return char::from_u32(code).map(|c| (c, length));
        }
        code = code.saturating_mul(radix).saturating_add(char::from(byte).to_digit(radix)?);
    }
    None
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
    fn references_are_undone() {
        check("plain", "plain");
        check("&amp;&lt;&gt;&quot;&apos;", "&<>\"'");
        check("&#97;&#x61;&#X00062;&#8364;&#x1F600;", "aab€😀");
        check(
            "&amp;amp; &x; &#; &#x; &#xd800; &#99999999999; &",
            "&amp; &x; &#; &#x; &#xd800; &#99999999999; &",
        );
    }

    #[test]
    fn a_tag_is_split_around_its_values() {
        let split = |tag: &'static str| {
            split_value(tag.as_bytes()).map(|(_, value, _)| String::from_utf8_lossy(value))
        };
        assert_eq!(split("<a b=\"c\">").as_deref(), Some("c"));
        assert_eq!(split("<a b = 'c\"d' e=\"f\">").as_deref(), Some("c\"d"));
        assert_eq!(split("<a b=c d=\"e\">").as_deref(), Some("e"));
        assert_eq!(split("<a b=\"c").as_deref(), Some("c"));
        assert_eq!(split("<a b>"), None);
        assert_eq!(split("<a b="), None);
    }
}
