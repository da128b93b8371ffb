//! Command lines, what they print, and how they end.

use std::{
    fs,
    io::{self, BufReader, Write},
    os::unix::fs::PermissionsExt,
};

use clap::CommandFactory;

use super::*;
use crate::{
    auth::token::{Environment, Shape, shape},
    cli::{input::Input, output::Output},
    tenants::{
        fixture::{Fixture, NOW, origin, scope},
        secret::Vault,
    },
};

/// Runs a command line; standard input and the variable `S` hold a secret.
pub(super) fn run(fixture: &mut Fixture, line: &str) -> Result<String, Failure> {
    run_with(fixture, line, "a-secret\n")
}

/// Likewise with another standard input, on which an operator also answers.
pub(super) fn run_with(fixture: &mut Fixture, line: &str, stdin: &str) -> Result<String, Failure> {
    run_asked(fixture, line, stdin, &mut Vec::new())
}

/// The same, with whoever is asked something.
pub(super) fn run_asked(
    fixture: &mut Fixture,
    line: &str,
    stdin: &str,
    asks: &mut dyn Write,
) -> Result<String, Failure> {
    let arguments = line.split_whitespace().map(OsString::from);
    let cli = Cli::read(std::iter::once("tollgate".into()).chain(arguments)).expect("usage");
    let mut written = Vec::new();
    let Fixture { store, keyring, .. } = fixture;
    let means = Means {
        vault: Vault { keyring, origin: &origin },
        scope: &scope,
        environment: &Environment::parse("test").expect("a word"),
    };
    let mut desk = Desk {
        counter: Counter::Store { store, means },
        admit: &|_, _, _| Ok(()),
        input: Input {
            stdin: &mut BufReader::new(stdin.as_bytes()),
            variable: &|name| (name == "S").then(|| "another-secret".to_owned()),
        },
        output: Output::new(&mut written, cli.json),
        now: NOW,
    };
    match &cli.command {
        Command::Tenant(command) => tenant::run(command, &mut desk),
        Command::Credential(CredentialCommand::Stored(command)) => {
            credential::run(command, &mut desk)
        }
        Command::Token(command) => token::run(command, &mut desk),
        Command::AdminToken(command) => admin_token::run(command, &mut desk),
        Command::Import(args) => import::run(args, &mut desk),
        Command::Apply(args) => apply::run(args, &mut desk, Some(asks)),
        Command::Vault(command) => vault::run(command, &mut desk),
        Command::MasterKey(args) => master_key::run(args, &mut desk.output),
        other => panic!("{other:?} does not belong to the store"),
    }?;
    Ok(String::from_utf8(written).expect("text"))
}

pub(super) fn refused(fixture: &mut Fixture, line: &str) -> (Exit, String) {
    let failure = run(fixture, line).expect_err("refused");
    (failure.exit(), failure.report())
}

fn usage(line: &str) -> String {
    let arguments = std::iter::once("tollgate").chain(line.split_whitespace());
    let error = Cli::read(arguments.map(OsString::from)).expect_err("usage");
    assert_eq!(exit_of(&error), Exit::Usage);
    error.to_string()
}

pub(super) const ADD_CREDENTIAL: &str =
    "credential add main-1 --upstream main --login joe --secret-stdin";

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
    let help = Cli::read(["tollgate", "--help"].map(OsString::from)).expect_err("help");
    assert_eq!(exit_of(&help), Exit::Ok);
    for line in [
        "serve",
        "check --json",
        "upstream list",
        "credential test x",
        "demo --json",
        "purge --all --json",
        "purge --tenant x --family a,b --family c",
        "purge --path /virtual_machines/5.json",
        "purge --soft --credential x --family a",
    ] {
        let arguments = std::iter::once("tollgate").chain(line.split_whitespace());
        Cli::read(arguments.map(OsString::from)).expect(line);
    }
}

