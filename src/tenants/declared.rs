//! Tenants, credentials and tokens as they are declared in a file that an operator keeps in git.
//!
//! A [`Declaration`] is read, a [`Plan`] says what would have to be done so that the store is as
//! declared, and [`carry_out`] does it. An [`Exported`] declares what the store has.
//!
//! 1. A file says all of what it declares: a key that is left out has its default. Only what a secret
//!    is made of (login or e-mail, and the secret), and when a token ends, may be left out, and then
//!    stays as it is stored.
//! 2. No secret stands in a file, only the name of a file or variable that holds it.
//! 3. Tenants and credentials are the same by their names. A token is the same by its public id if
//!    that is declared, else by tenant and label, else by its key where the client made it. A label
//!    names the newest token that has it; older ones that end by themselves are left to their end.
//! 4. The id of a token that was rotated stands for the one that has taken its place. The old one is
//!    not to be declared, and is left to its end beside the new one.
//! 5. What is not declared is left alone, unless it is to be pruned.
//! 6. What cannot be done as declared is a problem, with its line and key, and all problems are found
//!    at once. No message repeats a secret.

use std::{collections::HashSet, path::PathBuf};

use zeroize::Zeroizing;

#[cfg(test)]
pub(crate) use self::written::{CredentialKeys, TenantKeys, TokenKeys};
pub use self::{
    document::Declaration,
    execution::{NotCarriedOut, carry_out},
    export::Exported,
    plan::{Act, Change, Name, Plan, Step},
};
use super::{record::Records, secret::Vault};

mod document;
mod execution;
mod export;
mod facts;
mod identity;
#[expect(unreachable_pub, reason = "the macro that declares the keys makes them public")]
mod moment;
mod plan;
mod planner;
#[expect(unreachable_pub, reason = "the macro declares what is public")]
mod written;

#[cfg(test)]
mod tests;

/// What a plan is made from, besides the declaration.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// What the store has.
    pub records: &'a Records,
    /// The credentials that have another key by now than whoever declares them may know.
    pub rotated: &'a HashSet<String>,
    /// Opens the secrets of credentials, and knows the keys of tokens.
    pub vault: Vault<'a>,
    /// The bit of a route class or a family.
    pub scope: &'a dyn Fn(&str) -> Option<u64>,
    /// The Unix time.
    pub now: i64,
}

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretPlace {
    /// In a file.
    File(PathBuf),
    /// In an environment variable.
    Variable(String),
}

/// Reads a secret, or says in a few words why it cannot be read.
pub type ReadSecret<'a> = dyn FnMut(&SecretPlace) -> Result<Zeroizing<String>, String> + 'a;
