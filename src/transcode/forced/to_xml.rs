//! The XML of what is JSON alone.

use super::Inflection;
use crate::transcode::{
    json::is_integer,
    time::{is_date, is_whole_time, without_fraction},
    tree::{Tree, Value},
    xml::{DECLARATION, is_name, push_text},
};

/// What is left to be written, last first.
enum Task {
    /// A node, and what it is called.
    Node(usize, String),
    /// The end of an element.
    Close(String),
}

/// How much is taken for what it looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Looks {
    /// A time, a date or an exact number in a text has its type: the upstream's own replies.
    Count,
    /// A text is a text, and one without characters says so: bodies of requests.
    DoNotCount,
}

/// The XML of a document of JSON; `root` is what a list is called whose items do not say: records are
/// called by their own name.
pub fn to_xml(json: &Tree<'_>, root: &str, inflection: &Inflection) -> String {
    let node = &json.nodes[0];
    if let Some(errors) = errors(json) {
        return errors;
    }
    let (at, name) = match node.value {
        Value::Object => match wrapped(json, 0) {
            Some(at) => (at, json.nodes[at].name.to_string()),
            None => (0, "hash".to_owned()),
        },
        _ => (0, records(json, inflection).unwrap_or_else(|| root.to_owned())),
    };
    write(json, at, name, inflection, Looks::Count)
}

/// What a list of records is called, if it is one: all of its items are wrapped in one name.
fn records(json: &Tree<'_>, inflection: &Inflection) -> Option<String> {
    let mut names = json.children(0).map(|(at, _)| Some(&*json.nodes[wrapped(json, at)?].name));
    let first = names.next()??;
    names.all(|name| name == Some(first)).then(|| inflection.plural(first))
}

/// Writes what is below a node as a document.
pub(super) fn write(
    json: &Tree<'_>,
    at: usize,
    name: String,
    inflection: &Inflection,
    looks: Looks,
) -> String {
    let mut out = String::from(DECLARATION);
    let mut depth = 0;
    let mut tasks = vec![Task::Node(at, name)];
    while let Some(task) = tasks.pop() {
        let (at, name) = match task {
            Task::Node(at, name) => (at, name_of(&name)),
            Task::Close(name) => {
                depth -= 1;
                line(&mut out, depth, &["</", &name, ">"]);
                continue;
            }
        };
        let node = &json.nodes[at];
        let typed = |kind: &str| format!(" type=\"{kind}\"");
        match &node.value {
            Value::Null => line(&mut out, depth, &["<", &name, " nil=\"true\"/>"]),
            Value::Boolean(flag) => {
                scalar(&mut out, depth, &name, &typed("boolean"), &flag.to_string());
            }
            Value::Number(text) => {
                let kind = if is_integer(text) { "integer" } else { "float" };
                scalar(&mut out, depth, &name, &typed(kind), text);
            }
            Value::Text(text) => match kind_of(text, looks) {
                Some((kind, shown)) => scalar(&mut out, depth, &name, &typed(kind), &shown),
                None => scalar(&mut out, depth, &name, "", text),
            },
            Value::Array if node.end == at + 1 => {
                line(&mut out, depth, &["<", &name, " type=\"array\"/>"]);
            }
            Value::Array => {
                line(&mut out, depth, &["<", &name, " type=\"array\">"]);
                depth += 1;
                tasks.push(Task::Close(name.clone()));
                let item = inflection.singular(&name);
                // `used_ip_addresses` may be a list of records that are an `ip_address`.
                let is_record = |name: &str| {
                    item.strip_suffix(name)
                        .is_some_and(|rest| rest.is_empty() || rest.ends_with('_'))
                };
                let items = json.children(at).map(|(at, _)| {
                    let inner = wrapped(json, at);
                    let inner = inner.filter(|inner| is_record(&json.nodes[*inner].name));
                    Task::Node(inner.unwrap_or(at), item.clone())
                });
                let items: Vec<_> = items.collect();
                tasks.extend(items.into_iter().rev());
            }
            Value::Object => {
                line(&mut out, depth, &["<", &name, ">"]);
                depth += 1;
                tasks.push(Task::Close(name));
                let members =
                    json.children(at).map(|(at, node)| Task::Node(at, node.name.to_string()));
                let members: Vec<_> = members.collect();
                tasks.extend(members.into_iter().rev());
            }
        }
    }
    out
}

/// The one member of an object that holds an object or a list.
fn wrapped(json: &Tree<'_>, at: usize) -> Option<usize> {
    if json.nodes[at].value != Value::Object {
        return None;
    }
    let mut members = json.children(at);
    let (only, None) = (members.next()?, members.next()) else { return None };
    matches!(only.1.value, Value::Object | Value::Array).then_some(only.0)
}

/// The type that a text has by its looks, and what XML shows of it.
fn kind_of(text: &str, looks: Looks) -> Option<(&'static str, String)> {
    if looks == Looks::DoNotCount {
        return text.is_empty().then(|| ("string", String::new()));
    }
    if let Some((whole, _)) = without_fraction(text) {
        return Some(("dateTime", whole));
    }
    // Only Rails 3 writes a time without a fraction, and what it calls that.
    if is_whole_time(text) {
        return Some(("datetime", text.to_owned()));
    }
    let decimal = text.strip_prefix('-').unwrap_or(text).split_once('.').is_some_and(|(w, f)| {
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        digits(w) && digits(f) && (w == "0" || !w.starts_with('0'))
    });
    let kind = if decimal {
        "decimal"
    } else if is_date(text) {
        "date"
    } else {
        return None;
    };
    Some((kind, text.to_owned()))
}

/// What a refused record has in XML: its messages alone, each with the name of its field.
fn errors(json: &Tree<'_>) -> Option<String> {
    let at = wrapped(json, 0).filter(|at| json.nodes[*at].name == "errors")?;
    if json.nodes[at].value != Value::Object {
        return None;
    }
    let mut out = String::from(DECLARATION);
    out.push_str("<errors>\n");
    for (field, node) in json.children(at) {
        if node.value != Value::Array {
            return None;
        }
        for (_, message) in json.children(field) {
            let Value::Text(text) = &message.value else { return None };
            let whole = match &*node.name {
                "base" => text.to_string(),
                name => format!("{} {text}", titled(name)),
            };
            scalar(&mut out, 1, "error", "", &whole);
        }
    }
    out.push_str("</errors>\n");
    Some(out)
}

/// `primary_disk_id` becomes `Primary disk`.
fn titled(field: &str) -> String {
    let words = field.strip_suffix("_id").unwrap_or(field).replace('_', " ");
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// A name, or what stands for one that XML does not have.
fn name_of(name: &str) -> String {
    if is_name(name) {
        return name.to_owned();
    }
    let allowed = |c: char| if c.is_alphanumeric() || "_-.".contains(c) { c } else { '_' };
    let replaced: String = name.chars().map(allowed).collect();
    if is_name(&replaced) { replaced } else { format!("_{replaced}") }
}

fn scalar(out: &mut String, depth: usize, name: &str, kind: &str, text: &str) {
    indent(out, depth);
    out.extend(["<", name, kind, ">"]);
    push_text(out, text);
    out.extend(["</", name, ">\n"]);
}

fn line(out: &mut String, depth: usize, parts: &[&str]) {
    indent(out, depth);
    out.extend(parts.iter().copied());
    out.push('\n');
}

fn indent(out: &mut String, depth: usize) {
    out.extend(std::iter::repeat_n("  ", depth));
}
