//! What the fuzzers run on is replayed: each file ends in a clear error or the right value, soon.

#[path = "../fuzz/checks.rs"]
mod checks;

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use tollgate::transcode::{
    forced::body_to_json,
    json,
    tree::Bounds,
    xml::{self, Mixed},
};

/// Many times what the largest file takes, and far less than what blows up.
const SOON: Duration = Duration::from_secs(2);

/// Runs all files of a folder of the corpus; says how many there are.
fn replay(target: &str, run: impl Fn(&str, &[u8])) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut count = 0;
    for file in fs::read_dir(&folder).expect("a corpus") {
        let path = file.expect("a file").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let bytes = fs::read(&path).expect("readable");
        let begun = Instant::now();
        run(&name, &bytes);
        assert!(begun.elapsed() < SOON, "{target}/{name} took {:?}", begun.elapsed());
        count += 1;
    }
    count
}

#[test]
fn json_is_read_as_it_should_be() {
    let count = replay("json", |name, bytes| {
        checks::json(bytes);
        let read = json::read(bytes, Bounds::REPLY);
        if name.starts_with("good-") {
            assert_eq!(read.err(), None, "{name}");
        } else if name.starts_with("bad-") {
            assert!(read.is_err(), "{name}");
        }
    });
    assert!(count > 90, "{count}");
}

#[test]
fn xml_is_read_as_it_should_be() {
    let count = replay("xml", |name, bytes| {
        checks::xml(bytes);
        let read = xml::read(bytes, Mixed::Refused, Bounds::REPLY);
        if name.starts_with("good-") {
            assert_eq!(read.err(), None, "{name}");
        } else if name.starts_with("bad-") {
            assert!(read.is_err(), "{name}");
            // Nor is it a body.
            assert!(body_to_json(bytes).is_err(), "{name}");
        }
    });
    assert!(count > 85, "{count}");
}

#[test]
fn whatever_is_wished_for_has_an_answer() {
    let count = replay("negotiation", |_, bytes| checks::negotiation(bytes));
    assert!(count > 10, "{count}");
}
