//! Whether a reply shows a machine that a transaction still holds.

use memchr::memmem;

use crate::vocabulary::Format;

const XML_LOCKED: &[u8] = b"<locked type=\"boolean\">true</locked>";

/// Whether any resource in the body says that it is locked.
///
/// A label cannot fake it: within a JSON string its quotes are escaped, and within XML text its
/// angle brackets are.
pub fn says_locked(format: Format, body: &[u8]) -> bool {
    match format {
        Format::Json => json_says_locked(body),
        Format::Xml => memmem::find(body, XML_LOCKED).is_some(),
    }
}

fn json_says_locked(body: &[u8]) -> bool {
    const NAME: &[u8] = b"\"locked\"";
    memmem::find_iter(body, NAME).any(|at| {
        let after = body[at + NAME.len()..].trim_ascii_start();
        after.strip_prefix(b":").is_some_and(|v| v.trim_ascii_start().starts_with(b"true"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(format: Format, body: &str, want: bool) {
        assert_eq!(says_locked(format, body.as_bytes()), want, "{body}");
    }

    #[test]
    fn json_says_so_with_or_without_white_space() {
        check(Format::Json, r#"{"virtual_machine":{"id":1,"locked":true}}"#, true);
        check(Format::Json, "{\"locked\" :\n true}", true);
        check(Format::Json, r#"[{"vm":{"locked":false}},{"vm":{"locked":true}}]"#, true);
        check(Format::Json, r#"{"locked":false,"booted":true}"#, false);
        check(Format::Json, r#"{"locked":"true"}"#, false);
        check(Format::Json, r#"{"unlocked":true,"x_locked":true}"#, false);
        check(Format::Json, r#"{"locked""#, false);
        check(Format::Json, "", false);
    }

    #[test]
    fn a_label_does_not_fool_it() {
        check(Format::Json, r#"{"label":"\"locked\":true","locked":false}"#, false);
        check(
            Format::Xml,
            "<label>&lt;locked type=\"boolean\"&gt;true&lt;/locked&gt;</label>",
            false,
        );
    }

    #[test]
    fn xml_says_so_as_rails_writes_it() {
        check(Format::Xml, "<vm>\n  <locked type=\"boolean\">true</locked>\n</vm>", true);
        check(Format::Xml, "<vm>\n  <locked type=\"boolean\">false</locked>\n</vm>", false);
    }
}
