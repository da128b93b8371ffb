//! The course of the rotation of an upstream key: which step comes after which, whatever comes of it.
//!
//! A step is written down before what it says is done, and whoever reads it goes on from there: the
//! process that wrote it, the same one after a crash, or another. These rules make that safe:
//!
//! 1. What cannot be asked twice is announced first: [`Step::Minting`] is written before a key is asked
//!    for. Who finds it written does not know whether a key was made, and looks ([`Step::Doubting`])
//!    before another is.
//! 2. A new key is sealed in the journal before anything else is done with it, and it stays there until
//!    the credential has it or the panel no longer does.
//! 3. A key is used only once it was seen to work, and the old one is removed only after the switch,
//!    when the requests that carry it have ended.
//! 4. Only a key that is known to be ours is removed: by its text, or by being the only one that was not
//!    there before. Its number is written down first: once it is gone, the only one that was not there
//!    before may be another.
//! 5. Where the panel replaces a key instead of adding one, the old one is dead before the new one is
//!    known. Such a rotation begins only if the new one could be read by somebody else in case the answer
//!    is lost, or if the operator takes that risk; meanwhile requests are held back ([`Course::holds`]).
//!    Once a key was asked for and its answer did not come, an old key that is dead says that there may be
//!    a new one, however late ([`Facts::asked`]), and not that the panel refuses to make one.
//! 6. No key is removed that a credential has, this one or another, and none counts as removed only
//!    because the panel says that there is nothing to remove ([`Answered`]).
//! 7. A key is given up as lost only if the panel has shown that it is: by refusing it again and again, or
//!    because nobody can read it. From a panel that does not answer nothing follows: requests are held back
//!    for [`MOST_HELD`] questions at most, and it is asked on until it answers, or until an operator gives
//!    the credential another secret.

use serde::{Deserialize, Serialize};

mod acts;
mod hand;
mod places;
mod removal;
mod words;

#[cfg(test)]
mod model;

pub use self::{
    acts::{Act, Outcome, Pause, Survey},
    hand::ByHand,
    places::{Listed, Place, Sought},
    removal::Answered,
    words::{Note, Step, Way},
};

/// What is known of a rotation and is no secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// Nobody has asked for the old key to be removed.
    pub keeps_old: bool,
    /// The operator takes the risk that a new key is lost.
    pub unrecoverable: bool,
    /// The number of the user.
    pub user: u64,
    /// The numbers of the further keys that there were before.
    pub before: Vec<u64>,
    /// The panel was asked for a key, and it is not known whether it makes one.
    pub asked: bool,
    /// Where the old key is kept.
    pub place: Place,
    /// The new key was found in a list, and may be somebody else's.
    pub adopted: bool,
    /// The number of the new key, which is known before it is removed.
    pub number: Option<u64>,
    /// How often the panel did not take what it had made.
    pub refusals: u32,
}

/// A rotation, as the journal has it. What a secret is, is left open: no rule looks into one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Course<S> {
    /// How the panel makes the key.
    pub way: Way,
    /// How far it is.
    pub step: Step,
    /// What is known besides.
    pub facts: Facts,
    /// How often the panel was asked in vain.
    pub tries: u32,
    /// The new key, as long as nothing else has it.
    pub new: Option<S>,
    /// What there is to say about its end.
    pub note: Option<Note>,
}

/// So often is tried in vain what can still be left alone.
pub const MOST_TRIES: u32 = 10;

/// For so many questions in vain are requests held back, and has every other key of the upstream to wait
/// until it is known whether one was made: for about an hour.
pub const MOST_HELD: u32 = 64;

impl Step {
    /// Whether there is nothing left to do.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Done | Self::Undone | Self::Lost)
    }

    /// Whether keys that appear now may be this rotation's.
    pub fn mints(self) -> bool {
        matches!(self, Self::Holding | Self::Minting | Self::Doubting)
    }
}

impl<S> Course<S> {
    /// One that begins.
    pub fn planned(way: Way, facts: Facts) -> Self {
        Self { way, step: Step::Planned, facts, tries: 0, new: None, note: None }
    }

    /// The same, read by somebody who has not seen what came of its step.
    #[must_use]
    pub fn resumed(self) -> Self {
        if self.step == Step::Minting { self.doubted() } else { self }
    }

    /// The same with its new key in another form.
    pub fn with<T>(&self, new: Option<T>) -> Course<T> {
        let Self { way, step, facts, tries, note, .. } = self;
        Course { way: *way, step: *step, facts: facts.clone(), tries: *tries, new, note: *note }
    }

