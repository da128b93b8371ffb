//! Arguments and wiring only.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use tollgate::cli::{Cli, core_dumps, dispatch, exit_of};

fn main() -> ExitCode {
    if let Err(error) = core_dumps::forbid() {
        drop(writeln!(io::stderr(), "tollgate: core dumps cannot be turned off: {error}"));
    }
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
