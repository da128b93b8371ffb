//! The expected bytes were written by ActiveSupport 6.1.7 for the same values.

use super::*;

fn xml(root: &str, value: impl Into<Value>) -> String {
    xml::write(root, &value.into(), Style::default())
}

fn json(value: impl Into<Value>) -> String {
    json::write(&value.into(), Style::default())
}

/// The one element inside `<x>`, without its indent.
fn field(name: &'static str, value: impl Into<Value>) -> String {
    let document = xml("x", Object::from([(name, value.into())]));
    let inner = document
        .strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<x>\n  ")
        .and_then(|d| d.strip_suffix("\n</x>\n"));
    inner.expect("a document with one field").to_owned()
}

fn every_kind() -> Object {
    let address = Object::from([("address", "1.2.3.4".into()), ("free", Value::Null)]);
    Object::from([
        ("id", 12_i64.into()),
        ("big", 4_611_686_018_427_387_904_i64.into()),
        ("rate", 1e20.into()),
        ("small", 1e-5.into()),
        ("price", Value::decimal("109.50")),
        ("zero", Value::decimal("0")),
        ("booted", true.into()),
        ("user_id", Value::Null),
        ("label", "te<x>&\"'t".into()),
        ("note", "".into()),
        ("created_at", Value::Time(1_482_250_779)),
        ("day", Value::Date(1_469_404_800)),
        ("empty", Object::default().into()),
        ("extra", Object::from([("cpus", 1_i64.into())]).into()),
        ("list", Value::List(vec![])),
        ("ip_addresses", Value::List(vec![Value::Model("ip_address", address)])),
        ("names", Value::List(vec!["a".into(), "b".into()])),
        ("nils", Value::List(vec![Value::Null])),
    ])
}

#[test]
fn an_object_with_every_kind_of_value_as_xml() {
    let expected = r#"<?xml version="1.0" encoding="UTF-8"?>
<virtual_machine>
  <id type="integer">12</id>
  <big type="integer">4611686018427387904</big>
  <rate type="float">1.0e+20</rate>
  <small type="float">1.0e-05</small>
  <price type="decimal">109.5</price>
  <zero type="decimal">0.0</zero>
  <booted type="boolean">true</booted>
  <user_id nil="true"/>
  <label>te&lt;x&gt;&amp;"'t</label>
  <note></note>
  <created_at type="dateTime">2016-12-20T16:19:39Z</created_at>
  <day type="date">2016-07-25</day>
  <empty>
  </empty>
  <extra>
    <cpus type="integer">1</cpus>
  </extra>
  <list type="array"/>
  <ip_addresses type="array">
    <ip_address>
      <address>1.2.3.4</address>
      <free nil="true"/>
    </ip_address>
  </ip_addresses>
  <names type="array">
    <name>a</name>
    <name>b</name>
  </names>
  <nils type="array">
    <nil nil="true"/>
  </nils>
</virtual_machine>
"#;
    assert_eq!(xml("virtual_machine", every_kind()), expected);
}

#[test]
fn an_object_with_every_kind_of_value_as_json() {
    let expected = concat!(
        r#"{"id":12,"big":4611686018427387904,"rate":1.0e+20,"small":1.0e-05,"price":"109.5","#,
        r#""zero":"0.0","booted":true,"user_id":null,"label":"te\u003cx\u003e\u0026\"'t","#,
        r#""note":"","created_at":"2016-12-20T16:19:39.000Z","day":"2016-07-25","empty":{},"#,
        r#""extra":{"cpus":1},"list":[],"#,
        r#""ip_addresses":[{"ip_address":{"address":"1.2.3.4","free":null}}],"#,
        r#""names":["a","b"],"nils":[null]}"#,
    );
    assert_eq!(json(every_kind()), expected);
}

#[test]
fn floats_are_spelled_as_ruby_spells_them() {
    let spelled = [
        (1.5, "1.5"),
        (0.1, "0.1"),
        (100.0, "100.0"),
        (-0.0, "-0.0"),
        (0.0001, "0.0001"),
        (0.00001, "1.0e-05"),
        (1.25e-7, "1.25e-07"),
        (123_456_789.123, "123456789.123"),
        (999_999_999_999_999.0, "999999999999999.0"),
        (1e15, "1.0e+15"),
        (1e16, "1.0e+16"),
        (1e20, "1.0e+20"),
        (-1.5e100, "-1.5e+100"),
    ];
    for (number, text) in spelled {
        assert_eq!(json(number), text);
    }
}

