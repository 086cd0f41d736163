//! A running server: its log, its workers, its signals, and its end with its whole family.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use super::log::Log;
use super::response::Response;
use super::{Client, DEADLINE, Gate, process, value_of, wait_until};

/// How long a stop may take that no test has delayed on purpose.
const STOP_LIMIT: Duration = Duration::from_secs(15);

/// A running server. Dropping it stops it and checks that it left nothing behind and never panicked.
pub struct Server {
    pub(super) child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its stderr.
    pub log: Log,
    pub(super) folder: TempDir,
    pub(super) tag: String,
    pub(super) exited: Option<ExitStatus>,
    pub(super) abandoned: bool,
}

/// A worker as the log tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    /// Its number.
    pub number: u32,
    /// Its process.
    pub pid: u32,
    /// Its pool's generation.
    pub generation: u32,
}

/// How a server ended that was not to come up.
pub struct Refusal {
    /// Its exit code.
    pub code: Option<i32>,
    /// All of its stderr.
    pub stderr: String,
}

impl Server {
    /// The process that was started.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The test's own folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A closed gate in that folder.
    pub fn gate(&self, name: &str) -> Gate {
        Gate::new(self.folder(), name)
    }

    /// A new connection.
    #[track_caller]
    pub fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// GET on a connection of its own.
    #[track_caller]
    pub fn get(&self, target: &str) -> Response {
        let mut client = self.connect();
        client.request("GET", target, "Connection: close\r\n");
        client.response("GET")
    }

    /// GET on a connection of its own that a thread waits for.
    pub fn get_in_thread(&self, target: &str) -> std::thread::JoinHandle<Response> {
        let mut client = self.connect();
        client.read_timeout(2 * DEADLINE);
        client.request("GET", target, "Connection: close\r\n");
        std::thread::spawn(move || client.response("GET"))
    }

    /// The server's main process: the one that was started, or the only child of a prefix that stays in between.
    pub fn main(&self) -> u32 {
        let between = std::fs::read_to_string(format!("/proc/{}/comm", self.pid()));
        if between.is_ok_and(|name| name.trim_end() == "unshare") {
            return process::children(self.pid()).first().copied().unwrap_or(self.pid());
        }
        self.pid()
    }

    /// Sends a signal to the server's main process.
    pub fn signal(&self, signal: Signal) {
        process::signal(self.main(), signal);
    }

    /// Waits for a log line from the start on that contains `pattern`.
    #[track_caller]
    pub fn wait_for_line(&self, pattern: &str) -> String {
        self.wait_for_line_from(0, pattern)
    }

    /// Waits for a log line from `mark` on that contains `pattern`.
    #[track_caller]
    pub fn wait_for_line_from(&self, mark: usize, pattern: &str) -> String {
        self.log
            .wait_from(mark, pattern, DEADLINE)
            .unwrap_or_else(|| panic!("no line with {pattern:?} after line {mark} of:\n{}", self.log.text()))
    }

    /// The workers that the log says have started and not exited.
    pub fn workers(&self) -> Vec<Worker> {
        let mut workers: Vec<Worker> = Vec::new();
        let number = |line: &str, key: &str| value_of(line, key)?.parse::<u32>().ok();
        for line in self.log.lines_from(0) {
            let Some(pid) = number(&line, "pid") else {
                continue;
            };
            if line.contains("worker started") {
                workers.push(Worker {
                    number: number(&line, "worker").expect("the line names the worker"),
                    pid,
                    generation: number(&line, "generation").expect("the line names the generation"),
                });
            } else if line.contains("worker exited") {
                workers.retain(|worker| worker.pid != pid);
            }
        }
        workers
    }

    /// Waits until so many workers run.
    #[track_caller]
    pub fn wait_workers(&self, count: usize) -> Vec<Worker> {
        wait_until("the number of workers", DEADLINE, || self.workers().len() == count);
        self.workers()
    }

    /// The process that forks the workers.
    #[track_caller]
    pub fn zygote(&self) -> u32 {
        self.zygote_among(&[])
    }

    /// The same beside these processes of programs.
    #[track_caller]
    pub fn zygote_among(&self, programs: &[u32]) -> u32 {
        let mut found = Vec::new();
        wait_until("one zygote", DEADLINE, || {
            let workers: Vec<u32> = self.workers().iter().map(|worker| worker.pid).collect();
            found = process::children(self.main());
            // It leads a session, and the worker that waits for a place does not.
            found.retain(|pid| !workers.contains(pid) && !programs.contains(pid) && process::leads_session(*pid));
            found.len() == 1
        });
        found[0]
    }

    /// The worker that waits for a place.
    #[track_caller]
    pub fn spare(&self) -> u32 {
        let mut found = Vec::new();
        wait_until("one worker that waits", DEADLINE, || {
            let workers: Vec<u32> = self.workers().iter().map(|worker| worker.pid).collect();
            found = process::children(self.main());
            found.retain(|pid| !workers.contains(pid) && process::is_alive(*pid) && !process::leads_session(*pid));
            found.len() == 1
        });
        found[0]
    }

    /// All running processes of this server, itself included.
    pub fn family(&self) -> Vec<u32> {
        process::with_environment(&self.tag)
    }

    /// Waits for the end of the process that was started; none when it goes on.
    pub fn wait_exit(&mut self, limit: Duration) -> Option<ExitStatus> {
        if self.exited.is_none() && process::wait_gone(self.pid(), limit) {
            self.exited = Some(self.child.wait().expect("our own child"));
        }
        self.exited
    }

    /// SIGTERM, and the exit status that must follow.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait_exit(STOP_LIMIT).unwrap_or_else(|| panic!("it goes on after SIGTERM:\n{}", self.log.text()))
    }

    /// Ends a server that can't be asked; says what it left behind.
    fn finish(&mut self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.exited.is_none() {
            self.signal(if self.abandoned { Signal::KILL } else { Signal::TERM });
        }
        if self.wait_exit(STOP_LIMIT).is_none() {
            problems.push("it did not stop after SIGTERM".to_owned());
            self.signal(Signal::KILL);
            self.wait_exit(STOP_LIMIT);
        }
        let deadline = Instant::now() + STOP_LIMIT;
        for pid in self.family() {
            if !process::wait_gone(pid, deadline.saturating_duration_since(Instant::now())) {
                problems.push(format!("process {pid} is left behind"));
                process::signal(pid, Signal::KILL);
            }
        }
        self.log.wait_end(Duration::from_secs(1));
        if self.log.text().contains("panicked") {
            problems.push("it panicked".to_owned());
        }
        problems
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let problems = self.finish();
        if std::thread::panicking() {
            eprintln!("stderr of the server ({problems:?}):\n{}", self.log.text());
        } else {
            assert!(problems.is_empty(), "{problems:?}:\n{}", self.log.text());
        }
    }
}
