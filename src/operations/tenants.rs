//! Tenants: added, changed, listed and removed.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Listed, OperationError, Page,
    words::{given, not_null},
};
use crate::{
    limit,
    tenants::{
        record::{LimitStatus, TenantRecord, TenantSettings},
        store::{Edit, View},
    },
    vocabulary::Format,
};

/// A tenant to add. What is left out is as it is for every new tenant: JSON, unlimited, and 429.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTenant {
    /// The name: letters, digits and `._@-`.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._@][A-Za-z0-9._@-]*$")]
    pub name: String,
    /// The format of what the upstream would refuse for want of a clear one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_format: Option<Format>,
    /// Reads; none is unlimited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reads: Option<Quota>,
    /// Writes, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writes: Option<Quota>,
    /// Reads that the cache does not answer, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_reads: Option<Quota>,
    /// With which status a limited request is answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_status: Option<LimitStatus>,
}

/// What is to change of a tenant; what is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantChange {
    /// The format of what the upstream would refuse for want of a clear one.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "not_null")]
    #[schema(value_type = Format, required = false)]
    pub default_format: Option<Format>,
    /// Reads; `null` makes them unlimited.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    #[schema(value_type = Option<Quota>)]
    pub reads: Option<Option<Quota>>,
    /// Writes, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    #[schema(value_type = Option<Quota>)]
    pub writes: Option<Option<Quota>>,
    /// Reads that the cache does not answer, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    #[schema(value_type = Option<Quota>)]
    pub upstream_reads: Option<Option<Quota>>,
    /// With which status a limited request is answered.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "not_null")]
    #[schema(value_type = LimitStatus, required = false)]
    pub limit_status: Option<LimitStatus>,
}

/// A tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tenant {
    /// The name.
    pub name: String,
    /// The format of what the upstream would refuse for want of a clear one.
    pub default_format: Format,
    /// Reads; `null` is unlimited.
    pub reads: Option<Quota>,
    /// Writes, likewise.
    pub writes: Option<Quota>,
    /// Reads that the cache does not answer, likewise.
    pub upstream_reads: Option<Quota>,
    /// With which status a limited request is answered.
    pub limit_status: LimitStatus,
    /// When it was added, as a Unix time.
    pub created: i64,
}

/// So many requests a second, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// The sustained rate, in requests a second.
    #[schema(value_type = i64, minimum = 1, maximum = 4294967295_i64)]
    pub per_second: NonZeroU32,
    /// How many may come at once.
    #[schema(value_type = i64, minimum = 1, maximum = 4294967295_i64)]
    pub burst: NonZeroU32,
}

/// Adds a tenant.
pub fn add(edit: &Edit<'_>, new: &NewTenant) -> Result<Tenant, OperationError> {
    let change = TenantChange {
        default_format: new.default_format,
        reads: Some(new.reads),
        writes: Some(new.writes),
        upstream_reads: Some(new.upstream_reads),
        limit_status: new.limit_status,
    };
    edit.add_tenant(&new.name, &change.over(TenantSettings::default()))?;
    show(edit, &new.name)
}

/// Changes a tenant.
pub fn set(edit: &Edit<'_>, name: &str, change: &TenantChange) -> Result<Tenant, OperationError> {
    let tenant = edit.require_tenant(name)?;
    edit.set_tenant(name, &change.over(tenant.settings))?;
    show(edit, name)
}

/// Removes a tenant that has no token in use.
pub fn remove(edit: &Edit<'_>, name: &str) -> Result<(), OperationError> {
    Ok(edit.remove_tenant(name)?)
}

/// A tenant.
pub fn show(view: &View<'_>, name: &str) -> Result<Tenant, OperationError> {
    Ok(view.require_tenant(name)?.into())
}

/// The tenants by name.
pub fn list(view: &View<'_>, page: &Page) -> Result<Listed<Tenant>, OperationError> {
    let found = view.tenants(page.after(), page.probe())?;
    Ok(page.of(found, |tenant| tenant.name.clone()).map(Tenant::from))
}

impl TenantChange {
    fn over(&self, mut settings: TenantSettings) -> TenantSettings {
        let quotas = &mut settings.quotas;
        for (given, quota) in [
            (self.reads, &mut quotas.reads),
            (self.writes, &mut quotas.writes),
            (self.upstream_reads, &mut quotas.upstream_reads),
        ] {
            if let Some(given) = given {
                *quota = given.map(limit::Quota::from);
            }
        }
        settings.default_format = self.default_format.unwrap_or(settings.default_format);
        settings.limit_status = self.limit_status.unwrap_or(settings.limit_status);
        settings
    }
}

impl From<TenantRecord> for Tenant {
    fn from(record: TenantRecord) -> Self {
        let TenantSettings { default_format, quotas, limit_status } = record.settings;
        let quota = |quota: Option<limit::Quota>| {
            let limit::Quota { per_second, burst } = quota?;
            Some(Quota { per_second: NonZeroU32::new(per_second)?, burst: NonZeroU32::new(burst)? })
        };
        Self {
            name: record.name,
            default_format,
            reads: quota(quotas.reads),
            writes: quota(quotas.writes),
            upstream_reads: quota(quotas.upstream_reads),
            limit_status,
            created: record.created,
        }
    }
}

impl From<Quota> for limit::Quota {
    fn from(Quota { per_second, burst }: Quota) -> Self {
        Self { per_second: per_second.get(), burst: burst.get() }
    }
}
