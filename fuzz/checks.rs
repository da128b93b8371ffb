//! What must hold of any bytes: run by the fuzzers, and by the tests over what the fuzzers found.

use http::{
    HeaderMap, HeaderValue, Uri, Version,
    header::{ACCEPT, CONTENT_TYPE, HOST},
};
use tollgate::{
    api::{
        format::{Terms, Wishes, error_format, negotiate},
        target::{Target, collection},
    },
    transcode::{
        forced::{Inflection, body_to_json, body_to_xml, to_json, to_xml},
        json,
        learned::{self, Map, learn},
        tree::{Bounds, Tree, Value},
        xml::{self, Mixed},
    },
    vocabulary::Format,
};

/// Reads the bytes as JSON, and converts what they say.
pub fn json(bytes: &[u8]) {
    let by_others = serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok();
    let Ok(tree) = json::read(bytes, Bounds::REPLY) else { return };
    assert!(by_others, "only we take it for JSON");
    check(&tree);
    if let Ok(xml) = body_to_xml(bytes, &Inflection::default())
        && !xml.is_empty()
    {
        body_to_json(xml.as_bytes()).expect("a body that was converted");
    }
    let xml = to_xml(&tree, "objects", &Inflection::default(), usize::MAX).expect("no bound");
    // What is made of a name may be longer than it, and than the names that are read elsewhere.
    let bounds = Bounds { depth: 100, name: usize::MAX, ..Bounds::REPLY };
    let back = xml::read(xml.as_bytes(), Mixed::Refused, bounds);
    let back = back.expect("XML that was made");
    // A map that has learned from the two gives the one for the other, or nothing.
    let mut map = Map::new();
    if learn(&mut map, &tree, &back).is_ok() {
        map.check().expect("a map that was learned");
        let made = learned::to_xml(&map, &tree, bytes.len()).expect("what was learned");
        assert_eq!(made, xml);
        if let Ok(made) = learned::to_json(&map, &back, bytes.len()) {
            json::read(made.as_bytes(), Bounds::REPLY).expect("JSON that was made");
        }
    }
}

/// Reads the bytes as XML, and converts what they say.
pub fn xml(bytes: &[u8]) {
    if let Ok(json) = body_to_json(bytes) {
        assert!(serde_json::from_str::<serde::de::IgnoredAny>(&json).is_ok(), "{json}");
    }
    if let Ok(tree) = xml::read(bytes, Mixed::AsRails, Bounds::REPLY) {
        check(&tree);
    }
    let Ok(tree) = xml::read(bytes, Mixed::Refused, Bounds::REPLY) else { return };
    check(&tree);
    let json = to_json(&tree);
    assert!(serde_json::from_str::<serde::de::IgnoredAny>(&json).is_ok(), "{json}");
}

/// Takes the bytes for a target, an Accept and a Content-Type, each in its line.
pub fn negotiation(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split('\n');
    let (target, accept) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    error_format(target, Some(target), Some(accept));
    let Ok(uri) = target.parse::<Uri>() else { return };
    let mut headers = HeaderMap::new();
    headers.insert(HOST, HeaderValue::from_static("a"));
    for (name, value) in [(ACCEPT, accept), (CONTENT_TYPE, lines.next().unwrap_or_default())] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
    let Ok(target) = Target::canonicalize(uri, &headers, Version::HTTP_11, 8192) else { return };
    let wishes = Wishes::of(&target, &headers, true);
    for (only, strict) in [(None, false), (None, true), (Some(Format::Xml), false)] {
        let terms = Terms { only, default: Format::Json, strict };
        let Ok(format) = negotiate(&wishes, terms) else { continue };
        assert!(only.is_none_or(|only| only == format));
        // Asked for by an explicit suffix it is the same target, and nothing else.
        let asked = target.asked_in(format, target.path().len()).expect("a target");
        let asked = asked.unwrap_or_else(|| target.path_and_query().clone());
        collection(asked.path());
        let uri = Uri::from(asked);
        let again = Target::canonicalize(uri.clone(), &headers, Version::HTTP_11, 9000);
        if let Ok(again) = again {
            let suffix = again.suffix().map(|suffix| suffix.format);
            assert!(suffix.is_none_or(|suffix| suffix == format), "{uri}");
        }
    }
}

/// Each node ends where its parent does, or before.
fn check(tree: &Tree<'_>) {
    let mut ends = vec![tree.nodes.len()];
    for (at, node) in tree.nodes.iter().enumerate() {
        while ends.last().is_some_and(|end| *end == at) {
            ends.pop();
        }
        assert!(node.end > at && ends.last().is_some_and(|end| node.end <= *end));
        match node.value {
            Value::Object | Value::Array => ends.push(node.end),
            _ => assert_eq!(node.end, at + 1),
        }
    }
}
