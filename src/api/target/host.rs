//! Rule 4: exactly one valid Host, and an absolute target names the same one.

use http::{HeaderMap, Uri, Version, header::HOST, uri::Authority};

use super::TargetError;
use crate::fields;

/// Whether a request names one host and no other.
pub(super) fn check(uri: &Uri, headers: &HeaderMap, version: Version) -> Result<(), TargetError> {
    let mut hosts = fields::all(headers, HOST);
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

/// A byte of a name or of an IPv4 address.
const NAME: u8 = 0;
/// A byte that no host has.
const NO_HOST: u8 = 1;
/// A colon, before a port or within brackets.
const COLON: u8 = 2;
/// A bracket of an IPv6 address, which only the slow parse can judge.
const BRACKET: u8 = 4;

/// A table, because every byte of every request's host is looked up.
static BYTES: [u8; 256] = {
    let mut bytes = [NO_HOST; 256];
    let mut byte = 0;
    while byte < 256 {
        bytes[byte] = match byte as u8 {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'.' | b'-' | b'_' => NAME,
            b':' => COLON,
            b'[' | b']' => BRACKET,
            _ => NO_HOST,
        };
        byte += 1;
    }
    bytes
};

fn valid_host(host: &str) -> Result<(), TargetError> {
    let seen = host.bytes().fold(NAME, |seen, byte| seen | BYTES[usize::from(byte)]);
    if host.is_empty() || seen & NO_HOST != 0 {
        return Err(TargetError::Host);
    }
    let valid = match seen {
        NAME => true,
        // A second colon would be a byte of the port, which has digits alone.
        COLON => host
            .split_once(':')
            .is_some_and(|(name, port)| !name.is_empty() && port.parse::<u16>().is_ok()),
        _ => in_brackets(host),
    };
    if valid { Ok(()) } else { Err(TargetError::Host) }
}

/// Whether it is an address in brackets, with or without a port.
fn in_brackets(host: &str) -> bool {
    host.parse().is_ok_and(|authority: Authority| {
        !authority.host().is_empty() && (host.ends_with(']') || authority.port_u16().is_some())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a host and port are is what the http crate says.
    #[test]
    fn a_port_is_judged_as_the_slow_parse_judges_it() {
        for name in ["", "a", "panel.example", "192.0.2.1", "a-b_c", "-", ".", "a:1", ":"] {
            for port in ["", "0", "80", "00080", "65535", "65536", "8x", "x", "1:2", "99999999999"]
            {
                let host = format!("{name}:{port}");
                assert_eq!(valid_host(&host).is_ok(), in_brackets(&host), "{host:?}");
            }
        }
    }

    #[test]
    fn only_bytes_of_names_stand_alone() {
        for byte in 0..=u8::MAX {
            let c = char::from(byte);
            let valid = c.is_ascii_alphanumeric() || "._-".contains(c);
            // A colon or a bracket is valid in its place alone, and that is not here.
            assert_eq!(valid_host(&format!("a{c}b")).is_ok(), valid, "{c:?}");
        }
    }
}
