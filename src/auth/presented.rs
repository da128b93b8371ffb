//! The secret that a request presents, wherever its client knows to put one.
//!
//! A client sends it as the Basic password with any login, as Bearer, or as `X-Api-Key`. Clients
//! in the field write `basic` in lower case, put spaces into the base64 and leave its padding out;
//! all of that is read. Two secrets that differ are an error and never a choice: a proxy in front
//! might have judged the other one.

use std::fmt;

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use http::{HeaderMap, HeaderName, header::AUTHORIZATION};
use zeroize::Zeroizing;

use crate::fields;

/// A secret as it was presented; it prints nothing and leaves nothing behind.
pub struct Presented<'a>(Held<'a>);

/// Why what was presented cannot be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PresentError {
    /// Two headers present different secrets.
    #[error("the request presents two different credentials")]
    Disagree,
    /// A header that names no known scheme, does not decode, or holds no secret.
    #[error("the request's credentials cannot be decoded")]
    Undecodable,
}

/// The longest header that is decoded; a login and a token fit several times.
const HEADER_MAX: usize = 1024;

static X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Standard base64 as real clients write it.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

enum Held<'a> {
    Header(&'a [u8]),
    /// `login:password`, and where the password begins. It has a place of its own: what is handed on is
    /// small, and no move leaves a copy behind.
    Decoded(Zeroizing<Vec<u8>>, usize),
}

impl Presented<'_> {
    /// The secret; not necessarily a token, nor text.
    pub fn expose(&self) -> &[u8] {
        match &self.0 {
            Held::Header(secret) => secret,
            Held::Decoded(pair, password) => &pair[*password..],
        }
    }
}

impl fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Presented(..)")
    }
}

/// The one secret that the headers present; none when there are no credentials at all.
pub fn presented<'a>(headers: &'a HeaderMap) -> Result<Option<Presented<'a>>, PresentError> {
    let (mut found, mut differ) = (None::<Presented<'a>>, false);
    let mut take = |next: Presented<'a>| match &found {
        Some(first) => differ |= first.expose() != next.expose(),
        None => found = Some(next),
    };
    for value in fields::all(headers, AUTHORIZATION) {
        take(authorization(value.as_bytes())?);
    }
    for value in fields::all(headers, &X_API_KEY) {
        take(of_header(value.as_bytes())?);
    }
    if differ { Err(PresentError::Disagree) } else { Ok(found) }
}

fn authorization(value: &[u8]) -> Result<Presented<'_>, PresentError> {
    let value = value.trim_ascii();
    let space = value.iter().position(|byte| *byte == b' ' || *byte == b'\t');
    let (scheme, rest) = value.split_at(space.ok_or(PresentError::Undecodable)?);
    if scheme.eq_ignore_ascii_case(b"basic") {
        basic(rest.trim_ascii_start())
    } else if scheme.eq_ignore_ascii_case(b"bearer") {
        of_header(rest)
    } else {
        Err(PresentError::Undecodable)
    }
}

fn of_header(value: &[u8]) -> Result<Presented<'_>, PresentError> {
    let secret = value.trim_ascii();
    if secret.is_empty() || secret.len() > HEADER_MAX {
        return Err(PresentError::Undecodable);
    }
    Ok(Presented(Held::Header(secret)))
}

fn basic<'a>(encoded: &[u8]) -> Result<Presented<'a>, PresentError> {
    if encoded.len() > HEADER_MAX {
        return Err(PresentError::Undecodable);
    }
    let pair = if encoded.iter().any(u8::is_ascii_whitespace) {
        let mut dense = Zeroizing::new(encoded.to_vec());
        dense.retain(|byte| !byte.is_ascii_whitespace());
        decode(&dense)?
    } else {
        decode(encoded)?
    };
    let colon = memchr::memchr(b':', &pair).ok_or(PresentError::Undecodable)?;
    // A token in the place of the login is refused: logins end up in logs.
    if colon + 1 == pair.len() {
        return Err(PresentError::Undecodable);
    }
    Ok(Presented(Held::Decoded(pair, colon + 1)))
}

