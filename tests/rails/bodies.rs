//! What Rails reads of bodies in XML, and what its lists' items are called.

use serde_json::Value;
use tollgate::transcode::forced::{Inflection, body_to_json, body_to_xml};

use super::oracle::Rails;

const BODIES: [&str; 66] = [
    "<a/>",
    "<a></a>",
    "<a> </a>",
    "<a>x</a>",
    "<a>&lt;&amp;&#233;</a>",
    "<a><![CDATA[<b>]]></a>",
    "<a type=\"string\"></a>",
    "<a type=\"string\"> x </a>",
    "<a nil=\"true\"/>",
    "<a type=\"integer\" nil=\"true\"/>",
    "<a><b nil=\"true\"/><c nil=\"false\">x</c></a>",
    "<a type=\"integer\">12</a>",
    "<a type=\"integer\">12x</a>",
    "<a type=\"integer\">x</a>",
    "<a type=\"integer\"> -7 </a>",
    "<a type=\"integer\">007</a>",
    "<a type=\"boolean\">true</a>",
    "<a type=\"boolean\">1</a>",
    "<a type=\"boolean\"> true </a>",
    "<a type=\"boolean\">yes</a>",
    "<a type=\"float\">1.5</a>",
    "<a type=\"float\">junk</a>",
    "<a type=\"decimal\">109.50</a>",
    "<a type=\"decimal\">-0.25</a>",
    "<a type=\"date\">2016-07-25</a>",
    "<a type=\"date\">soon</a>",
    "<a type=\"yaml\">x</a>",
    "<a type=\"symbol\">x</a>",
    "<a type=\"unheard-of\">x</a>",
    "<a><b-c>1</b-c><d_e>2</d_e></a>",
    "<a><b>1</b><b>2</b></a>",
    "<a><b>1</b><c>x</c><b>2</b></a>",
    "<a><b><c>1</c></b><b><c>2</c></b></a>",
    "<a><b type=\"array\"><b>1</b><b>2</b></b></a>",
    "<a><b type=\"array\"><c type=\"integer\">1</c></b></a>",
    "<a><b type=\"array\"/></a>",
    "<a><b type=\"array\"><b type=\"array\"><b>x</b></b></b></a>",
    "<a>\n  <b>1</b>\n  <c>\n  </c>\n</a>",
    "<virtual_machine><label>x</label><memory type=\"integer\">512</memory></virtual_machine>",
    "<a type=\"array\" xmlns=\"urn:x\"><b>1</b></a>",
    "<a type=\"array\">x<b>1</b></a>",
    "<l type=\"array\">x</l>",
    "<l type=\"array\" x=\"9\"/>",
    "<b x=\"1\">foo&amp; &amp;bar</b>",
    "<a>x<b/> <c/>y</a>",
    "<a>1\r\n2\r3</a>",
    "<a type=\"float\">1e3</a>",
    "<a type=\"float\">1.5e-3x</a>",
    "<a type=\"decimal\">1e3</a>",
    "<a type=\"integer\">1_000</a>",
    "<a type=\"float\">1_0.5</a>",
    "<a type=\"date\">2016-13-45</a>",
    "<a type=\"date\">2016-02-30</a>",
    "<a type=\"datetime\">soon</a>",
    "<a><b nil=\"true\"><c>1</c></b></a>",
    "<a><b nil=\"true\"> </b></a>",
    "<a><b nil=\"true\" x=\"1\"/></a>",
    "<l type=\"array\" nil=\"true\"/>",
    "<a><b type=\"string\"><c>1</c></b></a>",
    "<a><b type=\"string\"> </b></a>",
    "<a x=\"\"/>",
    "<a><b type=\"sym&#98;ol\">x</b></a>",
    "<a x=\"1\" y=\"&lt;\"><b>2</b></a>",
    "<a><b>1</b><b type=\"integer\">2</b><b/></a>",
    "<a> <b>1</b></a>",
    "<user><role-ids type=\"array\"><role-id type=\"integer\">1</role-id></role-ids></user>",
];

