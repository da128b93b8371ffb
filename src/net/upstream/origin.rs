//! Where an upstream is: scheme, host and port, parsed once from what the operator wrote.

use std::{fmt, net::IpAddr};

use http::{HeaderValue, Uri};
use rustls_pki_types::ServerName;

/// Scheme, host and port of an upstream; two that are equal are the same place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// How it is spoken to.
    pub scheme: Scheme,
    /// Its name or address.
    pub host: Host,
    /// Its port, the scheme's own if none was written.
    pub port: u16,
}

/// With TLS or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Without.
    Http,
    /// With.
    Https,
}

/// A name or an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A DNS name in lower case.
    Name(String),
    /// An address.
    Ip(IpAddr),
}

/// Why a text is not the URL of an upstream. The text is not repeated: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// Nothing was written.
    #[error("is missing; write https://HOST or https://HOST:PORT")]
    Missing,
    /// It does not parse.
    #[error("is not a URL of the form https://HOST or https://HOST:PORT")]
    NotAUrl,
    /// Another scheme than the two.
    #[error("must begin with https:// or http://")]
    Scheme,
    /// A user or a password before the host.
    #[error("must not contain a user or password; credentials are kept in the store")]
    UserInfo,
    /// Not a name and not an address.
    #[error("has no valid host name or address")]
    Host,
    /// Not a number from 1 to 65535.
    #[error("has a port that is not a number from 1 to 65535")]
    Port,
    /// Something behind the host.
    #[error("must end with the host and port: no path, query or fragment")]
    Path,
}

impl Origin {
    /// Reads `scheme://host[:port][/]`.
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        if text.is_empty() {
            return Err(OriginError::Missing);
        }
        if text.contains('#') {
            return Err(OriginError::Path);
        }
        let uri: Uri = text.parse().map_err(|_| OriginError::NotAUrl)?;
        let scheme = match uri.scheme_str() {
            Some("https") => Scheme::Https,
            Some("http") => Scheme::Http,
            Some(_) => return Err(OriginError::Scheme),
            None => return Err(OriginError::NotAUrl),
        };
        let authority = uri.authority().ok_or(OriginError::Host)?;
        if authority.as_str().contains('@') {
            return Err(OriginError::UserInfo);
        }
        if uri.path_and_query().is_some_and(|rest| rest.as_str() != "/") {
            return Err(OriginError::Path);
        }
        let port = match authority.port_u16() {
            Some(0) => return Err(OriginError::Port),
            Some(port) => port,
            None if authority.as_str() == authority.host() => scheme.default_port(),
            None => return Err(OriginError::Port),
        };
        Ok(Self { scheme, host: Host::parse(authority.host())?, port })
    }

    /// What the `Host` header says: without the port if it is the scheme's own.
    pub fn host_header(&self) -> HeaderValue {
        let host = if self.port == self.scheme.default_port() {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        };
        HeaderValue::try_from(host).expect("a parsed host has no control characters")
    }

    /// The name that the certificate has to bear.
    pub(super) fn server_name(&self) -> ServerName<'static> {
        match &self.host {
            Host::Ip(address) => ServerName::from(*address),
            Host::Name(name) => {
                ServerName::try_from(name.clone()).expect("the name was parsed as a DNS name")
            }
        }
    }
}

impl fmt::Display for Origin {
    /// `https://host:port`, always with the port.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme, self.host, self.port)
    }
}

impl Scheme {
    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
        })
    }
}

impl Host {
    /// Whether it can only be this machine.
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Name(name) => name == "localhost",
            Self::Ip(address) => address.is_loopback(),
        }
    }

    fn parse(text: &str) -> Result<Self, OriginError> {
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse() {
            return Ok(Self::Ip(address));
        }
        match ServerName::try_from(text) {
            Ok(ServerName::DnsName(name)) => Ok(Self::Name(name.as_ref().to_ascii_lowercase())),
            _ => Err(OriginError::Host),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ip(IpAddr::V4(address)) => address.fmt(f),
            Self::Ip(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, display: &str, host: &str) {
        let origin = Origin::parse(text).expect(text);
        assert_eq!(
            (origin.to_string().as_str(), origin.host_header()),
            (display, host.parse().expect(host))
        );
        assert_eq!(Origin::parse(display).expect(display), origin);
    }

    #[test]
    fn what_is_written_becomes_one_form() {
        check("https://Panel.Example", "https://panel.example:443", "panel.example");
        check("https://panel.example:443/", "https://panel.example:443", "panel.example");
        check("http://panel_1:8080", "http://panel_1:8080", "panel_1:8080");
        check("http://127.0.0.1:80/", "http://127.0.0.1:80", "127.0.0.1");
        check("https://[::1]:8443", "https://[::1]:8443", "[::1]:8443");
    }

    #[test]
    fn what_is_not_an_origin_is_refused_with_its_reason() {
        for (text, reason) in [
            ("", OriginError::Missing),
            ("panel.example", OriginError::NotAUrl),
            ("https://", OriginError::NotAUrl),
            ("https:// panel", OriginError::NotAUrl),
            ("ftp://panel.example", OriginError::Scheme),
            ("https://user:pw@panel.example", OriginError::UserInfo),
            ("https://-panel-.example", OriginError::Host),
            ("https://panel.example:0", OriginError::Port),
            ("https://panel.example:", OriginError::Port),
            ("https://panel.example:65536", OriginError::Port),
            ("https://panel.example/api", OriginError::Path),
            ("https://panel.example/?a=b", OriginError::Path),
            ("https://panel.example/#a", OriginError::Path),
        ] {
            assert_eq!(Origin::parse(text), Err(reason), "{text}");
        }
    }

    #[test]
    fn loopback_is_an_address_or_localhost() {
        for (text, loopback) in [
            ("http://localhost", true),
            ("http://127.8.0.1", true),
            ("http://[::1]", true),
            ("http://10.0.0.1", false),
            ("http://localhost.example", false),
        ] {
            assert_eq!(Origin::parse(text).expect(text).host.is_loopback(), loopback, "{text}");
        }
    }
}
