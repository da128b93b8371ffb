//! `tollgate tenant`: add, change, list and remove tenants.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{
    Desk,
    failure::Failure,
    output::{Column, time},
};
use crate::{
    limit::Quota,
    tenants::{
        record::{LimitStatus, TenantRecord, TenantSettings, member},
        store::StoreError,
    },
    vocabulary::{Closed, Format},
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
struct Shown {
    name: String,
    default_format: &'static str,
    reads: Option<ShownQuota>,
    writes: Option<ShownQuota>,
    upstream_reads: Option<ShownQuota>,
    limit_status: u16,
    created: i64,
}

#[derive(Serialize)]
struct ShownQuota {
    per_second: u32,
    burst: u32,
}

#[derive(Serialize)]
struct Named<'a> {
    tenant: &'a str,
}

const COLUMNS: [Column<Shown>; 7] = [
    ("NAME", |t| t.name.clone()),
    ("FORMAT", |t| t.default_format.to_owned()),
    ("READS", |t| shown_quota(t.reads.as_ref())),
    ("WRITES", |t| shown_quota(t.writes.as_ref())),
    ("UPSTREAM READS", |t| shown_quota(t.upstream_reads.as_ref())),
    ("LIMITED", |t| t.limit_status.to_string()),
    ("CREATED", |t| time(Some(t.created))),
];

/// Does it.
pub fn run(command: &TenantCommand, desk: &mut Desk<'_>) -> Result<(), Failure> {
    let done = |desk: &mut Desk<'_>, name: &str, what: &str| {
        desk.output.one(&Named { tenant: name }, &format!("tenant {name} {what}"))
    };
    match command {
        TenantCommand::Add(args) => {
            let settings = args.over(TenantSettings::default());
            desk.store.edit(desk.now, |edit| edit.add_tenant(&args.name, &settings))?;
            done(desk, &args.name, "added")
        }
        TenantCommand::Set(args) => {
            if args.is_empty() {
                return Err(Failure::NothingToSet);
            }
            desk.store.edit::<_, StoreError>(desk.now, |edit| {
                let tenant = edit.require_tenant(&args.name)?;
                edit.set_tenant(&args.name, &args.over(tenant.settings))
            })?;
            done(desk, &args.name, "changed")
        }
        TenantCommand::List => {
            let tenants = desk.store.records()?.tenants;
            let shown: Vec<Shown> = tenants.into_iter().map(Shown::from).collect();
            desk.output.list(&shown, &COLUMNS)
        }
        TenantCommand::Remove { name } => {
            desk.store.edit(desk.now, |edit| edit.remove_tenant(name))?;
            done(desk, name, "removed")
        }
    }
}

/// Reads 429 or 403.
pub fn limit_status(text: &str) -> Result<LimitStatus, &'static str> {
    text.parse().ok().and_then(LimitStatus::from_code).ok_or("expected 429 or 403")
}

impl TenantArgs {
    fn is_empty(&self) -> bool {
        self.default_format.is_none()
            && self.reads.is_none()
            && self.writes.is_none()
            && self.upstream_reads.is_none()
            && self.limit_status.is_none()
    }

    fn over(&self, mut settings: TenantSettings) -> TenantSettings {
        let quotas = &mut settings.quotas;
        for (given, quota) in [
            (self.reads, &mut quotas.reads),
            (self.writes, &mut quotas.writes),
            (self.upstream_reads, &mut quotas.upstream_reads),
        ] {
            if let Some(QuotaArg(given)) = given {
                *quota = given;
            }
        }
        settings.default_format = self.default_format.unwrap_or(settings.default_format);
        settings.limit_status = self.limit_status.unwrap_or(settings.limit_status);
        settings
    }
}

impl From<TenantRecord> for Shown {
    fn from(record: TenantRecord) -> Self {
        let TenantSettings { default_format, quotas, limit_status } = record.settings;
        let quota = |quota: Option<Quota>| {
            quota.map(|Quota { per_second, burst }| ShownQuota { per_second, burst })
        };
        Self {
            name: record.name,
            default_format: default_format.as_str(),
            reads: quota(quotas.reads),
            writes: quota(quotas.writes),
            upstream_reads: quota(quotas.upstream_reads),
            limit_status: limit_status.code(),
            created: record.created,
        }
    }
}

fn shown_quota(quota: Option<&ShownQuota>) -> String {
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
    text.parse().map(|quota| QuotaArg(Some(quota))).map_err(|_| WANT)
}
