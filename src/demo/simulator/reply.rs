//! From what an action decided to the bytes and headers that Rails sends.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};

use super::auth::SESSION_COOKIE;
use super::rails::{Object, Style, Value, json, xml};
use super::secrets::fingerprint;
use crate::vocabulary::Format;

/// What an action decided.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) content: Option<Content>,
    /// Where the new resource stands, below the panel's own address.
    pub(crate) location: Option<String>,
    pub(crate) paging: Option<Paging>,
}

/// A document; its root has a name in XML alone.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) root: &'static str,
    pub(crate) value: Value,
}

/// Which part of a list is shown; sent when the request asked for one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Paging {
    pub(crate) page: usize,
    pub(crate) limit: usize,
    pub(crate) total: usize,
}

/// Why there is no answer.
#[derive(Debug, PartialEq)]
pub(crate) enum Refusal {
    /// What was sent cannot be read.
    BadRequest,
    /// Nobody known is asking.
    Unauthorized,
    Forbidden,
    /// There is no such route.
    NoRoute,
    /// There is no such record, or none that the reader may see.
    NotFound,
    /// No format that the panel could answer in was asked for.
    NotAcceptable,
    /// The record was refused: field and message.
    Invalid(&'static str, &'static str),
}

/// What goes out, before any fault.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// What the headers of a reply depend on besides what was decided.
pub(crate) struct Circumstances<'a> {
    pub(crate) method: &'a Method,
    pub(crate) request: &'a HeaderMap,
    pub(crate) varies: bool,
    pub(crate) origin: &'a str,
    pub(crate) session: &'a str,
    pub(crate) request_id: &'a str,
    /// Seconds, as text.
    pub(crate) runtime: &'a str,
}

impl Answer {
    pub(crate) fn ok(root: &'static str, value: Value) -> Self {
        let content = Some(Content { root, value });
        Self { status: StatusCode::OK, content, location: None, paging: None }
    }

    /// Accepted, to be processed later.
    pub(crate) fn scheduled(root: &'static str, value: Value) -> Self {
        Self { status: StatusCode::CREATED, ..Self::ok(root, value) }
    }

    pub(crate) fn created(location: String, root: &'static str, value: Value) -> Self {
        Self { location: Some(location), ..Self::scheduled(root, value) }
    }

    pub(crate) fn no_content() -> Self {
        Self { status: StatusCode::NO_CONTENT, content: None, location: None, paging: None }
    }
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NoRoute | Self::NotFound => StatusCode::NOT_FOUND,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::Invalid(..) => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }

    fn body(&self, format: Option<Format>) -> String {
        match (self, format) {
            (Self::NotAcceptable, _) => String::new(),
            (Self::Unauthorized, _) => "HTTP Basic: Access denied.\n".to_owned(),
            (_, None) => page(self.status()),
            (Self::Invalid(field, message), Some(Format::Xml)) => {
                let label = title(field);
                xml::messages([format!("{label} {message}").as_str()].into_iter())
            }
            (Self::Invalid(field, message), Some(Format::Json)) => {
                let fields = Object::from([(*field, Value::List(vec![(*message).into()]))]);
                json::write(&Object::from([("errors", fields.into())]).into(), Style::default())
            }
            (Self::BadRequest | Self::NoRoute, Some(format)) => {
                let status = self.status();
                let fields = Object::from([
                    ("status", i64::from(status.as_u16()).into()),
                    ("error", status.canonical_reason().unwrap_or("Error").into()),
                ]);
                write("hash", &fields.into(), format, Style::default())
            }
            (Self::Forbidden, Some(format)) => {
                messages("You do not have permissions for this action", format)
            }
            (Self::NotFound, Some(format)) => messages("Resource not found", format),
        }
    }
}

impl Reply {
    pub(crate) fn of_answer(
        answer: Answer,
        format: Format,
        style: Style,
        around: &Circumstances<'_>,
    ) -> Self {
        let body = answer.content.map(|c| write(c.root, &c.value, format, style));
        let has_body = body.is_some();
        let mut reply = Self::new(answer.status, body.unwrap_or_default(), around);
        if has_body {
            reply.set_type(Some(format));
        }
        if let Some(path) = answer.location {
            reply.set(header::LOCATION, &format!("{}{path}", around.origin));
        }
        if let Some(paging) = answer.paging {
            reply.set(HeaderName::from_static("x-page"), &paging.page.to_string());
            reply.set(HeaderName::from_static("x-limit"), &paging.limit.to_string());
            reply.set(HeaderName::from_static("x-total"), &paging.total.to_string());
        }
        if reply.status == StatusCode::OK {
            reply.set_tag(around);
        }
        reply
    }

