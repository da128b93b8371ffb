//! `tollgate token`: create, change, rotate, list and revoke tokens.

use std::time::Duration;

use clap::{Args, Subcommand};
use ipnet::IpNet;
use serde::Serialize;

use self::shown::{describe, list, rotation_shown};
use super::{
    Desk,
    failure::Failure,
    policy::PolicyArgs,
    remote::{Call, path},
    tenant::limit_status,
};
use crate::{
    auth::scopes::{Access, Permission, PermissionSet},
    operations::{
        OperationError,
        tokens::{self, NewToken, Rotation, TokenChange, is_label},
        words::AddressRange,
    },
    policy::document::PolicyDocument,
    settings::parse_duration,
    tenants::record::{LimitStatus, address_range, member},
    vocabulary::Closed as _,
};

mod shown;

/// What can be asked of tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Create a token and show it, this once
    Create(Box<CreateToken>),
    /// Create a token that takes another's place, with the same terms, and show it, this once; the
    /// other one ends by itself. Until then each of them has limits of its own; the caps and the quota
    /// of a month are used up in the new one by as much as in the other by now, and from then on each
    /// counts for itself
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
    /// What few tokens may.
    #[arg(
        long,
        value_name = "PERMISSION",
        value_delimiter = ',',
        value_parser = permission,
        help = format!("Give it these permissions: {}", meanings())
    )]
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
    /// What few tokens may: all that it may of that, from now on.
    #[arg(
        long,
        value_name = "PERMISSIONS",
        value_parser = permissions,
        help = format!(
            "Give it these permissions instead of those that it has, or \"none\": {}; its policies \
             stay as they are if none are given",
            meanings()
        )
    )]
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
    /// The new one is good until then: a time from now such as 90d; if not given, as long as the old one
    /// would have been
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
struct Set<'a> {
    id: &'a str,
    policies: &'a PolicyDocument,
    permissions: &'a [String],
}

const PATH: &str = "/v1/tokens";

/// Does it.
pub fn run(command: &TokenCommand, desk: &mut Desk<'_>) -> Result<(), Failure> {
    match command {
        TokenCommand::Create(args) => {
            let new = args.new_token(desk.now)?;
            let call = Call::post(PATH, &new);
            let created = desk.create(call, |edit, means| tokens::create(edit, means, &new))?;
            // The bare token for people, so that `$(tollgate token create ...)` is the token.
            desk.output.one(&created, &created.token)
        }
        TokenCommand::Rotate(args) => {
            let rotation = args.rotation(desk.now)?;
            let call = Call::post(path(&[PATH, &args.id, "rotate"]), &rotation);
            let rotated =
                desk.create(call, |edit, means| tokens::rotate(edit, means, &args.id, &rotation))?;
            // The bare token for people, as when it is created.
            desk.output.one(&rotated, &rotated.token)?;
            desk.output.aside(&rotation_shown(&rotated));
            Ok(())
        }
        TokenCommand::Set(args) => set(args, desk),
        TokenCommand::List(args) => list(args, desk),
        TokenCommand::Describe { id } => describe(id, desk),
        TokenCommand::Revoke { id } => {
            let call = Call::post_nothing(path(&[PATH, id, "revoke"]));
            let revoked = desk.edit(call, |edit, _| tokens::revoke(edit, id))?;
            let what = if revoked.before { "was revoked before" } else { "revoked" };
            desk.output.one(&revoked, &format!("token {id} {what}"))
        }
    }
}

fn set(args: &SetToken, desk: &mut Desk<'_>) -> Result<(), Failure> {
    let (id, policies) = (&*args.id, args.policies.document()?);
    let given = !policies.is_empty();
    if args.none == given && (given || args.permit.is_none()) {
        return Err(Failure::NoPolicies);
    }
    let change = TokenChange {
        permissions: args.permit.map(|permissions| permissions.iter().collect()),
        policies: (args.none || given).then_some(policies),
    };
    let call = Call::patch(path(&[PATH, id]), &change);
    let token = desk.edit(call, |edit, _| tokens::set(edit, id, &change))?;
    let changed = Set { id, policies: &token.policies, permissions: &token.permissions };
    desk.output.one(&changed, &format!("token {id} changed"))
}

