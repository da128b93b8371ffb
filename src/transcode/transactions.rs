//! The rows of the panel's list of transactions, in JSON.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::value::RawValue;

use super::time;

/// A transaction of the panel, as far as it says what it is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// Its number.
    pub id: u64,
    /// It is pending or running.
    pub open: bool,
    /// What it was begun for.
    pub parent: Option<Subject>,
    /// What it works on.
    pub associated: Option<Subject>,
    /// The number of the transaction that it waits for.
    pub depends_on: Option<u64>,
    /// What is done, such as `build_virtual_machine`; of 64 characters at most.
    pub action: Option<Box<str>>,
    /// The number of the user whose it is.
    pub user: Option<u64>,
    /// When it was begun, as a Unix time in seconds by the panel's clock.
    pub created: Option<i64>,
}

/// What a transaction is about: its type as the panel names it (`VirtualMachine`) and its number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subject {
    /// Its type, of 64 characters at most.
    pub kind: Box<str>,
    /// Its number.
    pub id: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row<'a> {
    #[serde(borrow)]
    transaction: Object<Fields<'a>>,
}

/// The fields as they stand in the text: types drift, and one odd value is not to hide the rest.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    status: &'a RawValue,
    parent_type: Option<&'a RawValue>,
    parent_id: Option<&'a RawValue>,
    associated_object_type: Option<&'a RawValue>,
    associated_object_id: Option<&'a RawValue>,
    dependent_transaction_id: Option<&'a RawValue>,
    action: Option<&'a RawValue>,
    user_id: Option<&'a RawValue>,
    created_at: Option<&'a RawValue>,
}

/// A structure that only an object gives; serde would take an array for one as well.
struct Object<T>(T);

struct ObjectVisitor<T>(PhantomData<T>);

/// The most characters of a type, and of an action.
const WORD: usize = 64;

/// The rows of a page, in its order; none when the body is no list of transactions.
///
/// A row without number or status makes the whole none. A type or number that is missing, null or
/// of an odd kind gives no subject.
pub fn transactions(body: &[u8]) -> Option<Vec<Transaction>> {
    let rows: Vec<Object<Row<'_>>> = serde_json::from_slice(body).ok()?;
    rows.into_iter().map(|Object(row)| row.transaction.0.transaction()).collect()
}

impl Fields<'_> {
    fn transaction(&self) -> Option<Transaction> {
        let status = string(self.status)?;
        Some(Transaction {
            id: number(self.id)?,
            open: matches!(&*status, "pending" | "running"),
            parent: subject(self.parent_type, self.parent_id),
            associated: subject(self.associated_object_type, self.associated_object_id),
            depends_on: self.dependent_transaction_id.and_then(number),
            action: self.action.and_then(word),
            user: self.user_id.and_then(number),
            created: self.created_at.and_then(string).and_then(|text| time::unix(&text)),
        })
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        value.deserialize_map(ObjectVisitor(PhantomData)).map(Self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(members))
    }
}

fn subject(kind: Option<&RawValue>, id: Option<&RawValue>) -> Option<Subject> {
    Some(Subject { kind: word(kind?)?, id: number(id?)? })
}

fn word(json: &RawValue) -> Option<Box<str>> {
    string(json).filter(|word| !word.is_empty() && word.chars().count() <= WORD)
}

fn string(json: &RawValue) -> Option<Box<str>> {
    serde_json::from_str(json.get()).ok()
}

/// The number, or the number in a string of digits.
fn number(json: &RawValue) -> Option<u64> {
    let text = json.get();
    let text = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    // `parse` alone would take a sign.
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests;