    pub(crate) fn of_refusal(
        refusal: &Refusal,
        format: Option<Format>,
        around: &Circumstances<'_>,
    ) -> Self {
        let mut reply = Self::new(refusal.status(), refusal.body(format), around);
        let html = *refusal == Refusal::Unauthorized || reply.body.is_empty();
        reply.set_type(format.filter(|_| !html));
        if *refusal == Refusal::Unauthorized {
            let challenge = "Basic realm=\"OnApp API Authentication\"";
            reply.set(header::WWW_AUTHENTICATE, challenge);
        }
        reply
    }

    /// A page as the web server in front of Rails sends it, without any of Rails' headers.
    pub(crate) fn of_web_server(status: u16) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut reply = Self { status, headers: HeaderMap::new(), body: Bytes::from(page(status)) };
        reply.set(header::SERVER, SERVER);
        reply.set_type(None);
        reply
    }

    /// Sets a header whose value is known to be sound; what is not is left out.
    pub(crate) fn set(&mut self, name: HeaderName, value: &str) {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
    }

    pub(crate) fn set_type(&mut self, format: Option<Format>) {
        let value = match format {
            Some(Format::Json) => "application/json; charset=utf-8",
            Some(Format::Xml) => "application/xml; charset=utf-8",
            None => "text/html; charset=utf-8",
        };
        self.set(header::CONTENT_TYPE, value);
    }

    fn new(status: StatusCode, body: String, around: &Circumstances<'_>) -> Self {
        let mut reply = Self { status, headers: HeaderMap::new(), body: Bytes::from(body) };
        reply.set(header::SERVER, SERVER);
        reply.set(HeaderName::from_static("x-powered-by"), "Phusion Passenger 4.0.59");
        reply.set(HeaderName::from_static("x-request-id"), around.request_id);
        reply.set(HeaderName::from_static("x-runtime"), around.runtime);
        reply.set(header::CACHE_CONTROL, "no-cache");
        let cookie = format!("{SESSION_COOKIE}={}; path=/; HttpOnly", around.session);
        reply.set(header::SET_COOKIE, &cookie);
        if around.varies {
            reply.set(header::VARY, "Accept");
        }
        reply
    }

    /// The tag of what is shown; a reader that has it already gets a 304, but the work was done.
    fn set_tag(&mut self, around: &Circumstances<'_>) {
        let tag = format!("W/\"{}\"", fingerprint(&self.body));
        self.set(header::CACHE_CONTROL, "max-age=0, private, must-revalidate");
        self.set(header::ETAG, &tag);
        let is_read = matches!(*around.method, Method::GET | Method::HEAD);
        let known = around.request.get(header::IF_NONE_MATCH).and_then(|v| v.to_str().ok());
        if is_read && known.is_some_and(|known| tag_matches(known, &tag)) {
            self.status = StatusCode::NOT_MODIFIED;
            self.body = Bytes::new();
            self.headers.remove(header::CONTENT_TYPE);
        }
    }
}

const SERVER: &str = "Apache/2.2.15 (CentOS)";

fn tag_matches(known: &str, tag: &str) -> bool {
    let opaque = |t: &str| t.trim().trim_start_matches("W/").to_owned();
    known.trim() == "*" || known.split(',').any(|k| opaque(k) == opaque(tag))
}

fn write(root: &str, value: &Value, format: Format, style: Style) -> String {
    match format {
        Format::Json => json::write(value, style),
        Format::Xml => xml::write(root, value, style),
    }
}

fn messages(text: &str, format: Format) -> String {
    let texts = Value::List(vec![text.into()]);
    match format {
        Format::Json => json::write(&Object::from([("errors", texts)]).into(), Style::default()),
        Format::Xml => xml::write("errors", &texts, Style::default()),
    }
}

fn page(status: StatusCode) -> String {
    let reason = status.canonical_reason().unwrap_or("Error");
    let code = status.as_u16();
    format!(
        "<!DOCTYPE html>\n<html>\n<head><title>{reason} ({code})</title></head>\n\
         <body>\n<h1>{code} {reason}</h1>\n<p>Contact support.</p>\n</body>\n</html>\n"
    )
}

/// `primary_disk_size` becomes `Primary disk size`.
fn title(field: &str) -> String {
    let words = field.replace('_', " ");
    let mut chars = words.chars();
    chars.next().map(|c| c.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
