//! Bodies of requests: as Rails would have read them in the other format.

use std::collections::HashSet;

use super::{
    Inflection, Unconvertible,
    to_xml::{Looks, write},
};
use crate::transcode::{
    json::{self, push_string},
    time::is_date,
    tree::{Bounds, Tree, Value},
    xml::{self, Mixed, is_name},
};

/// What a body is read within; Rails refuses what is nested deeper.
const BOUNDS: Bounds = Bounds { depth: 100, nodes: 100_000, attributes: 32, name: 255 };

/// What is left to be written, last first.
enum Task<'t> {
    Value(usize),
    Text(String),
    Literal(&'t str),
}

/// The JSON that says what Rails reads of a body in XML (`Hash.from_xml`).
pub fn body_to_json(body: &[u8]) -> Result<String, Unconvertible> {
    let tree = xml::read(body, Mixed::AsRails, BOUNDS)?;
    let mut out = String::from("{");
    push_string(&mut out, &tree.nodes[0].name.replace('-', "_"));
    out.push(':');
    let mut tasks = vec![Task::Literal("}"), Task::Value(0)];
    while let Some(task) = tasks.pop() {
        match task {
            Task::Literal(text) => out.push_str(text),
            Task::Text(text) => out.push_str(&text),
            Task::Value(at) => read(&tree, at, &mut out, &mut tasks)?,
        }
    }
    Ok(out)
}

fn read(
    tree: &Tree<'_>,
    at: usize,
    out: &mut String,
    tasks: &mut Vec<Task<'_>>,
) -> Result<(), Unconvertible> {
    let node = &tree.nodes[at];
    if matches!(node.kind, Some("symbol" | "yaml")) {
        return Err(Unconvertible::Kind);
    }
    match &node.value {
        Value::Array => {
            out.push('[');
            let first = tree.children(at).next().map(|(_, node)| &node.name);
            let items = tree.children(at).filter(|(_, node)| Some(&node.name) == first);
            push_row(tasks, items.map(|(at, _)| at).collect(), "]");
        }
        Value::Object => members(tree, at, out, tasks),
        Value::Text(text) => out.push_str(&scalar(node.kind, text)?),
        Value::Null | Value::Boolean(_) | Value::Number(_) => out.push_str("null"),
    }
    Ok(())
}

/// Members in the order in which their names came first; those of one name are a list.
fn members(tree: &Tree<'_>, at: usize, out: &mut String, tasks: &mut Vec<Task<'_>>) {
    let mut names = HashSet::new();
    let all: Vec<(usize, String)> =
        tree.children(at).map(|(at, node)| (at, node.name.replace('-', "_"))).collect();
    let mut groups: Vec<(&str, Vec<usize>)> = Vec::new();
    for (at, name) in &all {
        if names.insert(name.as_str()) {
            groups.push((name, vec![*at]));
        } else if let Some((_, places)) = groups.iter_mut().find(|(known, _)| known == name) {
            places.push(*at);
        }
    }
    out.push('{');
    tasks.push(Task::Literal("}"));
    for (n, (name, places)) in groups.into_iter().enumerate().rev() {
        if let [only] = places[..] {
            tasks.push(Task::Value(only));
        } else {
            push_row(tasks, places, "]");
            tasks.push(Task::Literal("["));
        }
        let mut text = String::from(if n > 0 { "," } else { "" });
        push_string(&mut text, name);
        text.push(':');
        tasks.push(Task::Text(text));
    }
}

fn push_row(tasks: &mut Vec<Task<'_>>, places: Vec<usize>, end: &'static str) {
    tasks.push(Task::Literal(end));
    for (n, at) in places.into_iter().enumerate().rev() {
        tasks.push(Task::Value(at));
        if n > 0 {
            tasks.push(Task::Literal(","));
        }
    }
}

/// A text as what its type makes of it.
fn scalar(kind: Option<&str>, text: &str) -> Result<String, Unconvertible> {
    let string = |text: &str| {
        let mut out = String::new();
        push_string(&mut out, text);
        out
    };
    Ok(match kind {
        Some("string") => string(text),
        _ if text.is_empty() => "null".to_owned(),
        Some("integer") => leading(text, false),
        Some("float" | "double" | "decimal") => leading(text, true),
        Some("boolean") => matches!(text.trim(), "1" | "true").to_string(),
        Some("date") if is_date(text.trim()) => string(text.trim()),
        Some("date") => return Err(Unconvertible::Date),
        _ => string(text),
    })
}

/// The number that a text begins with; zero if it does not.
fn leading(text: &str, fraction: bool) -> String {
    let text = text.trim_start();
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, behind) = rest.split_at(digits(rest));
    let whole = whole.trim_start_matches('0');
    let mut number = format!("{sign}{}", if whole.is_empty() { "0" } else { whole });
    if fraction && let Some(behind) = behind.strip_prefix('.') {
        let part = &behind[..digits(behind)];
        if !part.is_empty() {
            number.push('.');
            number.push_str(part);
        }
    }
    if number == "-0" { "0".to_owned() } else { number }
}

/// The XML of a body in JSON, such that Rails reads the same of it.
pub fn body_to_xml(body: &[u8], inflection: &Inflection) -> Result<String, Unconvertible> {
    let tree = json::read(body, BOUNDS)?;
    let root = (tree.nodes[0].value == Value::Object).then(|| tree.children(0).collect::<Vec<_>>());
    let Some([(at, node)]) = root.as_deref() else { return Err(Unconvertible::Root) };
    if tree.nodes.iter().skip(1).any(|node| !node.name.is_empty() && !is_name(&node.name)) {
        return Err(Unconvertible::Name);
    }
    Ok(write(&tree, *at, node.name.to_string(), inflection, Looks::DoNotCount))
}
