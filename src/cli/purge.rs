//! `tollgate purge`: asks the running server no longer to believe what it keeps.

use clap::{ArgGroup, Args};

use super::{
    failure::Failure,
    output::Output,
    remote::{Call, Remote},
};
use crate::{
    admin::api::cache::PATH,
    purge::{Purged, Selectors},
};

/// What to purge: whose, what of it, or both. A family or a path alone is everybody's.
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("whose").args(["all", "upstream", "tenant", "credential"])),
    group(
        ArgGroup::new("selected")
            .args(["all", "upstream", "tenant", "credential", "families", "path"])
            .required(true)
            .multiple(true)
    )
)]
pub struct PurgeArgs {
    /// All that is kept
    #[arg(long)]
    pub all: bool,
    /// What is kept of an upstream
    #[arg(long, value_name = "NAME")]
    pub upstream: Option<String>,
    /// What is kept for the credentials that a tenant's tokens stand for
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
    /// What is kept for a credential, and for others of its account
    #[arg(long, value_name = "NAME")]
    pub credential: Option<String>,
    /// Of that these families alone
    #[arg(long = "family", value_name = "NAME", value_delimiter = ',')]
    pub families: Vec<String>,
    /// Of that a path alone, such as /virtual_machines/5.json
    #[arg(long, value_name = "PATH", conflicts_with = "families")]
    pub path: Option<String>,
    /// Mark it stale instead: it is fetched anew, and shown where that fails or until it is done, as
    /// cache.stale_if_error and cache.stale_while_revalidate allow
    #[arg(long)]
    pub soft: bool,
}

/// Asks, and says what was done.
pub fn run(server: &Remote, args: &PurgeArgs, output: &mut Output<'_>) -> Result<(), Failure> {
    let purged: Purged = server.ask(Call::post(PATH, &args.selectors()))?;
    let Purged { partitions, families, entries } = &purged;
    let done = match entries {
        None => "purged".to_owned(),
        Some(entries) => format!("{entries} entries marked stale"),
    };
    let text = format!("{done} for {partitions} credentials: {}", families.join(", "));
    output.one(&purged, &text)
}

impl PurgeArgs {
    fn selectors(&self) -> Selectors {
        let Self { all, upstream, tenant, credential, families, path, soft } = self;
        Selectors {
            all: *all,
            upstream: upstream.clone(),
            tenant: tenant.clone(),
            credential: credential.clone(),
            families: families.clone(),
            path: path.clone(),
            soft: *soft,
        }
    }
}
