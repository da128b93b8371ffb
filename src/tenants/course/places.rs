//! Where the panel keeps a key, and which of a list is whose.

use serde::{Deserialize, Serialize};

use super::{Facts, Outcome};

/// Where the panel keeps a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// It is not known.
    #[default]
    Unknown,
    /// It is the one that the profile shows.
    Main,
    /// It is a further one, of this number.
    Further(u64),
}

/// A key of a list: its number, and its text if the panel shows it.
pub type Listed = (u64, Option<String>);

/// Where a key is that is to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sought {
    /// Nowhere any more.
    Gone,
    /// Under this number, which is written down.
    Known(u64),
    /// Under this number, which is not.
    At(u64),
    /// It cannot be told from others.
    Unclear,
}

impl Place {
    /// Where the key of a credential is kept: found by its text.
    pub fn of(key: &str, main: Option<&str>, further: &[Listed]) -> Self {
        if main == Some(key) {
            return Self::Main;
        }
        let found = further.iter().find(|(_, text)| text.as_deref() == Some(key));
        found.map_or(Self::Unknown, |(id, _)| Self::Further(*id))
    }
}

impl Facts {
    /// Whether the panel's list has a key that was not there before.
    pub fn found(&self, listed: &[Listed]) -> Outcome<String> {
        match &*self.new_ones(listed) {
            [] => Outcome::FoundNone,
            [(_, Some(text))] => Outcome::Found(text.to_owned()),
            [_] | [_, _, ..] => Outcome::FoundMany,
        }
    }

    /// Where the new key is in the panel's list.
    pub fn sought(&self, key: &str, listed: &[Listed]) -> Sought {
        if let Some(number) = self.number {
            let there = listed.iter().any(|(id, _)| *id == number);
            return if there { Sought::Known(number) } else { Sought::Gone };
        }
        let new = self.new_ones(listed);
        if let Some((id, _)) = new.iter().find(|(_, text)| text.as_deref() == Some(key)) {
            return Sought::At(*id);
        }
        // Of those that show another text, none is it.
        let mut hidden = new.iter().filter(|(_, text)| text.is_none());
        match (hidden.next(), hidden.next()) {
            (None, _) => Sought::Gone,
            (Some((id, _)), None) => Sought::At(*id),
            (Some(_), Some(_)) => Sought::Unclear,
        }
    }

    fn new_ones<'a>(&self, listed: &'a [Listed]) -> Vec<&'a Listed> {
        listed.iter().filter(|(id, _)| !self.before.contains(id)).collect()
    }
}
