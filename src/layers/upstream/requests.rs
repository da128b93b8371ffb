//! What is sent to the upstream, with its credential.

use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Uri,
    header::{
        self, ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, IF_NONE_MATCH, USER_AGENT,
    },
};

use crate::{
    api::method::is_read, cache::key::Key, call::Exchange, net::hop_by_hop,
    net::server::ClientBody, tenants::snapshot::Credential, vocabulary::Format,
};

/// Headers of a client that are passed on.
static PASSED_ON: [HeaderName; 6] = [
    header::ACCEPT_LANGUAGE, // Rails translates messages by it
    header::IF_MATCH,        // conditions are the upstream's to judge where we keep nothing
    IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
    USER_AGENT, // an operator of the panel looks for it in its log
];

/// Those that ask about a state.
static CONDITIONS: [HeaderName; 4] =
    [header::IF_MATCH, IF_NONE_MATCH, header::IF_MODIFIED_SINCE, header::IF_UNMODIFIED_SINCE];

const TOLLGATE: HeaderValue =
    HeaderValue::from_static(concat!("tollgate/", env!("CARGO_PKG_VERSION")));
const IDENTITY: HeaderValue = HeaderValue::from_static("identity");
const ANYTHING: HeaderValue = HeaderValue::from_static("*/*");
const HTTPS: HeaderValue = HeaderValue::from_static("https");

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// A fill: made from its key alone.
pub(super) fn fill_request(
    key: &Key,
    credential: &Credential,
    condition: Option<&HeaderValue>,
) -> Request<ClientBody> {
    let mut request = Request::new(ClientBody::empty());
    *request.uri_mut() = Uri::from(key.target().clone());
    let headers = request.headers_mut();
    headers.insert(ACCEPT, key.format().map_or(ANYTHING, media_type));
    headers.insert(ACCEPT_ENCODING, IDENTITY);
    headers.insert(USER_AGENT, TOLLGATE);
    if let Some(tag) = condition {
        headers.insert(IF_NONE_MATCH, tag.clone());
    }
    headers.insert(AUTHORIZATION, credential.authorization.clone());
    request
}

/// A request that is passed on. Where something may be hidden of its reply, the conditions of a read are
/// not: whoever may ask whether the whole has this tag can guess what was hidden. Those of a write are
/// what it depends on.
pub(super) fn forward_request(
    exchange: Exchange,
    credential: &Credential,
    hides: bool,
) -> Request<ClientBody> {
    let uri = Uri::from(exchange.upstream_target().clone());
    let Exchange { call, format, .. } = exchange;
    let mut client = call.request;
    // The body was judged by its type: that one goes on, and no other, whatever `Connection` names.
    let judged_by = client.headers.get(CONTENT_TYPE).cloned();
    hop_by_hop::strip(&mut client.headers);
    // A type without a body makes Rails parse nothing as something.
    let bare = is_read(&client.method) && http_body::Body::is_end_stream(&client.body);
    let mut request = Request::new(client.body);
    *request.method_mut() = client.method;
    *request.uri_mut() = uri;
    let hides = hides && is_read(request.method());
    let mut headers = HeaderMap::with_capacity(PASSED_ON.len() + 7);
    for name in PASSED_ON.iter().filter(|name| !(hides && CONDITIONS.contains(name))) {
        for value in client.headers.get_all(name) {
            headers.append(name, value.clone());
        }
    }
    if let Some(value) = judged_by.filter(|_| !bare) {
        headers.insert(CONTENT_TYPE, value);
    }
    let accept = match format {
        Some(format) => media_type(format),
        None => client.headers.get(ACCEPT).cloned().unwrap_or(ANYTHING),
    };
    headers.insert(ACCEPT, accept);
    headers.insert(ACCEPT_ENCODING, IDENTITY);
    if let Ok(address) = HeaderValue::from_str(&client.record.client.to_string()) {
        headers.insert(&X_FORWARDED_FOR, address);
        headers.insert(&X_FORWARDED_PROTO, HTTPS);
    }
    headers.insert(AUTHORIZATION, credential.authorization.clone());
    *request.headers_mut() = headers;
    request
}

fn media_type(format: Format) -> HeaderValue {
    match format {
        Format::Json => HeaderValue::from_static("application/json"),
        Format::Xml => HeaderValue::from_static("application/xml"),
    }
}
