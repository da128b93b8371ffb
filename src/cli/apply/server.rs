//! A declaration that the running server plans and applies.
//!
//! The server tells where in the JSON something is wrong, and that leads to the line of the file. An
//! answer that does not come is asked for again under the same key: with it the secrets of new tokens
//! would be lost. Where it never comes, nobody says that nothing was done.

use std::{path::Path, time::Duration};

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Response, StatusCode,
    header::{ETAG, IF_MATCH},
};

use super::{
    ApplyArgs, ApplyError, Held, PATH, Planned, TokensFile,
    file::{self, DeclaredFile, wrong},
};
use crate::{
    admin,
    auth::keyring::random,
    cli::{
        failure::Failure,
        remote::{AskError, Call, Remote, pause},
    },
    operations::declaration::{AppliedDeclaration, ApplyRequest},
    settings::{Origin, Problem, Table},
};

/// What was planned, and the tag of the store that it was planned for.
pub(super) struct Plan {
    request: ApplyRequest,
    tag: Option<HeaderValue>,
}

/// How often it is asked for an answer that does not come, and how long is waited before.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

pub(super) fn plan(
    server: &Remote,
    file: DeclaredFile<'_>,
    args: &ApplyArgs,
) -> Result<Planned, Failure> {
    let DeclaredFile { path, table, secrets, problems, .. } = file;
    let mut problems: Vec<Problem> = problems.iter().cloned().collect();
    let (prune, test) = (args.prune, args.trial.wish());
    let request = ApplyRequest { declaration: table.to_object(), secrets, prune, test };
    let call = Call::post(format!("{PATH}/plan"), &request).answered_within(file::MAX);
    match server.hear(call)? {
        Ok(answer) if problems.is_empty() => {
            let tag = answer.headers().get(ETAG).cloned();
            let held = Held::There(Plan { request, tag });
            Ok(Planned { shown: server.read(&answer)?, held })
        }
        Err(problem) if problem.pointers.is_empty() => Err(server.refused(&problem)),
        found => {
            let found = found.map_or_else(|problem| located(&problem, &table), |_| Vec::new());
            // What cannot be read here was not sent, so the server misses it.
            let new = |one: &Problem| {
                let is_same =
                    |known: &Problem| (&known.origin, &known.key) == (&one.origin, &one.key);
                !problems.iter().any(is_same)
            };
            let new: Vec<Problem> = found.into_iter().filter(new).collect();
            problems.extend(new);
            Err(wrong(path, problems))
        }
    }
}

pub(super) fn apply(
    server: &Remote,
    Plan { request, tag }: &Plan,
    tokens_out: Option<&Path>,
) -> Result<(), Failure> {
    let key: String = random::<16>()?.iter().map(|byte| format!("{byte:02x}")).collect();
    let key = HeaderValue::try_from(key).expect("digits are ASCII");
    let mut call = Call::post(format!("{PATH}/apply"), request)
        .answered_within(file::MAX)
        .with(IDEMPOTENCY_KEY, key);
    if let Some(tag) = tag {
        call = call.with(IF_MATCH, tag.clone());
    }
    let mut file = tokens_out.map(TokensFile::create).transpose()?;
    let applied = heard(server, &call).and_then(|answer| server.read(&answer).map_err(unheard));
    let applied: AppliedDeclaration = match applied {
        Ok(applied) => applied,
        Err(failure) => {
            file.into_iter().for_each(TokensFile::remove);
            return Err(failure);
        }
    };
    file.as_mut().map_or(Ok(()), |file| file.write(&applied.tokens).map_err(unheard))
}

fn heard(server: &Remote, call: &Call) -> Result<Response<Bytes>, Failure> {
    let mut tried = 1;
    let mut open = false;
    loop {
        let failure = match server.hear(call.clone()) {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(problem)) if problem.status == StatusCode::PRECONDITION_FAILED => {
                return Err(ApplyError::Moved.into());
            }
            Ok(Err(problem)) => server.refused(&problem),
            Err(failure) => failure,
        };
        open |= may_be_done(&failure);
        match (open, tried) {
            (false, _) => return Err(failure),
            (true, TRIES) => return Err(unheard(failure)),
            (true, _) => pause(PAUSE)?,
        }
        tried += 1;
    }
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
    ApplyError::Unheard(Box::new(why)).into()
}

/// What the server complains of, by the lines of the file.
fn located(problem: &admin::Problem, table: &Table) -> Vec<Problem> {
    let one = |(pointer, error): (&String, &String)| {
        let message = error.strip_prefix(&format!("{pointer}: ")).unwrap_or(error).to_owned();
        let place = pointer.strip_prefix("/declaration");
        let (origin, key): (Option<Origin>, String) = place
            .map(|place| table.locate(place))
            .map_or_else(|| (None, String::new()), |(origin, key)| (Some(origin), key));
        Problem { origin, key, message }
    };
    problem.pointers.iter().zip(&problem.errors).map(one).collect()
}
