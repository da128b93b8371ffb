//! `tollgate tenant`: add, change, list and remove tenants.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{
    Desk,
    failure::Failure,
    output::{Column, time},
    remote::{Call, path},
};
use crate::{
    operations::tenants::{self, NewTenant, Quota, Tenant, TenantChange},
    tenants::record::{LimitStatus, member},
    vocabulary::{Closed as _, Format},
};

/// What can be asked of tenants.
#[derive(Debug, Subcommand)]
pub enum TenantCommand {
    /// Add a tenant
    Add(TenantArgs),
    /// Change what is given; a running server follows within a second
    Set(TenantArgs),
    /// List the tenants
    List,
    /// Remove a tenant that has no token in use
    Remove {
        /// The tenant
        name: String,
    },
}

/// A tenant and what is decided for it.
#[derive(Debug, Args)]
pub struct TenantArgs {
    /// The tenant
    pub name: String,
    /// Answer in this format when a request names none: json or xml
    #[arg(long, value_name = "FORMAT", value_parser = format)]
    pub default_format: Option<Format>,
    /// Reads a second, and how many at once: RATE, RATE/BURST or "unlimited"
    #[arg(long, value_name = "QUOTA", value_parser = quota)]
    pub reads: Option<QuotaArg>,
    /// Writes a second, likewise
    #[arg(long, value_name = "QUOTA", value_parser = quota)]
    pub writes: Option<QuotaArg>,
    /// Reads a second that the cache does not answer, likewise
    #[arg(long, value_name = "QUOTA", value_parser = quota)]
    pub upstream_reads: Option<QuotaArg>,
    /// Answer limited requests with 429 or 403
    #[arg(long, value_name = "STATUS", value_parser = limit_status)]
    pub limit_status: Option<LimitStatus>,
}

/// A quota, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaArg(pub Option<Quota>);

#[derive(Serialize)]
struct Named<'a> {
    tenant: &'a str,
}

const COLUMNS: [Column<Tenant>; 7] = [
    ("NAME", |t| t.name.clone()),
    ("FORMAT", |t| t.default_format.as_str().to_owned()),
    ("READS", |t| shown_quota(t.reads)),
    ("WRITES", |t| shown_quota(t.writes)),
    ("UPSTREAM READS", |t| shown_quota(t.upstream_reads)),
    ("LIMITED", |t| t.limit_status.code().to_string()),
    ("CREATED", |t| time(Some(t.created))),
];

const PATH: &str = "/v1/tenants";

/// Does it.
pub fn run(command: &TenantCommand, desk: &mut Desk<'_>) -> Result<(), Failure> {
    let done = |desk: &mut Desk<'_>, name: &str, what: &str| {
        desk.output.one(&Named { tenant: name }, &format!("tenant {name} {what}"))
    };
    match command {
        TenantCommand::Add(args) => {
            let new = args.new_tenant();
            desk.create(Call::post(PATH, &new), |edit, _| tenants::add(edit, &new))?;
            done(desk, &args.name, "added")
        }
        TenantCommand::Set(args) => {
            let change = args.change();
            if change == TenantChange::default() {
                return Err(Failure::NothingToSet);
            }
            let call = Call::patch(path(&[PATH, &args.name]), &change);
            desk.edit(call, |edit, _| tenants::set(edit, &args.name, &change))?;
            done(desk, &args.name, "changed")
        }
        TenantCommand::List => {
            let all = desk.list("/v1/tenants?", tenants::list)?;
            desk.output.list(&all, &COLUMNS)
        }
        TenantCommand::Remove { name } => {
            let call = Call::delete(path(&[PATH, name]));
            desk.edit(call, |edit, _| tenants::remove(edit, name))?;
            done(desk, name, "removed")
        }
    }
}

/// Reads 429 or 403.
pub fn limit_status(text: &str) -> Result<LimitStatus, &'static str> {
    text.parse().ok().and_then(LimitStatus::from_code).ok_or("expected 429 or 403")
}

impl TenantArgs {
    fn new_tenant(&self) -> NewTenant {
        let quota = |given: Option<QuotaArg>| given.and_then(|QuotaArg(quota)| quota);
        NewTenant {
            name: self.name.clone(),
            default_format: self.default_format,
            reads: quota(self.reads),
            writes: quota(self.writes),
            upstream_reads: quota(self.upstream_reads),
            limit_status: self.limit_status,
        }
    }

    fn change(&self) -> TenantChange {
        let quota = |given: Option<QuotaArg>| given.map(|QuotaArg(quota)| quota);
        TenantChange {
            default_format: self.default_format,
            reads: quota(self.reads),
            writes: quota(self.writes),
            upstream_reads: quota(self.upstream_reads),
            limit_status: self.limit_status,
        }
    }
}

fn shown_quota(quota: Option<Quota>) -> String {
    quota.map_or_else(|| "unlimited".to_owned(), |q| format!("{}/{}", q.per_second, q.burst))
}

fn format(text: &str) -> Result<Format, &'static str> {
    member(text).ok_or("expected json or xml")
}

fn quota(text: &str) -> Result<QuotaArg, &'static str> {
    const WANT: &str = "expected RATE, RATE/BURST or \"unlimited\", in whole numbers from 1; \
                        to stop a tenant, revoke its tokens";
    if text == "unlimited" {
        return Ok(QuotaArg(None));
    }
    let positive = |text: &str| text.parse().map_err(|_| WANT);
    let (rate, burst) = text.split_once('/').unwrap_or((text, text));
    Ok(QuotaArg(Some(Quota { per_second: positive(rate)?, burst: positive(burst)? })))
}
