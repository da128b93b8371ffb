//! Whether a reply shows a machine that a transaction still holds, a transaction that has not ended,
//! or a member that is set.

use memchr::memmem;

use crate::vocabulary::Format;

const XML_LOCKED: &[u8] = b"<locked type=\"boolean\">true</locked>";

/// Whether any resource in the body says that it is locked.
///
/// A label cannot fake it: within a JSON string its quotes are escaped, and within XML text its
/// angle brackets are.
pub fn says_locked(format: Format, body: &[u8]) -> bool {
    match format {
        Format::Json => json_says(body, b"\"locked\"", b"true"),
        Format::Xml => memmem::find(body, XML_LOCKED).is_some(),
    }
}

/// Whether any transaction in the body is pending or running.
pub fn says_open(format: Format, body: &[u8]) -> bool {
    match format {
        Format::Json => OPEN.iter().any(|status| {
            json_says(body, b"\"status\"", &[b"\"", status.as_bytes(), b"\""].concat())
        }),
        Format::Xml => OPEN.iter().any(|status| {
            memmem::find(body, format!("<status>{status}</status>").as_bytes()).is_some()
        }),
    }
}

/// Whether any member of this name in the body is set.
pub fn says_set(format: Format, name: &str, body: &[u8]) -> bool {
    match format {
        Format::Json => {
            let quoted = format!("\"{name}\"");
            memmem::find_iter(body, &quoted).any(|at| {
                let after = body[at + quoted.len()..].trim_ascii_start();
                after.strip_prefix(b":").is_some_and(|v| !v.trim_ascii_start().starts_with(b"null"))
            })
        }
        Format::Xml => {
            let open = format!("<{name}");
            memmem::find_iter(body, &open).any(|at| {
                let after = &body[at + open.len()..];
                let end = memchr::memchr(b'>', after).unwrap_or(after.len());
                let within = after.get(end + 1).copied().unwrap_or(b'<');
                !after[..end].ends_with(b"/") && within != b'<'
            })
        }
    }
}

const OPEN: [&str; 2] = ["pending", "running"];

/// Whether a member of this name has a value that begins so.
fn json_says(body: &[u8], name: &[u8], value: &[u8]) -> bool {
    memmem::find_iter(body, name).any(|at| {
        let after = body[at + name.len()..].trim_ascii_start();
        after.strip_prefix(b":").is_some_and(|v| v.trim_ascii_start().starts_with(value))
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
    fn a_transaction_is_open_until_it_has_ended() {
        let check = |format, body: &str, want| {
            assert_eq!(says_open(format, body.as_bytes()), want, "{body}");
        };
        check(Format::Json, r#"[{"transaction":{"id":7,"status":"running"}}]"#, true);
        check(Format::Json, r#"{"transaction":{"status" : "pending","id":7}}"#, true);
        check(Format::Json, r#"[{"transaction":{"status":"complete"}}]"#, false);
        check(Format::Json, r#"{"transaction":{"log":"\"status\":\"running\""}}"#, false);
        check(Format::Xml, "<transaction>\n  <status>running</status>\n</transaction>", true);
        check(Format::Xml, "<transaction>\n  <status>failed</status>\n</transaction>", false);
    }

    #[test]
    fn a_member_is_set_unless_it_is_null() {
        let check = |format, body: &str, want| {
            assert_eq!(says_set(format, "strict_id", body.as_bytes()), want, "{body}");
        };
        check(Format::Json, r#"[{"strict_id":null},{"strict_id" : 7}]"#, true);
        check(Format::Json, r#"{"strict_id": null,"x":"strict_id"}"#, false);
        check(Format::Xml, r#"<a><strict_id type="integer">7</strict_id></a>"#, true);
        check(Format::Xml, r#"<a><strict_id nil="true"/></a>"#, false);
        check(Format::Xml, r#"<a><strict_id type="integer"></strict_id></a>"#, false);
        check(Format::Xml, "<strict_id", false);
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
