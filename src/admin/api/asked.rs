//! What a request asks for: its path, its query, its body and its conditions, read or refused in words.

use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts, Path, Query},
    http::{
        HeaderMap, HeaderName, Request, Uri,
        header::{CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH},
        request::Parts,
    },
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::{Deserialize, de::DeserializeOwned};
use utoipa::IntoParams;

use crate::{
    admin::{Admin, problem::Refusal},
    audit::chain::{BadPlace, Place},
    objects,
    operations::{Cursor, LIMIT_MAX, Page},
};

/// The last part of a path: a name, or an id.
pub(super) struct Named(pub(super) String);

/// A query.
pub(super) struct Asking<T>(pub(super) T);

/// A body of JSON.
pub(super) struct Json<T> {
    pub(super) value: T,
    /// As it came, to tell a repeated request from another.
    pub(super) raw: Bytes,
}

/// A body of JSON that may be as large as an import.
pub(super) struct Bulk<T> {
    pub(super) value: T,
    /// As it came.
    pub(super) raw: Bytes,
}

/// A body of JSON lines.
pub(super) struct Lines(pub(super) Bytes);

/// Which states of a resource are meant: all, or those of these tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct IfMatch(Option<String>);

/// Which states of a resource the client has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct IfNoneMatch(Option<String>);

/// What tells a repeated create from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IdempotencyKey(pub(super) Option<String>);

/// Which part of a list.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// How many items at most.
    #[serde(default)]
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u16>,
    /// What the part before gave as `next`.
    #[serde(default)]
    #[param(max_length = 128)]
    cursor: Option<String>,
}

/// Which part of the list of tokens.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TokensQuery {
    /// Those of one tenant alone.
    #[serde(default)]
    #[param(max_length = 64)]
    tenant: Option<String>,
    /// How many items at most.
    #[serde(default)]
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u16>,
    /// What the part before gave as `next`.
    #[serde(default)]
    #[param(max_length = 128)]
    cursor: Option<String>,
}

/// What the audit log is held against.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct VerifyQuery {
    /// A head that was kept elsewhere, `NUMBER:HASH` as an earlier answer had it.
    #[serde(default)]
    #[param(max_length = 128)]
    head: Option<String>,
}

/// How large a body may be, and what says so.
struct Bound {
    most: usize,
    key: &'static str,
}

const LIMIT: u16 = 100;

const KEY_MAX: usize = 255;

/// In characters. The largest cursor is of a name, and has 86 of them; the largest head has 85.
const CURSOR_MAX: usize = 128;
const HEAD_MAX: usize = 128;

const NAME_MAX: usize = 64;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

impl PageQuery {
    pub(super) fn page(&self) -> Result<Page, Refusal> {
        page(self.limit, self.cursor.as_deref())
    }
}

impl TokensQuery {
    /// The tenant, and which part.
    pub(super) fn read(self) -> Result<(Option<String>, Page), Refusal> {
        require_length("tenant", self.tenant.as_deref(), NAME_MAX)?;
        let page = page(self.limit, self.cursor.as_deref())?;
        Ok((self.tenant, page))
    }
}

impl VerifyQuery {
    pub(super) fn place(&self) -> Result<Option<Place>, Refusal> {
        require_length("head", self.head.as_deref(), HEAD_MAX)?;
        let bad = |bad: BadPlace| Refusal::Request(format!("head: {bad}"));
        self.head.as_deref().map(|head| head.parse().map_err(bad)).transpose()
    }
}

fn page(limit: Option<u16>, cursor: Option<&str>) -> Result<Page, Refusal> {
    let limit = limit.unwrap_or(LIMIT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Refusal::Request(format!("limit: expected a number from 1 to {LIMIT_MAX}")));
    }
    require_length("cursor", cursor, CURSOR_MAX)?;
    Ok(Page { limit, cursor: cursor.map(Cursor::parse).transpose()? })
}

fn require_length(name: &str, text: Option<&str>, most: usize) -> Result<(), Refusal> {
    if text.is_some_and(|text| text.chars().count() > most) {
        return Err(Refusal::Request(format!("{name}: expected at most {most} characters")));
    }
    Ok(())
}

impl FromRequestParts<Admin> for Named {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, admin: &Admin) -> Result<Self, Refusal> {
        let path = Path::<String>::from_request_parts(parts, admin).await;
        let Path(name) = path.map_err(|_| Refusal::Request("the path is not UTF-8".to_owned()))?;
        without_nul(&parts.uri)?;
        Ok(Self(name))
    }
}

impl<T: DeserializeOwned> FromRequestParts<Admin> for Asking<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &Admin) -> Result<Self, Refusal> {
        without_nul(&parts.uri)?;
        let read = Query::<T>::try_from_uri(&parts.uri);
        let Query(query) = read.map_err(|error| Refusal::Request(error.body_text()))?;
        Ok(Self(query))
    }
}

/// No name of ours has one, and PostgreSQL has no place for it.
fn without_nul(uri: &Uri) -> Result<(), Refusal> {
    let found = uri.path_and_query().is_some_and(|target| target.as_str().contains("%00"));
    if found { Err(Refusal::Request("the target has a NUL".to_owned())) } else { Ok(()) }
}

impl<T: DeserializeOwned> FromRequest<Admin> for Json<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request<Body>, admin: &Admin) -> Result<Self, Refusal> {
        let (value, raw) = read_json(request, Bound::body(admin)).await?;
        Ok(Self { value, raw })
    }
}

