//! What a request really does: reads, writes, and POSTs that Rack turns into something else.
//!
//! Rack runs a POST as another method when `X-HTTP-Method-Override` or a form field `_method` says
//! so. Policy and invalidation must judge the method that will run, so:
//!
//! 1. The header is taken here and never passed on; PUT, PATCH and DELETE become the method that
//!    is sent.
//! 2. A body that Rack would parse as a form is looked into. What it names is judged as that
//!    method; the body itself goes on byte for byte.
//! 3. What Rack versions read differently (`;` as a separator, `_method` inside multipart, two
//!    values, a method that is not a write) is refused.

use http::{HeaderMap, HeaderName, Method, header::CONTENT_TYPE};

use super::target::decoded_parameter;

/// The header that Rack takes a method from; the second spelling is the same name to CGI.
static OVERRIDE_HEADERS: [HeaderName; 2] = [
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x_http_method_override"),
];

/// Why an override is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OverrideError {
    /// Not PUT, PATCH or DELETE, or on another method than POST.
    #[error("a method override can only turn a POST into PUT, PATCH or DELETE")]
    NotAWrite,
    /// Header and body, or two fields, name different methods.
    #[error("the request overrides its method more than once")]
    Repeated,
    /// Rack versions would read the body differently.
    #[error("the body contains _method in a form that can be read in two ways")]
    Ambiguous,
}

/// Whether nothing changes upstream when the method runs.
pub fn is_read(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}

/// The method that a header overrides to, if one does (rule 1).
pub fn header_override(
    method: &Method,
    headers: &HeaderMap,
) -> Result<Option<Method>, OverrideError> {
    let mut values = headers.iter().filter(|(name, _)| OVERRIDE_HEADERS.contains(name));
    let Some((_, first)) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(OverrideError::Repeated);
    }
    if method != Method::POST {
        // Rack looks at the header of a POST only.
        return Ok(None);
    }
    let text = first.to_str().map_err(|_| OverrideError::NotAWrite)?;
    overriding(text)
}

/// Whether Rack would parse the body of this POST as a form.
pub fn may_hide_override(method: &Method, headers: &HeaderMap) -> bool {
    if method != Method::POST {
        return false;
    }
    let Some(value) = headers.get(CONTENT_TYPE) else { return true };
    let value = String::from_utf8_lossy(value.as_bytes());
    let essence = value.split([';', ',']).next().unwrap_or("").trim().to_ascii_lowercase();
    essence.is_empty()
        || essence == "application/x-www-form-urlencoded"
        || essence.starts_with("multipart/")
}

/// The method that a form body overrides to, if it does (rules 2 and 3).
pub fn body_override(headers: &HeaderMap, body: &[u8]) -> Result<Option<Method>, OverrideError> {
    let content_type = headers.get(CONTENT_TYPE).map_or(&b""[..], |v| v.as_bytes());
    if content_type.trim_ascii_start().to_ascii_lowercase().starts_with(b"multipart/") {
        let lower = body.to_ascii_lowercase();
        let named = memchr::memmem::find(&lower, b"_method").is_some() || has_quoted_pair(&lower);
        // A name in multipart can be encoded in ways that versions of Rack disagree on.
        let encoded = memchr::memmem::find(body, b"filename*").is_some()
            || memchr::memmem::find(body, b"name*").is_some();
        return if named || encoded { Err(OverrideError::Ambiguous) } else { Ok(None) };
    }
    let text = String::from_utf8_lossy(body);
    let by_ampersand = last_method(text.split('&'))?;
    let by_either = last_method(text.split(['&', ';']))?;
    if by_ampersand != by_either {
        return Err(OverrideError::Ambiguous);
    }
    by_ampersand.map_or(Ok(None), |m| overriding(&m))
}

/// Whether the head of a part has a backslash: Rack takes it out of a name.
fn has_quoted_pair(lower: &[u8]) -> bool {
    const NAME: &[u8] = b"content-disposition";
    let heads = memchr::memmem::find_iter(lower, NAME).map(|at| &lower[at..]);
    let mut heads = heads.map(|rest| {
        let ends = [&b"\r\n\r\n"[..], b"\n\n"].map(|end| memchr::memmem::find(rest, end));
        &rest[..ends.into_iter().flatten().min().unwrap_or(rest.len())]
    });
    heads.any(|head| head.contains(&b'\\'))
}

