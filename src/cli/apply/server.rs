//! A declaration that the running server plans and applies.
//!
//! The server tells where in the JSON something is wrong, and that leads to the line of the file. With
//! an answer that does not come the secrets of new tokens would be lost, so what is applied is asked for
//! once more; and where it never comes, nobody says that nothing was done.

use std::path::Path;

use http::{
    HeaderValue, StatusCode,
    header::{ETAG, IF_MATCH},
};

use super::{
    ApplyArgs, ApplyError, Held, PATH, Planned, TokensFile,
    file::{self, DeclaredFile, wrong},
};
use crate::{
    admin,
    cli::{
        failure::Failure,
        remote::{Call, Remote},
    },
    operations::declaration::{AppliedDeclaration, ApplyRequest},
    settings::{Origin, Problem, Table},
};

/// What was planned, and the tag of the store that it was planned for.
pub(super) struct Plan {
    request: ApplyRequest,
    tag: Option<HeaderValue>,
}

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
    let mut call = Call::post(format!("{PATH}/apply"), request).answered_within(file::MAX);
    if let Some(tag) = tag {
        call = call.with(IF_MATCH, tag.clone());
    }
    let mut file = tokens_out.map(TokensFile::create).transpose()?;
    let applied: AppliedDeclaration = match heard(server, call) {
        Ok(applied) => applied,
        Err(failure) => {
            file.into_iter().for_each(TokensFile::remove);
            return Err(failure);
        }
    };
    file.as_mut().map_or(Ok(()), |file| file.write(&applied.tokens).map_err(unheard))
}

fn heard(server: &Remote, call: Call) -> Result<AppliedDeclaration, Failure> {
    let answer = server.hear_once(call).map_err(|failure| match failure {
        Failure::Unheard(why) => unheard(*why),
        other => other,
    })?;
    let answer = answer.map_err(|problem| match StatusCode::from_u16(problem.status) {
        Ok(StatusCode::PRECONDITION_FAILED) => ApplyError::Moved.into(),
        _ => server.refused(&problem),
    })?;
    server.read(&answer).map_err(unheard)
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
