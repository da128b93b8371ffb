//! The canonical target: the one value that policy, cache key and upstream URL are made from.
//!
//! Rails reaches the same action by many spellings of a path. What real clients send (`//`, a
//! trailing `/`, an encoded letter, a bare `?`) is normalized; what is ambiguous, or could mean
//! one thing here and another upstream, is refused. Rules:
//!
//! 1. An encoded byte that may stand in a path as it is, is decoded, so that one resource has one
//!    spelling. An encoded dot stays encoded: decoding it could make a suffix, which Rails
//!    answers otherwise.
//! 2. Dot segments, backslashes, encoded slashes, control bytes and invalid UTF-8 are refused.
//! 3. The query keeps its bytes and its order, which means something upstream.
//! 4. Exactly one valid Host, and an absolute target must name the same one.

mod host;

use http::{HeaderMap, Uri, Version, uri::PathAndQuery};
use percent::{decode_pair, hex};

use crate::vocabulary::{Closed as _, Format};

/// A canonical path and query.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    path_and_query: PathAndQuery,
    suffix: Option<Suffix>,
}

/// A format suffix and where it stands in the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Suffix {
    /// The format that it names.
    pub format: Format,
    /// The place of its dot.
    pub at: usize,
}

/// Why a target is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Neither a path nor an absolute URL.
    #[error("the request target is not a path")]
    NotAPath,
    /// No Host, several, or one that is no host.
    #[error("exactly one valid Host header is needed")]
    Host,
    /// The target's authority is not the Host.
    #[error("the request target names another host than the Host header")]
    HostMismatch,
    /// `.` or `..`.
    #[error("the path contains a dot segment")]
    DotSegment,
    /// `%2F`, `\`, `%5C`.
    #[error("the path contains an encoded slash or a backslash")]
    EncodedSlash,
    /// A byte below 0x20 or 0x7f, encoded or not.
    #[error("the target contains a control character")]
    Control,
    /// `%` without two hexadecimal digits.
    #[error("the target contains an incomplete percent-encoding")]
    Encoding,
    /// Decoded bytes that are no UTF-8.
    #[error("the target is not UTF-8 once decoded")]
    Utf8,
    /// `.json` and `.xml` in one path.
    #[error("the path has two format suffixes")]
    TwoSuffixes,
    /// `;` separates parameters for some versions of Rack and not for others.
    #[error("the query contains a semicolon; encode it as %3B")]
    Semicolon,
    /// `format` twice: Rack takes the last, others the first.
    #[error("the query names format more than once")]
    RepeatedFormat,
    /// Longer than the configured bound.
    #[error("the target is longer than {0} bytes")]
    TooLong(usize),
}

impl Target {
    /// Canonicalizes a request's target, or refuses it.
    pub fn canonicalize(
        uri: Uri,
        headers: &HeaderMap,
        version: Version,
        max_length: usize,
    ) -> Result<Self, TargetError> {
        host::check(&uri, headers, version)?;
        let given = uri.into_parts().path_and_query.ok_or(TargetError::NotAPath)?;
        if !given.path().starts_with('/') {
            return Err(TargetError::NotAPath);
        }
        if given.as_str().len() > max_length {
            return Err(TargetError::TooLong(max_length));
        }
        if let Some(query) = given.query() {
            check_query(query)?;
        }
        let path_and_query = if is_canonical(&given) { given } else { rewrite(&given)? };
        let suffix = find_suffix(path_and_query.path())?;
        Ok(Self { path_and_query, suffix })
    }

    /// The canonical path, with its suffix where it stood.
    pub fn path(&self) -> &str {
        self.path_and_query.path()
    }

    /// The query, byte for byte; never empty.
    pub fn query(&self) -> Option<&str> {
        self.path_and_query.query()
    }

    /// Path and query as they go upstream when no suffix has to be added.
    pub fn path_and_query(&self) -> &PathAndQuery {
        &self.path_and_query
    }

    /// The format suffix, if there is one.
    pub fn suffix(&self) -> Option<Suffix> {
        self.suffix
    }

