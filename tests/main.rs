//! The scenarios, in one binary: on few cores one link instead of ten.

mod tidy;
