//! How a secret may be spelled in a reply: as it is, in base64, and below the escapes of URLs, of
//! JSON and of XML over either.
//!
//! An encoder writes a character in the same way each time. So each table lists what encoders are
//! known to do, and every row of it, with upper and lower digits, is a spelling. Most are the same
//! for most secrets: for one of letters and digits, only base64 is another one. Control characters,
//! which no secret of an upstream contains, are taken as they are.
//!
//! What is built on the way is wiped, and has its final size from the start, since a buffer that
//! grows leaves copies behind.

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD},
};
use zeroize::Zeroizing;

use super::{SHORTEST, Secret};

/// A spelling, wiped when it is dropped.
pub(super) type Spelling = Zeroizing<String>;

/// The digits of a hexadecimal number.
type Digits = &'static [u8; 16];

/// How a character of XML is written by its code.
#[derive(Clone, Copy)]
enum Reference {
    Decimal,
    Hexadecimal(Digits),
}

/// How an encoder of JSON writes what it may write in several ways.
struct Json {
    /// ASCII that is written by its code.
    by_code: &'static str,
    slash: &'static str,
    digits: Digits,
    /// The digits of what is not ASCII, if that is written by its code.
    wide: Option<Digits>,
}

const LOWER: Digits = b"0123456789abcdef";

const UPPER: Digits = b"0123456789ABCDEF";

/// No escape has more bytes for each byte that it stands for.
const LONGEST_ESCAPE: usize = "\\u0026".len();

/// What is left as it is in a URL, besides letters and digits, and how a space is written.
const URL: [(&str, &str); 8] = [
    ("", "%20"),                     // the percent-encoding crate, where all is escaped
    ("-._~", "%20"),                 // RFC 3986
    ("-._~", "+"),                   // Ruby's CGI.escape, Python's quote_plus
    ("-._", "+"),                    // CGI.escape of old
    ("*-._", "+"),                   // HTML forms
    ("-._~!'()*", "%20"),            // encodeURIComponent
    ("-._~/", "%20"),                // a path, Python's quote
    ("-._~!'()*/;:@&=+$,?#", "%20"), // encodeURI
];

/// ASCII that JSON may contain as it is, and that is written by its code nonetheless.
const JSON_BY_CODE: [&str; 6] = [
    "",         // what need not be is not
    "<>&",      // Rails, Go
    "<>&'",     // for scripts in an attribute
    "<>&='",    // Gson
    "<>&'\"",   // PHP, if told so
    "<>&'\"+`", // .NET
];

/// How `>`, `"`, `'` and `/` are written where `&` and `<` have their names.
const XML_BY_NAME: [[&str; 4]; 10] = [
    [">", "\"", "'", "/"],                  // what need not be is not
    ["&gt;", "\"", "'", "/"],               // Builder, in text
    [">", "&quot;", "'", "/"],              // canonical XML, in attributes
    ["&gt;", "&quot;", "'", "/"],           // Builder, in attributes
    ["&gt;", "&quot;", "&apos;", "/"],      // REXML
    ["&gt;", "&quot;", "&#39;", "/"],       // Rails, CGI.escapeHTML
    ["&gt;", "&quot;", "&#x27;", "/"],      // Rails 3
    ["&gt;", "&quot;", "&#039;", "/"],      // PHP
    ["&gt;", "&#34;", "&#39;", "/"],        // Go
    ["&gt;", "&quot;", "&#x27;", "&#x2F;"], // Rack
];

/// What is written by its code where not even `&` has its name.
const XML_BY_CODE: [&str; 3] = ["&<>", "&<>\"", "&<>\"'"];

const REFERENCES: [Reference; 3] =
    [Reference::Decimal, Reference::Hexadecimal(LOWER), Reference::Hexadecimal(UPPER)];

/// Every spelling of every secret that is long enough: each once, the shorter ones first.
pub(super) fn all<'a>(secrets: impl IntoIterator<Item = Secret<'a>>) -> Vec<Spelling> {
    let mut all = Vec::new();
    for secret in secrets {
        if secret.secret.len() >= SHORTEST {
            let mut own = of(secret);
            tidy(&mut own);
            all.append(&mut own);
        }
    }
    tidy(&mut all);
    all
}

fn of(Secret { login, secret }: Secret<'_>) -> Vec<Spelling> {
    let mut plain = vec![Zeroizing::new(secret.to_owned())];
    encode(secret, &mut plain);
    if !login.is_empty() {
        let pair = Zeroizing::new([login, ":", secret].concat());
        encode(&pair, &mut plain);
    }
    let mut all = Vec::new();
    for text in &plain {
        // Nothing escapes letters and digits, and few encoders escape these three.
        if !text.bytes().all(|b| b.is_ascii_alphanumeric()) {
            escape_for_urls(text, &mut all);
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) {
            escape_for_json(text, &mut all);
            escape_for_xml(text, &mut all);
        }
    }
    all.append(&mut plain);
    all
}

