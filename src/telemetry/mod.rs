//! What the process tells its operator in words: the log, and one line for each request.

use std::env;

use tracing_subscriber::{EnvFilter, fmt};

use crate::settings::{Problems, Setting};

mod access_log;
mod line;

pub use access_log::{AccessConfig, AccessLog, AccessLogError};
pub use line::{Line, QueryNames, timestamp};

crate::section! {
    /// The log, on standard error.
    pub struct LogConfig {
        /// What is logged, as `level` or `target=level,…`; `TOLLGATE_LOG` wins over it.
        pub filter: String = "info".to_owned(),
        /// How: `text` or `json`.
        pub format: LogFormat = LogFormat::Text,
    }
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// A JSON object a line, for programs.
    Json,
}

/// Why the log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A filter does not parse.
    #[error("the log filter \"{filter}\" is not understood")]
    Filter {
        /// The filter.
        filter: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// The process has a log already.
    #[error("the log was set up before")]
    Again(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The variable that wins over `log.filter`.
const FILTER_VARIABLE: &str = "TOLLGATE_LOG";

impl LogConfig {
    /// Adds what is wrong with the values as such.
    pub fn validate(&self, problems: &mut Problems) {
        if let Err(error) = parse_filter(&self.filter) {
            problems.add(None, "log.filter", &error.to_string());
        }
    }
}

impl Setting for LogFormat {
    fn from_toml(value: &toml::Value) -> Result<Self, String> {
        match value.as_str() {
            Some("text") => Ok(Self::Text),
            Some("json") => Ok(Self::Json),
            _ => Err(format!("expected \"text\" or \"json\", found {value}")),
        }
    }
}

/// Sends the log of the whole process to standard error; called once, by `main`.
pub fn init_logging(config: &LogConfig) -> Result<(), LogError> {
    let variable = env::var(FILTER_VARIABLE).ok().filter(|text| !text.is_empty());
    let filter = parse_filter(variable.as_deref().unwrap_or(&config.filter))?;
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let done = match config.format {
        LogFormat::Text => {
            builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init()
        }
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    done.map_err(LogError::Again)
}

fn parse_filter(text: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::builder()
        .parse(text)
        .map_err(|source| LogError::Filter { filter: text.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_does_not_parse_is_named() {
        assert!(parse_filter("info,tollgate=debug").is_ok());
        let error = parse_filter("tollgate=loud").expect_err("no such level");
        assert!(error.to_string().contains("tollgate=loud"), "{error}");
        let mut problems = Problems::default();
        let config = LogConfig { filter: "tollgate=loud".to_owned(), ..LogConfig::default() };
        config.validate(&mut problems);
        assert_eq!(problems.iter().map(|p| p.key.as_str()).collect::<Vec<_>>(), ["log.filter"]);
    }

    #[test]
    fn the_format_is_one_of_two_words() {
        let read = |text: &str| LogFormat::from_toml(&toml::Value::String(text.to_owned()));
        assert_eq!(read("json"), Ok(LogFormat::Json));
        assert_eq!(read("text"), Ok(LogFormat::Text));
        assert!(read("yaml").is_err());
    }
}
