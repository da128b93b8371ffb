//! The tenants in the store.

use sqlx::{any::AnyRow, query};

use super::{
    Edit, Session, StoreError, View, audit::details, get, limit_status, number, require_name,
    tokens, word,
};
use crate::{
    audit::event::Action,
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
        let insert = query(
            "INSERT INTO tenants (name, default_format, limit_status, created)
             VALUES ($1, 'json', 429, $2)",
        );
        self.session.execute(insert.bind(name).bind(self.now))?;
        self.put_settings(name, settings)?;
        self.did(Action::TenantAdd, name);
        Ok(self.require_tenant(name)?.row)
    }

    /// Replaces what an operator decides for a tenant.
    pub fn set_tenant(&self, name: &str, settings: &TenantSettings) -> Result<(), StoreError> {
        let old = self.require_tenant(name)?.settings;
        self.put_settings(name, settings)?;
        self.did_so(Action::TenantSet, name, details::of_settings(&old, settings));
        Ok(())
    }

    fn put_settings(&self, name: &str, settings: &TenantSettings) -> Result<(), StoreError> {
        let Quotas { reads, writes, upstream_reads } = settings.quotas;
        let update = query(
            "UPDATE tenants SET default_format = $2, reads_per_second = $3, reads_burst = $4,
                 writes_per_second = $5, writes_burst = $6, upstream_reads_per_second = $7,
                 upstream_reads_burst = $8, limit_status = $9
             WHERE name = $1",
        );
        let mut update = update.bind(name).bind(settings.default_format.as_str());
        for quota in [reads, writes, upstream_reads] {
            update = update
                .bind(quota.map(|quota| i64::from(quota.per_second)))
                .bind(quota.map(|quota| i64::from(quota.burst)));
        }
        let changed = self.session.execute(update.bind(i64::from(settings.limit_status.code())))?;
        if changed == 0 { Err(StoreError::missing(Noun::Tenant, name)) } else { Ok(()) }
    }

    /// Removes a tenant that no token uses; its revoked tokens go with it.
    pub fn remove_tenant(&self, name: &str) -> Result<(), StoreError> {
        let tenant = self.require_tenant(name)?;
        let live = tokens::live_of_tenant(&self.session, tenant.row)?;
        if !live.is_empty() {
            let name = name.to_owned();
            return Err(StoreError::InUse { noun: Noun::Tenant, name, tokens: live });
        }
        let delete = query("DELETE FROM tokens WHERE tenant = $1");
        self.session.execute(delete.bind(tenant.row))?;
        self.session.execute(query("DELETE FROM tenants WHERE row = $1").bind(tenant.row))?;
        self.did(Action::TenantRemove, name);
        Ok(())
    }
}

impl View<'_> {
    /// A tenant by its name.
    pub fn tenant(&self, name: &str) -> Result<Option<TenantRecord>, StoreError> {
        self.session.first(query("SELECT * FROM tenants WHERE name = $1").bind(name), record)
    }

    /// A tenant that has to be there.
    pub fn require_tenant(&self, name: &str) -> Result<TenantRecord, StoreError> {
        self.tenant(name)?.ok_or_else(|| StoreError::missing(Noun::Tenant, name))
    }

    /// So many tenants at most by name, from behind a name on.
    pub fn tenants(&self, after: &str, limit: i64) -> Result<Vec<TenantRecord>, StoreError> {
        let select = query("SELECT * FROM tenants WHERE name > $1 ORDER BY name LIMIT $2");
        self.session.all(select.bind(after).bind(limit), record)
    }
}

pub(super) fn all(session: &Session<'_>) -> Result<Vec<TenantRecord>, StoreError> {
    session.all(query("SELECT * FROM tenants ORDER BY name"), record)
}

fn record(row: &AnyRow) -> Result<TenantRecord, StoreError> {
    let quota = |rate, burst| -> Result<Option<Quota>, StoreError> {
        let (rate, burst) = (number(row, rate)?, number(row, burst)?);
        Ok(rate.zip(burst).map(|(per_second, burst)| Quota { per_second, burst }))
    };
    Ok(TenantRecord {
        row: get(row, "row")?,
        name: get(row, "name")?,
        settings: TenantSettings {
            default_format: word(row, "default_format")?,
            quotas: Quotas {
                reads: quota("reads_per_second", "reads_burst")?,
                writes: quota("writes_per_second", "writes_burst")?,
                upstream_reads: quota("upstream_reads_per_second", "upstream_reads_burst")?,
            },
            limit_status: limit_status(get(row, "limit_status")?)?,
        },
        created: get(row, "created")?,
    })
}
