//! What the masker must and must not change, by example and against generated bodies.

use proptest::{collection::vec, prelude::*};
use serde_json::Value;

use super::*;
use crate::vocabulary::Secrecy;

mod bounds;
mod views;

use views::fields;

const SECRET: &str = "0123456789abcdef0123456789abcdef01234567";
const PASSWORD: &str = "p<a\"s&s\\ w,öäß";
const BOUND: usize = 4096;

fn secrets() -> Arc<Secrets> {
    Arc::new(Secrets::new([SECRET, PASSWORD, "short"]))
}

fn mask_with(
    secrets: Arc<Secrets>,
    format: Format,
    chunks: &[&[u8]],
) -> Result<Vec<u8>, MaskError> {
    let mut masker = Masker::new(format, secrets, fields(Secrecy::Shown), BOUND);
    let mut out = Vec::new();
    for chunk in chunks {
        masker.push(chunk, &mut out)?;
    }
    masker.finish(&mut out)?;
    Ok(out)
}

fn mask(format: Format, body: &[u8]) -> Vec<u8> {
    mask_with(secrets(), format, &[body]).expect("no value is over the bound")
}

fn check(format: Format, body: &str, want: &str) {
    let whole = mask(format, body.as_bytes());
    assert_eq!(String::from_utf8_lossy(&whole), want, "{body}");
    let bytes: Vec<&[u8]> = body.as_bytes().chunks(1).collect();
    let cut = mask_with(secrets(), format, &bytes).expect("no value is over the bound");
    assert_eq!(String::from_utf8_lossy(&cut), want, "byte by byte: {body}");
}

fn json(body: &str, want: &str) {
    check(Format::Json, body, want);
}

fn xml(body: &str, want: &str) {
    check(Format::Xml, body, want);
}

fn contains(haystack: &[u8], needle: &str) -> bool {
    memchr::memmem::find(haystack, needle.as_bytes()).is_some()
}

