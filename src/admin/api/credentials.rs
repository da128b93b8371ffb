//! `/v1/credentials`. Their secrets go in and never come out.

use axum::{
    extract::State,
    http::{HeaderValue, StatusCode},
    response::{IntoResponse as _, Response},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    answered::{Create, answered, create, created, json, shown, tag_of},
    asked::{Asking, IdempotencyKey, IfMatch, IfNoneMatch, Json, Named, PageQuery},
};
use crate::{
    admin::{
        Admin,
        access::{Owner, Viewer},
        problem::Refusal,
    },
    error_chain::error_chain,
    operations::{
        Listed, Means,
        credentials::{
            self, Credential, CredentialChange, NewCredential, NewSecret, RotatedCredential,
        },
    },
    tenants::store::Edit,
};

const PATH: &str = "/v1/credentials";

pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new()
        .routes(routes!(list_credentials, add_credential))
        .routes(routes!(show_credential, change_credential, remove_credential))
        .routes(routes!(rotate_credential))
}

/// List the credentials by name, without their secrets.
#[utoipa::path(
    get, path = "/v1/credentials", tag = "credentials",
    params(PageQuery),
    responses((status = 200, description = "A part of the list", body = Listed<Credential>)),
)]
async fn list_credentials(
    State(admin): State<Admin>,
    _: Viewer,
    Asking(query): Asking<PageQuery>,
) -> Result<Response, Refusal> {
    let page = query.page()?;
    let part = admin.office.view(move |view| Ok(credentials::list(view, &page)?)).await?;
    Ok(json(StatusCode::OK, &part))
}

/// Add a credential of an upstream.
#[utoipa::path(
    post, path = "/v1/credentials", tag = "credentials",
    request_body = NewCredential,
    responses(
        (status = 201, description = "It was added", body = Credential),
        (status = 409, description = "There is one of this name"),
    ),
)]
async fn add_credential(
    State(admin): State<Admin>,
    Owner(caller): Owner,
    key: IdempotencyKey,
    Json { value, raw }: Json<NewCredential>,
) -> Result<Response, Refusal> {
    let asked = Create { key, path: PATH, raw };
    // What was stored the first time was tested then, and the upstream may be away by now.
    if let Some(before) = answered::<Credential>(&admin, &caller, &asked).await? {
        return Ok(created(&before, PATH, &before.name));
    }
    if value.test != Some(false) {
        try_out(&admin, &value.upstream, value.secret()?.authorization()).await?;
    }
    let make = move |edit: &Edit<'_>, means: &Means<'_>| credentials::add(edit, means, &value);
    let added = create(&admin, &caller, asked, make).await?;
    Ok(created(&added, PATH, &added.name))
}

/// Show a credential, without its secret.
#[utoipa::path(
    get, path = "/v1/credentials/{name}", tag = "credentials",
    params(("name" = String, Path, description = "The name")),
    responses(
        (status = 200, description = "The credential", body = Credential),
        (status = 304, description = "It is what If-None-Match says"),
    ),
)]
async fn show_credential(
    State(admin): State<Admin>,
    _: Viewer,
    Named(name): Named,
    has: IfNoneMatch,
) -> Result<Response, Refusal> {
    let credential = admin.office.view(move |view| Ok(credentials::show(view, &name)?)).await?;
    Ok(shown(&credential, &has))
}

/// Declare something else of a credential; its cache starts anew.
#[utoipa::path(
    patch, path = "/v1/credentials/{name}", tag = "credentials",
    params(("name" = String, Path, description = "The name")),
    request_body = CredentialChange,
    responses(
        (status = 200, description = "The credential as it is now", body = Credential),
        (status = 412, description = "It is not what If-Match says"),
    ),
)]
async fn change_credential(
    State(admin): State<Admin>,
    Owner(caller): Owner,
    Named(name): Named,
    meant: IfMatch,
    Json { value, .. }: Json<CredentialChange>,
) -> Result<Response, Refusal> {
    let change = move |edit: &Edit<'_>, _: &Means<'_>| {
        meant.require(&tag_of(&credentials::show(edit, &name)?))?;
        Ok(credentials::set(edit, &name, &value)?)
    };
    let credential = admin.office.edit(&caller, change).await?;
    Ok(shown(&credential, &IfNoneMatch::default()))
}

