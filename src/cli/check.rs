//! `tollgate check`: every problem of the configuration at once, each with file, line and key.

use std::path::Path;

use serde::Serialize;

use super::{failure::Failure, output::Output};
use crate::{
    config::{Config, ConfigError},
    settings::{Origin, Problem},
};

#[derive(Serialize)]
struct Checked<'a> {
    file: &'a Path,
    ok: bool,
    problems: Vec<Shown<'a>>,
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    variable: Option<&'a str>,
    key: &'a str,
    message: &'a str,
}

/// Checks a file.
pub fn run(path: &Path, output: &mut Output<'_>) -> Result<(), Failure> {
    let loaded = Config::load(path);
    let problems: &[Problem] = match &loaded {
        Err(ConfigError::Wrong { problems, .. }) => problems,
        Err(ConfigError::Unreadable { .. }) | Ok(_) => &[],
    };
    if output.is_json() && !matches!(loaded, Err(ConfigError::Unreadable { .. })) {
        let problems = problems.iter().map(Shown::of).collect();
        output.one(&Checked { file: path, ok: loaded.is_ok(), problems }, "")?;
    }
    loaded?;
    if output.is_json() {
        return Ok(());
    }
    output.one(&(), &format!("{}: no problems found", path.display()))
}

impl<'a> Shown<'a> {
    fn of(problem: &'a Problem) -> Self {
        let (line, variable) = match &problem.origin {
            Some(Origin::Line(line)) => (Some(*line), None),
            Some(Origin::Environment(name)) => (None, Some(name.as_str())),
            // No configuration is JSON.
            Some(Origin::Pointer(_)) | None => (None, None),
        };
        Self { line, variable, key: &problem.key, message: &problem.message }
    }
}
