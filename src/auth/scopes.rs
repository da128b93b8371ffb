//! What a token may ask for: reads or writes, which routes, and what few may.
//!
//! An operator writes names: a route class (`volatile`) or a family (`vms`). Each name is a bit,
//! and a route has the bits of its class and of its families.
//!
//! 1. A route with any denied bit is refused; denial wins.
//! 2. Where names are allowed, a route needs at least one allowed bit: allowed names add up.
//! 3. A route without any bit, such as one that is not listed, has no allowed bit.
//! 4. What goes beyond reads and writes has a permission of its own, which no token has unless it
//!    was given.

use crate::{
    closed,
    vocabulary::{Closed, Secrecy},
};

closed! {
    /// Whether a token may change anything.
    pub enum Access {
        /// Reads alone.
        ReadOnly => "read-only",
        /// Reads and writes.
        ReadWrite => "read-write",
    }
}

closed! {
    /// What few tokens may.
    pub enum Permission {
        /// To make the cache fetch anew.
        Refresh => "cache:refresh",
        /// To be told why a request was answered as it was.
        Explain => "explain",
        /// To see the passwords of machines, and what else is masked in the view without secrets.
        ReadSecrets => "secrets:read",
        /// To have keys made upstream, which the gateway keeps.
        ManageCredentials => "credentials:manage",
    }
}

/// The permissions of a token; none unless they were given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PermissionSet(u8);

/// Scopes as they were written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeNames {
    /// Reads or writes.
    pub access: Access,
    /// The names that are allowed; empty allows all.
    pub allow: Vec<String>,
    /// The names that are denied.
    pub deny: Vec<String>,
}

/// Scopes as the request path asks them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scopes {
    /// Reads or writes.
    pub access: Access,
    /// The bits that are allowed; none allows all.
    pub allow: Option<u64>,
    /// The bits that are denied.
    pub deny: u64,
}

/// A name that is neither a route class nor a family.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is neither a route class nor a family of routes")]
pub struct UnknownName(pub String);

impl Access {
    /// The access that a word means.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|access| access.as_str() == word)
    }
}

impl Permission {
    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl PermissionSet {
    /// Whether only an owner gives these: with them a token reads secrets, or changes credentials.
    pub fn takes_an_owner(self) -> bool {
        [Permission::ReadSecrets, Permission::ManageCredentials]
            .iter()
            .any(|permission| self.contains(*permission))
    }

    /// Whether a permission is among them.
    pub const fn contains(self, permission: Permission) -> bool {
        self.0 & permission.bit() != 0
    }

    /// The view that they give.
    pub const fn secrecy(self) -> Secrecy {
        if self.contains(Permission::ReadSecrets) { Secrecy::Shown } else { Secrecy::Hidden }
    }

    /// Each of them, in order.
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.iter().copied().filter(move |permission| self.contains(*permission))
    }

    /// The words of them, in order.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        self.iter().map(Permission::as_str)
    }
}

impl FromIterator<Permission> for PermissionSet {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        Self(permissions.into_iter().fold(0, |bits, permission| bits | permission.bit()))
    }
}

impl ScopeNames {
    /// All routes, for reads or for everything.
    pub fn all(access: Access) -> Self {
        Self { access, allow: Vec::new(), deny: Vec::new() }
    }

    /// Turns names into bits.
    ///
    /// One unknown name refuses the whole: to forget a denial would widen the token.
    pub fn resolve(&self, bit: &dyn Fn(&str) -> Option<u64>) -> Result<Scopes, UnknownName> {
        let mask = |names: &[String]| {
            names.iter().try_fold(0, |mask, name| {
                bit(name).map(|bit| mask | bit).ok_or_else(|| UnknownName(name.clone()))
            })
        };
        let allow = if self.allow.is_empty() { None } else { Some(mask(&self.allow)?) };
        Ok(Scopes { access: self.access, allow, deny: mask(&self.deny)? })
    }
}

impl Scopes {
    /// Whether a route with these bits is within the scopes.
    pub fn permits(&self, route: u64) -> bool {
        route & self.deny == 0 && self.allow.is_none_or(|allow| route & allow != 0)
    }

    /// Whether writes are.
    pub fn permits_writes(&self) -> bool {
        self.access == Access::ReadWrite
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOLATILE: u64 = 1;
    const VMS: u64 = 2;
    const DISKS: u64 = 4;

    fn bit(name: &str) -> Option<u64> {
        match name {
            "volatile" => Some(VOLATILE),
            "vms" => Some(VMS),
            "disks" => Some(DISKS),
            _ => None,
        }
    }

    fn scopes(allow: &[&str], deny: &[&str]) -> Result<Scopes, UnknownName> {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect();
        let access = Access::ReadOnly;
        ScopeNames { access, allow: names(allow), deny: names(deny) }.resolve(&bit)
    }

    #[test]
    fn without_names_everything_is_permitted() {
        let all = scopes(&[], &[]).expect("no names");
        assert!(all.permits(0) && all.permits(VMS | VOLATILE) && !all.permits_writes());
    }

    #[test]
    fn allowed_names_add_up_and_an_unlisted_route_has_none() {
        let some = scopes(&["vms", "volatile"], &[]).expect("known names");
        assert!(some.permits(VMS | DISKS) && some.permits(DISKS | VOLATILE));
        assert!(!some.permits(DISKS) && !some.permits(0));
    }

    #[test]
    fn denial_wins() {
        let some = scopes(&["vms"], &["volatile"]).expect("known names");
        assert!(some.permits(VMS) && !some.permits(VMS | VOLATILE));
    }

    #[test]
    fn an_unknown_name_refuses_the_whole() {
        for (allow, deny) in [(&["vms", "x"][..], &[][..]), (&[], &["x"])] {
            assert_eq!(scopes(allow, deny), Err(UnknownName("x".to_owned())));
        }
    }

    #[test]
    fn the_words_of_access_are_read_back() {
        for access in Access::ALL {
            assert_eq!(Access::from_word(access.as_str()), Some(*access));
        }
        assert_eq!(Access::from_word("admin"), None);
    }

    #[test]
    fn a_permission_is_there_when_it_was_given() {
        for given in Permission::ALL {
            let set = PermissionSet::from_iter([*given, *given]);
            assert_eq!(set.words().collect::<Vec<_>>(), [given.as_str()]);
            for other in Permission::ALL {
                assert_eq!(set.contains(*other), other == given);
                assert!(!PermissionSet::default().contains(*other));
            }
        }
        let all: PermissionSet = Permission::ALL.iter().rev().copied().collect();
        assert_eq!(
            all.words().collect::<Vec<_>>(),
            ["cache:refresh", "explain", "secrets:read", "credentials:manage"]
        );
    }
}
