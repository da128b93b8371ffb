//! Arguments and wiring only.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use tollgate::cli::{Cli, dispatch, exit_of};

fn main() -> ExitCode {
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => {
            drop(error.print());
            return exit_of(&error).into();
        }
    };
    match dispatch::run(&cli, &mut io::stdin().lock(), &mut io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            drop(writeln!(io::stderr(), "tollgate: {}", failure.report()));
            failure.exit().into()
        }
    }
}
