//! Where a store is: a file of SQLite's, or a database of PostgreSQL's.

use std::{
    fmt::{self, Write as _},
    net::IpAddr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    str::FromStr,
};

use secrecy::{ExposeSecret, SecretString};

use super::backend::Backend;
use crate::settings::Setting;

/// Where a store is. Its password is never printed.
#[derive(Clone, PartialEq, Eq)]
pub enum Location {
    /// A file of SQLite's.
    File(PathBuf),
    /// A database of PostgreSQL's.
    Server(Server),
}

/// A database of PostgreSQL's, by its URL.
#[derive(Clone)]
pub struct Server {
    url: SecretString,
    /// The same with stars in place of the password.
    shown: String,
}

/// Why a text is no location.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLocation {
    /// Nothing of ours has this scheme.
    #[error("\"{0}\" is no scheme of a store; known are sqlite and postgres")]
    Scheme(String),
    /// A URL without its host or its database.
    #[error("expected postgres://USER@HOST/DATABASE")]
    Incomplete,
    /// A user or a password that would be taken for another part of the URL.
    #[error(
        "a user or password has \"/\", \"?\", \"#\" or \"@\" in it: \
         write them as %2F, %3F, %23 and %40"
    )]
    Userinfo,
    /// A parameter that nothing reads, such as a password that is misspelled.
    #[error("\"{0}\" is no parameter of a store's URL; known are {list}", list = PARAMETERS.join(", "))]
    Parameter(String),
    /// How other programs write it; it would be taken for a file's name.
    #[error("expected a path or postgres://USER@HOST/DATABASE, found words such as host=")]
    Words,
    /// No file.
    #[error("expected a path or postgres://USER@HOST/DATABASE, found nothing")]
    Empty,
}

/// What the driver reads of a URL. It logs what else it finds, value and all.
const PARAMETERS: [&str; 13] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];

impl Location {
    /// What can be asked there.
    pub(super) fn backend(&self) -> Backend {
        match self {
            Self::File(_) => Backend::Sqlite,
            Self::Server(_) => Backend::Postgres,
        }
    }

    /// The URL by which it is opened.
    pub(super) fn url(&self) -> SecretString {
        match self {
            Self::File(path) => format!("sqlite://{}?mode=rw", encoded(path)).into(),
            Self::Server(server) => server.url.clone(),
        }
    }

    /// The database, if it is one that announces its changes.
    pub fn server(&self) -> Option<&Server> {
        match self {
            Self::File(_) => None,
            Self::Server(server) => Some(server),
        }
    }
}

impl Server {
    /// Takes a URL. To another host than this one the certificate is checked, unless the URL itself
    /// says otherwise (`sslmode`).
    fn new(url: &str) -> Result<Self, BadLocation> {
        let (scheme, rest) = url.split_once("://").ok_or(BadLocation::Incomplete)?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        // The last one: whatever stands before it may be a password, and is never shown.
        let (user, place) = match place.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, place),
        };
        if user.is_some_and(|user| user.contains(['/', '@']))
            || query.contains('@')
            || rest.contains('#')
        {
            return Err(BadLocation::Userinfo);
        }
        let parameters = parameters(query)?;
        let (host, database) = place.split_once('/').ok_or(BadLocation::Incomplete)?;
        // The driver believes these more than the host before them, and of several one or another.
        let named = parameters.iter().filter(|(key, _)| ["host", "hostaddr"].contains(key));
        let mut reached: Vec<&str> = named.map(|(_, value)| *value).collect();
        if reached.is_empty() {
            reached.push(host);
        }
        if database.is_empty() || reached.contains(&"") {
            return Err(BadLocation::Incomplete);
        }
        let says = parameters.iter().any(|(key, _)| *key == "sslmode");
        let mut url = url.to_owned();
        if !says && !reached.iter().all(|host| is_here(host)) {
            url.push_str(if query.is_empty() { "?" } else { "&" });
            url.push_str("sslmode=verify-full");
        }
        let user = user.map(|user| match user.split_once(':') {
            Some((name, _)) => format!("{name}:***@"),
            None => format!("{user}@"),
        });
        let shown = format!("{scheme}://{}{host}/{database}", user.unwrap_or_default());
        Ok(Self { url: url.into(), shown })
    }

    pub(super) fn url(&self) -> &str {
        self.url.expose_secret()
    }
}

impl PartialEq for Server {
    fn eq(&self, other: &Self) -> bool {
        self.url() == other.url()
    }
}

impl Eq for Server {}

impl FromStr for Location {
    type Err = BadLocation;

