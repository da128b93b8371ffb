//! The configured admin token, which commands present, and which a server lets in.
//!
//! It comes from a file, or from the environment, which wins. A text of one's own is an owner's, for as
//! long as it stands there. One that `tollgate admin-token create` made is in the store, and what it may
//! and until when is said there alone: commands and servers read the same key, so a viewer's token that
//! is kept for the commands must not be more to a server that starts beside them.

use std::{fmt, fs, io, path::PathBuf};

use aws_lc_rs::{constant_time::verify_slices_are_equal, digest};
use http::HeaderValue;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::Config;
use crate::auth::token::{is_of_an_operator, is_reserved};

/// The environment variable that holds the token.
pub const VARIABLE: &str = "TOLLGATE_ADMIN_TOKEN";

/// The least characters of a token.
pub const TOKEN_MIN: usize = 32;

/// The operator's token.
pub struct AdminToken(Zeroizing<String>);

/// Why what is configured cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AdminTokenError {
    /// The file cannot be read.
    #[error("the admin token file {} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The variable holds something else.
    #[error("{VARIABLE}: {0}")]
    Variable(PoorToken),
    /// The file holds something else.
    #[error("the admin token file {}: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        why: PoorToken,
    },
}

/// Why a text is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoorToken {
    /// It could be guessed.
    #[error("an admin token has at least {TOKEN_MIN} characters, this one has {0}")]
    TooShort(usize),
    /// It could not be sent.
    #[error("an admin token has only printable ASCII characters, and no space")]
    Unprintable,
    /// It looks like one of the store's, and cannot be one: taken for a text of one's own it would be an
    /// owner's.
    #[error(
        "it begins like a token that Tollgate made, and is no whole token of an operator; \
         `tollgate admin-token create` makes one"
    )]
    NotWhole,
}

impl AdminToken {
    /// The configured token, if there is one; `variable` is the value of [`VARIABLE`].
    pub fn find(config: &Config, variable: Option<&str>) -> Result<Option<Self>, AdminTokenError> {
        if let Some(text) = variable {
            return Self::parse(text).map(Some).map_err(AdminTokenError::Variable);
        }
        let Some(path) = config.token_file.clone() else { return Ok(None) };
        let text = fs::read_to_string(&path)
            .map(Zeroizing::new)
            .map_err(|source| AdminTokenError::Unreadable { path: path.clone(), source })?;
        Self::parse(&text).map(Some).map_err(|why| AdminTokenError::File { path, why })
    }

    fn parse(text: &str) -> Result<Self, PoorToken> {
        let text = text.trim();
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(PoorToken::Unprintable);
        }
        if text.len() < TOKEN_MIN {
            return Err(PoorToken::TooShort(text.len()));
        }
        if is_reserved(text.as_bytes()) && !is_of_an_operator(text.as_bytes()) {
            return Err(PoorToken::NotWhole);
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// Whether this is what an owner has configured, found out in a time that says nothing of it. One
    /// that is in the store is for the store to judge.
    pub fn lets_in(&self, presented: &[u8]) -> bool {
        !is_of_an_operator(self.0.as_bytes()) && self.is(presented)
    }

    fn is(&self, presented: &[u8]) -> bool {
        let [own, other] =
            [self.0.as_bytes(), presented].map(|text| digest::digest(&digest::SHA256, text));
        verify_slices_are_equal(own.as_ref(), other.as_ref()).is_ok()
    }

    /// The value of `Authorization`, marked as sensitive.
    pub fn authorization(&self) -> HeaderValue {
        let text = Zeroizing::new(format!("Bearer {}", *self.0));
        let mut value = HeaderValue::from_str(&text).expect("it is printable ASCII");
        value.set_sensitive(true);
        value
    }
}

/// Its text wipes itself.
impl ZeroizeOnDrop for AdminToken {}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{
        keyring::wiped,
        token::{Environment, RANDOM_BYTES, Token},
    };

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn the_variable_wins_over_the_file() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(&file, format!("{TOKEN}\n")).expect("written");
        let config = Config { token_file: Some(file.path().to_owned()), ..Config::default() };
        let other = TOKEN.replace('0', "-");
        let found = |config: &Config, variable| AdminToken::find(config, variable).expect("good");
        assert!(found(&config, None).expect("a token").lets_in(TOKEN.as_bytes()));
        assert!(found(&config, Some(&other)).expect("a token").lets_in(other.as_bytes()));
        assert!(found(&Config::default(), None).is_none());
    }

    #[test]
    fn a_poor_token_is_named_with_its_place() {
        let message = |config: &Config, variable: Option<&str>| {
            AdminToken::find(config, variable).expect_err("a poor token").to_string()
        };
        let none = Config::default();
        let short = message(&none, Some(&TOKEN[1..]));
        assert!(
            short.starts_with("TOLLGATE_ADMIN_TOKEN: ") && short.ends_with("has 31"),
            "{short}"
        );
        let spaced = TOKEN.replace('a', " ");
        assert!(message(&none, Some(&spaced)).contains("printable"));
        for part in ["tg_admin_", "tg_live_"] {
            let cut = format!("{part}{TOKEN}");
            assert!(
                message(&none, Some(&cut)).ends_with("`tollgate admin-token create` makes one")
            );
        }
        let path = Some(PathBuf::from("/nowhere/token"));
        assert!(message(&Config { token_file: path, ..none }, None).contains("/nowhere/token"));
    }

    #[test]
    fn one_that_the_store_has_lets_nobody_in_by_itself() {
        let minted = Token::mint(&Environment::admin(), &[7; RANDOM_BYTES]);
        let token = AdminToken::parse(minted.expose()).expect("a token");
        assert!(!token.lets_in(minted.expose().as_bytes()));
        let bearer = token.authorization();
        assert_eq!(bearer.as_bytes(), format!("Bearer {}", minted.expose()).as_bytes());
        let of_a_tenant = Token::mint(&Environment::default(), &[7; RANDOM_BYTES]);
        let refused = AdminToken::parse(of_a_tenant.expose()).expect_err("of a tenant");
        assert_eq!(refused, PoorToken::NotWhole);
    }

    #[test]
    fn it_is_itself_alone_and_never_printed() {
        let token = AdminToken::parse(TOKEN).expect("a token");
        assert!(token.lets_in(TOKEN.as_bytes()));
        for other in ["", &TOKEN[1..], &TOKEN.replace('f', "F"), &format!("{TOKEN}0")] {
            assert!(!token.lets_in(other.as_bytes()), "{other}");
        }
        assert_eq!(format!("{token:?} {:?}", token.authorization()), "AdminToken(..) Sensitive");
        wiped(&token.0);
    }
}
