//! What a rotation does, and what can come of it.

use super::Place;

/// What the panel was found to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// The number of the user.
    pub user: u64,
    /// The numbers of the further keys; none where the panel knows no further keys.
    pub further: Option<Vec<u64>>,
    /// Where the key of the credential is kept.
    pub place: Place,
    /// Somebody else sees the key of the profile.
    pub recoverable: bool,
    /// Another credential of ours has the same key.
    pub shared: bool,
}

/// What has to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Look at what there is.
    Survey,
    /// Wait until it is due.
    Wait,
    /// Ask for a key.
    Mint,
    /// Find out whether a key was made.
    Look,
    /// Try the new key.
    Probe,
    /// Give the credential the new key.
    Switch,
    /// Remove the old key.
    RemoveOld,
    /// Remove the new key.
    RemoveNew,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<S> {
    /// The panel has this.
    Surveyed(Survey),
    /// It was waited for.
    Waited,
    /// A key was made, and this is it.
    Minted(S),
    /// The panel cannot have been asked.
    NotAsked,
    /// The panel said no, so that nothing was done.
    Refused,
    /// Nobody knows.
    Unknown,
    /// There is a new key, and this is it.
    Found(S),
    /// None was made.
    FoundNone,
    /// There are several that may be it, or one that is not shown.
    FoundMany,
    /// The old key is dead, and nobody can read the new one.
    Gone,
    /// The key works.
    Works,
    /// It does not.
    Fails,
    /// The credential has the new key.
    Switched,
    /// The credential has a secret that this rotation does not know.
    Overtaken,
    /// The key that is to be removed has this number.
    Located(u64),
    /// It is not there any more.
    Removed,
    /// It is there, or cannot be told from others, or nobody here can ask.
    Left,
    /// A credential has it, so that it stays.
    InUse,
    /// The panel did not answer; it is asked again.
    NoAnswer,
}

/// How long nothing is done when a step begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// Not at all.
    None,
    /// Until every server has seen it.
    Notice,
    /// Until requests with the old key have ended.
    Drain,
}
