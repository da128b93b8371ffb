//! The access log: lines are formatted into one shared buffer, and a thread of its own writes it.
//!
//! Why not a channel: it allocates and wakes for each line. Here a line costs a short lock and a
//! copy into memory that was there before. The writer takes the buffer and leaves its other one
//! when the flush interval has passed, or is woken once when enough lines have come: so few that both
//! buffers stay in the processor's cache, where the request path's own data is, too. When it cannot
//! keep up, lines are dropped and counted; no request ever waits for a disk.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use prometheus::IntCounter;

use super::line::Line;
use crate::settings::{ByteSize, Problems};

crate::section! {
    /// The access log: a JSON object a request, with route templates and query names only.
    pub struct AccessConfig {
        /// Whether there is one.
        pub enabled: bool = true,
        /// The file it is appended to, opened anew on SIGHUP; `-` is standard output.
        pub path: PathBuf = PathBuf::from("-"),
        /// How many bytes may wait to be written, twice; what comes on top is dropped.
        pub buffer: ByteSize = ByteSize::mib(1),
        /// How long a line waits at most before it is written.
        pub flush_interval: Duration = Duration::from_millis(250),
        /// How long the end of the process waits for the last lines to be written.
        pub close_timeout: Duration = Duration::from_secs(2),
    }
}

/// The access log of the process. Dropping it writes what is left.
pub struct AccessLog {
    shared: Option<Arc<Shared>>,
    close_timeout: Duration,
}

/// Why there is no access log.
#[derive(Debug, thiserror::Error)]
pub enum AccessLogError {
    /// Its file cannot be opened.
    #[error("cannot open the access log {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its thread cannot be started.
    #[error("cannot start the thread of the access log")]
    Thread(#[source] io::Error),
}

struct Shared {
    state: Mutex<State>,
    /// Signalled when the writer has work before its interval has passed.
    work: Condvar,
    /// Signalled when the writer has ended.
    ended: Condvar,
    bound: usize,
    dropped: IntCounter,
}

#[derive(Default)]
struct State {
    filling: Vec<u8>,
    woken: bool,
    reopen: bool,
    closing: bool,
    ended: bool,
}

/// The thread that writes.
struct Writer {
    shared: Arc<Shared>,
    sink: Sink,
    spare: Vec<u8>,
    interval: Duration,
    failing: bool,
}

enum Sink {
    Stdout,
    File { path: PathBuf, file: File },
}

/// Tells whoever waits that the writer is gone, even when it panicked.
struct Ending(Arc<Shared>);

/// When the writer is woken. More at once would save little, and each request would then push as
/// much of what the others need out of the cache as its own line is long.
const WAKE: usize = 64 << 10;

/// Room for a line that begins just below the bound, so that it does not make the buffer grow.
const SLACK: usize = 4 << 10;

/// Half of it, when the writer is woken, has room for every line that a stranger can make long.
const SMALLEST_BUFFER: ByteSize = ByteSize::kib(64);

/// The memory is taken at the start, twice.
const LARGEST_BUFFER: ByteSize = ByteSize::mib(256);

impl AccessConfig {
    /// Adds what is wrong with the values as such.
    pub fn validate(&self, problems: &mut Problems) {
        if self.flush_interval.is_zero() {
            problems.add(None, "access_log.flush_interval", "must be longer than 0");
        }
        if !(SMALLEST_BUFFER..=LARGEST_BUFFER).contains(&self.buffer) {
            problems.add(None, "access_log.buffer", "must be from 64KiB to 256MiB");
        }
    }
}

impl AccessLog {
    /// Opens the log and starts its thread. `dropped` counts the lines that were not written.
    pub fn start(config: &AccessConfig, dropped: IntCounter) -> Result<Self, AccessLogError> {
        let close_timeout = config.close_timeout;
        if !config.enabled {
            return Ok(Self { shared: None, close_timeout });
        }
        let sink = Sink::open(&config.path)
            .map_err(|source| AccessLogError::Open { path: config.path.clone(), source })?;
        let bound = config.buffer.get();
        let room = || Vec::with_capacity(bound.saturating_add(SLACK));
        let shared = Arc::new(Shared {
            state: Mutex::new(State { filling: room(), ..State::default() }),
            work: Condvar::new(),
            ended: Condvar::new(),
            bound,
            dropped,
        });
        let writer = Writer {
            shared: Arc::clone(&shared),
            sink,
            spare: room(),
            interval: config.flush_interval,
            failing: false,
        };
        thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(|| writer.run())
            .map_err(AccessLogError::Thread)?;
        Ok(Self { shared: Some(shared), close_timeout })
    }

