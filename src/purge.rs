//! A purge: an operator invalidates what is kept, on the same path as any invalidation.
//!
//! Epochs are touched, and entries are never searched for: what was read before is stale from then
//! on, what is being fetched too, and both are fetched anew for whoever asks next. Who feels it:
//!
//! 1. A purge of upstreams is felt by everybody there, as what an administrator writes is. Accounts
//!    need no touch of their own for that: no partition depends on its account alone.
//! 2. A purge of a credential, or of those that a tenant's tokens stand for, is felt by their
//!    accounts, and so by every credential of the same upstream user.

use std::{collections::BTreeMap, sync::Arc};

use http::{HeaderMap, HeaderValue, Version, header::HOST};
use serde::{Deserialize, Serialize};

use crate::{
    api::{
        families::FamilySet,
        routes::{RouteTable, Touches},
        target::{Target, TargetError},
    },
    cache::{
        cause::Cause,
        coherence::Change,
        names::Names,
        partition::{Breadth, Felt, Partition},
        touch::Plan,
    },
    tenants::snapshot::{Credential, Snapshot},
    vocabulary::{InvalidationCause, RouteClass},
};

/// What is asked for, as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Selectors {
    /// What anybody is shown.
    pub all: bool,
    /// What is shown of one upstream.
    pub upstream: Option<String>,
    /// What a tenant is shown.
    pub tenant: Option<String>,
    /// What a credential is shown.
    pub credential: Option<String>,
    /// Of that these families alone.
    pub families: Vec<String>,
    /// Of that one path alone, whatever its format and its query.
    pub path: Option<String>,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purge {
    whose: Whose,
    what: What,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purged {
    /// How many credentials no longer believe what they were shown.
    pub partitions: usize,
    /// The names of the families.
    pub families: Vec<String>,
}

/// Why selectors ask for nothing that can be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// Nothing at all.
    #[error("nothing is selected: name all, upstream, tenant, credential, families or path")]
    Nothing,
    /// Two that say whose.
    #[error("only one of all, upstream, tenant and credential can be named")]
    Several,
    /// Two that say what.
    #[error("families and path cannot both be named")]
    FamiliesAndPath,
    /// A path that no request could have.
    #[error("path {path:?}: {why}")]
    Path {
        /// As it was written.
        path: String,
        /// What is wrong with it.
        why: TargetError,
    },
}

