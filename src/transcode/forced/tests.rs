//! The table of `FORMATS.md`, row by row, and what is refused.

use super::*;
use crate::transcode::{
    json,
    tree::Bounds,
    xml::{self, DECLARATION, Mixed},
};

const PAGE: &str = include_str!("../../../FORMATS.md");

fn reply_to_xml(text: &str, root: &str) -> String {
    let tree = json::read(text.as_bytes(), Bounds::REPLY).expect("JSON");
    to_xml(&tree, root, &Inflection::default(), usize::MAX).expect("no bound")
}

fn reply_to_json(text: &str) -> String {
    let tree = xml::read(text.as_bytes(), Mixed::Refused, Bounds::REPLY).expect("XML");
    to_json(&tree)
}

/// A document without its declaration and the space between its elements.
fn bare(document: &str) -> String {
    let document = document.strip_prefix(DECLARATION).expect("a declaration");
    document.lines().map(str::trim_start).collect()
}

#[test]
fn what_cannot_be_kept_is_what_the_page_says() {
    let rows = PAGE.lines().filter_map(|line| {
        let cells: Vec<_> = line.strip_prefix("| ")?.split(" | ").collect();
        let code = |cell: &str| Some(cell.strip_prefix('`')?.strip_suffix('`')?.to_owned());
        Some((cells[0], code(cells.get(1)?)?, code(cells.get(2)?)?))
    });
    let mut count = 0;
    for (way, given, expected) in rows {
        let made = match way {
            "reply to XML" => bare(&reply_to_xml(&given, "objects")),
            "reply to JSON" => reply_to_json(&given),
            "body to JSON" => body_to_json(given.as_bytes()).expect("a body"),
            "body to XML" => {
                bare(&body_to_xml(given.as_bytes(), &Inflection::default()).expect("a body"))
            }
            other => panic!("no such way: {other}"),
        };
        assert_eq!(made, expected, "{way}: {given}");
        count += 1;
    }
    assert_eq!(count, 25);
}

#[test]
fn a_list_is_called_by_its_records_or_else_by_its_route() {
    let disks = r#"[{"image_disk":{"id":1}},{"image_disk":{"id":2}}]"#;
    let xml = reply_to_xml(disks, "disks");
    assert_eq!(
        bare(&xml),
        "<image_disks type=\"array\"><image_disk><id type=\"integer\">1</id></image_disk>\
         <image_disk><id type=\"integer\">2</id></image_disk></image_disks>"
    );
    assert_eq!(reply_to_json(&xml), disks);
    assert_eq!(bare(&reply_to_xml("[]", "disks")), "<disks type=\"array\"/>");
    assert_eq!(
        bare(&reply_to_xml("[1,\"a\"]", "names")),
        "<names type=\"array\">\
        <name type=\"integer\">1</name><name>a</name></names>"
    );
}

#[test]
fn what_was_converted_comes_back() {
    for document in [
        r#"{"vm":{"id":1,"label":"\u003ca\u003e","on":true,"rate":1.0e+20,"note":null,"empty":{}}}"#,
        r#"[{"vm":{"id":1,"ips":[{"ip":{"address":"10.0.0.1"}}],"names":["a"],"none":[]}}]"#,
        r#"{"errors":["Resource not found"]}"#,
        r#"{"a":{"at":"2016-12-20T16:19:39.000Z","on":"2016-07-25","price":"1.5"}}"#,
    ] {
        assert_eq!(reply_to_json(&reply_to_xml(document, "vms")), document);
    }
    for body in [
        r#"{"virtual_machine":{"label":"x","memory":512,"note":"","on":false,"user":null}}"#,
        r#"{"user":{"role_ids":[1,2],"none":[],"deep":{"a":{"b":"c"}}}}"#,
        r#"{"user_id":2}"#,
    ] {
        let xml = body_to_xml(body.as_bytes(), &Inflection::default()).expect("a body");
        assert_eq!(body_to_json(xml.as_bytes()).as_deref(), Ok(body), "{xml}");
    }
}

#[test]
fn what_is_no_body_is_refused() {
    let to_json = |body: &str| body_to_json(body.as_bytes()).map(|_| ());
    assert_eq!(to_json("<a type=\"yaml\">x</a>"), Err(Unconvertible::Kind));
    assert_eq!(to_json("<a><b type=\"symbol\">x</b></a>"), Err(Unconvertible::Kind));
    assert_eq!(to_json("<a><b type=\"date\">soon</b></a>"), Err(Unconvertible::Date));
    let deep = format!("{}{}", "<a>".repeat(101), "</a>".repeat(101));
    for broken in ["", "<a>", "<a/><b/>", "<!DOCTYPE a><a/>", "<a>&x;</a>", &deep] {
        assert!(matches!(to_json(broken), Err(Unconvertible::NotRead(_))), "{broken:.20}");
    }
    let to_xml = |body: &str| body_to_xml(body.as_bytes(), &Inflection::default()).map(|_| ());
    assert_eq!(to_xml("[1]"), Err(Unconvertible::Root));
    assert_eq!(to_xml("{\"a\":1,\"b\":2}"), Err(Unconvertible::Root));
    assert_eq!(to_xml("{\"a\":{\"b c\":2}}"), Err(Unconvertible::Name));
    assert!(matches!(to_xml("{'a':1}"), Err(Unconvertible::NotRead(_))));
}

#[test]
fn an_operator_has_plurals_of_its_own() {
    let own = [("data".to_owned(), "data".to_owned()), ("vm_stats".to_owned(), "stat".to_owned())];
    let inflection = Inflection::new(own);
    for (many, one) in [("data", "data"), ("usage_data", "usage_data"), ("vm_stats", "stat")] {
        assert_eq!(inflection.singular(many), one);
    }
    assert_eq!(inflection.singular("disks"), "disk");
    assert_eq!(Inflection::default().singular("data"), "datum");
}
