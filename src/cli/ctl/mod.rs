//! `maitred ctl`: asks and tells the running server, over its control socket.
//!
//! Owns the commands' names and their exit codes, which are supervisorctl's. `client` speaks to the server, `show` writes what people read,
//! `logs` follows streams.

mod client;
mod logs;
mod processes;
mod project;
mod settings;
mod show;
mod site;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};

use super::{complain, tell};
use client::{Client, Trouble};

/// Exit codes: the actions of the Linux Standard Base, and its status codes.
pub(super) const GENERIC: u8 = 1;
pub(super) const WRONG_ARGUMENTS: u8 = 2;
pub(super) const NOT_RUNNING: u8 = 7;
pub(super) const STATUS_NOT_RUNNING: u8 = 3;
pub(super) const STATUS_UNKNOWN: u8 = 4;

const HELP: &str = "\
NAME is a process or a program (celery), a process of a group (all:celery), or a whole group (all:*); \"all\" is everything. \
The web workers are the group web.

Exit codes: 0; 1 if something failed; 2 for wrong arguments; 7 if a process or the server does not run. \
Of status: 3 if a process is stopped, 4 if that can't be told.

Examples:
  maitred ctl status
  maitred ctl restart celery beat
  maitred ctl logs -f celery beat
  maitred ctl scale celery 4
  maitred ctl reload app
  maitred ctl -s http://127.0.0.1:9001 -u admin status";

/// Flags and commands of `ctl`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct CtlOptions {
    /// Where the server is: unix:///PATH or http://HOST:PORT [default: [control] of the config file, else the usual sockets]
    #[arg(short, long, value_name = "URL", global = true, env = "MAITRED_CONTROL_URL")]
    server: Option<String>,
    /// The config file whose [control] says where the server is; ./maitred.toml is read if it is there
    #[arg(short, long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// A supervisord.conf whose [supervisorctl], or servers, say where the server is
    #[arg(long, value_name = "FILE", global = true)]
    supervisord_conf: Option<PathBuf>,
    /// The name for a server over TCP
    #[arg(short, long, value_name = "NAME", global = true)]
    username: Option<String>,
    /// The password for a server over TCP; better in the variable, which other users don't see
    #[arg(
        short,
        long,
        value_name = "PASSWORD",
        global = true,
        env = "MAITRED_CONTROL_PASSWORD",
        hide_env_values = true
    )]
    password: Option<String>,
    /// Write one JSON value instead of lines for people
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: CtlCommand,
}

