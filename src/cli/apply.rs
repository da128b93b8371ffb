//! `tollgate apply` and `tollgate export`: the store as a file declares it, and such a file.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use clap::Args;
use http::{HeaderValue, header::ACCEPT};
use serde_json::{Map, Value};

use self::{file::DeclaredFile, shown::text};
use super::{Counter, Desk, credential::Trial, exit::Exit, failure::Failure, remote::Call};
use crate::{
    operations::declaration::{self, DeclarationPlan, MintedToken},
    settings::Problem,
    tenants::declared::{Exported, NotCarriedOut},
};

mod file;
mod server;
mod shown;
mod store;

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
2027-01-31T00:00:00Z), limit_status and a table of policies. `tollgate export` writes such a file.

Secrets are read here, from the files and variables that are named, and sent to the server. What is \
stored for an upstream is tested before: it is asked whether it takes it.")]
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
    /// Whether secrets are tested.
    #[command(flatten)]
    pub trial: Trial,
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
    #[error("the file has more than {} bytes", file::MAX)]
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
    /// The server may have done it, and nobody heard what it said; or what it said was not kept.
    #[error(
        "it may have been applied: `tollgate apply` with the same file shows what is missing, and a token \
         that was created meanwhile gets a secret that is known by `tollgate token rotate ID`"
    )]
    Unheard(#[source] Box<Failure>),
    /// The store refuses after all.
    #[error(transparent)]
    NotCarriedOut(#[from] NotCarriedOut),
}

/// A plan, and what carries it out.
struct Planned {
    shown: DeclarationPlan,
    held: Held,
}

/// Where a plan is held against the state of the store that it was made from.
enum Held {
    Here(store::Plan),
    There(server::Plan),
}

const PATH: &str = "/v1/declaration";

/// Does it. `asks` is where an operator is asked, if one is there.
pub fn run(
    args: &ApplyArgs,
    desk: &mut Desk<'_>,
    asks: Option<&mut dyn Write>,
) -> Result<(), Failure> {
    let declared = DeclaredFile::read(&args.file, &mut desk.input)?;
    let now = desk.now;
    let Planned { shown, held } = match &mut desk.counter {
        Counter::Store { store, means } => store::plan(store, means, declared, args.prune, now)?,
        Counter::Server(server) => server::plan(server, declared, args)?,
    };
    let asks = asks.filter(|_| !args.yes && !desk.output.is_json() && !is_stdin(&args.file));
    let applies = !args.dry_run && !shown.steps.is_empty();
    if !desk.output.is_json() {
        desk.output.one(&(), &text(&shown))?;
    }
    if applies && shown.to_mint > 0 && args.tokens_out.is_none() {
        return Err(ApplyError::NoPlace(shown.to_mint).into());
    }
    if applies && !args.yes && asks.is_none() {
        return Err(ApplyError::Unconfirmed.into());
    }
    let applied = applies && asks.map_or(Ok(true), |asks| confirmed(asks, desk))?;
    if applied {
        let tokens_out = args.tokens_out.as_deref().filter(|_| shown.to_mint > 0);
        match (&mut desk.counter, held) {
            (Counter::Store { store, means }, Held::Here(plan)) => {
                plan.try_out(args.trial, desk.admit)?;
                store::apply(store, means, &plan, tokens_out, now)?;
            }
            (Counter::Server(server), Held::There(plan)) => {
                server::apply(server, &plan, tokens_out)?;
            }
            // Who plans is who applies.
            (Counter::Store { .. } | Counter::Server(_), _) => return Err(ApplyError::Moved.into()),
        }
    }
    let said = match (applied, args.dry_run) {
        (true, _) => "applied",
        (false, true) => "nothing was applied: --dry-run",
        (false, false) if shown.steps.is_empty() => "the store is as declared",
        (false, false) => "nothing was applied",
    };
    desk.output.one(&DeclarationPlan { applied, ..shown }, said)
}

/// Writes what the store has.
pub fn export(desk: &mut Desk<'_>) -> Result<(), Failure> {
    let (now, as_json) = (desk.now, desk.output.is_json());
    let written = |exported: &Exported<'_>| match as_json {
        true => (exported.to_json(), String::new()),
        false => (Map::new(), exported.to_toml()),
    };
    let (json, text): (Map<String, Value>, String) = match &mut desk.counter {
        Counter::Store { store, means } => {
            store.view(now, |view| declaration::export(view, means, written))?
        }
        Counter::Server(server) if as_json => {
            (server.ask(Call::get(PATH).answered_within(file::MAX))?, String::new())
        }
        Counter::Server(server) => {
            let toml = HeaderValue::from_static("application/toml");
            let call = Call::get(PATH).answered_within(file::MAX).with(ACCEPT, toml);
            let answer = server.hear(call)?;
            let answer = answer.map_err(|problem| server.refused(&problem))?;
            (Map::new(), String::from_utf8_lossy(answer.body()).into_owned())
        }
    };
    desk.output.one(&json, text.trim_end())
}

fn confirmed(asks: &mut dyn Write, desk: &mut Desk<'_>) -> Result<bool, Failure> {
    let asked = write!(asks, "apply this? [y/N] ").and_then(|()| asks.flush());
    asked.map_err(Failure::Output)?;
    let mut answer = String::new();
    desk.input.stdin.read_line(&mut answer).map_err(Failure::Stdin)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// A file for tokens, which nobody else can read and which was not there.
struct TokensFile<'a> {
    path: &'a Path,
    file: File,
}

impl<'a> TokensFile<'a> {
    fn create(path: &'a Path) -> Result<Self, Failure> {
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = made.map_err(|source| unmade(path, source))?;
        Ok(Self { path, file })
    }

    fn write(&mut self, tokens: &[MintedToken]) -> Result<(), Failure> {
        self.put(tokens).map_err(|source| unmade(self.path, source))
    }

    /// There is nothing in it that is good for anything.
    fn remove(self) {
        // What has failed says more than that this failed, too.
        let _ = fs::remove_file(self.path);
    }

    fn put(&mut self, tokens: &[MintedToken]) -> io::Result<()> {
        for token in tokens {
            serde_json::to_writer(&mut self.file, token)?;
            writeln!(self.file)?;
        }
        self.file.sync_all()
    }
}

impl ApplyError {
    /// The exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Wrong { .. } | Self::TooLong => Exit::Data,
            Self::NoPlace(_) | Self::Unconfirmed => Exit::Usage,
            Self::Moved => Exit::Unavailable,
            Self::Unheard(why) => match **why {
                Failure::CannotCreate { .. } => why.exit(),
                // Whatever was said at last, it is not known what came of the first.
                _ => Exit::Unavailable,
            },
            Self::NotCarriedOut(NotCarriedOut::Store(error)) => super::failure::of_store(error),
            Self::NotCarriedOut(NotCarriedOut::Random(_) | NotCarriedOut::TooFew) => Exit::Software,
        }
    }
}

fn unmade(path: &Path, source: io::Error) -> Failure {
    Failure::CannotCreate { path: path.to_owned(), source }
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
