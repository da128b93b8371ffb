//! The rotation of the data key: every secret is sealed anew, some at a time, while servers serve.
//!
//! 1. A new key seals from now on; the others are retired.
//! 2. What is sealed with another key is sealed with the one in force.
//! 3. Retired keys with which nothing is sealed are deleted.
//!
//! Each step is a transaction, and after each every secret opens. So whoever breaks off leaves
//! nothing to repair, and the next rotation does what was left. Two at once end with one key, too:
//! each seals with the key that is in force when it does.

use super::{
    secret::Vault,
    store::{Edit, Holder, LeftBehind, Store, StoreError},
};

/// A rotation under way.
#[derive(Debug, Default)]
pub struct Rotation {
    step: Step,
    rotated: Rotated,
}

/// What a rotation has done.
#[derive(Debug, Default)]
pub struct Rotated {
    /// The id of the new key.
    pub key: String,
    /// How many secrets were sealed anew.
    pub resealed: u64,
    /// How many keys were deleted.
    pub discarded: u64,
    /// The secrets that do not open, whose keys are kept.
    pub left: Vec<LeftBehind>,
}

#[derive(Debug, Default)]
enum Step {
    #[default]
    MakeKey,
    Reseal {
        /// What is looked at.
        holder: Holder,
        /// The row up to which it came.
        behind: i64,
    },
    Discard,
    Ended,
}

/// So many secrets are sealed in one transaction, for which others that edit have to wait.
const BATCH: i64 = 500;

impl Rotation {
    /// Does all of it.
    pub fn run(
        mut self,
        store: &mut Store,
        vault: &Vault<'_>,
        now: i64,
    ) -> Result<Rotated, StoreError> {
        while !self.has_ended() {
            store.edit(now, |edit| self.step(edit, vault, BATCH))?;
        }
        Ok(self.rotated)
    }

    /// Whether nothing is left to do.
    pub fn has_ended(&self) -> bool {
        matches!(self.step, Step::Ended)
    }

    /// Does the next step within an edit, with so many secrets at most.
    pub fn step(
        &mut self,
        edit: &Edit<'_>,
        vault: &Vault<'_>,
        batch: i64,
    ) -> Result<(), StoreError> {
        self.step = match self.step {
            Step::MakeKey => {
                self.rotated.key = edit.rotate_vault_key(vault.keyring)?.as_str().to_owned();
                Step::from(Holder::default())
            }
            Step::Reseal { holder, behind } => {
                let done = edit.reseal(vault, holder, behind, batch)?;
                self.rotated.resealed += done.count;
                self.rotated.left.extend(done.left);
                match done.up_to {
                    Some(behind) => Step::Reseal { holder, behind },
                    None => holder.next().map_or(Step::Discard, Step::from),
                }
            }
            Step::Discard => {
                self.rotated.discarded = edit.discard_keys()?;
                Step::Ended
            }
            Step::Ended => Step::Ended,
        };
        Ok(())
    }
}

impl From<Holder> for Step {
    fn from(holder: Holder) -> Self {
        Self::Reseal { holder, behind: i64::MIN }
    }
}

#[cfg(test)]
mod tests;
