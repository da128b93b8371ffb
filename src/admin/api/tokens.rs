//! `/v1/tokens`. A new one is shown once, in the answer that made it.

use axum::{extract::State, http::StatusCode, response::Response};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    answered::{Create, create, created, json, shown, tag_of, tagged},
    asked::{Asking, IdempotencyKey, IfMatch, IfNoneMatch, Json, Named, TokensQuery},
};
use crate::{
    admin::{
        Admin,
        access::{Caller, Operator, Viewer},
        problem::Refusal,
    },
    auth::scopes::PermissionSet,
    operations::{
        Listed, Means,
        tokens::{
            self, CreatedToken, DescribedToken, NewToken, RevokedToken, RotatedToken, Rotation,
            Token, TokenChange,
        },
    },
    policy::document::PolicyDocument,
    tenants::store::{Edit, View},
};

const PATH: &str = "/v1/tokens";

pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new()
        .routes(routes!(list_tokens, create_token))
        .routes(routes!(describe_token, change_token))
        .routes(routes!(show_policies, set_policies))
        .routes(routes!(rotate_token))
        .routes(routes!(revoke_token))
}

/// List the tokens in the order of their creation, revoked ones included.
#[utoipa::path(
    get, path = "/v1/tokens", tag = "tokens",
    params(TokensQuery),
    responses((status = 200, description = "A part of the list", body = Listed<Token>)),
)]
async fn list_tokens(
    State(admin): State<Admin>,
    _: Viewer,
    Asking(query): Asking<TokensQuery>,
) -> Result<Response, Refusal> {
    let (tenant, page) = query.read()?;
    let list = move |view: &View<'_>| Ok(tokens::list(view, tenant.as_deref(), &page)?);
    Ok(json(StatusCode::OK, &admin.office.view(list).await?))
}

/// Create a token and show it, this once.
#[utoipa::path(
    post, path = "/v1/tokens", tag = "tokens",
    request_body = NewToken,
    responses(
        (status = 201, description = "It was created", body = CreatedToken),
        (status = 404, description = "There is no such tenant or credential"),
        (status = 409, description = "What there is stands against it"),
    ),
)]
async fn create_token(
    State(admin): State<Admin>,
    Operator(caller): Operator,
    key: IdempotencyKey,
    Json { value, raw }: Json<NewToken>,
) -> Result<Response, Refusal> {
    let given: PermissionSet = value.permissions.iter().copied().collect();
    caller.require_owner(given.takes_an_owner())?;
    let asked = Create { key, path: PATH, raw };
    let make = move |edit: &Edit<'_>, means: &Means<'_>| tokens::create(edit, means, &value);
    let made = create(&admin, &caller, asked, make).await?;
    Ok(created(&made, PATH, &made.id))
}

/// Show a token with its policies, and when and how much it was used.
///
/// It is always shown: the tag stays the same while the token is used.
#[utoipa::path(
    get, path = "/v1/tokens/{id}", tag = "tokens",
    params(("id" = String, Path, description = "The public id")),
    responses((
        status = 200, description = "The token", body = DescribedToken,
        headers(("ETag" = String, description = "The tag of what can be changed, for If-Match")),
    )),
)]
async fn describe_token(
    State(admin): State<Admin>,
    _: Viewer,
    Named(id): Named,
) -> Result<Response, Refusal> {
    let token = admin.office.view(move |view| Ok(tokens::describe(view, &id)?)).await?;
    Ok(tagged(json(StatusCode::OK, &token), tag_of_terms(&token.token)))
}

