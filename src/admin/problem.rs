//! Why something was not done, as problem details (RFC 9457).
//!
//! The kind of a problem is its `type`; each has one status and one title. What is particular stands
//! in `detail`, and where there are several things to say, each stands in `errors`.

use std::time::Duration;

use axum::{
    http::{
        HeaderValue, StatusCode,
        header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use self::kinds::{of_operation, of_store};
use crate::{
    auth::role::Role,
    closed,
    dry_run::DryRunError,
    error_chain::error_chain,
    formats,
    operations::OperationError,
    purge::{PurgeError, SelectorError},
    settings::{self, Origin},
    tenants::{import, secret::BadSecret, store::StoreError},
    transcode::errors::PROBLEM_JSON,
    vocabulary::Closed as _,
};

mod kinds;

closed! {
    /// What kind of problem it is.
    pub enum Kind {
        /// 400.
        BadRequest => "bad-request",
        /// 401.
        Unauthorized => "unauthorized",
        /// 403.
        Forbidden => "forbidden",
        /// 404.
        NotFound => "not-found",
        /// 405.
        MethodNotAllowed => "method-not-allowed",
        /// 409.
        Conflict => "conflict",
        /// 412.
        Changed => "changed",
        /// 413.
        TooLarge => "too-large",
        /// 415.
        MediaType => "media-type",
        /// 422.
        Invalid => "invalid",
        /// 422.
        Untaken => "untaken",
        /// 422.
        Untested => "untested",
        /// 422.
        KeyReused => "idempotency-key-reused",
        /// 429.
        TooMany => "too-many-wrong-tokens",
        /// 503, where nobody knows whether it was done.
        Unsettled => "unsettled",
        /// 503.
        Unavailable => "unavailable",
    }
}

/// Problem details (RFC 9457).
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// The kind, which `GET /v1/problems` lists.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// The status.
    pub status: u16,
    /// What is wrong.
    pub detail: String,
    /// All that is wrong, each by itself.
    pub errors: Vec<String>,
    /// Where in the body each of these is, as a JSON Pointer (RFC 6901); left out where that is not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub pointers: Vec<String>,
}

/// A kind of problem.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ProblemKind {
    /// What stands in a problem's `type`.
    #[serde(rename = "type")]
    pub kind: String,
    /// It in words.
    pub title: String,
    /// The status that comes with it.
    pub status: u16,
}

