//! `maitred`: command line → configuration → environment → server.

use std::process::ExitCode;

use clap::Parser;
use maitred::cli::serve::Ended;
use maitred::cli::{Cli, Command, cert, check, complain, configure, ctl, import, log, precompress, serve, tell};
use maitred::sys::signals;

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Version => {
            tell(concat!("maitred ", env!("CARGO_PKG_VERSION")));
            ExitCode::SUCCESS
        }
        Command::Ctl(options) => ctl::run(&options),
        Command::Completions { shell } => {
            tell(shell.completions().trim_end());
            ExitCode::SUCCESS
        }
        Command::Precompress(options) => precompress::run(&options),
        Command::Import(options) => import::run(&options),
        Command::Cert(options) => cert::run(&options),
        Command::Check(options) => check::run(&options),
        Command::Serve(options) => {
            // Before any thread is started: each inherits the mask, and the supervisor alone reads signals.
            if let Err(error) = signals::block() {
                complain(format_args!("maitred: cannot block signals: {error}"));
                return ExitCode::FAILURE;
            }
            let (log, main_log) = match log::start(options.log_level()) {
                Ok(started) => started,
                Err(code) => return code,
            };
            let ended = configure(&options)
                .and_then(|config| check::require(&config).map(|()| config))
                .map_or_else(Ended::Exit, |config| serve::run(config, options, main_log));
            // Writes out what is still queued.
            drop(log);
            ended.finish()
        }
    }
}
