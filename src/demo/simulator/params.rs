//! Parameters as Rack and Rails collect them: query, body in four encodings, path; one tree.

use serde_json::{Map, Value};

use super::target::{to_i, unescape};
use super::xml_body;

/// How deep `a[b][c]` may nest, as in Rack.
const DEPTH: usize = 32;

/// All that a request said, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params(Map<String, Value>);

/// The body or the query is no such thing as it says it is.
#[derive(Debug, PartialEq)]
pub(crate) struct Malformed;

/// What a body is, by its Content-Type.
enum Encoding {
    Form,
    Multipart(String),
    Json,
    Xml,
    Other,
}

impl Params {
    /// Query and body; the body wins. A body without a type is a form, but only in a POST.
    pub(crate) fn collect(
        query: &str,
        is_post: bool,
        content_type: Option<&str>,
        body: &[u8],
    ) -> Result<Self, Malformed> {
        let mut all = Self::default();
        all.add_pairs(query)?;
        match Encoding::of(content_type, is_post) {
            Encoding::Form => all.add_pairs(&String::from_utf8_lossy(body))?,
            Encoding::Multipart(boundary) => all.add_multipart(&boundary, body)?,
            Encoding::Json if !body.is_empty() => {
                all.add_root(serde_json::from_slice(body).map_err(|_| Malformed)?);
            }
            Encoding::Xml if !body.is_empty() => all.add_root(xml_body::read(body)?),
            Encoding::Json | Encoding::Xml | Encoding::Other => {}
        }
        Ok(all)
    }

    /// The method that a form's `_method` asks for. Rack looks for it before Rails parses.
    pub(crate) fn method_override(content_type: Option<&str>, body: &[u8]) -> Option<String> {
        let mut form = Self::default();
        match Encoding::of(content_type, true) {
            Encoding::Form => form.add_pairs(&String::from_utf8_lossy(body)).ok()?,
            Encoding::Multipart(boundary) => form.add_multipart(&boundary, body).ok()?,
            Encoding::Json | Encoding::Xml | Encoding::Other => return None,
        }
        form.text("_method").map(|method| method.to_ascii_uppercase())
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), Value::String(value.to_owned()));
    }

    /// The parameters under a root, or all of them: clients may leave the root out.
    pub(crate) fn under(&self, root: &str) -> Self {
        match self.0.get(root) {
            Some(Value::Object(fields)) => Self(fields.clone()),
            _ => self.clone(),
        }
    }

    /// A scalar's text, whatever its type was; null and absent are none.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        match self.0.get(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(flag) => Some(flag.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }

    pub(crate) fn integer(&self, name: &str) -> Option<i64> {
        self.text(name).map(|text| to_i(&text))
    }

    pub(crate) fn is_true(&self, name: &str) -> bool {
        matches!(self.text(name).as_deref(), Some("1" | "true" | "t" | "on"))
    }

    /// Each item of a list of integers, such as `role_ids`.
    pub(crate) fn integers(&self, name: &str) -> Option<Vec<i64>> {
        let items = self.0.get(name)?.as_array()?;
        let number = |item: &Value| match item {
            Value::String(text) => Some(to_i(text)),
            other => other.as_i64(),
        };
        Some(items.iter().filter_map(number).collect())
    }

    /// Whether the name was sent, if only as null.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn add_root(&mut self, root: Value) {
        match root {
            Value::Object(fields) => self.0.extend(fields),
            other => {
                self.0.insert("_json".to_owned(), other);
            }
        }
    }

    /// Pairs between `&` or `;`, both of which Rack took for a separator until version 3.
    fn add_pairs(&mut self, text: &str) -> Result<(), Malformed> {
        for pair in text.split(['&', ';']).map(|p| p.trim_start_matches(' ')) {
            if pair.is_empty() {
                continue;
            }
            let (name, value) = match pair.split_once('=') {
                Some((name, value)) => (name, Value::String(lossy(value))),
                None => (pair, Value::Null),
            };
            self.add(&lossy(name), value)?;
        }
        Ok(())
    }

    fn add(&mut self, name: &str, value: Value) -> Result<(), Malformed> {
        let (head, rest) = name.split_at(name.find('[').unwrap_or(name.len()));
        if head.is_empty() {
            return Ok(());
        }
        nest(self.0.entry(head).or_insert(Value::Null), rest, value, 0)
    }

    fn add_multipart(&mut self, boundary: &str, body: &[u8]) -> Result<(), Malformed> {
        let text = String::from_utf8_lossy(body);
        for part in text.split(&format!("--{boundary}")).skip(1) {
            let Some((head, content)) = part.split_once("\r\n\r\n") else { continue };
            let content = content.strip_suffix("\r\n").unwrap_or(content);
            if let Some(name) = part_name(head) {
                self.add(&name, Value::String(content.to_owned()))?;
            }
        }
        Ok(())
    }
}