    /// What has to be done now; nothing at its end.
    pub fn act(&self) -> Option<Act> {
        Some(match self.step {
            Step::Planned => Act::Survey,
            Step::Holding | Step::Draining => Act::Wait,
            Step::Minting => Act::Mint,
            Step::Doubting => Act::Look,
            Step::Minted => Act::Probe,
            Step::Probed => Act::Switch,
            Step::Removing => Act::RemoveOld,
            Step::Undoing => Act::RemoveNew,
            Step::Done | Step::Undone | Step::Lost => return None,
        })
    }

    /// How long to wait first.
    pub fn pause(&self) -> Pause {
        match self.step {
            Step::Holding => Pause::Notice,
            Step::Draining => Pause::Drain,
            Step::Planned
            | Step::Minting
            | Step::Doubting
            | Step::Minted
            | Step::Probed
            | Step::Removing
            | Step::Undoing
            | Step::Done
            | Step::Undone
            | Step::Lost => Pause::None,
        }
    }

    /// Whether requests of the credential are held back, because this endangers its key. Not for ever: at
    /// some time they are better refused, for a reason that an operator can remove.
    pub fn holds(&self) -> bool {
        self.endangers() && self.tries < MOST_HELD
    }

    /// Whether the key that the credential has is dead, or will be at any moment.
    pub fn endangers(&self) -> bool {
        let may_be_dead = matches!(self.step, Step::Minted | Step::Probed) || self.step.mints();
        let may_die = self.step == Step::Planned && self.facts.asked;
        self.way == Way::Replace && (may_be_dead || may_die)
    }

    /// Whether the panel was asked for a key in the place of the old one, and may have made it since,
    /// though it had not when it was looked for.
    fn may_be_replaced(&self) -> bool {
        self.way == Way::Replace && self.facts.asked
    }

    /// Whether it has ended and the old key, which is no credential's by then, may still work: it is
    /// searched for in replies as long as nobody knows better.
    pub fn leaves_old(&self) -> bool {
        let left = self.facts.keeps_old || self.note == Some(Note::OldLeft);
        self.step == Step::Done && self.way == Way::Add && left
    }

    /// What comes next. An outcome that is none of the step's is as good as no answer.
    #[must_use]
    pub fn after(self, outcome: Outcome<S>) -> Self {
        match (self.step, outcome) {
            (Step::Planned, Outcome::Surveyed(survey)) => self.surveyed(survey),
            // What died may have been replaced by the key that was asked for before.
            (Step::Planned, Outcome::Fails)
            | (Step::Minting, Outcome::Fails | Outcome::NotAsked)
                if self.may_be_replaced() =>
            {
                self.keep_count(Step::Doubting)
            }
            (Step::Planned, Outcome::Fails) => self.end(Step::Undone, Note::OldRefused),
            // A panel that takes no question by which a key is made is not asked for ever.
            (Step::Holding, Outcome::Waited) => self.keep_count(Step::Minting),
            (Step::Holding, Outcome::InUse) => self.end(Step::Undone, Note::Shared),
            (Step::Minting, Outcome::Minted(key)) => {
                Self { new: Some(key), ..self.to(Step::Minted) }
            }
            (Step::Doubting, Outcome::Found(key)) => {
                let adopted = self.way == Way::Add;
                let facts = Facts { adopted, ..self.facts.clone() };
                Self { new: Some(key), facts, ..self.keep_count(Step::Minted) }
            }
            (Step::Minting, Outcome::NotAsked) => self.again(),
            (Step::Minting, Outcome::Refused | Outcome::Fails) => {
                self.end(Step::Undone, Note::MintRefused)
            }
            (Step::Minting, Outcome::Unknown | Outcome::NoAnswer) => self.doubted(),
            (Step::Doubting, Outcome::FoundNone) if self.new.is_some() => {
                Self { new: None, ..self.end(Step::Undone, Note::NewRefused) }
            }
            (Step::Doubting, Outcome::FoundNone) => self.again(),
            (Step::Doubting, Outcome::FoundMany) => self.end(Step::Undone, Note::Ambiguous),
            // What the panel said is all that anybody knows.
            (Step::Doubting, Outcome::Gone) if self.new.is_some() => self.keep_count(Step::Minted),
            (Step::Doubting, Outcome::Gone) => self.end(Step::Lost, Note::NotRecovered),
            (Step::Minted, Outcome::Works) => self.to(Step::Probed),
            (Step::Minted, Outcome::Fails) => self.refused(),
            (Step::Probed, Outcome::Switched) => {
                let removes = self.way == Way::Add && !self.facts.keeps_old;
                let step = if removes { Step::Draining } else { Step::Done };
                Self { new: None, ..self.to(step) }
            }
            (Step::Probed, Outcome::Overtaken) => self.overtaken(),
            (Step::Draining, Outcome::Waited) => self.to(Step::Removing),
            (Step::Removing, Outcome::Removed) => self.to(Step::Done),
            (Step::Removing, Outcome::Left | Outcome::InUse) => self.end(Step::Done, Note::OldLeft),
            (Step::Undoing, Outcome::Located(number)) => {
                Self { facts: Facts { number: Some(number), ..self.facts.clone() }, ..self }
            }
            (Step::Undoing, Outcome::Removed) => Self { new: None, ..self.to(Step::Undone) },
            (Step::Undoing, Outcome::Left) => self.end(Step::Undone, Note::NewLeft),
            (Step::Undoing, Outcome::InUse) => Self { new: None, ..self.to(Step::Undone) },
            (_, _) => self.later(),
        }
    }

