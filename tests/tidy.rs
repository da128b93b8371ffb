//! Style as a test: which folder may import which, what is never written, how long a file may be.
//!
//! Every rule is a function from a file to complaints. It is run over all files of the repository,
//! and over a planted fault that it must find. The limits only go down, and the list of those who
//! exceed one only shrinks.

use std::{
    fs,
    path::{Path, PathBuf},
};

use imports::{first_of, imports, module_of};
use map::{PURE, ROOFS, ROOMS, WORDS};

mod imports;
mod map;

/// A file of the repository.
struct File {
    /// Below the top, with `/`.
    path: String,
    text: String,
}

/// A rule, with a fault that it must find.
struct Rule {
    check: fn(&File) -> Vec<String>,
    /// A path and a text.
    fault: (&'static str, &'static str),
}

const RULES: [Rule; 12] = [
    Rule { check: first_line, fault: ("src/a.rs", "use std::fmt;\n") },
    Rule { check: rooms, fault: ("src/api/a.rs", "use crate::{closed, call::{Call, Effect}};\n") },
    Rule { check: roofs, fault: ("src/net/a.rs", "fn a(c: &crate::config::Config) {}\n") },
    Rule { check: siblings, fault: ("src/layers/a.rs", "use super::{Answer, cache::Found};\n") },
    Rule { check: purity, fault: ("src/cache/entry.rs", "use std::time::{Duration, Instant};\n") },
    Rule { check: names, fault: ("src/net/http_utils.rs", "//! Things.\n") },
    Rule { check: unfinished, fault: ("src/a.rs", concat!("// FIX", "ME: later\n")) },
    Rule { check: unbounded, fault: ("src/a.rs", "let (a, b) = mpsc::unbounded_channel();\n") },
    Rule { check: machine_paths, fault: ("README.md", concat!("cd /ro", "ot/tollgate\n")) },
    Rule { check: file_length, fault: ("src/a.rs", LONG) },
    Rule { check: test_length, fault: ("src/a.rs", LONG_TESTS) },
    Rule { check: series, fault: ("src/metrics/a.rs", "r.counter(\"requests\", \"R.\")\n") },
];

const IMPURE: [&str; 8] =
    ["tokio", "Instant", "SystemTime", "fs", "TcpStream", "UdpSocket", "thread", "spawn"];

/// Names that say nothing.
const EMPTY_NAMES: [&str; 7] = ["util", "utils", "helper", "helpers", "manager", "common", "misc"];

const FILE_LINES: usize = 400;

const LONGER_FILES: [(&str, usize); 3] = [
    ("src/demo/simulator/tests.rs", 583),
    ("src/net/server/wire_guard.rs", 415),
    ("src/transcode/mask/tests.rs", 437),
];

/// A file that has become shorter by more than this gets a lower limit.
const SLACK: usize = 20;

/// Longer tests move to a file beside the code.
const TEST_LINES: usize = 150;

const README_LINES: usize = 150;

/// What the name of a series that is no counter ends in: its unit, or what it counts.
const UNITS: [&str; 11] = [
    "_seconds",
    "_bytes",
    "_info",
    "_in_flight",
    "_entries",
    "_waiting",
    "_quarantined",
    "connections",
    "tokens",
    "_ratio",
    "_up",
];

const LONG: &str = concat!("//! Long.\n", include_str!("tidy.rs"), include_str!("tidy.rs"));
const LONG_TESTS: &str = concat!("#[cfg(test)]\nmod tests {\n", include_str!("tidy.rs"), "}\n");

