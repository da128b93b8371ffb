//! Which rows are read, and which are none.

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
        ..Transaction::default()
    };
    let expected = expected.map(|rows| rows.iter().map(row).collect::<Vec<_>>());
    // What the others say is another test's.
    let plain = |row| Transaction { action: None, user: None, created: None, ..row };
    let read = transactions(body.as_bytes());
    let read = read.map(|rows| rows.into_iter().map(plain).collect::<Vec<_>>());
    assert_eq!(read, expected, "{body:.200}");
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
    let longest = "é".repeat(WORD);
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
    for kind in ["null", r#""""#, "3", "true", r#"["Disk"]"#, r#"{"a":"Disk"}"#, r#""\ud800""#] {
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
fn what_was_begun_by_whom_and_when_is_read_if_it_is_there() {
    let read = |members: &str| {
        let body = format!(r#"[{{"transaction":{{"id":7,"status":"running",{members}}}}}]"#);
        let [row] = &transactions(body.as_bytes()).expect("a list")[..] else { panic!("{body}") };
        (row.action.clone(), row.user, row.created)
    };
    let members = r#""action":"build_disk","user_id":"3","created_at":"2026-11-26T17:37:58+02:00""#;
    let expected = (Some("build_disk".into()), Some(3), Some(1_795_707_478));
    assert_eq!(read(members), expected);
    let long = format!(r#""action":"{}","user_id":null"#, "x".repeat(WORD + 1));
    for odd in [r#""action":7,"user_id":[3],"created_at":1795707478"#, &long] {
        assert_eq!(read(odd), (None, None, None), "{odd}");
    }
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