/// Replace the permissions or the policies of a token.
///
/// It takes an owner if the token has permissions then that only an owner gives.
#[utoipa::path(
    patch, path = "/v1/tokens/{id}", tag = "tokens",
    params(("id" = String, Path, description = "The public id")),
    request_body = TokenChange,
    responses(
        (
            status = 200, description = "The token as it is now", body = Token,
            headers(("ETag" = String, description = "The tag of what can be changed, for If-Match")),
        ),
        (status = 412, description = "It is not what If-Match says"),
    ),
)]
async fn change_token(
    State(admin): State<Admin>,
    Operator(caller): Operator,
    Named(id): Named,
    meant: IfMatch,
    Json { value, .. }: Json<TokenChange>,
) -> Result<Response, Refusal> {
    value.policies.as_ref().map_or(Ok(()), tokens::require_policies)?;
    let who = caller.clone();
    let change = move |edit: &Edit<'_>, _: &Means<'_>| {
        meant.require(&tag_of_terms(&tokens::describe(edit, &id)?.token))?;
        let token = tokens::set(edit, &id, &value)?;
        // Other policies may let it do more with what it had, too.
        require_giver(&who, edit, &id)?;
        Ok(token)
    };
    let token = admin.office.edit(&caller, change).await?;
    let tag = tag_of_terms(&token);
    Ok(tagged(json(StatusCode::OK, &token), tag))
}

/// Show the policies of a token.
#[utoipa::path(
    get, path = "/v1/tokens/{id}/policies", tag = "tokens",
    params(("id" = String, Path, description = "The public id")),
    responses(
        (status = 200, description = "The policies", body = PolicyDocument),
        (status = 304, description = "They are what If-None-Match says"),
    ),
)]
async fn show_policies(
    State(admin): State<Admin>,
    _: Viewer,
    Named(id): Named,
    has: IfNoneMatch,
) -> Result<Response, Refusal> {
    let policies = admin.office.view(move |view| Ok(tokens::policies(view, &id)?)).await?;
    Ok(shown(&policies, &has))
}

/// Replace the policies of a token.
///
/// It takes an owner if the token has permissions that only an owner gives.
#[utoipa::path(
    put, path = "/v1/tokens/{id}/policies", tag = "tokens",
    params(("id" = String, Path, description = "The public id")),
    request_body = PolicyDocument,
    responses(
        (status = 200, description = "The policies as they are now", body = PolicyDocument),
        (status = 412, description = "They are not what If-Match says"),
    ),
)]
async fn set_policies(
    State(admin): State<Admin>,
    Operator(caller): Operator,
    Named(id): Named,
    meant: IfMatch,
    Json { value, .. }: Json<PolicyDocument>,
) -> Result<Response, Refusal> {
    tokens::require_policies(&value)?;
    let who = caller.clone();
    let set = move |edit: &Edit<'_>, _: &Means<'_>| {
        meant.require(&tag_of(&tokens::policies(edit, &id)?))?;
        // Without the old ones it may more.
        require_giver(&who, edit, &id)?;
        tokens::set_policies(edit, &id, &value)?;
        Ok(value)
    };
    let policies = admin.office.edit(&caller, set).await?;
    Ok(shown(&policies, &IfNoneMatch::default()))
}

/// Create a token that takes another's place, with the same terms, and show it, this once; the other
/// one ends by itself. Until then each of them has limits of its own; the caps and the quota of a month
/// are used up in the new one by as much as in the other by now, and from then on each counts for itself.
#[utoipa::path(
    post, path = "/v1/tokens/{id}/rotate", tag = "tokens",
    params(("id" = String, Path, description = "The public id of the old one")),
    request_body = Rotation,
    responses(
        (status = 201, description = "The new one was created", body = RotatedToken),
        (status = 409, description = "The old one is not good any more, or was rotated before"),
    ),
)]
async fn rotate_token(
    State(admin): State<Admin>,
    Operator(caller): Operator,
    Named(id): Named,
    key: IdempotencyKey,
    Json { value, raw }: Json<Rotation>,
) -> Result<Response, Refusal> {
    // Which token it is belongs to what is asked.
    let raw = [id.as_bytes(), b"\0", &raw[..]].concat().into();
    let asked = Create { key, path: "/v1/tokens/{id}/rotate", raw };
    let who = caller.clone();
    let make = move |edit: &Edit<'_>, means: &Means<'_>| -> Result<_, Refusal> {
        // The new one is shown, and may what the old one may.
        require_giver(&who, edit, &id)?;
        Ok(tokens::rotate(edit, means, &id, &value)?)
    };
    let made = create(&admin, &caller, asked, make).await?;
    Ok(created(&made, PATH, &made.id))
}

