//! A plan as people are shown it.

use std::fmt::Write as _;

use serde_json::Value;

use crate::{
    operations::declaration::{DeclarationPlan, PlannedChange},
    tenants::declared::Act,
    vocabulary::Closed as _,
};

/// A plan in lines.
pub(super) fn text(plan: &DeclarationPlan) -> String {
    let mut text = String::new();
    // Writing to memory does not fail.
    for step in &plan.steps {
        let called = called(&step.kind, &step.name, step.id.as_deref());
        let _ = writeln!(text, "{} {called}", step.act);
        for PlannedChange { key, old, new } in &step.changes {
            let _ = match (&*step.act == Act::Create.as_str(), old, new) {
                (true, _, new) if !new.is_null() => writeln!(text, "    {key}: {}", or_none(new)),
                (_, old, new) => writeln!(text, "    {key}: {} -> {}", or_none(old), or_none(new)),
            };
        }
    }
    for one in &plan.unmanaged {
        let called = called(&one.kind, &one.name, one.id.as_deref());
        let _ = writeln!(text, "not declared, left alone: {called}");
    }
    let count = |act: Act| plan.steps.iter().filter(|step| step.act == act.as_str()).count();
    let [create, change, remove] = [Act::Create, Act::Change, Act::Remove].map(count);
    let kept = plan.kept.len();
    text + &format!("to create {create}, to change {change}, to remove {remove}, to keep {kept}")
}

fn called(kind: &str, name: &str, id: Option<&str>) -> String {
    let id = id.map(|id| format!(" ({id})")).unwrap_or_default();
    format!("{kind} {}{id}", name.escape_debug())
}

/// As a file says it.
fn or_none(value: &Value) -> String {
    match toml::Value::try_from(value) {
        Ok(value) => value.to_string(),
        // TOML has no word for it.
        Err(_) => "none".to_owned(),
    }
}
