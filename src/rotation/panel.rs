//! What is asked of the panel about keys, and what its answers mean.
//!
//! What an answer holds is a secret until it is known not to be: it is read within a bound, looked at
//! for the few members that are needed, and dropped. Nothing of it is logged.

use std::sync::Arc;

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, StatusCode, Uri,
    header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION},
};
use http_body_util::{BodyExt as _, Limited};
use serde_json::Value;

use crate::{
    net::{
        server::ClientBody,
        upstream::{Upstream, UpstreamError, never},
    },
    tenants::course::Listed,
    transcode::{
        forced::to_json,
        tree::Bounds,
        xml::{self, Mixed},
    },
    vocabulary::{Closed as _, Format, UpstreamCause},
};

/// The way to a panel.
#[derive(Clone)]
pub struct Panel {
    /// The connections.
    pub pool: Arc<Upstream<ClientBody>>,
    /// The one format that it has, if it has not both.
    pub only_format: Option<Format>,
}

/// What a panel answered.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    body: Option<Value>,
}

/// A user, as it sees itself or is seen by an administrator.
pub(super) struct Profile {
    pub(super) id: u64,
    pub(super) email: Option<String>,
    /// The key that is shown.
    pub(super) main: Option<String>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Silence {
    /// The panel cannot have been asked.
    NotAsked,
    /// It may have been.
    Unknown,
}

/// An answer about keys that is larger than this is not read.
const MAX_REPLY: usize = 1 << 20;

impl Panel {
    /// Scheme, host and port.
    pub fn origin(&self) -> String {
        self.pool.origin().to_string()
    }

    /// Who a credential is.
    pub(super) async fn profile(&self, who: &HeaderValue) -> Result<Reply, Silence> {
        self.ask(Method::GET, "/profile", who).await
    }

    /// A user by its number.
    pub(super) async fn user(&self, user: u64, who: &HeaderValue) -> Result<Reply, Silence> {
        self.ask(Method::GET, &format!("/users/{user}"), who).await
    }

    /// The further keys of a user.
    pub(super) async fn keys(&self, user: u64, who: &HeaderValue) -> Result<Reply, Silence> {
        self.ask(Method::GET, &format!("/users/{user}/user_api_keys"), who).await
    }

    /// Makes a further key.
    pub(super) async fn add(&self, user: u64, who: &HeaderValue) -> Result<Reply, Silence> {
        self.ask(Method::POST, &format!("/users/{user}/user_api_keys/generate"), who).await
    }

    /// Makes another key of the profile.
    pub(super) async fn replace(&self, user: u64, who: &HeaderValue) -> Result<Reply, Silence> {
        self.ask(Method::POST, &format!("/users/{user}/make_new_api_key"), who).await
    }

    /// Removes a further key.
    pub(super) async fn remove(
        &self,
        user: u64,
        key: u64,
        who: &HeaderValue,
    ) -> Result<Reply, Silence> {
        self.ask(Method::DELETE, &format!("/users/{user}/user_api_keys/{key}"), who).await
    }

    async fn ask(&self, method: Method, path: &str, who: &HeaderValue) -> Result<Reply, Silence> {
        let format = self.only_format.unwrap_or(Format::Json);
        let name = format.as_str();
        let uri: Uri = format!("{path}.{name}").parse().map_err(|_| Silence::NotAsked)?;
        let accept = HeaderValue::try_from(format!("application/{name}"));
        let accept = accept.map_err(|_| Silence::NotAsked)?;
        let mut request = Request::new(ClientBody::empty());
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(ACCEPT, accept);
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(AUTHORIZATION, who.clone());
        let sent = self.pool.exchange(UpstreamCause::Rotation, request, || (), never).await;
        let (head, body) = sent.map_err(|error| Silence::of(&error))?.into_parts();
        let body = Limited::new(body, MAX_REPLY).collect().await;
        let body = body.map_err(|_| Silence::Unknown)?.to_bytes();
        Ok(Reply { status: head.status, body: document(format, &body) })
    }
}

impl Silence {
    fn of(error: &UpstreamError) -> Self {
        if error.provably_not_sent() { Self::NotAsked } else { Self::Unknown }
    }
}

impl Reply {
    /// Whether the panel did what it was asked for.
    pub(super) fn is_good(&self) -> bool {
        self.status.is_success()
    }

