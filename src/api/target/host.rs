//! Rule 4: exactly one valid Host, and an absolute target names the same one.

use http::{HeaderMap, Uri, Version, header::HOST, uri::Authority};

use super::TargetError;

/// Whether a request names one host and no other.
pub(super) fn check(uri: &Uri, headers: &HeaderMap, version: Version) -> Result<(), TargetError> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => Some(host.to_str().map_err(|_| TargetError::Host)?),
        (None, _) => None,
        (Some(_), Some(_)) => return Err(TargetError::Host),
    };
    match (uri.authority(), host) {
        (Some(authority), Some(host)) => {
            if authority.as_str().eq_ignore_ascii_case(host) {
                valid_host(host)
            } else {
                Err(TargetError::HostMismatch)
            }
        }
        (Some(authority), None) if version == Version::HTTP_2 => valid_host(authority.as_str()),
        (Some(_) | None, None) => Err(TargetError::Host),
        (None, Some(host)) => valid_host(host),
    }
}

fn valid_host(host: &str) -> Result<(), TargetError> {
    let (mut valid, mut plain) = (!host.is_empty(), true);
    for byte in host.bytes() {
        let part = matches!(byte, b':' | b'[' | b']');
        plain &= !part;
        valid &= part || byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    }
    if !valid {
        return Err(TargetError::Host);
    }
    // The slow parse is for what the quick look cannot judge: brackets and ports.
    if plain {
        return Ok(());
    }
    let authority: Authority = host.parse().map_err(|_| TargetError::Host)?;
    let port_is_missing = !host.ends_with(']') && authority.port_u16().is_none();
    if authority.host().is_empty() || port_is_missing { Err(TargetError::Host) } else { Ok(()) }
}
