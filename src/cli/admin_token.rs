//! `tollgate admin-token`: create, list and revoke the tokens of operators.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::{
    Desk,
    failure::Failure,
    output::{Column, time},
    remote::{Call, path},
    token::{duration, later},
};
use crate::{
    auth::role::Role,
    operations::admin_tokens::{self, AdminToken, NewAdminToken},
    tenants::record::member,
    vocabulary::Closed as _,
};

/// What can be asked of the tokens of operators.
#[derive(Debug, Subcommand)]
pub enum AdminTokenCommand {
    /// Create a token of an operator and show it, this once
    Create(CreateAdminToken),
    /// List the tokens of operators, revoked ones included
    List,
    /// Revoke a token of an operator for good
    Revoke {
        /// The name
        name: String,
    },
}

/// A token of an operator to create.
#[derive(Debug, Args)]
pub struct CreateAdminToken {
    /// The name, which the audit log calls it by; it is never used again
    pub name: String,
    /// What it may: viewer (see what is not secret), operator (also purge, explain, and change
    /// tenants and tokens), owner (also change credentials and admin tokens)
    #[arg(long, value_name = "ROLE", value_parser = role)]
    pub role: Role,
    /// Good until then: a time from now such as 30d
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub expires_in: Option<Duration>,
}

const PATH: &str = "/v1/admin-tokens";

const COLUMNS: [Column<AdminToken>; 6] = [
    ("NAME", |t| t.name.clone()),
    ("ID", |t| t.id.clone()),
    ("ROLE", |t| t.role.as_str().to_owned()),
    ("STATE", |t| t.state.clone()),
    ("EXPIRES", |t| time(t.expires)),
    ("CREATED", |t| time(Some(t.created))),
];

/// Does it.
pub fn run(command: &AdminTokenCommand, desk: &mut Desk<'_>) -> Result<(), Failure> {
    match command {
        AdminTokenCommand::Create(args) => {
            let expires = args.expires_in.map(|wait| later(desk.now, wait)).transpose()?;
            let new = NewAdminToken { name: args.name.clone(), role: args.role, expires };
            let call = Call::post(PATH, &new);
            let created =
                desk.create(call, |edit, means| admin_tokens::create(edit, means, &new))?;
            // The bare token for people, as that of a tenant.
            desk.output.one(&created, &created.token)
        }
        AdminTokenCommand::List => {
            let all = desk.list("/v1/admin-tokens?", admin_tokens::list)?;
            desk.output.list(&all, &COLUMNS)
        }
        AdminTokenCommand::Revoke { name } => {
            let call = Call::post_nothing(path(&[PATH, name, "revoke"]));
            let revoked = desk.edit(call, |edit, _| admin_tokens::revoke(edit, name))?;
            let what = if revoked.before { "was revoked before" } else { "revoked" };
            desk.output.one(&revoked, &format!("admin token {name} {what}"))
        }
    }
}

fn role(text: &str) -> Result<Role, &'static str> {
    member(text).ok_or("expected viewer, operator or owner")
}
