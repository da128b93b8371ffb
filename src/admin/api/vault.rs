//! `/v1/vault`, `/v1/key-rotations` and `/v1/pending-keys`: the keys of the store, and those of upstreams.

use axum::{extract::State, http::StatusCode, response::Response};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    answered::json,
    asked::{Json, Named},
};
use crate::{
    admin::{
        Admin,
        access::{Owner, Viewer},
        problem::Refusal,
    },
    operations::{
        Listed, Means,
        credentials::RotatedCredential,
        keys::{self, KeyClaim, KeyRotation, PendingKey},
        vault::{self, RotatedVault, VaultKey},
    },
    tenants::store::{Edit, Store},
};

pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new()
        .routes(routes!(list_vault_keys))
        .routes(routes!(rotate_vault))
        .routes(routes!(list_key_rotations))
        .routes(routes!(list_pending_keys))
        .routes(routes!(claim_key))
}

fn all<T>(items: Vec<T>) -> Listed<T> {
    Listed { items, next: None }
}

/// List the keys of the store, and how many secrets or tokens each is used by.
#[utoipa::path(
    get, path = "/v1/vault/keys", tag = "vault",
    responses((status = 200, description = "All of them", body = Listed<VaultKey>)),
)]
async fn list_vault_keys(
    State(admin): State<Admin>,
    Viewer(caller): Viewer,
) -> Result<Response, Refusal> {
    let list = |store: &mut Store, _: &Means<'_>, _| Ok(vault::keys(store)?);
    Ok(json(StatusCode::OK, &all(admin.office.work(&caller, list).await?)))
}

/// Seal every secret with a new data key, while servers serve, and delete the old one.
#[utoipa::path(
    post, path = "/v1/vault/rotate", tag = "vault",
    responses((status = 200, description = "What it came to", body = RotatedVault)),
)]
async fn rotate_vault(
    State(admin): State<Admin>,
    Owner(caller): Owner,
) -> Result<Response, Refusal> {
    let rotate = |store: &mut Store, means: &Means<'_>, now| Ok(vault::rotate(store, means, now)?);
    Ok(json(StatusCode::OK, &admin.office.work(&caller, rotate).await?))
}

/// List the rotations of upstream keys, the latest first.
#[utoipa::path(
    get, path = "/v1/key-rotations", tag = "vault",
    responses((status = 200, description = "All of them", body = Listed<KeyRotation>)),
)]
async fn list_key_rotations(
    State(admin): State<Admin>,
    Viewer(caller): Viewer,
) -> Result<Response, Refusal> {
    let list = |store: &mut Store, _: &Means<'_>, _| Ok(keys::rotations(store)?);
    Ok(json(StatusCode::OK, &all(admin.office.work(&caller, list).await?)))
}

/// List the keys that clients have made for users who are behind no credential.
#[utoipa::path(
    get, path = "/v1/pending-keys", tag = "vault",
    responses((status = 200, description = "All of them", body = Listed<PendingKey>)),
)]
async fn list_pending_keys(
    State(admin): State<Admin>,
    Viewer(caller): Viewer,
) -> Result<Response, Refusal> {
    let list = |store: &mut Store, _: &Means<'_>, _| Ok(keys::pending(store)?);
    Ok(json(StatusCode::OK, &all(admin.office.work(&caller, list).await?)))
}

/// Give a pending key to a credential, which is added if there is none.
#[utoipa::path(
    post, path = "/v1/pending-keys/{id}/claim", tag = "vault",
    params(("id" = String, Path, description = "Its number")),
    request_body = KeyClaim,
    responses(
        (status = 200, description = "The credential has it", body = RotatedCredential),
        (status = 409, description = "What there is stands against it"),
    ),
)]
async fn claim_key(
    State(admin): State<Admin>,
    Owner(caller): Owner,
    Named(id): Named,
    Json { value, .. }: Json<KeyClaim>,
) -> Result<Response, Refusal> {
    // No key has another number than a number.
    let id = id.parse().map_err(|_| Refusal::NoRoute)?;
    let claim = move |edit: &Edit<'_>, means: &Means<'_>| Ok(keys::claim(edit, means, id, &value)?);
    Ok(json(StatusCode::OK, &admin.office.edit(&caller, claim).await?))
}
