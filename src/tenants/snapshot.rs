//! The snapshot: every token that is good, with all that the request path asks about it.
//!
//! A new snapshot is built beside the old one and takes over what did not change: a tenant with
//! the same quotas keeps its limiters, a credential with the same secret and standing keeps its
//! partition of the cache. What cannot be used (another master key, an upstream that is not
//! configured, an unknown scope) is left out, and the snapshot says so.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    net::IpAddr,
    sync::Arc,
};

use http::HeaderValue;
use ipnet::IpNet;

use self::{
    build::{Builder, tenant},
    rotating::Rotating,
};
use super::{
    record::{LimitStatus, Noun, Reach, Records, SecretKind, Standing},
    secret::{UpstreamSecret, VaultRefusal},
};
use crate::{
    auth::{
        data_key::DataKey,
        keyring::{Keyring, Mac},
        scopes::{PermissionSet, Scopes, UnknownName},
    },
    cache::partition::Partition,
    limit::Limits,
    policy::{allowance::Allowance, policies::PolicyError},
    vocabulary::{Closed, Format},
};

mod build;
mod rotating;

/// What a name means to the rest of the program; none when it means nothing.
pub type Lookup<T> = Box<dyn Fn(&str) -> Option<T> + Send + Sync>;

/// Makes the partition of a credential from the name of its upstream and its standing; none when
/// there is no such upstream.
pub type MakePartition = Box<dyn Fn(&str, &Standing) -> Option<Arc<Partition>> + Send + Sync>;

/// What the rest of the program knows about the names that stand in the store.
pub struct Surroundings {
    /// The scheme, host and port of an upstream: `https://panel.example.com:443`.
    pub origin: Lookup<String>,
    /// A new partition for a credential of an upstream.
    pub partition: MakePartition,
    /// The bit of a route class or a family.
    pub scope: Lookup<u64>,
    /// Shown each snapshot with another vault, before it is in force: no reply is to be looked at
    /// without the secrets that may be in it.
    pub vault: Box<dyn Fn(&Snapshot) + Send + Sync>,
}

/// All that the request path knows about tokens at one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    grants: HashMap<Mac, Arc<Grant>, foldhash::fast::RandomState>,
    tenants: HashMap<i64, Arc<Tenant>>,
    credentials: HashMap<i64, Arc<Credential>>,
    /// That of the generation before stands for the one in force: its last writes may still be open.
    by_partition: HashMap<u64, Arc<Credential>, foldhash::fast::RandomState>,
    administrators: HashMap<Arc<str>, Arc<Credential>>,
    left_out: Vec<LeftOut>,
    vault_version: u64,
    /// The data keys that secrets are sealed with, by their ids.
    keys: HashMap<String, Arc<DataKey>>,
    behind: usize,
    rotating: Rotating,
}

/// What a token gives.
#[derive(Debug)]
pub struct Grant {
    /// The public id of the token.
    pub token_id: String,
    /// Whose it is.
    pub tenant: Arc<Tenant>,
    /// What it stands for upstream.
    pub credential: Arc<Credential>,
    /// What may be asked for.
    pub scopes: Scopes,
    /// What few tokens may.
    pub permissions: PermissionSet,
    /// The Unix time from which it is good.
    pub not_before: Option<i64>,
    /// The Unix time from which it is no longer good.
    pub expires: Option<i64>,
    /// The addresses that may present it; empty allows all.
    pub addresses: Vec<IpNet>,
    /// How a limited request is answered: the token's own way, else the tenant's.
    pub limit_status: LimitStatus,
    /// What it may not, how often it may, and what it has used of that.
    pub allowance: Arc<Allowance>,
}

/// A tenant.
#[derive(Debug)]
pub struct Tenant {
    /// Its row in the store, which no other tenant ever has.
    pub row: i64,
    /// Its name.
    pub name: Arc<str>,
    /// The format of what the upstream would refuse for want of a clear one.
    pub default_format: Format,
    /// Its limiters.
    pub limits: Arc<Limits>,
    /// How a limited request is answered.
    pub limit_status: LimitStatus,
}

/// An upstream credential, ready to be sent.
pub struct Credential {
    /// Its row in the store, which no other credential ever has.
    pub row: i64,
    /// Its name.
    pub name: String,
    /// The upstream that it is for.
    pub upstream: Arc<str>,
    /// The value of `Authorization`, marked as sensitive.
    pub authorization: HeaderValue,
    /// What it was shown.
    pub partition: Arc<Partition>,
    /// How often its secret was changed, from one.
    pub generation: i64,
    /// What it reaches, and whose it is.
    pub standing: Standing,
    origin: String,
    sealed: Vec<u8>,
    secret: UpstreamSecret,
}

