//! How a snapshot is built from records, with all of the one before that still holds.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    sync::Arc,
};

use super::{Credential, Grant, Snapshot, Surroundings, Tenant, WhyLeftOut};
use crate::{
    auth::{
        data_key::{DataKey, UnwrapError},
        keyring::Keyring,
    },
    limit::Limits,
    policy::allowance::Allowance,
    tenants::{
        record::{CredentialRecord, SecretKind, TenantRecord, TokenRecord},
        secret::{SealedSecret, UpstreamSecret, Vault, VaultRefusal},
    },
};

pub(super) struct Builder<'a> {
    keyring: &'a Keyring,
    surroundings: &'a Surroundings,
    previous: &'a Snapshot,
    keys: RefCell<HashMap<String, Arc<DataKey>>>,
    behind: Cell<usize>,
    /// Which token each has taken the place of, by their public ids.
    replaced: HashMap<&'a str, &'a TokenRecord>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(
        keyring: &'a Keyring,
        surroundings: &'a Surroundings,
        previous: &'a Snapshot,
        keys: HashMap<String, Arc<DataKey>>,
        tokens: &'a [TokenRecord],
    ) -> Self {
        let (keys, behind) = (RefCell::new(keys), Cell::new(0));
        let replaced = tokens.iter().filter_map(|old| Some((old.replaced_by.as_deref()?, old)));
        let replaced = replaced.collect();
        Self { keyring, surroundings, previous, keys, behind, replaced }
    }

    /// The data keys that are known in the end, and how many credentials were left as they were.
    pub(super) fn ended(self) -> (HashMap<String, Arc<DataKey>>, usize) {
        (self.keys.into_inner(), self.behind.get())
    }

    pub(super) fn credential(
        &self,
        record: &CredentialRecord,
    ) -> Result<Arc<Credential>, VaultRefusal> {
        let no_upstream = || VaultRefusal::NoUpstream(record.upstream.clone());
        let origin = (self.surroundings.origin)(&record.upstream).ok_or_else(no_upstream)?;
        let before = self.previous.credentials.get(&record.row).filter(|before| {
            // What was learned under another reach must not be believed under this one.
            let same = before.generation == record.generation && before.standing == record.standing;
            same && before.origin == origin && *before.upstream == *record.upstream
        });
        if let Some(before) = before
            && before.sealed == record.sealed
            && before.name == record.name
        {
            return Ok(Arc::clone(before));
        }
        let secret = match (self.open(record), before) {
            (Ok(secret), _) => secret,
            // The generation says that the secret is the one that is in force.
            (Err(VaultRefusal::Key(UnwrapError::OtherMaster(_))), Some(before))
                if before.name == record.name =>
            {
                self.behind.set(self.behind.get() + 1);
                return Ok(Arc::clone(before));
            }
            (Err(why), _) => return Err(why),
        };
        let partition = match before.filter(|before| before.secret == secret) {
            Some(before) => Arc::clone(&before.partition),
            None => {
                let make = &self.surroundings.partition;
                make(&record.upstream, &record.standing).ok_or_else(no_upstream)?
            }
        };
        Ok(Arc::new(Credential {
            row: record.row,
            name: record.name.clone(),
            upstream: record.upstream.as_str().into(),
            authorization: secret.authorization(),
            partition,
            generation: record.generation,
            standing: record.standing.clone(),
            origin,
            sealed: record.sealed.clone(),
            secret,
        }))
    }

    fn open(&self, record: &CredentialRecord) -> Result<UpstreamSecret, VaultRefusal> {
        let key = self.key(&record.key_id, |vault| vault.key_of(record))?;
        self.vault().open_with(&key, record)
    }

    /// A key of the journal.
    pub(super) fn open_sealed(
        &self,
        row: i64,
        upstream: &str,
        sealed: &SealedSecret,
    ) -> Result<UpstreamSecret, VaultRefusal> {
        let key = self.key(&sealed.key_id, |vault| vault.key_of_sealed(sealed))?;
        self.vault().open_bytes(&key, row, upstream, SecretKind::Key, &sealed.bytes)
    }

    fn vault(&self) -> Vault<'a> {
        Vault { keyring: self.keyring, origin: &*self.surroundings.origin }
    }

    fn key(
        &self,
        id: &str,
        unwrap: impl FnOnce(&Vault<'_>) -> Result<DataKey, VaultRefusal>,
    ) -> Result<Arc<DataKey>, VaultRefusal> {
        if let Some(known) = self.keys.borrow().get(id) {
            return Ok(Arc::clone(known));
        }
        let key = Arc::new(unwrap(&self.vault())?);
        self.keys.borrow_mut().insert(id.to_owned(), Arc::clone(&key));
        Ok(key)
    }

    pub(super) fn grant(
        &self,
        record: &TokenRecord,
        built: &Snapshot,
    ) -> Result<Grant, WhyLeftOut> {
        if record.key_id != self.keyring.id().as_str() {
            return Err(WhyLeftOut::OtherKey(record.key_id.clone()));
        }
        let credential = built.credentials.get(&record.credential).ok_or(WhyLeftOut::Credential)?;
        let tenant = built.tenants.get(&record.tenant).ok_or(WhyLeftOut::Tenant)?;
        let terms = &record.terms;
        Ok(Grant {
            token_id: record.id.clone(),
            tenant: Arc::clone(tenant),
            credential: Arc::clone(credential),
            scopes: terms.scopes.resolve(&*self.surroundings.scope)?,
            permissions: terms.permissions,
            not_before: terms.not_before,
            expires: terms.expires,
            addresses: terms.addresses.clone(),
            limit_status: terms.limit_status.unwrap_or(tenant.limit_status),
            allowance: self.allowance(record)?,
        })
    }

    /// What was counted goes on as long as the policies stay the same. What takes another token's place
    /// has used what that one has: not all of it is in the store yet.
    fn allowance(&self, record: &TokenRecord) -> Result<Arc<Allowance>, WhyLeftOut> {
        let document = &record.terms.policies;
        let made = match self.previous.grants.get(&record.mac).map(|grant| &grant.allowance) {
            Some(same) if same.document() == document => return Ok(Arc::clone(same)),
            Some(before) => before.changed(document.clone()),
            None => match self.predecessor(&record.id) {
                Some(old) => old.allowance.succeeded(&old.token_id, document.clone()),
                None => Allowance::new(document.clone()),
            },
        };
        Ok(Arc::new(made?))
    }

    /// What was known of the token whose place one has taken, or of the one before that.
    fn predecessor(&self, id: &str) -> Option<&Arc<Grant>> {
        let chain = std::iter::successors(self.replaced.get(id), |old| self.replaced.get(&*old.id));
        // Each takes the place of an earlier one; by a foreign hand they might go in a circle.
        let mut known = chain.take(self.replaced.len());
        known.find_map(|old| self.previous.grants.get(&old.mac))
    }
}

