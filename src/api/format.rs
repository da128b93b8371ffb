//! Which format is answered, decided as Rails would, and never left to chance.
//!
//! The first line that applies decides:
//!
//! | the client sends | answered |
//! |---|---|
//! | a suffix `.json` or `.xml`, wherever it stands | that format |
//! | `?format=json` or `?format=xml` | that format |
//! | `?format=` anything else | 406 |
//! | an Accept that names JSON or XML | the one with the greater weight, of equals the first |
//! | no Accept, an empty one, `*/*`, `application/*` | the tenant's default format, unless it has `q=0` |
//! | a browser's Accept: `text/html`, and `*/*` among others | the tenant's default format |
//! | an Accept that names neither | 406 |
//!
//! Then, whatever decided:
//!
//! | | lenient | strict |
//! |---|---|---|
//! | the upstream has it in another format alone, and nothing is converted | 406 | 406 |
//! | the suffix and `?format=` do not agree | the suffix | 406 |
//! | the Accept excludes what suffix or `?format=` name | as if there were none | 406 |
//! | a body with a Content-Type that is neither JSON, XML nor a form | passed on | 415 |
//!
//! A Content-Type says what the body is, and nothing of the answer. Rails answers HTML, or 406 with an
//! empty body, where this table says "default": it is what the upstream's clients get wrong most
//! often, and no client wants the HTML. A refusal names the choices.

use http::{
    HeaderMap,
    header::{ACCEPT, CONTENT_TYPE},
};

use crate::{fields, vocabulary::Format};

use super::target::{Target, suffixes};

/// What a refusal is written in; decided before anything is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorFormat {
    /// The upstream's own shape.
    Upstream(Format),
    /// RFC 9457 problem details, for those who accept them.
    Problem(Format),
}

/// What a request says of formats.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes<'a> {
    /// The suffix of its path.
    pub suffix: Option<Format>,
    /// The value of `?format=`.
    pub parameter: Option<String>,
    /// Its Accept.
    pub accept: Option<&'a str>,
    /// The Content-Type of its body; none without a body.
    pub content_type: Option<&'a str>,
}

/// What can be answered, and how wishes are taken that contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The one format that there is; none where there are both.
    pub only: Option<Format>,
    /// What is answered to those who do not say.
    pub default: Format,
    /// A contradiction is refused.
    pub strict: bool,
}

/// Why a request's wishes cannot be met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unacceptable {
    /// No format that there is, is wished for.
    #[error("{}", choices(*.0))]
    NotAcceptable(Option<Format>),
    /// What says the format says two things.
    #[error(
        "the suffix, ?format= and Accept do not agree on a format; name one of JSON and XML, or \
         leave all but one away"
    )]
    Contradiction,
    /// A body of no kind that the upstream reads.
    #[error(
        "the body has to be application/json, application/xml, application/x-www-form-urlencoded \
         or multipart/form-data, and its Content-Type has to say so"
    )]
    UnsupportedMediaType,
}

/// What an Accept header says of the two formats.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wish {
    Prefers(Format),
    Anything,
    Other,
}

impl<'a> Wishes<'a> {
    /// Those of a request.
    pub fn of(target: &Target, headers: &'a HeaderMap, has_body: bool) -> Self {
        let text = |name| fields::first(headers, name).and_then(|value| value.to_str().ok());
        Self {
            suffix: target.suffix().map(|suffix| suffix.format),
            parameter: target.format_parameter(),
            accept: text(ACCEPT),
            content_type: if has_body { text(CONTENT_TYPE) } else { None },
        }
    }
}

