//! Why nothing is done with the keys of upstreams.

/// Why a rotation cannot begin, or be taken up again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RotationRefusal {
    /// Another process has taken it over.
    #[error("another process works on this rotation")]
    LeaseLost,
    /// A password is not the panel's to make.
    #[error("credential \"{0}\" is a password; only API keys can be rotated by themselves")]
    NotAKey(String),
    /// One at a time.
    #[error("a rotation of the credential \"{0}\" is under way")]
    UnderWay(String),
    /// The old key is removed, or the new one is not known yet.
    #[error(
        "the key of the credential \"{0}\" is being rotated; set its secret when that has ended \
         (`tollgate credential rotations` shows how far it is)"
    )]
    Switching(String),
    /// What the panel was asked for might be lost.
    #[error("a rotation of the credential \"{0}\" is under way; remove it when that has ended")]
    Needed(String),
    /// No such key.
    #[error("there is no pending key {0}; `tollgate credential pending` shows them")]
    NoPending(i64),
    /// It has not come.
    #[error("the pending key {0} was asked for, and the panel's answer never came")]
    Unanswered(i64),
    /// For another panel.
    #[error("credential \"{0}\" is of another upstream than this key")]
    OtherUpstream(String),
    /// It never had one, or it was used or forgotten.
    #[error(
        "the rotation {0} has not ended, or keeps no such key; `tollgate credential rotations` shows \
         those that do"
    )]
    NothingKept(i64),
    /// What nobody looks after.
    #[error(
        "{most} keys of the upstream \"{upstream}\" are kept that no credential has \
         (rotation.max_kept); `tollgate credential pending` and `credential rotations` show them, and \
         --forget forgets one"
    )]
    Full {
        /// The upstream.
        upstream: String,
        /// How many may be.
        most: u32,
    },
}