/// The partition that each credential had before, and the credential as it is in force.
pub(super) fn left_behind(previous: &Snapshot, built: &Snapshot) -> Vec<(u64, Arc<Credential>)> {
    let mut left = Vec::new();
    for (partition, before) in &previous.by_partition {
        let Some(now) = built.credentials.get(&before.row) else { continue };
        let unchanged = now.partition.id() == before.partition.id();
        let now = match *partition == before.partition.id() {
            true if unchanged => None,
            true if now.generation == before.generation => Some(now),
            true => built.successor(before),
            // One before is kept, not one before that.
            false => unchanged.then_some(now),
        };
        left.extend(now.map(|now| (*partition, Arc::clone(now))));
    }
    left
}

pub(super) fn tenant(record: &TenantRecord, previous: &Snapshot) -> Arc<Tenant> {
    let settings = &record.settings;
    let before = previous.tenants.get(&record.row).map(|before| &before.limits);
    let same = before.filter(|limits| *limits.quotas() == settings.quotas);
    let limits = same.map_or_else(|| Arc::new(Limits::new(settings.quotas.clone())), Arc::clone);
    Arc::new(Tenant {
        row: record.row,
        name: record.name.as_str().into(),
        default_format: settings.default_format,
        limits,
        limit_status: settings.limit_status,
    })
}