#[test]
fn every_file_keeps_every_rule() {
    let complaints: Vec<_> = files()
        .iter()
        .flat_map(|file| {
            let said = RULES.iter().flat_map(|rule| (rule.check)(file));
            said.map(|complaint| format!("{}: {complaint}", file.path))
        })
        .collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn every_rule_finds_its_planted_fault() {
    for (place, rule) in RULES.iter().enumerate() {
        let (path, text) = rule.fault;
        let file = File { path: path.to_owned(), text: text.to_owned() };
        assert!(!(rule.check)(&file).is_empty(), "rule {place} does not find {path}: {text:.60}");
    }
}

#[test]
fn the_list_of_longer_files_only_shrinks() {
    let files = files();
    for (path, most) in LONGER_FILES {
        let file = files.iter().find(|f| f.path == path).expect(path);
        let lines = code(&file.text).lines().count();
        let kept = lines > FILE_LINES && lines + SLACK >= most;
        assert!(kept, "{path} has {lines} lines now: lower its limit, or strike it");
    }
}

fn first_line(file: &File) -> Vec<String> {
    complain(is_rust(file) && !file.text.starts_with("//! "), || {
        "its first line does not say, after \"//!\", what its one idea is".to_owned()
    })
}

fn rooms(file: &File) -> Vec<String> {
    let Some((room, allowed)) = ROOMS.iter().find(|(room, _)| file.path.starts_with(room)) else {
        return Vec::new();
    };
    let own = first_of(&module_of(room)).to_owned();
    imports(file)
        .iter()
        .map(|import| (import, first_of(import)))
        .filter(|(_, part)| *part != own && !WORDS.contains(part) && !allowed.contains(part))
        .map(|(import, _)| format!("{room} may not import crate::{import}"))
        .collect()
}

fn roofs(file: &File) -> Vec<String> {
    imports(file)
        .iter()
        .filter_map(|import| {
            let (roof, by) = ROOFS.iter().find(|(roof, _)| *roof == first_of(import))?;
            let inside = first_of(&module_of(&file.path)) == *roof;
            let allowed = inside || by.iter().any(|place| file.path.starts_with(place));
            (!allowed).then(|| format!("crate::{roof} is for {} alone", by.join(", ")))
        })
        .collect()
}

/// A layer knows no other: what two of them need stands in `layers/mod.rs` or below the layers.
fn siblings(file: &File) -> Vec<String> {
    let Some(own) = file.path.strip_prefix("src/layers/") else { return Vec::new() };
    let own = own.split(['.', '/']).next().unwrap_or_default();
    imports(file)
        .iter()
        .filter_map(|import| import.strip_prefix("layers::"))
        .filter(|item| {
            let module = first_of(item);
            item.contains("::") && module != own && module.chars().all(|c| !c.is_uppercase())
        })
        .map(|item| format!("imports the layer {item}"))
        .collect()
}

fn purity(file: &File) -> Vec<String> {
    let pure = PURE.iter().any(|pure| file.path.starts_with(pure)) && !is_test(file);
    if !pure {
        return Vec::new();
    }
    let code = without_comments(code(&file.text));
    // `Clock::Instant` is the type of an injected clock.
    let code = code.replace("as Clock>::Instant", "").replace("C::Instant", "");
    words(&code)
        .filter(|word| IMPURE.contains(word))
        .map(|word| format!("decides, so it has no business with {word}"))
        .collect()
}

fn names(file: &File) -> Vec<String> {
    file.path
        .split(['/', '.', '_', '-'])
        .filter(|part| EMPTY_NAMES.contains(part))
        .map(|part| format!("the name \"{part}\" says nothing"))
        .collect()
}

fn unfinished(file: &File) -> Vec<String> {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let calls = [
        concat!("un", "implemented!"),
        concat!("to", "do!("),
        concat!("#[", "ignore"),
        concat!("allow(", "dead_code"),
    ];
    let said = words(&file.text).filter(|word| marks.contains(word));
    let called = calls.into_iter().filter(|call| file.text.contains(call));
    said.chain(called).map(|mark| format!("says {mark}: do it, or leave it out")).collect()
}

/// Every queue has a bound in the configuration.
fn unbounded(file: &File) -> Vec<String> {
    let ours = file.path.starts_with("src/") && !is_test(file);
    let marks = [concat!("unbounded_", "channel"), concat!("mpsc::", "channel()")];
    let found = marks.iter().any(|mark| code(&file.text).contains(mark));
    complain(ours && found, || "has a queue without a bound".to_owned())
}

fn machine_paths(file: &File) -> Vec<String> {
    let paths = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
        concat!("/tmp/", "tg"),
    ];
    paths
        .iter()
        .filter(|path| file.text.contains(*path))
        .map(|path| format!("names a folder of one machine, {path}"))
        .collect()
}

