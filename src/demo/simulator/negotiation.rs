//! Which format a reply has: the suffix beats `?format=`, which beats Accept.

use super::params::Params;
use super::target::Target;
use crate::vocabulary::Format;

/// What Rails settled on before the action ran.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Negotiated {
    /// None is the panel's own page, which the simulator does not have.
    pub(crate) format: Option<Format>,
    /// Whether Accept decided, so that a cache must tell its values apart.
    pub(crate) varies: bool,
}

/// The rules of Rails 6.1.
pub(crate) fn negotiate(target: &Target, params: &Params, accept: Option<&str>) -> Negotiated {
    let named = target.suffix.clone().or_else(|| params.text("format"));
    if let Some(name) = named {
        let format = match name.as_str() {
            "json" => Some(Format::Json),
            "xml" => Some(Format::Xml),
            _ => None,
        };
        return Negotiated { format, varies: false };
    }
    match accept.map(str::trim).filter(|a| !a.is_empty() && !is_browser_like(a)) {
        Some(accept) => Negotiated { format: first_known(accept), varies: true },
        None => Negotiated { format: None, varies: false },
    }
}

/// A list with `*/*` in it says nothing clear.
fn is_browser_like(accept: &str) -> bool {
    accept.contains(',') && accept.split(',').any(|t| t.trim().starts_with("*/*"))
}

/// The first type of the list that a browserless client may mean, by weight, then by order.
fn first_known(accept: &str) -> Option<Format> {
    let mut types: Vec<(f32, &str)> = accept
        .split(',')
        .map(|entry| {
            let (name, rest) = entry.split_once(';').unwrap_or((entry, ""));
            let weight = rest.split(';').find_map(|p| p.trim().strip_prefix("q=")?.parse().ok());
            (weight.unwrap_or(1.0), name.trim())
        })
        .collect();
    types.sort_by(|a, b| b.0.total_cmp(&a.0));
    let first = types.into_iter().find_map(|(_, name)| match name {
        "application/json" | "text/x-json" | "application/jsonrequest" => Some(Some(Format::Json)),
        "application/xml" | "text/xml" | "application/x-xml" => Some(Some(Format::Xml)),
        "text/html" | "application/xhtml+xml" | "*/*" => Some(None),
        _ => None,
    });
    first.flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &str, accept: Option<&str>, format: Option<Format>, varies: bool) {
        let target = Target::parse(raw).expect("a target");
        let params = Params::collect(&target.query, false, None, b"").expect("parameters");
        let expected = Negotiated { format, varies };
        assert_eq!(negotiate(&target, &params, accept), expected, "{raw} {accept:?}");
    }

    #[test]
    fn the_suffix_beats_the_parameter_which_beats_accept() {
        check("/a.xml?format=json", Some("application/json"), Some(Format::Xml), false);
        check("/a?format=xml", Some("application/json"), Some(Format::Xml), false);
        check("/a", Some("application/json"), Some(Format::Json), true);
    }

    #[test]
    fn what_is_not_clear_is_no_format() {
        check("/a", None, None, false);
        check("/a", Some("*/*"), None, true);
        check("/a", Some("application/json, */*;q=0.1"), None, false);
        check("/a.JSON", Some("application/json"), None, false);
        check("/a/1%2ejson", Some("*/*"), None, true);
        check("/a?format=yaml", Some("application/json"), None, false);
        check("/a", Some("image/png"), None, true);
    }

    #[test]
    fn a_list_is_read_by_weight() {
        check("/a", Some("text/xml;q=0.5, application/json"), Some(Format::Json), true);
        check("/a", Some("image/png, application/xml"), Some(Format::Xml), true);
    }
}
