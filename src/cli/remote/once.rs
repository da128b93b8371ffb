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
use crate::{admin::Problem, auth::keyring::random, cli::failure::Failure};

/// How often it is asked for an answer that does not come, and how long is waited before.
const TRIES: u32 = 3;
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
    match failure {
        Failure::NotNow { .. } => true,
        Failure::Unasked { source, .. } => {
            !matches!(source, AskError::Connect(_) | AskError::Tls(_) | AskError::Trust(_))
        }
        _ => false,
    }
}

fn unheard(why: Failure) -> Failure {
    Failure::Unheard(Box::new(why))
}