fn last_method<'a>(pairs: impl Iterator<Item = &'a str>) -> Result<Option<String>, OverrideError> {
    let mut found: Option<String> = None;
    for pair in pairs {
        if let Some(value) = decoded_parameter(pair.trim(), "_method") {
            let value = value.trim().to_ascii_uppercase();
            if found.replace(value.clone()).is_some_and(|before| before != value) {
                return Err(OverrideError::Repeated);
            }
        }
    }
    Ok(found)
}

fn overriding(text: &str) -> Result<Option<Method>, OverrideError> {
    match text.trim().to_ascii_uppercase().as_str() {
        "" | "POST" => Ok(None),
        "PUT" => Ok(Some(Method::PUT)),
        "PATCH" => Ok(Some(Method::PATCH)),
        "DELETE" => Ok(Some(Method::DELETE)),
        _ => Err(OverrideError::NotAWrite),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(k, v)| (k.parse().expect("a name"), v.parse().expect("a value")))
            .collect()
    }

    fn body(content_type: &str, body: &str) -> Result<Option<Method>, OverrideError> {
        let headers = match content_type {
            "" => HeaderMap::new(),
            value => headers(&[("content-type", value)]),
        };
        body_override(&headers, body.as_bytes())
    }

    #[test]
    fn a_header_overrides_a_post_into_a_write() {
        let with = |v: &str| headers(&[("x-http-method-override", v)]);
        let post = &Method::POST;
        assert_eq!(header_override(post, &with("delete")), Ok(Some(Method::DELETE)));
        assert_eq!(header_override(post, &with("POST")), Ok(None));
        assert_eq!(header_override(post, &with("GET")), Err(OverrideError::NotAWrite));
        assert_eq!(header_override(&Method::GET, &with("DELETE")), Ok(None));
        let underscored = headers(&[("x_http_method_override", "PUT")]);
        assert_eq!(header_override(post, &underscored), Ok(Some(Method::PUT)));
        let both = headers(&[("x_http_method_override", "PUT"), ("x-http-method-override", "PUT")]);
        assert_eq!(header_override(post, &both), Err(OverrideError::Repeated));
    }

    #[test]
    fn only_what_rack_parses_is_looked_into() {
        let may = |v: &str| may_hide_override(&Method::POST, &headers(&[("content-type", v)]));
        assert!(may_hide_override(&Method::POST, &HeaderMap::new()));
        assert!(may("application/x-www-form-urlencoded; charset=utf-8"));
        assert!(may("Multipart/Form-Data; boundary=x"));
        assert!(!may("application/json"));
        assert!(!may_hide_override(&Method::PUT, &HeaderMap::new()));
    }

    #[test]
    fn a_form_field_overrides() {
        let form = "application/x-www-form-urlencoded";
        assert_eq!(body(form, "a=1&_method=delete"), Ok(Some(Method::DELETE)));
        assert_eq!(body("", "%5Fmethod=PUT"), Ok(Some(Method::PUT)));
        assert_eq!(body("", "_%6dethod=PU%54"), Ok(Some(Method::PUT)));
        assert_eq!(body(form, "[_method]=delete"), Ok(Some(Method::DELETE)));
        assert_eq!(body(form, "%5B_method%5D=delete"), Ok(Some(Method::DELETE)));
        assert_eq!(body(form, "_method]=delete"), Ok(Some(Method::DELETE)));
        assert_eq!(body(form, "a=_method&b=2"), Ok(None));
        assert_eq!(body(form, "_method=delete&_method=put"), Err(OverrideError::Repeated));
        assert_eq!(body(form, "a=1;_method=delete"), Err(OverrideError::Ambiguous));
        assert_eq!(body(form, "_method=get"), Err(OverrideError::NotAWrite));
    }

    #[test]
    fn multipart_with_an_override_is_refused() {
        let form = "multipart/form-data; boundary=x";
        let part = "--x\r\nContent-Disposition: form-data; name=\"_method\"\r\n\r\nDELETE\r\n--x--";
        assert_eq!(body(form, part), Err(OverrideError::Ambiguous));
        let quoted = part.replace("_method", "_\\method");
        assert_eq!(body(form, &quoted), Err(OverrideError::Ambiguous));
        let mut odd = HeaderMap::new();
        let value = http::HeaderValue::from_bytes(b"multipart/form-data; boundary=x; a=\xff");
        odd.insert(CONTENT_TYPE, value.expect("a header value"));
        assert!(may_hide_override(&Method::POST, &odd));
        assert_eq!(body_override(&odd, part.as_bytes()), Err(OverrideError::Ambiguous));
        assert_eq!(body(form, "--x\r\nname=\"file\"\r\n\r\ndata\r\n--x--"), Ok(None));
    }
}
