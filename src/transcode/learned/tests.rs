//! Pairs that are learned from, and what is derived from either side of them.

use super::*;
use crate::transcode::{
    json,
    tree::Bounds,
    xml::{self, DECLARATION, Mixed},
};

/// A document in both formats; the XML without its declaration.
struct Pair<'p>(&'p str, &'p str);

impl Pair<'_> {
    fn xml(&self) -> String {
        format!("{DECLARATION}{}", self.1)
    }

    fn learn(&self, map: &mut Map) -> Result<(), Unlearned> {
        let xml = self.xml();
        let json = json::read(self.0.as_bytes(), Bounds::REPLY).expect("JSON");
        let xml = xml::read(xml.as_bytes(), Mixed::Never, Bounds::REPLY).expect("XML");
        learn(map, &json, &xml)
    }

    fn map(&self) -> Map {
        let mut map = Map::new();
        self.learn(&mut map).expect("a pair");
        map
    }

    /// Both formats come of each other.
    fn check(&self, map: &Map) {
        assert_eq!(xml_of(map, self.0).as_deref(), Ok(&*self.xml()));
        assert_eq!(json_of(map, &self.xml()).as_deref(), Ok(self.0));
    }
}

fn xml_of(map: &Map, text: &str) -> Result<String, Unfit> {
    to_xml(map, &json::read(text.as_bytes(), Bounds::REPLY).expect("JSON"), text.len())
}

fn json_of(map: &Map, text: &str) -> Result<String, Unfit> {
    let tree = xml::read(text.as_bytes(), Mixed::Never, Bounds::REPLY).expect("XML");
    to_json(map, &tree, text.len())
}

const MACHINE: Pair<'_> = Pair(
    r#"{"virtual_machine":{"id":12,"rate":1.0e+20,"price":"109.5","booted":true,"user_id":null,"label":"te\u003cx\u003e\u0026\"'t","note":"","created_at":"2016-12-20T16:19:39.000Z","empty":{},"extra":{"cpus":1},"list":[],"ip_addresses":[{"ip_address":{"address":"1.2.3.4","free":null}},{"ip_address":{"address":"1.2.3.5","free":null}}],"names":["a","b"],"nils":[null],"version":"1.10"}}"#,
    "<virtual_machine>
  <id type=\"integer\">12</id>
  <rate type=\"float\">1.0e+20</rate>
  <price type=\"decimal\">109.5</price>
  <booted type=\"boolean\">true</booted>
  <user_id nil=\"true\"/>
  <label>te&lt;x&gt;&amp;\"'t</label>
  <note></note>
  <created_at type=\"dateTime\">2016-12-20T16:19:39Z</created_at>
  <empty>
  </empty>
  <extra>
    <cpus type=\"integer\">1</cpus>
  </extra>
  <list type=\"array\"/>
  <ip_addresses type=\"array\">
    <ip_address>
      <address>1.2.3.4</address>
      <free nil=\"true\"/>
    </ip_address>
    <ip_address>
      <address>1.2.3.5</address>
      <free nil=\"true\"/>
    </ip_address>
  </ip_addresses>
  <names type=\"array\">
    <name>a</name>
    <name>b</name>
  </names>
  <nils type=\"array\">
    <nil nil=\"true\"/>
  </nils>
  <version>1.10</version>
</virtual_machine>
",
);

#[test]
fn a_machine_comes_of_itself_in_both_formats() {
    MACHINE.check(&MACHINE.map());
}

