//! What an operator's token may: each role may what the one before it may, and more.

use crate::{closed, vocabulary::Closed as _};

closed! {
    /// What an operator's token may.
    pub enum Role {
        /// To see what is not secret.
        Viewer => "viewer",
        /// Also to purge, to ask for explanations, and to change tenants and tokens.
        Operator => "operator",
        /// Also to change credentials and the tokens of operators.
        Owner => "owner",
    }
}

impl Role {
    /// Whether who has it may what another role may.
    pub fn covers(self, other: Self) -> bool {
        self.index() >= other.index()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_covers_itself_and_what_stands_before_it() {
        let [viewer, operator, owner] = [Role::Viewer, Role::Operator, Role::Owner];
        assert!(owner.covers(operator) && operator.covers(viewer) && viewer.covers(viewer));
        assert!(!viewer.covers(operator) && !operator.covers(owner));
    }
}
