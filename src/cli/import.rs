//! `maitred import`: an existing `supervisord.conf` as `maitred.toml`.
//!
//! Owns what goes where: the new file to stdout, what it lacks to stderr.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{EXIT_UNUSABLE, complain, tell};
use crate::config::{Surroundings, import};

/// Flags of `import`.
#[derive(Debug, Args)]
pub struct ImportOptions {
    /// The supervisord.conf
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Prints the file in the other form. Exit code 0, or 2 if it can't be read.
#[must_use]
pub fn run(options: &ImportOptions) -> ExitCode {
    let around = match Surroundings::of_process() {
        Ok(around) => around,
        Err(error) => {
            complain(format_args!("maitred: the working directory cannot be used: {error}; change to another one"));
            return ExitCode::from(EXIT_UNUSABLE);
        }
    };
    match import(&options.file, &around) {
        Ok(import) => {
            tell(import.to_string().trim_end());
            import.left().for_each(|problem| complain(format_args!("not carried over: {problem}")));
            for (name, what) in import.replaceable() {
                complain(format_args!("to be looked at: program {} {what}", name.escape_debug()));
            }
            ExitCode::SUCCESS
        }
        Err(errors) => {
            complain(errors);
            ExitCode::from(EXIT_UNUSABLE)
        }
    }
}