    /// The same asked for in a format, by an explicit suffix, so that nothing else can decide it
    /// upstream; none if it has that already. Another one is replaced where it stands, or a new one
    /// put at `place`.
    pub fn asked_in(
        &self,
        format: Format,
        place: usize,
    ) -> Result<Option<PathAndQuery>, TargetError> {
        let (place, replaced) = match self.suffix {
            Some(suffix) if suffix.format == format => return Ok(None),
            Some(suffix) => (suffix.at, 1 + suffix.format.as_str().len()),
            None => (place, 0),
        };
        let (before, behind) = self.path().split_at(place);
        let (behind, query) = (&behind[replaced..], self.query());
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        let text = format!("{before}.{}{behind}{query}", format.as_str());
        text.parse().map(Some).map_err(|_| TargetError::NotAPath)
    }

    /// The path's segments without its format suffix.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        segments(self.path(), self.suffix)
    }

    /// The value of `?format=`, if it is there, however its name is spelled.
    pub fn format_parameter(&self) -> Option<String> {
        self.query()?.split('&').find_map(|pair| decoded_parameter(pair, "format"))
    }

    /// The names in the query, which may be logged; values may not.
    pub fn query_names(&self) -> impl Iterator<Item = &str> {
        let pairs = self.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        pairs.map(|pair| pair.split('=').next().unwrap_or(pair))
    }
}

/// What a path asks for many of: its last segment, or that which has the format suffix.
pub fn collection(path: &str) -> &str {
    let stem = |segment: &'_ str| {
        [".json", ".xml"].iter().find_map(|suffix| segment.strip_suffix(suffix)).map(str::len)
    };
    let with_suffix = path.split('/').find_map(|segment| Some(&segment[..stem(segment)?]));
    with_suffix.or_else(|| path.rsplit('/').next()).unwrap_or(path)
}

/// The value of a pair of a query or form, if Rack puts it under this name: it decodes the name, and
/// takes brackets around it for none.
pub fn decoded_parameter(pair: &str, name: &str) -> Option<String> {
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    let plain = !key.contains(['%', '+', '[', ']']);
    let named = if plain {
        key == name
    } else {
        let decoded = percent::decode_form(key);
        decoded.trim_start_matches(['[', ']']).trim_end_matches(']') == name
    };
    named.then(|| percent::decode_form(value))
}

/// The segments of a path; the suffix is cut out of the one that it ends.
fn segments(path: &str, suffix: Option<Suffix>) -> impl Iterator<Item = &str> {
    let mut next = Some(1);
    std::iter::from_fn(move || {
        let start = next?;
        // They are short: a plain loop has found the end before a search has set out.
        let length = path.get(start..)?.bytes().take_while(|byte| *byte != b'/').count();
        let end = start + length;
        next = (end < path.len()).then_some(end + 1);
        let end =
            suffix.map(|suffix| suffix.at).filter(|at| (start..end).contains(at)).unwrap_or(end);
        Some(&path[start..end])
    })
}

/// Rules 2 and 3 for the query, and what Rack versions read differently.
fn check_query(query: &str) -> Result<(), TargetError> {
    if query.contains(';') {
        return Err(TargetError::Semicolon);
    }
    if query.contains('%') {
        percent::check(query.as_bytes())?;
    }
    let formats = query.split('&').filter_map(|pair| decoded_parameter(pair, "format"));
    if formats.count() > 1 { Err(TargetError::RepeatedFormat) } else { Ok(()) }
}

/// Whether [`rewrite`] would change nothing: the common case, which costs one look at each byte.
fn is_canonical(given: &PathAndQuery) -> bool {
    let path = given.path().as_bytes();
    let mut behind_slash = false;
    for byte in path {
        let slash = *byte == b'/';
        // A dot behind a slash may begin a dot segment, and a slash an empty one.
        if behind_slash && (slash || *byte == b'.') || !(slash || stands_as_it_is(*byte)) {
            return false;
        }
        behind_slash = slash;
    }
    (path.len() == 1 || !behind_slash) && given.query() != Some("")
}

/// Rules 1 and 2.
fn rewrite(given: &PathAndQuery) -> Result<PathAndQuery, TargetError> {
    let mut out = String::with_capacity(given.as_str().len());
    for segment in given.path().split('/').filter(|s| !s.is_empty()) {
        out.push('/');
        push_segment(&mut out, segment.as_bytes())?;
    }
    if out.is_empty() {
        out.push('/');
    }
    if let Some(query) = given.query().filter(|q| !q.is_empty()) {
        out.push('?');
        out.push_str(query);
    }
    out.parse().map_err(|_| TargetError::NotAPath)
}

