//! A token: `tg_<environment>_<id>_<secret>_<check>`, told from garbage without a look-up.
//!
//! The prefix is for secret scanners, the id is public, the secret is 256 random bits, and the
//! check is the CRC-32 of everything before it. All numbers are base62 of a fixed width, most
//! significant digit first. A client's own key may be adopted as its token; it then only has to
//! be long enough and printable.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// How many random bytes a token is made of.
pub const RANDOM_BYTES: usize = ID_BYTES + SECRET_BYTES;

/// The least length of a key that is adopted as a token.
pub const ADOPTED_MIN: usize = 32;

/// The greatest length of anything that can be a token.
pub const TOKEN_MAX: usize = 256;

/// A token in the clear; it exists where one is made and shown, and nowhere else.
pub struct Token {
    text: Zeroizing<String>,
    id: String,
}

/// The word in a token that tells one installation from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment(String);

/// What a presented secret looks like, before anything is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape<'a> {
    /// Minted by a Tollgate.
    Ours {
        /// The public id.
        id: &'a str,
    },
    /// No token can look like this: there is nothing to look up.
    Garbage,
    /// Perhaps an adopted key.
    Foreign,
}

/// Why a word cannot be a token's environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected 1 to {ENVIRONMENT_MAX} lower-case letters, such as \"live\", and not \"{ADMIN}\""
)]
pub struct BadEnvironment;

/// Why a key cannot be adopted as a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unadoptable {
    /// It could be guessed.
    #[error("a key to adopt has at least {ADOPTED_MIN} characters")]
    TooShort,
    /// Longer than what is accepted from a client.
    #[error("a key to adopt has at most {TOKEN_MAX} characters")]
    TooLong,
    /// It could not be sent in every way in which a token is presented.
    #[error("a key to adopt has only printable ASCII characters, and no space")]
    Unprintable,
    /// It would be taken for a minted token.
    #[error("a key to adopt does not begin with \"{PREFIX}\"")]
    Reserved,
}

const PREFIX: &str = "tg_";
const ENVIRONMENT_MAX: usize = 12;
const ADMIN: &str = "admin";

const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;

/// The digits that hold 64, 256 and 32 bits.
const ID_DIGITS: usize = 11;
const SECRET_DIGITS: usize = 43;
const CHECK_DIGITS: usize = 6;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

impl Token {
    /// Makes a token of bytes that are as random as the caller's source.
    pub fn mint(environment: &Environment, random: &[u8; RANDOM_BYTES]) -> Self {
        let (id_bytes, secret_bytes) = random.split_at(ID_BYTES);
        let id = public_id(id_bytes);
        // The exact room: a string that grows leaves copies of the secret behind.
        let room = PREFIX.len() + ENVIRONMENT_MAX + ID_DIGITS + SECRET_DIGITS + CHECK_DIGITS + 3;
        let mut text = Zeroizing::new(String::with_capacity(room));
        for part in [PREFIX, &environment.0, "_", &id, "_"] {
            text.push_str(part);
        }
        push_base62(&mut text, secret_bytes, SECRET_DIGITS);
        let check = crc32fast::hash(text.as_bytes());
        text.push('_');
        push_base62(&mut text, &check.to_be_bytes(), CHECK_DIGITS);
        Self { text, id }
    }

    /// The public id, by which the token is named in lists and logs.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The token itself, to be shown once.
    pub fn expose(&self) -> &str {
        &self.text
    }
}

/// Its text wipes itself; the id is public.
impl ZeroizeOnDrop for Token {}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Default for Environment {
    /// The word of an installation that has no test beside it.
    fn default() -> Self {
        Self("live".to_owned())
    }
}

impl Environment {
    /// The word in the tokens of operators, which no installation has for its tenants'.
    pub fn admin() -> Self {
        Self(ADMIN.to_owned())
    }

    /// Takes a short word of lower-case letters.
    pub fn parse(word: &str) -> Result<Self, BadEnvironment> {
        if is_environment(word.as_bytes()) && word != ADMIN {
            Ok(Self(word.to_owned()))
        } else {
            Err(BadEnvironment)
        }
    }

    /// The word.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The public id that random bytes make; adopted tokens get one too.
pub fn public_id(random: &[u8]) -> String {
    let mut id = String::with_capacity(ID_DIGITS);
    push_base62(&mut id, &random[..random.len().min(ID_BYTES)], ID_DIGITS);
    id
}

/// Says what a presented secret can be; allocates nothing.
pub fn shape(presented: &[u8]) -> Shape<'_> {
    if is_reserved(presented) {
        return minted_id(presented).map_or(Shape::Garbage, |id| Shape::Ours { id });
    }
    if adoptable(presented).is_ok() { Shape::Foreign } else { Shape::Garbage }
}

/// Whether a secret is a whole token of an operator; allocates nothing.
pub fn is_of_an_operator(presented: &[u8]) -> bool {
    let after = presented.strip_prefix(PREFIX.as_bytes());
    let word = after.and_then(|after| after.strip_prefix(ADMIN.as_bytes()));
    word.is_some_and(|rest| rest.starts_with(b"_")) && minted_id(presented).is_some()
}

/// Whether a secret begins as only minted tokens do.
pub fn is_reserved(presented: &[u8]) -> bool {
    presented.starts_with(PREFIX.as_bytes())
}

/// Whether a key that a client holds already can serve as its token.
pub fn adoptable(key: &[u8]) -> Result<(), Unadoptable> {
    if is_reserved(key) {
        Err(Unadoptable::Reserved)
    } else if key.len() < ADOPTED_MIN {
        Err(Unadoptable::TooShort)
    } else if key.len() > TOKEN_MAX {
        Err(Unadoptable::TooLong)
    } else if !key.iter().all(u8::is_ascii_graphic) {
        Err(Unadoptable::Unprintable)
    } else {
        Ok(())
    }
}

