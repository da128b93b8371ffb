//! Who may do more on this listener than read metrics: whoever presents the admin token.

use std::fmt::Display;

use axum::{
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};

use super::{Admin, token::VARIABLE};

/// The body of a refusal.
#[derive(Debug, Serialize, Deserialize)]
pub struct Refused {
    /// Why, in words.
    pub errors: Vec<String>,
}

/// Why somebody may not.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(super) enum Denied {
    #[error(
        "this server has no admin token: set admin.token_file in the configuration, or {VARIABLE}, \
         and start it anew"
    )]
    NoToken,
    #[error("the admin token is missing or wrong")]
    WrongToken,
}

impl Denied {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::NoToken => StatusCode::FORBIDDEN,
            Self::WrongToken => StatusCode::UNAUTHORIZED,
        }
    }
}

/// Lets in whoever presents the token.
pub(super) fn admit(admin: &Admin, headers: &HeaderMap) -> Result<(), Denied> {
    let token = admin.token.as_ref().ok_or(Denied::NoToken)?;
    let right = bearer(headers).is_some_and(|presented| token.is(presented));
    if right { Ok(()) } else { Err(Denied::WrongToken) }
}

/// What stands behind `Bearer` in the one `Authorization`.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.as_bytes().split_at_checked("bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// An answer.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let text = serde_json::to_string(value).expect("strings and numbers always serialize");
    (status, [(CONTENT_TYPE, "application/json")], text).into_response()
}

/// A refusal.
pub(super) fn refused(status: StatusCode, why: &impl Display) -> Response {
    let mut response = json(status, &Refused { errors: vec![why.to_string()] });
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}