#[test]
fn what_was_not_seen_is_not_guessed() {
    let map = Pair(
        r#"{"vm":{"id":1,"user_id":null,"at":"2016-12-20T16:19:39.000Z","list":[]}}"#,
        "<vm>\n  <id type=\"integer\">1</id>\n  <user_id nil=\"true\"/>\n  \
         <at type=\"dateTime\">2016-12-20T16:19:39Z</at>\n  <list type=\"array\"/>\n</vm>\n",
    )
    .map();
    for (text, why) in [
        (r#"{"vm":{"id":1,"new":1}}"#, Unfit::Name),
        (r#"{"other":{"id":1}}"#, Unfit::Name),
        (r#"{"vm":{"id":1},"vn":{}}"#, Unfit::Name),
        (r#"[{"vm":{"id":1}}]"#, Unfit::Name),
        ("[]", Unfit::Name),
        (r#"{"vm":{"id":"1"}}"#, Unfit::Kind),
        (r#"{"vm":{"id":1.0}}"#, Unfit::Kind),
        (r#"{"vm":{"user_id":7}}"#, Unfit::Kind),
        (r#"{"vm":[]}"#, Unfit::Kind),
        (r#"{"vm":{"list":[1]}}"#, Unfit::Name),
        (r#"{"vm":{"at":"soon"}}"#, Unfit::Time),
        (r#"{"vm":{"at":"2016-12-20T16:19:39Z"}}"#, Unfit::Time),
        ("1", Unfit::Kind),
    ] {
        assert_eq!(xml_of(&map, text), Err(why), "{text}");
    }
    for (text, why) in [
        ("<vm><new type=\"integer\">1</new></vm>", Unfit::Name),
        ("<vn><id type=\"integer\">1</id></vn>", Unfit::Name),
        ("<vm type=\"array\"/>", Unfit::Kind),
        ("<vm><id>1</id></vm>", Unfit::Kind),
        ("<vm><id type=\"integer\">1x</id></vm>", Unfit::Kind),
        ("<vm><id type=\"integer\">1.0</id></vm>", Unfit::Kind),
        ("<vm><user_id type=\"integer\" nil=\"true\"/></vm>", Unfit::Kind),
        ("<vm><at type=\"dateTime\">soon</at></vm>", Unfit::Time),
        ("<vm><list type=\"array\"><list>1</list></list></vm>", Unfit::Name),
    ] {
        assert_eq!(json_of(&map, text), Err(why), "{text}");
    }
}

#[test]
fn a_list_has_a_root_and_items_of_their_own_names() {
    let disks = Pair(
        r#"[{"disk":{"id":1}},{"disk":{"id":2}}]"#,
        "<image_disks type=\"array\">\n  <image_disk>\n    <id type=\"integer\">1</id>\n  \
         </image_disk>\n  <image_disk>\n    <id type=\"integer\">2</id>\n  </image_disk>\n\
         </image_disks>\n",
    );
    let mut map = disks.map();
    disks.check(&map);
    // What an empty list is called is another question.
    assert_eq!(xml_of(&map, "[]"), Err(Unfit::Name));
    let none = Pair("[]", "<nil-classes type=\"array\"/>\n");
    none.learn(&mut map).expect("a pair");
    none.check(&map);
    disks.check(&map);
    assert_eq!(xml_of(&map, r#"[{"disc":{"id":1}}]"#), Err(Unfit::Name));
    assert_eq!(xml_of(&map, r#"[{"id":1}]"#), Err(Unfit::Name));
}

#[test]
fn a_plain_object_in_a_list_is_told_from_a_model() {
    let plain = Pair(
        r#"{"vm":{"disks":[{"disk":{"id":1}}],"costs":[{"cost":1.5}]}}"#,
        "<vm>\n  <disks type=\"array\">\n    <disk>\n      <disk>\n        \
         <id type=\"integer\">1</id>\n      </disk>\n    </disk>\n  </disks>\n  \
         <costs type=\"array\">\n    <cost>\n      <cost type=\"float\">1.5</cost>\n    </cost>\n  \
         </costs>\n</vm>\n",
    );
    plain.check(&plain.map());
    let either = Pair(
        r#"[{"disk":{"disk":{"disk":1}}}]"#,
        "<disks type=\"array\">\n  <disk>\n    <disk>\n      <disk type=\"integer\">1</disk>\n    \
         </disk>\n  </disk>\n</disks>\n",
    );
    assert_eq!(either.learn(&mut Map::new()), Err(Unlearned::Ambiguous));
}

#[test]
fn what_does_not_say_the_same_is_not_learned_from() {
    for (json, xml, why) in [
        (r#"{"a":{"b":1}}"#, "<a>\n  <b type=\"integer\">2</b>\n</a>\n", Unlearned::Values),
        (r#"{"a":{"b":1}}"#, "<a>\n  <c type=\"integer\">1</c>\n</a>\n", Unlearned::Names),
        (r#"{"a":{"b":1,"c":1}}"#, "<a>\n  <c>1</c>\n  <b>1</b>\n</a>\n", Unlearned::Names),
        (r#"{"a":{"b":"x"}}"#, "<a>\n  <b>y</b>\n</a>\n", Unlearned::Values),
        (r#"{"a":{"b":null}}"#, "<a>\n  <b></b>\n</a>\n", Unlearned::Values),
        (
            r#"{"a":{"b":"2016-12-20T16:19:39.000Z"}}"#,
            "<a>\n  <b>2016-12-20T16:19:39Z</b>\n</a>\n",
            Unlearned::Values,
        ),
        (
            r#"{"a":{"b":[1,"2"],"c":["1","2"]}}"#,
            "<a>\n  <b type=\"array\">\n    <b type=\"integer\">1</b>\n    <b>2</b>\n  </b>\n  \
          <c type=\"array\">\n    <c>1</c>\n    <c type=\"decimal\">2</c>\n  </c>\n</a>\n",
            Unlearned::Contradiction,
        ),
        ("1", "<a>1</a>", Unlearned::Values),
    ] {
        assert_eq!(Pair(json, xml).learn(&mut Map::new()), Err(why), "{json}");
    }
}

#[test]
fn fractions_of_a_second_are_lost_in_xml() {
    let pair = Pair(
        r#"{"a":{"at":"2016-12-20T16:19:39.250Z"}}"#,
        "<a>\n  <at type=\"datetime\">2016-12-20T16:19:39Z</at>\n</a>\n",
    );
    let map = pair.map();
    assert!(!map.tells_json());
    assert_eq!(xml_of(&map, pair.0).as_deref(), Ok(&*pair.xml()));
    assert_eq!(json_of(&map, &pair.xml()), Err(Unfit::Ambiguous));
}

#[test]
fn what_xml_replaces_is_not_put_back() {
    let pair = Pair(r#"{"a":{"b":"x\u0001y"}}"#, "<a>\n  <b>x\u{fffd}y</b>\n</a>\n");
    let map = pair.map();
    assert_eq!(xml_of(&map, pair.0).as_deref(), Ok(&*pair.xml()));
    assert_eq!(json_of(&map, &pair.xml()), Err(Unfit::Ambiguous));
}

#[test]
fn what_may_be_something_else_is_not_taken_for_what_it_was() {
    let pair = Pair(
        r#"{"a":{"price":"1.5","day":"2016-07-25","note":"x","id":1}}"#,
        "<a>\n  <price type=\"decimal\">1.5</price>\n  <day type=\"date\">2016-07-25</day>\n  \
         <note>x</note>\n  <id type=\"integer\">1</id>\n</a>\n",
    );
    let map = pair.map();
    pair.check(&map);
    for (text, why) in [
        // Of another type, which Rails shows as what it is.
        (r#"{"a":{"price":"n/a"}}"#, Unfit::Kind),
        (r#"{"a":{"price":""}}"#, Unfit::Kind),
        (r#"{"a":{"day":"soon"}}"#, Unfit::Kind),
        // Rails' own JSON has a name once, though its XML may have it twice.
        (r#"{"a":{"id":1,"id":2}}"#, Unfit::Name),
    ] {
        assert_eq!(xml_of(&map, text), Err(why), "{text}");
    }
    for (text, why) in [
        ("<a><price type=\"decimal\">n/a</price></a>", Unfit::Kind),
        ("<a><id type=\"integer\">1</id><id type=\"integer\">2</id></a>", Unfit::Name),
        // An object without members, or white space.
        ("<a>\n  <note>\n  </note>\n</a>", Unfit::Ambiguous),
    ] {
        assert_eq!(json_of(&map, text), Err(why), "{text}");
    }
    let either = Pair(
        r#"{"a":{"b":1,"b":2}}"#,
        "<a>\n  <b type=\"integer\">1</b>\n  \
        <b type=\"integer\">2</b>\n</a>\n",
    );
    assert_eq!(either.learn(&mut Map::new()), Err(Unlearned::Ambiguous));
}

#[test]
fn a_list_is_named_by_what_is_in_it() {
    let mixed = Pair(
        r#"["a",1]"#,
        "<objects type=\"array\">\n  <object>a</object>\n  \
         <object type=\"integer\">1</object>\n</objects>\n",
    );
    let mut map = mixed.map();
    assert_eq!(xml_of(&map, r#"["b"]"#), Err(Unfit::Name));
    let one = Pair(r#"["b"]"#, "<strings type=\"array\">\n  <string>b</string>\n</strings>\n");
    assert_eq!(
        one.learn(&mut map),
        Err(Unlearned::Contradiction),
        "its items are called otherwise"
    );
}

#[test]
fn a_map_survives_being_written_down() {
    let map = MACHINE.map();
    let text = serde_json::to_string(&map).expect("a map");
    assert!(!text.contains("1.2.3.4") && !text.contains("109.5"), "{text}");
    let read: Map = serde_json::from_str(&text).expect("a map");
    assert_eq!((&read, read.check()), (&map, Ok(())));
    MACHINE.check(&read);
    for broken in [
        r#"{"root":{},"places":[]}"#,
        r#"{"root":{},"places":[{"object":[["a",0]]}]}"#,
        r#"{"root":{},"places":[{"null":{"type":"a\"b"}}]}"#,
        r#"{"root":{},"places":[{"text":{"form":{"whole_seconds":{"digits":100000}}}}]}"#,
    ] {
        let read: Map = serde_json::from_str(broken).expect("a map");
        assert!(read.check().is_err(), "{broken}");
    }
}
