//! `tollgate token`: create, change, rotate, list and revoke tokens.

use std::time::Duration;

use clap::{Args, Subcommand};
use ipnet::IpNet;
use serde::Serialize;

use self::shown::{describe, list};
use super::{Desk, failure::Failure, policy::PolicyArgs, tenant::limit_status};
use crate::{
    auth::{
        keyring::random,
        scopes::{Access, Permission, PermissionSet, ScopeNames},
        token::Token,
    },
    policy::document::PolicyDocument,
    settings::parse_duration,
    tenants::{
        record::{LimitStatus, TokenTerms, address_range, member},
        store::{NewToken, Successor},
    },
};

mod shown;

/// What can be asked of tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Create a token and show it, this once
    Create(Box<CreateToken>),
    /// Create a token that takes another's place, with the same terms, and show it, this once; the
    /// other one ends by itself
    Rotate(RotateToken),
    /// Replace the policies or the permissions of a token; a running server follows within a second
    Set(Box<SetToken>),
    /// List the tokens, revoked ones included
    List(ListTokens),
    /// Show a token with its policies, and when and how much it was used
    Describe {
        /// The public id of the token
        id: String,
    },
    /// Revoke a token for good; a running server follows within a second
    Revoke {
        /// The public id of the token
        id: String,
    },
}

/// A token to create.
#[derive(Debug, Args)]
pub struct CreateToken {
    /// The tenant whose it is
    #[arg(long)]
    pub tenant: String,
    /// The credential that it stands for
    #[arg(long)]
    pub credential: String,
    /// Permit reads alone
    #[arg(long)]
    pub read_only: bool,
    /// Permit these route classes and families alone
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub allow: Vec<String>,
    /// Refuse these route classes and families
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub deny: Vec<String>,
    /// Give it these permissions: cache:refresh (its requests may make the cache fetch anew),
    /// explain (its replies say why they were answered so), secrets:read (it is shown the passwords of
    /// machines, which are masked for the others)
    #[arg(long, value_name = "PERMISSION", value_delimiter = ',', value_parser = permission)]
    pub permit: Vec<Permission>,
    /// Take it from these addresses alone: an address or a range such as 192.0.2.0/24
    #[arg(long = "address", value_name = "RANGE", value_delimiter = ',', value_parser = range)]
    pub addresses: Vec<IpNet>,
    /// Good from then: a time from now such as 2h, or a Unix time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub not_before: Option<Moment>,
    /// Good until then: a time from now such as 30d
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub expires_in: Option<Duration>,
    /// Answer limited requests with 429 or 403, whatever the tenant's way
    #[arg(long, value_name = "STATUS", value_parser = limit_status)]
    pub limit_status: Option<LimitStatus>,
    /// What you call it, such as the program that has it
    #[arg(long, value_name = "TEXT", default_value = "", value_parser = label)]
    pub label: String,
    /// What it may not.
    #[command(flatten)]
    pub policies: PolicyArgs,
}

/// A token whose policies or permissions change.
#[derive(Debug, Args)]
pub struct SetToken {
    /// The public id of the token
    pub id: String,
    /// Give it these permissions instead of those that it has, or "none"; its policies stay as they
    /// are if none are given
    #[arg(long, value_name = "PERMISSIONS", value_parser = permissions)]
    pub permit: Option<PermissionSet>,
    /// Take all of its policies away
    #[arg(long)]
    pub none: bool,
    /// What it may not: all that it may not, from now on.
    #[command(flatten)]
    pub policies: PolicyArgs,
}

/// A token to rotate.
#[derive(Debug, Args)]
pub struct RotateToken {
    /// The public id of the token
    pub id: String,
    /// How long the old one stays good: time enough for all of its clients to change
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration)]
    pub overlap: Duration,
    /// The new one is good until then: a time from now such as 90d; as long as the old one if not given
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub expires_in: Option<Duration>,
}

/// Which tokens to list.
#[derive(Debug, Args)]
pub struct ListTokens {
    /// Those of one tenant alone
    #[arg(long)]
    pub tenant: Option<String>,
}

/// A moment as it is written on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// So long from now.
    In(Duration),
    /// A Unix time.
    At(i64),
}

#[derive(Serialize)]
struct Created<'a> {
    id: &'a str,
    token: &'a str,
    tenant: &'a str,
    credential: &'a str,
    expires: Option<i64>,
}

#[derive(Serialize)]
struct Rotated<'a> {
    id: &'a str,
    token: &'a str,
    replaces: &'a str,
    replaced_until: Option<i64>,
}

#[derive(Serialize)]
struct Set<'a> {
    id: &'a str,
    policies: &'a PolicyDocument,
    permissions: Vec<&'static str>,
}

#[derive(Serialize)]
struct Revoked<'a> {
    id: &'a str,
    revoked: bool,
}

/// Does it.
pub fn run(command: &TokenCommand, desk: &mut Desk<'_>) -> Result<(), Failure> {
    match command {
        TokenCommand::Create(args) => create(args, desk),
        TokenCommand::Rotate(args) => rotate(args, desk),
        TokenCommand::Set(args) => set(args, desk),
        TokenCommand::List(args) => list(args, desk),
        TokenCommand::Describe { id } => describe(id, desk),
        TokenCommand::Revoke { id } => {
            let revoked = desk.store.edit(desk.now, |edit| edit.revoke_token(id))?;
            let what = if revoked { "revoked" } else { "was revoked before" };
            desk.output.one(&Revoked { id, revoked: true }, &format!("token {id} {what}"))
        }
    }
}

