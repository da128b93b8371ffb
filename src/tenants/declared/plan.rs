//! The plan: what would have to be done, step by step, so that the store is as declared.

use toml::Value;

use super::{document::DeclaredSecret, facts::Fact};
use crate::{
    closed,
    tenants::{
        record::{Noun, Standing, TenantSettings, TokenTerms},
        secret::UpstreamSecret,
    },
};

closed! {
    /// What a step does.
    pub enum Act {
        /// It makes what is not there.
        Create => "create",
        /// It changes what is there.
        Change => "change",
        /// It removes a tenant or credential, or revokes a token.
        Remove => "remove",
    }
}

/// All there is to do, and what is left as it is.
#[derive(Debug, Default)]
pub struct Plan {
    /// The steps, in an order in which they can be done.
    pub steps: Vec<Step>,
    /// What is as declared.
    pub kept: Vec<Name>,
    /// What is not declared, and left alone.
    pub unmanaged: Vec<Name>,
}

/// What is done to one record.
#[derive(Debug)]
pub struct Step {
    /// Which one.
    pub name: Name,
    /// What it changes; of what is made, all that is not left at its default.
    pub changes: Vec<Change>,
    pub(super) deed: Deed,
}

/// By what a record is called in lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// What it is.
    pub noun: Noun,
    /// A name; of a token its tenant's and its label, or its public id if it has no label.
    pub name: String,
    /// The public id of a token that is there.
    pub id: Option<String>,
}

/// What one key says before and after.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The key.
    pub key: &'static str,
    /// What is stored; none where the key says nothing.
    pub old: Option<Value>,
    /// What is declared, likewise.
    pub new: Option<Value>,
}

#[derive(Debug)]
pub(super) enum Deed {
    AddTenant(TenantSettings),
    SetTenant(TenantSettings),
    RemoveTenant,
    AddCredential { upstream: String, secret: UpstreamSecret, standing: Standing },
    SetCredential { upstream: String, secret: Option<UpstreamSecret>, standing: Option<Standing> },
    RemoveCredential,
    CreateToken { tenant: String, credential: String, terms: TokenTerms, key: DeclaredSecret },
    SetToken { id: String, credential: String, terms: TokenTerms },
    RevokeToken { id: String },
}

impl Plan {
    /// Whether the store is as declared.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether there is something in it that only an owner does.
    pub fn takes_an_owner(&self) -> bool {
        self.steps.iter().any(|step| step.deed.takes_an_owner())
    }

    /// The secrets that it stores, each with the names of its credential and of the upstream.
    pub fn secrets(&self) -> impl Iterator<Item = (&str, &str, &UpstreamSecret)> {
        self.steps.iter().filter_map(|step| match &step.deed {
            Deed::AddCredential { upstream, secret, .. }
            | Deed::SetCredential { upstream, secret: Some(secret), .. } => {
                Some((&*step.name.name, &**upstream, secret))
            }
            _ => None,
        })
    }

    /// How many tokens it makes whose secrets nobody has yet.
    pub fn to_mint(&self) -> usize {
        self.steps.iter().filter(|step| step.mints()).count()
    }
}

impl Step {
    /// Whether it makes a token whose secret nobody has yet.
    pub fn mints(&self) -> bool {
        matches!(&self.deed, Deed::CreateToken { key, .. } if key.place.is_none())
    }

    /// What it does.
    pub fn act(&self) -> Act {
        match self.deed {
            Deed::AddTenant(_) | Deed::AddCredential { .. } | Deed::CreateToken { .. } => {
                Act::Create
            }
            Deed::SetTenant(_) | Deed::SetCredential { .. } | Deed::SetToken { .. } => Act::Change,
            Deed::RemoveTenant | Deed::RemoveCredential | Deed::RevokeToken { .. } => Act::Remove,
        }
    }
}

impl Deed {
    /// What is done to a credential, a key that is adopted, and whatever leaves a token with permissions
    /// that only an owner gives.
    fn takes_an_owner(&self) -> bool {
        match self {
            Self::AddTenant(_)
            | Self::SetTenant(_)
            | Self::RemoveTenant
            | Self::RevokeToken { .. } => false,
            Self::AddCredential { .. } | Self::SetCredential { .. } | Self::RemoveCredential => {
                true
            }
            Self::CreateToken { terms, key, .. } => {
                key.place.is_some() || terms.permissions.takes_an_owner()
            }
            Self::SetToken { terms, .. } => terms.permissions.takes_an_owner(),
        }
    }
}

impl Name {
    pub(super) fn tenant(name: &str) -> Self {
        Self { noun: Noun::Tenant, name: name.to_owned(), id: None }
    }

    pub(super) fn credential(name: &str) -> Self {
        Self { noun: Noun::Credential, name: name.to_owned(), id: None }
    }

    pub(super) fn token(tenant: &str, label: &str, id: Option<&str>) -> Self {
        let own = if label.is_empty() { id.unwrap_or("adopted") } else { label };
        Self { noun: Noun::Token, name: format!("{tenant}/{own}"), id: id.map(str::to_owned) }
    }
}

impl Change {
    /// What differs between two accounts of the same keys.
    pub(super) fn between(old: &[Fact], new: &[Fact]) -> Vec<Self> {
        let pairs = old.iter().zip(new).filter(|(old, new)| old.1 != new.1);
        pairs
            .map(|((key, old), (_, new))| Self { key, old: old.clone(), new: new.clone() })
            .collect()
    }

    /// What is said of something new, beyond the defaults.
    pub(super) fn beyond(defaults: &[Fact], new: &[Fact]) -> Vec<Self> {
        let beyond = Self::between(defaults, new).into_iter();
        beyond.map(|change| Self { old: None, ..change }).collect()
    }
}