/// Sorts, and leaves each out that is there already.
fn tidy(all: &mut Vec<Spelling>) {
    all.sort_unstable_by(|a, b| (a.len(), a.as_str()).cmp(&(b.len(), b.as_str())));
    all.dedup_by(|a, b| a.as_str() == b.as_str());
}

/// The base64 of a text wherever it stands in what is encoded: the characters that depend on
/// nothing else. For eight bytes these are nine at least.
fn encode(text: &str, all: &mut Vec<Spelling>) {
    for before in 0..3_usize {
        let bytes = Zeroizing::new([&[0; 2][..before], text.as_bytes()].concat());
        let whole = (before * 8).div_ceil(6)..bytes.len() * 8 / 6;
        for engine in [&BASE64_STANDARD_NO_PAD, &BASE64_URL_SAFE_NO_PAD] {
            let encoded = Zeroizing::new(engine.encode(&*bytes));
            all.push(Zeroizing::new(encoded[whole.clone()].to_owned()));
        }
    }
}

fn escape_for_urls(text: &str, all: &mut Vec<Spelling>) {
    for (kept, space) in URL {
        for digits in [LOWER, UPPER] {
            all.push(rewritten(text, |c, out| match c {
                ' ' => out.push_str(space),
                c if c.is_ascii_alphanumeric() || kept.contains(c) => out.push(c),
                c => {
                    for &byte in c.encode_utf8(&mut [0; 4]).as_bytes() {
                        out.push('%');
                        push_hexadecimal(out, digits, u32::from(byte), 2);
                    }
                }
            }));
        }
    }
}

fn escape_for_json(text: &str, all: &mut Vec<Spelling>) {
    for by_code in JSON_BY_CODE {
        for slash in ["/", "\\/"] {
            for digits in [LOWER, UPPER] {
                for wide in [None, Some(LOWER), Some(UPPER)] {
                    let json = Json { by_code, slash, digits, wide };
                    all.push(rewritten(text, |c, out| json.push(c, out)));
                }
            }
        }
    }
}

fn escape_for_xml(text: &str, all: &mut Vec<Spelling>) {
    // What is not ASCII stands as it is, or by its code, whatever is done with the rest.
    for wide in [None].into_iter().chain(REFERENCES.map(Some)) {
        let push_other = |c: char, out: &mut String| match wide {
            Some(reference) if !c.is_ascii() => reference.push(c, out),
            _ => out.push(c),
        };
        for [greater, quote, apostrophe, slash] in XML_BY_NAME {
            all.push(rewritten(text, |c, out| match c {
                '&' => out.push_str("&amp;"),
                '<' => out.push_str("&lt;"),
                '>' => out.push_str(greater),
                '"' => out.push_str(quote),
                '\'' => out.push_str(apostrophe),
                '/' => out.push_str(slash),
                c => push_other(c, out),
            }));
        }
        for by_code in XML_BY_CODE {
            for reference in REFERENCES {
                all.push(rewritten(text, |c, out| {
                    if by_code.contains(c) {
                        reference.push(c, out);
                    } else {
                        push_other(c, out);
                    }
                }));
            }
        }
    }
}

impl Json {
    fn push(&self, c: char, out: &mut String) {
        match (c, self.wide) {
            (c, _) if self.by_code.contains(c) => push_unit(out, self.digits, u32::from(c)),
            ('"', _) => out.push_str("\\\""),
            ('\\', _) => out.push_str("\\\\"),
            ('/', _) => out.push_str(self.slash),
            (c, Some(digits)) if !c.is_ascii() => {
                for &mut unit in c.encode_utf16(&mut [0; 2]) {
                    push_unit(out, digits, u32::from(unit));
                }
            }
            (c, _) => out.push(c),
        }
    }
}

impl Reference {
    fn push(self, c: char, out: &mut String) {
        let code = u32::from(c);
        match self {
            Self::Decimal => {
                out.push_str("&#");
                out.push_str(&code.to_string());
            }
            Self::Hexadecimal(digits) => {
                out.push_str("&#x");
                push_hexadecimal(out, digits, code, (u32::BITS - code.leading_zeros()).div_ceil(4));
            }
        }
        out.push(';');
    }
}

fn rewritten(text: &str, write: impl Fn(char, &mut String)) -> Spelling {
    let mut out = Zeroizing::new(String::with_capacity(text.len() * LONGEST_ESCAPE));
    for c in text.chars() {
        write(c, &mut out);
    }
    out
}

/// One unit of UTF-16, as JSON writes it.
fn push_unit(out: &mut String, digits: Digits, unit: u32) {
    out.push_str("\\u");
    push_hexadecimal(out, digits, unit, 4);
}

fn push_hexadecimal(out: &mut String, digits: Digits, number: u32, places: u32) {
    for place in (0..places).rev() {
        out.push(char::from(digits[((number >> (4 * place)) & 0xF) as usize]));
    }
}

#[cfg(test)]
mod tests;
