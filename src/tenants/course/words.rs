//! The words of a rotation: how, how far, and what there is to say about its end.

use crate::closed;

closed! {
    /// How the panel makes a key.
    pub enum Way {
        /// Beside those that there are.
        Add => "add",
        /// In the place of the one that the profile shows.
        Replace => "replace",
    }
}

closed! {
    /// How far a rotation is.
    pub enum Step {
        /// Nothing has been done.
        Planned => "planned",
        /// Requests are held back, and every server is given the time to see it.
        Holding => "holding",
        /// A key is being asked for.
        Minting => "minting",
        /// Whether a key was made is not known.
        Doubting => "doubting",
        /// The new key is in the journal.
        Minted => "minted",
        /// It works.
        Probed => "probed",
        /// The credential has it; requests with the old one end.
        Draining => "draining",
        /// The old key is removed.
        Removing => "removing",
        /// The new key is removed, because it is not used.
        Undoing => "undoing",
        /// The credential has the new key.
        Done => "done",
        /// The credential has what it had before.
        Undone => "undone",
        /// The old key is dead and the new one cannot be had: the credential needs an operator.
        Lost => "lost",
    }
}

closed! {
    /// What an operator should know of how a rotation ended.
    pub enum Note {
        /// The panel knows no keys beside the one of the profile.
        NoFurtherKeys => "no-further-keys",
        /// What would be replaced is not what the credential has.
        NotTheMainKey => "not-the-main-key",
        /// Another credential of ours has the key that would be replaced.
        Shared => "shared",
        /// Nobody could read the new key if the answer were lost.
        NotRecoverable => "not-recoverable",
        /// The panel does not take the key that the credential has.
        OldRefused => "old-key-refused",
        /// The panel makes no key.
        MintRefused => "mint-refused",
        /// The panel did not answer.
        NoAnswer => "no-answer",
        /// The panel does not take the new key.
        NewRefused => "new-key-refused",
        /// Somebody gave the credential another secret meanwhile.
        Overtaken => "overtaken",
        /// Whether a key was made, and which one it is, cannot be told.
        Ambiguous => "ambiguous",
        /// Nobody can read the new key.
        NotRecovered => "not-recovered",
        /// The old key could not be removed.
        OldLeft => "old-key-left",
        /// The new key could not be removed.
        NewLeft => "new-key-left",
        /// A key was asked for, and the panel has not answered since.
        NotSeen => "not-seen",
        /// Nothing was asked for, because no more may be kept.
        TooManyKept => "too-many-kept",
    }
}

impl Note {
    /// Whether it says that no key was asked for, or none was made.
    pub fn says_nothing_made(self) -> bool {
        match self {
            Self::NoFurtherKeys
            | Self::NotTheMainKey
            | Self::Shared
            | Self::NotRecoverable
            | Self::OldRefused
            | Self::MintRefused
            | Self::TooManyKept => true,
            Self::NoAnswer
            | Self::NewRefused
            | Self::Overtaken
            | Self::Ambiguous
            | Self::NotRecovered
            | Self::OldLeft
            | Self::NewLeft
            | Self::NotSeen => false,
        }
    }

    /// What it means, for people.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::NoFurtherKeys => {
                "the panel knows no keys beside the one of the profile; --replace replaces that"
            }
            Self::NotTheMainKey => {
                "the credential does not have the key of the profile, which would be replaced; \
                 rotate it without --replace"
            }
            Self::Shared => "another credential has the key that would be replaced",
            Self::NotRecoverable => {
                "no credential with reach \"all\" of this upstream shows this user's key: if the \
                 panel's answer were lost, so would be the key; add one, or give --unrecoverable"
            }
            Self::OldRefused => "the panel does not take the key that the credential has",
            Self::MintRefused => "the panel refuses to make a key",
            Self::NoAnswer => "the panel did not answer",
            Self::NewRefused => "the panel does not take the key that it made",
            Self::Overtaken => {
                "the credential was given another secret meanwhile; if the panel has replaced its key, \
                 the new one is kept (`tollgate credential rotations`)"
            }
            Self::Ambiguous => {
                "whether a key was made cannot be told from the panel's list; look at the keys of \
                 this user"
            }
            Self::NotRecovered => {
                "the old key is dead, and nobody can read the new one: give the credential another with \
                 `tollgate credential rotate`, or the new one, if it is kept, with `tollgate credential \
                 rotations --use`"
            }
            Self::OldLeft => {
                "the old key was not removed: another credential has it, or the panel does not say \
                 which one it is, or refuses, or does not answer, or the credential was given another \
                 secret meanwhile; look at the keys of this user in the panel"
            }
            Self::NewLeft => "the new key could not be removed; remove it in the panel",
            Self::NotSeen => {
                "the panel was asked for a key and has not answered since, so that it may have made \
                 one: look at the keys of this user in the panel, remove what nobody uses, and rotate \
                 anew"
            }
            Self::TooManyKept => {
                "as many keys as may be are kept that no credential has; an operator has to claim or \
                 to forget some"
            }
        }
    }
}
