//! The words of rotations.

use crate::closed;

closed! {
    /// How a rotation of a key ended.
    pub enum Rotated {
        /// The credential has a new key.
        Done => "done",
        /// The credential has what it had.
        Undone => "undone",
        /// The credential has a dead key; an operator is needed.
        Lost => "lost",
    }
}
