//! The file that declares something, and the secrets that it names, all of them read here.

use std::{io::Read as _, path::Path};

use super::{ApplyError, is_stdin};
use crate::{
    cli::{
        failure::Failure,
        input::{Input, SecretSource},
    },
    operations::declaration::NamedSecrets,
    settings::{Problem, Problems, Table},
    tenants::declared::{Declaration, SecretPlace},
};

/// What a file declares.
pub(super) struct DeclaredFile<'a> {
    pub(super) path: &'a Path,
    /// As it stands there.
    pub(super) table: Table,
    pub(super) secrets: NamedSecrets,
    pub(super) declaration: Declaration,
    /// What is wrong with it whatever the store has.
    pub(super) problems: Problems,
}

/// Much more than a hundred thousand tokens need.
pub(super) const MAX: usize = 256 << 20;

impl<'a> DeclaredFile<'a> {
    pub(super) fn read(path: &'a Path, input: &mut Input<'_>) -> Result<Self, Failure> {
        let text = text(path, input)?;
        let mut problems = Problems::default();
        let table = Table::parse(&text, &mut problems);
        if !problems.is_empty() {
            return Err(wrong(path, problems.iter().cloned().collect()));
        }
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let mut secrets = NamedSecrets::default();
        let mut read = |place: &SecretPlace| {
            let source = match place {
                SecretPlace::File(path) if is_stdin(path) => {
                    return Err("expected a file; standard input is none".to_owned());
                }
                SecretPlace::File(path) => SecretSource::file(folder.join(path)),
                SecretPlace::Variable(name) => SecretSource::variable(name.clone()),
            };
            let secret = source.read(input).map_err(|failure| failure.report())?;
            secrets.keep(place, secret.clone());
            Ok(secret)
        };
        let declaration = Declaration::read(table.clone(), &mut read, &mut problems);
        Ok(Self { path, table, secrets, declaration, problems })
    }
}

/// The failure that problems of a file are.
pub(super) fn wrong(path: &Path, problems: Vec<Problem>) -> Failure {
    ApplyError::Wrong { path: path.to_owned(), problems }.into()
}

fn text(path: &Path, input: &mut Input<'_>) -> Result<String, Failure> {
    let unreadable = |source| match is_stdin(path) {
        true => Failure::Stdin(source),
        false => Failure::Unreadable { path: path.to_owned(), source },
    };
    let mut text = String::new();
    let file = input.open(path)?;
    let length = file.take(MAX as u64 + 1).read_to_string(&mut text).map_err(unreadable)?;
    // The beginning of a declaration may be one, too, and would have the rest removed.
    if length > MAX {
        return Err(ApplyError::TooLong.into());
    }
    Ok(text)
}