/// Why somebody was not served.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No token is presented.
    #[error(
        "this takes an admin token, and none is presented: `tollgate --offline admin-token create` \
         makes one, and commands present what admin.token_file in the configuration or {} has",
        super::token::VARIABLE
    )]
    NoToken,
    /// The token is none of ours.
    #[error("the admin token is wrong, or has been revoked or has expired")]
    WrongToken,
    /// The same, too often from one address.
    #[error("the admin token is wrong, as too many from this address were")]
    WrongTokens(Duration),
    /// The token is good for less.
    #[error("this takes an admin token of the role {needed}, and the one presented is of {has}",
        needed = needed.as_str(), has = has.as_str())]
    Role {
        /// What it takes.
        needed: Role,
        /// What was presented.
        has: Role,
    },
    /// The target or a header cannot be read.
    #[error("{0}")]
    Request(String),
    /// There is nothing under the path.
    #[error("there is nothing here; /v1/openapi.json says what there is elsewhere")]
    NoRoute,
    /// Something is under the path, but not for the method.
    #[error("this is not done to what stands here")]
    Method,
    /// The body is not JSON of the kind that is asked for.
    #[error("the body is {0}")]
    Body(String),
    /// The body broke off.
    #[error("the body broke off")]
    Broken,
    /// The body is larger than is read.
    #[error("the body has more than {most} bytes, which {key} in the configuration allows")]
    TooLarge {
        /// How much is.
        most: usize,
        /// What says so.
        key: &'static str,
    },
    /// The body is of another type.
    #[error("the body is to be {0}")]
    MediaType(&'static str),
    /// It is not what it was when it was looked at.
    #[error("it has changed since: its ETag is {0} now")]
    Changed(String),
    /// The key stands for another request.
    #[error("this Idempotency-Key was used for another request")]
    KeyReused,
    /// The upstream was asked about a secret, and says that it is not good.
    #[error("nothing was stored: {0}")]
    Untaken(String),
    /// The upstream was asked about a secret, and does not say whether it is good.
    #[error("nothing was stored: {0}")]
    Untested(String),
    /// No request has this id.
    #[error("{0:?} is no request id: those have 16 hexadecimal digits")]
    NoId(String),
    /// The request is not remembered.
    #[error(
        "the request {0} is not remembered: it was never made here, or more came since than \
         explain.decisions in the configuration says"
    )]
    Forgotten(String),
    /// An operation was refused.
    #[error(transparent)]
    Operation(#[from] OperationError),
    /// An import was refused.
    #[error(transparent)]
    Import(#[from] import::ImportError),
    /// Selectors that make no sense.
    #[error(transparent)]
    Selectors(#[from] SelectorError),
    /// A purge of what there is not.
    #[error(transparent)]
    Purge(#[from] PurgeError),
    /// A dry run of what there is not.
    #[error(transparent)]
    DryRun(#[from] DryRunError),
    /// Maps that are none.
    #[error(transparent)]
    Maps(#[from] formats::ImportError),
    /// One at a time.
    #[error("somebody else has the audit log verified now")]
    Verifying,
    /// What is done would have to be written down, and there is no room for it.
    #[error(
        "nothing was done: the audit log waits for the store, and nothing can be added to it now"
    )]
    Unwritten,
    /// The store did not answer in time, or others wait for it.
    #[error("the store did not answer in time; what was asked for may still be done")]
    Late,
}

/// After so many seconds it may be tried again.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

impl Kind {
    /// The status that comes with it.
    pub fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict => StatusCode::CONFLICT,
            Self::Changed => StatusCode::PRECONDITION_FAILED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Invalid | Self::Untaken | Self::Untested | Self::KeyReused => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::Unsettled | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// It in words.
    pub fn title(self) -> &'static str {
        match self {
            Self::BadRequest => "The request cannot be read",
            Self::Unauthorized => "An admin token is needed",
            Self::Forbidden => "The admin token is not good for this",
            Self::NotFound => "There is no such thing",
            Self::MethodNotAllowed => "This cannot be done to it",
            Self::Conflict => "What there is stands against it",
            Self::Changed => "It has changed since it was looked at",
            Self::TooLarge => "The body is too large",
            Self::MediaType => "The body is of a wrong type",
            Self::Invalid => "What is asked for makes no sense",
            Self::Untaken => "The upstream does not take the credential",
            Self::Untested => {
                "The upstream does not say whether it takes the credential; with \"test\": false it is \
                 stored untested"
            }
            Self::KeyReused => "The Idempotency-Key was used for another request",
            Self::TooMany => "Too many wrong admin tokens came from this address",
            Self::Unsettled => {
                "The store does not say in time whether it was done; it may have been"
            }
            Self::Unavailable => "The store cannot be asked now",
        }
    }

    /// What stands in a problem's `type`.
    pub fn uri(self) -> String {
        format!("/v1/problems#{}", self.as_str())
    }
}

impl Problem {
    /// All there is to say, in lines.
    pub fn report(&self) -> String {
        let others = self.errors.iter().filter(|error| **error != self.detail);
        std::iter::once(&self.detail).chain(others).cloned().collect::<Vec<_>>().join("\n  ")
    }
}

impl ProblemKind {
    /// Every kind.
    pub fn all() -> Vec<Self> {
        let shown = |kind: &Kind| Self {
            kind: kind.uri(),
            title: kind.title().to_owned(),
            status: kind.status().as_u16(),
        };
        Kind::ALL.iter().map(shown).collect()
    }
}

impl Refusal {
    /// What kind of problem it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::NoToken | Self::WrongToken => Kind::Unauthorized,
            Self::WrongTokens(_) => Kind::TooMany,
            Self::Role { .. } => Kind::Forbidden,
            Self::Request(_) | Self::Body(_) | Self::Broken | Self::NoId(_) => Kind::BadRequest,
            Self::NoRoute | Self::Forgotten(_) | Self::Purge(_) => Kind::NotFound,
            Self::Method => Kind::MethodNotAllowed,
            Self::TooLarge { .. } => Kind::TooLarge,
            Self::MediaType(_) => Kind::MediaType,
            Self::Changed(_) => Kind::Changed,
            Self::KeyReused => Kind::KeyReused,
            Self::Untaken(_) => Kind::Untaken,
            Self::Untested(_) => Kind::Untested,
            Self::Operation(error) => of_operation(error),
            Self::Import(import::ImportError::Store(error)) => of_store(error),
            Self::DryRun(DryRunError::NoToken(_)) => Kind::NotFound,
            Self::Import(_) | Self::Selectors(_) | Self::DryRun(_) | Self::Maps(_) => Kind::Invalid,
            Self::Late => Kind::Unsettled,
            Self::Verifying | Self::Unwritten => Kind::Unavailable,
        }
    }

    /// Everything to be said of it.
    pub fn problem(&self) -> Problem {
        let kind = self.kind();
        let detail = match kind {
            // What the database says is for the log alone.
            Kind::Unsettled | Kind::Unavailable => self.to_string(),
            _ => error_chain(self),
        };
        let mut pointers = Vec::new();
        let errors = match self {
            Self::Import(import::ImportError::Lines(bad)) => {
                bad.iter().map(ToString::to_string).collect()
            }
            Self::Operation(OperationError::Undeclarable(problems)) => {
                pointers = problems.iter().map(pointer).collect();
                problems.iter().map(ToString::to_string).collect()
            }
            _ => vec![detail.clone()],
        };
        Problem {
            kind: kind.uri(),
            title: kind.title().to_owned(),
            status: kind.status().as_u16(),
            detail,
            errors,
            pointers,
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Operation(error.into())
    }
}

impl From<BadSecret> for Refusal {
    fn from(error: BadSecret) -> Self {
        Self::Operation(error.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let kind = self.kind();
        if kind.status() == StatusCode::SERVICE_UNAVAILABLE {
            tracing::warn!(reason = error_chain(&self), "an operator was not served");
        }
        let wait = if let Self::WrongTokens(wait) = self {
            // Rounded up, so that nobody who waits as long comes too early.
            HeaderValue::from(wait.as_secs() + 1)
        } else {
            RETRY_AFTER_SECONDS
        };
        let text = serde_json::to_string(&self.problem()).expect("strings always serialize");
        let mut response = (kind.status(), [(CONTENT_TYPE, PROBLEM_JSON)], text).into_response();
        let headers = response.headers_mut();
        match kind {
            Kind::Unauthorized => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Kind::Unsettled | Kind::Unavailable | Kind::TooMany => {
                headers.insert(RETRY_AFTER, wait);
            }
            _ => {}
        }
        response
    }
}

fn pointer(problem: &settings::Problem) -> String {
    match &problem.origin {
        Some(Origin::Pointer(pointer)) => pointer.clone(),
        Some(Origin::Line(_) | Origin::Environment(_)) | None => String::new(),
    }
}