#[test]
fn json_api_keys_are_masked_wherever_they_stand() {
    json(
        r#"{"user":{"id":1,"api_key":"abc","keys":[{"api_key" : "d\"ef"}]}}"#,
        r#"{"user":{"id":1,"api_key":"********","keys":[{"api_key" : "********"}]}}"#,
    );
    json(r#"{"\u0061pi_key":"abc"}"#, r#"{"\u0061pi_key":"********"}"#);
    json(r#"{"api_key":123,"id":4}"#, r#"{"api_key":"********","id":4}"#);
    json(
        r#"{"api_key":[{"key":"abc","n":null}],"label":"x"}"#,
        r#"{"api_key":[{"********":"********","********":null}],"label":"x"}"#,
    );
}

#[test]
fn json_without_a_key_stays_as_it_is() {
    for body in [
        r#"{"api_key":null,"a":"b"}"#,
        r#"{"api_key":"","a":"b"}"#,
        r#"{"api_key":[],"a":"b"}"#,
        r#"["api_key","abc"]"#,
        r#"{"a":"api_key","b":"c"}"#,
        r#"{"xapi_key":"abc","api_keys":"abc"}"#,
        r#"{"a":"\"api_key\":\"abc\""}"#,
        " ",
        "",
        "{}",
    ] {
        json(body, body);
    }
}

#[test]
fn json_values_with_a_secret_are_masked_whole() {
    let escaped: String = SECRET.bytes().map(|b| format!("\\u{b:04X}")).collect();
    for secret in [SECRET, &escaped, &format!("{}\\u0037", &SECRET[..39])] {
        json(&format!(r#"{{"log":"a {secret} b","c":"d"}}"#), r#"{"log":"********","c":"d"}"#);
        json(&format!(r#"[{secret},1]"#), r#"["********",1]"#);
    }
    let password = serde_json::to_string(PASSWORD).expect("a string");
    json(&format!("{{\"a\":{password}}}"), r#"{"a":"********"}"#);
    json(r#"["p\u003Ca\u0022s\u0026s\u005c\u0020w\u002c\u00f6\u00e4\u00df"]"#, r#"["********"]"#);
}

#[test]
fn json_within_json_is_searched_below_its_escapes() {
    let mut body = serde_json::to_string(PASSWORD).expect("a string");
    for _ in 1..LAYERS {
        body = serde_json::to_string(&body).expect("a string");
    }
    json(&body, "\"********\"");
}

#[test]
fn xml_api_keys_are_masked_wherever_they_stand() {
    xml("<u>\n  <api_key>abc</api_key>\n</u>", "<u>\n  <api_key>********</api_key>\n</u>");
    xml(
        "<api_key type=\"a>b\" x='y'><![CDATA[abc]]></api_key><b>c</b>",
        "<api_key type=\"a>b\" x='y'>********</api_key><b>c</b>",
    );
    xml(
        "<api_key type=\"array\">\n  <api_key>abc</api_key>\n</api_key><b>c</b>",
        "<api_key type=\"array\">\n  <api_key>********</api_key>\n</api_key><b>c</b>",
    );
    xml("<api_key><!-- abc --></api_key>", "<api_key>********</api_key>");
    xml("<api_key\n>a&amp;b</api_key >c", "<api_key\n>********</api_key >c");
}

#[test]
fn xml_without_a_key_stays_as_it_is() {
    for body in [
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<a>\n  <api_key nil=\"true\"/>\n  <b>c</b>\n</a>\n",
        "<api_key></api_key><b>c</b>",
        "<api_key>\n</api_key><b>c</b>",
        "<api_key><![CDATA[]]></api_key><b>c</b>",
        "<api_keys><x_api_key>a</x_api_key></api_keys>",
        "<a>&lt;api_key&gt;abc&lt;/api_key&gt;</a>",
        "<a><!-- <api_key>abc</api_key> --></a>",
        "<a",
        "<",
        "<!-",
        "",
    ] {
        xml(body, body);
    }
}

#[test]
fn xml_values_with_a_secret_are_masked_whole() {
    let escaped: String = SECRET.bytes().map(|b| format!("&#x{b:X};")).collect();
    let decimal: String = SECRET.bytes().map(|b| format!("&#000{b};")).collect();
    for secret in [SECRET, &escaped, &decimal] {
        xml(&format!("<a>x {secret} y</a><b>c</b>"), "<a>********</a><b>c</b>");
        xml(
            &format!("<a b=\"c\" d='{secret}' e=\"f\">g</a>"),
            "<a b=\"c\" d='********' e=\"f\">g</a>",
        );
        xml(&format!("<a>x<!-- {secret} --></a>"), "<a>********</a>");
        xml(&format!("<a><![CDATA[{secret}]]></a>"), "<a>********</a>");
        xml(&format!("<a><?pi {secret}?></a>"), "<a>********</a>");
        xml(&format!("<a {secret}>b</a>"), "********b</a>");
    }
    let (head, tail) = SECRET.split_at(7);
    xml(&format!("<a>{head}<![CDATA[{tail}]]></a>"), "<a>********</a>");
    xml(&format!("<a>{head}<!-- x -->{tail}</a>"), "<a>********</a>");
    xml("<a>p&lt;a&quot;s&amp;s\\ w,&#246;ä&#xdf;</a>", "<a>********</a>");
}

#[test]
fn what_is_neither_is_searched_too() {
    let page = format!("<html><p class=x>it's {PASSWORD} and {SECRET}\\");
    for format in [Format::Json, Format::Xml] {
        let out = mask(format, page.as_bytes());
        assert!(!contains(&out, SECRET) && !contains(&out, PASSWORD), "{}", page);
        assert!(contains(&out, MASK));
    }
    json(&format!("{{\"a\":\"b {SECRET}"), r#"{"a":"********""#);
    json(&format!("\" \" \" \\\"{SECRET}\\\" \" "), "\" \" \"********\" ");
}

#[test]
fn what_is_not_utf8_passes() {
    for format in [Format::Json, Format::Xml] {
        let body = b"{\"a\":\"\xff\xfe\\\xff\",\xc3<b>\x80</b>}";
        assert_eq!(mask(format, body), body);
    }
}

#[test]
fn secrets_are_not_printed_and_short_ones_are_ignored() {
    let all = secrets();
    assert_eq!(format!("{all:?}"), "Secrets(..)");
    assert!(!all.is_empty());
    assert!(Secrets::new(["short", ""]).is_empty());
    json(r#"{"a":"short"}"#, r#"{"a":"short"}"#);
}

/// A JSON string whose characters are escaped as the dice say.
fn escape_json(text: &str, dice: &mut impl Iterator<Item = u8>) -> String {
    let mut escaped = String::from("\"");
    for c in text.chars() {
        let die = dice.next().unwrap_or_default() % 4;
        match c {
            '/' if die == 1 => escaped.push_str("\\/"),
            '"' | '\\' if die != 0 => escaped.extend(['\\', c]),
            '"' | '\\' | '\0'..='\u{1f}' => escaped.push_str(&format!("\\u{:04x}", u32::from(c))),
            _ if die == 0 => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    escaped.push_str(&format!("\\u{unit:04X}"));
                }
            }
            _ => escaped.push(c),
        }
    }
    escaped.push('"');
    escaped
}

fn write_json(value: &Value, dice: &mut impl Iterator<Item = u8>) -> String {
    let space = if dice.next().unwrap_or_default().is_multiple_of(5) { " \n" } else { "" };
    match value {
        Value::String(text) => escape_json(text, dice),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|v| write_json(v, dice)).collect();
            format!("[{space}{}]", items.join(","))
        }
        Value::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(k, v)| format!("{}{space}:{}", escape_json(k, dice), write_json(v, dice)))
                .collect();
            format!("{{{}{space}}}", fields.join(","))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// The rule, on a parsed document: the model that the streaming masker must equal.
fn masked(value: &Value, is_key: bool) -> Value {
    match value {
        Value::String(text) => {
            let leaks = text.contains(SECRET) || text.contains(PASSWORD);
            let hide = leaks || is_key && !text.is_empty();
            Value::String(if hide { MASK.to_owned() } else { text.clone() })
        }
        Value::Array(items) => items.iter().map(|v| masked(v, false)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(k, v)| (k.clone(), masked(v, k == "api_key"))).collect()
        }
        Value::Null => Value::Null,
        Value::Bool(_) | Value::Number(_) if is_key => Value::String(MASK.to_owned()),
        Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z\"/\\\\é😀 {}:,<>&\n]{0,12}",
        1 => "[a-c]{0,3}".prop_map(|s| format!("{s}{SECRET}{s}")),
        1 => "[a-c]{0,3}".prop_map(|s| format!("{s}{PASSWORD}{s}")),
    ]
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i32>().prop_map(Value::from),
        text().prop_map(Value::String),
    ]
}

fn document() -> impl Strategy<Value = Value> {
    // A container behind the name is another rule, told by example above.
    let field = prop_oneof![3 => "[a-z_]{1,9}", 1 => Just("label".to_owned())];
    scalar().prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::Array),
            (vec((field.clone(), inner), 0..5), proptest::option::of(scalar())).prop_map(
                |(fields, key)| {
                    let key = key.map(|v| ("api_key".to_owned(), v));
                    Value::Object(fields.into_iter().chain(key).collect())
                }
            ),
        ]
    })
}

fn cut<'a>(body: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut rest = body;
    let mut chunks = Vec::new();
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (chunk, after) = rest.split_at((*size).min(rest.len()));
        chunks.push(chunk);
        rest = after;
    }
    chunks
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    vec(1_usize..20, 1..6)
}

