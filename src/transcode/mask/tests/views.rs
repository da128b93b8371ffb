//! What is masked in which view, and that nothing else changes by a byte.

use super::*;

/// The fields of a view, with one that an operator has named.
pub(super) fn fields(secrecy: Secrecy) -> Arc<Fields> {
    Arc::new(Fields::of(secrecy, &["wifi_phrase".to_owned()]))
}

fn view(secrecy: Secrecy, format: Format, chunks: &[&[u8]], refusal: bool) -> Vec<u8> {
    let masker = Masker::new(format, secrets(), fields(secrecy), BOUND);
    let mut masker = if refusal { masker.of_a_refusal() } else { masker };
    let mut out = Vec::new();
    for chunk in chunks {
        masker.push(chunk, &mut out).expect("no value is over the bound");
    }
    masker.finish(&mut out).expect("no value is over the bound");
    out
}

/// What is shown without secrets, whole and byte by byte; with them all of it is.
fn hides(format: Format, body: &str, want: &str) {
    let bytes = body.as_bytes();
    let cut: Vec<&[u8]> = bytes.chunks(1).collect();
    for chunks in [&[bytes][..], &cut[..]] {
        let hidden = view(Secrecy::Hidden, format, chunks, false);
        assert_eq!(String::from_utf8_lossy(&hidden), want, "{body}");
        let shown = view(Secrecy::Shown, format, chunks, false);
        assert_eq!(String::from_utf8_lossy(&shown), body);
    }
}

#[test]
fn passwords_are_masked_in_the_view_without_secrets_alone() {
    hides(
        Format::Json,
        r#"[{"virtual_machine":{"id":1,"initial_root_password":"a\"b","remote_access_password":12345,"service_password":null,"initial_root_password_encrypted":false,"label":"password"}}]"#,
        r#"[{"virtual_machine":{"id":1,"initial_root_password":"********","remote_access_password":"********","service_password":null,"initial_root_password_encrypted":false,"label":"password"}}]"#,
    );
    hides(
        Format::Xml,
        "<virtual_machine>\n  <initial_root_password>a&amp;b</initial_root_password>\n  <remote_access_password type=\"integer\">12345</remote_access_password>\n  <service_password nil=\"true\"/>\n  <label>password</label>\n</virtual_machine>\n",
        "<virtual_machine>\n  <initial_root_password>********</initial_root_password>\n  <remote_access_password type=\"integer\">********</remote_access_password>\n  <service_password nil=\"true\"/>\n  <label>password</label>\n</virtual_machine>\n",
    );
    hides(
        Format::Json,
        r#"{"wifi_phrase":"x","\u0070assword":["x",{"y":"z"}],"a":["b"]}"#,
        r#"{"wifi_phrase":"********","\u0070assword":["********",{"********":"********"}],"a":["b"]}"#,
    );
}

#[test]
fn a_key_is_masked_in_every_view() {
    for secrecy in [Secrecy::Hidden, Secrecy::Shown] {
        for refusal in [false, true] {
            let body: &[u8] = br#"{"api_key":["abc"],"a":"b"}"#;
            let out = view(secrecy, Format::Json, &[body], refusal);
            assert_eq!(String::from_utf8_lossy(&out), r#"{"api_key":["********"],"a":"b"}"#);
        }
    }
}

#[test]
fn what_is_wrong_with_a_password_is_said_and_the_password_is_not() {
    let body: &[u8] = br#"{"errors":{"initial_root_password":["is too short","is weak"],"password":"sent"},"password":{"a":"sent"}}"#;
    let out = view(Secrecy::Hidden, Format::Json, &[body], true);
    let want = r#"{"errors":{"initial_root_password":["is too short","is weak"],"password":"********"},"password":{"********":"********"}}"#;
    assert_eq!(String::from_utf8_lossy(&out), want);
}

/// A field and its value as a body of a format has them.
#[derive(Clone, Debug)]
struct Field {
    name: String,
    value: Written,
}

#[derive(Clone, Debug)]
enum Written {
    Text(String),
    Number(u32),
    Null,
}

fn field() -> impl Strategy<Value = Field> {
    let name = prop_oneof![
        2 => proptest::sample::select(vec![
            "initial_root_password", "remote_access_password", "redis_password", "password",
            "aflexi_key", "remember_token", "pre_shared_key", "wifi_phrase",
        ]).prop_map(str::to_owned),
        3 => "[a-z_]{1,24}".prop_filter("a name that is masked", |name| {
            fields(Secrecy::Hidden).kind(name.as_bytes()).is_none()
        }),
    ];
    let value = prop_oneof![
        4 => "[a-z0-9\"/\\\\é😀 {}:,<>&]{1,12}".prop_map(Written::Text),
        2 => any::<u32>().prop_map(Written::Number),
        1 => Just(Written::Null),
    ];
    (name, value).prop_map(|(name, value)| Field { name, value })
}

/// The body that shows these fields; where `hidden`, as it is shown without secrets.
fn written(all: &[Field], format: Format, hidden: bool) -> String {
    let mut body = String::new();
    for Field { name, value } in all {
        let hides = hidden && fields(Secrecy::Hidden).kind(name.as_bytes()).is_some();
        body.push_str(&match (format, value) {
            (Format::Json, Written::Null) => format!("\"{name}\": null ,"),
            (Format::Json, _) if hides => format!("\"{name}\": \"{MASK}\" ,"),
            (Format::Json, Written::Text(text)) => {
                let text = serde_json::to_string(text).expect("a string");
                format!("\"{name}\": {text} ,")
            }
            (Format::Json, Written::Number(number)) => format!("\"{name}\": {number} ,"),
            (Format::Xml, Written::Null) => format!("  <{name} nil=\"true\"/>\n"),
            (Format::Xml, Written::Text(text)) if hides && !text.trim_ascii().is_empty() => {
                format!("  <{name}>{MASK}</{name}>\n")
            }
            (Format::Xml, Written::Text(text)) => {
                let text = text.replace('&', "&amp;").replace('<', "&lt;");
                format!("  <{name}>{text}</{name}>\n")
            }
            (Format::Xml, Written::Number(number)) => {
                let shown = if hides { MASK.to_owned() } else { number.to_string() };
                format!("  <{name} type=\"integer\">{shown}</{name}>\n")
            }
        });
    }
    match format {
        Format::Json => format!("{{{body}\"end\":0}}"),
        Format::Xml => format!("<all>\n{body}</all>\n"),
    }
}

proptest! {
    #[test]
    fn a_view_changes_the_values_that_it_hides_and_no_other_byte(
        all in vec(field(), 0..12),
        sizes in sizes(),
        is_xml in any::<bool>(),
    ) {
        let format = if is_xml { Format::Xml } else { Format::Json };
        let body = written(&all, format, false);
        let chunks = cut(body.as_bytes(), &sizes);
        let hidden = view(Secrecy::Hidden, format, &chunks, false);
        prop_assert_eq!(String::from_utf8_lossy(&hidden), written(&all, format, true));
        let shown = view(Secrecy::Shown, format, &chunks, false);
        prop_assert_eq!(String::from_utf8_lossy(&shown), body);
    }
}