fn push_segment(out: &mut String, segment: &[u8]) -> Result<(), TargetError> {
    let decoded = percent::decode(segment)?;
    if std::str::from_utf8(&decoded).is_err() {
        return Err(TargetError::Utf8);
    }
    if decoded == b"." || decoded == b".." {
        return Err(TargetError::DotSegment);
    }
    let mut rest = segment;
    while let Some((&first, tail)) = rest.split_first() {
        let (byte, encoded, tail) = match decode_pair(rest) {
            Some(byte) => (byte, true, &rest[3..]),
            None => (first, false, tail),
        };
        rest = tail;
        match byte {
            b'/' | b'\\' => return Err(TargetError::EncodedSlash),
            0..0x20 | 0x7f => return Err(TargetError::Control),
            b'.' if encoded => out.push_str("%2E"),
            _ if stands_as_it_is(byte) => out.push(char::from(byte)),
            _ => {
                out.push('%');
                out.push(hex(byte >> 4));
                out.push(hex(byte & 15));
            }
        }
    }
    Ok(())
}

/// Unreserved characters, and the delimiters that mean nothing in a path segment.
fn stands_as_it_is(byte: u8) -> bool {
    PLAIN[usize::from(byte)]
}

/// A table, because every byte of every path is looked up.
static PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let listed = b"-._~:@!$&'()*+,;=";
    let mut byte = 0;
    while byte < 256 {
        plain[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut i = 0;
    while i < listed.len() {
        plain[listed[i] as usize] = true;
        i += 1;
    }
    plain
};

fn find_suffix(path: &str) -> Result<Option<Suffix>, TargetError> {
    // One that is a whole segment is its name.
    let mut suffixes = suffixes(path).filter(|suffix| !path[..suffix.at].ends_with('/'));
    match (suffixes.next(), suffixes.next()) {
        (found, None) => Ok(found),
        (_, Some(_)) => Err(TargetError::TwoSuffixes),
    }
}

/// The format suffixes that a path's segments end in, also such as are a whole segment.
pub(super) fn suffixes(path: &str) -> impl Iterator<Item = Suffix> + '_ {
    memchr::memchr_iter(b'.', path.as_bytes()).filter_map(|at| {
        let ends_in = |word| {
            let behind = path[at + 1..].strip_prefix(word);
            behind.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if ends_in("json") {
            Some(Suffix { format: Format::Json, at })
        } else {
            ends_in("xml").then_some(Suffix { format: Format::Xml, at })
        }
    })
}

/// Percent-encoding, as far as it is needed here.
mod percent {
    use super::TargetError;

    /// The byte that `%XX` at the start stands for.
    pub(super) fn decode_pair(bytes: &[u8]) -> Option<u8> {
        match bytes {
            [b'%', high, low, ..] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        }
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Vec<u8>, TargetError> {
        let mut out = Vec::with_capacity(bytes.len());
        let mut rest = bytes;
        while let Some((&first, tail)) = rest.split_first() {
            if first == b'%' {
                out.push(decode_pair(rest).ok_or(TargetError::Encoding)?);
                rest = &rest[3..];
            } else {
                out.push(first);
                rest = tail;
            }
        }
        Ok(out)
    }

    /// As a form is decoded: `+` is a space, and what does not decode stays as it is.
    pub(super) fn decode_form(text: &str) -> String {
        let spaced = text.replace('+', " ");
        let bytes = decode(spaced.as_bytes()).unwrap_or_else(|_| spaced.clone().into_bytes());
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub(super) fn check(bytes: &[u8]) -> Result<(), TargetError> {
        let decoded = decode(bytes)?;
        if decoded.iter().any(|b| matches!(b, 0..0x20 | 0x7f)) {
            return Err(TargetError::Control);
        }
        std::str::from_utf8(&decoded).map(drop).map_err(|_| TargetError::Utf8)
    }

    pub(super) fn hex(nibble: u8) -> char {
        char::from_digit(u32::from(nibble), 16).map_or('0', |c| c.to_ascii_uppercase())
    }

    fn digit(byte: u8) -> Option<u8> {
        char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok())
    }
}

#[cfg(test)]
mod tests;