    fn surveyed(self, survey: Survey) -> Self {
        let Survey { user, further, place, recoverable, shared } = survey;
        let allowed = match self.way {
            Way::Add if further.is_none() => Err(Note::NoFurtherKeys),
            Way::Replace if place != Place::Main => Err(Note::NotTheMainKey),
            Way::Replace if shared => Err(Note::Shared),
            Way::Replace if !recoverable && !self.facts.unrecoverable => Err(Note::NotRecoverable),
            Way::Add | Way::Replace => Ok(()),
        };
        // Requests are held back no more, and would be sent with a key that is about to die.
        let allowed = if self.tries > MOST_TRIES { Err(Note::NoAnswer) } else { allowed };
        if let Err(note) = allowed {
            return self.end(Step::Undone, note);
        }
        let step = match self.way {
            Way::Add => Step::Minting,
            Way::Replace => Step::Holding,
        };
        let before = further.unwrap_or_default();
        Self { facts: Facts { user, before, place, ..self.facts }, step, ..self }
    }

    /// The new key does not work. Where it was added it goes; where it replaced the old one, perhaps
    /// what the panel said was not what it has, or not all of the panel has heard of it yet.
    fn refused(self) -> Self {
        let refusals = self.facts.refusals + 1;
        match self.way {
            Way::Add => self.undo(Note::NewRefused),
            Way::Replace if refusals > MOST_TRIES => self.end(Step::Lost, Note::NotRecovered),
            Way::Replace => {
                let facts = Facts { refusals, ..self.facts.clone() };
                Self { facts, ..self.keep_count(Step::Doubting) }
            }
        }
    }

    /// What was added goes. What replaced another key is all that the panel has, and stays in the
    /// journal.
    fn overtaken(self) -> Self {
        match self.way {
            Way::Add => self.undo(Note::Overtaken),
            Way::Replace => self.end(Step::Undone, Note::Overtaken),
        }
    }

    /// A key was asked for, and nobody knows what came of it.
    fn doubted(self) -> Self {
        let facts = Facts { asked: true, ..self.facts };
        Self { facts, step: Step::Doubting, ..self }
    }

    fn undo(self, note: Note) -> Self {
        if self.facts.adopted {
            return self.end(Step::Undone, Note::NewLeft);
        }
        Self { note: Some(note), ..self.to(Step::Undoing) }
    }

    /// Nothing was made: from the beginning, unless it was tried too often.
    fn again(self) -> Self {
        if self.tries >= MOST_TRIES {
            return self.end(Step::Undone, Note::NoAnswer);
        }
        Self { tries: self.tries + 1, step: Step::Planned, ..self }
    }

    /// The same once more; what can still be left alone is, at some time. So is the search for a key that
    /// was to be added: as long as it goes on, no other rotation of this upstream makes one. And so is a
    /// removal: as long as it goes on, the credential has no other rotation.
    fn later(self) -> Self {
        if self.step == Step::Planned && !self.may_be_replaced() {
            return self.again();
        }
        if self.tries >= MOST_HELD {
            match self.step {
                Step::Doubting if self.way == Way::Add => {
                    return self.end(Step::Undone, Note::NotSeen);
                }
                Step::Removing => return self.end(Step::Done, Note::OldLeft),
                Step::Undoing => return self.end(Step::Undone, Note::NewLeft),
                _ => {}
            }
        }
        Self { tries: self.tries.saturating_add(1), ..self }
    }

    fn to(self, step: Step) -> Self {
        Self { tries: 0, ..self.keep_count(step) }
    }

    /// Likewise, but what was asked in vain counts on: requests may be held back for both steps.
    fn keep_count(self, step: Step) -> Self {
        Self { step, ..self }
    }

    fn end(self, step: Step, note: Note) -> Self {
        Self { note: Some(note), ..self.to(step) }
    }
}
