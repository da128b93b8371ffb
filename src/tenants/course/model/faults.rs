//! What goes wrong in the model, and which mistakes its properties have to catch.

/// What goes wrong while an act is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing.
    None,
    /// The process dies before it.
    CrashBefore,
    /// The process dies when it is done, before that is written down.
    CrashAfter,
    /// It does not reach the panel, which nobody can tell.
    RequestLost,
    /// It is done, and the answer is lost.
    AnswerLost,
    /// The panel answers that it does not want to.
    Refused,
    /// Before it, somebody else makes a key of the same user.
    ForeignKey,
    /// Before it, an operator gives the credential another key that works.
    OtherSecret,
    /// Before it, the credential is given the old key again, which still works.
    OldSecret,
}

pub(super) const FAULTS: [Fault; 8] = [
    Fault::CrashBefore,
    Fault::CrashAfter,
    Fault::RequestLost,
    Fault::AnswerLost,
    Fault::Refused,
    Fault::ForeignKey,
    Fault::OtherSecret,
    Fault::OldSecret,
];

/// A mistake of the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mutation {
    None,
    /// The intent is written after the key was asked for.
    IntentAfterMint,
    /// The new key is written down only with the switch.
    SealedAtSwitch,
    /// The old key is removed before the switch.
    RemovedBeforeSwitch,
    /// Who finds that a key was asked for asks again.
    AskedAgain,
    /// A key that does not work is used.
    Unprobed,
    /// The new key is left where it is when it is not used.
    NotUndone,
    /// The key is switched although the credential was given another one meanwhile.
    Overwrites,
    /// Whatever is new in the list is removed with it.
    RemovesAllNew,
    /// The new key is looked for anew by whoever goes on with its removal.
    Unnumbered,
    /// A key is replaced although nobody could read the new one.
    TakesTheRisk,
    /// Requests are not held back.
    HoldsNothing,
    /// The old key is removed although the credential has it again.
    RemovesOwn,
}

pub(super) const MUTATIONS: [Mutation; 12] = [
    Mutation::IntentAfterMint,
    Mutation::SealedAtSwitch,
    Mutation::RemovedBeforeSwitch,
    Mutation::AskedAgain,
    Mutation::Unprobed,
    Mutation::NotUndone,
    Mutation::Overwrites,
    Mutation::RemovesAllNew,
    Mutation::Unnumbered,
    Mutation::TakesTheRisk,
    Mutation::HoldsNothing,
    Mutation::RemovesOwn,
];