fn decode(encoded: &[u8]) -> Result<Zeroizing<Vec<u8>>, PresentError> {
    // As large as it can become: one that grew would leave a part of the secret behind.
    let mut pair = Zeroizing::new(vec![0; base64::decoded_len_estimate(encoded.len())]);
    let length = LENIENT.decode_slice(encoded, &mut pair);
    pair.truncate(length.map_err(|_| PresentError::Undecodable)?);
    Ok(pair)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;
    use crate::auth::keyring::wiped;

    const TOKEN: &str = "tg_live_00000000000_secret";

    fn check(lines: &[(&'static str, &str)], expected: Result<Option<&str>, PresentError>) {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_str(value).expect("a header"));
        }
        let found = presented(&headers);
        let found = found.as_ref().map(|p| p.as_ref().map(Presented::expose)).map_err(|e| *e);
        assert_eq!(found, expected.map(|text| text.map(str::as_bytes)), "{lines:?}");
    }

    fn encoded(pair: &str) -> String {
        base64::prelude::BASE64_STANDARD.encode(pair)
    }

    #[test]
    fn what_was_decoded_is_wiped() {
        let Ok(Presented(Held::Decoded(pair, _))) = basic(encoded("joe:secret").as_bytes()) else {
            panic!("it decodes")
        };
        wiped(&pair);
    }

    #[test]
    fn every_place_that_clients_use_is_read() {
        let pair = encoded(&format!("joe@example.com:{TOKEN}"));
        let bare = pair.trim_end_matches('=');
        let (start, end) = pair.split_at(9);
        for value in [
            format!("Basic {pair}"),
            format!("basic {pair}"),
            format!("BASIC    {pair} "),
            format!("Basic {bare}"),
            format!("Basic {start} {end}"),
            format!("Bearer {TOKEN}"),
            format!("bearer   {TOKEN}  "),
        ] {
            check(&[("authorization", &value)], Ok(Some(TOKEN)));
        }
        check(&[("x-api-key", TOKEN)], Ok(Some(TOKEN)));
        check(&[("accept", "*/*")], Ok(None));
    }

    #[test]
    fn a_password_keeps_its_colons_and_any_login_will_do() {
        let empty_login = format!("Basic {}", encoded(":a:b"));
        check(&[("authorization", &empty_login)], Ok(Some("a:b")));
    }

    #[test]
    fn equal_secrets_agree_and_others_do_not() {
        let basic = format!("Basic {}", encoded(&format!("any:{TOKEN}")));
        let bearer = format!("Bearer {TOKEN}");
        let both = [("authorization", &*basic), ("x-api-key", TOKEN), ("authorization", &*bearer)];
        check(&both, Ok(Some(TOKEN)));
        let other = [("authorization", &*basic), ("x-api-key", "another")];
        check(&other, Err(PresentError::Disagree));
        let repeated = [("x-api-key", "one"), ("x-api-key", "two")];
        check(&repeated, Err(PresentError::Disagree));
    }

    #[test]
    fn what_cannot_be_decoded_comes_before_what_differs() {
        let pair = format!("Basic {}", encoded("joe:other"));
        let bearer = format!("Bearer {TOKEN}");
        let all = [("authorization", &*pair), ("authorization", &*bearer), ("x-api-key", " ")];
        check(&all, Err(PresentError::Undecodable));
    }

    #[test]
    fn what_cannot_be_decoded_is_an_error() {
        let login_only = format!("Basic {}", encoded(&format!("{TOKEN}:")));
        let no_colon = format!("Basic {}", encoded(TOKEN));
        let long = format!("Basic {}", "A".repeat(HEADER_MAX + 4));
        for value in [
            "Basic",
            "Basic !!!!",
            "Digest x",
            "Bearer",
            "Bearer ",
            "",
            &login_only,
            &no_colon,
            &long,
        ] {
            check(&[("authorization", value)], Err(PresentError::Undecodable));
        }
        check(&[("x-api-key", " ")], Err(PresentError::Undecodable));
        let one_is_fine = [("x-api-key", TOKEN), ("authorization", "Basic !")];
        check(&one_is_fine, Err(PresentError::Undecodable));
    }

    #[test]
    fn it_does_not_print_the_secret() {
        let mut headers = HeaderMap::new();
        headers.insert("x-api-key", HeaderValue::from_static(TOKEN));
        assert_eq!(format!("{:?}", presented(&headers)), "Ok(Some(Presented(..)))");
    }

    proptest! {
        #[test]
        fn any_login_and_password_come_back(
            login in "[^:]{0,40}", password in ".{1,300}", split in any::<prop::sample::Index>(),
        ) {
            let mut text = encoded(&format!("{login}:{password}"));
            text.insert(split.index(text.len()), ' ');
            prop_assume!(text.len() <= HEADER_MAX);
            let mut headers = HeaderMap::new();
            let value = HeaderValue::from_str(&format!("bAsIc {text}")).expect("a header");
            headers.insert(AUTHORIZATION, value);
            let found = presented(&headers).expect("readable").expect("present");
            prop_assert_eq!(found.expose(), password.as_bytes());
        }

        #[test]
        fn no_bytes_panic(
            a in proptest::collection::vec(any::<u8>(), 0..80),
            b in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            let mut headers = HeaderMap::new();
            for (prefix, bytes) in [(&b"Basic "[..], &a), (b"Bearer ", &b), (b"", &a)] {
                if let Ok(value) = HeaderValue::from_bytes(&[prefix, bytes].concat()) {
                    headers.append(AUTHORIZATION, value.clone());
                    headers.append(&X_API_KEY, value);
                }
            }
            let _ = presented(&headers);
        }
    }
}
