//! A purge: an operator no longer believes what is kept.
//!
//! A hard one is on the same path as any invalidation. Epochs are touched, and entries are never
//! searched for: what was read before is stale from then on, what is being fetched too, and both are
//! fetched anew for whoever asks next.
//!
//! A soft one ends the lifetime of what a hard one would make stale. It is fetched anew for whoever
//! asks next, but may be shown while the upstream cannot be asked for it or meanwhile, within the
//! bounds that hold for whatever is over its lifetime. That is no matter of coherence, so it may search:
//! it looks at every entry, which takes some two seconds for a million of them, off the request path.
//! A read that joins a fetch from before it is shown what that brings.
//!
//! Who feels either:
//!
//! 1. A purge of upstreams is felt by everybody there, as what an administrator writes is. Accounts
//!    need no touch of their own for that: no partition depends on its account alone.
//! 2. A purge of a credential, or of those that a tenant's tokens stand for, is felt by their
//!    accounts, and so by every credential of the same upstream user.

use std::{
    collections::{BTreeMap, HashSet},
    ptr,
    sync::Arc,
};

use http::{HeaderMap, HeaderValue, Version, header::HOST};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
        shelf::Shelf,
        touch::Plan,
    },
    tenants::snapshot::{Credential, Snapshot},
    vocabulary::{InvalidationCause, RouteClass},
};

/// What is asked for, as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
    /// It is to be fetched anew, but may be shown where there is nothing better.
    pub soft: bool,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purge {
    whose: Whose,
    what: What,
    soft: bool,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Purged {
    /// How many credentials no longer believe what they were shown.
    pub partitions: usize,
    /// The names of the families.
    pub families: Vec<String>,
    /// How many entries are no longer fresh; none for a hard purge, which looks for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entries: Option<usize>,
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
pub fn run(purge: &Purge, snapshot: &Snapshot, shelf: &Shelf) -> Result<Purged, PurgeError> {
    let routes = &shelf.routes;
    let families = purge.what.families(routes)?;
    let credentials = purge.whose.credentials(snapshot)?;
    // Many tokens of a tenant stand for the same.
    let partitions: BTreeMap<u64, &Arc<Partition>> =
        credentials.iter().map(|c| (c.partition.id(), &c.partition)).collect();
    let change =
        |partition: &Partition| purge.what.change(families, routes, partition.upstream().names());
    let mut entries = None;
    if purge.soft {
        // The accounts of an upstream are its own, so those of all its credentials are everybody.
        let account = |partition: &Arc<Partition>| ptr::from_ref(partition.account());
        let accounts: HashSet<_> = partitions.values().map(|p| account(p)).collect();
        let felt = snapshot.partitions().filter(|p| accounts.contains(&account(p)));
        let changes = felt.map(|p| (p.id(), (Arc::clone(p), change(p)))).collect();
        entries = Some(shelf.soften(&changes));
    } else {
        for (partition, breadth) in purge.whose.places(&credentials, &partitions) {
            let cause = Cause::Other(InvalidationCause::Purge);
            Felt::new(Arc::clone(partition), change(partition), breadth).because(cause).touch();
        }
    }
    Ok(Purged { partitions: partitions.len(), families: names(families, routes), entries })
}

impl Purge {
    /// Whether it looks at every entry.
    pub fn is_soft(&self) -> bool {
        self.soft
    }
}

impl TryFrom<Selectors> for Purge {
    type Error = SelectorError;

    /// A family or a path alone is everybody's.
    fn try_from(selectors: Selectors) -> Result<Self, SelectorError> {
        let Selectors { all, upstream, tenant, credential, families, path, soft } = selectors;
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
        Ok(Self { whose: whose.unwrap_or(Whose::Everybody), what, soft })
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

    /// Where a hard purge is felt: at one partition of each upstream for everybody there, or at each
    /// for its account.
    fn places<'a>(
        &self,
        credentials: &[&'a Arc<Credential>],
        partitions: &BTreeMap<u64, &'a Arc<Partition>>,
    ) -> Vec<(&'a Arc<Partition>, Breadth)> {
        match self {
            Self::Everybody | Self::Upstream(_) => {
                let any: BTreeMap<&str, &Arc<Partition>> =
                    credentials.iter().map(|c| (&*c.upstream, &c.partition)).collect();
                any.into_values().map(|partition| (partition, Breadth::Everyone)).collect()
            }
            Self::Tenant(_) | Self::Credential(_) => {
                partitions.values().map(|partition| (*partition, Breadth::Account)).collect()
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
    Target::canonicalize(uri, &host, Version::HTTP_11, PATH_MAX)
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
