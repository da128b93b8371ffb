//! A reply as bytes: what is sealed, and read again when it is replayed.

use bytes::{BufMut as _, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// A whole reply as a client saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Reply {
    /// Status and number of headers, each header's name and value with their lengths, and the body.
    /// None for what no server of HTTP would send: a name or value of 64 KiB.
    pub fn encode(&self) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(self.body.len() + 1024);
        bytes.put_u16(self.status.as_u16());
        bytes.put_u16(u16::try_from(self.headers.len()).ok()?);
        for (name, value) in &self.headers {
            for part in [name.as_str().as_bytes(), value.as_bytes()] {
                bytes.put_u16(u16::try_from(part.len()).ok()?);
                bytes.put_slice(part);
            }
        }
        bytes.put_slice(&self.body);
        Some(bytes)
    }

    /// What was encoded; none for other bytes.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let status = StatusCode::from_u16(number(&mut rest)?).ok()?;
        let count = number(&mut rest)?;
        let mut headers = HeaderMap::new();
        for _ in 0..count {
            let name = HeaderName::from_bytes(part(&mut rest)?).ok()?;
            headers.try_append(name, HeaderValue::from_bytes(part(&mut rest)?).ok()?).ok()?;
        }
        Some(Self { status, headers, body: Bytes::copy_from_slice(rest) })
    }
}

fn number(rest: &mut &[u8]) -> Option<u16> {
    let (number, behind) = rest.split_first_chunk::<2>()?;
    *rest = behind;
    Some(u16::from_be_bytes(*number))
}

fn part<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::from(number(rest)?);
    let (part, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(part)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn a_reply_is_read_as_it_was_written(
            status in 100_u16..600,
            headers in vec(("[a-z][a-z-]{0,20}", vec(0x20_u8..0x7f, 0..40)), 0..8),
            body in vec(any::<u8>(), 0..200),
        ) {
            let mut reply = Reply {
                status: StatusCode::from_u16(status).expect("a status"),
                headers: HeaderMap::new(),
                body: body.into(),
            };
            for (name, value) in headers {
                let value = HeaderValue::from_bytes(value.trim_ascii()).expect("a value");
                reply.headers.append(HeaderName::try_from(name).expect("a name"), value);
            }
            let bytes = reply.encode().expect("short enough");
            prop_assert_eq!(Reply::decode(&bytes), Some(reply));
        }

        #[test]
        fn any_bytes_are_a_reply_or_none(bytes in vec(any::<u8>(), 0..64)) {
            let _ = Reply::decode(&bytes);
        }
    }
}
