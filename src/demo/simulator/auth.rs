//! Who is asking: a session cookie, or HTTP Basic with either pair that the panel knows.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE};

use super::panel::Panel;

/// The name of the session's cookie.
pub(crate) const SESSION_COOKIE: &str = "_session_id";

/// Ruby's decoder takes what it is given.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The user a request speaks for. As in the panel, a session wins over credentials.
pub(crate) fn authenticate(panel: &Panel, headers: &HeaderMap) -> Option<u64> {
    session(panel, headers).or_else(|| basic(panel, headers))
}

fn session(panel: &Panel, headers: &HeaderMap) -> Option<u64> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().strip_prefix(SESSION_COOKIE)?.strip_prefix('='))
        .find_map(|session| panel.user_of_session(session))
}

fn basic(panel: &Panel, headers: &HeaderMap) -> Option<u64> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let encoded: String = encoded.split_ascii_whitespace().collect();
    let pair = String::from_utf8(LENIENT.decode(encoded).ok()?).ok()?;
    let (login, password) = pair.split_once(':')?;
    panel.user_of_pair(login, password)
}