/// Decides by the tables above.
pub fn negotiate(wishes: &Wishes<'_>, terms: Terms) -> Result<Format, Unacceptable> {
    let none = Unacceptable::NotAcceptable(terms.only);
    let parameter = match wishes.parameter.as_deref() {
        Some("json") => Some(Format::Json),
        Some("xml") => Some(Format::Xml),
        // A suffix is enough for Rails, and what stands behind it is not looked at.
        Some(_) if terms.strict || wishes.suffix.is_none() => return Err(none),
        Some(_) | None => None,
    };
    let format = match (wishes.suffix.or(parameter), wishes.accept) {
        (Some(named), _) => named,
        (None, None) => terms.default,
        (None, Some(accept)) => match wish(accept) {
            Wish::Prefers(format) => format,
            Wish::Anything if permits(accept, terms.default) => terms.default,
            Wish::Anything => terms.default.other(),
            Wish::Other => return Err(none),
        },
    };
    if terms.only.is_some_and(|only| only != format) {
        return Err(none);
    }
    if terms.strict {
        let agree = parameter.is_none_or(|parameter| parameter == format);
        if !agree || !wishes.accept.is_none_or(|accept| permits(accept, format)) {
            return Err(Unacceptable::Contradiction);
        }
        if !wishes.content_type.is_none_or(is_read_upstream) {
            return Err(Unacceptable::UnsupportedMediaType);
        }
    }
    Ok(format)
}

/// The format of a refusal, by the same tables. Total: it looks at what was sent, valid or not.
pub fn error_format(path: &str, query: Option<&str>, accept: Option<&str>) -> ErrorFormat {
    if let Some(format) = accept.and_then(problem) {
        return ErrorFormat::Problem(format);
    }
    let suffix = suffixes(path).next().map(|suffix| suffix.format);
    let parameter = || {
        let mut pairs = query.unwrap_or_default().split('&');
        pairs.find_map(|pair| pair.strip_prefix("format="))
    };
    let named = |name: &str| match name {
        "xml" => Some(Format::Xml),
        "json" => Some(Format::Json),
        _ => None,
    };
    let named = suffix.or_else(|| parameter().and_then(named));
    ErrorFormat::Upstream(named.unwrap_or_else(|| match accept.map(wish) {
        Some(Wish::Prefers(format)) => format,
        Some(Wish::Anything | Wish::Other) | None => Format::Json,
    }))
}

/// The format of problem details that an Accept names, if it names any.
fn problem(accept: &str) -> Option<Format> {
    let mut best: Option<(f32, Format)> = None;
    for range in accept.split(',').map(str::trim) {
        let format = match essence(range) {
            "application/problem+json" => Format::Json,
            "application/problem+xml" => Format::Xml,
            _ => continue,
        };
        let quality = quality(range);
        if quality > best.map_or(0.0, |(quality, _)| quality) {
            best = Some((quality, format));
        }
    }
    best.map(|(_, format)| format)
}

fn choices(only: Option<Format>) -> &'static str {
    match only {
        None => {
            "only JSON and XML can be answered; ask with .json, .xml or an Accept that names one"
        }
        Some(Format::Json) => "only JSON can be answered here; ask with .json",
        Some(Format::Xml) => "only XML can be answered here; ask with .xml",
    }
}

/// The format that a reply says it has.
pub fn of_reply(headers: &HeaderMap) -> Option<Format> {
    of_media_type(headers.get(CONTENT_TYPE)?.to_str().ok()?)
}

/// Whether a reply is text of no format that has fields: a page or a table, whatever opens it.
///
/// What holds no text is none: an image, an archive, or bytes of which nothing is said
/// (`application/octet-stream`). Such a download is handed on whole, and only the upstream's own keys are
/// looked for in it.
pub fn is_page(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).map(|value| value.as_bytes().to_ascii_lowercase());
    let essence = value.unwrap_or_default();
    let essence = essence.split(|byte| *byte == b';').next().unwrap_or_default();
    let text = std::str::from_utf8(essence).unwrap_or_default().trim();
    let names = |words: &[&str]| words.iter().any(|word| text.contains(word));
    names(&WITHOUT_FIELDS) || (text.starts_with("text/") && !names(&["json", "javascript", "xml"]))
}

/// Words in the media types of pages and tables, of which some name XML besides.
const WITHOUT_FIELDS: [&str; 5] = ["html", "csv", "excel", "spreadsheet", "yaml"];

