//! `tollgate check`: all that is wrong, at once.

use crate::program::{Ended, PATIENCE, Program, tollgate};

const WRONG: &str = "\
[server]
listen = \"nowhere\"
head_timeot = \"10s\"

[upstreams.main]
url = \"ftp://cloud.example.com\"
queue_timeout = \"soon\"

[cashe]
capacity = \"1GiB\"
";

#[test]
fn every_problem_is_named_with_its_file_line_and_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("wrong.toml");
    std::fs::write(&file, WRONG).expect("written");
    let file = file.display().to_string();
    let expected = [
        (2, "server.listen"),
        (3, "server.head_timeot"),
        (6, "upstreams.main.url"),
        (7, "upstreams.main.queue_timeout"),
        (9, "cashe"),
    ];

    let ended = run(&["--config", &file, "check"], &[]);
    assert_eq!((ended.code, &*ended.out), (Some(78), ""), "{ended:?}");
    for (line, key) in expected {
        let named = ended
            .err
            .lines()
            .any(|l| l.contains(&file) && l.contains(&format!("line {line}")) && l.contains(key));
        assert!(named, "line {line}, {key}: {}", ended.err);
    }

    let ended = run(&["check", "--json", "--config", &file], &[]);
    assert_eq!(ended.code, Some(78), "{ended:?}");
    let report: serde_json::Value = serde_json::from_str(&ended.out).expect("one document");
    assert_eq!((&report["file"], &report["ok"]), (&file.clone().into(), &false.into()));
    let problems = report["problems"].as_array().expect("a list");
    for (line, key) in expected {
        let named = problems.iter().any(|p| p["line"] == line && p["key"] == key);
        assert!(named, "line {line}, {key}: {report}");
    }
    assert_eq!(problems.len(), expected.len(), "{report}");
    // What serves reads the same file with the same eyes.
    let ended = run(&["--config", &file, "serve"], &[]);
    assert_eq!(ended.code, Some(78), "{ended:?}");
    assert!(ended.err.contains("server.head_timeot"), "{ended:?}");
}

#[test]
fn the_reference_configuration_has_no_problem() {
    let reference = concat!(env!("CARGO_MANIFEST_DIR"), "/config/tollgate.toml");
    let ended = run(&["--config", reference, "check"], &[]);
    assert_eq!((ended.code, &*ended.err), (Some(0), ""), "{ended:?}");
    let ended = run(&["check", "--json"], &[("TOLLGATE_CONFIG", reference)]);
    let report: serde_json::Value = serde_json::from_str(&ended.good()).expect("one document");
    assert_eq!(report["ok"], true);
}

#[test]
fn a_variable_overrides_a_key_and_is_blamed_for_it() {
    let reference = concat!(env!("CARGO_MANIFEST_DIR"), "/config/tollgate.toml");
    let variable = ("TOLLGATE__SERVER__HEAD_TIMEOUT", "soon");
    let ended = run(&["--config", reference, "check"], &[variable]);
    assert_eq!(ended.code, Some(78), "{ended:?}");
    assert!(ended.err.contains(variable.0), "{ended:?}");
    let ended = run(&["--config", reference, "check"], &[(variable.0, "3s")]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[test]
fn what_cannot_be_read_and_what_is_no_command_have_codes_of_their_own() {
    let missing = run(&["--config", "/nowhere/tollgate.toml", "check"], &[]);
    assert_eq!(missing.code, Some(66), "{missing:?}");
    assert!(missing.err.contains("/nowhere/tollgate.toml"), "{missing:?}");
    assert_eq!(run(&["chekc"], &[]).code, Some(64));
    let help = run(&["--help"], &[]);
    assert_eq!((help.code, &*help.err), (Some(0), ""));
    let version = run(&["--version"], &[]).good();
    assert_eq!(version.trim(), concat!("tollgate ", env!("CARGO_PKG_VERSION")));
}

fn run(args: &[&str], variables: &[(&str, &str)]) -> Ended {
    let mut command = tollgate(args);
    command.envs(variables.iter().copied());
    Program::start(command, "").end_within(PATIENCE)
}
