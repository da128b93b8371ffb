//! A plan is carried out, step by step, in one transaction.

use super::plan::{Deed, Plan};
use crate::{
    auth::{keyring::VaultError, keyring::random, token::Token, token::public_id},
    tenants::{
        record::TokenTerms,
        secret::Vault,
        store::{Edit, NewToken, StoreError},
    },
};

/// Why a plan could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum NotCarriedOut {
    /// The store refuses.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no randomness.
    #[error(transparent)]
    Random(#[from] VaultError),
    /// More tokens are to be made than were minted.
    #[error("too few tokens were minted")]
    TooFew,
}

/// Does all that a plan says. The tokens that it makes are `minted` before, as many as
/// [`Plan::to_mint`] says and in the order of the steps, so that they can be kept first.
pub fn carry_out(
    plan: &Plan,
    edit: &Edit<'_>,
    vault: &Vault<'_>,
    minted: &[Token],
) -> Result<(), NotCarriedOut> {
    let mut minted = minted.iter();
    for step in &plan.steps {
        let name = &*step.name.name;
        match &step.deed {
            Deed::AddTenant(settings) => edit.add_tenant(name, settings).map(drop)?,
            Deed::SetTenant(settings) => edit.set_tenant(name, settings)?,
            Deed::RemoveTenant => edit.remove_tenant(name)?,
            Deed::AddCredential { upstream, secret, standing } => {
                edit.add_credential(vault, name, upstream, secret, standing).map(drop)?;
            }
            Deed::SetCredential { secret, standing, .. } => {
                if let Some(secret) = secret {
                    edit.rotate_credential(vault, name, secret)?;
                }
                if let Some(standing) = standing {
                    edit.set_standing(name, standing)?;
                }
            }
            Deed::RemoveCredential => edit.remove_credential(name)?,
            Deed::CreateToken { tenant, credential, terms, key } => {
                let new = New { tenant, credential, terms };
                match &key.text {
                    Some(key) => new.add(edit, vault, &public_id(&*random::<8>()?), key, true)?,
                    None => {
                        let token = minted.next().ok_or(NotCarriedOut::TooFew)?;
                        new.add(edit, vault, token.id(), token.expose(), false)?;
                    }
                }
            }
            Deed::SetToken { id, credential, terms } => edit.set_terms(id, credential, terms)?,
            Deed::RevokeToken { id } => edit.revoke_token(id).map(drop)?,
        }
    }
    Ok(())
}

struct New<'a> {
    tenant: &'a str,
    credential: &'a str,
    terms: &'a TokenTerms,
}

impl New<'_> {
    fn add(
        &self,
        edit: &Edit<'_>,
        vault: &Vault<'_>,
        id: &str,
        secret: &str,
        adopted: bool,
    ) -> Result<(), StoreError> {
        let Self { tenant, credential, terms } = *self;
        let (mac, key_id) = (vault.keyring.mac(secret.as_bytes()), vault.keyring.id());
        edit.add_token(&NewToken { id, tenant, credential, mac, key_id, terms, adopted })
    }
}