fn file_length(file: &File) -> Vec<String> {
    let most = match file.path.as_str() {
        "README.md" => README_LINES,
        path if is_rust(file) => {
            let exception = LONGER_FILES.iter().find(|(name, _)| *name == path);
            exception.map_or(FILE_LINES, |(_, most)| *most)
        }
        _ => return Vec::new(),
    };
    let lines = code(&file.text).lines().count();
    complain(lines > most, || format!("has {lines} lines before its tests; {most} are the most"))
}

fn test_length(file: &File) -> Vec<String> {
    let lines = file.text[tests_at(&file.text)..].lines().count();
    complain(is_rust(file) && lines > TEST_LINES, || {
        format!("has {lines} lines of tests; above {TEST_LINES} they move to a file beside it")
    })
}

/// Counters end in `_total`; everything else in its unit, and never in `_total`.
fn series(file: &File) -> Vec<String> {
    if !file.path.starts_with("src/metrics") {
        return Vec::new();
    }
    let code: String = code(&file.text).split_whitespace().collect();
    let kinds = [
        ("counter", true),
        ("counter_vec", true),
        ("counters", true),
        ("grid", true),
        ("gauge", false),
        ("float_gauge", false),
        ("gauge_vec", false),
        ("histogram_vec", false),
        ("histograms", false),
    ];
    let mut complaints = Vec::new();
    for (kind, counts) in kinds {
        for (at, call) in code.match_indices(&format!("r.{kind}(\"")) {
            let name = code[at + call.len()..].split('"').next().unwrap_or_default();
            let ends_well = name.ends_with("_total") == counts
                && (counts || UNITS.iter().any(|unit| name.ends_with(unit)));
            if !ends_well {
                complaints.push(format!("the series \"{name}\" does not end in its unit"));
            }
        }
    }
    complaints
}

fn complain(wrong: bool, why: impl FnOnce() -> String) -> Vec<String> {
    wrong.then(why).into_iter().collect()
}

fn is_rust(file: &File) -> bool {
    Path::new(&file.path).extension().is_some_and(|ext| ext == "rs")
}

fn is_test(file: &File) -> bool {
    ["tests.rs", "/tests/", "_model.rs", "fixture.rs"].iter().any(|part| file.path.contains(part))
}

/// What stands before the tests within the file.
fn code(text: &str) -> &str {
    &text[..tests_at(text)]
}

/// Where the tests within the file begin.
fn tests_at(text: &str) -> usize {
    let inline = text.match_indices("#[cfg(test)]\n").find(|(at, mark)| {
        let behind = &text[at + mark.len()..];
        let module = behind.find("mod tests {");
        module.is_some_and(|at| behind[..at].lines().all(|line| line.starts_with("#[")))
    });
    inline.map_or(text.len(), |(at, _)| at)
}

fn without_comments(code: &str) -> String {
    code.lines().map(|line| line.split("//").next().unwrap_or_default()).fold(
        String::new(),
        |mut all, line| {
            all.push_str(line);
            all.push('\n');
            all
        },
    )
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_')
}

/// Every file that people write, source and prose.
fn files() -> Vec<File> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    for folder in ["src", "tests", "benches", "config", ".cargo", ".ci"] {
        walk(&top.join(folder), &mut paths);
    }
    let beside = fs::read_dir(top).expect("the repository").map(|e| e.expect("an entry").path());
    let hidden = |path: &PathBuf| path.file_name().is_some_and(|n| n.as_encoded_bytes()[0] == b'.');
    paths.extend(beside.filter(|path| path.is_file() && !hidden(path)));
    paths.sort();
    let read = |path: PathBuf| {
        let below = path.strip_prefix(top).expect("below the top");
        // What is not text has no style.
        let text = fs::read_to_string(&path).ok()?;
        Some(File { path: below.to_string_lossy().replace('\\', "/"), text })
    };
    paths.into_iter().filter_map(read).collect()
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            walk(&path, found);
        } else {
            found.push(path);
        }
    }
}
