//! What is done once, however often it is asked for: creates, whose answers have secrets that are shown
//! this once.
//!
//! An answer that does not come is asked for again under the same `Idempotency-Key`, a few times. If it
//! never comes, it is not known whether it was done, and that is what the failure says.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde::de::DeserializeOwned;

use super::{AskError, Call, Remote, pause};
use crate::{
    admin::{Problem, TRIES},
    auth::keyring::random,
    cli::failure::Failure,
};

/// How long is waited before an answer is asked for again.
const PAUSE: Duration = Duration::from_secs(1);

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

impl Remote {
    /// Has something done once, and reads the answer.
    pub fn ask_once<A: DeserializeOwned>(&self, call: Call) -> Result<A, Failure> {
        let answer = self.hear_once(call)?.map_err(|problem| self.refused(&problem))?;
        self.read(&answer).map_err(unheard)
    }

    /// Has something done once, and takes the answer, or why it was not done, as it comes.
    ///
    /// What is refused when an earlier try may have done it, may be refused because it was done: the
    /// server does not keep what it has answered for ever.
    pub fn hear_once(&self, call: Call) -> Result<Result<Response<Bytes>, Problem>, Failure> {
        let call = call.with(IDEMPOTENCY_KEY, key()?);
        let mut tried = 1;
        let mut open = false;
        loop {
            let failure = match self.hear(call.clone()) {
                Ok(Err(problem)) if decides_nothing(&problem) => self.refused(&problem),
                Ok(Err(problem)) if open => return Err(unheard(self.refused_again(&problem))),
                Ok(decided) => return Ok(decided),
                Err(failure) => failure,
            };
            open |= may_be_done(&failure);
            match (open, tried) {
                (false, _) => return Err(failure),
                (true, TRIES) => return Err(unheard(failure)),
                (true, _) => pause(PAUSE).map_err(unheard)?,
            }
            tried += 1;
        }
    }

    fn refused_again(&self, problem: &Problem) -> Failure {
        Failure::RefusedAgain { place: self.place.clone(), why: problem.report() }
    }
}

fn key() -> Result<HeaderValue, Failure> {
    let key: String = random::<16>()?.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(HeaderValue::try_from(key).expect("digits are ASCII"))
}

/// Whether the server has refused before it looked whether it was done.
fn decides_nothing(problem: &Problem) -> bool {
    [
        StatusCode::UNAUTHORIZED,
        StatusCode::FORBIDDEN,
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::SERVICE_UNAVAILABLE,
    ]
    .iter()
    .any(|status| problem.status == *status)
}

/// Whether it may have been done although nobody said so.
fn may_be_done(failure: &Failure) -> bool {
    let Failure::Unasked { source, .. } = failure else {
        return matches!(failure, Failure::Unsettled { .. });
    };
    match source {
        // What cannot be read is not HTTP, and no Tollgate.
        AskError::Exchange(error) => !error.is_parse(),
        AskError::Body(_) | AskError::TimedOut(_) => true,
        // A proxy says that it has handed it on, and has not heard an answer either.
        AskError::Foreign(status) => {
            matches!(*status, StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT)
        }
        AskError::Connect(_) | AskError::Unreached(_) | AskError::Tls(_) | AskError::Trust(_) => {
            false
        }
    }
}

fn unheard(why: Failure) -> Failure {
    Failure::Unheard(Box::new(why))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::cli::remote::trust::Trust;

    #[test]
    fn who_is_silent_may_have_done_what_was_said_and_nothing_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("its.crt");
        let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
        std::fs::write(&file, certificate.expect("a certificate").cert.pem()).expect("written");
        let trust = Trust::pinned(&file).expect("it is one");
        let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
        for (tls, open) in [(None, true), (Some(trust), false)] {
            let place = silent.local_addr().expect("bound").to_string();
            let patience = Duration::from_millis(50);
            let remote = Remote { place, tls, token: None, patience, instead: "" };
            let failure = remote.hear(Call::get("/v1/tenants")).expect_err("nobody answers");
            assert_eq!(may_be_done(&failure), open, "{}", failure.report());
        }
    }
}
