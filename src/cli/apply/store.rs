//! A declaration that is planned and applied here, on the store itself.

use std::path::Path;

use super::{
    ApplyError, Held, Planned, TokensFile,
    file::{DeclaredFile, wrong},
};
use crate::{
    cli::{Admit, credential::Trial, failure::Failure},
    operations::{
        Means, OperationError,
        declaration::{self, DeclarationPlan, MintedToken},
    },
    tenants::{
        declared::{self, NotCarriedOut, carry_out},
        store::{Store, StoreError},
    },
};

/// A plan, and the revision of the store that it was made from.
pub(super) struct Plan {
    plan: declared::Plan,
    revision: i64,
}

impl Plan {
    /// Tests what it stores.
    pub(super) fn try_out(&self, trial: Trial, admit: Admit<'_>) -> Result<(), Failure> {
        let mut secrets = self.plan.secrets();
        secrets.try_for_each(|(name, upstream, secret)| trial.run(admit, name, upstream, secret))
    }
}

pub(super) fn plan(
    store: &mut Store,
    means: &Means<'_>,
    file: DeclaredFile<'_>,
    prune: bool,
    now: i64,
) -> Result<Planned, Failure> {
    let DeclaredFile { path, declaration, problems, .. } = file;
    let planned = store.view(now, |view| {
        let plan = declaration::plan(view, means, (declaration, problems), prune)?;
        Ok::<_, OperationError>(Plan { revision: view.revision()?, plan })
    });
    let plan = planned.map_err(|error| match error {
        OperationError::Undeclarable(problems) => wrong(path, problems),
        error => error.into(),
    })?;
    let shown = DeclarationPlan::of(&plan.plan, false);
    Ok(Planned { shown, held: Held::Here(plan) })
}

/// The tokens are written down before they are in force: nobody could show them again.
pub(super) fn apply(
    store: &mut Store,
    means: &Means<'_>,
    Plan { plan, revision }: &Plan,
    tokens_out: Option<&Path>,
    now: i64,
) -> Result<(), Failure> {
    let minted = declaration::mint(means, plan)?;
    let mut file = tokens_out.map(TokensFile::create).transpose()?;
    if let Some(file) = &mut file {
        file.write(&MintedToken::all(plan, &minted))?;
    }
    let applied =
        store.edit_seen(*revision, now, |edit| carry_out(plan, edit, &means.vault, &minted));
    let applied = match applied {
        Ok(Some(())) => return Ok(()),
        Ok(None) => ApplyError::Moved,
        Err(error) => error.into(),
    };
    let unsettled = matches!(
        applied,
        ApplyError::NotCarriedOut(NotCarriedOut::Store(StoreError::Unsettled(_)))
    );
    if !unsettled && let Some(file) = file {
        file.remove();
    }
    Err(applied.into())
}
