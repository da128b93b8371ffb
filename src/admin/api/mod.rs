//! The API of operators: everything that the command line does, as JSON over HTTP.
//!
//! 1. A handler says in its arguments which role it takes, and nothing of a request is read before
//!    that is settled.
//! 2. A list is given in parts. A single thing has a strong ETag; `If-Match` makes a change depend on
//!    it, in the transaction of the change. A create with an `Idempotency-Key` is done once.
//! 3. Whatever is refused is problem details (RFC 9457).
//! 4. The document at `/v1/openapi.json` is made of the handlers, and a test holds them to it.

use axum::{Router, http::StatusCode, routing::get};
use utoipa_axum::router::OpenApiRouter;

use self::answered::json;
use super::{
    Admin,
    problem::{ProblemKind, Refusal},
};

mod admin_tokens;
mod answered;
mod asked;
mod audit;
pub mod cache;
mod credentials;
mod declaration;
mod document;
pub mod explain;
pub mod formats;
mod import;
mod tenants;
mod tokens;
mod upstreams;
mod vault;

/// Where the document is.
const DOCUMENT: &str = "/v1/openapi.json";

/// What is served below `/v1`.
pub(super) fn router() -> Router<Admin> {
    let (router, document) = documented().split_for_parts();
    let document = document::finished(document);
    router
        .route(DOCUMENT, get(async move || json(StatusCode::OK, &document)))
        .route("/v1/problems", get(async || json(StatusCode::OK, &ProblemKind::all())))
}

/// The routes with what they say of themselves.
fn documented() -> OpenApiRouter<Admin> {
    [
        tenants::router(),
        credentials::router(),
        tokens::router(),
        declaration::router(),
        admin_tokens::router(),
        upstreams::router(),
        vault::router(),
        audit::router(),
        import::router(),
        cache::router(),
        explain::router(),
        formats::router(),
    ]
    .into_iter()
    .fold(OpenApiRouter::new(), OpenApiRouter::merge)
}

/// What is under no path.
pub(super) async fn nowhere() -> Refusal {
    Refusal::NoRoute
}

/// What is under a path, but not for the method.
pub(super) async fn no_method() -> Refusal {
    Refusal::Method
}