    /// Takes a line, which is made only where there is a log; never waits for the writer.
    pub fn record<'a>(&self, line: impl FnOnce() -> Line<'a>) {
        if let Some(shared) = &self.shared {
            shared.record(&line());
        }
    }

    /// Has the file opened anew, after it was rotated.
    pub fn reopen(&self) {
        if let Some(shared) = &self.shared {
            shared.lock().reopen = true;
            shared.work.notify_one();
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        let Some(shared) = &self.shared else { return };
        let mut state = shared.lock();
        state.closing = true;
        shared.work.notify_one();
        // The writer may hang on a pipe that nobody reads: the process ends without it then.
        drop(shared.ended.wait_timeout_while(state, self.close_timeout, |s| !s.ended));
    }
}

impl Shared {
    fn record(&self, line: &Line<'_>) {
        let mut state = self.lock();
        let before = state.filling.len();
        if before < self.bound {
            line.write(&mut state.filling);
        }
        if before >= self.bound || state.filling.len() > self.bound {
            state.filling.truncate(before);
            drop(state);
            self.dropped.inc();
        } else if !state.woken && state.filling.len() >= WAKE.min(self.bound / 2) {
            state.woken = true;
            drop(state);
            self.work.notify_one();
        }
    }

    /// A line is appended whole or truncated, so a panic elsewhere leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    fn run(mut self) {
        let _ending = Ending(Arc::clone(&self.shared));
        loop {
            let (reopen, closing) = self.take();
            self.write();
            if closing {
                return;
            }
            if reopen {
                self.reopen();
            }
        }
    }

    /// Waits for the interval or a wake-up, then swaps the buffers.
    fn take(&mut self) -> (bool, bool) {
        let state = self.shared.lock();
        let idle = |s: &mut State| !(s.woken || s.reopen || s.closing);
        let mut state = self
            .shared
            .work
            .wait_timeout_while(state, self.interval, idle)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
        state.woken = false;
        std::mem::swap(&mut state.filling, &mut self.spare);
        (std::mem::take(&mut state.reopen), state.closing)
    }

    fn write(&mut self) {
        if self.spare.is_empty() {
            return;
        }
        match self.sink.write(&self.spare) {
            Ok(()) => self.failing = false,
            Err(error) => {
                let lost = memchr::memchr_iter(b'\n', &self.spare).count();
                self.shared.dropped.inc_by(lost as u64);
                if !self.failing {
                    tracing::warn!(%error, "the access log cannot be written; lines are lost");
                }
                self.failing = true;
            }
        }
        self.spare.clear();
    }

    fn reopen(&mut self) {
        let Sink::File { path, file } = &mut self.sink else { return };
        match append_to(path) {
            Ok(opened) => *file = opened,
            Err(error) => {
                tracing::warn!(%error, path = %path.display(),
                    "the access log cannot be opened anew; the old file goes on");
            }
        }
    }
}

