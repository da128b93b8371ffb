//! Which format is answered, decided as Rails would, and never left to chance.
//!
//! | the client sends | answered |
//! |---|---|
//! | a suffix `.json` or `.xml` | that format, whatever Accept says |
//! | `?format=json` or `xml` | that format |
//! | `?format=` anything else | 406 |
//! | an Accept that names JSON or XML | the one it prefers |
//! | no Accept, `*/*`, `application/*` | the tenant's default format |
//! | an Accept that names neither | 406 |
//!
//! Rails answers HTML, or 406 with an empty body, where this table says "default": it is what the
//! upstream's clients get wrong most often, and no client wants the HTML.

use http::{HeaderMap, header::CONTENT_TYPE};

use crate::vocabulary::Format;

use super::target::Target;

/// What a refusal is written in; decided before anything is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorFormat {
    /// The upstream's own shape.
    Upstream(Format),
    /// RFC 9457 problem details, for those who accept them.
    Problem,
}

/// The client wants a format that the upstream does not speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("only JSON and XML can be answered; ask with .json, .xml or an Accept that names one")]
pub struct NotAcceptable;

/// What an Accept header says of the two formats.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wish {
    Prefers(Format),
    Anything,
    Other,
}

/// Decides by the table above.
pub fn negotiate(
    target: &Target,
    accept: Option<&str>,
    default: Format,
) -> Result<Format, NotAcceptable> {
    if let Some(suffix) = target.suffix() {
        return Ok(suffix.format);
    }
    match target.format_parameter().as_deref() {
        Some("json") => return Ok(Format::Json),
        Some("xml") => return Ok(Format::Xml),
        Some(_) => return Err(NotAcceptable),
        None => {}
    }
    match accept.map_or(Wish::Anything, wish) {
        Wish::Prefers(format) => Ok(format),
        Wish::Anything => Ok(default),
        Wish::Other => Err(NotAcceptable),
    }
}

/// The format of a refusal. Total: it looks at what was sent, valid or not.
pub fn error_format(path: &str, accept: Option<&str>) -> ErrorFormat {
    if accept.is_some_and(|a| a.contains("application/problem+json")) {
        return ErrorFormat::Problem;
    }
    let path = path.split('?').next().unwrap_or(path);
    let suffix = match memchr::memchr(b'.', path.as_bytes()) {
        Some(_) => path.split('/').find_map(|segment| segment.rsplit_once('.').map(|(_, s)| s)),
        None => None,
    };
    match suffix {
        Some("xml") => return ErrorFormat::Upstream(Format::Xml),
        Some("json") => return ErrorFormat::Upstream(Format::Json),
        _ => {}
    }
    match accept.map(wish) {
        Some(Wish::Prefers(format)) => ErrorFormat::Upstream(format),
        Some(Wish::Anything | Wish::Other) | None => ErrorFormat::Upstream(Format::Json),
    }
}

/// The format that a reply says it has.
pub fn of_reply(headers: &HeaderMap) -> Option<Format> {
    of_media_type(headers.get(CONTENT_TYPE)?.to_str().ok()?)
}

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
    let essence = value.split(';').next().unwrap_or(value).trim();
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

fn is_wildcard(range: &str) -> bool {
    let essence = range.split(';').next().unwrap_or(range).trim();
    matches!(essence, "*/*" | "application/*" | "*")
}

fn quality(range: &str) -> f32 {
    let parameters = range.split(';').skip(1).map(str::trim);
    let q = parameters.filter_map(|p| p.strip_prefix("q=").or_else(|| p.strip_prefix("Q="))).next();
    q.map_or(1.0, |q| q.trim().parse().unwrap_or(0.0))
}

#[cfg(test)]
mod tests {
    use http::{Version, header::HOST};

    use super::*;

    #[test]
    fn what_may_be_text_is_searched() {
        let search = |value: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert(CONTENT_TYPE, value.parse().expect("a header value"));
            }
            to_search(&headers, Some(Format::Xml))
        };
        let (json, xml) = (Some(Format::Json), Some(Format::Xml));
        assert_eq!(search(Some("application/hal+json; charset=utf-8")), json);
        assert_eq!(search(Some("application/problem+json")), json);
        assert_eq!(search(Some("Text/HTML")), xml);
        assert_eq!(search(Some("application/atom+xml")), xml);
        assert_eq!(search(Some("application/unheard-of")), xml);
        assert_eq!(search(None), xml);
        assert_eq!(search(Some("image/png")), None);
        assert_eq!(search(Some("application/octet-stream")), None);
    }

    fn check(target: &str, accept: Option<&str>, expected: Option<Format>) {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, "a".parse().expect("a header value"));
        let uri = target.parse().expect("a target");
        let canonical = Target::canonicalize(&uri, &headers, Version::HTTP_11, 1000);
        let got = negotiate(&canonical.expect("a target"), accept, Format::Json).ok();
        assert_eq!(got, expected, "{target} {accept:?}");
    }

    #[test]
    fn the_published_table() {
        let (json, xml) = (Some(Format::Json), Some(Format::Xml));
        check("/vms.xml", Some("application/json"), xml);
        check("/vms.json?format=xml", Some("text/html"), json);
        check("/t.xml/page/2", None, xml);
        check("/vms?format=xml", Some("application/json"), xml);
        check("/vms?format=csv", Some("application/json"), None);
        check("/vms", Some("application/json"), json);
        check("/vms", Some("application/xml"), xml);
        check("/vms", Some("text/xml; charset=utf-8"), xml);
        check("/vms", Some("application/json;q=0.5, application/xml"), xml);
        check("/vms", Some("application/xml, application/json"), xml);
        check("/vms", Some("application/json, text/plain, */*"), json);
        check("/vms", None, json);
        check("/vms", Some("*/*"), json);
        check("/vms", Some("application/*"), json);
        check("/vms", Some(""), json);
        check("/vms", Some("text/html,application/xml;q=0.9,*/*;q=0.8"), json);
        check("/vms", Some("text/html"), None);
        check("/vms", Some("application/xml;q=0"), None);
    }

    #[test]
    fn a_refusal_has_a_format_whatever_was_sent() {
        let json = ErrorFormat::Upstream(Format::Json);
        let xml = ErrorFormat::Upstream(Format::Xml);
        assert_eq!(error_format("/vms.xml?x=.json", None), xml);
        assert_eq!(error_format("/t.xml/page/1", Some("application/json")), xml);
        assert_eq!(error_format("/%zz", Some("application/xml")), xml);
        assert_eq!(error_format("", Some("text/html")), json);
        assert_eq!(
            error_format("/vms.xml", Some("application/problem+json")),
            ErrorFormat::Problem
        );
    }
}