/// The id of a token whose form and check are right.
fn minted_id(token: &[u8]) -> Option<&str> {
    let (checked, check) = token.split_at_checked(token.len().checked_sub(CHECK_DIGITS + 1)?)?;
    let (head, secret) = checked.split_at_checked(checked.len().checked_sub(SECRET_DIGITS + 1)?)?;
    let (start, id) = head.split_at_checked(head.len().checked_sub(ID_DIGITS + 1)?)?;
    let [id, secret, check] = [id, secret, check].map(|part| part.strip_prefix(b"_"));
    let (id, secret, check) = (id?, secret?, check?);
    let digits = [id, secret, check].iter().all(|part| part.iter().all(u8::is_ascii_alphanumeric));
    let well_formed = digits && is_environment(start.strip_prefix(PREFIX.as_bytes())?);
    let right = well_formed && base62_value(check)? == u64::from(crc32fast::hash(checked));
    right.then(|| std::str::from_utf8(id).ok()).flatten()
}

fn is_environment(word: &[u8]) -> bool {
    (1..=ENVIRONMENT_MAX).contains(&word.len()) && word.iter().all(u8::is_ascii_lowercase)
}

/// Appends a big-endian number in a fixed count of digits.
fn push_base62(text: &mut String, number: &[u8], digits: usize) {
    let mut rest = [0_u8; SECRET_BYTES];
    let rest = &mut rest[..number.len()];
    rest.copy_from_slice(number);
    let mut reversed = [0_u8; SECRET_DIGITS];
    for digit in &mut reversed[..digits] {
        *digit = DIGITS[usize::from(divide(rest, 62))];
    }
    text.extend(reversed[..digits].iter().rev().map(|digit| char::from(*digit)));
    rest.zeroize();
    reversed.zeroize();
}

/// Divides a big-endian number in place and gives the remainder.
fn divide(number: &mut [u8], by: u8) -> u8 {
    let by = u16::from(by);
    let mut remainder = 0_u16;
    for byte in number {
        let value = (remainder << 8) | u16::from(*byte);
        // Both fit a byte: the remainder is below the divisor, so the quotient is below 256.
        *byte = u8::try_from(value / by).unwrap_or(u8::MAX);
        remainder = value % by;
    }
    u8::try_from(remainder).unwrap_or(u8::MAX)
}

fn base62_value(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |value, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'A'..=b'Z' => digit - b'A' + 10,
            b'a'..=b'z' => digit - b'a' + 36,
            _ => return None,
        };
        value.checked_mul(62)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::auth::keyring::wiped;

    fn live() -> Environment {
        Environment::parse("live").expect("a good word")
    }

    fn random_bytes() -> impl Strategy<Value = [u8; RANDOM_BYTES]> {
        proptest::collection::vec(any::<u8>(), RANDOM_BYTES)
            .prop_map(|bytes| bytes.try_into().expect("as many as were asked for"))
    }

    #[test]
    fn a_token_has_the_documented_form() {
        let token = Token::mint(&live(), &[0; RANDOM_BYTES]);
        let zeros = format!("tg_live_{}_{}_", "0".repeat(ID_DIGITS), "0".repeat(SECRET_DIGITS));
        assert!(token.expose().starts_with(&zeros), "{}", token.expose());
        let token = Token::mint(&live(), &[0xff; RANDOM_BYTES]);
        assert_eq!(token.id(), "LygHa16AHYF", "2^64 - 1 in base62");
        wiped(&token.text);
    }

    #[test]
    fn what_cannot_be_a_token_is_garbage() {
        let long = "x".repeat(TOKEN_MAX + 1);
        let spaced = "a key of theirs that has spaces in it";
        for text in ["", "short", "tg_", "tg_live_x_y_z", &long, spaced, "tg_______________"] {
            assert_eq!(shape(text.as_bytes()), Shape::Garbage, "{text}");
        }
        assert_eq!(shape("é".repeat(40).as_bytes()), Shape::Garbage);
        assert_eq!(shape("k".repeat(ADOPTED_MIN).as_bytes()), Shape::Foreign);
    }

    #[test]
    fn an_environment_is_a_short_lower_case_word() {
        for word in ["", "Live", "live1", "a_b", "abcdefghijklm", ADMIN] {
            assert_eq!(Environment::parse(word), Err(BadEnvironment), "{word}");
        }
    }

    #[test]
    fn a_token_does_not_print_its_secret() {
        let token = Token::mint(&live(), &[7; RANDOM_BYTES]);
        let secret = token.expose().split('_').nth(3).expect("a secret").to_owned();
        assert!(!format!("{token:?}").contains(&secret));
    }

    proptest! {
        #[test]
        fn a_minted_token_is_recognized(random in random_bytes()) {
            let token = Token::mint(&live(), &random);
            prop_assert_eq!(shape(token.expose().as_bytes()), Shape::Ours { id: token.id() });
        }

        #[test]
        fn one_changed_character_is_garbage(
            random in random_bytes(), at in 3..70_usize, to in b' '..b'~',
        ) {
            let token = Token::mint(&live(), &random);
            let mut bytes = token.expose().as_bytes().to_vec();
            let at = at.min(bytes.len() - 1);
            prop_assume!(bytes[at] != to);
            bytes[at] = to;
            prop_assert_eq!(shape(&bytes), Shape::Garbage);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = shape(&bytes);
            let prefixed = [PREFIX.as_bytes(), &bytes].concat();
            prop_assert_eq!(shape(&prefixed), Shape::Garbage);
        }
    }
}