const NAMES: [&str; 105] = [
    "virtual_machines",
    "disks",
    "ip_addresses",
    "addresses",
    "statuses",
    "status",
    "data",
    "news",
    "people",
    "children",
    "men",
    "moves",
    "boxes",
    "buses",
    "bus",
    "analyses",
    "bases",
    "theses",
    "series",
    "species",
    "money",
    "information",
    "equipment",
    "sheep",
    "fish",
    "police",
    "rice",
    "jeans",
    "mice",
    "lice",
    "oxen",
    "vertices",
    "indices",
    "matrices",
    "quizzes",
    "databases",
    "aliases",
    "octopi",
    "viruses",
    "crises",
    "tests",
    "shoes",
    "heroes",
    "tomatoes",
    "foxes",
    "churches",
    "classes",
    "wishes",
    "movies",
    "queries",
    "queues",
    "policies",
    "categories",
    "days",
    "keys",
    "wolves",
    "halves",
    "lives",
    "wives",
    "archives",
    "hives",
    "datum",
    "media",
    "stadia",
    "houses",
    "cases",
    "responses",
    "licenses",
    "address",
    "access",
    "process",
    "class",
    "gas",
    "users",
    "roles",
    "backups",
    "templates",
    "image_templates",
    "hypervisors",
    "hypervisor_zones",
    "data_stores",
    "data_store_zones",
    "networks",
    "network_zones",
    "firewall_rules",
    "schedules",
    "transactions",
    "logs",
    "alerts",
    "payments",
    "limits",
    "user_groups",
    "ssh_keys",
    "dns_zones",
    "vm_stats",
    "usage_statistics",
    "billing_plans",
    "edge_groups",
    "recipes",
    "user_statuses",
    "analysis",
    "os_analysis",
    "basis",
    "thesis",
    "diagnosis",
];

#[test]
fn bodies_are_read_as_rails_reads_them() {
    let mut rails = Rails::start();
    for body in BODIES {
        let ours = body_to_json(body.as_bytes());
        let ours = ours.ok().map(|json| serde_json::from_str::<Value>(&json).expect("JSON"));
        assert_eq!(ours.map(measured), rails.read(body).map(measured), "{body}");
    }
}

/// The same with its numbers as numbers, however they are spelled.
fn measured(value: Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().into(),
        Value::Array(items) => items.into_iter().map(measured).collect(),
        Value::Object(members) => {
            members.into_iter().map(|(name, value)| (name, measured(value))).collect()
        }
        other => other,
    }
}

#[test]
fn what_a_body_says_in_json_it_says_in_xml() {
    let mut rails = Rails::start();
    for body in [
        r#"{"virtual_machine":{"label":"a < b & \"c\"","memory":512,"note":"","on":false,"x":null}}"#,
        r#"{"user":{"role_ids":[1,2],"none":[],"deep":{"a":{"b":" "}},"rate":1.25}}"#,
        r#"{"user_id":2}"#,
        r#"{"a":[{"b":1},{"b":2}]}"#,
        r#"{"disks":{"disk":[{"size":1},{"size":2}],"addresses":["1.2.3.4"]}}"#,
    ] {
        let xml = body_to_xml(body.as_bytes(), &Inflection::default()).expect("a body");
        let said: Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(rails.read(&xml), Some(said), "{xml}");
    }
}

#[test]
fn items_are_called_what_rails_calls_them() {
    let (mut rails, ours) = (Rails::start(), Inflection::default());
    let expected = rails.singulars(&NAMES);
    let wrong: Vec<_> = NAMES
        .iter()
        .zip(&expected)
        .filter(|(name, one)| ours.singular(name) != **one)
        .map(|(name, one)| format!("{name}: {} and not {one}", ours.singular(name)))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
