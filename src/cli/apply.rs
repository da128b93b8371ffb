//! `tollgate apply` and `tollgate export`: the store as a file declares it, and such a file.

use std::{
    collections::HashSet,
    fs::{self, OpenOptions},
    io::{self, Read as _, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use clap::Args;
use serde::Serialize;

use self::shown::{Shown, text};
use super::{Desk, exit::Exit, failure::Failure, input::SecretSource};
use crate::{
    auth::{keyring::random, token::Token},
    settings::{Problem, Problems},
    tenants::{
        declared::{self, Declaration, Known, NotCarriedOut, Plan, SecretPlace, carry_out},
        record::Records,
        store::{Store, StoreError},
    },
};

mod shown;

/// What to apply.
#[derive(Debug, Args)]
#[command(after_long_help = "\
The file is TOML:

  [tenants.acme]
  reads = \"20/40\"                    # a second, and at once; unlimited if not given
  default_format = \"xml\"

  [credentials.acme]
  upstream = \"main\"
  login = \"acme\"                     # or email, with an API key
  secret_file = \"acme.password\"      # or secret_variable; below the folder of this file
  reach = \"own\"
  account = \"acme\"

  [[tokens]]
  tenant = \"acme\"
  credential = \"acme\"
  label = \"billing\"
  access = \"read-only\"

What is left out has its default, except that a credential keeps the login and secret that are \
stored. A token is known by its tenant and label, or by its id; one that is not there is created \
and written to the file of --tokens-out, or is the key in its secret_file. It may have what \
`tollgate token create` takes: id, allow, deny, permissions, addresses, not_before, expires (such as \
2027-01-31T00:00:00Z), limit_status and a table of policies. `tollgate export` writes such a file.")]
pub struct ApplyArgs {
    /// The file ("-" is standard input)
    pub file: PathBuf,
    /// Show the plan alone
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
    /// Do not ask; needed where there is no terminal to ask on
    #[arg(long)]
    pub yes: bool,
    /// Remove what is not declared, and revoke such tokens
    #[arg(long)]
    pub prune: bool,
    /// The file to make for the tokens that are created; one that exists is never overwritten
    #[arg(long, value_name = "PATH")]
    pub tokens_out: Option<PathBuf>,
}

/// Why nothing was applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The file says what cannot be done.
    #[error("{}", lines(path, problems))]
    Wrong {
        /// Which file.
        path: PathBuf,
        /// All that is wrong.
        problems: Vec<Problem>,
    },
    /// More than a file can reasonably declare.
    #[error("the file has more than {FILE_MAX} bytes")]
    TooLong,
    /// Nobody would have the secrets.
    #[error("tokens to be created: {0}; name a new file for them with --tokens-out")]
    NoPlace(usize),
    /// Nobody can be asked.
    #[error("nothing was applied: without a terminal to ask on, --yes is needed")]
    Unconfirmed,
    /// The plan is not for this store any more.
    #[error("nothing was applied: the store has changed since the plan was made; try again")]
    Moved,
    /// The store refuses after all.
    #[error(transparent)]
    NotCarriedOut(#[from] NotCarriedOut),
}

/// A token that was created, in a line of the file for it.
#[derive(Serialize)]
struct Created<'a> {
    id: &'a str,
    name: &'a str,
    token: &'a str,
}

/// Much more than a hundred thousand tokens need.
const FILE_MAX: u64 = 256 << 20;

/// Does it. `asks` is where an operator is asked, if one is there.
pub fn run(
    args: &ApplyArgs,
    desk: &mut Desk<'_>,
    asks: Option<&mut dyn Write>,
) -> Result<(), Failure> {
    let declared = read(args, desk)?;
    let store = desk.at_store()?.0;
    let (revision, records) = store.read()?;
    let rotated = rotated(store)?;
    let plan = plan(args, desk, declared, &records, &rotated)?;
    let asks = asks.filter(|_| !args.yes && !desk.output.is_json() && !is_stdin(&args.file));
    let applies = !args.dry_run && !plan.is_empty();
    if !desk.output.is_json() {
        desk.output.one(&(), &text(&plan))?;
    }
    if applies && plan.to_mint() > 0 && args.tokens_out.is_none() {
        return Err(ApplyError::NoPlace(plan.to_mint()).into());
    }
    if applies && !args.yes && asks.is_none() {
        return Err(ApplyError::Unconfirmed.into());
    }
    let applied = applies && asks.map_or(Ok(true), |asks| confirmed(asks, desk))?;
    if applied {
        apply(args, desk, &plan, revision)?;
    }
    let said = match (applied, args.dry_run) {
        (true, _) => "applied",
        (false, true) => "nothing was applied: --dry-run",
        (false, false) if plan.is_empty() => "the store is as declared",
        (false, false) => "nothing was applied",
    };
    desk.output.one(&Shown::of(&plan, applied), said)
}

/// Writes what the store has.
pub fn export(desk: &mut Desk<'_>) -> Result<(), Failure> {
    let (store, means) = desk.at_store()?;
    let records = store.records()?;
    let rotated = HashSet::new();
    let (vault, scope) = (means.vault, means.scope);
    let known = Known { records: &records, rotated: &rotated, vault, scope, now: desk.now };
    let text = declared::export(&known);
    desk.output.one(&text, text.trim_end())
}

/// The credentials that have been given another key since somebody wrote theirs down.
fn rotated(store: &mut Store) -> Result<HashSet<String>, Failure> {
    let switched = store.rotations()?.into_iter().filter(|r| r.now_generation > r.generation);
    Ok(switched.map(|rotation| rotation.name).collect())
}

fn read(args: &ApplyArgs, desk: &mut Desk<'_>) -> Result<(Declaration, Problems), Failure> {
    let unreadable = |source| match is_stdin(&args.file) {
        true => Failure::Stdin(source),
        false => Failure::Unreadable { path: args.file.clone(), source },
    };
    let mut text = String::new();
    let file = desk.input.open(&args.file)?;
    let length = file.take(FILE_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
    // The beginning of a declaration may be one, too, and would have the rest removed.
    if length as u64 > FILE_MAX {
        return Err(ApplyError::TooLong.into());
    }
    let folder = args.file.parent().unwrap_or(Path::new("")).to_owned();
    let mut problems = Problems::default();
    let mut secret = |place: &SecretPlace| {
        let source = match place {
            SecretPlace::File(path) if is_stdin(path) => {
                return Err("expected a file; standard input is none".to_owned());
            }
            SecretPlace::File(path) => SecretSource::file(folder.join(path)),
            SecretPlace::Variable(name) => SecretSource::variable(name.clone()),
        };
        source.read(&mut desk.input).map_err(|failure| failure.report())
    };
    let declaration = Declaration::read(&text, &mut secret, &mut problems);
    Ok((declaration, problems))
}

fn plan(
    args: &ApplyArgs,
    desk: &mut Desk<'_>,
    (declaration, mut problems): (Declaration, Problems),
    records: &Records,
    rotated: &HashSet<String>,
) -> Result<Plan, Failure> {
    let now = desk.now;
    let (_, means) = desk.at_store()?;
    let known = Known { records, rotated, vault: means.vault, scope: means.scope, now };
    let plan = Plan::make(declaration, &known, args.prune, &mut problems);
    let problems: Vec<Problem> = problems.iter().cloned().collect();
    let path = args.file.clone();
    if problems.is_empty() { Ok(plan) } else { Err(ApplyError::Wrong { path, problems }.into()) }
}

fn confirmed(asks: &mut dyn Write, desk: &mut Desk<'_>) -> Result<bool, Failure> {
    let asked = write!(asks, "apply this? [y/N] ").and_then(|()| asks.flush());
    asked.map_err(Failure::Output)?;
    let mut answer = String::new();
    desk.input.stdin.read_line(&mut answer).map_err(Failure::Stdin)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// The tokens are written down before they are in force: nobody could show them again.
fn apply(args: &ApplyArgs, desk: &mut Desk<'_>, plan: &Plan, revision: i64) -> Result<(), Failure> {
    let now = desk.now;
    let (store, means) = desk.at_store()?;
    let mut minted = Vec::new();
    for _ in 0..plan.to_mint() {
        minted.push(Token::mint(means.environment, &*random()?));
    }
    let file = args.tokens_out.as_ref().filter(|_| !minted.is_empty());
    if let Some(path) = file {
        let unmade = |source| Failure::CannotCreate { path: path.clone(), source };
        write_tokens(path, plan, &minted).map_err(unmade)?;
    }
    let applied =
        store.edit_seen(revision, now, |edit| carry_out(plan, edit, &means.vault, &minted));
    let applied = match applied {
        Ok(Some(())) => Ok(()),
        Ok(None) => Err(ApplyError::Moved),
        Err(error) => Err(error.into()),
    };
    let unsettled = matches!(
        applied,
        Err(ApplyError::NotCarriedOut(NotCarriedOut::Store(StoreError::Unsettled(_))))
    );
    if let (Err(_), false, Some(path)) = (&applied, unsettled, file) {
        // What is in it is good for nothing; what has failed says more than that this failed, too.
        let _ = fs::remove_file(path);
    }
    Ok(applied?)
}

fn write_tokens(path: &Path, plan: &Plan, minted: &[Token]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let steps = plan.steps.iter().filter(|step| step.mints());
    for (step, token) in steps.zip(minted) {
        let (id, token, name) = (token.id(), token.expose(), &*step.name.name);
        serde_json::to_writer(&mut file, &Created { id, name, token })?;
        writeln!(file)?;
    }
    file.sync_all()
}

impl ApplyError {
    /// The exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Wrong { .. } | Self::TooLong => Exit::Data,
            Self::NoPlace(_) | Self::Unconfirmed => Exit::Usage,
            Self::Moved => Exit::Unavailable,
            Self::NotCarriedOut(NotCarriedOut::Store(error)) => super::failure::of_store(error),
            Self::NotCarriedOut(NotCarriedOut::Random(_) | NotCarriedOut::TooFew) => Exit::Software,
        }
    }
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn lines(path: &Path, problems: &[Problem]) -> String {
    let lines = problems.iter().map(|problem| format!("{}: {problem}", path.display()));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests;
