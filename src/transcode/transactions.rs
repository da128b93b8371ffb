//! The rows of the panel's list of transactions, in JSON.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::value::RawValue;

/// A transaction of the panel, as far as it says what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
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
}

/// A structure that only an object gives; serde would take an array for one as well.
struct Object<T>(T);

struct ObjectVisitor<T>(PhantomData<T>);

/// The most characters of a type.
const KIND: usize = 64;

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
    let kind = string(kind?)?;
    let fits = !kind.is_empty() && kind.chars().count() <= KIND;
    let id = number(id?)?;
    fits.then_some(Subject { kind, id })
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
mod tests {
    use super::*;

    /// Id, open, parent, associated, the transaction that it depends on.
    type Expected<'a> = (u64, bool, Option<(&'a str, u64)>, Option<(&'a str, u64)>, Option<u64>);

    #[track_caller]
    fn check(body: &str, expected: Option<&[Expected<'_>]>) {
        let subject = |(kind, id): (&str, u64)| Subject { kind: kind.into(), id };
        let row = |&(id, open, parent, associated, depends_on): &Expected<'_>| Transaction {
            id,
            open,
            parent: parent.map(subject),
            associated: associated.map(subject),
            depends_on,
        };
        let expected = expected.map(|rows| rows.iter().map(row).collect::<Vec<_>>());
        assert_eq!(transactions(body.as_bytes()), expected, "{body:.200}");
    }

    /// One row with these members.
    #[track_caller]
    fn check_row(members: &str, expected: Option<Expected<'_>>) {
        let body = format!(r#"[{{"transaction":{{{members}}}}}]"#);
        check(&body, expected.as_ref().map(std::slice::from_ref));
    }

    #[test]
    fn rows_are_read_in_order() {
        let first = r#"{"transaction":{"action":"startup_virtual_machine","id":7,
            "status":"running","parent_type":"VirtualMachine","parent_id":1,
            "associated_object_type":"Disk","associated_object_id":3,"params":{"id":8,"a":[1.5]},
            "dependent_transaction_id":6,"identifier":"abcdefghijklmn"}}"#;
        let second = r#"{"transaction":{"id":"6","status":"complete","parent_type":null,
            "parent_id":null,"dependent_transaction_id":null}}"#;
        let seven = (7, true, Some(("VirtualMachine", 1)), Some(("Disk", 3)), Some(6));
        let six = (6, false, None, None, None);
        check("[]", Some(&[]));
        check(&format!(" [{first},\n{second}]\n"), Some(&[seven, six]));
        check(&format!("[{second},{first}]"), Some(&[six, seven]));
    }

    #[test]
    fn pending_and_running_are_open() {
        for (status, open) in [
            ("pending", true),
            ("running", true),
            (r"runn\u0069ng", true),
            ("complete", false),
            ("failed", false),
            ("cancelled", false),
            ("Running", false),
            ("", false),
        ] {
            let members = format!(r#""id":7,"status":"{status}""#);
            check_row(&members, Some((7, open, None, None, None)));
        }
    }

    #[test]
    fn a_subject_needs_its_type_and_its_number() {
        let longest = "é".repeat(KIND);
        let check_parent = |kind: &str, id: &str, parent: Option<(&str, u64)>| {
            let members = format!(
                r#""id":7,"status":"failed","parent_type":{kind},"parent_id":{id},
                "associated_object_id":{id},"associated_object_type":{kind}"#
            );
            check_row(&members, Some((7, false, parent, parent, None)));
        };
        check_parent(r#""Disk""#, "3", Some(("Disk", 3)));
        check_parent(r#""Disk""#, r#""00003""#, Some(("Disk", 3)));
        check_parent(r#""A\u003cB""#, "18446744073709551615", Some(("A<B", u64::MAX)));
        check_parent(&format!("\"{longest}\""), "3", Some((&longest, 3)));
        check_parent(&format!("\"{longest}x\""), "3", None);
        for kind in ["null", r#""""#, "3", "true", r#"["Disk"]"#, r#"{"a":"Disk"}"#, r#""\ud800""#]
        {
            check_parent(kind, "3", None);
        }
        let odd = ["null", "-3", "3.0", "3e0", r#""""#, r#""+3""#, r#""3x""#, "[3]", "{}", "true"];
        for id in odd.into_iter().chain(["18446744073709551616"]) {
            check_parent(r#""Disk""#, id, None);
            let members = format!(r#""id":7,"status":"failed","dependent_transaction_id":{id}"#);
            check_row(&members, Some((7, false, None, None, None)));
        }
        check_row(
            r#""id":7,"status":"failed","parent_type":"Disk","associated_object_id":3"#,
            Some((7, false, None, None, None)),
        );
    }

    #[test]
    fn a_row_needs_its_number_and_its_status() {
        check_row(r#""status":"running""#, None);
        check_row(r#""id":7"#, None);
        check_row(r#""params":{"id":7,"status":"running"}"#, None);
        for id in ["null", r#""x""#, "-7", "7.5", "[7]", "18446744073709551616"] {
            check_row(&format!(r#""id":{id},"status":"running""#), None);
        }
        for status in ["null", "1", r#"["running"]"#, r#"{"a":"running"}"#] {
            check_row(&format!(r#""id":7,"status":{status}"#), None);
        }
        check_row(r#""id":7,"status":"running","id":8"#, None);
        let good = r#"{"transaction":{"id":7,"status":"running"}}"#;
        check(&format!(r#"[{good},{{"transaction":{{"id":8}}}}]"#), None);
    }

    #[test]
    fn what_is_no_list_of_transactions_gives_none() {
        let row = r#"{"transaction":{"id":7,"status":"running"}}"#;
        for body in ["", " ", "{}", "null", row, "[null]", "[{}]", r#"[{"log_item":{"id":7}}]"#] {
            check(body, None);
        }
        check(r#"[{"transaction":[7,"running",null,null,null,null,null]}]"#, None);
        check(r#"[[{"id":7,"status":"running"}]]"#, None);
        check(r#"[{"transaction":{"id":7,"status":"running"},"other":1}]"#, None);
        check(&format!("[{row}]]"), None);
        let whole = format!("[{row}]");
        for end in 0..whole.len() {
            check(&whole[..end], None);
        }
        assert_eq!(transactions(b"\xff"), None);
    }

    #[test]
    fn depth_costs_no_stack() {
        let (opening, closing) = ("[".repeat(10_000), "]".repeat(10_000));
        check(&opening, None);
        check(&format!("{opening}{closing}"), None);
        check(&r#"[{"transaction":"#.repeat(10_000), None);
        let deep = format!(r#""id":7,"status":"running","params":{opening}{closing}"#);
        check_row(&deep, Some((7, true, None, None, None)));
        let deep = format!(r#""id":7,"status":"running","parent_id":{opening}{closing}"#);
        check_row(&deep, Some((7, true, None, None, None)));
        check_row(&format!(r#""id":{opening}{closing},"status":"running""#), None);
    }
}
