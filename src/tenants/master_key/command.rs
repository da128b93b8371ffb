//! A command that prints the master key: run without a shell, within bounds, and believed only if it
//! ends well.
//!
//! What it writes to standard error is shown when it fails; what it writes to standard output never
//! is.

use std::{io, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::{Child, Command},
    runtime::Builder,
    time::timeout,
};
use zeroize::Zeroizing;

/// Why a command gave no master key.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It is not there, or may not be run.
    #[error("it cannot be run")]
    Start(#[source] io::Error),
    /// The pipes to it broke.
    #[error("what it prints cannot be read")]
    Read(#[source] io::Error),
    /// It goes on; it was ended.
    #[error("it has not ended within {} ms (tenants.master_key_timeout)", .0.as_millis())]
    TimedOut(Duration),
    /// It says itself that it failed.
    #[error("{status}; it said: \"{said}\"")]
    Failed {
        /// How it ended.
        status: std::process::ExitStatus,
        /// The beginning of its standard error, in one line.
        said: String,
    },
    /// More than any key has.
    #[error("it printed more than {OUTPUT_MAX} bytes")]
    TooLong,
    /// A key is printed in digits.
    #[error("it printed what is no text")]
    NoText,
}

/// Many times what a key has.
const OUTPUT_MAX: usize = 4096;

/// As much of its complaints as is shown.
const COMPLAINT_MAX: usize = 512;

/// A reader asks for room beyond the end before it knows that it is there; a buffer that grew would
/// leave a copy behind.
const SLACK: usize = 1024;

/// What a command prints.
pub(super) fn ask(
    program: &str,
    arguments: &[String],
    patience: Duration,
) -> Result<Zeroizing<String>, CommandError> {
    let runtime =
        Builder::new_current_thread().enable_all().build().map_err(CommandError::Start)?;
    runtime.block_on(async {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(CommandError::Start)?;
        let answered = timeout(patience, answer(&mut child)).await;
        let answered = answered.unwrap_or(Err(CommandError::TimedOut(patience)));
        if answered.is_err() {
            // It may have ended by itself.
            let _ = child.kill().await;
        }
        answered
    })
}

async fn answer(child: &mut Child) -> Result<Zeroizing<String>, CommandError> {
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (printed, said) = tokio::try_join!(printed(out), complaint(err))?;
    let status = child.wait().await.map_err(CommandError::Read)?;
    if !status.success() {
        return Err(CommandError::Failed { status, said });
    }
    let text = std::str::from_utf8(&printed).map_err(|_| CommandError::NoText)?;
    Ok(Zeroizing::new(text.to_owned()))
}

async fn printed(out: Option<impl AsyncRead + Unpin>) -> Result<Zeroizing<Vec<u8>>, CommandError> {
    let mut text = Zeroizing::new(Vec::with_capacity(OUTPUT_MAX + SLACK));
    if let Some(out) = out {
        let mut out = out.take(OUTPUT_MAX as u64 + 1);
        out.read_to_end(&mut text).await.map_err(CommandError::Read)?;
    }
    if text.len() > OUTPUT_MAX { Err(CommandError::TooLong) } else { Ok(text) }
}

/// The beginning is kept; the rest is read, so that the command does not wait for it.
async fn complaint(err: Option<impl AsyncRead + Unpin>) -> Result<String, CommandError> {
    let Some(mut err) = err else { return Ok(String::new()) };
    let mut kept = Vec::new();
    let mut beginning = (&mut err).take(COMPLAINT_MAX as u64);
    beginning.read_to_end(&mut kept).await.map_err(CommandError::Read)?;
    tokio::io::copy(&mut err, &mut tokio::io::sink()).await.map_err(CommandError::Read)?;
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    Ok(String::from_utf8_lossy(&kept).trim().chars().map(plain).collect())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::error_chain::error_chain;

    fn shell(script: &str) -> Result<Zeroizing<String>, CommandError> {
        ask("/bin/sh", &["-c".to_owned(), script.to_owned()], Duration::from_secs(5))
    }

    fn refused(script: &str) -> String {
        error_chain(&shell(script).expect_err("refused")).to_string()
    }

    #[test]
    fn what_is_printed_is_the_answer() {
        assert_eq!(**shell("echo a-key; echo a warning >&2").expect("a key"), *"a-key\n");
        // Its arguments are no words of a shell's.
        let echoed = ask("echo", &["$HOME;".to_owned()], Duration::from_secs(5));
        assert_eq!(**echoed.expect("printed"), *"$HOME;\n");
    }

    #[test]
    fn a_failure_is_shown_with_the_complaint_and_without_the_output() {
        let said = refused("echo planted-key; printf 'no such\\nkey' >&2; exit 3");
        assert_eq!(said, "exit status: 3; it said: \"no such key\"");
        let ended = refused("echo planted-key; kill -9 $$");
        assert!(ended.contains("signal: 9") && !ended.contains("planted"), "{ended}");
        let missing = ask("/nowhere/program", &[], Duration::from_secs(5)).expect_err("missing");
        assert!(error_chain(&missing).to_string().contains("it cannot be run: No such file"));
    }

    #[test]
    fn output_and_time_are_bounded() {
        assert_eq!(refused("yes"), "it printed more than 4096 bytes");
        assert_eq!(refused("printf '\\377'"), "it printed what is no text");
        let flood = refused("yes complaint | head -c 200000 >&2; exit 1");
        assert!(flood.len() < 600 && flood.contains("complaint complaint"), "{flood}");
        let begun = Instant::now();
        let slow = ask("sleep", &["60".to_owned()], Duration::from_millis(50));
        assert!(matches!(slow, Err(CommandError::TimedOut(_))), "{slow:?}");
        // Somebody else who holds the pipe is not waited for, either.
        let held = ask(
            "/bin/sh",
            &["-c".to_owned(), "sleep 3 & echo key".to_owned()],
            Duration::from_millis(50),
        );
        assert!(matches!(held, Err(CommandError::TimedOut(_))), "{held:?}");
        assert!(begun.elapsed() < Duration::from_secs(2));
    }
}
