//! Bodies of requests: as Rails would have read them in the other format.

use std::collections::{HashMap, HashSet};

use super::{
    Inflection, Unconvertible,
    to_xml::{Purpose, write},
};
use crate::transcode::{
    json::{self, push_string},
    time::{is_date, is_whole_time, without_fraction},
    tree::{Bounds, Tree, Value},
    xml::{self, Mixed},
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
    if matches!(node.kind, Some("symbol" | "yaml" | "file" | "binary" | "base64Binary")) {
        return Err(Unconvertible::Kind);
    }
    match &node.value {
        // A text, whatever it holds.
        Value::Object if node.kind == Some("string") => out.push_str("\"\""),
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
    let all: Vec<(usize, String)> =
        tree.children(at).map(|(at, node)| (at, node.name.replace('-', "_"))).collect();
    let mut groups: Vec<(&str, Vec<usize>)> = Vec::new();
    let mut by_name: HashMap<&str, usize> = HashMap::new();
    for (at, name) in &all {
        let group = *by_name.entry(name).or_insert(groups.len());
        match groups.get_mut(group) {
            Some((_, places)) => places.push(*at),
            None => groups.push((name, vec![*at])),
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
    let bare = text.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\0');
    Ok(match kind {
        Some("string") => string(text),
        _ if text.is_empty() => "null".to_owned(),
        Some("integer") => leading(text, Number::Integer),
        Some("float" | "double" | "decimal") => leading(text, Number::Fraction),
        Some("boolean") => matches!(bare, "1" | "true").to_string(),
        Some("date") if is_date(bare) && is_of_the_calendar(bare) => string(bare),
        Some("datetime" | "dateTime") if is_whole_time(bare) => string(bare),
        Some("datetime" | "dateTime") if without_fraction(bare).is_some() => string(bare),
        Some("date" | "datetime" | "dateTime") => return Err(Unconvertible::Date),
        _ => string(text),
    })
}

/// Whether a month has such a day.
fn is_of_the_calendar(date: &str) -> bool {
    let number = |range: std::ops::Range<usize>| date[range].parse::<u32>().unwrap_or(0);
    let (year, month, day) = (number(0..4), number(5..7), number(8..10));
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => 0,
    };
    (1..=days).contains(&day)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Number {
    Integer,
    Fraction,
}

/// The number that a text begins with, as Ruby reads it; zero if it does not.
fn leading(text: &str, kind: Number) -> String {
    let text = text.trim_start_matches(|c: char| c.is_ascii_whitespace());
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, behind) = digits(rest);
    let whole = whole.trim_start_matches('0');
    let mut number = format!("{sign}{}", if whole.is_empty() { "0" } else { whole });
    if kind == Number::Fraction {
        let mut behind = behind;
        if let Some((part, rest)) =
            behind.strip_prefix('.').map(digits).filter(|(part, _)| !part.is_empty())
        {
            number.push('.');
            number.push_str(&part);
            behind = rest;
        }
        if let Some(exponent) = behind.strip_prefix(['e', 'E']) {
            let (sign, rest) = match exponent.strip_prefix('-') {
                Some(rest) => ("-", rest),
                None => ("", exponent.strip_prefix('+').unwrap_or(exponent)),
            };
            let (part, _) = digits(rest);
            if !part.is_empty() && part.len() < 4 {
                number.push('e');
                number.push_str(sign);
                number.push_str(&part);
            }
        }
    }
    if number == "-0" { "0".to_owned() } else { number }
}

/// The digits that a text begins with, an underscore between two of them left out, and the rest.
fn digits(text: &str) -> (String, &str) {
    let bytes = text.as_bytes();
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut at = 0;
    while is_digit(at) || (at > 0 && bytes.get(at) == Some(&b'_') && is_digit(at + 1)) {
        at += 1;
    }
    (text[..at].replace('_', ""), &text[at..])
}

/// The XML of a body in JSON, such that Rails reads the same of it; nothing for one that says nothing.
pub fn body_to_xml(body: &[u8], inflection: &Inflection) -> Result<String, Unconvertible> {
    let tree = json::read(body, BOUNDS)?;
    if tree.nodes.len() == 1 && matches!(tree.nodes[0].value, Value::Object | Value::Null) {
        // It says nothing, and so does no body at all.
        return Ok(String::new());
    }
    let root = (tree.nodes[0].value == Value::Object).then(|| tree.children(0).collect::<Vec<_>>());
    let Some([(at, node)]) = root.as_deref() else { return Err(Unconvertible::Root) };
    for (at, node) in tree.nodes.iter().enumerate().filter(|(_, n)| n.value == Value::Object) {
        let mut names = HashSet::with_capacity(0);
        if node.end > at + 2 && !tree.children(at).all(|(_, member)| names.insert(&*member.name)) {
            return Err(Unconvertible::Repeated);
        }
    }
    let most = body.len().saturating_mul(8) + LEAST;
    write(&tree, *at, &node.name, inflection, Purpose::Body, most)
}

/// However short a body is, it may become so long.
const LEAST: usize = 4 << 10;
