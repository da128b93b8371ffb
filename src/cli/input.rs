//! Where secrets come from: a file, standard input or the environment, never an argument.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use clap::Args;
use zeroize::Zeroizing;

use super::failure::Failure;

/// Standard input and the environment, given in.
pub struct Input<'a> {
    /// Standard input.
    pub stdin: &'a mut dyn BufRead,
    /// The value of an environment variable.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
}

/// Where the secret is.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct SecretSource {
    /// Read the secret from a file ("-" is standard input)
    #[arg(long, value_name = "PATH")]
    pub secret_file: Option<PathBuf>,
    /// Read the secret from standard input
    #[arg(long)]
    pub secret_stdin: bool,
    /// Read the secret from an environment variable
    #[arg(long, value_name = "NAME")]
    pub secret_env: Option<String>,
}

/// Much more than a credential may have.
const SECRET_MAX: u64 = 4096;

impl SecretSource {
    /// In a file.
    pub fn file(path: PathBuf) -> Self {
        Self { secret_file: Some(path), secret_stdin: false, secret_env: None }
    }

    /// In an environment variable.
    pub fn variable(name: String) -> Self {
        Self { secret_file: None, secret_stdin: false, secret_env: Some(name) }
    }

    /// Reads the secret, without the line break that ends it.
    pub fn read(&self, input: &mut Input<'_>) -> Result<Zeroizing<String>, Failure> {
        let mut secret = match (&self.secret_file, &self.secret_env) {
            (Some(path), _) if !is_stdin(path) => {
                let unreadable = |source| Failure::Unreadable { path: path.clone(), source };
                let file = File::open(path).map_err(unreadable)?;
                bounded(file)?.map_err(unreadable)?
            }
            (_, Some(name)) => {
                let text = (input.variable)(name);
                Zeroizing::new(text.ok_or_else(|| Failure::NoVariable(name.clone()))?)
            }
            _ => bounded(&mut *input.stdin)?.map_err(Failure::Stdin)?,
        };
        let end = secret.strip_suffix('\n').map(|rest| rest.strip_suffix('\r').unwrap_or(rest));
        if let Some(length) = end.map(str::len) {
            secret.truncate(length);
        }
        Ok(secret)
    }
}

impl Input<'_> {
    /// Opens a file, or standard input for "-".
    pub fn open<'a>(&'a mut self, path: &Path) -> Result<Box<dyn BufRead + 'a>, Failure> {
        if is_stdin(path) {
            return Ok(Box::new(&mut *self.stdin));
        }
        let file = File::open(path);
        let file = file.map_err(|source| Failure::Unreadable { path: path.to_owned(), source })?;
        Ok(Box::new(BufReader::new(file)))
    }
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn bounded(from: impl Read) -> Result<std::io::Result<Zeroizing<String>>, Failure> {
    // One more than the bound tells too much from enough.
    let mut text = Zeroizing::new(String::with_capacity(SECRET_MAX as usize + 1));
    let read = from.take(SECRET_MAX + 1).read_to_string(&mut text);
    if read.as_ref().is_ok_and(|length| *length as u64 > SECRET_MAX) {
        return Err(Failure::SecretTooLong(SECRET_MAX));
    }
    Ok(read.map(|_| text))
}
