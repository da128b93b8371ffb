//! The command line: what can be asked for, and the commands that edit the store.
//!
//! Each command that edits the store is a file with a `run` that takes its arguments and the
//! [`Desk`], which has the running server do it, or does it here. Standard output carries what was promised and nothing else; secrets never stand in
//! an argument, where every process could read them.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand};
use serde::de::DeserializeOwned;

use self::remote::Call;
use crate::{
    operations::{Listed, Means, OperationError, Page, every},
    tenants::{
        secret::UpstreamSecret,
        store::{Edit, Store, View},
    },
};

pub mod admin_token;
pub mod apply;
pub mod audit;
pub mod check;
pub mod core_dumps;
pub mod credential;
pub mod dispatch;
pub mod exit;
pub mod explain;
pub mod failure;
pub mod formats;
pub mod import;
pub mod input;
pub mod keys;
pub mod master_key;
pub mod output;
pub mod policy;
pub mod probe;
pub mod purge;
pub mod remote;
pub mod rotate_key;
pub mod serve;
pub mod tenant;
pub mod token;
pub mod upstream;
pub mod vault;

#[cfg(test)]
mod tests;

pub use exit::Exit;
pub use failure::Failure;

/// An HTTPS gateway in front of the CloudFlow API.
#[derive(Debug, Parser)]
#[command(name = "tollgate", version, max_term_width = 100)]
pub struct Cli {
    /// The configuration file
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        env = "TOLLGATE_CONFIG",
        default_value = "/etc/tollgate/tollgate.toml"
    )]
    pub config: PathBuf,
    /// Write JSON for programs instead of text for people
    #[arg(long, global = true)]
    pub json: bool,
    /// Work on the store itself, and not through the server that runs: for tenants, credentials and
    /// their keys, tokens, admin tokens, imports, declared files, the vault and the audit log
    #[arg(long, global = true, conflicts_with = "server")]
    pub offline: bool,
    /// Ask the server there, https://HOST:PORT, and not that of the configuration
    #[arg(long, global = true, value_name = "URL")]
    pub server: Option<String>,
    /// Trust the authority in this PEM file, and not those of the system, where --server is given
    #[arg(long, global = true, value_name = "PATH")]
    pub ca: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be asked for.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve until SIGTERM
    Serve,
    /// Check the configuration and report every problem
    Check,
    /// The upstreams, which the configuration defines
    #[command(subcommand)]
    Upstream(UpstreamCommand),
    /// The tenants and their limits
    #[command(subcommand)]
    Tenant(tenant::TenantCommand),
    /// The credentials that upstream requests carry
    #[command(subcommand)]
    Credential(CredentialCommand),
    /// The tokens that tenants present
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// The tokens of operators, for the admin API
    #[command(subcommand)]
    AdminToken(admin_token::AdminTokenCommand),
    /// Import JSON lines of tenants, credentials and keys to adopt: all of them or none
    Import(import::ImportArgs),
    /// Make the store as a file declares it: shows a plan, asks, and does it, whole or not at all
    Apply(apply::ApplyArgs),
    /// Write a file that declares what the store has, without secrets
    Export,
    /// Make what a running server keeps stale, so that it is fetched anew
    Purge(purge::PurgeArgs),
    /// Say why a running server answered a request as it did, or would
    Explain(explain::ExplainArgs),
    /// What a running server has learned of the formats of routes
    #[command(subcommand)]
    Formats(formats::FormatsCommand),
    /// The audit log: who did what
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// The keys with which the store is locked
    #[command(subcommand)]
    Vault(vault::VaultCommand),
    /// Make a file with a new master key
    MasterKey(master_key::MasterKeyArgs),
    /// Serve a simulated panel with tenants of its own; needs no configuration
    Demo,
}

/// What can be asked of upstreams.
#[derive(Debug, Subcommand)]
pub enum UpstreamCommand {
    /// List the upstreams
    List,
}

