//! The fields whose values are masked, by name: what nobody is shown, and what opens machines.

use crate::vocabulary::Secrecy;

/// The names that are masked in one view.
#[derive(Debug)]
pub struct Fields {
    names: Vec<(Box<str>, Kind)>,
    /// A bit for each length that a name has: most of what is read is ruled out by it.
    lengths: u64,
    longest: usize,
}

/// What the value of a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A key of the upstream's own, which nobody is shown.
    Key,
    /// What opens a machine or another system: shown to who may read secrets.
    Password,
}

/// The name of what nobody is shown.
const KEYS: [&str; 1] = ["api_key"];

/// The names of what is shown to those alone who may read secrets.
const PASSWORDS: [&str; 14] = [
    // Of machines, in lists too.
    "initial_root_password",
    "remote_access_password", // of its screen, by VNC
    "service_password",       // of the service that an add-on has installed
    "remote_key",             // a session of its screen, until that is closed
    // Of users; the panel's third party for a content network, and a login that does not end.
    "aflexi_password",
    "aflexi_key",
    "remember_token",
    // Of what administrators set up: whoever has one of these needs the panel no more.
    "password", // of data stores, backup servers, LDAP, mail and others
    "redis_password",
    "load_balancer_password",
    "license_key",
    "url_signing_key", // whoever has it makes addresses of a content network that are obeyed
    "pre_shared_key",  // of a tunnel between networks
    "private_key",     // of who vouches for users, by SAML
];

/// A longer name is none of the upstream's.
const LONGEST: usize = 63;

impl Fields {
    /// What is masked in a view; an operator may know `further` passwords.
    pub fn of(secrecy: Secrecy, further: &[String]) -> Self {
        let keys = KEYS.iter().map(|name| (*name, Kind::Key));
        let passwords = PASSWORDS.iter().copied().chain(further.iter().map(String::as_str));
        let hidden = passwords.filter(|_| secrecy == Secrecy::Hidden);
        let names: Vec<(Box<str>, Kind)> = keys
            .chain(hidden.map(|name| (name, Kind::Password)))
            .map(|(name, kind)| (name.into(), kind))
            .collect();
        let lengths = names.iter().fold(0, |bits, (name, _)| bits | 1 << name.len().min(LONGEST));
        let longest = names.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        Self { names, lengths, longest }
    }

    /// Whether an operator can mean a field by it.
    pub fn is_name(text: &str) -> bool {
        let of_a_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        (1..=LONGEST).contains(&text.len()) && text.chars().all(of_a_name)
    }

    /// What a field of this name holds, if that is masked.
    pub(super) fn kind(&self, name: &[u8]) -> Option<Kind> {
        if self.lengths >> name.len().min(LONGEST) & 1 == 0 {
            return None;
        }
        let found = self.names.iter().find(|(known, _)| known.as_bytes() == name);
        found.map(|(_, kind)| *kind)
    }

    /// The length of the longest name.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_without_secrets_masks_more() {
        let further = ["wifi_phrase".to_owned(), "x".repeat(LONGEST)];
        let (hidden, shown) =
            (Fields::of(Secrecy::Hidden, &further), Fields::of(Secrecy::Shown, &further));
        for fields in [&hidden, &shown] {
            assert_eq!(fields.kind(b"api_key"), Some(Kind::Key));
        }
        for name in PASSWORDS.iter().copied().chain(further.iter().map(String::as_str)) {
            assert_eq!(hidden.kind(name.as_bytes()), Some(Kind::Password), "{name}");
            assert_eq!(shown.kind(name.as_bytes()), None, "{name}");
            assert!(Fields::is_name(name), "{name}");
        }
        for name in ["", "initial_root_password_encrypted", "passwords", "Password", "label"] {
            assert_eq!(hidden.kind(name.as_bytes()), None, "{name}");
        }
        assert!(!Fields::is_name("") && !Fields::is_name("a b"));
        assert!(!Fields::is_name(&"x".repeat(LONGEST + 1)));
    }
}
