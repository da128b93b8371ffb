//! The XML of what is JSON alone.

use std::rc::Rc;

use super::{Inflection, Unconvertible};
use crate::transcode::{
    json::is_integer,
    time::{is_date, is_whole_time, without_fraction},
    tree::{Tree, Value},
    xml::{DECLARATION, is_character, is_in_a_name, is_name, push_text},
};

/// What is left to be written, last first. A name is shared by all items of a list.
enum Task {
    /// A node, and what it is called.
    Node(usize, Rc<str>),
    /// The end of an element.
    Close(Rc<str>),
}

/// Whose document it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The upstream's reply: a time, a date or an exact number in a text has its type, a record has no
    /// wrapper, and what XML does not have is replaced.
    Reply,
    /// A body of a request, which Rails is to read as the JSON that it was: a text is a text, an
    /// object is an object, and what XML does not have is refused.
    Body,
}

/// The XML of a document of JSON, if it is no longer than `most`; `root` is what a list is called whose
/// items do not say: records are called by their own name.
pub fn to_xml(json: &Tree<'_>, root: &str, inflection: &Inflection, most: usize) -> Option<String> {
    let node = &json.nodes[0];
    if let Some(errors) = errors(json, most) {
        return errors.ok();
    }
    let (at, name) = match node.value {
        Value::Object => match wrapped(json, 0) {
            Some(at) => (at, json.nodes[at].name.to_string()),
            None => (0, "hash".to_owned()),
        },
        _ => (0, records(json, inflection).unwrap_or_else(|| root.to_owned())),
    };
    write(json, at, &name, inflection, Purpose::Reply, most).ok()
}

/// What a list of records is called, if it is one: all of its items are wrapped in one name.
fn records(json: &Tree<'_>, inflection: &Inflection) -> Option<String> {
    let mut names = json.children(0).map(|(at, _)| Some(&*json.nodes[wrapped(json, at)?].name));
    let first = names.next()?.filter(|name| !name.is_empty())?;
    names.all(|name| name == Some(first)).then(|| inflection.plural(first))
}

/// Writes what is below a node as a document, no longer than `most`.
pub(super) fn write(
    json: &Tree<'_>,
    at: usize,
    name: &str,
    inflection: &Inflection,
    purpose: Purpose,
    most: usize,
) -> Result<String, Unconvertible> {
    let mut out = String::from(DECLARATION);
    let mut depth = 0;
    let mut tasks = vec![Task::Node(at, name_of(name, purpose)?)];
    while let Some(task) = tasks.pop() {
        if out.len() > most {
            return Err(Unconvertible::Size);
        }
        let (at, name) = match task {
            Task::Node(at, name) => (at, name),
            Task::Close(name) => {
                depth -= 1;
                line(&mut out, depth, &["</", &name, ">"]);
                continue;
            }
        };
        let node = &json.nodes[at];
        let mut typed = |kind: &str, text: &str| {
            scalar(&mut out, depth, &name, &format!(" type=\"{kind}\""), text, purpose)
        };
        match &node.value {
            Value::Null => line(&mut out, depth, &["<", &name, " nil=\"true\"/>"]),
            Value::Boolean(flag) => typed("boolean", &flag.to_string())?,
            Value::Number(text) if is_integer(text) => typed("integer", text)?,
            Value::Number(text) => typed("float", text)?,
            Value::Text(text) => match kind_of(text, purpose) {
                Some((kind, shown)) => typed(kind, &shown)?,
                None => scalar(&mut out, depth, &name, "", text, purpose)?,
            },
            Value::Array if node.end == at + 1 => {
                line(&mut out, depth, &["<", &name, " type=\"array\"/>"]);
            }
            // Rails would read the white space within as a text.
            Value::Object if node.end == at + 1 && purpose == Purpose::Body => {
                line(&mut out, depth, &["<", &name, "/>"]);
            }
            Value::Array => {
                line(&mut out, depth, &["<", &name, " type=\"array\">"]);
                depth += 1;
                tasks.push(Task::Close(Rc::clone(&name)));
                push_items(json, at, &name, inflection, purpose, &mut tasks);
            }
            Value::Object => {
                line(&mut out, depth, &["<", &name, ">"]);
                depth += 1;
                tasks.push(Task::Close(name));
                let first = tasks.len();
                for (at, node) in json.children(at) {
                    tasks.push(Task::Node(at, name_of(&node.name, purpose)?));
                }
                tasks[first..].reverse();
            }
        }
    }
    Ok(out)
}