    fn from_str(text: &str) -> Result<Self, BadLocation> {
        if text.is_empty() {
            return Err(BadLocation::Empty);
        }
        match text.split_once("://").map(|(scheme, rest)| (scheme, rest.is_empty())) {
            Some((_, true)) => Err(BadLocation::Empty),
            Some(("postgres" | "postgresql", _)) => Server::new(text).map(Self::Server),
            Some(("sqlite", _)) => Ok(Self::File(text["sqlite://".len()..].into())),
            Some((scheme, _)) => Err(BadLocation::Scheme(scheme.to_owned())),
            None if text.contains("host=") || text.contains("dbname=") => Err(BadLocation::Words),
            None => Ok(Self::File(text.into())),
        }
    }
}

impl<P: Into<PathBuf>> From<P> for Location {
    fn from(path: P) -> Self {
        Self::File(path.into())
    }
}

impl Setting for Location {
    fn from_toml(value: &toml::Value) -> Result<Self, String> {
        let text = String::from_toml(value)?;
        // What was found is not told: it may hold a password.
        text.parse().map_err(|bad: BadLocation| bad.to_string())
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Server(server) => f.write_str(&server.shown),
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

fn parameters(query: &str) -> Result<Vec<(&str, &str)>, BadLocation> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let known = PARAMETERS.contains(&key);
            known.then_some((key, value)).ok_or_else(|| BadLocation::Parameter(key.to_owned()))
        })
        .collect()
}

fn is_here(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split(':').next().unwrap_or(host),
    };
    // An encoded slash is the folder of a socket.
    let socket = ["/", "%2F", "%2f"].iter().any(|slash| name.starts_with(slash));
    socket || name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// A path as it stands in a URL.
fn encoded(path: &Path) -> String {
    let mut text = String::new();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => {
                text.push(char::from(*byte));
            }
            other => {
                // Writing to memory does not fail.
                let _ = write!(text, "%{other:02X}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(text: &str) -> Server {
        let Ok(Location::Server(server)) = text.parse() else { panic!("{text} is no server") };
        server
    }

    #[test]
    fn a_password_is_never_shown() {
        let location: Location =
            "postgres://joe:geheim@db.example.com:5433/tollgate?password=geheim"
                .parse()
                .expect("good");
        for shown in [location.to_string(), format!("{location:?}")] {
            assert_eq!(shown, "postgres://joe:***@db.example.com:5433/tollgate");
        }
    }

    #[test]
    fn a_certificate_is_checked_unless_the_url_says_otherwise() {
        for (text, sent) in [
            ("postgres://db.example.com/t", "?sslmode=verify-full"),
            ("postgres://db.example.com/t?application_name=x", "&sslmode=verify-full"),
            ("postgres://a:b@[2001:db8::1]:5432/t", "?sslmode=verify-full"),
            ("postgres:///t?host=db.example.com", "&sslmode=verify-full"),
            ("postgres://localhost/t?hostaddr=192.0.2.5", "&sslmode=verify-full"),
            ("postgres://localhost/t?host=127.0.0.1&host=192.0.2.5", "&sslmode=verify-full"),
        ] {
            assert_eq!(server(text).url(), format!("{text}{sent}"));
        }
        for text in [
            "postgres://db.example.com/t?sslmode=disable",
            "postgresql://joe@localhost:5432/t",
            "postgres://127.0.0.1/t",
            "postgres://[::1]:5432/t",
            "postgres://%2Fvar%2Frun%2Fpostgresql/t",
            "postgres:///t?host=/var/run/postgresql",
        ] {
            assert_eq!(server(text).url(), text);
        }
    }

    #[test]
    fn what_is_no_location_is_refused() {
        for (text, why) in [
            ("", BadLocation::Empty),
            ("sqlite://", BadLocation::Empty),
            ("mysql://host/db", BadLocation::Scheme("mysql".to_owned())),
            ("postgres://host", BadLocation::Incomplete),
            ("postgres://host/", BadLocation::Incomplete),
            ("postgres:///db", BadLocation::Incomplete),
            ("postgres://joe:ge/heim@host/db", BadLocation::Userinfo),
            ("postgres://joe:ge@heim@host/db", BadLocation::Userinfo),
            ("postgres://joe:ge?heim@host/db", BadLocation::Userinfo),
            ("postgres://joe:ge#heim@host/db", BadLocation::Userinfo),
            ("postgres://host/db?pasword=geheim", BadLocation::Parameter("pasword".to_owned())),
            ("host=db user=joe password=geheim dbname=t", BadLocation::Words),
        ] {
            let refused = text.parse::<Location>().expect_err(text);
            assert!(!refused.to_string().contains("heim"), "{refused}");
            assert_eq!(refused, why, "{text}");
        }
    }

    #[test]
    fn a_path_survives_its_url() {
        let Ok(Location::File(path)) = "sqlite:///var/lib/a b%.db".parse() else {
            panic!("a file")
        };
        assert_eq!(path, Path::new("/var/lib/a b%.db"));
        let url = Location::from(path).url();
        assert_eq!(url.expose_secret(), "sqlite:///var/lib/a%20b%25.db?mode=rw");
    }
}
