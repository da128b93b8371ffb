//! Resources as Rails writes them, and as somebody would who wants to be taken for another.

use super::*;

/// A resource's id, identifier and lock.
type Expected = (&'static str, Option<&'static str>, bool);

const MOST: usize = 3;
const NAME: Option<&str> = Some("abcdefghijklmn");

#[track_caller]
fn check(format: Format, body: &str, expected: Option<&[Expected]>) {
    check_bytes(format, body.as_bytes(), expected);
}

#[track_caller]
fn check_bytes(format: Format, body: &[u8], expected: Option<&[Expected]>) {
    let found = resources(format, "virtual_machine", body, MOST);
    let found: Option<Vec<_>> = found
        .as_ref()
        .map(|found| found.iter().map(|r| (&*r.id, r.identifier.as_deref(), r.locked)).collect());
    let body = String::from_utf8_lossy(body);
    assert_eq!(found.as_deref(), expected, "{body:.200}");
}

/// A JSON resource with these members.
#[track_caller]
fn check_json(members: &str, expected: Option<Expected>) {
    let body = format!(r#"{{"virtual_machine":{{{members}}}}}"#);
    check(Format::Json, &body, expected.as_ref().map(std::slice::from_ref));
}

/// An XML resource with these members.
#[track_caller]
fn check_xml(members: &str, expected: Option<Expected>) {
    let body = format!("<virtual_machine>{members}</virtual_machine>");
    check(Format::Xml, &body, expected.as_ref().map(std::slice::from_ref));
}

#[test]
fn a_json_resource_is_read() {
    let all = r#""id":5,"label":"x","identifier":"abcdefghijklmn","locked":true,"n":null"#;
    check_json(all, Some(("5", NAME, true)));
    check_json(r#" "locked" : false , "id" : 12 "#, Some(("12", None, false)));
    check_json(r#""id":"30090","identifier":null"#, Some(("30090", None, false)));
    check_json(r#""\u0069d":7"#, Some(("7", None, false)));
    check_json(r#""id":18446744073709551616"#, Some(("18446744073709551616", None, false)));
}

#[test]
fn a_json_list_is_read_up_to_a_bound() {
    let vm = r#"{"virtual_machine":{"id":5}}"#;
    let five = ("5", None, false);
    check(Format::Json, "[]", Some(&[]));
    check(Format::Json, &format!(" [ {vm} ,\n{vm}]\n"), Some(&[five, five]));
    check(Format::Json, &format!("[{vm},{vm},{vm}]"), Some(&[five; MOST]));
    check(Format::Json, &format!("[{vm},{vm},{vm},{vm}]"), None);
    assert_eq!(resources(Format::Json, "virtual_machine", vm.as_bytes(), 0), None);
}

#[test]
fn json_without_a_usable_id_is_unknown() {
    for id in ["0", "-5", "5.0", "5e0", "05", "null", "true", "[5]", r#"{"id":5}"#] {
        check_json(&format!(r#""id":{id}"#), None);
    }
    for id in ["", "0", "05", "+5", " 5", "5x", "٥", r"\u0035", "1/2", "..", r#"5\""#] {
        check_json(&format!(r#""id":"{id}""#), None);
    }
    check_json(r#""label":"x""#, None);
    check(Format::Json, r#"[{"virtual_machine":{"id":1}},{"virtual_machine":{}}]"#, None);
}

#[test]
fn other_members_of_the_wrong_kind_say_nothing() {
    for identifier in [r#""abcdefghijklm""#, r#""abcdefghijklmno""#, r#""abcdefghijkl/n""#, "{}"] {
        check_json(&format!(r#""id":5,"identifier":{identifier}"#), Some(("5", None, false)));
    }
    for locked in ["null", r#""true""#, "1", "[true]", r#"{"locked":true}"#] {
        check_json(&format!(r#""id":5,"locked":{locked}"#), Some(("5", None, false)));
    }
    for identifier in ["abcdefghijklm", "abcdefghijklmno", "abcdefghijkl/n", "éééé", "<a/>"] {
        let members = format!("<id>5</id><identifier>{identifier}</identifier>");
        check_xml(&members, Some(("5", None, false)));
    }
    check_xml("<id>5</id><locked>1</locked>", Some(("5", None, false)));
}

#[test]
fn what_is_nested_does_not_count() {
    let nested = r#"{"id":9,"identifier":"nnnnnnnnnnnnnn","locked":true}"#;
    let five = Some(("5", None, false));
    check_json(&format!(r#""disk":{nested},"id":5"#), five);
    check_json(&format!(r#""id":5,"disks":[{{"disk":{nested}}}]"#), five);
    check_json(&format!(r#""virtual_machine":{nested},"id":5"#), five);
    check_json(&format!(r#""disk":{nested}"#), None);
    check_json(r#""id":5,"label":"\",\"id\":9,\"locked\":true,\"""#, five);
    let nested = "<id>9</id><identifier>nnnnnnnnnnnnnn</identifier><locked>true</locked>";
    check_xml(&format!("<disk>{nested}</disk><id>5</id>"), five);
    check_xml(&format!("<id>5</id><a type='array'><a>{nested}</a></a>"), five);
    check_xml(&format!("<virtual_machine>{nested}</virtual_machine><id>5</id>"), five);
    check_xml(&format!("<id>5</id><label><![CDATA[{nested}]]></label><!--{nested}-->"), five);
    check_xml(&format!("<disk>{nested}</disk>"), None);
}

#[test]
fn of_members_that_are_there_twice_the_last_counts() {
    check_json(r#""id":5,"locked":true,"id":6,"locked":false"#, Some(("6", None, false)));
    check_json(r#""id":5,"id":null"#, None);
    check_xml("<id>5</id><id>6</id>", Some(("6", None, false)));
    check_xml("<id>5</id><id nil='true'/>", None);
}

#[test]
fn other_json_is_unknown() {
    for body in [
        "",
        " ",
        "{}",
        "null",
        "5",
        r#"{"errors":["Resource not found"]}"#,
        r#"{"id":5}"#,
        r#"{"virtual_machine":null}"#,
        r#"{"virtual_machine":[5,null,true]}"#,
        r#"{"virtual_machine":[{"id":5}]}"#,
        r#"{"virtual_machine":{"id":5},"virtual_machine":{"id":6}}"#,
        r#"{"virtual_machine":{"id":5},"disk":{"id":6}}"#,
        r#"[{"virtual_machine":{"id":5}},{"disk":{"id":6}}]"#,
        r#"[{"id":5}]"#,
        r#"[[{"virtual_machine":{"id":5}}]]"#,
        r#"[{"virtual_machine":{"id":5}},null]"#,
        r#"[{"virtual_machine":{"id":5}},]"#,
        r#"{"virtual_machine":{"id":5}}{}"#,
        r#"{'virtual_machine':{'id':5}}"#,
    ] {
        check(Format::Json, body, None);
    }
    check_bytes(Format::Json, b"{\"virtual_machine\":{\"id\":5,\"label\":\"\xff\"}}", None);
}

#[test]
fn an_xml_resource_is_read() {
    let body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<virtual_machine>\n  \
        <id type=\"integer\">5</id>\n  <label>a &amp; b</label>\n  <x nil=\"true\"/>\n  \
        <identifier>abcdefghijklmn</identifier>\n  <locked type=\"boolean\">true</locked>\n\
        </virtual_machine>\n";
    check(Format::Xml, body, Some(&[("5", NAME, true)]));
    check_xml("<locked>false</locked><id>12</id>", Some(("12", None, false)));
    check_xml("<id>1<!-- -->2<![CDATA[3]]><?x?>4</id>", Some(("1234", None, false)));
}

#[test]
fn an_xml_list_is_read_up_to_a_bound() {
    let vm = "\n  <virtual_machine><id type='integer'>5</id></virtual_machine>\n";
    let list = |count| format!("<vms type=\"array\">{}</vms>", vm.repeat(count));
    let five = ("5", None, false);
    check(Format::Xml, "<nil-classes type=\"array\"/>\n", Some(&[]));
    check(Format::Xml, "<virtual_machine type='array'></virtual_machine>", Some(&[]));
    check(Format::Xml, &list(1), Some(&[five]));
    check(Format::Xml, &list(MOST), Some(&[five; MOST]));
    check(Format::Xml, &list(MOST + 1), None);
    let two = "<a type='array'><virtual_machine><locked>true</locked><id>1</id>\
        <identifier>abcdefghijklmn</identifier></virtual_machine>\
        <virtual_machine><id>2</id></virtual_machine></a>";
    check(Format::Xml, two, Some(&[("1", NAME, true), ("2", None, false)]));
    assert_eq!(resources(Format::Xml, "virtual_machine", vm.trim().as_bytes(), 0), None);
}

#[test]
fn xml_without_a_usable_id_is_unknown() {
    for id in ["", "0", "05", "-5", "5.0", " 5", "5\n", "&#53;", "5&amp;", "5<x/>", "<id>5</id>"] {
        check_xml(&format!("<id>{id}</id>"), None);
    }
    check_xml("<id type='integer' nil='true'/>", None);
    check_xml("", None);
    let second = "<a type='array'><virtual_machine><id>1</id></virtual_machine>\
        <virtual_machine/></a>";
    check(Format::Xml, second, None);
}

#[test]
fn other_xml_is_unknown() {
    let vm = "<virtual_machine><id>5</id></virtual_machine>";
    for body in [
        "",
        " ",
        "x",
        "<virtual_machine/>",
        "<errors><error>Resource not found</error></errors>",
        "<hash><virtual_machine><id>5</id></virtual_machine></hash>",
        "<a type='array'><disk><id>5</id></disk></a>",
        "<a type='array'><a type='array'><virtual_machine><id>5</id></virtual_machine></a></a>",
        "<virtual_machine><id>5</disk></virtual_machine>",
        "<virtual_machine><id>5</id></virtual_machine></a>",
        "<virtual_machine><id>5</id>&</virtual_machine>",
        "<virtual_machine type='array><id>5</id></virtual_machine>",
        &format!("{vm}{vm}"),
        &format!("{vm}<a/>"),
        &format!("{vm}x"),
        &format!("x{vm}"),
        &format!("{vm}&amp;"),
        &format!("<!DOCTYPE a>{vm}"),
        &format!("<!DOCTYPE a [<!ENTITY b '5'>]>{vm}"),
    ] {
        check(Format::Xml, body, None);
    }
    check_bytes(Format::Xml, b"<virtual_machine><id>5</id>\xff</virtual_machine>", None);
}

#[test]
fn a_truncated_body_is_unknown() {
    let json = r#"[{"virtual_machine":{"id":5,"locked":true,"a":[1.5]}}]"#;
    let xml = "<a type='array'><virtual_machine><id>5</id><!-- a --></virtual_machine></a>";
    for (format, body) in [(Format::Json, json), (Format::Xml, xml)] {
        assert!(resources(format, "virtual_machine", body.as_bytes(), MOST).is_some());
        for end in 0..body.len() {
            check(format, &body[..end], None);
        }
    }
}

#[test]
fn depth_costs_no_stack() {
    let (opening, closing) = ("[".repeat(10_000), "]".repeat(10_000));
    let five = Some(("5", None, false));
    check(Format::Json, &opening, None);
    check(Format::Json, &format!("{opening}{closing}"), None);
    check_json(&format!(r#""id":5,"a":{opening}{closing}"#), five);
    check_json(&format!(r#""id":{opening}{closing}"#), None);
    check(Format::Json, &r#"{"virtual_machine":"#.repeat(10_000), None);
    let (opening, closing) = ("<a>".repeat(10_000), "</a>".repeat(10_000));
    check(Format::Xml, &opening, None);
    check_xml(&format!("<id>5</id>{opening}<id>6</id>{closing}"), five);
    check_xml(&format!("<id>{opening}5{closing}</id>"), None);
    check(Format::Xml, &"<virtual_machine>".repeat(10_000), None);
}
