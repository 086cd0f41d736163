//! Arguments, declared for clap.
//!
//! Owns names and shapes of the flags. What they mean and whether their values are right is told by the options'
//! declarations in [`crate::config`].

use std::env::VarError;
use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::generate;

use super::cert::CertOptions;
use super::check::CheckOptions;
use super::ctl::CtlOptions;
use super::gunicorn_flags::GunicornFlags;
use super::import::ImportOptions;
use super::log::Level;
use super::precompress::Precompress;
use crate::config::{Flags, Source, help, split_words};

/// One server for Django in production: HTTP front, WSGI workers and their supervisor in one program.
#[derive(Debug, Parser)]
#[command(name = "maitred", version, about, after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  maitred serve                            in a Django project: find manage.py and serve the site
  maitred serve mysite.wsgi                serve a WSGI application on http://127.0.0.1:8000
  maitred serve mysite.wsgi -b :8080 -w 4 --static /static/=./staticfiles
  maitred serve --dev                      the same for development: reload on changes, static files from the apps
  maitred serve --static /=./public        serve files alone
  maitred check -c /etc/maitred.toml       say what is wrong with a configuration and its host";

const IMPORT_HELP: &str = "\
Exit codes: 0, also if lines were not carried over; 2 if the file or one that it includes can not be read.

Examples:
  maitred import /etc/supervisor/supervisord.conf > maitred.toml && maitred check
  maitred serve --supervisord-conf /etc/supervisor/supervisord.conf    without making another file";

const PRECOMPRESS_HELP: &str = "\
Beside app.css it writes app.css.br, app.css.zst and app.css.gz, each with the modification time of app.css and only if it \
is smaller. Run it after every deploy, behind `collectstatic`: siblings that are older than their file are not served, fresh \
ones are not written again.

Exit codes: 0; 1 if a file could not be compressed; 2 for wrong arguments.

Example:
  maitred precompress ./staticfiles --brotli 9 --zstd off";

const CHECK_HELP: &str = "\
Of a Django project it also says which settings contradict the configuration, each with an id such as maitred.W011; \
SILENCED_SYSTEM_CHECKS in the settings silences ids. docs/django.md lists them.

Exit codes: 0; 2 if something failed, or is as serious as --fail-level says.";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve a site
    #[command(after_help = EXAMPLES, args_override_self = true, infer_long_args = true)]
    Serve(Options),
    /// Check configuration, kernel, limits, interpreter and application; say in a line each how to mend what is wrong
    #[command(after_help = CHECK_HELP, args_override_self = true, infer_long_args = true)]
    Check(CheckOptions),
    /// Print a supervisord.conf as maitred.toml; say on stderr which lines are not carried over, and why
    #[command(after_help = IMPORT_HELP)]
    Import(ImportOptions),
    /// Write compressed siblings beside static files, for routes to serve
    #[command(after_help = PRECOMPRESS_HELP)]
    Precompress(Precompress),
    /// Make a self-signed certificate for development, and say what to write into the config file
    Cert(CertOptions),
    /// Ask and tell the running server: status, start, stop, logs, reload, maintenance
    Ctl(CtlOptions),
    /// Print a script that completes commands and flags, for a shell to source
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the version
    Version,
}

/// A shell with completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Shell {
    /// For `source <(maitred completions bash)`
    Bash,
    /// For a file `_maitred` in `fpath`
    Zsh,
    /// For `~/.config/fish/completions/maitred.fish`
    Fish,
}

impl Shell {
    /// The script.
    #[must_use]
    pub fn completions(self) -> String {
        let mut command = Cli::command();
        let mut script = Vec::new();
        match self {
            Shell::Bash => generate(clap_complete::Shell::Bash, &mut command, "maitred", &mut script),
            Shell::Zsh => generate(clap_complete::Shell::Zsh, &mut command, "maitred", &mut script),
            Shell::Fish => generate(clap_complete::Shell::Fish, &mut command, "maitred", &mut script),
        }
        String::from_utf8(script).expect("scripts are text")
    }
}

/// Flags that `serve` and `check` share.
#[derive(Debug, Default, Args)]
pub struct Options {
    #[arg(value_name = "APP", help = help::WSGI, long_help = APP_HELP)]
    app: Option<String>,
    /// The config file; ./maitred.toml is read if it is there and none is named
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A supervisord.conf whose programs are looked after too
    #[arg(long, value_name = "FILE")]
    supervisord_conf: Option<PathBuf>,
    #[arg(short, long, value_name = "ADDRESS", help = help::LISTEN)]
    bind: Vec<String>,
    #[arg(short, long, value_name = "N", allow_negative_numbers = true, help = help::WORKERS)]
    workers: Option<i64>,
    #[arg(long, value_name = "N", allow_negative_numbers = true, help = help::THREADS)]
    threads: Option<i64>,
    #[arg(short, long, value_name = "DURATION", help = help::TIMEOUT)]
    timeout: Option<String>,
    #[arg(long, value_name = "DURATION", help = help::GRACEFUL_TIMEOUT)]
    graceful_timeout: Option<String>,
    #[arg(long, value_name = "DIRECTORY", help = help::CHDIR)]
    chdir: Option<String>,
    #[arg(long, value_name = "DIRECTORIES", help = help::PYTHONPATH)]
    pythonpath: Option<String>,
    #[arg(long, value_name = "PYTHON", help = help::PYTHON)]
    python: Option<String>,
    /// Serve the files of a directory below a path; may be repeated
    #[arg(long = "static", value_name = "URL=DIRECTORY")]
    statics: Vec<String>,
    #[arg(long, value_name = "N", help = help::SHARDS)]
    shards: Option<String>,
    /// Let each worker import the application for itself
    #[arg(long)]
    no_preload: bool,
    /// Development: reload on changes, one worker, short access log on stdout, static files straight from the apps' folders
    #[arg(long)]
    dev: bool,
    #[arg(short, long, value_name = "NAME=VALUE", help = help::RAW_ENV)]
    env: Vec<String>,
    /// Least serious messages to log; MAITRED_LOG does the same, also by module
    #[arg(long, value_name = "LEVEL", ignore_case = true)]
    log_level: Option<Level>,
    /// Say whether configuration and application are good, by the exit code, and do not serve
    #[arg(long)]
    check_config: bool,
    /// Print what is in force, by the names of Gunicorn's settings, and do as --check-config does
    #[arg(long)]
    print_config: bool,
    #[command(flatten)]
    gunicorn: GunicornFlags,
    /// Where these come from.
    #[arg(skip)]
    source: Source,
    /// What the source below says.
    #[arg(skip)]
    under: Option<Box<Options>>,
}