/// Why a token that is known is not good at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotGood {
    /// Too early.
    #[error("the token is not good yet")]
    NotYet,
    /// Too late.
    #[error("the token has expired")]
    Expired,
    /// From elsewhere.
    #[error("the token is not good from this address")]
    Address,
}

/// A record that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} {name}: {why}", noun.as_str())]
pub struct LeftOut {
    /// What it is.
    pub noun: Noun,
    /// The name of a credential, or the public id of a token.
    pub name: String,
    /// Why.
    pub why: WhyLeftOut,
}

/// Why a record cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WhyLeftOut {
    /// Its secret does not open.
    #[error(transparent)]
    Secret(#[from] VaultRefusal),
    /// It was made under another master key.
    #[error("it was made under another master key (key id {0})")]
    OtherKey(String),
    /// It names what there is not; to ignore that might widen it.
    #[error(transparent)]
    Scope(#[from] UnknownName),
    /// Its policies make no sense; to ignore them would widen it.
    #[error("its policies: {0}")]
    Policies(#[from] PolicyError),
    /// Its tenant is not there, which only a foreign hand can bring about.
    #[error("its tenant is not in the store")]
    Tenant,
    /// Its credential is left out.
    #[error("its credential is not usable")]
    Credential,
}

impl Snapshot {
    /// Builds the snapshot of what is in the store, with all of the previous one that still holds.
    pub fn build(
        records: &Records,
        keyring: &Keyring,
        surroundings: &Surroundings,
        previous: &Self,
    ) -> Self {
        let tenants = records.tenants.iter().map(|record| (record.row, tenant(record, previous)));
        let mut snapshot = Self { tenants: tenants.collect(), ..Self::default() };
        let in_journal = records.sealed_in_journal().map(|sealed| &*sealed.key_id);
        let sealed_with = records.credentials.iter().map(|record| &*record.key_id);
        let sealed_with: HashSet<&str> = sealed_with.chain(in_journal).collect();
        // A key that was opened once is known, whatever it is wrapped with by now.
        let known = previous.keys.iter().filter(|(id, _)| sealed_with.contains(id.as_str()));
        let known = known.map(|(id, key)| (id.clone(), Arc::clone(key))).collect();
        let builder = Builder::new(keyring, surroundings, previous, known, &records.tokens);
        for record in &records.credentials {
            match builder.credential(record) {
                Ok(credential) => {
                    snapshot.credentials.insert(record.row, credential);
                }
                Err(why) => snapshot.leave_out(Noun::Credential, &record.name, why.into()),
            }
        }
        snapshot.index_credentials(previous);
        snapshot.grants.reserve(records.tokens.len());
        for record in records.tokens.iter().filter(|record| record.revoked.is_none()) {
            match builder.grant(record, &snapshot) {
                Ok(grant) => {
                    snapshot.grants.insert(record.mac, Arc::new(grant));
                }
                Err(why) => snapshot.leave_out(Noun::Token, &record.id, why),
            }
        }
        snapshot.rotating = Rotating::of(records, &builder, &snapshot, &previous.rotating);
        (snapshot.keys, snapshot.behind) = builder.ended();
        let same_vault = snapshot.has_secrets_of(previous)
            && snapshot
                .rotating
                .hidden()
                .all(|(upstream, secret)| previous.hides(upstream, secret));
        snapshot.vault_version = previous.vault_version + u64::from(!same_vault);
        snapshot
    }

    /// What a token gives; none when there is no such token, or no longer.
    pub fn find(&self, mac: &Mac) -> Option<&Arc<Grant>> {
        self.grants.get(mac)
    }

    /// What the token with a public id gives. Not for the request path: it looks at every token.
    pub fn grant(&self, token_id: &str) -> Option<&Arc<Grant>> {
        self.grants.values().find(|grant| grant.token_id == token_id)
    }

    /// What every token gives.
    pub fn grants(&self) -> impl Iterator<Item = &Arc<Grant>> {
        self.grants.values()
    }

    /// How many tokens it holds.
    pub fn tokens(&self) -> usize {
        self.grants.len()
    }

    /// What is known of rotations.
    pub fn rotating(&self) -> &Rotating {
        &self.rotating
    }

    /// What a credential has become: the one that has its name now, a later key of the same user.
    pub fn successor(&self, credential: &Credential) -> Option<&Arc<Credential>> {
        let (kind, login) = (credential.secret.kind(), credential.secret.pair().0);
        self.credentials.values().find(|other| {
            other.name == credential.name
                && other.upstream == credential.upstream
                && other.generation > credential.generation
                && (other.secret.kind(), other.secret.pair().0) == (kind, login)
        })
    }

    /// Who looks at transactions for the credential of a partition: the administrator of its
    /// upstream if there is one, else itself.
    pub fn looker(&self, partition: u64) -> Option<&Arc<Credential>> {
        let own = self.by_partition.get(&partition)?;
        Some(self.administrators.get(&own.upstream).unwrap_or(own))
    }

    /// One administrator of each upstream that has any.
    pub fn administrators(&self) -> impl Iterator<Item = &Arc<Credential>> {
        self.administrators.values()
    }

    /// Every credential that can be used.
    pub fn credentials(&self) -> impl Iterator<Item = &Arc<Credential>> {
        self.credentials.values()
    }

    /// What each token of a tenant stands for; none when there is no such tenant.
    pub fn credentials_of(&self, tenant: &str) -> Option<impl Iterator<Item = &Arc<Credential>>> {
        let tenant = self.tenants.values().find(|known| *known.name == *tenant)?;
        let own = |grant: &&Arc<Grant>| Arc::ptr_eq(&grant.tenant, tenant);
        Some(self.grants.values().filter(own).map(|grant| &grant.credential))
    }

    /// The partitions of all credentials.
    pub fn partitions(&self) -> impl Iterator<Item = &Arc<Partition>> {
        self.credentials.values().map(|credential| &credential.partition)
    }

    /// A number that grows when any secret has changed since the previous snapshot.
    pub fn vault_version(&self) -> u64 {
        self.vault_version
    }

    /// How many credentials were sealed anew with what only another master key opens, and are used as
    /// they were before.
    pub fn behind(&self) -> usize {
        self.behind
    }

    /// What the store holds and the snapshot does not, except for revoked tokens.
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    fn index_credentials(&mut self, previous: &Self) {
        for credential in self.credentials.values() {
            self.by_partition.insert(credential.partition.id(), Arc::clone(credential));
            if !credential.is_administrator() {
                continue;
            }
            // Of several the first by name, so that every snapshot chooses the same.
            let chosen = self.administrators.entry(Arc::clone(&credential.upstream));
            let chosen = chosen.or_insert_with(|| Arc::clone(credential));
            if credential.name < chosen.name {
                *chosen = Arc::clone(credential);
            }
        }
        let left = build::left_behind(previous, self);
        self.by_partition.extend(left);
    }

    fn leave_out(&mut self, noun: Noun, name: &str, why: WhyLeftOut) {
        self.left_out.push(LeftOut { noun, name: name.to_owned(), why });
    }

    /// A partition is kept as long as its secret is, however that is sealed.
    fn has_secrets_of(&self, other: &Self) -> bool {
        let kept = |(row, credential): (&i64, &Arc<Credential>)| {
            let before = other.credentials.get(row);
            before.is_some_and(|before| Arc::ptr_eq(&credential.partition, &before.partition))
        };
        self.credentials.len() == other.credentials.len() && self.credentials.iter().all(kept)
    }
}

impl Grant {
    /// Whether the token is good now (a Unix time), from this address.
    pub fn check(&self, now: i64, from: IpAddr) -> Result<(), NotGood> {
        if self.not_before.is_some_and(|start| now < start) {
            return Err(NotGood::NotYet);
        }
        if self.expires.is_some_and(|end| now >= end) {
            return Err(NotGood::Expired);
        }
        let from = from.to_canonical();
        if !self.addresses.is_empty() && !self.addresses.iter().any(|net| net.contains(&from)) {
            return Err(NotGood::Address);
        }
        Ok(())
    }
}

impl Credential {
    /// What it is made of.
    pub fn kind(&self) -> SecretKind {
        self.secret.kind()
    }

    /// Whether it was declared to see all.
    pub fn is_administrator(&self) -> bool {
        self.standing.reach == Some(Reach::All)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("name", &self.name)
            .field("upstream", &self.upstream)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