#[test]
fn who_is_told_to_do_what_only_another_can_does_nothing() {
    let refused = |line: &str| {
        let arguments = std::iter::once("tollgate").chain(line.split_whitespace());
        let cli = Cli::read(arguments.map(OsString::from)).expect(line);
        let failure = dispatch::run(&cli, &mut io::empty(), &mut Vec::new()).expect_err(line);
        (failure.exit(), failure.report())
    };
    for line in [
        "serve",
        "check",
        "demo",
        "master-key /nowhere/key",
        "upstream list",
        "credential test x",
        "vault rewrap --new-master-key-file /nowhere/key",
    ] {
        let (exit, report) = refused(&format!("{line} --server https://192.0.2.1:9145"));
        assert_eq!((exit, report.contains("leave --server out")), (Exit::Usage, true), "{report}");
    }
    for line in ["purge --all", "explain 0123456789abcdef", "formats list"] {
        let (exit, report) = refused(&format!("{line} --offline"));
        assert_eq!((exit, report.contains("leave --offline out")), (Exit::Usage, true), "{report}");
    }
}

#[test]
fn tenant_credential_and_token_are_set_up_listed_and_removed() {
    let mut fixture = Fixture::new();
    let mut run = |line: &str| run(&mut fixture, line).expect(line);
    assert_eq!(run("tenant add acme --reads 50/100 --writes 5"), "tenant acme added\n");
    assert_eq!(run(ADD_CREDENTIAL), "credential main-1 added\n");
    let token = run("token create --tenant acme --credential main-1 --read-only --expires-in 30d");
    let Shape::Ours { id } = shape(token.trim_end().as_bytes()) else { panic!("{token}") };
    assert!(token.starts_with("tg_test_"));

    let tenants = run("tenant list");
    let mut lines = tenants.lines().map(|l| l.split_whitespace().collect::<Vec<_>>());
    assert_eq!(lines.next().expect("a heading")[..3], ["NAME", "FORMAT", "READS"]);
    assert_eq!(lines.next().expect("a row")[..5], ["acme", "json", "50/100", "5/5", "unlimited"]);

    let tokens: serde_json::Value =
        serde_json::from_str(&run("token list --json --tenant acme")).expect("JSON");
    assert_eq!(tokens[0]["id"], id);
    assert_eq!(tokens[0]["expires"], NOW + 30 * 86_400);
    assert_eq!((&tokens[0]["access"], &tokens[0]["state"]), (&"read-only".into(), &"good".into()));
    assert_eq!(run("token list --json --tenant other"), "[]\n");

    assert_eq!(run(&format!("token revoke {id}")), format!("token {id} revoked\n"));
    assert_eq!(run("tenant remove acme"), "tenant acme removed\n");
    assert_eq!(run("credential remove main-1 --json"), "{\"credential\":\"main-1\"}\n");
    assert_eq!(run("token list"), "");
}

