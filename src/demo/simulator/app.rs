//! The panel's application: from a request that has been read to a reply, in Rails' order.

use http::{HeaderMap, Method, header};
use tokio::time::Instant;

use super::auth::authenticate;
use super::negotiation::{Negotiated, negotiate};
use super::panel::Panel;
use super::params::Params;
use super::rails::Style;
use super::reply::{Answer, Circumstances, Refusal, Reply};
use super::routes::{self, Route};
use super::target::Target;
use super::views::Reader;

/// A request, read whole.
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a Method,
    pub(crate) target: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
}

/// What an action works with.
pub(crate) struct Call<'a> {
    pub(crate) panel: &'a mut Panel,
    pub(crate) now: Instant,
    pub(crate) reader: Reader,
    /// What stands in the path where the route has a `:name`, in order.
    pub(crate) path: Vec<String>,
    pub(crate) params: Params,
}

/// What an action comes to.
pub(crate) type Outcome = Result<Answer, Refusal>;

/// Answers one request.
pub(crate) fn respond(panel: &mut Panel, asked: &Asked<'_>, origin: &str, now: Instant) -> Reply {
    panel.settle(now);
    let user = authenticate(panel, asked.headers);
    let method = effective_method(asked);
    let mut negotiated = Negotiated { format: None, varies: false };
    let outcome = act(panel, asked, &method, user, now, &mut negotiated);
    let account = user.and_then(|id| panel.account(id));
    let style =
        Style { zone_minutes: account.map_or(0, |a| a.zone_minutes), dialect: panel.dialect };
    let session = account.map(|a| a.session.clone());
    let session = session.unwrap_or_else(|| panel.secrets.hex(32));
    let request_id = panel.secrets.hex(32);
    let runtime = format!("{:.6}", now.elapsed().as_secs_f64() + 0.000_1);
    let around = Circumstances {
        method: &method,
        request: asked.headers,
        varies: negotiated.varies,
        origin,
        session: &session,
        request_id: &request_id,
        runtime: &runtime,
    };
    match (outcome, negotiated.format) {
        (Ok(answer), Some(format)) => Reply::of_answer(answer, format, style, &around),
        (Ok(_), None) => Reply::of_refusal(&Refusal::NotAcceptable, None, &around),
        (Err(refusal), format) => Reply::of_refusal(&refusal, format, &around),
    }
}

fn act(
    panel: &mut Panel,
    asked: &Asked<'_>,
    method: &Method,
    user: Option<u64>,
    now: Instant,
    negotiated: &mut Negotiated,
) -> Outcome {
    let target = Target::parse(asked.target).map_err(|_| Refusal::BadRequest)?;
    let accept = text(asked.headers, &header::ACCEPT);
    *negotiated = negotiate(&target, &Params::default(), accept);
    let (route, path) = route(method, &target)?;
    let params = params(asked, &target)?;
    *negotiated = negotiate(&target, &params, accept);
    let account = user.and_then(|id| panel.account(id).map(|account| (id, account)));
    let (user, account) = account.ok_or(Refusal::Unauthorized)?;
    let reader = Reader { user, admin: account.admin };
    if route.admin_only && !reader.admin {
        return Err(Refusal::Forbidden);
    }
    if negotiated.format.is_none() {
        return Err(Refusal::NotAcceptable);
    }
    (route.action)(&mut Call { panel, now, reader, path, params })
}

fn route(method: &Method, target: &Target) -> Result<(&'static Route, Vec<String>), Refusal> {
    // Rails runs the GET action for a HEAD, and PATCH and PUT reach the same one.
    let method = match *method {
        Method::HEAD => "GET",
        Method::PATCH => "PUT",
        ref other => other.as_str(),
    };
    routes::find(method, &target.segments).ok_or(Refusal::NoRoute)
}

fn params(asked: &Asked<'_>, target: &Target) -> Result<Params, Refusal> {
    let kind = text(asked.headers, &header::CONTENT_TYPE);
    let is_post = *asked.method == Method::POST;
    let found = Params::collect(&target.query, is_post, kind, asked.body);
    let mut params = found.map_err(|_| Refusal::BadRequest)?;
    for (name, value) in &target.paging {
        params.set(name, value);
    }
    Ok(params)
}

/// Rack reads another method from a POST's form or header; a form's word counts more.
fn effective_method(asked: &Asked<'_>) -> Method {
    if *asked.method != Method::POST {
        return asked.method.clone();
    }
    let kind = text(asked.headers, &header::CONTENT_TYPE);
    let wanted = Params::method_override(kind, asked.body).or_else(|| header_override(asked));
    let known = ["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH", "LINK", "UNLINK"];
    let wanted = wanted.filter(|name| known.contains(&name.as_str()));
    wanted.and_then(|name| name.parse().ok()).unwrap_or(Method::POST)
}

/// CGI names headers with underscores, so Rack cannot tell the two spellings apart.
fn header_override(asked: &Asked<'_>) -> Option<String> {
    let named = |name: &str| name.replace('_', "-") == "x-http-method-override";
    let (_, value) = asked.headers.iter().find(|(name, _)| named(name.as_str()))?;
    value.to_str().ok().map(str::to_ascii_uppercase)
}

fn text<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