impl Encoding {
    fn of(content_type: Option<&str>, is_post: bool) -> Self {
        let Some(full) = content_type.filter(|t| !t.trim().is_empty()) else {
            return if is_post { Self::Form } else { Self::Other };
        };
        let (media, rest) = full.split_once([';', ',']).unwrap_or((full, ""));
        match media.trim().to_ascii_lowercase().as_str() {
            "application/x-www-form-urlencoded" => Self::Form,
            "multipart/form-data" | "multipart/mixed" | "multipart/related" => {
                let boundary = rest.split(';').find_map(|p| p.trim().strip_prefix("boundary="));
                Self::Multipart(boundary.unwrap_or("").trim_matches('"').to_owned())
            }
            "application/json" | "text/x-json" | "application/jsonrequest" => Self::Json,
            "application/xml" | "text/xml" | "application/x-xml" => Self::Xml,
            _ => Self::Other,
        }
    }
}

/// Puts a value where `[b][]` says; what a name has been used for before must fit.
fn nest(slot: &mut Value, path: &str, value: Value, depth: usize) -> Result<(), Malformed> {
    let Some((key, rest)) = path.strip_prefix('[').and_then(|p| p.split_once(']')) else {
        *slot = value;
        return Ok(());
    };
    if depth >= DEPTH {
        return Err(Malformed);
    }
    if key.is_empty() {
        if slot.is_null() {
            *slot = Value::Array(Vec::new());
        }
        let items = slot.as_array_mut().ok_or(Malformed)?;
        let mut item = Value::Null;
        nest(&mut item, rest, value, depth + 1)?;
        items.push(item);
        return Ok(());
    }
    if slot.is_null() {
        *slot = Value::Object(Map::new());
    }
    let fields = slot.as_object_mut().ok_or(Malformed)?;
    nest(fields.entry(key).or_insert(Value::Null), rest, value, depth + 1)
}

fn lossy(text: &str) -> String {
    String::from_utf8_lossy(&unescape(text, true)).into_owned()
}

fn part_name(head: &str) -> Option<String> {
    let (_, rest) = head.split_once("name=")?;
    let name = match rest.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next(),
        None => rest.split([';', '\r']).next(),
    };
    name.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: Option<&str> = Some("application/x-www-form-urlencoded");

    fn tree(query: &str, content_type: Option<&str>, body: &str) -> String {
        let all = Params::collect(query, true, content_type, body.as_bytes());
        Value::Object(all.expect("parameters").0).to_string()
    }

    #[test]
    fn pairs_nest_as_in_rack() {
        let found = tree("a=1;b=2&c[]=1&c%5B%5D=2&d[x]=1+2& e=5&f", None, "");
        let expected = r#"{"a":"1","b":"2","c":["1","2"],"d":{"x":"1 2"},"e":"5","f":null}"#;
        assert_eq!(found, expected);
        assert_eq!(Params::collect("a=1&a[b]=2", false, None, b"").err(), Some(Malformed));
    }

    #[test]
    fn a_body_is_read_by_its_type() {
        let expected = r#"{"page":"1","user":{"id":2}}"#;
        assert_eq!(tree("page=1", Some("application/json"), r#"{"user":{"id":2}}"#), expected);
        let xml = "<user><id type=\"integer\">2</id></user>";
        assert_eq!(tree("page=1", Some("text/xml; charset=utf-8"), xml), expected);
        assert_eq!(tree("", Some("application/json"), "null"), r#"{"_json":null}"#);
        assert_eq!(tree("", Some("text/plain"), "a=1"), "{}");
        let single_quotes = Params::collect("", true, Some("application/json"), b"{'a':'2'}");
        assert_eq!(single_quotes.err(), Some(Malformed));
    }

    #[test]
    fn an_override_hides_in_a_form() {
        let method = |kind, body: &str| Params::method_override(kind, body.as_bytes());
        assert_eq!(method(None, "_method=delete").as_deref(), Some("DELETE"));
        assert_eq!(method(FORM, "a=1;%5Fmethod=put").as_deref(), Some("PUT"));
        assert_eq!(method(Some("application/json"), "_method=delete"), None);
        assert_eq!(method(Some("text/plain"), "_method=delete"), None);
        let part = "--B\r\nContent-Disposition: form-data; name=\"_method\"\r\n\r\ndelete\r\n--B--";
        let multipart = Some("multipart/form-data; boundary=B");
        assert_eq!(method(multipart, part).as_deref(), Some("DELETE"));
    }

    #[test]
    fn a_root_may_be_left_out() {
        let rootless = Params::collect("user_id=2&on=true&n=", false, None, b"").expect("params");
        assert_eq!(rootless.under("virtual_machine").integer("user_id"), Some(2));
        assert!(rootless.is_true("on"));
        assert_eq!(rootless.text("n").as_deref(), Some(""));
    }
}