/// What is named, and is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PurgeError {
    /// No such upstream.
    #[error("there is no upstream {0:?}, or no credential of it")]
    NoUpstream(String),
    /// No such tenant.
    #[error("there is no tenant {0:?}")]
    NoTenant(String),
    /// No such credential.
    #[error("there is no credential {0:?}")]
    NoCredential(String),
    /// No such family.
    #[error("there is no family {name:?}; there are {known}")]
    NoFamily {
        /// As it was written.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// A path that is not kept.
    #[error("no route that is kept is listed for the path {0:?}")]
    NotListed(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Whose {
    Everybody,
    Upstream(String),
    Tenant(String),
    Credential(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Everything,
    Families(Vec<String>),
    Path(Target),
}

/// The longest path that is looked at; a request of this size has its own bound.
const PATH_MAX: usize = 8 << 10;

/// Makes what is asked for stale.
pub fn run(purge: &Purge, snapshot: &Snapshot, routes: &RouteTable) -> Result<Purged, PurgeError> {
    let families = purge.what.families(routes)?;
    let credentials = purge.whose.credentials(snapshot)?;
    let touch = |partition: &Arc<Partition>, breadth| {
        let change = purge.what.change(families, routes, partition.upstream().names());
        let cause = Cause::Other(InvalidationCause::Purge);
        Felt::new(Arc::clone(partition), change, breadth).because(cause).touch();
    };
    let by_id = |credential: &&Arc<Credential>| {
        (credential.partition.id(), Arc::clone(&credential.partition))
    };
    // Many tokens of a tenant stand for the same.
    let partitions: BTreeMap<u64, Arc<Partition>> = credentials.iter().map(by_id).collect();
    match purge.whose {
        Whose::Everybody | Whose::Upstream(_) => {
            let any: BTreeMap<&str, &Arc<Partition>> =
                credentials.iter().map(|c| (&*c.upstream, &c.partition)).collect();
            any.values().for_each(|partition| touch(partition, Breadth::Everyone));
        }
        Whose::Tenant(_) | Whose::Credential(_) => {
            partitions.values().for_each(|partition| touch(partition, Breadth::Account));
        }
    }
    Ok(Purged { partitions: partitions.len(), families: names(families, routes) })
}

impl TryFrom<Selectors> for Purge {
    type Error = SelectorError;

    /// A family or a path alone is everybody's.
    fn try_from(selectors: Selectors) -> Result<Self, SelectorError> {
        let Selectors { all, upstream, tenant, credential, families, path } = selectors;
        let named = [
            all.then_some(Whose::Everybody),
            upstream.map(Whose::Upstream),
            tenant.map(Whose::Tenant),
            credential.map(Whose::Credential),
        ];
        let mut named = named.into_iter().flatten();
        let whose = named.next();
        if named.next().is_some() {
            return Err(SelectorError::Several);
        }
        let what = match (families.is_empty(), path) {
            (true, None) if whose.is_none() => return Err(SelectorError::Nothing),
            (true, None) => What::Everything,
            (false, None) => What::Families(families),
            (true, Some(path)) => match target(&path) {
                Ok(target) => What::Path(target),
                Err(why) => return Err(SelectorError::Path { path, why }),
            },
            (false, Some(_)) => return Err(SelectorError::FamiliesAndPath),
        };
        Ok(Self { whose: whose.unwrap_or(Whose::Everybody), what })
    }
}

impl Whose {
    fn credentials<'a>(
        &self,
        snapshot: &'a Snapshot,
    ) -> Result<Vec<&'a Arc<Credential>>, PurgeError> {
        let all = snapshot.credentials();
        match self {
            Self::Everybody => Ok(all.collect()),
            Self::Upstream(name) => {
                some(all.filter(|c| *c.upstream == **name), || PurgeError::NoUpstream(name.clone()))
            }
            Self::Tenant(name) => match snapshot.credentials_of(name) {
                Some(credentials) => Ok(credentials.collect()),
                None => Err(PurgeError::NoTenant(name.clone())),
            },
            Self::Credential(name) => {
                some(all.filter(|c| c.name == *name), || PurgeError::NoCredential(name.clone()))
            }
        }
    }
}

impl What {
    fn families(&self, routes: &RouteTable) -> Result<FamilySet, PurgeError> {
        match self {
            Self::Everything => Ok(routes.families().all()),
            Self::Families(names) => names.iter().try_fold(FamilySet::EMPTY, |set, name| {
                let missing = || PurgeError::NoFamily {
                    name: name.clone(),
                    known: routes.families().to_string(),
                };
                Ok(set.union(routes.families().find(name).ok_or_else(missing)?))
            }),
            Self::Path(target) => {
                let listed = routes.read(target).filter(|listed| !listed.odd);
                let route = listed.map(|listed| routes.route(listed.id));
                let kept = route.filter(|route| route.class != RouteClass::Never);
                let missing = || PurgeError::NotListed(target.path().to_owned());
                kept.map(|route| route.families).ok_or_else(missing)
            }
        }
    }

    /// Of a path that is an item's, that item and the lists alone, where both its names are known.
    fn change(&self, families: FamilySet, routes: &RouteTable, names: &Names) -> Change {
        match self {
            Self::Everything | Self::Families(_) => Change::whole(families),
            Self::Path(target) => {
                let touches = Touches { all: families, ..routes.touches(target) };
                Plan::of(target, touches, names).change
            }
        }
    }
}

/// All of them; an error when there is none.
fn some<T>(
    found: impl Iterator<Item = T>,
    missing: impl FnOnce() -> PurgeError,
) -> Result<Vec<T>, PurgeError> {
    let found: Vec<T> = found.collect();
    if found.is_empty() { Err(missing()) } else { Ok(found) }
}

fn target(path: &str) -> Result<Target, TargetError> {
    if !path.starts_with('/') {
        return Err(TargetError::NotAPath);
    }
    let uri = path.parse().map_err(|_| TargetError::NotAPath)?;
    // Any host will do: whose it is, is said otherwise.
    let host = HeaderMap::from_iter([(HOST, HeaderValue::from_static("localhost"))]);
    Target::canonicalize(&uri, &host, Version::HTTP_11, PATH_MAX)
}

/// The families of a set, as they are called.
fn names(set: FamilySet, routes: &RouteTable) -> Vec<String> {
    let all = routes.families().to_string();
    let within = |name: &&str| {
        let family = routes.families().find(name);
        family.is_some_and(|family| !family.intersection(set).is_empty())
    };
    all.split(", ").filter(within).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
