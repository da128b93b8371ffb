//! The command line: what can be asked for, and the commands that edit the store.
//!
//! Each command that edits the store is a file with a `run` that takes its arguments and the
//! [`Desk`]. Standard output carries what was promised and nothing else; secrets never stand in
//! an argument, where every process could read them.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::{
    auth::token::Environment,
    tenants::{
        secret::{UpstreamSecret, Vault},
        store::Store,
    },
};

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
pub mod master_key;
pub mod output;
pub mod policy;
pub mod probe;
pub mod purge;
pub mod remote;
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
}

/// Which credential to test.
#[derive(Debug, Args)]
pub struct TestCredential {
    /// The credential
    pub name: String,
}

/// Whether an upstream takes the secret of a credential: by the credential's name and the upstream's.
pub type Admit<'a> = &'a dyn Fn(&str, &str, &UpstreamSecret) -> Result<(), Failure>;

/// What a command that edits the store works with.
pub struct Desk<'a> {
    /// The store.
    pub store: &'a mut Store,
    /// Seals the secrets of credentials, and has the keys.
    pub vault: Vault<'a>,
    /// Tests what is about to be stored.
    pub admit: Admit<'a>,
    /// The bit of a route class or a family.
    pub scope: &'a dyn Fn(&str) -> Option<u64>,
    /// The word in new tokens.
    pub environment: &'a Environment,
    /// Where secrets and files come from.
    pub input: input::Input<'a>,
    /// Where the answer goes.
    pub output: output::Output<'a>,
    /// The Unix time.
    pub now: i64,
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
