//! A new operator with the README in hand: its commands as they stand there, from nothing to a
//! tenant's first request, and to the first command that asks the running server.
//!
//! What is an example in the README is put in its place here: the addresses of the database and of
//! the panel, the panel's user, and a port that is free. Nothing else is changed, and nothing added
//! but a wait until the server listens, which takes people longer.

use std::{
    net::TcpListener,
    os::unix::fs::{PermissionsExt as _, symlink},
};

use tollgate::demo::simulator::{Options, Simulator};

use crate::{
    harness::Postgres,
    program::{Program, command, find},
};

const README: &str = include_str!("../../README.md");

/// A whole run: PostgreSQL is there already, and the program is built.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// The blocks of the section, each with the language that it says it is in.
fn blocks() -> Vec<(&'static str, &'static str)> {
    let (_, section) = README.split_once("## Run it for real\n").expect("the section");
    let (section, _) = section.split_once("\n## ").expect("its end");
    let blocks = section.split("```").skip(1).step_by(2);
    blocks.map(|block| block.split_once('\n').expect("a language")).collect()
}

/// The commands of a block, without comments.
fn commands(block: &str) -> Vec<String> {
    let joined = block.replace("\\\n", " ");
    let bare = joined.lines().map(|line| line.split(" # ").next().unwrap_or_default().trim());
    bare.filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_of_the_readme_lead_to_a_first_request() {
    for program in ["openssl", "curl"] {
        find(program, program);
    }
    let postgres = Postgres::start();
    let panel = Simulator::start(Options::default()).await.expect("a panel");
    let folder = tempfile::tempdir().expect("a folder");
    let [port, admin_port] = free_ports();
    let alice = panel.user("alice").expect("a user");
    let in_place = |text: &str| {
        text.replace("postgres://tollgate@db.example.com/tollgate", &postgres.url_of("tollgate"))
            .replace("db.example.com", &postgres.host())
            .replace("https://panel.example.com", &panel.url())
            .replace("login = \"acme\"", "login = \"alice\"")
            .replace("localhost:8443", &format!("localhost:{port}"))
    };
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text);
    let blocks = blocks();
    let files: Vec<&str> =
        blocks.iter().filter(|(language, _)| *language == "toml").map(|(_, text)| *text).collect();
    let [tollgate_toml, tenants_toml] = files[..] else { panic!("not two files: {files:?}") };
    write("tollgate.toml", &in_place(tollgate_toml)).expect("written");
    write("tenants.toml", &in_place(tenants_toml)).expect("written");
    write("panel-password", &format!("{}\n", alice.password)).expect("written");

    let shell: Vec<&str> =
        blocks.iter().filter(|(language, _)| *language == "sh").map(|(_, text)| *text).collect();
    let [first_request, administration] = shell[..] else { panic!("not two parts: {shell:?}") };
    let first_request = commands(first_request);
    let count = first_request.len();
    assert!(count < 10, "{count} commands are too many: {first_request:#?}");
    let [build, rest @ ..] = &first_request[..] else { panic!("no commands") };
    assert_eq!(build, "cargo build --release");
    let rest = [rest, &commands(administration)].concat();
    let built = folder.path().join("target/release");
    std::fs::create_dir_all(&built).expect("a folder");
    symlink(env!("CARGO_BIN_EXE_tollgate"), built.join("tollgate")).expect("a link");

    let script = script(rest.iter().map(|line| in_place(line)), &port);
    let mut bash = command(find("bash", "bash"), ["-c", &script]);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TOLLGATE_") {
            bash.env_remove(name);
        }
    }
    bash.current_dir(folder.path())
        .env("PGPORT", postgres.port().to_string())
        .env("PATH", postgres.path_before(&std::env::var("PATH").unwrap_or_default()))
        .env("TOLLGATE__SERVER__LISTEN", format!("127.0.0.1:{port}"))
        .env("TOLLGATE__ADMIN__LISTEN", format!("127.0.0.1:{admin_port}"));
    let run = move || Program::start(bash, "").end_within(PATIENCE);
    let ended = tokio::task::spawn_blocking(run).await.expect("an end");
    let machine = panel.machines().into_iter().find(|machine| machine.user_id == alice.id);
    let identifier = machine.expect("a machine").identifier;
    assert_eq!(ended.code, Some(0), "{ended:?}\n{script}");
    assert!(ended.out.contains(&identifier), "{ended:?}");
    // The access log is written there, too, and sooner or later than the list of tenants.
    assert!(ended.out.lines().any(|line| line.starts_with("acme")), "{ended:?}");
    let token = std::fs::metadata(folder.path().join("admin.token")).expect("a token");
    assert_eq!(token.permissions().mode() & 0o777, 0o600, "others can read it");
    assert!(!folder.path().join("tollgate.db").exists(), "the store is in PostgreSQL");
}

/// Two ports that are free, and below those that the system gives to whoever asks for any: they are
/// listened on only seconds later.
fn free_ports() -> [String; 2] {
    let first = u16::try_from(10_000 + std::process::id() % 20_000).expect("a port");
    let free = (first..).filter_map(|port| TcpListener::bind(("127.0.0.1", port)).ok());
    let free: Vec<_> = free.take(2).collect();
    let port = |listener: &TcpListener| listener.local_addr().expect("bound").port().to_string();
    [port(&free[0]), port(&free[1])]
}

/// The commands one after the other, until the first that fails; and then the end of the server.
fn script(commands: impl Iterator<Item = String>, port: &str) -> String {
    let mut script = "set -eu\ntrap 'kill $(jobs -p); wait' EXIT\n".to_owned();
    for line in commands {
        script += &format!("{line}\n");
        if line.ends_with('&') {
            script += &format!(
                "until curl --silent --output /dev/null --cacert tls.crt \
                 https://localhost:{port}/tollgate/health; do kill -0 $!; sleep 0.05; done\n"
            );
        }
    }
    script
}
