//! Whether two replies say the same, but for fields that change by themselves.
//!
//! What is compared is the text that the upstream wrote: numbers are not read as numbers, and
//! members are not sorted, because a client would see those differences, too. Of a field that is
//! not compared the name stays and the value is passed over, at any depth, without recursion.

use memchr::{memchr, memchr2};
use quick_xml::{
    Reader,
    events::{BytesStart, Event},
};
use serde::de::IgnoredAny;

use crate::vocabulary::Format;

/// Whether two bodies are equal but for the values of these fields. Bodies that differ and of
/// which one cannot be parsed are not.
pub fn equal_but_for(volatile: &[String], format: Format, one: &[u8], other: &[u8]) -> bool {
    if one == other {
        return true;
    }
    match format {
        Format::Json => {
            let parse = serde_json::from_slice::<IgnoredAny>;
            let both = parse(one).is_ok() && parse(other).is_ok();
            both && Kept { rest: one, volatile }.eq(Kept { rest: other, volatile })
        }
        Format::Xml => match (std::str::from_utf8(one), std::str::from_utf8(other)) {
            (Ok(one), Ok(other)) => equal_xml(volatile, one, other),
            _ => false,
        },
    }
}

/// The pieces of a valid JSON text that stand between the values of some members.
struct Kept<'a> {
    rest: &'a [u8],
    volatile: &'a [String],
}

impl<'a> Iterator for Kept<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let json = self.rest;
        let mut at = 0;
        while let Some(quote) = memchr(b'"', &json[at..]) {
            let start = at + quote + 1;
            let end = start + string_length(&json[start..]);
            at = (end + 1).min(json.len());
            let Some(value) = json[at..].trim_ascii_start().strip_prefix(b":") else { continue };
            if self.volatile.iter().any(|name| name.as_bytes() == &json[start..end]) {
                self.rest = &value[value_length(value)..];
                return Some(&json[..json.len() - value.len()]);
            }
        }
        self.rest = &[];
        (!json.is_empty()).then_some(json)
    }
}

/// The bytes of a JSON string up to the quote that ends it.
fn string_length(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = memchr2(b'"', b'\\', text.get(at..).unwrap_or_default()) {
        at += found;
        if text[at] == b'"' {
            return at;
        }
        at += 2;
    }
    text.len()
}

/// The bytes of a member's value up to the comma or brace behind it.
fn value_length(json: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => at += 1 + string_length(&json[at + 1..]),
            b'[' | b'{' => depth += 1,
            b']' | b'}' | b',' if depth == 0 => return at,
            b']' | b'}' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    json.len()
}

fn equal_xml(volatile: &[String], one: &str, other: &str) -> bool {
    let (mut one, mut other) = (Reader::from_str(one), Reader::from_str(other));
    loop {
        match (next(volatile, &mut one), next(volatile, &mut other)) {
            (Some(Event::Eof), Some(Event::Eof)) => return true,
            (Some(this), Some(that)) if this == that => {}
            _ => return false,
        }
    }
}

