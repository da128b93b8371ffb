//! `tollgate explain`: asks the running server why a request was answered as it was, or would be.

use std::net::IpAddr;

use clap::Args;

use super::{
    failure::Failure,
    output::Output,
    remote::{Call, Remote, path},
};
use crate::{admin::api::explain::PATH, dry_run::DryRun, explain::Explanation};

/// Which request to explain: one that was made, or with `--dry-run` one that is not made.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The id of a request, from its X-Request-Id or the access log; with --dry-run the method
    #[arg(value_name = "REQUEST-ID")]
    pub request: String,
    /// With --dry-run the path, with its query
    #[arg(requires = "dry_run", value_name = "PATH")]
    pub path: Option<String>,
    /// Say what would become of a request, and send nothing: --dry-run GET /profile.json
    #[arg(long, requires = "path", requires = "token_id")]
    pub dry_run: bool,
    /// The public id of the token that it would present
    #[arg(long, value_name = "ID", requires = "dry_run")]
    pub token_id: Option<String>,
    /// Its Accept header
    #[arg(long, value_name = "VALUE", requires = "dry_run")]
    pub accept: Option<String>,
    /// The address that it would come from; the first that the token allows if not given
    #[arg(long, value_name = "ADDRESS", requires = "dry_run")]
    pub from: Option<IpAddr>,
}

/// Asks, and says what the answer is.
pub fn run(server: &Remote, args: &ExplainArgs, output: &mut Output<'_>) -> Result<(), Failure> {
    let explanation: Explanation = if args.dry_run {
        let run = DryRun {
            method: args.request.clone(),
            path: args.path.clone().unwrap_or_default(),
            token: args.token_id.clone().unwrap_or_default(),
            accept: args.accept.clone(),
            from: args.from,
        };
        server.ask(Call::post(PATH, &run))?
    } else {
        server.ask(Call::get(path(&[PATH, &args.request])))?
    };
    output.one(&explanation, &explanation.text())
}
