//! `/v1/admin-tokens`: the tokens of operators. Only an owner makes them, so no role makes a wider one.

use axum::{extract::State, http::StatusCode, response::Response};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    answered::{Create, create, created, json, shown},
    asked::{Asking, IdempotencyKey, IfNoneMatch, Json, Named, PageQuery},
};
use crate::{
    admin::{
        Admin,
        access::{Owner, Viewer},
        problem::Refusal,
    },
    operations::{
        Listed, Means,
        admin_tokens::{self, AdminToken, CreatedAdminToken, NewAdminToken, RevokedAdminToken},
    },
    tenants::store::Edit,
};

const PATH: &str = "/v1/admin-tokens";

pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new()
        .routes(routes!(list_admin_tokens, create_admin_token))
        .routes(routes!(show_admin_token))
        .routes(routes!(revoke_admin_token))
}

/// List the tokens of operators by name, revoked ones included.
#[utoipa::path(
    get, path = "/v1/admin-tokens", tag = "admin-tokens",
    params(PageQuery),
    responses((status = 200, description = "A part of the list", body = Listed<AdminToken>)),
)]
async fn list_admin_tokens(
    State(admin): State<Admin>,
    _: Viewer,
    Asking(query): Asking<PageQuery>,
) -> Result<Response, Refusal> {
    let page = query.page()?;
    let part = admin.office.view(move |view| Ok(admin_tokens::list(view, &page)?)).await?;
    Ok(json(StatusCode::OK, &part))
}

/// Create a token of an operator and show it, this once.
#[utoipa::path(
    post, path = "/v1/admin-tokens", tag = "admin-tokens",
    request_body = NewAdminToken,
    responses(
        (status = 201, description = "It was created", body = CreatedAdminToken),
        (status = 409, description = "There is or was one of this name"),
    ),
)]
async fn create_admin_token(
    State(admin): State<Admin>,
    Owner(caller): Owner,
    key: IdempotencyKey,
    Json { value, raw }: Json<NewAdminToken>,
) -> Result<Response, Refusal> {
    let asked = Create { key, path: PATH, raw };
    let make = move |edit: &Edit<'_>, means: &Means<'_>| admin_tokens::create(edit, means, &value);
    let made = create(&admin, &caller, asked, make).await?;
    Ok(created(&made, PATH, &made.name))
}

/// Show a token of an operator.
#[utoipa::path(
    get, path = "/v1/admin-tokens/{name}", tag = "admin-tokens",
    params(("name" = String, Path, description = "The name")),
    responses(
        (status = 200, description = "The token", body = AdminToken),
        (status = 304, description = "It is what If-None-Match says"),
    ),
)]
async fn show_admin_token(
    State(admin): State<Admin>,
    _: Viewer,
    Named(name): Named,
    has: IfNoneMatch,
) -> Result<Response, Refusal> {
    let token = admin.office.view(move |view| Ok(admin_tokens::show(view, &name)?)).await?;
    Ok(shown(&token, &has))
}

/// Revoke a token of an operator for good.
#[utoipa::path(
    post, path = "/v1/admin-tokens/{name}/revoke", tag = "admin-tokens",
    params(("name" = String, Path, description = "The name")),
    responses((status = 200, description = "It is revoked", body = RevokedAdminToken)),
)]
async fn revoke_admin_token(
    State(admin): State<Admin>,
    Owner(caller): Owner,
    Named(name): Named,
) -> Result<Response, Refusal> {
    let revoke = move |edit: &Edit<'_>, _: &Means<'_>| Ok(admin_tokens::revoke(edit, &name)?);
    Ok(json(StatusCode::OK, &admin.office.edit(&caller, revoke).await?))
}
