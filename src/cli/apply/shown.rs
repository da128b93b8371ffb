//! A plan as it is shown: lines for people, a document for programs.

use std::fmt::Write as _;

use serde::Serialize;
use toml::Value;

use crate::{
    tenants::declared::{Act, Change, Name, Plan, Step},
    vocabulary::Closed,
};

/// A plan for programs.
#[derive(Serialize)]
pub(super) struct Shown<'a> {
    applied: bool,
    steps: Vec<ShownStep<'a>>,
    kept: Vec<ShownName<'a>>,
    unmanaged: Vec<ShownName<'a>>,
}

#[derive(Serialize)]
struct ShownStep<'a> {
    act: &'static str,
    #[serde(flatten)]
    name: ShownName<'a>,
    changes: Vec<ShownChange>,
}

#[derive(Serialize)]
struct ShownName<'a> {
    kind: &'static str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
}

#[derive(Serialize)]
struct ShownChange {
    key: &'static str,
    old: Option<serde_json::Value>,
    new: Option<serde_json::Value>,
}

impl<'a> Shown<'a> {
    pub(super) fn of(plan: &'a Plan, applied: bool) -> Self {
        let names = |names: &'a [Name]| names.iter().map(ShownName::of).collect();
        Self {
            applied,
            steps: plan.steps.iter().map(ShownStep::of).collect(),
            kept: names(&plan.kept),
            unmanaged: names(&plan.unmanaged),
        }
    }
}

impl<'a> ShownStep<'a> {
    fn of(step: &'a Step) -> Self {
        let change = |Change { key, old, new }: &Change| ShownChange {
            key,
            old: old.as_ref().map(json),
            new: new.as_ref().map(json),
        };
        Self {
            act: step.act().as_str(),
            name: ShownName::of(&step.name),
            changes: step.changes.iter().map(change).collect(),
        }
    }
}

impl<'a> ShownName<'a> {
    fn of(Name { noun, name, id }: &'a Name) -> Self {
        Self { kind: noun.as_str(), name, id: id.as_deref() }
    }
}

/// A plan for people.
pub(super) fn text(plan: &Plan) -> String {
    let mut text = String::new();
    // Writing to memory does not fail.
    for step in &plan.steps {
        let _ = writeln!(text, "{} {}", step.act().as_str(), called(&step.name));
        for Change { key, old, new } in &step.changes {
            let _ = match (step.act(), old, new) {
                (Act::Create, _, Some(new)) => writeln!(text, "    {key}: {new}"),
                (_, old, new) => writeln!(text, "    {key}: {} -> {}", or_none(old), or_none(new)),
            };
        }
    }
    for name in &plan.unmanaged {
        let _ = writeln!(text, "not declared, left alone: {}", called(name));
    }
    let count = |act| plan.steps.iter().filter(|step| step.act() == act).count();
    let [create, change, remove] = [Act::Create, Act::Change, Act::Remove].map(count);
    let kept = plan.kept.len();
    text + &format!("to create {create}, to change {change}, to remove {remove}, to keep {kept}")
}

fn called(Name { noun, name, id }: &Name) -> String {
    let id = id.as_ref().map(|id| format!(" ({id})")).unwrap_or_default();
    format!("{} {}{id}", noun.as_str(), name.escape_debug())
}

fn or_none(value: &Option<Value>) -> String {
    value.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string)
}

/// JSON has no times, which are texts there.
fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::String(text) => text.as_str().into(),
        Value::Integer(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::Boolean(truth) => (*truth).into(),
        Value::Datetime(time) => time.to_string().into(),
        Value::Array(list) => list.iter().map(json).collect(),
        Value::Table(table) => {
            table.iter().map(|(key, value)| (key.clone(), json(value))).collect()
        }
    }
}