/// The format by whose rules a reply is searched; none for what is no text. What does not say what
/// it is, or says something unheard of, is searched as what was asked for.
pub fn to_search(headers: &HeaderMap, asked: Option<Format>) -> Option<Format> {
    let asked = asked.unwrap_or(Format::Json);
    let Some(value) = headers.get(CONTENT_TYPE) else { return Some(asked) };
    let value = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
    let essence = value.split(';').next().unwrap_or_default().trim();
    let binary =
        ["image/", "audio/", "video/", "font/"].iter().any(|kind| essence.starts_with(kind))
            || BINARY.contains(&essence);
    if binary {
        None
    } else if essence.contains("json") || essence.contains("javascript") {
        Some(Format::Json)
    } else if essence.contains("xml") || essence.starts_with("text/") {
        Some(Format::Xml)
    } else {
        Some(asked)
    }
}

/// Media types of applications that hold no text.
const BINARY: [&str; 6] = [
    "application/octet-stream",
    "application/pdf",
    "application/zip",
    "application/gzip",
    "application/x-gzip",
    "application/x-tar",
];

/// The format of a media type, whatever its parameters.
pub fn of_media_type(value: &str) -> Option<Format> {
    let essence = essence(value);
    let is = |name: &str| essence.eq_ignore_ascii_case(name);
    if is("application/json") || is("text/x-json") || is("application/jsonrequest") {
        Some(Format::Json)
    } else if is("application/xml") || is("text/xml") || is("application/x-xml") {
        Some(Format::Xml)
    } else {
        None
    }
}

fn wish(accept: &str) -> Wish {
    let mut best: Option<(f32, Format)> = None;
    let mut anything = false;
    for range in accept.split(',').map(str::trim).filter(|r| !r.is_empty()) {
        let quality = quality(range);
        if quality <= 0.0 {
            continue;
        }
        match of_media_type(range) {
            Some(format) if best.is_none_or(|(q, _)| quality > q) => best = Some((quality, format)),
            Some(_) => {}
            None => anything |= is_wildcard(range),
        }
    }
    // As Rails: an Accept with `*/*` among others comes from a browser and says nothing, except
    // that a lone list of our own formats with a wildcard behind it still prefers its first.
    match best {
        Some((_, format)) if !(anything && accept.contains("text/html")) => Wish::Prefers(format),
        _ if anything || accept.trim().is_empty() => Wish::Anything,
        _ => Wish::Other,
    }
}

/// Whether an Accept allows a format: it names it, or nothing that excludes it.
fn permits(accept: &str, format: Format) -> bool {
    let ranges = || accept.split(',').map(str::trim).filter(|range| !range.is_empty());
    let named = ranges().filter(|range| of_media_type(range) == Some(format));
    let named =
        named.map(quality).fold(None, |best: Option<f32>, q| Some(best.map_or(q, |b| b.max(q))));
    match named {
        Some(quality) => quality > 0.0,
        None => ranges().next().is_none() || ranges().any(|r| is_wildcard(r) && quality(r) > 0.0),
    }
}

/// Whether a body of this type is one that Rails reads parameters from.
fn is_read_upstream(content_type: &str) -> bool {
    let essence = essence(content_type);
    let forms = ["application/x-www-form-urlencoded", "multipart/form-data"];
    of_media_type(content_type).is_some()
        || forms.iter().any(|form| essence.eq_ignore_ascii_case(form))
}

/// A media type without its parameters.
fn essence(value: &str) -> &str {
    value.split(';').next().unwrap_or(value).trim()
}

fn is_wildcard(range: &str) -> bool {
    matches!(essence(range), "*/*" | "application/*" | "*")
}

fn quality(range: &str) -> f32 {
    let parameters = range.split(';').skip(1).map(str::trim);
    let q = parameters.filter_map(|p| p.strip_prefix("q=").or_else(|| p.strip_prefix("Q="))).next();
    let weight = |q: &str| q.trim().parse().ok().filter(|q| (0.0..=1.0).contains(q));
    q.map_or(1.0, |q| weight(q).unwrap_or(0.0))
}

#[cfg(test)]
mod tests;
