//! `tollgate import`: JSON lines into the store, all or none.

use std::path::PathBuf;

use clap::Args;

use super::{Counter, Desk, failure::Failure, remote::Call};
use crate::{
    operations::Means,
    tenants::import::{Import, ImportError, Imported},
};

/// What to import.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Each line is one object:

  {\"tenant\": {\"name\": \"acme\", \"default_format\": \"json\", \"reads_per_second\": 50,
              \"reads_burst\": 100, \"limit_status\": 429},
   \"credential\": {\"name\": \"acme\", \"upstream\": \"main\", \"login\": \"…\", \"password\": \"…\"},
   \"token\": \"the key that the client holds today\"}

A tenant or credential that exists may be given by its name alone; a credential may have \"email\" \
and \"key\" instead, and also \"reach\" (\"own\" or \"all\") and \"account\". The token may be left \
out, or be an object with \"key\", \"access\", \"allow\", \"deny\", \"permissions\", \"addresses\", \
\"not_before\", \"expires\" and \"limit_status\". A key of which no permissions are \
said has secrets:read, since its client reads the passwords of machines today; \
\"permissions\": [] takes it away. What exists and is equal is left as it is; what \
exists and differs is an error. Secrets are stored as they are given: `tollgate credential test` \
says whether the panel takes one.")]
pub struct ImportArgs {
    /// The file ("-" is standard input)
    pub file: PathBuf,
}

/// Does it.
pub fn run(args: &ImportArgs, desk: &mut Desk<'_>) -> Result<(), Failure> {
    let mut lines = desk.input.open(&args.file)?;
    let imported: Imported = match &mut desk.counter {
        Counter::Store { store, means } => {
            let Means { vault, scope, .. } = *means;
            Import { vault, scope, now: desk.now }.run(store, lines)?
        }
        Counter::Server(server) => {
            let mut all = Vec::new();
            lines.read_to_end(&mut all).map_err(ImportError::Read)?;
            server.ask(Call::lines("/v1/import", all))?
        }
    };
    let text = format!(
        "added: {} tenants, {} credentials, {} tokens; there already: {}",
        imported.tenants, imported.credentials, imported.tokens, imported.unchanged
    );
    desk.output.one(&imported, &text)
}