/// The next part of a document; of a field that is not compared its name alone.
fn next<'a>(volatile: &[String], reader: &mut Reader<&'a [u8]>) -> Option<Event<'a>> {
    let event = reader.read_event().ok()?;
    let (Event::Start(tag) | Event::Empty(tag)) = &event else { return Some(event) };
    let name = tag.name();
    let Some(known) = volatile.iter().find(|field| **field == *name.as_ref()) else {
        return Some(event);
    };
    if matches!(event, Event::Start(_)) {
        reader.read_to_end(name).ok()?;
    }
    Some(Event::Empty(BytesStart::new(known.clone())))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn equal(format: Format, one: &str, other: &str) -> bool {
        let volatile = ["usage".to_owned(), "updated_at".to_owned()];
        let [there, back] = [(one, other), (other, one)]
            .map(|(one, other)| equal_but_for(&volatile, format, one.as_bytes(), other.as_bytes()));
        assert_eq!(there, back, "{one} and {other}");
        there
    }

    #[track_caller]
    fn check(format: Format, one: &str, other: &str, expected: bool) {
        assert_eq!(equal(format, one, other), expected, "{one} and {other}");
    }

    #[test]
    fn json_is_compared_but_for_some_members_at_any_depth() {
        let check = |one, other, expected| check(Format::Json, one, other, expected);
        check(r#"{"id":1,"usage":1}"#, r#"{"id":1,"usage":22}"#, true);
        check(r#"{"id":1,"usage":1}"#, r#"{"id":2,"usage":1}"#, false);
        check(r#"[{"vm":{"usage":null}}]"#, r#"[{"vm":{"usage":{"a":[1,"}"]}}}]"#, true);
        check(r#"{"usage" : "a\"b","id":1}"#, r#"{"usage" : "c\\","id":1}"#, true);
        check(r#"{"a":[{"usage":[1,2]},3]}"#, r#"{"a":[{"usage":[]},4]}"#, false);
        check(
            r#"{"usage":1,"updated_at":"x","id":1}"#,
            r#"{"usage":2,"updated_at":"y","id":1}"#,
            true,
        );
        // The name has to be the same, and to be a name.
        check(r#"{"my_usage":1}"#, r#"{"my_usage":2}"#, false);
        check(r#"["usage",1]"#, r#"["usage",2]"#, false);
        check(r#"{"label":"\"usage\":1"}"#, r#"{"label":"\"usage\":2"}"#, false);
        check(r#"{"id":1,"usage":1}"#, r#"{"id":1}"#, false);
    }

    #[test]
    fn json_numbers_are_text() {
        check(Format::Json, r#"{"a":1.0e+20}"#, r#"{"a":1.0e20}"#, false);
        check(Format::Json, r#"{"a":1.0}"#, r#"{"a":1}"#, false);
        check(Format::Json, "[9007199254740993]", "[9007199254740992]", false);
    }

    #[test]
    fn xml_is_compared_but_for_some_elements_at_any_depth() {
        let check = |one, other, expected| check(Format::Xml, one, other, expected);
        check("<vm><id>1</id><usage>1</usage></vm>", "<vm><id>1</id><usage>2</usage></vm>", true);
        check("<vm><id>1</id><usage>1</usage></vm>", "<vm><id>2</id><usage>1</usage></vm>", false);
        check(
            "<vms><vm><usage nil=\"true\"/></vm></vms>",
            "<vms><vm><usage type=\"array\"><usage>1</usage><b/></usage></vm></vms>",
            true,
        );
        check("<a type=\"integer\">1</a>", "<a>1</a>", false);
        check("<a>&lt;usage&gt;1</a>", "<a>&lt;usage&gt;2</a>", false);
        check("<my_usage>1</my_usage>", "<my_usage>2</my_usage>", false);
        check("<a><usage>1</usage></a>", "<a></a>", false);
    }

    #[test]
    fn what_cannot_be_parsed_and_differs_is_not_equal() {
        check(Format::Json, "<html>", "<html>", true);
        check(Format::Json, r#"{"usage":1"#, r#"{"usage":2"#, false);
        check(Format::Json, r#"{"usage":1}"#, r#"{"usage":2}}"#, false);
        check(Format::Json, r#"{"usage":"1\"#, r#"{"usage":"2\"#, false);
        check(Format::Xml, "<a><usage>1</a>", "<a><usage>2</a>", false);
        check(Format::Xml, "<a><usage>1", "<a><usage>2", false);
        check(Format::Xml, "", " ", false);
        assert!(!equal_but_for(&[], Format::Xml, b"<a>\xff</a>", b"<a>\xfe</a>"));
    }

    #[test]
    fn depth_costs_no_stack() {
        const DEEP: usize = 500_000;
        let json = |usage: &str| {
            let (open, close) = ("[".repeat(DEEP), "]".repeat(DEEP));
            format!("{{\"usage\":{open}{usage}{close},\"a\":{open}{close}}}")
        };
        // Whether so deep a text is parsed at all is the parser's to say.
        equal(Format::Json, &json("1"), &json("2"));
        let xml = |usage: &str| {
            let (open, close) = ("<b>".repeat(DEEP), "</b>".repeat(DEEP));
            format!("<a>{open}<usage>{open}{usage}{close}</usage>{close}</a>")
        };
        check(Format::Xml, &xml("1"), &xml("2"), true);
    }

    proptest! {
        #[test]
        fn any_bytes_are_compared_without_a_panic(
            one in "[\\[\\]{}\":,\\\\<>/a ]{0,40}",
            other in "[\\[\\]{}\":,\\\\<>/a ]{0,40}",
        ) {
            for format in [Format::Json, Format::Xml] {
                let same = equal_but_for(&["a".to_owned()], format, one.as_bytes(), other.as_bytes());
                prop_assert!(same || one != other);
            }
            // The pieces are those of any text, valid or not.
            let volatile = ["a".to_owned()];
            let kept = Kept { rest: one.as_bytes(), volatile: &volatile };
            prop_assert!(kept.map(<[u8]>::len).sum::<usize>() <= one.len());
        }
    }
}