/// Bytes that are dense in what the lexers look at.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => vec(any::<u8>(), 0..4),
        6 => proptest::sample::select(vec![
            "\"", "\\", "\\\"", "{", "}", "[", "]", ":", ",", " ", "null", "\"api_key\"", "\\u00",
            "<", ">", "</", "/>", "=\"", "'", "&", "&#", ";", "<!--", "-->", "<![CDATA[", "]]>",
            "<?", "?>", "<api_key>", "</api_key>", "<a", SECRET, PASSWORD, "0123456789",
        ]).prop_map(|s| s.as_bytes().to_vec()),
    ];
    vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// All that a reader of the document could get out of it, node by node.
fn xml_texts(body: &str) -> Vec<String> {
    use quick_xml::{Reader, events::Event};
    let mut reader = Reader::from_str(body);
    let mut texts = vec![String::new()];
    loop {
        let last = texts.last_mut().expect("there is one");
        match reader.read_event().expect("the output is well-formed") {
            Event::Text(text) => last.push_str(&text),
            Event::CData(text) => last.push_str(&text),
            Event::GeneralRef(name) => {
                let reference = format!("&{};", &*name);
                last.push_str(&quick_xml::escape::unescape(&reference).expect("known"));
            }
            Event::Start(tag) | Event::Empty(tag) => {
                for attribute in tag.attributes() {
                    let value = attribute.expect("an attribute").value;
                    texts.push(quick_xml::escape::unescape(&value).expect("known").into_owned());
                }
                texts.push(String::new());
            }
            Event::End(_) => texts.push(String::new()),
            Event::Comment(text) => texts.push(text.to_string()),
            Event::Eof => return texts,
            _ => {}
        }
    }
}

