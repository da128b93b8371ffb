//! `/v1/declaration`: tenants, credentials and tokens as one declaration, planned and applied as a whole.
//!
//! The tag is that of the whole store, as a plan shows it: whoever gives it with `If-Match` applies what
//! was planned, or nothing. What only an owner may by single calls, takes an owner here as well; that
//! includes to compare a login, a secret or a key with what is stored.

use std::collections::BTreeMap;

use axum::{
    extract::State,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{ACCEPT, CONTENT_TYPE, VARY},
    },
    response::{IntoResponse as _, Response},
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::{Instant, timeout};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    answered::{Create, answered, json, tagged, unkept},
    asked::{Bulk, IdempotencyKey, IfMatch, IfNoneMatch},
    credentials::try_out,
};
use crate::{
    admin::{
        Admin,
        access::{Caller, Operator, Owner},
        problem::Refusal,
    },
    operations::{
        Means,
        declaration::{self, AppliedDeclaration, ApplyRequest, DeclarationPlan, schema},
    },
    tenants::{
        declared::{Exported, Plan},
        store::{Edit, Store, View},
    },
    trial::AT_ONCE,
};

/// Where a declaration is applied.
const APPLY: &str = "/v1/declaration/apply";

/// The type of a file.
const TOML: &str = "application/toml";

pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new()
        .routes(routes!(export_declaration))
        .routes(routes!(plan_declaration))
        .routes(routes!(apply_declaration))
}

/// Declare what the store has, without secrets.
///
/// The logins of credentials stand in it. As `application/toml` it is a file for `tollgate apply`.
#[utoipa::path(
    get, path = "/v1/declaration", tag = "declaration",
    responses(
        (
            status = 200, description = "The declaration",
            content((schema::Declaration = "application/json"), (String = "application/toml")),
        ),
        (status = 304, description = "It is what If-None-Match says"),
    ),
)]
async fn export_declaration(
    State(admin): State<Admin>,
    Owner(caller): Owner,
    has: IfNoneMatch,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let as_file = headers.get_all(ACCEPT).iter().any(is_of_toml);
    let export = move |store: &mut Store, means: &Means<'_>, now| {
        store.view(now, |view| {
            let tag = tag(view.revision()?, as_file);
            if has.has(&tag) {
                return Ok((tag, StatusCode::NOT_MODIFIED.into_response()));
            }
            let shown = |exported: &Exported<'_>| match as_file {
                true => ([(CONTENT_TYPE, TOML)], exported.to_toml()).into_response(),
                false => json(StatusCode::OK, &exported.to_json()),
            };
            Ok((tag, declaration::export(view, means, shown)?))
        })
    };
    let (tag, response) = admin.office.work_alone(&caller, export).await?;
    let mut response = tagged(response, tag);
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

/// Say what there is to do so that the store is as declared.
///
/// It takes an owner where the declaration names logins, secrets or keys of clients.
#[utoipa::path(
    post, path = "/v1/declaration/plan", tag = "declaration",
    request_body = ApplyRequest,
    responses((
        status = 200, description = "What there is to do", body = DeclarationPlan,
        headers(("ETag" = String, description = "The strong tag of the store that it was made from")),
    )),
)]
async fn plan_declaration(
    State(admin): State<Admin>,
    Operator(caller): Operator,
    Bulk { value, .. }: Bulk<ApplyRequest>,
) -> Result<Response, Refusal> {
    let (by, largest) = (caller.clone(), admin.max_import);
    let plan = move |store: &mut Store, means: &Means<'_>, now| {
        store.view(now, |view| {
            let plan = planned(view, means, &by, value, largest)?;
            Ok((view.revision()?, DeclarationPlan::of(&plan, false)))
        })
    };
    let (revision, plan) = admin.office.work_alone(&caller, plan).await?;
    Ok(tagged(json(StatusCode::OK, &plan), tag(revision, false)))
}