/// Revoke a token for good.
#[utoipa::path(
    post, path = "/v1/tokens/{id}/revoke", tag = "tokens",
    params(("id" = String, Path, description = "The public id")),
    responses((status = 200, description = "It is revoked", body = RevokedToken)),
)]
async fn revoke_token(
    State(admin): State<Admin>,
    Operator(caller): Operator,
    Named(id): Named,
) -> Result<Response, Refusal> {
    let revoke = move |edit: &Edit<'_>, _: &Means<'_>| Ok(tokens::revoke(edit, &id)?);
    Ok(json(StatusCode::OK, &admin.office.edit(&caller, revoke).await?))
}

/// The tag of what can be changed of a token: neither its use nor the time makes it another one.
fn tag_of_terms(token: &Token) -> String {
    tag_of(&Token { state: String::new(), ..token.clone() })
}

/// Refuses who may not give a token what it has.
fn require_giver(who: &Caller, edit: &Edit<'_>, id: &str) -> Result<(), Refusal> {
    who.require_owner(tokens::permissions(edit, id)?.takes_an_owner())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};

    use tokio::{spawn, task::yield_now};

    use super::*;
    use crate::{
        admin::tests::admin,
        auth::{
            role::Role,
            scopes::{Permission, PermissionSet},
        },
        tenants::{
            fixture::{Fixture, NOW},
            record::AdminTokenRecord,
        },
    };

    fn operator(store: &Fixture) -> Caller {
        Caller::from(AdminTokenRecord {
            id: "1".to_owned(),
            name: "bob".to_owned(),
            role: Role::Operator,
            mac: store.keyring.mac(b"bob's"),
            expires: None,
            created: NOW,
            revoked: None,
        })
    }

    #[tokio::test]
    async fn a_permission_that_is_given_meanwhile_is_not_shown_to_who_may_not_give_it() {
        let mut store = Fixture::new();
        let id = store.add("acme", "a key");
        let (admin, _pen) = admin(&crate::admin::Config::default(), &store);
        let bob = operator(&store);
        // The one turn that there is: whoever asks now waits, and is served in order.
        let (release, released) = mpsc::channel::<()>();
        let office = Arc::clone(&admin.office);
        let owner = Caller::configured();
        let held = {
            let (office, owner) = (Arc::clone(&office), owner.clone());
            spawn(async move {
                let hold = move |_: &Edit<'_>, _: &Means<'_>| {
                    let _ = released.recv();
                    Ok(())
                };
                office.edit(&owner, hold).await
            })
        };
        yield_now().await;
        let key = IdempotencyKey(None);
        let body = Json { value: Rotation::default(), raw: "{}".into() };
        let rotating =
            spawn(rotate_token(State(admin.clone()), Operator(bob), Named(id.clone()), key, body));
        yield_now().await;
        let given = id.clone();
        let setting = spawn(async move {
            let set = move |edit: &Edit<'_>, _: &Means<'_>| {
                let secrets = PermissionSet::from_iter([Permission::ReadSecrets]);
                Ok(edit.set_permissions(&given, secrets)?)
            };
            office.edit(&owner, set).await
        });
        yield_now().await;
        release.send(()).expect("it is held");
        assert!(held.await.expect("no panic").is_ok() && setting.await.expect("no panic").is_ok());
        let shown = rotating.await.expect("no panic").is_ok();
        let tokens = store.store.records().expect("read").tokens;
        let may = tokens.iter().filter(|token| token.id != id);
        let may = may.map(|token| token.terms.permissions.contains(Permission::ReadSecrets));
        assert_eq!((shown, may.collect::<Vec<_>>()), (true, vec![false]));
    }
}