fn escape_xml(text: &str, dice: &mut impl Iterator<Item = u8>) -> String {
    text.chars().fold(String::new(), |mut escaped, c| {
        match (c, dice.next().unwrap_or_default() % 4) {
            (_, 0) => escaped.push_str(&format!("&#{};", u32::from(c))),
            (_, 1) => escaped.push_str(&format!("&#x{:X};", u32::from(c))),
            ('&', _) => escaped.push_str("&amp;"),
            ('<', _) => escaped.push_str("&lt;"),
            ('>', _) => escaped.push_str("&gt;"),
            ('"', _) => escaped.push_str("&quot;"),
            ('\'', _) => escaped.push_str("&apos;"),
            _ => escaped.push(c),
        }
        escaped
    })
}

/// An XML document of such texts, each in a kind of place that the dice choose.
fn write_xml(texts: &[String], dice: &mut impl Iterator<Item = u8>) -> String {
    let mut body = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<all>\n");
    for text in texts {
        let kind = dice.next().unwrap_or_default() % 6;
        let escaped = escape_xml(text, dice);
        body.push_str(&match kind {
            0 => format!("  <a type=\"b\">{escaped}</a>\n"),
            1 => format!("  <a b=\"{escaped}\" c='d'/>\n"),
            2 => format!("  <a><![CDATA[{}]]></a>\n", text.replace("]]>", "")),
            3 => format!("  <a>x<!-- {} -->y</a>\n", text.replace('-', "")),
            4 => format!("  <api_key type=\"b\">{escaped}</api_key>\n"),
            _ => {
                let middle = text.char_indices().nth(5).map_or(0, |(at, _)| at);
                let (head, tail) = text.split_at(middle);
                let tail = tail.replace("]]>", "");
                format!("  <a>{}<![CDATA[{tail}]]></a>\n", escape_xml(head, dice))
            }
        });
    }
    body.push_str("</all>\n");
    body
}

proptest! {
    #[test]
    fn json_equals_the_model(document in document(), dice in vec(any::<u8>(), 1..200), sizes in sizes()) {
        let body = write_json(&document, &mut dice.into_iter().cycle());
        let out = mask_with(secrets(), Format::Json, &cut(body.as_bytes(), &sizes)).expect("fits");
        let parsed: Value = serde_json::from_slice(&out).expect("the output is JSON");
        let want = masked(&document, false);
        prop_assert_eq!(&parsed, &want);
        if want == document {
            prop_assert_eq!(out, body.into_bytes());
        }
    }

    #[test]
    fn xml_shows_no_secret(texts in vec(text(), 0..8), dice in vec(any::<u8>(), 1..200), sizes in sizes()) {
        let body = write_xml(&texts, &mut dice.into_iter().cycle());
        let out = mask_with(secrets(), Format::Xml, &cut(body.as_bytes(), &sizes)).expect("fits");
        let out = String::from_utf8(out).expect("UTF-8");
        for text in xml_texts(&out) {
            prop_assert!(!text.contains(SECRET) && !text.contains(PASSWORD), "{}", out);
        }
        let clean = texts.iter().all(|t| !t.contains(SECRET) && !t.contains(PASSWORD));
        if clean && !body.contains("<api_key") {
            prop_assert_eq!(out, body);
        }
    }

    #[test]
    fn any_bytes_in_any_chunks_give_the_same(body in soup(), sizes in sizes(), is_xml in any::<bool>()) {
        let format = if is_xml { Format::Xml } else { Format::Json };
        let whole = mask(format, &body);
        let chunked = mask_with(secrets(), format, &cut(&body, &sizes)).expect("fits");
        prop_assert_eq!(&whole, &chunked);
        prop_assert!(!contains(&whole, SECRET) && !contains(&whole, PASSWORD));
        // No token can cut this one in two, so it needs no second look at the finished bytes.
        let uncut = Arc::new(Secrets::new([SECRET]));
        let out = mask_with(uncut, format, &cut(&body, &sizes)).expect("fits");
        prop_assert!(!contains(&out, SECRET));
    }

    #[test]
    fn a_body_without_secrets_and_keys_is_unchanged(body in soup(), sizes in sizes(), is_xml in any::<bool>()) {
        let format = if is_xml { Format::Xml } else { Format::Json };
        let body = String::from_utf8_lossy(&body).replace("api_key", "api-key").into_bytes();
        let none = Arc::new(Secrets::new(["never in the soup"]));
        let out = mask_with(none, format, &cut(&body, &sizes)).expect("fits");
        prop_assert_eq!(out, body);
    }
}
