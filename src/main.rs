//! `maitred`: command line → configuration → environment → server.

use std::process::ExitCode;

use clap::Parser;
use maitred::cli::{Cli, Command, check, configure, log, serve, tell};

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Version => {
            tell(concat!("maitred ", env!("CARGO_PKG_VERSION")));
            ExitCode::SUCCESS
        }
        Command::Check(options) => check::run(&options),
        Command::Serve(options) => {
            // Lives until the end of `main`: dropping it writes out what is still queued.
            let _log = match log::start(options.log_level()) {
                Ok(guard) => guard,
                Err(code) => return code,
            };
            configure(&options)
                .and_then(|config| check::require(&config).map(|()| config))
                .map_or_else(|code| code, serve::run)
        }
    }
}
