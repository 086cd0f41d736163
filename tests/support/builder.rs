//! What a test's server is started with: command line, `maitred.toml`, environment.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use super::log::Log;
use super::server::{Refusal, Server};
use super::{DEADLINE, python};

/// The inner loop of the tests' workers: the native one, and in a crate that runs suites a second time, the one in Python.
pub const WORKER_LOOP: &str =
    if matches!(env!("CARGO_CRATE_NAME").as_bytes(), b"python_loop") { "python" } else { "native" };

/// What to start: options and lines of `maitred.toml`.
pub struct Builder {
    folder: TempDir,
    wsgi: Option<String>,
    chdir: PathBuf,
    working: Option<PathBuf>,
    python: PathBuf,
    server: Vec<String>,
    app: Vec<String>,
    routes: Vec<String>,
    sections: Vec<String>,
    listens: bool,
    config: bool,
    arguments: Vec<String>,
    prefix: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Builder {
    /// An app of `tests/apps`, one worker.
    pub fn app(wsgi: &str) -> Builder {
        let mut builder = Builder::bare();
        builder.wsgi = Some(wsgi.to_owned());
        builder.workers(1).app_key("graceful_timeout = \"4s\"")
    }

    /// No app at all.
    pub fn bare() -> Builder {
        Builder {
            folder: tempfile::tempdir().expect("the temporary folder is writable"),
            wsgi: None,
            chdir: super::apps(),
            working: None,
            python: python::interpreter(),
            server: Vec::new(),
            app: Vec::new(),
            routes: Vec::new(),
            sections: Vec::new(),
            listens: true,
            config: true,
            arguments: Vec::new(),
            prefix: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// A server that is told everything by `arguments`, without a config file.
    pub fn command_line(arguments: &[&str]) -> Builder {
        let mut builder = Builder::bare();
        builder.config = false;
        builder.arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        builder
    }

    /// The test's own folder, also the server's working directory unless the test names another.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where the app lives.
    pub fn chdir(mut self, folder: &Path) -> Builder {
        self.chdir = folder.to_owned();
        self
    }

    /// Another working directory for the server than the test's own folder.
    pub fn working_directory(mut self, folder: &Path) -> Builder {
        self.working = Some(folder.to_owned());
        self
    }

    /// Another interpreter.
    pub fn python(mut self, path: &Path) -> Builder {
        self.python = path.to_owned();
        self
    }

    /// Worker processes.
    pub fn workers(self, count: u32) -> Builder {
        self.argument("--workers").argument(&count.to_string())
    }

    /// Threads of each worker.
    pub fn threads(self, count: u32) -> Builder {
        self.argument("--threads").argument(&count.to_string())
    }

    /// Shards; without it as many as the machine has CPUs.
    pub fn shards(self, count: u32) -> Builder {
        self.argument("--shards").argument(&count.to_string())
    }

    /// One more command-line argument after `serve`; a repeated option's earlier value is dropped.
    pub fn argument(mut self, argument: &str) -> Builder {
        let repeated = self.arguments.iter().position(|known| known == argument);
        if let Some(at) = repeated.filter(|_| argument.starts_with("--")) {
            self.arguments.drain(at..at + 2);
        }
        self.arguments.push(argument.to_owned());
        self
    }

    /// One line of `[server]`.
    pub fn server_key(mut self, line: &str) -> Builder {
        self.server.push(line.to_owned());
        self
    }

    /// One line of `[app]`.
    pub fn app_key(mut self, line: &str) -> Builder {
        let key = |line: &str| line.split('=').next().map(|key| key.trim().to_owned());
        self.app.retain(|known| key(known) != key(line));
        self.app.push(line.to_owned());
        self
    }

    /// A `[[route]]` of these lines. As soon as there is one, a test that wants the app names its route as well.
    pub fn route(mut self, lines: &str) -> Builder {
        self.routes.push(lines.to_owned());
        self
    }

    /// A `[[route]]` for the app with more lines of its own.
    pub fn app_route(self, lines: &str) -> Builder {
        self.route(&format!("path = \"/\"\napp = true\n{lines}"))
    }

    /// A `[[route]]` for the files of `folder` with more lines of its own.
    pub fn static_route(self, path: &str, folder: &Path, lines: &str) -> Builder {
        self.route(&format!("path = {path:?}\nstatic = {folder:?}\n{lines}"))
    }

    /// A `[program.NAME]` of these lines.
    pub fn program(self, name: &str, lines: &str) -> Builder {
        self.section(&format!("[program.{name}]\n{lines}"))
    }

    /// Lines of the config file as they are.
    pub fn section(mut self, text: &str) -> Builder {
        self.sections.push(text.to_owned());
        self
    }

    /// Without an address on the command line; to be used with `run`.
    pub fn silent(mut self) -> Builder {
        self.listens = false;
        self
    }

    /// A variable of the server's environment.
    pub fn environment(mut self, name: &str, value: &str) -> Builder {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A command that in turn starts the server: the server's own command line is appended to it.
    pub fn prefix(mut self, command: &[&str]) -> Builder {
        self.prefix = command.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Starts and waits until it accepts connections; panics with its stderr when it doesn't.
    #[track_caller]
    pub fn start(self) -> Server {
        let mut server = self.spawn();
        let line = server.log.wait_from(0, "ready: listening on http://", DEADLINE);
        let port = line.as_deref().and_then(|line| {
            let rest = line.split("http://").nth(1)?;
            let digits = rest.trim_start_matches(|c| c != ':').get(1..)?;
            let end = digits.find(|c: char| !c.is_ascii_digit());
            digits[..end.unwrap_or(digits.len())].parse().ok()
        });
        let Some(port) = port else {
            let status = server.wait_exit(Duration::ZERO);
            let text = server.log.text();
            server.abandoned = true;
            panic!("the server did not get ready (it has ended: {status:?}):\n{text}");
        };
        server.address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        server
    }

    /// Starts and waits until it says that it is ready, wherever it listens; panics with its stderr when it doesn't.
    #[track_caller]
    pub fn run(self) -> Server {
        let mut server = self.spawn();
        if server.log.wait_from(0, "ready: ", DEADLINE).is_none() {
            let status = server.wait_exit(Duration::ZERO);
            server.abandoned = true;
            panic!("the server did not get ready (it has ended: {status:?}):\n{}", server.log.text());
        }
        server
    }

    /// Starts a server that must refuse to run, and waits for its end.
    #[track_caller]
    pub fn refuse(self) -> Refusal {
        let mut server = self.spawn();
        let status = server.wait_exit(DEADLINE);
        let ended = server.log.wait_end(DEADLINE);
        let stderr = server.log.text();
        let Some(status) = status.filter(|_| ended) else {
            panic!("the server runs although it must not:\n{stderr}");
        };
        Refusal { code: status.code(), stderr }
    }

    /// Starts without waiting for anything.
    pub fn spawn(self) -> Server {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let tag = format!("MAITRED_TEST_FAMILY={}-{count}", std::process::id());
        let mut line = self.prefix.clone();
        line.push(env!("CARGO_BIN_EXE_maitred").to_owned());
        line.push("serve".to_owned());
        if self.config {
            let file = self.folder.path().join("maitred.toml");
            fs::write(&file, self.toml()).expect("the test's folder is writable");
            line.extend(["--config".to_owned(), file.display().to_string()]);
        }
        if self.listens {
            line.extend(["-b".to_owned(), "127.0.0.1:0".to_owned()]);
        }
        line.extend(self.arguments.clone());
        let (name, value) = tag.split_once('=').expect("the tag is an assignment");
        let mut child = Command::new(&line[0])
            .args(&line[1..])
            .current_dir(self.working.as_deref().unwrap_or(self.folder.path()))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            // Its control socket is there: tests run side by side.
            .env("XDG_RUNTIME_DIR", self.folder.path())
            .env_remove("RUNTIME_DIRECTORY")
            .env(name, value)
            .envs(self.environment.clone())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{line:?}: {error}"));
        let stderr = child.stderr.take().expect("stderr is piped");
        Server {
            child,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            log: Log::new(stderr),
            folder: self.folder,
            tag,
            exited: None,
            abandoned: false,
        }
    }

    fn toml(&self) -> String {
        let mut text = format!("[server]\n{}\n", self.server.join("\n"));
        if let Some(wsgi) = &self.wsgi {
            text += &format!(
                "\n[app]\nwsgi = {wsgi:?}\nchdir = {:?}\npython = {:?}\n{}\n",
                self.chdir,
                self.python,
                self.app.join("\n")
            );
            if !self.app.iter().any(|line| line.starts_with("worker_loop")) {
                text += &format!("worker_loop = {WORKER_LOOP:?}\n");
            }
        }
        for route in &self.routes {
            text += &format!("\n[[route]]\n{route}\n");
        }
        for section in &self.sections {
            text += &format!("\n{section}\n");
        }
        text
    }
}
