//! The view of a caller: whether it is shown what opens machines.

use crate::closed;

closed! {
    /// Whether a reply shows the passwords of machines, and their like.
    pub enum Secrecy {
        /// They are masked, as for every token that may not read them.
        Hidden => "hidden",
        /// They are shown as the upstream shows them.
        Shown => "shown",
    }
}
