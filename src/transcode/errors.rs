//! The gateway's own errors, in the upstream's shape and byte for byte as Rails would write them.

use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;

use super::{
    json::push_string,
    xml::{DECLARATION, push_text},
};
use crate::vocabulary::Format;

/// The content type of JSON, as the upstream spells it; one client compares it byte for byte.
pub const JSON: &str = "application/json; charset=utf-8";

/// The content type of XML, as the upstream spells it.
pub const XML: &str = "application/xml; charset=utf-8";

/// The content type of RFC 9457 problem details in JSON.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// The content type of RFC 9457 problem details in XML.
pub const PROBLEM_XML: &str = "application/problem+xml";

/// RFC 9457 problem details. `type` is absent, which means `about:blank`: the code says it all.
#[derive(Serialize)]
struct Problem<'a> {
    status: u16,
    title: &'a str,
    detail: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    transactions: &'a [u64],
}

/// The content type of a representation.
pub const fn content_type(format: Format) -> &'static str {
    match format {
        Format::Json => JSON,
        Format::Xml => XML,
    }
}

/// A list of messages: `{"errors":["…"]}` or `<errors type="array"><error>…`.
///
/// In JSON the numbers of transactions that it is about, if there are any, stand beside them; an array
/// in XML has no room for them.
pub fn render(format: Format, messages: &[&str], transactions: &[u64]) -> Bytes {
    let text = match format {
        Format::Json => json(messages, transactions),
        Format::Xml => xml(messages),
    };
    Bytes::from(text)
}

/// Problem details of RFC 9457, with the gateway's error code as an extension member, and the numbers of
/// transactions if it is about any; their content type stands before them.
#[expect(clippy::missing_panics_doc, reason = "strings and a number always serialize")]
pub fn problem(
    format: Format,
    status: StatusCode,
    code: &str,
    title: &str,
    detail: &str,
    transactions: &[u64],
) -> (&'static str, Bytes) {
    if format == Format::Xml {
        let text = xml_problem(status, code, title, detail, transactions);
        return (PROBLEM_XML, Bytes::from(text));
    }
    let problem = Problem { status: status.as_u16(), title, detail, code, transactions };
    let json = serde_json::to_vec(&problem).expect("strings and a number always serialize");
    (PROBLEM_JSON, Bytes::from(json))
}

fn xml_problem(
    status: StatusCode,
    code: &str,
    title: &str,
    detail: &str,
    transactions: &[u64],
) -> String {
    let mut text = String::from(DECLARATION);
    text.push_str("<problem xmlns=\"urn:ietf:rfc:7807\">\n");
    let status = status.as_u16().to_string();
    for (name, value) in
        [("status", &*status), ("title", title), ("detail", detail), ("code", code)]
    {
        text.push_str("  <");
        text.push_str(name);
        text.push('>');
        push_text(&mut text, value);
        text.push_str("</");
        text.push_str(name);
        text.push_str(">\n");
    }
    if !transactions.is_empty() {
        text.push_str("  <transactions>\n");
        for number in transactions {
            text.push_str(&format!("    <i>{number}</i>\n"));
        }
        text.push_str("  </transactions>\n");
    }
    text.push_str("</problem>\n");
    text
}

fn json(messages: &[&str], transactions: &[u64]) -> String {
    let mut text = String::from("{\"errors\":[");
    for (i, message) in messages.iter().enumerate() {
        if i > 0 {
            text.push(',');
        }
        push_string(&mut text, message);
    }
    text.push(']');
    if !transactions.is_empty() {
        let numbers: Vec<String> = transactions.iter().map(u64::to_string).collect();
        text.push_str(&format!(",\"transactions\":[{}]", numbers.join(",")));
    }
    text.push('}');
    text
}

fn xml(messages: &[&str]) -> String {
    let mut text = String::from(DECLARATION);
    text.push_str("<errors type=\"array\"");
    if messages.is_empty() {
        text.push_str("/>\n");
        return text;
    }
    text.push_str(">\n");
    for message in messages {
        text.push_str("  <error>");
        push_text(&mut text, message);
        text.push_str("</error>\n");
    }
    text.push_str("</errors>\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(format: Format, messages: &[&str], want: &str) {
        assert_eq!(render(format, messages, &[]), want);
    }

    #[test]
    fn json_has_the_escapes_of_rails() {
        check(Format::Json, &["Resource not found"], r#"{"errors":["Resource not found"]}"#);
        check(Format::Json, &[], r#"{"errors":[]}"#);
        check(
            Format::Json,
            &["a\"b\\c/d", "<é&\u{2028}>\u{1b}\n"],
            "{\"errors\":[\"a\\\"b\\\\c/d\",\"\\u003cé\\u0026\\u2028\\u003e\\u001b\\n\"]}",
        );
    }

    #[test]
    fn xml_is_an_array_of_errors() {
        const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<errors type=\"array\"";
        check(Format::Xml, &[], &format!("{HEAD}/>\n"));
        check(
            Format::Xml,
            &["one", "<\"two\"> & \u{1b}\u{80}\t"],
            &format!(
                "{HEAD}>\n  <error>one</error>\n  \
                 <error>&lt;\"two\"&gt; &amp; \u{fffd}€\t</error>\n</errors>\n"
            ),
        );
    }

    #[test]
    fn json_parses_back_to_what_it_says() {
        let odd: String = (0..0x250).filter_map(char::from_u32).collect();
        let value: serde_json::Value =
            serde_json::from_slice(&render(Format::Json, &[&odd], &[])).expect("it is JSON");
        assert_eq!(value["errors"][0], odd);
    }

    #[test]
    fn a_problem_names_its_code() {
        let problem = |format| {
            let (status, detail) = (StatusCode::TOO_MANY_REQUESTS, "Wait \"<2>\" s");
            problem(format, status, "limited", "Too many", detail, &[])
        };
        let want =
            r#"{"status":429,"title":"Too many","detail":"Wait \"<2>\" s","code":"limited"}"#;
        assert_eq!(problem(Format::Json), ("application/problem+json", want.into()));
        let want = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
                    <problem xmlns=\"urn:ietf:rfc:7807\">\n  <status>429</status>\n  \
                    <title>Too many</title>\n  <detail>Wait \"&lt;2&gt;\" s</detail>\n  \
                    <code>limited</code>\n</problem>\n";
        assert_eq!(problem(Format::Xml), ("application/problem+xml", want.into()));
    }

    #[test]
    fn the_transactions_that_it_is_about_are_named() {
        assert_eq!(
            render(Format::Json, &["a"], &[7, 8]),
            r#"{"errors":["a"],"transactions":[7,8]}"#
        );
        assert_eq!(render(Format::Xml, &["a"], &[7]), render(Format::Xml, &["a"], &[]));
        let problem = |format| problem(format, StatusCode::CONFLICT, "c", "t", "d", &[7, 8]).1;
        let want = r#"{"status":409,"title":"t","detail":"d","code":"c","transactions":[7,8]}"#;
        assert_eq!(problem(Format::Json), want);
        let want = "  <transactions>\n    <i>7</i>\n    <i>8</i>\n  </transactions>\n</problem>\n";
        assert!(problem(Format::Xml).ends_with(want.as_bytes()));
    }
}