#[test]
fn a_tenant_changes_only_in_what_is_given() {
    let mut fixture = Fixture::new();
    run(&mut fixture, "tenant add acme --reads 50/100 --limit-status 403").expect("added");
    run(&mut fixture, "tenant set acme --reads unlimited --default-format xml").expect("set");
    let listed = run(&mut fixture, "tenant list --json").expect("listed");
    assert!(listed.contains(r#""default_format":"xml","reads":null"#), "{listed}");
    assert!(listed.contains(r#""limit_status":403"#), "{listed}");
    assert_eq!(refused(&mut fixture, "tenant set acme").0, Exit::Usage);
}

#[test]
fn secrets_come_from_a_file_standard_input_or_the_environment() {
    let mut fixture = Fixture::new();
    let file = fixture.folder.path().join("secret");
    fs::write(&file, "a-file-secret\r\n").expect("written");
    let add = |name: &str, source: &str| {
        format!("credential add {name} --upstream main --email joe@example.com {source}")
    };
    run(&mut fixture, &add("a", &format!("--secret-file {}", file.display()))).expect("file");
    run(&mut fixture, &add("b", "--secret-file -")).expect("stdin");
    run(&mut fixture, &add("c", "--secret-env S")).expect("variable");
    let vault = Vault { keyring: &fixture.keyring, origin: &origin };
    let records = fixture.store.records().expect("read").credentials;
    let secrets = records.iter().map(|r| vault.open(r).expect("opened").pair().1.to_owned());
    assert_eq!(secrets.collect::<Vec<_>>(), ["a-file-secret", "a-secret", "another-secret"]);

    assert_eq!(refused(&mut fixture, &add("d", "--secret-env NONE")).0, Exit::NoInput);
    assert_eq!(refused(&mut fixture, &add("d", "--secret-file /nowhere")).0, Exit::NoInput);
    let long = "x".repeat(5000);
    let failure = run_with(&mut fixture, &add("d", "--secret-stdin"), &long).expect_err("long");
    assert_eq!(failure.exit(), Exit::Data);
}

#[test]
fn a_rotation_says_its_generation() {
    let mut fixture = Fixture::new();
    run(&mut fixture, ADD_CREDENTIAL).expect("added");
    let rotated = run(&mut fixture, "credential rotate main-1 --login joe --secret-env S --json");
    assert_eq!(rotated.expect("rotated"), "{\"credential\":\"main-1\",\"generation\":2}\n");
}

#[test]
fn a_standing_is_declared_changed_and_listed() {
    let mut fixture = Fixture::new();
    let mut run = |line: &str| run(&mut fixture, line).expect(line);
    run(ADD_CREDENTIAL);
    run(&(ADD_CREDENTIAL.replace("-1", "-2") + " --reach own --account joe"));
    let listed = run("credential list");
    let rows: Vec<Vec<_>> = listed.lines().map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(rows[0][2..5], ["KIND", "REACH", "ACCOUNT"]);
    assert_eq!(rows[1][..5], ["main-1", "main", "password", "-", "-"]);
    assert_eq!(rows[2][..5], ["main-2", "main", "password", "own", "joe"]);

    let set = run("credential set main-1 --account joe --json");
    assert_eq!(set, "{\"credential\":\"main-1\"}\n");
    assert_eq!(run("credential set main-2 --reach all"), "credential main-2 changed\n");
    let listed = run("credential list --json");
    assert!(listed.contains(r#""reach":null,"account":"joe""#), "{listed}");
    assert!(listed.contains(r#""reach":"all","account":"joe""#), "{listed}");

    let own = ADD_CREDENTIAL.replace("-1", "-3") + " --reach own";
    let (exit, report) = refused(&mut fixture, &own);
    assert_eq!(exit, Exit::Data);
    assert!(report.contains("name its account"), "{report}");
}

#[test]
fn permissions_are_changed_without_the_policies_and_the_other_way_round() {
    let mut fixture = Fixture::new();
    let mut run = |line: &str| run(&mut fixture, line).expect(line);
    run("tenant add acme");
    run(ADD_CREDENTIAL);
    run("token create --tenant acme --credential main-1 --monthly-writes 4");
    let mut token = |change: &str| -> serde_json::Value {
        let listed: serde_json::Value =
            serde_json::from_str(&run("token list --json")).expect("JSON");
        let id = listed[0]["id"].as_str().expect("an id").to_owned();
        let set = run(&format!("token set {id} {change} --json"));
        serde_json::from_str(&set).expect("JSON")
    };
    let permitted = token("--permit secrets:read,explain");
    assert_eq!(permitted["permissions"], serde_json::json!(["explain", "secrets:read"]));
    assert!(permitted["policies"].to_string().contains("monthly"), "{permitted}");
    let limited = token("--monthly-writes 5");
    assert_eq!(limited["permissions"], permitted["permissions"]);
    assert_ne!(limited["policies"], permitted["policies"]);
    assert_eq!(token("--permit none")["permissions"], serde_json::json!([]));
    assert!(!token("--none")["policies"].to_string().contains("monthly"));
}

#[test]
fn nothing_that_is_listed_shows_a_secret() {
    let mut fixture = Fixture::new();
    run(&mut fixture, "tenant add acme").expect("added");
    run(&mut fixture, ADD_CREDENTIAL).expect("added");
    let token = run(&mut fixture, "token create --tenant acme --credential main-1").expect("one");
    let secret = token.split('_').nth(3).expect("a secret");
    for line in ["tenant list", "credential list", "token list"] {
        for json in ["", " --json"] {
            let listed = run(&mut fixture, &format!("{line}{json}")).expect("listed");
            assert!(!listed.contains(secret) && !listed.contains("a-secret"), "{listed}");
        }
    }
}

#[test]
fn bad_input_is_named_with_its_exit_code() {
    let mut fixture = Fixture::new();
    run(&mut fixture, "tenant add acme").expect("added");
    run(&mut fixture, ADD_CREDENTIAL).expect("added");
    run(&mut fixture, "token create --tenant acme --credential main-1").expect("created");
    let create = "token create --tenant acme --credential main-1";
    for (line, exit, message) in [
        ("tenant add acme".to_owned(), Exit::Data, "there is already a tenant \"acme\""),
        ("tenant remove acme".to_owned(), Exit::Data, "is in use by the token"),
        ("token revoke nothing".to_owned(), Exit::Data, "there is no token \"nothing\""),
        (format!("{create} --allow moons"), Exit::Usage, "\"moons\" is neither"),
        (format!("{create} --not-before 2h --expires-in 1h"), Exit::Data, "expire before"),
        (
            ADD_CREDENTIAL.replace("main ", "mian ").replace("-1", "-2"),
            Exit::Config,
            "no upstream \"mian\"",
        ),
        (ADD_CREDENTIAL.replace("joe", "j:e").replace("-1", "-2"), Exit::Data, "colon"),
        ("import /nowhere".to_owned(), Exit::NoInput, "/nowhere cannot be read: No such file"),
    ] {
        let (found, report) = refused(&mut fixture, &line);
        assert_eq!(found, exit, "{line}: {report}");
        assert_eq!(report.matches(message).count(), 1, "{line}: {report}");
    }
}

#[test]
fn wrong_arguments_say_what_would_be_right() {
    assert!(usage("tenant add acme --reads 0").contains("whole numbers from 1"));
    assert!(usage("tenant add acme --limit-status 500").contains("expected 429 or 403"));
    assert!(usage("token create --tenant a --credential b --expires-in soon").contains("30d"));
    assert!(usage("token create --tenant a --credential b --address 1").contains("192.0.2.0/24"));
    let permit = "token create --tenant a --credential b --permit cache:fill";
    assert!(usage(permit).contains("expected one of cache:refresh, explain, secrets:read"));
    assert!(usage("token set a --permit fill").contains("credentials:manage, or none"));
    assert!(usage("credential add a --upstream main --login x").contains("--secret-file"));
    assert!(usage("credential add a --upstream main --secret-stdin").contains("--login"));
    let two = "credential add a --upstream main --login x --secret-stdin --secret-env S";
    assert!(usage(two).contains("cannot be used with"));
    assert!(usage("purge").contains("--credential <NAME>"));
    assert!(usage("purge --soft").contains("--credential <NAME>"));
    assert!(usage("purge --all --tenant a").contains("cannot be used with"));
    assert!(usage("purge --family a --path /b").contains("cannot be used with"));
    assert!(usage("credential set a").contains("--reach <REACH>"));
    assert!(usage("credential set a --reach some").contains("expected own or all"));
}

#[test]
fn an_import_reports_every_bad_line() {
    let mut fixture = Fixture::new();
    let good = r#"{"tenant":{"name":"a"},"credential":{"name":"a","upstream":"main","login":"u","password":"p"}}"#;
    let text = run_with(&mut fixture, "import -", good).expect("imported");
    assert_eq!(text, "added: 1 tenants, 1 credentials, 0 tokens; there already: 0\n");
    let failure = run_with(&mut fixture, "import - --json", "{}\n\nnothing\n").expect_err("bad");
    assert_eq!(failure.exit(), Exit::Data);
    let report = failure.report();
    assert!(report.starts_with("nothing was imported; bad lines: 2\n  line 1: "), "{report}");
    assert!(report.contains("\n  line 3: it is not JSON"), "{report}");
}

#[test]
fn a_master_key_file_is_its_owners_alone_and_never_overwritten() {
    let mut fixture = Fixture::new();
    let path = fixture.folder.path().join("key");
    let line = format!("master-key {}", path.display());
    run(&mut fixture, &line).expect("made");
    let mode = fs::metadata(&path).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let config = crate::tenants::Config { master_key_file: Some(path), ..Default::default() };
    crate::tenants::master_key::keyring(&config, None).expect("a good key");
    assert_eq!(refused(&mut fixture, &line).0, Exit::CantCreate);
}
