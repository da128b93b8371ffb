//! What a request is answered with: JSON, with the tag of what it shows; and what creates have answered,
//! kept for whoever asks again.

use aws_lc_rs::digest::{SHA256, digest};
use axum::{
    http::{
        HeaderValue, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, LOCATION},
    },
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use super::asked::{IdempotencyKey, IfNoneMatch};
use crate::{
    admin::{Admin, access::Caller, problem::Refusal},
    auth::{
        data_key::Binding,
        keyring::{Keyring, Mac},
    },
    operations::{Means, OperationError},
    tenants::store::{Edit, Kept, Store, StoreError, View},
};

/// How a create is asked for.
pub(super) struct Create {
    /// What tells it from another.
    pub(super) key: IdempotencyKey,
    /// The path that it is asked under.
    pub(super) path: &'static str,
    /// The body.
    pub(super) raw: Bytes,
}

/// What a create is known by: the caller's key, and the request.
struct Print {
    id: String,
    request: String,
}

/// Why an edit ends without a change, which nobody has to follow then.
enum Unmade<T> {
    /// It was made before, and this was said.
    Before(T),
    Refused(Refusal),
}

impl Create {
    /// None where nobody wishes to be answered again.
    fn print(&self, keyring: &Keyring, caller: &Caller) -> Option<Print> {
        let key = self.key.0.as_deref()?;
        let id = hex(&keyring.mac(&joined(&["answer", &caller.actor().to_string(), key])));
        let body = [joined(&["request", self.path]), self.raw.to_vec()].concat();
        Some(Print { id, request: hex(&keyring.mac(&body)) })
    }

    /// What is an edit only the first time; later it says what was said then, and changes nothing.
    pub(super) fn once<T, E, M>(
        &self,
        admin: &Admin,
        caller: &Caller,
        make: M,
    ) -> impl FnOnce(&mut Store, &Means<'_>, i64) -> Result<T, Refusal> + Send + use<T, E, M>
    where
        T: Serialize + DeserializeOwned,
        M: FnOnce(&Edit<'_>, &Means<'_>) -> Result<T, E> + Send,
        Refusal: From<E>,
    {
        let (seconds, most) = admin.office.replays();
        let print = self.print(admin.office.keyring(), caller);
        move |store, means, now| {
            let make = |edit: &Edit<'_>| make(edit, means).map_err(Refusal::from);
            let Some(print) = print else { return store.edit(now, make) };
            let keyring = means.vault.keyring;
            let change = |edit: &Edit<'_>| {
                if let Some(answer) = print.answered(edit, keyring)? {
                    return Err(Unmade::Before(answer));
                }
                let made = make(edit)?;
                let kept = print.kept(&made, keyring)?;
                edit.keep_answer(&print.id, kept, now.saturating_add(seconds), most)?;
                Ok(made)
            };
            match store.edit(now, change) {
                Ok(made) | Err(Unmade::Before(made)) => Ok(made),
                Err(Unmade::Refused(refusal)) => Err(refusal),
            }
        }
    }
}

impl Print {
    /// What was answered to it, if that is still kept.
    fn answered<T: DeserializeOwned>(
        &self,
        view: &View<'_>,
        keyring: &Keyring,
    ) -> Result<Option<T>, Refusal> {
        match view.kept_answer(&self.id)? {
            Some(kept) if kept.request == self.request => {
                opened(&kept, &self.id, keyring).map(Some)
            }
            Some(_) => Err(Refusal::KeyReused),
            None => Ok(None),
        }
    }

    /// What is kept of an answer to it.
    fn kept(&self, answer: &impl Serialize, keyring: &Keyring) -> Result<Kept, Refusal> {
        let answer = Zeroizing::new(written(answer));
        let sealed = keyring.answer_key().seal(&answer, Binding { row: ANSWER, origin: &self.id });
        Ok(Kept { request: self.request.clone(), sealed: sealed.map_err(OperationError::from)? })
    }
}

impl<T> From<Refusal> for Unmade<T> {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl<T> From<StoreError> for Unmade<T> {
    fn from(error: StoreError) -> Self {
        Self::Refused(error.into())
    }
}

/// An answer.
pub(in crate::admin) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], written(value)).into_response()
}

/// What stands there, with its tag; nothing to whoever has it already.
pub(super) fn shown(value: &impl Serialize, has: &IfNoneMatch) -> Response {
    let tag = tag_of(value);
    let response = if has.has(&tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        json(StatusCode::OK, value)
    };
    tagged(response, tag)
}

/// With a tag.
pub(super) fn tagged(mut response: Response, tag: String) -> Response {
    let tag = HeaderValue::try_from(tag).expect("a tag is ASCII");
    response.headers_mut().insert(ETAG, tag);
    response
}

/// The strong tag of what is shown of a resource.
pub(super) fn tag_of(value: &impl Serialize) -> String {
    let digest = digest(&SHA256, &written(value));
    let digits = digest.as_ref()[..16].iter().map(|byte| format!("{byte:02x}"));
    format!("\"{}\"", digits.collect::<String>())
}

/// What has a secret in it, shown once and kept by nobody on the way.
pub(super) fn unkept(status: StatusCode, value: &impl Serialize) -> Response {
    let mut response = json(status, value);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What was created, and where it is.
pub(super) fn created(value: &impl Serialize, path: &str, name: &str) -> Response {
    let mut response = unkept(StatusCode::CREATED, value);
    // Names and ids are of letters, digits and what needs no escape in a path.
    if let Ok(place) = HeaderValue::try_from(format!("{path}/{name}")) {
        response.headers_mut().insert(LOCATION, place);
    }
    response
}

/// What was said to the same create before, for whoever does something else before it is done.
pub(super) async fn answered<T: DeserializeOwned + Send + 'static>(
    admin: &Admin,
    caller: &Caller,
    asked: &Create,
) -> Result<Option<T>, Refusal> {
    let Some(print) = asked.print(admin.office.keyring(), caller) else { return Ok(None) };
    let look = move |store: &mut Store, means: &Means<'_>, now| {
        store.view(now, |view| print.answered(view, means.vault.keyring))
    };
    admin.office.work(caller, look).await
}

/// Creates something; or says once more what was said to the same request before.
pub(super) async fn create<T, E>(
    admin: &Admin,
    caller: &Caller,
    asked: Create,
    make: impl FnOnce(&Edit<'_>, &Means<'_>) -> Result<T, E> + Send + 'static,
) -> Result<T, Refusal>
where
    T: Serialize + DeserializeOwned + Send + 'static,
    E: 'static,
    Refusal: From<E>,
{
    admin.office.work(caller, asked.once(admin, caller, make)).await
}

/// A row that no credential has, so that an answer never opens in the place of a secret.
const ANSWER: i64 = 0;

fn opened<T: DeserializeOwned>(kept: &Kept, id: &str, keyring: &Keyring) -> Result<T, Refusal> {
    // What was sealed with other keys, or kept by another version, is no answer to repeat.
    let answer = keyring.answer_key().open(&kept.sealed, Binding { row: ANSWER, origin: id });
    let answer = answer.map_err(|_| Refusal::KeyReused)?;
    serde_json::from_slice(&answer).map_err(|_| Refusal::KeyReused)
}

fn joined(parts: &[&str]) -> Vec<u8> {
    parts.iter().flat_map(|part| part.bytes().chain([0])).collect()
}

fn hex(mac: &Mac) -> String {
    mac.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn written(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("strings and numbers always serialize")
}
