//! The table of negotiation, row by row.

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

#[test]
fn a_page_is_what_has_no_fields() {
    let page = |value: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, value.parse().expect("a header value"));
        is_page(&headers)
    };
    for kind in [
        "text/html; charset=utf-8",
        "Text/CSV",
        "text/plain",
        "application/xhtml+xml",
        "application/csv",
        "Application/X-CSV; header=present",
        "application/vnd.ms-excel",
        "application/x-msexcel",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "application/vnd.oasis.opendocument.spreadsheet",
        "application/x-yaml",
    ] {
        assert!(page(kind), "{kind}");
    }
    for kind in [
        "application/json",
        "text/javascript",
        "text/xml; charset=utf-8",
        "application/atom+xml",
        "application/octet-stream",
        "image/png",
        "application/zip",
    ] {
        assert!(!page(kind), "{kind}");
    }
    assert!(!is_page(&HeaderMap::new()), "nothing is said of what is not there");
}

/// Every combination of what may be said: suffix, `?format=`, Accept; and what is answered, in a
/// lenient and in a strict way.
const TABLE: &str = include_str!("table.txt");

fn word(answer: Result<Format, Unacceptable>) -> &'static str {
    match answer {
        Ok(Format::Json) => "json",
        Ok(Format::Xml) => "xml",
        Err(Unacceptable::UnsupportedMediaType) => "415",
        Err(_) => "406",
    }
}

fn named(name: &str) -> Option<Format> {
    match name {
        "json" => Some(Format::Json),
        "xml" => Some(Format::Xml),
        _ => None,
    }
}

#[test]
fn the_published_table() {
    let rows = TABLE.lines().filter(|line| !line.starts_with('#'));
    let mut count = 0;
    for row in rows {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let [suffix, parameter, accept, lenient, strict] = cells[..] else { panic!("{row}") };
        let wishes = Wishes {
            suffix: named(suffix),
            parameter: (parameter != "-").then(|| parameter.to_owned()),
            accept: match accept {
                "-" => None,
                "(empty)" => Some(""),
                accept => Some(accept),
            },
            content_type: None,
        };
        for default in [Format::Json, Format::Xml] {
            for only in [None, Some(Format::Json), Some(Format::Xml)] {
                for (expected, is_strict) in [(lenient, false), (strict, true)] {
                    let terms = Terms { only, default, strict: is_strict };
                    let expected = match expected {
                        "default" if default == Format::Json => "json",
                        "default" => "xml",
                        expected => expected,
                    };
                    let missing = only.is_some_and(|only| named(expected) != Some(only));
                    let expected = if missing { "406" } else { expected };
                    let got = word(negotiate(&wishes, terms));
                    assert_eq!(got, expected, "{row} {terms:?}");
                    count += 1;
                }
            }
        }
    }
    assert_eq!(count, 3 * 4 * 14 * 12);
}

#[test]
fn a_body_of_another_kind_is_refused_where_that_is_wished() {
    let answer = |content_type, strict| {
        let wishes = Wishes { content_type: Some(content_type), ..Wishes::default() };
        word(negotiate(&wishes, Terms { only: None, default: Format::Json, strict }))
    };
    for good in [
        "application/json",
        "text/xml; charset=utf-8",
        "application/x-www-form-urlencoded",
        "Multipart/Form-Data; boundary=x",
    ] {
        assert_eq!((answer(good, false), answer(good, true)), ("json", "json"), "{good}");
    }
    for other in ["text/plain", "application/yaml", ""] {
        assert_eq!((answer(other, false), answer(other, true)), ("json", "415"), "{other}");
    }
}

#[test]
fn a_refusal_names_the_choices() {
    let wishes = Wishes { accept: Some("text/html"), ..Wishes::default() };
    let said = |only| {
        let terms = Terms { only, default: Format::Json, strict: false };
        negotiate(&wishes, terms).expect_err("no HTML").to_string()
    };
    assert!(said(None).contains("JSON and XML"));
    assert!(said(Some(Format::Xml)).contains("only XML"));
    assert!(Unacceptable::UnsupportedMediaType.to_string().contains("application/json"));
}

#[test]
fn wishes_are_those_of_the_request() {
    let mut headers = HeaderMap::new();
    headers.insert(HOST, "a".parse().expect("a header value"));
    headers.insert(ACCEPT, "text/xml".parse().expect("a header value"));
    headers.insert(CONTENT_TYPE, "text/plain".parse().expect("a header value"));
    let uri = "/t.xml/page/2?format=json".parse().expect("a target");
    let target = Target::canonicalize(uri, &headers, Version::HTTP_11, 1000).expect("a target");
    let wishes = Wishes::of(&target, &headers, true);
    assert_eq!((wishes.suffix, wishes.parameter.as_deref()), (Some(Format::Xml), Some("json")));
    assert_eq!((wishes.accept, wishes.content_type), (Some("text/xml"), Some("text/plain")));
    assert_eq!(Wishes::of(&target, &headers, false).content_type, None);
}

#[test]
fn a_refusal_has_a_format_whatever_was_sent() {
    let json = ErrorFormat::Upstream(Format::Json);
    let xml = ErrorFormat::Upstream(Format::Xml);
    assert_eq!(error_format("/vms.xml", Some("x=.json"), None), xml);
    assert_eq!(error_format("/t.xml/page/1", None, Some("application/json")), xml);
    assert_eq!(error_format("/vms", Some("a=b&format=xml"), Some("application/json")), xml);
    assert_eq!(error_format("/vms.json", Some("format=xml"), None), json);
    assert_eq!(error_format("/%zz", None, Some("application/xml")), xml);
    assert_eq!(error_format("", None, Some("text/html")), json);
    for (accept, format) in [
        ("application/problem+json", Format::Json),
        ("application/problem+xml", Format::Xml),
        ("application/problem+json;q=0.5, application/problem+xml", Format::Xml),
        ("application/problem+xml;q=0, application/problem+json;q=0.1", Format::Json),
    ] {
        assert_eq!(error_format("/vms.xml", None, Some(accept)), ErrorFormat::Problem(format));
    }
    assert_eq!(error_format("/a", None, Some("application/problem+json;q=0")), json);
}
