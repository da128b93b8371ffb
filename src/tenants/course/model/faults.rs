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
    /// It reaches the panel late, which nobody can tell: before it is asked for another key.
    LateForTheKey,
    /// Likewise: before it is asked who the credential is, once more.
    LateForTheSurvey,
    /// It is done, and the answer is lost.
    AnswerLost,
    /// The panel answers that it does not want to.
    Refused,
    /// The panel answers that there is no such thing, as it does where it knows no such requests.
    NotFound,
    /// Before it, somebody else makes a key of the same user.
    ForeignKey,
    /// Before it, an operator gives the credential another key that works.
    OtherSecret,
    /// Before it, the credential is given the old key again, which still works.
    OldSecret,
    /// Before it, an operator gives the credential the very key that was made.
    NewSecret,
    /// Before it, another credential is given the key that was made.
    NewElsewhere,
    /// Before it, another credential is given the old key.
    OldElsewhere,
}

pub(super) const FAULTS: [Fault; 14] = [
    Fault::CrashBefore,
    Fault::CrashAfter,
    Fault::RequestLost,
    Fault::LateForTheKey,
    Fault::LateForTheSurvey,
    Fault::AnswerLost,
    Fault::Refused,
    Fault::NotFound,
    Fault::ForeignKey,
    Fault::OtherSecret,
    Fault::OldSecret,
    Fault::NewSecret,
    Fault::NewElsewhere,
    Fault::OldElsewhere,
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
    /// A panel that does not know the old key any more is taken to make none.
    TakesDeadForRefused,
    /// Requests are not held back.
    HoldsNothing,
    /// The old key is removed although the credential has it again.
    RemovesOwn,
    /// The old key is removed although another credential has it.
    RemovesOthers,
    /// The new key is removed although the credential was given it.
    RemovesOwnNew,
    /// The new key is removed although another credential was given it.
    RemovesOthersNew,
    /// What is not found is taken for removed.
    TakesNotFound,
}

pub(super) const MUTATIONS: [Mutation; 17] = [
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
    Mutation::TakesDeadForRefused,
    Mutation::HoldsNothing,
    Mutation::RemovesOwn,
    Mutation::RemovesOthers,
    Mutation::RemovesOwnNew,
    Mutation::RemovesOthersNew,
    Mutation::TakesNotFound,
];