/// Remove a credential that no token in use stands for.
#[utoipa::path(
    delete, path = "/v1/credentials/{name}", tag = "credentials",
    params(("name" = String, Path, description = "The name")),
    responses(
        (status = 204, description = "It is removed"),
        (status = 409, description = "Tokens that stand for it are in use"),
        (status = 412, description = "It is not what If-Match says"),
    ),
)]
async fn remove_credential(
    State(admin): State<Admin>,
    Owner(caller): Owner,
    Named(name): Named,
    meant: IfMatch,
) -> Result<Response, Refusal> {
    let remove = move |edit: &Edit<'_>, _: &Means<'_>| {
        meant.require(&tag_of(&credentials::show(edit, &name)?))?;
        Ok(credentials::remove(edit, &name)?)
    };
    admin.office.edit(&caller, remove).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Give a credential another secret; its cache starts anew.
#[utoipa::path(
    post, path = "/v1/credentials/{name}/rotate", tag = "credentials",
    params(
        ("name" = String, Path, description = "The name"),
        (
            "Idempotency-Key" = Option<String>, Header,
            description = "A text of your choice, up to 255 characters: what is repeated with it is done \
                           once, and answered as the first time for some minutes",
        ),
    ),
    request_body = NewSecret,
    responses(
        (status = 200, description = "It has the other secret", body = RotatedCredential),
        (status = 412, description = "It is not what If-Match says"),
    ),
)]
async fn rotate_credential(
    State(admin): State<Admin>,
    Owner(caller): Owner,
    Named(name): Named,
    meant: IfMatch,
    key: IdempotencyKey,
    Json { value, raw }: Json<NewSecret>,
) -> Result<Response, Refusal> {
    // Which credential it is belongs to what is asked.
    let raw = [name.as_bytes(), b"\0", &raw[..]].concat().into();
    let asked = Create { key, path: "/v1/credentials/{name}/rotate", raw };
    if let Some(before) = answered::<RotatedCredential>(&admin, &caller, &asked).await? {
        return Ok(json(StatusCode::OK, &before));
    }
    if value.test != Some(false) {
        let named = name.clone();
        let shown = admin.office.view(move |view| Ok(credentials::show(view, &named)?)).await?;
        meant.require(&tag_of(&shown))?;
        try_out(&admin, &shown.upstream, value.secret()?.authorization()).await?;
    }
    let rotate = move |edit: &Edit<'_>, means: &Means<'_>| -> Result<_, Refusal> {
        meant.require(&tag_of(&credentials::show(edit, &name)?))?;
        Ok(credentials::rotate(edit, means, &name, &value)?)
    };
    let rotated = create(&admin, &caller, asked, rotate).await?;
    Ok(json(StatusCode::OK, &rotated))
}

/// Asks the upstream whether it takes a secret; one that is not configured is for the store to refuse.
pub(super) async fn try_out(
    admin: &Admin,
    upstream: &str,
    authorization: HeaderValue,
) -> Result<(), Refusal> {
    let Some(asked) = (admin.trial)(upstream, authorization) else { return Ok(()) };
    match asked.await {
        Ok(StatusCode::OK) => Ok(()),
        Ok(status @ StatusCode::UNAUTHORIZED) => {
            Err(Refusal::Untaken(format!("{upstream} does not take it, and answered {status}")))
        }
        Ok(status) => {
            let why =
                format!("{upstream} answered {status}, which does not say whether it takes it");
            Err(Refusal::Untested(why))
        }
        Err(error) => {
            Err(Refusal::Untested(format!("{upstream} did not answer ({})", error_chain(&error))))
        }
    }
}