impl CreateToken {
    fn new_token(&self, now: i64) -> Result<NewToken, Failure> {
        let moment = |moment: Moment| match moment {
            Moment::At(time) => Ok(time),
            Moment::In(wait) => later(now, wait),
        };
        Ok(NewToken {
            tenant: self.tenant.clone(),
            credential: self.credential.clone(),
            access: self.read_only.then_some(Access::ReadOnly),
            allow: self.allow.clone(),
            deny: self.deny.clone(),
            permissions: self.permit.clone(),
            addresses: self.addresses.iter().copied().map(AddressRange).collect(),
            not_before: self.not_before.map(moment).transpose()?,
            expires: self.expires_in.map(|wait| later(now, wait)).transpose()?,
            limit_status: self.limit_status,
            label: self.label.clone(),
            policies: self.policies.document()?,
        })
    }
}

impl RotateToken {
    fn rotation(&self, now: i64) -> Result<Rotation, Failure> {
        let expires = self.expires_in.map(|wait| later(now, wait)).transpose()?;
        Ok(Rotation { overlap_seconds: Some(self.overlap.as_secs()), expires })
    }
}

/// The Unix time that is so much later.
pub(super) fn later(now: i64, wait: Duration) -> Result<i64, Failure> {
    let seconds = i64::try_from(wait.as_secs()).ok();
    let at = seconds.and_then(|seconds| seconds.checked_add(now));
    at.ok_or(Failure::Operation(OperationError::TooLate))
}

fn label(text: &str) -> Result<String, &'static str> {
    is_label(text).then(|| text.to_owned()).ok_or("expected at most 100 characters on one line")
}

fn range(text: &str) -> Result<IpNet, &'static str> {
    address_range(text).ok_or("expected an address or a range such as 192.0.2.0/24")
}

fn permission(text: &str) -> Result<Permission, String> {
    let words = || Permission::ALL.iter().map(|permission| permission.as_str());
    let expected = || format!("expected one of {}", words().collect::<Vec<_>>().join(", "));
    member(text).ok_or_else(expected)
}

/// Every permission, and what it gives.
fn meanings() -> String {
    let gives = |permission: &Permission| match permission {
        Permission::Refresh => "its requests may make the cache fetch anew",
        Permission::Explain => "its replies say why they were answered so",
        Permission::ReadSecrets => {
            "it is shown the passwords of machines, which are masked for the others"
        }
        Permission::ManageCredentials => {
            "it may have the panel make keys, which are kept and shown to nobody"
        }
    };
    let all = Permission::ALL.iter();
    let all = all.map(|permission| format!("{} ({})", permission.as_str(), gives(permission)));
    all.collect::<Vec<_>>().join(", ")
}

fn permissions(text: &str) -> Result<PermissionSet, String> {
    if text == "none" {
        return Ok(PermissionSet::default());
    }
    let given: Result<_, _> = text.split(',').map(permission).collect();
    given.map_err(|why| format!("{why}, or none"))
}

pub(super) fn duration(text: &str) -> Result<Duration, &'static str> {
    parse_duration(text)
        .filter(|duration| duration.as_secs() > 0)
        .ok_or("expected a duration such as 45m, 12h or 30d")
}

fn moment(text: &str) -> Result<Moment, &'static str> {
    let at = || text.parse().ok().filter(|at| *at >= 0).map(Moment::At);
    at().or_else(|| parse_duration(text).map(Moment::In))
        .ok_or("expected a time from now such as 2h, or a Unix time in seconds")
}

#[cfg(test)]
mod tests;
