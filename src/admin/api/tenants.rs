//! `/v1/tenants`.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    answered::{Create, create, created, json, shown, tag_of},
    asked::{Asking, IdempotencyKey, IfMatch, IfNoneMatch, Json, Named, PageQuery},
};
use crate::{
    admin::{
        Admin,
        access::{Operator, Viewer},
        problem::Refusal,
    },
    operations::{
        Listed, Means,
        tenants::{self, NewTenant, Tenant, TenantChange},
    },
    tenants::store::Edit,
};

const PATH: &str = "/v1/tenants";

pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new().routes(routes!(list_tenants, add_tenant)).routes(routes!(
        show_tenant,
        change_tenant,
        remove_tenant
    ))
}

/// List the tenants by name.
#[utoipa::path(
    get, path = "/v1/tenants", tag = "tenants",
    params(PageQuery),
    responses((status = 200, description = "A part of the list", body = Listed<Tenant>)),
)]
async fn list_tenants(
    State(admin): State<Admin>,
    _: Viewer,
    Asking(query): Asking<PageQuery>,
) -> Result<Response, Refusal> {
    let page = query.page()?;
    let part = admin.office.view(move |view| Ok(tenants::list(view, &page)?)).await?;
    Ok(json(StatusCode::OK, &part))
}

/// Add a tenant.
#[utoipa::path(
    post, path = "/v1/tenants", tag = "tenants",
    request_body = NewTenant,
    responses(
        (status = 201, description = "It was added", body = Tenant),
        (status = 409, description = "There is one of this name"),
    ),
)]
async fn add_tenant(
    State(admin): State<Admin>,
    Operator(caller): Operator,
    key: IdempotencyKey,
    Json { value, raw }: Json<NewTenant>,
) -> Result<Response, Refusal> {
    let asked = Create { key, path: PATH, raw };
    let added = create(&admin, &caller, asked, move |edit, _| tenants::add(edit, &value)).await?;
    Ok(created(&added, PATH, &added.name))
}

/// Show a tenant.
#[utoipa::path(
    get, path = "/v1/tenants/{name}", tag = "tenants",
    params(("name" = String, Path, description = "The name")),
    responses(
        (status = 200, description = "The tenant", body = Tenant),
        (status = 304, description = "It is what If-None-Match says"),
    ),
)]
async fn show_tenant(
    State(admin): State<Admin>,
    _: Viewer,
    Named(name): Named,
    has: IfNoneMatch,
) -> Result<Response, Refusal> {
    let tenant = admin.office.view(move |view| Ok(tenants::show(view, &name)?)).await?;
    Ok(shown(&tenant, &has))
}

/// Change what is given of a tenant.
#[utoipa::path(
    patch, path = "/v1/tenants/{name}", tag = "tenants",
    params(("name" = String, Path, description = "The name")),
    request_body = TenantChange,
    responses(
        (status = 200, description = "The tenant as it is now", body = Tenant),
        (status = 412, description = "It is not what If-Match says"),
    ),
)]
async fn change_tenant(
    State(admin): State<Admin>,
    Operator(caller): Operator,
    Named(name): Named,
    meant: IfMatch,
    Json { value, .. }: Json<TenantChange>,
) -> Result<Response, Refusal> {
    let change = move |edit: &Edit<'_>, _: &Means<'_>| {
        meant.require(&tag_of(&tenants::show(edit, &name)?))?;
        Ok(tenants::set(edit, &name, &value)?)
    };
    let tenant = admin.office.edit(&caller, change).await?;
    Ok(shown(&tenant, &IfNoneMatch::default()))
}

/// Remove a tenant that has no token in use.
#[utoipa::path(
    delete, path = "/v1/tenants/{name}", tag = "tenants",
    params(("name" = String, Path, description = "The name")),
    responses(
        (status = 204, description = "It is removed"),
        (status = 409, description = "Tokens of it are in use"),
        (status = 412, description = "It is not what If-Match says"),
    ),
)]
async fn remove_tenant(
    State(admin): State<Admin>,
    Operator(caller): Operator,
    Named(name): Named,
    meant: IfMatch,
) -> Result<Response, Refusal> {
    let remove = move |edit: &Edit<'_>, _: &Means<'_>| {
        meant.require(&tag_of(&tenants::show(edit, &name)?))?;
        Ok(tenants::remove(edit, &name)?)
    };
    admin.office.edit(&caller, remove).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