fn push_items(
    json: &Tree<'_>,
    list: usize,
    name: &str,
    inflection: &Inflection,
    purpose: Purpose,
    tasks: &mut Vec<Task>,
) {
    // Rails reads whatever the first item is called; of replies it matters.
    let item: Rc<str> = match purpose {
        // Of `s` nothing would be left.
        Purpose::Reply => match inflection.singular(name) {
            one if is_name(&one) => one.into(),
            _ => name.into(),
        },
        Purpose::Body => "item".into(),
    };
    // `used_ip_addresses` may be a list of records that are an `ip_address`.
    let is_record = |name: &str| {
        item.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('_'))
    };
    let first = tasks.len();
    for (at, _) in json.children(list) {
        let inner = wrapped(json, at).filter(|_| purpose == Purpose::Reply);
        let inner = inner.filter(|inner| is_record(&json.nodes[*inner].name));
        tasks.push(Task::Node(inner.unwrap_or(at), Rc::clone(&item)));
    }
    tasks[first..].reverse();
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
fn kind_of(text: &str, purpose: Purpose) -> Option<(&'static str, String)> {
    if purpose == Purpose::Body {
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
fn errors(json: &Tree<'_>, most: usize) -> Option<Result<String, Unconvertible>> {
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
            if let Err(error) = scalar(&mut out, 1, "error", "", &whole, Purpose::Reply) {
                return Some(Err(error));
            }
            if out.len() > most {
                return Some(Err(Unconvertible::Size));
            }
        }
    }
    out.push_str("</errors>\n");
    Some(Ok(out))
}

/// `primary_disk_id` becomes `Primary disk`.
fn titled(field: &str) -> String {
    let words = field.strip_suffix("_id").unwrap_or(field).replace('_', " ");
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// A name, or what stands for one that XML does not have.
fn name_of(name: &str, purpose: Purpose) -> Result<Rc<str>, Unconvertible> {
    if purpose == Purpose::Body {
        // Rails reads a dash as an underscore, what stands before a colon as a namespace, and the text
        // of an element as the last of these.
        let read_otherwise = name.contains(['-', ':']) || name == "__content__";
        let good = is_name(name) && !read_otherwise;
        return if good { Ok(name.into()) } else { Err(Unconvertible::Name) };
    }
    if is_name(name) {
        return Ok(name.into());
    }
    let allowed = |c: char| if is_in_a_name(c) && c != ':' { c } else { '_' };
    let replaced: String = name.chars().map(allowed).collect();
    Ok(if is_name(&replaced) { replaced.into() } else { format!("_{replaced}").into() })
}

fn scalar(
    out: &mut String,
    depth: usize,
    name: &str,
    kind: &str,
    text: &str,
    purpose: Purpose,
) -> Result<(), Unconvertible> {
    indent(out, depth);
    out.extend(["<", name, kind, ">"]);
    match purpose {
        Purpose::Reply => push_text(out, text),
        Purpose::Body => push_exact(out, text)?,
    }
    out.extend(["</", name, ">\n"]);
    Ok(())
}

/// A text such that it is read as it is.
fn push_exact(out: &mut String, text: &str) -> Result<(), Unconvertible> {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // Else it would be read as a line feed.
            '\r' => out.push_str("&#13;"),
            character if is_character(character) => out.push(character),
            _ => return Err(Unconvertible::Character),
        }
    }
    Ok(())
}

fn line(out: &mut String, depth: usize, parts: &[&str]) {
    indent(out, depth);
    out.extend(parts.iter().copied());
    out.push('\n');
}

fn indent(out: &mut String, depth: usize) {
    out.extend(std::iter::repeat_n("  ", depth));
}