impl Sink {
    fn open(path: &Path) -> io::Result<Self> {
        if path == Path::new("-") {
            return Ok(Self::Stdout);
        }
        Ok(Self::File { path: path.to_owned(), file: append_to(path)? })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(bytes)?;
                out.flush()
            }
            Self::File { file, .. } => file.write_all(bytes),
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.ended.notify_all();
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Instant};

    use super::*;
    use crate::telemetry::line::tests::SAMPLE;

    fn counter() -> IntCounter {
        IntCounter::new("dropped", "Dropped.").expect("a valid name")
    }

    fn config(path: &Path, interval: Duration) -> AccessConfig {
        AccessConfig {
            path: path.to_owned(),
            buffer: ByteSize::kib(64),
            flush_interval: interval,
            ..AccessConfig::default()
        }
    }

    fn lines(path: &Path) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(path).unwrap_or_default();
        assert!(text.is_empty() || text.ends_with('\n'));
        text.lines().map(|l| serde_json::from_str(l).expect("a line is JSON")).collect()
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "waits for a thread, which has no clock to pause"
    )]
    fn until(done: impl Fn() -> bool) {
        let start = Instant::now();
        while !done() {
            assert!(start.elapsed() < Duration::from_secs(10), "it never came");
            thread::sleep(Duration::from_millis(2));
        }
    }

    const NEVER: Duration = Duration::from_secs(3600);

    #[test]
    fn dropping_the_log_writes_what_is_left() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let log = AccessLog::start(&config(&path, NEVER), counter()).expect("it opens");
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..50).for_each(|_| log.record(|| SAMPLE)));
            }
        });
        drop(log);
        assert_eq!(lines(&path).len(), 200);
    }

    #[test]
    fn a_line_is_written_when_the_interval_has_passed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let config = config(&path, Duration::from_millis(5));
        let log = AccessLog::start(&config, counter()).expect("it opens");
        log.record(|| SAMPLE);
        until(|| lines(&path).len() == 1);
    }

    #[test]
    fn a_half_full_buffer_wakes_the_writer() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let log = AccessLog::start(&config(&path, NEVER), counter()).expect("it opens");
        let mut line = Vec::new();
        SAMPLE.write(&mut line);
        (0..(32 << 10) / line.len() + 1).for_each(|_| log.record(|| SAMPLE));
        until(|| fs::metadata(&path).is_ok_and(|file| file.len() > 0));
    }

    #[test]
    fn what_finds_no_room_is_dropped_and_counted() {
        let (dropped, state) = (counter(), Mutex::new(State::default()));
        let mut line = Vec::new();
        SAMPLE.write(&mut line);
        let bound = line.len() * 5 / 2;
        let (work, ended) = (Condvar::new(), Condvar::new());
        let shared = Shared { state, work, ended, bound, dropped: dropped.clone() };
        (0..5).for_each(|_| shared.record(&SAMPLE));
        assert_eq!(dropped.get(), 3);
        assert_eq!(shared.lock().filling, line.repeat(2));
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted() {
        let dropped = counter();
        let config = config(Path::new("/dev/full"), NEVER);
        let log = AccessLog::start(&config, dropped.clone()).expect("it opens");
        (0..3).for_each(|_| log.record(|| SAMPLE));
        drop(log);
        assert_eq!(dropped.get(), 3);
    }

    #[test]
    fn a_rotated_file_is_opened_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, old) = (folder.path().join("log"), folder.path().join("log.1"));
        let log = AccessLog::start(&config(&path, NEVER), counter()).expect("it opens");
        log.record(|| SAMPLE);
        fs::rename(&path, &old).expect("it is there");
        log.reopen();
        until(|| path.exists());
        log.record(|| SAMPLE);
        drop(log);
        assert_eq!((lines(&old).len(), lines(&path).len()), (1, 1));
    }

    #[test]
    fn a_log_that_is_off_takes_lines_and_says_nothing() {
        let config = AccessConfig { enabled: false, ..AccessConfig::default() };
        let log = AccessLog::start(&config, counter()).expect("nothing is opened");
        log.record(|| SAMPLE);
        log.reopen();
    }

    #[test]
    fn a_writer_that_would_never_rest_is_refused() {
        let check = |config: &AccessConfig, want: &[&str]| {
            let mut problems = Problems::default();
            config.validate(&mut problems);
            assert_eq!(problems.iter().map(|p| p.key.as_str()).collect::<Vec<_>>(), want);
        };
        check(&AccessConfig::default(), &[]);
        let config = AccessConfig {
            flush_interval: Duration::ZERO,
            buffer: ByteSize(0),
            ..AccessConfig::default()
        };
        check(&config, &["access_log.flush_interval", "access_log.buffer"]);
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let config = config(Path::new("/nowhere/log"), NEVER);
        let error = AccessLog::start(&config, counter()).err().expect("no such folder");
        assert!(error.to_string().contains("/nowhere/log"), "{error}");
    }
}
