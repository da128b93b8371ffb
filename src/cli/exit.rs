//! The exit codes of sysexits, by which a script tells what went wrong.

use std::process::ExitCode;

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It was done.
    Ok = 0,
    /// `EX_USAGE`: the arguments are wrong.
    Usage = 64,
    /// `EX_DATAERR`: what was given does not fit what is there.
    Data = 65,
    /// `EX_NOINPUT`: a file cannot be read.
    NoInput = 66,
    /// `EX_UNAVAILABLE`: something else is needed, and is busy or away.
    Unavailable = 69,
    /// `EX_SOFTWARE`: a fault of ours or of the system's.
    Software = 70,
    /// `EX_CANTCREAT`: a file cannot be made.
    CantCreate = 73,
    /// `EX_IOERR`: reading or writing failed.
    Io = 74,
    /// `EX_TEMPFAIL`: it is under way, and has not ended yet.
    UnderWay = 75,
    /// `EX_NOPERM`: not permitted.
    NoPermission = 77,
    /// `EX_CONFIG`: the configuration is wrong.
    Config = 78,
}

impl Exit {
    /// The number.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
