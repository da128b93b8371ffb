//! The tenants in the store.

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::{Edit, StoreError, limit_status, require_name, tokens, word};
use crate::{
    limit::{Quota, Quotas},
    tenants::record::{Noun, TenantRecord, TenantSettings},
    vocabulary::Closed,
};

impl Edit<'_> {
    /// Adds a tenant and gives its row.
    pub fn add_tenant(&self, name: &str, settings: &TenantSettings) -> Result<i64, StoreError> {
        require_name(Noun::Tenant, name)?;
        if self.tenant(name)?.is_some() {
            return Err(StoreError::Exists { noun: Noun::Tenant, name: name.to_owned() });
        }
        let mut insert = self.transaction.prepare_cached(
            "INSERT INTO tenants (name, default_format, limit_status, created)
             VALUES (?1, 'json', 429, ?2)",
        )?;
        let row = insert.insert((name, self.now))?;
        self.set_tenant(name, settings)?;
        Ok(row)
    }

    /// Replaces what an operator decides for a tenant.
    pub fn set_tenant(&self, name: &str, settings: &TenantSettings) -> Result<(), StoreError> {
        let Quotas { reads, writes, upstream_reads } = settings.quotas;
        let changed = self
            .transaction
            .prepare_cached(
                "UPDATE tenants SET default_format = :default_format,
                 reads_per_second = :reads_per_second, reads_burst = :reads_burst,
                 writes_per_second = :writes_per_second, writes_burst = :writes_burst,
                 upstream_reads_per_second = :upstream_reads_per_second,
                 upstream_reads_burst = :upstream_reads_burst, limit_status = :limit_status
             WHERE name = :name",
            )?
            .execute(named_params! {
                    ":name": name,
                    ":default_format": settings.default_format.as_str(),
                    ":reads_per_second": reads.map(|quota| quota.per_second),
                    ":reads_burst": reads.map(|quota| quota.burst),
                    ":writes_per_second": writes.map(|quota| quota.per_second),
                    ":writes_burst": writes.map(|quota| quota.burst),
                    ":upstream_reads_per_second": upstream_reads.map(|quota| quota.per_second),
                    ":upstream_reads_burst": upstream_reads.map(|quota| quota.burst),
                    ":limit_status": settings.limit_status.code(),
            })?;
        if changed == 0 { Err(StoreError::missing(Noun::Tenant, name)) } else { Ok(()) }
    }

    /// Removes a tenant that no token uses; its revoked tokens go with it.
    pub fn remove_tenant(&self, name: &str) -> Result<(), StoreError> {
        let tenant = self.require_tenant(name)?;
        let live = tokens::live(&self.transaction, "tenant", tenant.row)?;
        if !live.is_empty() {
            let name = name.to_owned();
            return Err(StoreError::InUse { noun: Noun::Tenant, name, tokens: live });
        }
        self.transaction.execute("DELETE FROM tokens WHERE tenant = ?1", [tenant.row])?;
        self.transaction.execute("DELETE FROM tenants WHERE row = ?1", [tenant.row])?;
        Ok(())
    }

    /// A tenant by its name.
    pub fn tenant(&self, name: &str) -> Result<Option<TenantRecord>, StoreError> {
        let mut select =
            self.transaction.prepare_cached("SELECT * FROM tenants WHERE name = ?1")?;
        Ok(select.query_row([name], record).optional()?)
    }

    /// A tenant that has to be there.
    pub fn require_tenant(&self, name: &str) -> Result<TenantRecord, StoreError> {
        self.tenant(name)?.ok_or_else(|| StoreError::missing(Noun::Tenant, name))
    }
}

pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<TenantRecord>> {
    connection
        .prepare_cached("SELECT * FROM tenants ORDER BY name")?
        .query_map([], record)?
        .collect()
}

fn record(row: &Row<'_>) -> rusqlite::Result<TenantRecord> {
    let quota = |rate: &str, burst: &str| -> rusqlite::Result<Option<Quota>> {
        let (rate, burst): (Option<u32>, Option<u32>) = (row.get(rate)?, row.get(burst)?);
        Ok(rate.zip(burst).map(|(per_second, burst)| Quota { per_second, burst }))
    };
    Ok(TenantRecord {
        row: row.get("row")?,
        name: row.get("name")?,
        settings: TenantSettings {
            default_format: word(row, "default_format")?,
            quotas: Quotas {
                reads: quota("reads_per_second", "reads_burst")?,
                writes: quota("writes_per_second", "writes_burst")?,
                upstream_reads: quota("upstream_reads_per_second", "upstream_reads_burst")?,
            },
            limit_status: limit_status(row)?.unwrap_or_default(),
        },
        created: row.get("created")?,
    })
}
