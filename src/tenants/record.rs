//! What stands in the store: tenants, credentials and tokens as records, sealed where secret.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{course::Course, secret::SealedSecret};
use crate::{
    auth::{
        data_key::WrappedKey,
        keyring::Mac,
        role::Role,
        scopes::{Access, PermissionSet, ScopeNames},
    },
    closed,
    limit::Quotas,
    policy::document::PolicyDocument,
    vocabulary::{Closed, Format},
};

closed! {
    /// What a record is; the word stands in messages.
    pub enum Noun {
        /// A tenant.
        Tenant => "tenant",
        /// A credential.
        Credential => "credential",
        /// A token.
        Token => "token",
        /// The token of an operator.
        AdminToken => "admin token",
    }
}

closed! {
    /// What a credential is made of.
    pub enum SecretKind {
        /// A login and its password.
        Password => "password",
        /// An e-mail address and its API key.
        Key => "key",
    }
}

closed! {
    /// What a credential's writes may change, and its reads show.
    pub enum Reach {
        /// What its account owns.
        Own => "own",
        /// All that there is, as an administrator's.
        All => "all",
    }
}

/// With which status a limited request is answered; not all clients know 429 as a failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LimitStatus {
    /// 429.
    #[default]
    TooManyRequests,
    /// 403.
    Forbidden,
}

/// Everything in the store, as of one moment.
#[derive(Debug, Default)]
pub struct Records {
    /// The tenants, by name.
    pub tenants: Vec<TenantRecord>,
    /// The credentials, by name.
    pub credentials: Vec<CredentialRecord>,
    /// The tokens, revoked ones included, by time of creation.
    pub tokens: Vec<TokenRecord>,
    /// The rotations that have not ended, and those that have a key which nothing else has.
    pub rotations: Vec<RotationRecord>,
    /// The keys that wait for an owner.
    pub pending: Vec<PendingRecord>,
}

impl Records {
    /// The secrets that stand in no credential: what rotations have, and what waits for an owner.
    pub fn sealed_in_journal(&self) -> impl Iterator<Item = &SealedSecret> {
        let rotating = self.rotations.iter();
        let rotating = rotating.flat_map(|r| r.course.new.iter().chain([&r.old]));
        let all = rotating.chain(self.pending.iter().map(|pending| &pending.sealed));
        all.filter(|sealed| !sealed.bytes.is_empty())
    }
}

/// A tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantRecord {
    /// The row.
    pub row: i64,
    /// The name, which is unique.
    pub name: String,
    /// What an operator may change.
    pub settings: TenantSettings,
    /// When it was added, as a Unix time.
    pub created: i64,
}

/// What an operator decides for a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantSettings {
    /// The format of what the upstream would refuse for want of a clear one.
    pub default_format: Format,
    /// What the tenant may ask for in a time.
    pub quotas: Quotas,
    /// How a limited request is answered.
    pub limit_status: LimitStatus,
}

/// What an operator declares of a credential.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Standing {
    /// What it reaches. Undeclared counts as all, except that nobody else's transactions are
    /// watched in its name.
    pub reach: Option<Reach>,
    /// The upstream user behind it. The credentials of one user have the same account, because
    /// they share what writes change.
    pub account: Option<String>,
}

/// An upstream credential; its secret is sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialRecord {
    /// The row, to which the secret is bound.
    pub row: i64,
    /// The name, which is unique.
    pub name: String,
    /// The name of the upstream that it is for.
    pub upstream: String,
    /// What it is made of.
    pub kind: SecretKind,
    /// What it reaches, and whose it is.
    pub standing: Standing,
    /// Login and secret, encrypted.
    pub sealed: Vec<u8>,
    /// The id of the data key that sealed it.
    pub key_id: String,
    /// That key as the store keeps it; none when it is not there.
    pub key: Option<WrappedKey>,
    /// How often its secret was changed, from one.
    pub generation: i64,
    /// When it was added, as a Unix time.
    pub created: i64,
}

/// The rotation of a credential's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotationRecord {
    /// The row.
    pub row: i64,
    /// The row of its credential, to which its secrets are bound.
    pub credential: i64,
    /// The credential's name.
    pub name: String,
    /// The credential's upstream.
    pub upstream: String,
    /// How far it is.
    pub course: Course<SealedSecret>,
    /// What the credential had when it began; nothing once it has ended.
    pub old: SealedSecret,
    /// The credential's generation then.
    pub generation: i64,
    /// The credential's generation now.
    pub now_generation: i64,
    /// When there is something to do, as a Unix time in milliseconds.
    pub due: i64,
    /// Since when it is at this step, likewise.
    pub since: i64,
    /// Who works on it.
    pub holder: String,
    /// Until when nobody else does, likewise.
    pub leased: i64,
    /// When it began, as a Unix time.
    pub created: i64,
    /// When it ended, as a Unix time.
    pub ended: Option<i64>,
}

