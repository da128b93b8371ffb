//! What an answer to a removal says of the key that was to go.

use super::{Listed, Outcome};

/// What the panel answers to a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// It has done it.
    Done,
    /// It finds nothing to remove, or does not know such requests: this is the same answer.
    NotFound,
    /// It says no.
    Refused,
    /// Nothing that says anything.
    Nothing,
}

impl Answered {
    /// What it says of the key of the profile, which another was to replace. There always is one, so
    /// that a panel that finds none does not know such requests.
    pub fn of_the_main_key<S>(self) -> Outcome<S> {
        match self {
            Self::Done => Outcome::Removed,
            Self::NotFound | Self::Refused => Outcome::Left,
            Self::Nothing => Outcome::NoAnswer,
        }
    }

    /// What it says of a further key; none if the panel's list has to be asked ([`Answered::unless`]).
    pub fn of_a_further_key<S>(self) -> Option<Outcome<S>> {
        match self {
            Self::Done => Some(Outcome::Removed),
            Self::NotFound => None,
            Self::Refused => Some(Outcome::Left),
            Self::Nothing => Some(Outcome::NoAnswer),
        }
    }

    /// What the list says of a further key that was not found: it is gone unless it is listed.
    pub fn unless<S>(listed: &[Listed], number: u64) -> Outcome<S> {
        let there = listed.iter().any(|(id, _)| *id == number);
        if there { Outcome::Left } else { Outcome::Removed }
    }
}
