//! Transactions and the log that is made of them, newest first.

use super::super::app::{Call, Outcome};
use super::super::panel::{Kind, Record};
use super::super::rails::{Object, Value};

/// How many are shown when no page is asked for.
const SHOWN: usize = 10;

pub(crate) fn index(call: &mut Call<'_>) -> Outcome {
    list(call, call.visible_ids(Kind::Transaction))
}

pub(crate) fn show(call: &mut Call<'_>) -> Outcome {
    let id = call.id(0);
    call.visible(Kind::Transaction, id)?;
    call.show(Kind::Transaction, id)
}

pub(crate) fn of_machine(call: &mut Call<'_>) -> Outcome {
    let machine = call.machine()?;
    list(call, call.panel.of_machine(Kind::Transaction, machine))
}

pub(crate) fn logs(call: &mut Call<'_>) -> Outcome {
    list_logs(call, call.visible_ids(Kind::Transaction))
}

pub(crate) fn logs_of_machine(call: &mut Call<'_>) -> Outcome {
    let machine = call.machine()?;
    list_logs(call, call.panel.of_machine(Kind::Transaction, machine))
}

fn list(call: &Call<'_>, mut ids: Vec<u64>) -> Outcome {
    ids.sort_unstable_by(|a, b| b.cmp(a));
    call.list_of(Kind::Transaction.root(), ids, Some(SHOWN), |c, id| {
        c.view(Kind::Transaction, id).ok()
    })
}

fn list_logs(call: &Call<'_>, mut ids: Vec<u64>) -> Outcome {
    ids.sort_unstable_by(|a, b| b.cmp(a));
    call.list_of("log_items", ids, Some(SHOWN), |c, id| {
        c.panel.get(Kind::Transaction, id).map(log_item)
    })
}

fn log_item(transaction: &Record) -> Value {
    let field = |name: &str| transaction.fields.get(name).cloned().unwrap_or(Value::Null);
    let item = Object::from([
        ("action", field("action")),
        ("created_at", field("created_at")),
        ("id", field("log_item_id")),
        ("status", field("status")),
        ("target_id", field("parent_id")),
        ("target_type", field("parent_type")),
        ("updated_at", field("updated_at")),
    ]);
    Value::Model("log_item", item)
}
