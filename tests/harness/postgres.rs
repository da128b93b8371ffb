//! A real PostgreSQL, in a folder of its own.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};

use rcgen::{CertificateParams, KeyPair};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A server with an empty database.
pub struct Postgres {
    folder: TempDir,
    programs: PathBuf,
    /// Who runs it: it refuses to be run by root.
    account: Option<(u32, u32)>,
    running: Option<Child>,
    port: u16,
}

/// A transaction that stays open until this is dropped.
pub struct Held {
    psql: Child,
    _input: ChildStdin,
}

/// The owner of the database.
const USER: &str = "tollgate";

/// A start takes a second, and three on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(20);

impl Postgres {
    /// Makes and starts one.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let account = rustix::process::geteuid().is_root().then(account);
        let port = free_port();
        let programs = programs();
        let mut server = Self { folder, programs, account, running: None, port };
        server.give(server.folder.path());
        let data = server.path("data").display().to_string();
        let made = server
            .command("initdb")
            .args(["--pgdata", &data, "--username", USER, "--auth", "trust", "--no-sync"])
            .args(["--encoding", "UTF8", "--locale", "C"])
            .output()
            .expect("initdb starts");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        server.certify();
        server.resume();
        server
    }

    /// The URL of its database, over its socket.
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// The URL of another database, likewise.
    pub fn url_of(&self, database: &str) -> String {
        let folder = self.folder.path().display();
        format!("postgres:///{database}?host={folder}&port={}&user={USER}", self.port)
    }

    /// Where its own programs find it: the folder of its socket.
    pub fn host(&self) -> String {
        self.folder.path().display().to_string()
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A `PATH` on which its own programs come first.
    pub fn path_before(&self, path: &str) -> String {
        format!("{}:{path}", self.programs.display())
    }

    /// The URL of its database over TCP and TLS, with the certificate checked.
    pub fn tls_url(&self, host: &str) -> String {
        let ca = self.path("server.crt");
        let (port, ca) = (self.port, ca.display());
        format!("postgres://{USER}@{host}:{port}/postgres?sslmode=verify-full&sslrootcert={ca}")
    }

    /// Runs statements, and returns what the last one found.
    pub fn query(&self, text: &str) -> String {
        let mut psql = self.psql();
        let done = psql.args(["--command", text]).output().expect("psql starts");
        assert!(done.status.success(), "psql: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    }

    /// Begins a transaction with some statements, and does not end it.
    pub fn hold(&self, text: &str) -> Held {
        let mut command = self.psql();
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut psql = command.spawn().expect("psql starts");
        let mut input = psql.stdin.take().expect("its input");
        writeln!(input, "BEGIN; {text};\n\\echo held").expect("it listens");
        let mut said = String::new();
        let output = psql.stdout.take().expect("its output");
        BufReader::new(output).read_line(&mut said).expect("it says so");
        assert_eq!(said, "held\n");
        Held { psql, _input: input }
    }

    fn psql(&self) -> Command {
        let (sockets, port) = (self.folder.path().display().to_string(), self.port.to_string());
        let mut psql = self.command("psql");
        psql.args(["--host", &sockets, "--port", &port, "--username", USER]);
        psql.args(["--dbname", "postgres", "--quiet", "--no-align", "--tuples-only"]);
        psql
    }

    /// Ends it, and with it every connection.
    pub fn stop(&mut self) {
        let Some(mut child) = self.running.take() else { return };
        let pid = Pid::from_child(&child);
        kill_process(pid, Signal::INT).expect("a signal");
        child.wait().expect("it ends");
    }

    /// Starts it again.
    #[expect(clippy::disallowed_methods, reason = "another program is waited for, in a test")]
    pub fn resume(&mut self) {
        let data = self.path("data").display().to_string();
        let sockets = self.folder.path().display().to_string();
        let port = self.port.to_string();
        let mut command = self.command("postgres");
        command.args(["-D", &data, "-k", &sockets, "-h", "127.0.0.1", "-p", &port]);
        for setting in ["fsync=off", "ssl=on", "shared_buffers=16MB", "max_connections=30"] {
            command.args(["-c", setting]);
        }
        let log = fs::File::create(self.path("log")).expect("a log");
        command.stdout(Stdio::null()).stderr(log);
        self.running = Some(command.spawn().expect("postgres starts"));
        let socket = self.path(&format!(".s.PGSQL.{port}"));
        let begun = Instant::now();
        // It takes connections once its socket does and a question is answered.
        while std::os::unix::net::UnixStream::connect(&socket).is_err() || !self.answers() {
            let said = || fs::read_to_string(self.path("log")).unwrap_or_default();
            assert!(begun.elapsed() < PATIENCE, "postgres does not start: {}", said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn answers(&self) -> bool {
        let sockets = self.folder.path().display().to_string();
        let asked = self
            .command("pg_isready")
            .args(["--quiet", "--host", &sockets, "--port", &self.port.to_string()])
            .status();
        asked.is_ok_and(|status| status.success())
    }

    /// A certificate for `localhost`, its own authority.
    fn certify(&self) {
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        fs::write(self.path("server.crt"), certificate.pem()).expect("written");
        for (name, text) in [("server.crt", certificate.pem()), ("server.key", key.serialize_pem())]
        {
            let path = self.path("data").join(name);
            fs::write(&path, text).expect("written");
            self.give(&path);
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Lets the server use a file alone.
    fn give(&self, path: &Path) {
        use std::os::unix::fs::PermissionsExt;
        let mode = if path.is_dir() { 0o755 } else { 0o600 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("permissions");
        if let Some((user, group)) = self.account {
            chown(path, Some(user), Some(group)).expect("root may");
        }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.stdin(Stdio::null()).current_dir(self.folder.path());
        if let Some((user, group)) = self.account {
            command.uid(user).gid(group);
        }
        command
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // It has ended already where the server has.
        let _ = self.psql.kill();
        let _ = self.psql.wait();
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

/// One that was free a moment ago: it cannot be told to take any.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// The newest that is installed.
fn programs() -> PathBuf {
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<_> = installed.map(|entry| entry.path().join("bin")).collect();
    folders.retain(|folder| folder.join("initdb").exists());
    folders.sort();
    folders.pop().expect("PostgreSQL is missing: install the package postgresql")
}

/// The account of Debian's package.
fn account() -> (u32, u32) {
    let accounts = fs::read_to_string("/etc/passwd").expect("accounts");
    let line = accounts.lines().find(|line| line.starts_with("postgres:"));
    let fields: Vec<_> =
        line.expect("an account postgres: install the package postgresql").split(':').collect();
    let number = |at: usize| fields[at].parse().expect("a number");
    (number(2), number(3))
}
