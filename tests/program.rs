//! Programs that a test runs: every wait is bounded, and what was started is ended by its handle.

use std::{
    ffi::OsStr,
    io::{BufRead as _, BufReader, Read, Write as _},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// What a whole run of a program takes at most.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A program that goes on.
pub struct Program {
    child: Child,
    out: Receiver<String>,
    err: Receiver<String>,
    seen: String,
    readers: Vec<JoinHandle<()>>,
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Its standard output, as far as it was not read before.
    pub out: String,
    /// Its standard error, with what was read before.
    pub err: String,
}

impl Program {
    /// Starts a program with something on its standard input.
    pub fn start(mut command: Command, input: &str) -> Self {
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let mut stdin = child.stdin.take().expect("a pipe");
        let input = input.to_owned();
        // Who does not read it, does not need it.
        let writer = thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
        let (out, reads_out) = lines(child.stdout.take().expect("a pipe"));
        let (err, reads_err) = lines(child.stderr.take().expect("a pipe"));
        let readers = vec![writer, reads_out, reads_err];
        Self { child, out, err, seen: String::new(), readers }
    }

    /// The next line of standard output.
    pub fn line(&mut self, what: &str) -> String {
        match self.out.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(e) => panic!("no {what}: {e}; standard error: {}", self.said()),
        }
    }

    /// Waits for a line of standard error that has this in it.
    pub fn complaint(&mut self, text: &str) -> String {
        let begun = Instant::now();
        while let Some(left) = PATIENCE.checked_sub(begun.elapsed()) {
            let Ok(line) = self.err.recv_timeout(left) else { break };
            self.seen += &format!("{line}\n");
            if line.contains(text) {
                return line;
            }
        }
        panic!("no {text:?} on standard error: {}", self.seen)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a running program");
    }

    /// Waits for the end, for so long at most.
    #[expect(clippy::disallowed_methods, reason = "nothing else waits for a process with a bound")]
    pub fn end_within(mut self, patience: Duration) -> Ended {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            assert!(begun.elapsed() < patience, "it goes on after {patience:?}: {}", self.said());
            thread::sleep(Duration::from_millis(5));
        };
        self.ended(status)
    }

    /// Whether it goes on.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    fn said(&mut self) -> String {
        self.seen.extend(self.err.try_iter().map(|line| line + "\n"));
        self.seen.clone()
    }

    fn ended(&mut self, status: ExitStatus) -> Ended {
        for reader in self.readers.drain(..) {
            reader.join().expect("no panic");
        }
        let out = self.out.try_iter().map(|line| line + "\n").collect();
        Ended { code: status.code(), out, err: self.said() }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Already ended, or ended here; both are what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// Its standard output, when it went well.
    #[track_caller]
    pub fn good(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }
}

/// A command with arguments.
pub fn command<S: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    args: impl IntoIterator<Item = S>,
) -> Command {
    let mut command = Command::new(program);
    command.args(args);
    command
}

/// Runs a program to its end, beside the tests' own work.
pub async fn run(command: Command, input: &str) -> Ended {
    run_within(PATIENCE, command, input).await
}

/// The same, of one that may take so long.
pub async fn run_within(patience: Duration, command: Command, input: &str) -> Ended {
    let input = input.to_owned();
    let run = move || Program::start(command, &input).end_within(patience);
    tokio::task::spawn_blocking(run).await.expect("an end")
}

/// Where a program is; a missing one fails the test, with what to install.
pub fn find(name: &str, package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|p| p.is_file());
    found.unwrap_or_else(|| panic!("{name} is not on PATH; install the Debian package {package}"))
}

/// The program under test, without what the environment might say to it.
pub fn tollgate<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut tollgate = command(env!("CARGO_BIN_EXE_tollgate"), args);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TOLLGATE_") {
            tollgate.env_remove(name);
        }
    }
    tollgate
}

fn lines(pipe: impl Read + Send + 'static) -> (Receiver<String>, JoinHandle<()>) {
    let (sender, receiver) = channel();
    let read = move || {
        for line in BufReader::new(pipe).lines() {
            // Neither text nor a reader that has gone is worth more than this.
            let Ok(line) = line else { break };
            if sender.send(line).is_err() {
                break;
            }
        }
    };
    (receiver, thread::spawn(read))
}
