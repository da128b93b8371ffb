//! Markers: what one tenant's reply says and the other's does not.
//!
//! A marker is a text that both formats write as it is, that is long enough not to come up by chance,
//! and that is no time: identifiers, labels, addresses of mail, keys. It stands nowhere in the other's
//! reply, not even as a part of something. Numbers are none: they are too short to mean anything.

use memchr::memmem;

use crate::{
    transcode::{
        json,
        tree::{Bounds, Tree, Value},
        xml::{self, Mixed},
    },
    vocabulary::Format,
};

/// What is whose own, by whose turn it is.
#[derive(Debug)]
pub(super) struct Markers([Vec<Box<str>>; 2]);

/// A shorter text may stand in anybody's reply.
const SHORTEST: usize = 8;

/// So many are enough to know somebody by; the longest ones are kept.
const MOST: usize = 64;

impl Markers {
    /// What tells two replies apart; none if one of them cannot be read.
    pub(super) fn of([first, second]: [(Format, &[u8]); 2]) -> Option<Self> {
        Some(Self([own(first, second.1)?, own(second, first.1)?]))
    }

    /// Whether each of the two has something of its own.
    pub(super) fn tell_apart(&self) -> bool {
        self.0.iter().all(|own| !own.is_empty())
    }

    /// What is the other's and stands in a reply.
    pub(super) fn foreign_in(&self, turn: usize, body: &[u8]) -> Option<&str> {
        self.0[1 - turn].iter().map(|marker| &**marker).find(|marker| stands_in(marker, body))
    }

    /// Whether anything of one's own stands in a reply.
    pub(super) fn own_in(&self, turn: usize, body: &[u8]) -> bool {
        self.0[turn].iter().any(|marker| stands_in(marker, body))
    }
}

/// Whether a marker stands in a body.
pub(super) fn stands_in(marker: &str, body: &[u8]) -> bool {
    memmem::find(body, marker.as_bytes()).is_some()
}

fn own((format, body): (Format, &[u8]), other: &[u8]) -> Option<Vec<Box<str>>> {
    let tree = match format {
        Format::Json => json::read(body, Bounds::REPLY),
        Format::Xml => xml::read(body, Mixed::Refused, Bounds::REPLY),
    };
    let mut markers = texts(&tree.ok()?);
    markers.retain(|marker| !stands_in(marker, other));
    markers.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    markers.dedup();
    markers.truncate(MOST);
    Some(markers)
}

fn texts(tree: &Tree<'_>) -> Vec<Box<str>> {
    let text = |value: &Value<'_>| match value {
        Value::Text(text) if is_marker(text) => Some(Box::from(&**text)),
        _ => None,
    };
    tree.nodes.iter().filter_map(|node| text(&node.value)).collect()
}

/// Whether a text can be one. A time has a colon, and a date no letter.
fn is_marker(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '@' | '.' | '_' | '-');
    text.len() >= SHORTEST
        && text.chars().all(plain)
        && text.contains(|c: char| c.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = r#"[{"machine":{"id":12345678,"identifier":"qwertyuiopasdf","label":"shared-label","at":"2026-11-26T12:00:00.000Z","day":"2026-11-26","mail":"ann@example.com","note":"a & b < c of ann","short":"ann"}}]"#;
    const SECOND: &str = r#"[{"machine":{"id":87654321,"identifier":"zxcvbnmlkjhgfd","label":"is the shared-label","at":"2025-01-01T00:00:00.000Z","mail":"bob@example.com"}}]"#;

    #[test]
    fn a_marker_is_a_long_plain_text_of_one_alone() {
        let bodies = [FIRST.as_bytes(), SECOND.as_bytes()];
        let markers = Markers::of(bodies.map(|body| (Format::Json, body))).expect("JSON");
        let own = |turn: usize| markers.0[turn].iter().map(|m| &**m).collect::<Vec<_>>();
        assert_eq!(own(0), ["ann@example.com", "qwertyuiopasdf"]);
        assert_eq!(own(1), ["bob@example.com", "zxcvbnmlkjhgfd"]);
        assert!(markers.tell_apart());
        assert!(markers.own_in(0, bodies[0]) && !markers.own_in(0, bodies[1]));
        assert_eq!(markers.foreign_in(0, bodies[0]), None);
        assert_eq!(markers.foreign_in(1, bodies[0]), Some("ann@example.com"));
        let xml = b"<machines type=\"array\"><machine><identifier>qwertyuiopasdf</identifier></machine></machines>";
        assert_eq!(markers.foreign_in(1, xml), Some("qwertyuiopasdf"));
    }

    #[test]
    fn replies_that_are_alike_tell_nothing_and_what_is_none_is_no_reply() {
        let json = |body: &'static str| (Format::Json, body.as_bytes());
        let alike = Markers::of([json(FIRST), json(FIRST)]).expect("JSON");
        assert!(!alike.tell_apart());
        assert!(Markers::of([json(FIRST), json("<html>")]).is_none());
        let xml =
            ["<user><email>ann@example.com</email></user>", "<user><email nil=\"true\"/></user>"];
        let markers = Markers::of(xml.map(|body| (Format::Xml, body.as_bytes()))).expect("XML");
        assert!(markers.own_in(0, xml[0].as_bytes()) && !markers.tell_apart());
    }
}
