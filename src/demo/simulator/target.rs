//! What Rails makes of a request target: its segments, its suffix and its ids.

use std::borrow::Cow;

/// A path as the router sees it, however it was spelled.
#[derive(Debug, PartialEq)]
pub(crate) struct Target {
    /// Decoded, without the suffix.
    pub(crate) segments: Vec<String>,
    /// What stands after the last point, as it was sent.
    pub(crate) suffix: Option<String>,
    /// Pairs that follow a suffix in the middle: `/transactions.json/page/2`.
    pub(crate) paging: Vec<(String, String)>,
    /// What stands after the first `?`.
    pub(crate) query: String,
}

/// The path does not decode to UTF-8.
#[derive(Debug, PartialEq)]
pub(crate) struct Undecodable;

impl Target {
    /// Reads a raw target: doubled and trailing slashes mean nothing, and `%2e` is no suffix.
    pub(crate) fn parse(raw: &str) -> Result<Self, Undecodable> {
        let (path, query) = raw.split_once('?').unwrap_or((raw, ""));
        let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let paging = take_paging(&mut parts)?;
        let mut suffix = None;
        if let Some(last) = parts.last_mut()
            && let Some((stem, extension)) = split_suffix(last)
        {
            suffix = Some(extension.to_owned());
            *last = stem;
        }
        let segments = parts.into_iter().map(decode).collect::<Result<_, _>>()?;
        Ok(Self { segments, suffix, paging, query: query.to_owned() })
    }
}

/// The integer that Ruby's `to_i` finds: leading white space, a sign, digits, whatever follows.
pub(crate) fn to_i(text: &str) -> i64 {
    let text = text.trim_start_matches([' ', '\t', '\n', '\u{b}', '\u{c}', '\r']);
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let mut number: i64 = 0;
    let mut after_digit = false;
    for byte in digits.bytes() {
        match byte {
            b'0'..=b'9' => {
                number = number.saturating_mul(10).saturating_add(i64::from(byte - b'0'));
                after_digit = true;
            }
            b'_' if after_digit => after_digit = false,
            _ => break,
        }
    }
    if negative { -number } else { number }
}

/// Percent-decoding; with `plus`, as in forms, `+` is a space. Broken escapes stay as they are.
pub(crate) fn unescape(text: &str, plus: bool) -> Cow<'_, [u8]> {
    if !text.bytes().any(|b| b == b'%' || (plus && b == b'+')) {
        return Cow::Borrowed(text.as_bytes());
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = (byte == b'%').then(|| hex_pair(bytes.get(at + 1..at + 3)?)).flatten();
        out.push(match escaped {
            Some(value) => value,
            None if plus && byte == b'+' => b' ',
            None => byte,
        });
        at += if escaped.is_some() { 3 } else { 1 };
    }
    Cow::Owned(out)
}

fn hex_pair(pair: &[u8]) -> Option<u8> {
    let digit = |b: u8| (b as char).to_digit(16);
    u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()
}

fn decode(part: &str) -> Result<String, Undecodable> {
    String::from_utf8(unescape(part, false).into_owned()).map_err(|_| Undecodable)
}

fn split_suffix(part: &str) -> Option<(&str, &str)> {
    part.rsplit_once('.').filter(|(stem, extension)| !stem.is_empty() && !extension.is_empty())
}

/// Takes `page/2` and `per_page/20` off the end if the segment before them has a suffix.
fn take_paging(parts: &mut Vec<&str>) -> Result<Vec<(String, String)>, Undecodable> {
    let mut start = parts.len();
    while start >= 3 && matches!(parts[start - 2], "page" | "per_page") {
        start -= 2;
    }
    if start == parts.len() || split_suffix(parts[start - 1]).is_none() {
        return Ok(Vec::new());
    }
    let tail = parts.split_off(start);
    tail.chunks(2).map(|pair| Ok((pair[0].to_owned(), decode(pair[1])?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(raw: &str) -> (String, Option<String>) {
        let target = Target::parse(raw).expect("a target");
        (target.segments.join("/"), target.suffix)
    }

    #[test]
    fn aliases_are_one_target() {
        let plain = ("virtual_machines/1".to_owned(), Some("json".to_owned()));
        for alias in [
            "/virtual_machines/1.json",
            "//virtual_machines/1.json",
            "/virtual_machines/1.json/",
            "/virtual_machines/%31.json?",
            "/%76irtual_machines//1.json",
        ] {
            assert_eq!(spelled(alias), plain, "{alias}");
        }
    }

    #[test]
    fn only_a_raw_point_makes_a_suffix() {
        assert_eq!(spelled("/virtual_machines/1%2ejson"), ("virtual_machines/1.json".into(), None));
        assert_eq!(spelled("/a/1.JSON"), ("a/1".into(), Some("JSON".into())));
        assert_eq!(spelled("/a.b/c"), ("a.b/c".into(), None));
    }

    #[test]
    fn paging_may_follow_the_suffix() {
        let target = Target::parse("/transactions.xml/page/2/per_page/20?a=1").expect("a target");
        assert_eq!(target.segments, ["transactions"]);
        assert_eq!(target.suffix.as_deref(), Some("xml"));
        let pairs = [("page".into(), "2".into()), ("per_page".into(), "20".into())];
        assert_eq!(target.paging, pairs);
        assert_eq!(target.query, "a=1");
    }

    #[test]
    fn ids_are_read_as_ruby_reads_them() {
        for id in ["1", "01", "1-foo", "1abc", "+1", " 1", "1;x", "1.5", "1__0"] {
            assert_eq!(to_i(id), 1, "{id}");
        }
        assert_eq!(to_i("1_0"), 10);
        assert_eq!(to_i("x1"), 0);
        assert_eq!(to_i("-3"), -3);
    }

    #[test]
    fn what_is_no_utf_8_is_refused() {
        assert_eq!(Target::parse("/a/%ff.json"), Err(Undecodable));
        assert_eq!(spelled("/a/%zz"), ("a/%zz".into(), None));
    }
}