/// A key that was caught and belongs to no credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingRecord {
    /// The row, to which the secret is bound.
    pub row: i64,
    /// The name of the upstream that it is for.
    pub upstream: String,
    /// The number of its user there.
    pub user: i64,
    /// The e-mail address of that user.
    pub login: String,
    /// The public id of the token that asked for it.
    pub token: String,
    /// The key; nothing as long as the panel's answer has not come.
    pub sealed: SealedSecret,
    /// When it was asked for, as a Unix time.
    pub created: i64,
}

impl PendingRecord {
    /// What stands for the row where the secret is sealed: a negative number, which no row has, so that
    /// it does not open as a credential's.
    pub fn bound_to(row: i64) -> i64 {
        -row
    }
}

/// A token; only its MAC is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRecord {
    /// The public id.
    pub id: String,
    /// The row of its tenant.
    pub tenant: i64,
    /// The row of its credential.
    pub credential: i64,
    /// What a presented token is recognized by.
    pub mac: Mac,
    /// The id of the keys that made the MAC.
    pub key_id: String,
    /// What it is good for.
    pub terms: TokenTerms,
    /// Whether it is a key of its client's, and not made here.
    pub adopted: bool,
    /// When it was added, as a Unix time.
    pub created: i64,
    /// When it was revoked, as a Unix time.
    pub revoked: Option<i64>,
    /// The public id of the token that has taken its place, and that may be gone by now.
    pub replaced_by: Option<String>,
}

/// An operator's token; only its MAC is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminTokenRecord {
    /// The public id.
    pub id: String,
    /// The name, which is unique.
    pub name: String,
    /// What it may.
    pub role: Role,
    /// What a presented token is recognized by.
    pub mac: Mac,
    /// The Unix time from which it is no longer good.
    pub expires: Option<i64>,
    /// When it was added, as a Unix time.
    pub created: i64,
    /// When it was revoked, as a Unix time.
    pub revoked: Option<i64>,
}

/// What an operator decides of a token: what it is good for, when, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenTerms {
    /// What the operator calls it; may be empty.
    pub label: String,
    /// Reads or writes, and which routes.
    pub scopes: ScopeNames,
    /// What few tokens may.
    pub permissions: PermissionSet,
    /// The addresses that may present it; empty allows all.
    pub addresses: Vec<IpNet>,
    /// The Unix time from which it is good.
    pub not_before: Option<i64>,
    /// The Unix time from which it is no longer good.
    pub expires: Option<i64>,
    /// How a limited request is answered, where it differs from the tenant's way.
    pub limit_status: Option<LimitStatus>,
    /// What it may not, and how often it may.
    pub policies: PolicyDocument,
}

impl TokenRecord {
    /// Whether it is no longer good at a Unix time, revoked or not.
    pub fn has_ended(&self, now: i64) -> bool {
        self.terms.expires.is_some_and(|end| end <= now)
    }
}

impl LimitStatus {
    /// The status code.
    pub const fn code(self) -> u16 {
        match self {
            Self::TooManyRequests => 429,
            Self::Forbidden => 403,
        }
    }

    /// The status of a code; none for any other than the two.
    pub const fn from_code(code: u16) -> Option<Self> {
        match code {
            429 => Some(Self::TooManyRequests),
            403 => Some(Self::Forbidden),
            _ => None,
        }
    }
}

impl Default for TenantSettings {
    fn default() -> Self {
        Self {
            default_format: Format::Json,
            quotas: Quotas::default(),
            limit_status: LimitStatus::default(),
        }
    }
}

impl Default for TokenTerms {
    /// Every route, always, from everywhere, and no permission.
    fn default() -> Self {
        Self {
            label: String::new(),
            scopes: ScopeNames::all(Access::ReadWrite),
            permissions: PermissionSet::default(),
            addresses: Vec::new(),
            not_before: None,
            expires: None,
            limit_status: None,
            policies: PolicyDocument::default(),
        }
    }
}

/// The member of a closed list that a word means.
pub fn member<L: Closed>(word: &str) -> Option<L> {
    L::ALL.iter().copied().find(|member| member.as_str() == word)
}

/// The addresses that a text names: a range in CIDR, or a single address.
pub fn address_range(text: &str) -> Option<IpNet> {
    let single = || text.parse().ok().map(|address: IpAddr| IpNet::from(address.to_canonical()));
    text.parse().ok().map(|range: IpNet| range.trunc()).or_else(single)
}
