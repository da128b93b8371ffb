//! `/v1/vault`, `/v1/key-rotations` and `/v1/pending-keys`: the keys of the store, and those of upstreams.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    answered::{Create, create, created, json},
    asked::{Asking, IdempotencyKey, Json, Named, PageQuery},
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
        keys::{self, KeyClaim, KeyRotation, NewKeyRotation, PendingKey},
        vault::{self, RotatedVault, VaultKey},
    },
    tenants::store::{Edit, Store},
};

pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new()
        .routes(routes!(list_vault_keys))
        .routes(routes!(rotate_vault))
        .routes(routes!(list_key_rotations, begin_key_rotation))
        .routes(routes!(show_key_rotation))
        .routes(routes!(use_kept_key))
        .routes(routes!(forget_kept_keys))
        .routes(routes!(list_pending_keys))
        .routes(routes!(forget_key))
        .routes(routes!(claim_key))
}

const ROTATIONS: &str = "/v1/key-rotations";

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
    let items = admin.office.work(&caller, list).await?;
    Ok(json(StatusCode::OK, &Listed { items, next: None }))
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
    params(PageQuery),
    responses((status = 200, description = "A part of the list", body = Listed<KeyRotation>)),
)]
async fn list_key_rotations(
    State(admin): State<Admin>,
    _: Viewer,
    Asking(query): Asking<PageQuery>,
) -> Result<Response, Refusal> {
    let page = query.page()?;
    let part = admin.office.view(move |view| Ok(keys::rotations(view, &page)?)).await?;
    Ok(json(StatusCode::OK, &part))
}

/// Give the credential of a rotation that has ended the new key that it has kept.
#[utoipa::path(
    post, path = "/v1/key-rotations/{id}/use", tag = "vault",
    params(("id" = String, Path, description = "Its number")),
    responses(
        (status = 200, description = "The credential has it", body = RotatedCredential),
        (status = 409, description = "It keeps no new key, or another rotation is under way"),
        (status = 422, description = "What it keeps does not open with the keys that there are"),
    ),
)]
async fn use_kept_key(
    State(admin): State<Admin>,
    Owner(caller): Owner,
    Named(id): Named,
) -> Result<Response, Refusal> {
    let id = number(&id)?;
    let take = move |edit: &Edit<'_>, means: &Means<'_>| Ok(keys::use_kept(edit, means, id)?);
    Ok(json(StatusCode::OK, &admin.office.edit(&caller, take).await?))
}

/// Forget the keys that a rotation has kept which has ended; the upstream keeps them.
#[utoipa::path(
    post, path = "/v1/key-rotations/{id}/forget", tag = "vault",
    params(("id" = String, Path, description = "Its number")),
    responses(
        (status = 204, description = "They are forgotten"),
        (status = 409, description = "It keeps none"),
    ),
)]
async fn forget_kept_keys(
    State(admin): State<Admin>,
    Owner(caller): Owner,
    Named(id): Named,
) -> Result<Response, Refusal> {
    let id = number(&id)?;
    admin.office.edit(&caller, move |edit, _| Ok(keys::forget_kept(edit, id)?)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Have the upstream make a credential a new key, and remove the old one.
///
/// What is answered is the plan; a server works on it from then on, and `/v1/key-rotations/{id}` says how
/// far it is.
#[utoipa::path(
    post, path = "/v1/key-rotations", tag = "vault",
    request_body = NewKeyRotation,
    responses(
        (status = 201, description = "It is planned", body = KeyRotation),
        (status = 404, description = "There is no such credential"),
        (status = 409, description = "One is under way, or the credential has no key"),
    ),
)]
async fn begin_key_rotation(
    State(admin): State<Admin>,
    Owner(caller): Owner,
    key: IdempotencyKey,
    Json { value, raw }: Json<NewKeyRotation>,
) -> Result<Response, Refusal> {
    let asked = Create { key, path: ROTATIONS, raw };
    let begin = move |edit: &Edit<'_>, means: &Means<'_>| keys::begin(edit, means, &value);
    let begun = create(&admin, &caller, asked, begin).await?;
    Ok(created(&begun, ROTATIONS, &begun.id.to_string()))
}

/// Show how far the rotation of an upstream key is.
#[utoipa::path(
    get, path = "/v1/key-rotations/{id}", tag = "vault",
    params(("id" = String, Path, description = "Its number")),
    responses((status = 200, description = "The rotation", body = KeyRotation)),
)]
async fn show_key_rotation(
    State(admin): State<Admin>,
    _: Viewer,
    Named(id): Named,
) -> Result<Response, Refusal> {
    let id = number(&id)?;
    let rotation = admin.office.view(move |view| Ok(keys::rotation(view, id)?)).await?;
    Ok(json(StatusCode::OK, &rotation.ok_or(Refusal::NoRoute)?))
}

/// List the keys that clients have made for users who are behind no credential.
#[utoipa::path(
    get, path = "/v1/pending-keys", tag = "vault",
    params(PageQuery),
    responses((status = 200, description = "A part of the list", body = Listed<PendingKey>)),
)]
async fn list_pending_keys(
    State(admin): State<Admin>,
    _: Viewer,
    Asking(query): Asking<PageQuery>,
) -> Result<Response, Refusal> {
    let page = query.page()?;
    let part = admin.office.view(move |view| Ok(keys::pending(view, &page)?)).await?;
    Ok(json(StatusCode::OK, &part))
}

/// Forget a pending key, whether it came or not; the upstream keeps it, if it was made.
#[utoipa::path(
    delete, path = "/v1/pending-keys/{id}", tag = "vault",
    params(("id" = String, Path, description = "Its number")),
    responses(
        (status = 204, description = "It is forgotten"),
        (status = 409, description = "There is none"),
    ),
)]
async fn forget_key(
    State(admin): State<Admin>,
    Owner(caller): Owner,
    Named(id): Named,
) -> Result<Response, Refusal> {
    let id = number(&id)?;
    admin.office.edit(&caller, move |edit, _| Ok(keys::forget(edit, id)?)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
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
    let id = number(&id)?;
    let claim = move |edit: &Edit<'_>, means: &Means<'_>| Ok(keys::claim(edit, means, id, &value)?);
    Ok(json(StatusCode::OK, &admin.office.edit(&caller, claim).await?))
}

/// Nothing has another number than a number.
fn number(id: &str) -> Result<i64, Refusal> {
    id.parse().map_err(|_| Refusal::NoRoute)
}