/// What can be asked of credentials.
#[derive(Debug, Subcommand)]
pub enum CredentialCommand {
    /// What the store alone can do.
    #[command(flatten)]
    Stored(credential::StoredCommand),
    /// Ask the upstream whether it takes a credential
    Test(TestCredential),
    /// Have the upstream make a credential a new key, and remove the old one
    RotateKey(rotate_key::RotateKey),
}

/// Which credential to test.
#[derive(Debug, Args)]
pub struct TestCredential {
    /// The credential
    pub name: String,
}

/// Whether an upstream takes the secret of a credential: by the credential's name and the upstream's.
pub type Admit<'a> = &'a dyn Fn(&str, &str, &UpstreamSecret) -> Result<(), Failure>;

/// What a command works with that edits the store, or has a server do it.
pub struct Desk<'a> {
    /// Who does it.
    pub counter: Counter<'a>,
    /// Tests what is about to be stored.
    pub admit: Admit<'a>,
    /// Where secrets and files come from.
    pub input: input::Input<'a>,
    /// Where the answer goes.
    pub output: output::Output<'a>,
    /// The Unix time.
    pub now: i64,
}

/// Who does what a command says.
pub enum Counter<'a> {
    /// This process, on the store itself.
    Store {
        /// The store.
        store: &'a mut Store,
        /// What operations need besides.
        means: Means<'a>,
    },
    /// The server that runs.
    Server(remote::Remote),
}

impl<'a> Desk<'a> {
    /// The store itself, for what no server does.
    pub(super) fn at_store(&mut self) -> Result<(&mut Store, Means<'a>), Failure> {
        match &mut self.counter {
            Counter::Store { store, means } => Ok((store, *means)),
            Counter::Server(_) => Err(Failure::StoreAlone),
        }
    }

    /// Changes something: by a call of the API, or by the same operation here.
    pub(super) fn edit<T: DeserializeOwned>(
        &mut self,
        call: Call,
        change: impl FnOnce(&Edit<'_>, &Means<'_>) -> Result<T, OperationError>,
    ) -> Result<T, Failure> {
        match &mut self.counter {
            Counter::Store { store, means } => {
                Ok(store.edit(self.now, |edit| change(edit, means))?)
            }
            Counter::Server(server) => server.ask(call),
        }
    }

    /// Does something once, likewise; a server that was not heard is asked again.
    pub(super) fn create<T: DeserializeOwned>(
        &mut self,
        call: Call,
        make: impl FnOnce(&Edit<'_>, &Means<'_>) -> Result<T, OperationError>,
    ) -> Result<T, Failure> {
        match &self.counter {
            Counter::Store { .. } => self.edit(call, make),
            Counter::Server(server) => server.ask_once(call),
        }
    }

    /// Reads something, likewise.
    pub(super) fn view<T: DeserializeOwned>(
        &mut self,
        call: Call,
        read: impl FnOnce(&View<'_>) -> Result<T, OperationError>,
    ) -> Result<T, Failure> {
        match &mut self.counter {
            Counter::Store { store, .. } => Ok(store.view(self.now, read)?),
            Counter::Server(server) => server.ask(call),
        }
    }

    /// Reads a whole list; `path` is where its parts are, with the beginning of a query.
    pub(super) fn list<T: DeserializeOwned>(
        &mut self,
        path: &str,
        part: impl Fn(&View<'_>, &Page) -> Result<Listed<T>, OperationError>,
    ) -> Result<Vec<T>, Failure> {
        every(|page| {
            let call = Call::get(format!("{path}{}", page.query()));
            self.view(call, |view| part(view, page))
        })
    }
}

impl Cli {
    /// Reads the arguments; help and version are errors too, whose [`exit_of`] is success.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        Self::try_parse_from(arguments)
    }
}

/// With which code to end after clap has printed its error.
pub fn exit_of(error: &clap::Error) -> Exit {
    if error.use_stderr() { Exit::Usage } else { Exit::Ok }
}
