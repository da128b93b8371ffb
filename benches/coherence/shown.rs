//! What a reply shows of machines.

use std::borrow::Cow;

use serde::Deserialize;

/// A machine as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    /// Its number.
    pub(crate) id: u64,
    /// The counter in its label; zero for one that this load has not written.
    pub(crate) label: u64,
    /// Whether it runs.
    pub(crate) booted: bool,
    /// Whether a transaction holds it.
    pub(crate) locked: bool,
}

/// What a machine is called.
#[derive(Deserialize)]
pub(crate) struct Made {
    /// Its number.
    pub(crate) id: u64,
    /// Its 14 characters.
    pub(crate) identifier: String,
}

/// Rails wraps each resource in its name.
#[derive(Deserialize)]
struct Wrapped<T> {
    virtual_machine: T,
}

#[derive(Deserialize)]
struct Row<'a> {
    id: u64,
    /// The list of states has none.
    #[serde(borrow, default)]
    label: Cow<'a, str>,
    booted: bool,
    locked: bool,
}

/// The machines of a list, in the order of their numbers.
pub(crate) fn list(body: &[u8]) -> serde_json::Result<Vec<Shown>> {
    let rows: Vec<Wrapped<Row<'_>>> = serde_json::from_slice(body)?;
    let mut shown: Vec<_> = rows.iter().map(|row| Shown::of(&row.virtual_machine)).collect();
    shown.sort_unstable_by_key(|machine| machine.id);
    Ok(shown)
}

/// The machine of an item.
pub(crate) fn item(body: &[u8]) -> serde_json::Result<Shown> {
    let row: Wrapped<Row<'_>> = serde_json::from_slice(body)?;
    Ok(Shown::of(&row.virtual_machine))
}

/// The machine that a reply says has been made.
pub(crate) fn made(body: &[u8]) -> serde_json::Result<Made> {
    serde_json::from_slice(body).map(|made: Wrapped<Made>| made.virtual_machine)
}

impl Shown {
    fn of(row: &Row<'_>) -> Self {
        let counter = row.label.strip_prefix('v').and_then(|counter| counter.parse().ok());
        let label = counter.unwrap_or_default();
        Self { id: row.id, label, booted: row.booted, locked: row.locked }
    }
}
