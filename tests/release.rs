//! What cargo calls in rustc's place: a release is handed the profile, and nothing else is.

use std::{
    env,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
};

const WRAPPER: &str = ".cargo/rustc-with-profile";

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn table(file: &str) -> toml::Table {
    fs::read_to_string(top().join(file)).expect("is there").parse().expect("TOML")
}

/// What a compiler that says this of itself is called with, if cargo has these words for it.
fn called(version: &str, words: &[&str]) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let (compiler, said) = (folder.path().join("a compiler"), folder.path().join("said"));
    fs::write(&said, version).expect("written");
    let script = "#!/bin/sh\nif [ \"$*\" = -vV ]; then cat \"${0%/*}/said\"; else printf '%s\\n' \"$@\"; fi\n";
    fs::write(&compiler, script).expect("written");
    fs::set_permissions(&compiler, Permissions::from_mode(0o755)).expect("may run");
    let output = Command::new(top().join(WRAPPER)).arg(compiler).args(words).output();
    let output = output.expect("it runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect()
}

/// What the compiler that the profile was made with says of itself.
fn version() -> String {
    fs::read_to_string(top().join(".cargo/server.rustc")).expect("is there")
}

const RELEASE: [&str; 5] = ["--crate-name", "tollgate", "-C", "opt-level=3", "a path"];

#[test]
fn a_release_is_handed_the_profile() {
    assert_eq!(table(".cargo/config.toml")["build"]["rustc-wrapper"].as_str(), Some(WRAPPER));
    let release = &table("Cargo.toml")["profile"]["release"];
    assert!(release.get("opt-level").is_none(), "by the level the wrapper knows a release");

    let called = called(&version(), &RELEASE);
    let (profile, before) = called.split_last().expect("words");
    assert_eq!(before, RELEASE);
    let profile = profile.strip_prefix("-Cprofile-use=").expect("the profile");
    assert!(fs::read(profile).expect("is there").starts_with(b"\xfflprofi\x81"));
}

#[test]
fn another_compiler_is_not() {
    assert_eq!(called(&version().replace("release: ", "release: 9"), &RELEASE), RELEASE);
    assert_eq!(called(&version().replace("host: ", "host: un"), &RELEASE), RELEASE);
}

#[test]
fn what_is_no_release_is_left_alone() {
    for given in [
        "-vVv",
        "--crate-name tollgate --test",
        "--crate-name bytes -C opt-level=1 -C debuginfo=0",
        "--crate-name tollgate -C opt-level=3 -Cprofile-generate=counts",
        "--crate-name tollgate -C opt-level=3 -C profile-use=own.profdata",
        "--crate-name tollgate -C opt-level=3 --codegen=profile-use=own.profdata",
        "--crate-name tollgate -C opt-level=3 --target aarch64-unknown-linux-gnu",
        "--crate-name tollgate -C opt-level=3 -C instrument-coverage",
    ] {
        let words: Vec<_> = given.split(' ').collect();
        assert_eq!(called(&version(), &words), words);
    }
}

#[test]
fn the_compiler_takes_the_profile() {
    let folder = tempfile::tempdir().expect("a folder");
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let mut command = Command::new(top().join(WRAPPER));
    command.args([&*rustc, "--crate-type=lib", "-C", "opt-level=3", "-"]).stdin(Stdio::null());
    let output = command.current_dir(folder.path()).output().expect("it runs");
    // What it does not take it does not refuse, but warns of.
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(output.status.success());
}

#[test]
fn a_build_that_fails_has_failed() {
    let status = Command::new(top().join(WRAPPER)).arg("false").status();
    assert!(!status.expect("it runs").success());
}