/// The arguments that a variable holds.
#[derive(Debug, Parser)]
#[command(no_binary_name = true, disable_help_flag = true, args_override_self = true, infer_long_args = true)]
struct VariableArguments {
    #[command(flatten)]
    options: Options,
}

/// What is asked instead of serving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    /// Whether all is good.
    Check,
    /// The same, and what is in force.
    Print,
}

const APP_HELP: &str = "\
The WSGI callable as MODULE[:ATTRIBUTE], such as mysite.wsgi:application. Without it, and without one in the config \
file, the WSGI_APPLICATION of the Django settings that DJANGO_SETTINGS_MODULE or manage.py names";

impl Options {
    /// Puts what the environment's `MAITRED_CMD_ARGS` says under these, and what `GUNICORN_CMD_ARGS` says under both.
    ///
    /// # Errors
    /// A sentence: one is not in the form of arguments, or one of its arguments is none of ours.
    pub fn over_environment(self) -> Result<Options, String> {
        let mut under = None;
        for source in [Source::GunicornVariable, Source::Variable] {
            if let Some(options) = Self::of_variable(source)? {
                under = Some(Box::new(Options { under, ..options }));
            }
        }
        Ok(Options { under, ..self })
    }

    /// What a variable says, if it says anything.
    fn of_variable(source: Source) -> Result<Option<Options>, String> {
        let Some(variable) = source.variable() else { return Ok(None) };
        let refused = |message: &str| format!("environment variable {variable}: {message}");
        let text = match std::env::var(variable) {
            Ok(text) if !text.trim().is_empty() => text,
            Ok(_) | Err(VarError::NotPresent) => return Ok(None),
            Err(VarError::NotUnicode(_)) => return Err(refused("is not UTF-8")),
        };
        let words = split_words(&text).map_err(|message| refused(&message))?;
        let parsed = VariableArguments::try_parse_from(words).map_err(|error| {
            let text = error.to_string();
            refused(text.lines().next().unwrap_or_default().trim_start_matches("error: "))
        })?;
        let mut options = parsed.options;
        if source == Source::GunicornVariable {
            // Gunicorn names its application on the command line alone.
            options.app = None;
        }
        Ok(Some(Options { source, ..options }))
    }

    /// The flags as the configuration takes them.
    #[must_use]
    pub fn flags(&self) -> Flags {
        Flags {
            config: self.config.clone(),
            supervisord_conf: self.supervisord_conf.clone(),
            app: self.app.clone(),
            bind: self.bind.clone(),
            workers: self.workers,
            threads: self.threads,
            timeout: self.timeout.clone(),
            graceful_timeout: self.graceful_timeout.clone(),
            chdir: self.chdir.clone(),
            pythonpath: self.pythonpath.clone(),
            python: self.python.clone(),
            statics: self.statics.clone(),
            shards: self.shards.clone(),
            log_level: self.log_level.map(Into::into),
            no_preload: self.no_preload,
            dev: self.dev,
            env: self.env.clone(),
            scales: Vec::new(),
            settings: self.gunicorn.0.clone(),
            gunicorn_file: None,
            source: self.source,
            under: self.under.as_ref().map(|under| Box::new(under.flags())),
        }
    }

    /// Whether nothing is to be served: the configuration is printed, or only checked.
    #[must_use]
    pub fn asks_only(&self) -> Option<Asks> {
        let under = self.under.as_ref().and_then(|under| under.asks_only());
        match (self.print_config, self.check_config) {
            (true, _) => Some(Asks::Print),
            (false, true) => under.or(Some(Asks::Check)),
            (false, false) => under,
        }
    }

    /// Least serious messages to log, if a flag says so.
    #[must_use]
    pub fn log_level(&self) -> Option<Level> {
        self.log_level.or_else(|| self.under.as_ref()?.log_level())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_declaration_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_of_the_reference_is_there() {
        let command = Cli::command();
        let serve = command.find_subcommand("serve").expect("serve is a command");
        for flag in crate::config::flags() {
            let found = serve.get_arguments().any(|argument| match flag.strip_prefix("--") {
                Some(long) => argument.get_long() == Some(long),
                None => argument.is_positional(),
            });
            assert!(found, "{flag}");
        }
    }
}