#[test]
fn a_list_at_the_root_is_named_and_its_items_are_in_the_singular() {
    let disk = |id: i64| Value::Model("disk", Object::from([("id", id.into())]));
    let expected = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<disks type=\"array\">\n  <disk>\n    \
                    <id type=\"integer\">1</id>\n  </disk>\n  <disk>\n    <id type=\"integer\">2</id>\n  \
                    </disk>\n</disks>\n";
    assert_eq!(xml("disks", vec![disk(1), disk(2)]), expected);
    assert_eq!(json(vec![disk(1), disk(2)]), r#"[{"disk":{"id":1}},{"disk":{"id":2}}]"#);
    let empty = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<disks type=\"array\"/>\n";
    assert_eq!(xml("disks", vec![]), empty);
}

#[test]
fn lists_in_lists_take_the_singular_again() {
    let nest = Value::List(vec![Value::List(vec![1_i64.into()])]);
    let expected = "<nest type=\"array\">\n    <nest type=\"array\">\n      \
                    <nest type=\"integer\">1</nest>\n    </nest>\n  </nest>";
    assert_eq!(field("nest", nest), expected);
}

#[test]
fn singulars_follow_the_inflections() {
    let names = [
        ("ip_addresses", "ip_address"),
        ("data", "datum"),
        ("status", "status"),
        ("statuses", "status"),
        ("image_templates", "image_template"),
        ("virtualization", "virtualization"),
    ];
    for (many, one) in names {
        assert_eq!(names::singular(many), one);
    }
}

#[test]
fn characters_without_a_place_in_a_format_are_replaced() {
    let odd = "\u{85}\u{1}\u{fffe}\r\n\tz\u{7f}é😀\u{80}\u{9f}\u{81}";
    let shown = "…\u{fffd}\u{fffd}\r\n\tz\u{7f}é😀€Ÿ\u{81}";
    assert_eq!(field("a", odd), format!("<a>{shown}</a>"));
    let escaped = "<>&\u{2028}\u{2029}\u{1b}\u{7f}\"\\/\u{8}\u{c}\n\r\té😀\u{85}";
    let expected = "\"\\u003c\\u003e\\u0026\\u2028\\u2029\\u001b\u{7f}\\\"\\\\/\\b\\f\\n\\r\\t\
                    é😀\u{85}\"";
    assert_eq!(json(escaped), expected);
}

#[test]
fn a_reader_in_another_zone_sees_other_times() {
    let style = Style { zone_minutes: 120, dialect: Dialect::Usual };
    let time = Value::Time(1_482_250_779);
    assert_eq!(json::write(&time, style), "\"2016-12-20T18:19:39.000+02:00\"");
    assert!(xml::write("at", &time, style).contains(">2016-12-20T18:19:39+02:00</at>"));
}

#[test]
fn a_panel_of_another_age_writes_times_and_nulls_its_own_way() {
    let fields = Object::from([("user_id", Value::Null), ("at", Value::Time(1_482_250_779))]);
    let written = |dialect| {
        let style = Style { zone_minutes: 0, dialect };
        let document = xml::write("x", &fields.clone().into(), style);
        let lines = document.lines().skip(2).take(2).map(|line| line.trim().to_owned());
        (json::write(&fields.clone().into(), style), lines.collect::<Vec<_>>())
    };
    let (json, xml) = written(Dialect::Fractions);
    assert!(!json.contains(".000Z") && xml[1].ends_with(":39Z</at>"), "{json} {xml:?}");
    let (_, xml) = written(Dialect::TypedNulls);
    assert_eq!(xml[0], "<user_id type=\"integer\" nil=\"true\"/>");
    let (json, xml) = written(Dialect::Rails3);
    assert!(json.contains("16:19:39Z"), "{json}");
    assert!(xml[1].starts_with("<at type=\"datetime\">"), "{xml:?}");
}

#[test]
fn a_refused_record_has_messages_without_types() {
    let expected = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<errors>\n  \
                    <error>Label can't be blank</error>\n</errors>\n";
    assert_eq!(xml::messages(["Label can't be blank"].into_iter()), expected);
}