/// Make the store as declared, whole or not at all, and show the tokens that are made, this once.
///
/// It takes an owner where the declaration names logins, secrets or keys of clients, or something is done
/// to a credential, or a token has permissions that only an owner gives.
#[utoipa::path(
    post, path = "/v1/declaration/apply", tag = "declaration",
    params((
        "Idempotency-Key" = Option<String>, Header,
        description = "A text of your choice, up to 255 characters: what is repeated with it is done \
                       once, and answered as the first time for some minutes",
    )),
    request_body = ApplyRequest,
    responses(
        (status = 200, description = "What was done", body = AppliedDeclaration),
        (status = 409, description = "What there is stands against it"),
        (status = 412, description = "The store is not what If-Match says"),
    ),
)]
async fn apply_declaration(
    State(admin): State<Admin>,
    Operator(caller): Operator,
    meant: IfMatch,
    key: IdempotencyKey,
    Bulk { value, raw }: Bulk<ApplyRequest>,
) -> Result<Response, Refusal> {
    let asked = Create { key, path: APPLY, raw };
    // What was stored the first time was tested then.
    if let Some(before) = answered::<AppliedDeclaration>(&admin, &caller, &asked).await? {
        return Ok(unkept(StatusCode::OK, &before));
    }
    if value.test != Some(false) && !value.secrets.is_empty() {
        try_all(&admin, &caller, value.clone()).await?;
    }
    let (by, largest) = (caller.clone(), admin.max_import);
    let make = move |edit: &Edit<'_>, means: &Means<'_>| -> Result<AppliedDeclaration, Refusal> {
        // This edit has counted on already.
        meant.require(&tag(edit.revision()? - 1, false))?;
        let plan = planned(edit, means, &by, value, largest)?;
        by.require_owner(plan.takes_an_owner())?;
        Ok(declaration::apply(edit, means, &plan)?)
    };
    let apply = asked.once(&admin, &caller, make);
    let applied = admin.office.work_alone(&caller, apply).await?;
    Ok(unkept(StatusCode::OK, &applied))
}

/// Asks upstreams, a few at a time, whether they take what would be stored for them. All of it is done in
/// the time of one operation, or whoever asks would never be answered.
async fn try_all(admin: &Admin, caller: &Caller, asked: ApplyRequest) -> Result<(), Refusal> {
    let (begun, patience) = (Instant::now(), admin.office.patience());
    let (by, largest) = (caller.clone(), admin.max_import);
    let secrets = move |store: &mut Store, means: &Means<'_>, now| {
        store.view(now, |view| {
            let plan = planned(view, means, &by, asked, largest)?;
            by.require_owner(plan.takes_an_owner())?;
            let secrets = plan.secrets().map(|(name, upstream, secret)| {
                (name.to_owned(), upstream.to_owned(), secret.authorization())
            });
            Ok(secrets.collect::<Vec<_>>())
        })
    };
    let secrets = admin.office.work_alone(caller, secrets).await?;
    let (count, mut tested) = (secrets.len(), 0_usize);
    let mut of_upstreams: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for (name, upstream, authorization) in secrets {
        let trial = try_named(admin, name, upstream.clone(), authorization);
        of_upstreams.entry(upstream).or_default().push(trial);
    }
    // One upstream that is slow keeps no other waiting.
    let trials = of_upstreams.into_values().map(|one| stream::iter(one).buffer_unordered(AT_ONCE));
    let mut trials = stream::select_all(trials);
    let all = async {
        while let Some(()) = trials.try_next().await? {
            tested += 1;
        }
        Ok(())
    };
    timeout(patience.saturating_sub(begun.elapsed()), all).await.unwrap_or_else(|_| {
        let why = format!(
            "{tested} of {count} secrets were tested within {} ms, which is what \
             admin.operation_timeout in the configuration allows, and has to be shorter than \
             admin.exchange_timeout",
            patience.as_millis()
        );
        Err(Refusal::Untested(why))
    })
}

async fn try_named(
    admin: &Admin,
    name: String,
    upstream: String,
    authorization: HeaderValue,
) -> Result<(), Refusal> {
    let tried = try_out(admin, &upstream, authorization).await;
    let named = |why: String| format!("credential {name}: {why}");
    tried.map_err(|refusal| match refusal {
        Refusal::Untaken(why) => Refusal::Untaken(named(why)),
        Refusal::Untested(why) => Refusal::Untested(named(why)),
        other => other,
    })
}

fn planned(
    view: &View<'_>,
    means: &Means<'_>,
    caller: &Caller,
    asked: ApplyRequest,
    largest: usize,
) -> Result<Plan, Refusal> {
    let prune = asked.prune;
    let (declaration, problems) = asked.read(largest);
    caller.require_owner(declaration.has_secrets())?;
    Ok(declaration::plan(view, means, (declaration, problems), prune)?)
}

/// The strong tag of the store in a revision, as JSON or as a file.
fn tag(revision: i64, as_file: bool) -> String {
    format!("\"{revision}{}\"", if as_file { "-toml" } else { "" })
}

fn is_of_toml(accept: &HeaderValue) -> bool {
    accept.to_str().is_ok_and(|kinds| {
        let mut kinds = kinds.split(',').map(|kind| kind.split(';').next().unwrap_or_default());
        kinds.any(|kind| kind.trim().eq_ignore_ascii_case(TOML))
    })
}