impl<T: DeserializeOwned> FromRequest<Admin> for Bulk<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request<Body>, admin: &Admin) -> Result<Self, Refusal> {
        let (value, raw) = read_json(request, Bound::import(admin)).await?;
        Ok(Self { value, raw })
    }
}

/// Reads a body of JSON; also as it came.
async fn read_json<T: DeserializeOwned>(
    request: Request<Body>,
    bound: Bound,
) -> Result<(T, Bytes), Refusal> {
    const WANT: &str = "application/json";
    let is_json = |kind: &str| kind == WANT || kind.ends_with("+json");
    require_type(request.headers(), is_json, WANT)?;
    let raw = read(request.into_body(), bound).await?;
    // Nothing of ours has one, and PostgreSQL has no place for it.
    if memchr::memmem::find(&raw, br"\u0000").is_some() {
        return Err(Refusal::Body("JSON with a NUL in it".to_owned()));
    }
    let value = objects::from_json(&raw).map_err(|error| Refusal::Body(refused(&error)))?;
    Ok((value, raw))
}

impl FromRequest<Admin> for Lines {
    type Rejection = Refusal;

    async fn from_request(request: Request<Body>, admin: &Admin) -> Result<Self, Refusal> {
        const WANT: &str = "application/x-ndjson";
        let are_lines = |kind: &str| [WANT, "text/plain"].contains(&kind);
        require_type(request.headers(), are_lines, WANT)?;
        read(request.into_body(), Bound::import(admin)).await.map(Self)
    }
}

fn refused(error: &serde_json::Error) -> String {
    let what = if error.is_data() { "not what is asked for" } else { "no JSON" };
    format!("{what}: {error}")
}

/// A body without a type is taken for what is wanted.
fn require_type(
    headers: &HeaderMap,
    is_wanted: impl Fn(&str) -> bool,
    want: &'static str,
) -> Result<(), Refusal> {
    let Some(kind) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let essence = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    if is_wanted(&essence) { Ok(()) } else { Err(Refusal::MediaType(want)) }
}

async fn read(body: Body, Bound { most, key }: Bound) -> Result<Bytes, Refusal> {
    let body = Limited::new(body, most).collect().await.map_err(|error| {
        let too_large = error.is::<LengthLimitError>();
        if too_large { Refusal::TooLarge { most, key } } else { Refusal::Broken }
    })?;
    Ok(body.to_bytes())
}

impl Bound {
    fn body(admin: &Admin) -> Self {
        Self { most: admin.max_body, key: "admin.max_body" }
    }

    fn import(admin: &Admin) -> Self {
        Self { most: admin.max_import, key: "admin.max_import" }
    }
}

impl IfMatch {
    /// Refuses if a resource whose tag this is, is not meant.
    pub(super) fn require(&self, tag: &str) -> Result<(), Refusal> {
        match &self.0 {
            Some(tags) if !names(tags, tag, false) => Err(Refusal::Changed(tag.to_owned())),
            Some(_) | None => Ok(()),
        }
    }
}

impl IfNoneMatch {
    /// Whether the client has what this tag is of.
    pub(super) fn has(&self, tag: &str) -> bool {
        self.0.as_ref().is_some_and(|tags| names(tags, tag, true))
    }
}

/// Whether a list of tags names one; our own have no comma in them.
fn names(tags: &str, tag: &str, weak_too: bool) -> bool {
    tags.split(',').map(str::trim).any(|named| {
        let named = if weak_too { named.trim_start_matches("W/") } else { named };
        named == "*" || named == tag
    })
}

macro_rules! of_a_header {
    ($($type:ident from $header:expr;)*) => {$(
        impl FromRequestParts<Admin> for $type {
            type Rejection = Refusal;

            async fn from_request_parts(parts: &mut Parts, _: &Admin) -> Result<Self, Refusal> {
                text(&parts.headers, &$header).map(Self)
            }
        }
    )*};
}

of_a_header! {
    IfMatch from IF_MATCH;
    IfNoneMatch from IF_NONE_MATCH;
}

impl FromRequestParts<Admin> for IdempotencyKey {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &Admin) -> Result<Self, Refusal> {
        let key = text(&parts.headers, &IDEMPOTENCY_KEY)?;
        if key.as_ref().is_some_and(|key| !(1..=KEY_MAX).contains(&key.len())) {
            let want = format!("{IDEMPOTENCY_KEY}: expected 1 to {KEY_MAX} characters");
            return Err(Refusal::Request(want));
        }
        Ok(Self(key))
    }
}

/// All of the values of a header, as one list.
fn text(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, Refusal> {
    let values = headers.get_all(name).iter().map(|value| value.to_str());
    let values: Result<Vec<&str>, _> = values.collect();
    let values = values.map_err(|_| Refusal::Request(format!("{name}: expected ASCII")))?;
    Ok((!values.is_empty()).then(|| values.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_named_by_itself_or_by_a_star() {
        let given = |tags: &str| IfMatch(Some(tags.to_owned()));
        for tags in ["*", "\"a\"", "\"b\", \"a\""] {
            assert!(given(tags).require("\"a\"").is_ok(), "{tags}");
        }
        for tags in ["\"b\"", "a", "W/\"a\"", ""] {
            assert!(given(tags).require("\"a\"").is_err(), "{tags}");
        }
        assert!(IfMatch(None).require("\"a\"").is_ok());
        assert!(IfNoneMatch(Some("W/\"a\"".to_owned())).has("\"a\""));
        assert!(!IfNoneMatch(None).has("\"a\""));
    }
}
