//! The JSON of what is XML alone.

use crate::transcode::{
    json::{is_integer, is_number, push_string},
    time::with_fraction,
    tree::{Node, Tree, Value},
};

/// What is left to be written, last first.
enum Task {
    /// A value, without its name.
    Value(usize),
    /// A member of an object, after a comma or not.
    Member(usize, bool),
    /// An item of a list, likewise, and whether that list is a member.
    Item(usize, bool, bool),
    /// The end of something.
    Close(&'static str),
}

/// Records of the panel that stand in lists of another name.
const RECORDS: [&str; 5] = ["ip_address", "virtual_machine", "network_interface", "disk", "user"];

/// The JSON of a document of XML.
pub fn to_json(xml: &Tree<'_>) -> String {
    let root = &xml.nodes[0];
    let mut out = String::new();
    let mut tasks = match root.value {
        Value::Array => vec![Task::Value(0)],
        // A plain hash at the root has no name of its own.
        Value::Object if root.name == "hash" => vec![Task::Value(0)],
        // Messages of a refused record.
        Value::Object if root.name == "errors" => {
            out.push_str("{\"errors\":[");
            let messages =
                xml.children(0).enumerate().map(|(n, (at, _))| Task::Item(at, n > 0, false));
            let messages: Vec<_> = messages.collect();
            std::iter::once(Task::Close("]}")).chain(messages.into_iter().rev()).collect()
        }
        _ => {
            out.push('{');
            vec![Task::Close("}"), Task::Member(0, false)]
        }
    };
    if root.value == Value::Array && root.name == "errors" {
        out.push_str("{\"errors\":");
        tasks.insert(0, Task::Close("}"));
    }
    while let Some(task) = tasks.pop() {
        match task {
            Task::Close(end) => out.push_str(end),
            Task::Member(at, follows) => {
                member(xml, at, follows, &xml.nodes[at].name, &mut out, &mut tasks);
            }
            Task::Item(at, follows, within) => {
                if follows {
                    out.push(',');
                }
                // A list of records: each is wrapped in its name.
                if xml.nodes[at].value == Value::Object {
                    out.push('{');
                    tasks.push(Task::Close("}"));
                    let name = &xml.nodes[at].name;
                    let name = if within { record(name) } else { name };
                    member(xml, at, false, name, &mut out, &mut tasks);
                } else {
                    value(xml, at, &mut out, &mut tasks);
                }
            }
            Task::Value(at) => value(xml, at, &mut out, &mut tasks),
        }
    }
    out
}

fn member(
    xml: &Tree<'_>,
    at: usize,
    follows: bool,
    name: &str,
    out: &mut String,
    tasks: &mut Vec<Task>,
) {
    if follows {
        out.push(',');
    }
    push_string(out, name);
    out.push(':');
    value(xml, at, out, tasks);
}

/// What a record is called whose list has a name of its own, such as `used_ip_addresses`.
fn record(item: &str) -> &str {
    let known =
        |record: &&&str| item.strip_suffix(**record).is_some_and(|rest| rest.ends_with('_'));
    RECORDS.iter().find(known).copied().unwrap_or(item)
}

fn value(xml: &Tree<'_>, at: usize, out: &mut String, tasks: &mut Vec<Task>) {
    let node = &xml.nodes[at];
    match &node.value {
        Value::Object => {
            out.push('{');
            tasks.push(Task::Close("}"));
            let members = xml.children(at).enumerate().map(|(n, (at, _))| Task::Member(at, n > 0));
            let members: Vec<_> = members.collect();
            tasks.extend(members.into_iter().rev());
        }
        Value::Array => {
            out.push('[');
            tasks.push(Task::Close("]"));
            let within = at > 0;
            let items = xml.children(at).enumerate();
            let items = items.map(|(n, (at, _))| Task::Item(at, n > 0, within));
            let items: Vec<_> = items.collect();
            tasks.extend(items.into_iter().rev());
        }
        Value::Text(text) => scalar(node, text, out),
        Value::Null | Value::Boolean(_) | Value::Number(_) => out.push_str("null"),
    }
}

fn scalar(node: &Node<'_>, text: &str, out: &mut String) {
    let is_blank = text.starts_with('\n') && text[1..].bytes().all(|byte| byte == b' ');
    match node.kind {
        Some("integer") if is_number(text) && is_integer(text) => out.push_str(text),
        Some("integer" | "float") if is_number(text) => out.push_str(text),
        Some("boolean") if matches!(text, "true" | "false") => out.push_str(text),
        // Rails 3 writes `datetime`, and JSON without a fraction.
        Some("dateTime") => {
            let whole = with_fraction(text, 3);
            push_string(out, whole.as_deref().unwrap_or(text));
        }
        None if is_blank => out.push_str("{}"),
        _ => push_string(out, text),
    }
}