/// What is asked or told.
#[derive(Debug, Subcommand)]
pub enum CtlCommand {
    /// How the site and its processes stand
    Status {
        /// Processes and groups [default: the site and all of them]
        names: Vec<String>,
    },
    /// Start processes
    Start {
        /// Processes and groups, or "all"
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Stop processes
    Stop {
        /// Processes and groups, or "all"
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Stop processes and start them again; does not read the configuration
    Restart {
        /// Processes and groups, or "all"
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Send a signal to processes
    Signal {
        /// Its name or number, such as HUP
        signal: String,
        /// Processes and groups, or "all"
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// The process id of the server, or of processes
    Pid {
        /// Processes, or "all"
        names: Vec<String>,
    },
    /// The end of a process's output
    Tail {
        /// Go on with what follows
        #[arg(short, long)]
        follow: bool,
        /// So many bytes
        #[arg(short = 'n', long, value_name = "N", default_value_t = 1600)]
        bytes: u32,
        /// The process
        name: String,
        /// Which stream
        #[arg(default_value = "stdout")]
        stream: Stream,
    },
    /// The end of the server's own log
    Maintail {
        /// Go on with what follows
        #[arg(short, long)]
        follow: bool,
        /// So many bytes
        #[arg(short = 'n', long, value_name = "N", default_value_t = 1600)]
        bytes: u32,
    },
    /// The output of several processes, each line behind its process's name
    Logs {
        /// Go on with what follows
        #[arg(short, long)]
        follow: bool,
        /// Processes and groups [default: all]
        names: Vec<String>,
    },
    /// Follow a process's output and write standard input to it
    Fg {
        /// The process
        name: String,
    },
    /// Empty the log files of processes
    Clear {
        /// Processes, or "all"
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// The processes of the configuration, and whether they are looked after
    Avail,
    /// Read the configuration and say which groups differ; changes nothing
    Reread,
    /// Read the configuration and add, remove and restart what differs
    Update {
        /// Groups [default: all]
        groups: Vec<String>,
    },
    /// Look after groups of the configuration that was read last
    Add {
        /// Groups
        #[arg(required = true)]
        groups: Vec<String>,
    },
    /// Look no longer after groups that are stopped
    Remove {
        /// Groups
        #[arg(required = true)]
        groups: Vec<String>,
    },
    /// Take over the configuration and replace the web workers ("app"), or stop everything and start anew ("server")
    Reload {
        /// What
        #[arg(default_value = "app")]
        what: Reloaded,
    },
    /// So many processes of a program, or web workers, until the next start
    Scale {
        /// The program, or "web"
        name: String,
        /// How many
        count: u32,
    },
    /// Close the site for all but those whom [server.maintenance] lets through
    Maintenance {
        /// What to do
        #[arg(default_value = "status")]
        what: Maintenance,
    },
    /// Stop everything
    Shutdown,
    /// The version of the server
    Version,
}

/// A stream of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Stream {
    /// Standard output
    Stdout,
    /// Standard error
    Stderr,
}

/// What is reloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Reloaded {
    /// The configuration and the application
    App,
    /// Everything, from the start
    Server,
}

/// What is done about maintenance mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Maintenance {
    /// Close the site
    On,
    /// Open it
    Off,
    /// Say whether it is closed; exit code 3 if it is
    Status,
}

impl CtlCommand {
    /// Whether it changes something.
    fn changes(&self) -> bool {
        match self {
            CtlCommand::Status { .. }
            | CtlCommand::Pid { .. }
            | CtlCommand::Tail { .. }
            | CtlCommand::Maintail { .. }
            | CtlCommand::Logs { .. }
            | CtlCommand::Avail
            | CtlCommand::Reread
            | CtlCommand::Maintenance { what: Maintenance::Status }
            | CtlCommand::Version => false,
            CtlCommand::Start { .. }
            | CtlCommand::Stop { .. }
            | CtlCommand::Restart { .. }
            | CtlCommand::Signal { .. }
            | CtlCommand::Fg { .. }
            | CtlCommand::Clear { .. }
            | CtlCommand::Update { .. }
            | CtlCommand::Add { .. }
            | CtlCommand::Remove { .. }
            | CtlCommand::Reload { .. }
            | CtlCommand::Scale { .. }
            | CtlCommand::Maintenance { .. }
            | CtlCommand::Shutdown => true,
        }
    }
}

/// What commands work with.
pub(super) struct Session {
    client: Client,
    json: bool,
    /// The file that was named, of ours or of supervisord's.
    file: Option<PathBuf>,
    /// The exit code so far.
    code: u8,
}

impl Session {
    /// Something went wrong: the exit code, unless one was set that says more.
    fn failed(&mut self, code: u8) {
        self.code = code;
    }

    /// Writes a line for people, which there is none of where JSON was asked for.
    fn say(&self, line: impl std::fmt::Display) {
        if !self.json {
            tell(line);
        }
    }
}

/// Runs a command. Exit code as the help says.
#[must_use]
pub fn run(options: &CtlOptions) -> ExitCode {
    let credentials = (options.username.clone(), options.password.clone());
    let is_status = matches!(options.command, CtlCommand::Status { .. });
    let files = (options.config.as_deref(), options.supervisord_conf.as_deref());
    let client = match client::find(options.server.as_deref(), files, credentials) {
        Ok(client) => client,
        Err(message) => {
            complain(format_args!("maitred: {message}"));
            return ExitCode::from(if is_status { STATUS_UNKNOWN } else { WRONG_ARGUMENTS });
        }
    };
    let file = options.config.clone().or_else(|| options.supervisord_conf.clone());
    let mut session = Session { client, json: options.json, file, code: 0 };
    let require = |session: &Session| match options.command.changes() {
        true => project::require(&session.client, session.file.as_deref()),
        false => Ok(()),
    };
    match require(&session).and_then(|()| perform(&mut session, &options.command)) {
        Ok(()) => ExitCode::from(session.code),
        Err(trouble) => {
            complain(format_args!("maitred: {trouble}"));
            ExitCode::from(if is_status { STATUS_UNKNOWN } else { trouble.code() })
        }
    }
}

fn perform(session: &mut Session, command: &CtlCommand) -> Result<(), Trouble> {
    match command {
        CtlCommand::Status { names } => processes::status(session, names),
        CtlCommand::Start { names } => processes::start(session, names),
        CtlCommand::Stop { names } => processes::stop(session, names),
        CtlCommand::Restart { names } => {
            processes::stop(session, names)?;
            processes::start(session, names)
        }
        CtlCommand::Signal { signal, names } => processes::signal(session, signal, names),
        CtlCommand::Pid { names } => processes::pid(session, names),
        CtlCommand::Clear { names } => processes::clear(session, names),
        CtlCommand::Tail { follow: true, name, stream, .. } => logs::follow_one(session, name, *stream),
        CtlCommand::Tail { bytes, name, stream, .. } => logs::tail(session, name, *stream, *bytes),
        CtlCommand::Maintail { follow: true, .. } => logs::follow_main(session),
        CtlCommand::Maintail { bytes, .. } => logs::main_tail(session, *bytes),
        CtlCommand::Logs { follow, names } => logs::several(session, names, *follow),
        CtlCommand::Fg { name } => logs::foreground(session, name),
        CtlCommand::Avail => settings::avail(session),
        CtlCommand::Reread => settings::reread(session),
        CtlCommand::Update { groups } => settings::update(session, groups),
        CtlCommand::Add { groups } => settings::add(session, groups),
        CtlCommand::Remove { groups } => settings::remove(session, groups),
        CtlCommand::Reload { what } => site::reload(session, *what),
        CtlCommand::Scale { name, count } => site::scale(session, name, *count),
        CtlCommand::Maintenance { what } => site::maintenance(session, *what),
        CtlCommand::Shutdown => site::shutdown(session),
        CtlCommand::Version => site::version(session),
    }
}
