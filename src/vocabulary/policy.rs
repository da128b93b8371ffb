//! The words of a token's policies.

use crate::closed;

closed! {
    /// What comes of what a part of the policies says.
    #[derive(Default)]
    pub enum PolicyMode {
        /// What it does not permit is refused.
        #[default]
        Enforce => "enforce",
        /// It is judged and counted, and refuses nothing.
        Shadow => "shadow",
        /// It is not judged.
        Off => "off",
    }
}

closed! {
    /// Which policy has spoken.
    pub enum PolicyName {
        /// The methods that may be used.
        Methods => "methods",
        /// The paths that may be asked for.
        Paths => "paths",
        /// The items that may be asked for.
        Resources => "resources",
        /// The items that are not to be removed or rebuilt.
        Protected => "protected",
        /// How many items may be made in a window.
        Creates => "creates",
        /// How many items may be removed in a window.
        Deletes => "deletes",
        /// How many requests there may be in a second.
        Limits => "limits",
        /// How many reads there may be in a month.
        MonthlyReads => "monthly-reads",
        /// How many writes there may be in a month.
        MonthlyWrites => "monthly-writes",
    }
}