fn create(args: &CreateToken, desk: &mut Desk<'_>) -> Result<(), Failure> {
    let terms = args.terms(desk.now)?;
    terms.scopes.resolve(desk.scope)?;
    let keyring = desk.vault.keyring;
    let token = Token::mint(desk.environment, &*random()?);
    let new = NewToken {
        id: token.id(),
        tenant: &args.tenant,
        credential: &args.credential,
        mac: keyring.mac(token.expose().as_bytes()),
        key_id: keyring.id(),
        terms: &terms,
        adopted: false,
    };
    desk.store.edit(desk.now, |edit| edit.add_token(&new))?;
    let created = Created {
        id: token.id(),
        token: token.expose(),
        tenant: &args.tenant,
        credential: &args.credential,
        expires: terms.expires,
    };
    // The bare token for people, so that `$(tollgate token create ...)` is the token.
    desk.output.one(&created, token.expose())
}

fn set(args: &SetToken, desk: &mut Desk<'_>) -> Result<(), Failure> {
    let (id, policies) = (&*args.id, args.policies.document()?);
    let given = policies != PolicyDocument::default();
    if args.none == given && (given || args.permit.is_none()) {
        return Err(Failure::NoPolicies);
    }
    let token = desk.store.edit(desk.now, |edit| {
        if let Some(permissions) = args.permit {
            edit.set_permissions(id, permissions)?;
        }
        if args.none || given {
            edit.set_policies(id, &policies)?;
        }
        edit.require_token(id)
    })?;
    let TokenTerms { permissions, policies, .. } = &token.terms;
    let changed = Set { id, policies, permissions: permissions.words().collect() };
    desk.output.one(&changed, &format!("token {id} changed"))
}

fn rotate(args: &RotateToken, desk: &mut Desk<'_>) -> Result<(), Failure> {
    let after = |wait: Duration| {
        let seconds = i64::try_from(wait.as_secs()).ok();
        seconds.and_then(|seconds| seconds.checked_add(desk.now)).ok_or(Failure::TooLate)
    };
    let overlap_ends = after(args.overlap)?;
    let expires = args.expires_in.map(after).transpose()?;
    let keyring = desk.vault.keyring;
    let token = Token::mint(desk.environment, &*random()?);
    let successor = Successor {
        id: token.id(),
        mac: keyring.mac(token.expose().as_bytes()),
        key_id: keyring.id(),
        expires,
    };
    let old =
        desk.store.edit(desk.now, |edit| edit.rotate_token(&args.id, &successor, overlap_ends))?;
    let rotated = Rotated {
        id: token.id(),
        token: token.expose(),
        replaces: &args.id,
        replaced_until: old.terms.expires,
    };
    // The bare token for people, as when it is created.
    desk.output.one(&rotated, token.expose())
}

impl CreateToken {
    fn terms(&self, now: i64) -> Result<TokenTerms, Failure> {
        let access = if self.read_only { Access::ReadOnly } else { Access::ReadWrite };
        let moment = |moment: Moment| match moment {
            Moment::At(time) => Some(time),
            Moment::In(wait) => i64::try_from(wait.as_secs()).ok()?.checked_add(now),
        };
        let resolve = |given: Option<Moment>| {
            given.map(|given| moment(given).ok_or(Failure::TooLate)).transpose()
        };
        Ok(TokenTerms {
            label: self.label.clone(),
            policies: self.policies.document()?,
            scopes: ScopeNames { access, allow: self.allow.clone(), deny: self.deny.clone() },
            permissions: self.permit.iter().copied().collect(),
            addresses: self.addresses.clone(),
            not_before: resolve(self.not_before)?,
            expires: resolve(self.expires_in.map(Moment::In))?,
            limit_status: self.limit_status,
        })
    }
}

fn label(text: &str) -> Result<String, &'static str> {
    let good = text.chars().count() <= 100 && !text.contains(char::is_control);
    good.then(|| text.to_owned()).ok_or("expected at most 100 characters on one line")
}

fn range(text: &str) -> Result<IpNet, &'static str> {
    address_range(text).ok_or("expected an address or a range such as 192.0.2.0/24")
}

fn permission(text: &str) -> Result<Permission, &'static str> {
    member(text).ok_or("expected cache:refresh, explain or secrets:read")
}

fn permissions(text: &str) -> Result<PermissionSet, &'static str> {
    if text == "none" {
        return Ok(PermissionSet::default());
    }
    text.split(',').map(permission).collect()
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    parse_duration(text)
        .filter(|duration| duration.as_secs() > 0)
        .ok_or("expected a duration such as 45m, 12h or 30d")
}

fn moment(text: &str) -> Result<Moment, &'static str> {
    let at = || text.parse().ok().filter(|at| *at >= 0).map(Moment::At);
    at().or_else(|| parse_duration(text).map(Moment::In))
        .ok_or("expected a time from now such as 2h, or a Unix time in seconds")
}