    /// Whether the panel said no to this, and does so the next time: it did nothing.
    pub(super) fn is_refused(&self) -> bool {
        let busy = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
        self.status.is_client_error() && !busy.contains(&self.status)
    }

    /// The user that is shown.
    pub(super) fn shown_user(&self) -> Option<Profile> {
        let user = self.body.as_ref().map(unwrapped)?;
        Some(Profile {
            id: number(user.get("id")?)?,
            email: user.get("email").and_then(Value::as_str).map(str::to_owned),
            main: text(user.get("api_key")),
        })
    }

    /// The keys that are listed; none if it is no list.
    pub(super) fn listed(&self) -> Option<Vec<Listed>> {
        let items = match self.body.as_ref()? {
            Value::Array(items) => items,
            // What XML calls a list is one, whatever its root is.
            Value::Object(root) => root.values().next()?.as_array()?,
            _ => return None,
        };
        let key = |item: &Value| {
            let key = unwrapped(item);
            Some((number(key.get("id")?)?, key_in(key)))
        };
        items.iter().map(key).collect()
    }

    /// The key that was made.
    pub(super) fn key(&self) -> Option<String> {
        match self.body.as_ref()? {
            Value::String(raw) => text(Some(&Value::String(raw.clone()))),
            body => key_in(body).or_else(|| key_in(unwrapped(body))),
        }
    }
}

fn document(format: Format, body: &Bytes) -> Option<Value> {
    match format {
        Format::Json => serde_json::from_slice(body).ok(),
        Format::Xml => {
            let tree = xml::read(body, Mixed::Refused, Bounds::REPLY).ok()?;
            serde_json::from_str(&to_json(&tree)).ok()
        }
    }
}

/// What stands in the one member of an object that is an object itself.
fn unwrapped(value: &Value) -> &Value {
    match value.as_object().filter(|object| object.len() == 1) {
        Some(object) => object.values().find(|inner| inner.is_object()).unwrap_or(value),
        None => value,
    }
}

fn key_in(value: &Value) -> Option<String> {
    text(value.get("api_key").or_else(|| value.get("key")))
}

/// What can be a key: a text, and not what a panel shows in its place.
fn text(value: Option<&Value>) -> Option<String> {
    let text = value?.as_str()?;
    (!text.is_empty() && !text.contains('*')).then(|| text.to_owned())
}

fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(body: &str) -> Reply {
        let body = Bytes::copy_from_slice(body.as_bytes());
        Reply { status: StatusCode::OK, body: document(Format::Json, &body) }
    }

    #[test]
    fn a_key_is_found_however_it_is_wrapped() {
        for body in [
            r#"{"api_key":"abc"}"#,
            r#"{"user_api_key":{"id":7,"api_key":"abc"}}"#,
            r#"{"user":{"id":1,"api_key":"abc","roles":[]}}"#,
            r#"{"user_api_key":{"key":"abc"}}"#,
            r#""abc""#,
        ] {
            assert_eq!(reply(body).key().as_deref(), Some("abc"), "{body}");
        }
        for body in [r#"{"api_key":"0a9f****"}"#, r#"{"api_key":""}"#, "{}", "[]", "<p>", " "] {
            assert_eq!(reply(body).key(), None, "{body}");
        }
    }

    #[test]
    fn a_list_has_numbers_and_perhaps_keys() {
        let body = r#"[{"user_api_key":{"id":1,"api_key":"abc"}},{"user_api_key":{"id":2}}]"#;
        let listed = reply(body).listed().expect("a list");
        assert_eq!(listed, [(1, Some("abc".to_owned())), (2, None)]);
        assert_eq!(reply("[]").listed(), Some(Vec::new()));
        assert_eq!(reply(r#"{"errors":["no"]}"#).listed(), None);
    }
}
