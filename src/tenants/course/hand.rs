//! An operator gives the credential another secret by hand, or removes it, while its key is rotated.

use super::{Course, Note, Step, Way};

/// What that is to the rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByHand {
    /// It finds that at its switch, and takes back what it made.
    Noticed,
    /// It ends at once: requests are held back for it, and need not be any more; or its old key is all that
    /// is left of it. That key is refused.
    Ends,
    /// It is refused: the secret might be the key that is replaced at this moment.
    Refused,
}

impl<S> Course<S> {
    /// Whether the panel was asked for nothing that it might still do.
    pub fn is_untouched(&self) -> bool {
        self.step == Step::Planned && !self.facts.asked
    }

    /// What a secret that is set by hand now is. What may last as long as a panel does not answer does
    /// not keep an operator from it.
    pub fn by_hand(&self) -> ByHand {
        match (self.step, self.way) {
            (Step::Holding | Step::Minting | Step::Probed, Way::Replace) => ByHand::Refused,
            (Step::Draining | Step::Removing, _)
            | (Step::Doubting | Step::Minted, Way::Replace) => ByHand::Ends,
            (Step::Planned, Way::Replace) if self.facts.asked => ByHand::Ends,
            (
                Step::Planned
                | Step::Holding
                | Step::Minting
                | Step::Doubting
                | Step::Minted
                | Step::Probed
                | Step::Undoing
                | Step::Done
                | Step::Undone
                | Step::Lost,
                Way::Add | Way::Replace,
            ) => ByHand::Noticed,
        }
    }

    /// The same when its credential was given another secret by hand and nobody can work on it any more.
    #[must_use]
    pub fn abandoned(self) -> Self {
        let note = match (self.way, self.step) {
            (Way::Add, Step::Minting | Step::Doubting) => Note::NotSeen,
            (Way::Add, Step::Minted | Step::Probed | Step::Undoing) => Note::NewLeft,
            _ => Note::Overtaken,
        };
        self.end(Step::Undone, note)
    }

    /// The same after its credential was given another secret by hand, if that ends it. A new key that it
    /// has stays in the journal: it is what the panel has.
    #[must_use]
    pub fn handed(self) -> Self {
        match self.by_hand() {
            ByHand::Ends if matches!(self.step, Step::Draining | Step::Removing) => {
                self.end(Step::Done, Note::OldLeft)
            }
            ByHand::Ends => self.end(Step::Undone, Note::Overtaken),
            ByHand::Noticed | ByHand::Refused => self,
        }
    }
}
