//! The keys of a declaration, and how each value is written.

use std::path::PathBuf;

use ipnet::IpNet;
use toml::Value;

use super::moment::Moment;
use crate::{
    auth::scopes::{Access, Permission, ScopeNames},
    limit::{Quota, Quotas},
    objects,
    policy::{document::PolicyDocument, policies::Policies},
    settings::{Problems, Setting, Table},
    tenants::record::{
        LimitStatus, Reach, Standing, TenantSettings, TokenTerms, address_range, member,
    },
    vocabulary::{Closed, Format},
};

/// Keys, and where they stand.
#[derive(Clone, Debug)]
pub(super) struct Written<K> {
    pub(super) keys: K,
    table: Table,
}

/// An address, or a range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range(IpNet);

crate::section! {
    /// A tenant, written `[tenants.NAME]`.
    pub struct TenantKeys {
        /// The format of what the upstream would refuse for want of a clear one.
        pub default_format: Format = TenantSettings::default().default_format,
        /// Reads a second, and at once: `20/40`; unlimited if not given.
        pub reads: Option<Quota> = None,
        /// Writes, likewise.
        pub writes: Option<Quota> = None,
        /// Reads that the cache does not answer, likewise.
        pub upstream_reads: Option<Quota> = None,
        /// With which status a limited request is answered.
        pub limit_status: LimitStatus = LimitStatus::default(),
    }
}

crate::section! {
    /// A credential, written `[credentials.NAME]`.
    pub struct CredentialKeys {
        /// The upstream, by its name in the configuration.
        pub upstream: Option<String> = None,
        /// The login, whose secret is a password.
        pub login: Option<String> = None,
        /// The e-mail address, whose secret is an API key.
        pub email: Option<String> = None,
        /// The file that holds the secret.
        pub secret_file: Option<PathBuf> = None,
        /// The environment variable that holds the secret.
        pub secret_variable: Option<String> = None,
        /// What it sees and changes.
        pub reach: Option<Reach> = None,
        /// The upstream user behind it.
        pub account: Option<String> = None,
    }
}

crate::section! {
    /// A token, written `[[tokens]]`.
    pub struct TokenKeys {
        /// The public id of a token that is there.
        pub id: Option<String> = None,
        /// What the operator calls it.
        pub label: String = String::new(),
        /// The tenant whose it is.
        pub tenant: Option<String> = None,
        /// The credential that it stands for.
        pub credential: Option<String> = None,
        /// The file that holds the key of a client that is adopted as a token.
        pub secret_file: Option<PathBuf> = None,
        /// The environment variable that holds such a key.
        pub secret_variable: Option<String> = None,
        /// Reads or writes.
        pub access: Access = TokenTerms::default().scopes.access,
        /// The route classes and families that are allowed; all if not given.
        pub allow: Vec<String> = Vec::new(),
        /// Those that are refused.
        pub deny: Vec<String> = Vec::new(),
        /// What few tokens may.
        pub permissions: Vec<Permission> = Vec::new(),
        /// The addresses that may present it; all if not given.
        pub addresses: Vec<Range> = Vec::new(),
        /// Good from then.
        pub not_before: Option<Moment> = None,
        /// Good until then.
        pub expires: Option<Moment> = None,
        /// With which status a limited request is answered; the tenant's if not given.
        pub limit_status: Option<LimitStatus> = None,
        /// What it may not, and how often it may.
        pub policies: PolicyDocument = PolicyDocument::default(),
    }
}

impl<K> Written<K> {
    /// Reads keys from a table.
    pub(super) fn read(
        table: Table,
        problems: &mut Problems,
        read: impl FnOnce(Table, &mut Problems) -> K,
    ) -> Self {
        Self { table: table.clone(), keys: read(table, problems) }
    }

    /// Whether something stands behind a key, right or wrong.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.names().iter().any(|name| name == key)
    }

    /// Complains of a key, where it stands, or of its lack; of the whole table without a key.
    pub(super) fn complain(&self, key: &str, message: &str, problems: &mut Problems) {
        let full = self.table.key(key);
        let full = if key.is_empty() { full.trim_end_matches('.') } else { &*full };
        problems.add(Some(self.table.origin(Some(key))), full, message);
    }
}

impl TenantKeys {
    pub(super) fn settings(&self) -> TenantSettings {
        let Self { default_format, reads, writes, upstream_reads, limit_status } = *self;
        TenantSettings {
            default_format,
            quotas: Quotas { reads, writes, upstream_reads },
            limit_status,
        }
    }
}

impl CredentialKeys {
    pub(super) fn standing(&self) -> Standing {
        Standing { reach: self.reach, account: self.account.clone() }
    }
}

impl TokenKeys {
    pub(super) fn terms(&self) -> TokenTerms {
        TokenTerms {
            label: self.label.clone(),
            scopes: ScopeNames {
                access: self.access,
                allow: self.allow.clone(),
                deny: self.deny.clone(),
            },
            permissions: self.permissions.iter().copied().collect(),
            addresses: self.addresses.iter().map(|range| range.0).collect(),
            not_before: self.not_before.map(|moment| moment.0),
            expires: self.expires.map(|moment| moment.0),
            limit_status: self.limit_status,
            policies: self.policies.clone(),
        }
    }
}

impl Setting for Quota {
    fn from_toml(value: &Value) -> Result<Self, String> {
        let quota = value.as_str().and_then(|text| text.parse().ok());
        quota.ok_or_else(|| {
            format!("expected RATE/BURST in whole numbers from 1, such as \"20/40\", found {value}")
        })
    }
}

impl Setting for LimitStatus {
    fn from_toml(value: &Value) -> Result<Self, String> {
        let code = value.as_integer().and_then(|code| u16::try_from(code).ok());
        let status = code.and_then(Self::from_code);
        status.ok_or_else(|| format!("expected 429 or 403, found {value}"))
    }
}

impl Setting for Range {
    fn from_toml(value: &Value) -> Result<Self, String> {
        let range = value.as_str().and_then(address_range).map(Self);
        range.ok_or_else(|| {
            format!("expected an address or a range such as \"192.0.2.0/24\", found {value}")
        })
    }
}

impl Setting for PolicyDocument {
    fn from_toml(_: &Value) -> Result<Self, String> {
        Err("expected a table of policies, written [tokens.policies]".to_owned())
    }

    fn from_table(table: toml::Table) -> Result<Self, String> {
        let document: Self = objects::from_toml(table).map_err(|error| {
            // Its own text would show a place in a document that nobody wrote.
            error.message().to_owned()
        })?;
        Policies::compile(&document).map(|_| document).map_err(|error| error.to_string())
    }
}

impl Setting for Access {
    fn from_toml(value: &Value) -> Result<Self, String> {
        word(value)
    }
}

impl Setting for Permission {
    fn from_toml(value: &Value) -> Result<Self, String> {
        word(value)
    }
}

impl Setting for Reach {
    fn from_toml(value: &Value) -> Result<Self, String> {
        word(value)
    }
}

fn word<L: Closed>(value: &Value) -> Result<L, String> {
    let known = || L::ALL.iter().map(|one| format!("\"{}\"", one.as_str())).collect::<Vec<_>>();
    value
        .as_str()
        .and_then(member)
        .ok_or_else(|| format!("expected one of {}, found {value}", known().join(", ")))
}
