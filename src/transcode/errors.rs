//! The gateway's own errors, in the upstream's shape and byte for byte as Rails would write them.

use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;

use crate::vocabulary::Format;

/// The content type of JSON, as the upstream spells it; one client compares it byte for byte.
pub const JSON: &str = "application/json; charset=utf-8";

/// The content type of XML, as the upstream spells it.
pub const XML: &str = "application/xml; charset=utf-8";

/// The content type of RFC 9457 problem details.
pub const PROBLEM: &str = "application/problem+json";

/// RFC 9457 problem details. `type` is absent, which means `about:blank`: the code says it all.
#[derive(Serialize)]
struct Problem<'a> {
    status: u16,
    title: &'a str,
    detail: &'a str,
    code: &'a str,
}

/// U+0080 to U+009F, which Rails takes for Windows-1252 when it writes XML.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// The content type of a representation.
pub const fn content_type(format: Format) -> &'static str {
    match format {
        Format::Json => JSON,
        Format::Xml => XML,
    }
}

/// A list of messages: `{"errors":["…"]}` or `<errors type="array"><error>…`.
pub fn render(format: Format, messages: &[&str]) -> Bytes {
    let text = match format {
        Format::Json => json(messages),
        Format::Xml => xml(messages),
    };
    Bytes::from(text)
}

/// Problem details of RFC 9457, with the gateway's error code as an extension member.
#[expect(clippy::missing_panics_doc, reason = "strings and a number always serialize")]
pub fn problem(status: StatusCode, code: &str, title: &str, detail: &str) -> Bytes {
    let problem = Problem { status: status.as_u16(), title, detail, code };
    Bytes::from(serde_json::to_vec(&problem).expect("strings and a number always serialize"))
}

fn json(messages: &[&str]) -> String {
    let mut text = String::from("{\"errors\":[");
    for (i, message) in messages.iter().enumerate() {
        text.push_str(if i == 0 { "\"" } else { ",\"" });
        message.chars().for_each(|c| push_json(&mut text, c));
        text.push('"');
    }
    text.push_str("]}");
    text
}

fn xml(messages: &[&str]) -> String {
    let mut text =
        String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<errors type=\"array\"");
    if messages.is_empty() {
        text.push_str("/>\n");
        return text;
    }
    text.push_str(">\n");
    for message in messages {
        text.push_str("  <error>");
        message.chars().for_each(|c| push_xml(&mut text, c));
        text.push_str("</error>\n");
    }
    text.push_str("</errors>\n");
    text
}

/// One character inside a JSON string. Rails escapes what would end a script element, too.
fn push_json(text: &mut String, c: char) {
    match c {
        '"' => text.push_str("\\\""),
        '\\' => text.push_str("\\\\"),
        '\u{8}' => text.push_str("\\b"),
        '\u{c}' => text.push_str("\\f"),
        '\n' => text.push_str("\\n"),
        '\r' => text.push_str("\\r"),
        '\t' => text.push_str("\\t"),
        '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
            text.push_str(&format!("\\u{:04x}", u32::from(c)));
        }
        _ => text.push(c),
    }
}

/// One character of XML text. Quotes are left as they are.
fn push_xml(text: &mut String, c: char) {
    match c {
        '&' => text.push_str("&amp;"),
        '<' => text.push_str("&lt;"),
        '>' => text.push_str("&gt;"),
        '\u{80}'..='\u{9f}' => text.push(WINDOWS_1252[c as usize - 0x80]),
        '\t' | '\n' | '\r' => text.push(c),
        '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => text.push('\u{fffd}'),
        _ => text.push(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(format: Format, messages: &[&str], want: &str) {
        assert_eq!(render(format, messages), want);
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
            serde_json::from_slice(&render(Format::Json, &[&odd])).expect("it is JSON");
        assert_eq!(value["errors"][0], odd);
    }

    #[test]
    fn a_problem_names_its_code() {
        let body = problem(StatusCode::TOO_MANY_REQUESTS, "limited", "Too many", "Wait \"2\" s");
        let want = r#"{"status":429,"title":"Too many","detail":"Wait \"2\" s","code":"limited"}"#;
        assert_eq!(body, want);
    }
}
