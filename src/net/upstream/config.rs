//! The settings of one upstream and what they must fulfil.

use std::{path::PathBuf, time::Duration};

use super::origin::{Origin, OriginError, Scheme};
use crate::{section, settings::ByteSize, vocabulary::Format};

section! {
    /// One upstream, written `[upstreams.NAME]`.
    pub struct Config {
        /// Where it is: `https://HOST` or `https://HOST:PORT`. Required.
        pub url: String = String::new(),
        /// PEM file of the authorities that may sign its certificate; the system's if not given.
        pub ca_file: Option<PathBuf> = None,
        /// Allow `http://` to another host than this machine: credentials travel in clear text.
        pub allow_plain_http: bool = false,
        /// Name look-up, connection and TLS handshake, together.
        pub connect_timeout: Duration = Duration::from_secs(5),
        /// From the first byte of a request until the head of its reply.
        pub reply_timeout: Duration = Duration::from_secs(65),
        /// Longest silence within the body of a reply.
        pub body_idle_timeout: Duration = Duration::from_secs(30),
        /// Requests at once, and so connections.
        pub max_connections: u32 = 64,
        /// How long a request waits when all connections are in use.
        pub queue_timeout: Duration = Duration::from_secs(2),
        /// How many requests may wait so; more are refused at once.
        pub max_waiting: u32 = 256,
        /// How long an unused connection is kept; below the upstream's own keep-alive time.
        pub idle_timeout: Duration = Duration::from_secs(10),
        /// Unused connections kept at most.
        pub max_idle: u32 = 64,
        /// Connections are replaced at this age, less up to a tenth so that not all are at once.
        pub max_connection_age: Duration = Duration::from_secs(600),
        /// Longest head of a reply.
        pub max_reply_head: ByteSize = ByteSize::kib(64),
        /// What is read ahead of the client, for each connection; at least 8 KiB.
        pub read_buffer: ByteSize = ByteSize::kib(256),
        /// Requests that may be sent again when a connection broke, in percent of all.
        pub retry_percent: u32 = 10,
        /// And so many a second, however few requests there are.
        pub retries_per_second: u32 = 1,
        /// The one format that it has, `json` or `xml`, if it has not both; what is asked for in the
        /// other is converted.
        pub only_format: Option<Format> = None,
        /// Failures in a row after which it is taken to be down; 0 never is.
        pub breaker_failures: u32 = 5,
        /// While it is down, one request in such a time is sent, to find out; others are refused.
        pub breaker_interval: Duration = Duration::from_secs(1),
    }
}

/// What is wrong with the settings of an upstream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// The URL is not one of an upstream.
    #[error("{0}")]
    Url(#[from] OriginError),
    /// Credentials would travel in clear text.
    #[error("is plain http to another host; use https, or set allow_plain_http = true")]
    PlainHttp,
    /// A bound that would let nothing through.
    #[error("must be more than zero")]
    Zero {
        /// Which one.
        key: &'static str,
    },
    /// Too far away for a clock to add.
    #[error("must be at most 365d")]
    TooLong {
        /// Which one.
        key: &'static str,
    },
    /// Smaller than the HTTP/1.1 reader needs.
    #[error("must be at least 8KiB")]
    ReadBuffer,
}

/// The least that hyper accepts as a buffer.
const LEAST_BUFFER: ByteSize = ByteSize::kib(8);

/// No deadline is further away; an instant cannot take just any duration.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

impl Config {
    /// Checks every setting; the origin if all are well, else all that is wrong.
    pub fn validate(&self) -> Result<Origin, Vec<Invalid>> {
        let mut wrong = Vec::new();
        let origin = Origin::parse(&self.url).map_err(|e| wrong.push(e.into())).ok();
        if origin.as_ref().is_some_and(|o| o.scheme == Scheme::Http && !o.host.is_loopback())
            && !self.allow_plain_http
        {
            wrong.push(Invalid::PlainHttp);
        }
        let durations = [
            ("connect_timeout", self.connect_timeout),
            ("reply_timeout", self.reply_timeout),
            ("body_idle_timeout", self.body_idle_timeout),
            ("idle_timeout", self.idle_timeout),
            ("max_connection_age", self.max_connection_age),
            ("breaker_interval", self.breaker_interval),
        ];
        for (key, duration) in durations {
            if duration.is_zero() {
                wrong.push(Invalid::Zero { key });
            } else if duration > LONGEST {
                wrong.push(Invalid::TooLong { key });
            }
        }
        if self.max_connections == 0 {
            wrong.push(Invalid::Zero { key: "max_connections" });
        }
        if self.max_reply_head.0 == 0 {
            wrong.push(Invalid::Zero { key: "max_reply_head" });
        }
        if self.read_buffer < LEAST_BUFFER {
            wrong.push(Invalid::ReadBuffer);
        }
        match origin {
            Some(origin) if wrong.is_empty() => Ok(origin),
            _ => Err(wrong),
        }
    }
}

impl Invalid {
    /// The key that it is about.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Url(_) | Self::PlainHttp => "url",
            Self::Zero { key } | Self::TooLong { key } => key,
            Self::ReadBuffer => "read_buffer",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(url: &str) -> Config {
        Config { url: url.to_owned(), ..Config::default() }
    }

    #[test]
    fn the_defaults_lack_only_a_url() {
        assert_eq!(Config::default().validate(), Err(vec![OriginError::Missing.into()]));
        assert!(at("https://panel.example").validate().is_ok());
    }

    #[test]
    fn plain_http_leaves_the_machine_only_by_permission() {
        assert!(at("http://127.0.0.1:3000").validate().is_ok());
        let mut config = at("http://panel.example");
        assert_eq!(config.validate(), Err(vec![Invalid::PlainHttp]));
        config.allow_plain_http = true;
        assert!(config.validate().is_ok());
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let config = Config {
            max_connections: 0,
            reply_timeout: Duration::ZERO,
            idle_timeout: Duration::MAX,
            read_buffer: ByteSize::kib(4),
            ..at("http://panel.example")
        };
        let keys: Vec<_> = config.validate().expect_err("wrong").iter().map(Invalid::key).collect();
        assert_eq!(
            keys,
            ["url", "reply_timeout", "idle_timeout", "max_connections", "read_buffer"]
        );
    }
}
