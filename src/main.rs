//! `maitred`: command line → configuration → environment → server.

use std::process::ExitCode;

use clap::Parser;
use maitred::cli::serve::Ended;
use maitred::cli::{
    Cli, Command, EXIT_UNUSABLE, background, cert, check, complain, configure, ctl, import, log, precompress, serve,
    tell,
};
use maitred::sys::inherited::Inherited;
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
        Command::Check(options) => check::run(options),
        Command::Serve(options) => {
            let inherited = match Inherited::take() {
                Ok(inherited) => inherited,
                Err(error) => return unusable(&format!("maitred: {error}")),
            };
            let options = match options.over_environment() {
                Ok(options) => options,
                Err(message) => return unusable(&message),
            };
            let config = match configure(&options) {
                Ok(config) => config,
                Err(code) => return code,
            };
            if let Some(asks) = options.asks_only() {
                return check::ask(&config, asks);
            }
            if config.server.daemon && !inherited.is_background {
                return background::start(&inherited);
            }
            // Before any thread is started: each inherits the mask, and the supervisor alone reads signals.
            if let Err(error) = signals::block() {
                complain(format_args!("maitred: cannot block signals: {error}"));
                return ExitCode::FAILURE;
            }
            let (log, main_log) = match log::start(options.log_level(), &config) {
                Ok(started) => started,
                Err(code) => return code,
            };
            let ended = match check::require(&config) {
                Ok(()) => serve::run(config, options, main_log, inherited),
                Err(code) => Ended::Exit(code),
            };
            // Writes out what is still queued.
            drop(log);
            ended.finish()
        }
    }
}

fn unusable(message: &str) -> ExitCode {
    complain(message);
    ExitCode::from(EXIT_UNUSABLE)
}
