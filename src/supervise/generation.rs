//! The descriptors of one generation of the pool, and how its zygote is started.
//!
//! Owns inbox, scoreboard and control socket as long as the generation lives. Decides nothing: `machine` does.

use std::ffi::{OsStr, OsString};
use std::io::{self, IoSlice, IsTerminal};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

use super::control::{Start, ToZygote};
use super::machine::{GenerationId, Held, PoolSettings, WorkerId};
use super::spawn::ZygoteSpawn;
use crate::config::{AppConfig, AppOutput, AppTarget, Config, gunicorn};
use crate::django::Facts;
use crate::ring::Descriptor;
use crate::sys::memory::{self, Scoreboard};
use crate::sys::outbox::Outbox;
use crate::sys::packets::{self, Packet};
use crate::sys::process::Pid;
use crate::sys::request_rings::RequestRings;
use crate::sys::users::User;
use crate::wsgi::messages::request_header;
use crate::wsgi::{Token, source};

/// Bytes of a request's message that say whose it is: its token and its shard.
const HEADER_BYTES: usize = 12;
/// Errors after which taking requests back is given up; what is left is lost when the generation's last worker has gone.
const TAKE_BACK_FAILURES_MAX: u32 = 8;

/// What the server is called where applications ask.
const SERVER_SOFTWARE: &str = concat!("maitred/", env!("CARGO_PKG_VERSION"));

/// What a generation holds open.
pub(super) struct Generation {
    pub settings: PoolSettings,
    /// The end into which shards write; `None` once closed.
    pub inbox: Option<Arc<OwnedFd>>,
    /// The workers' end of the inbox, to take back what they did not take.
    workers_inbox: OwnedFd,
    pub scoreboard: Scoreboard,
    /// Through which its workers lend large bodies.
    pub outbox: Arc<Outbox>,
    /// From which its workers take short requests, if they can.
    requests: Option<Arc<RequestRings>>,
    /// Its workers run the native loop.
    pub is_native: bool,
    /// The supervisor's end of the control socket; `None` once closed.
    pub control: Option<Descriptor>,
    /// Where the answer to a warm-up request comes in, until somebody listens there.
    pub warmup: Option<OwnedFd>,
    /// What the application said of itself.
    pub django: Option<Box<Facts>>,
    /// What its processes write goes into the log.
    is_logged: bool,
    /// Its zygote calls server hooks.
    has_hooks: bool,
    /// Names of threads that hooks have begun in its zygote.
    pub hook_threads: Vec<String>,
}

/// What the whole server is like, as far as workers are told.
pub(super) struct About<'a> {
    pub config: &'a Config,
    pub app: &'a AppConfig,
    /// Whom workers run as; `None`: as the server.
    pub user: Option<&'a User>,
    /// Name of the processes.
    pub proc_name: Option<&'a str>,
    /// Workers of the generation before; `None` for the first.
    pub workers_before: Option<u32>,
}

/// What a worker leaves that has ended.
pub(super) struct Estate {
    /// Requests that it had.
    pub held: Vec<Held>,
    /// Those that it had taken and not begun.
    pub unbegun: Vec<Held>,
    /// How many it had finished.
    pub served: u64,
}

/// A generation whose zygote runs.
pub(super) struct Started {
    pub generation: Generation,
    pub pid: Pid,
    pub pidfd: OwnedFd,
    /// What the zygote writes to its standard output and error, if that is for the log.
    pub output: Option<OwnedFd>,
}

impl Generation {
    /// Makes the descriptors and starts the zygote, which is told what to import.
    pub fn start(
        id: GenerationId,
        settings: PoolSettings,
        about: &About<'_>,
        replies: &[Arc<OwnedFd>],
    ) -> io::Result<Started> {
        let app = about.app;
        let (inbox, workers_inbox) = packets::pair()?;
        let (control, zygotes_control) = packets::pair()?;
        // One place more than workers, for the replacement of one that is to end.
        let places = settings.workers as usize + 1;
        let scoreboard = Scoreboard::create(places * settings.threads as usize)?;
        let (lines, shards) = (scoreboard.slots(), replies.len());
        let outbox = Outbox::create(lines, shards).or_else(|_| Outbox::create(lines, 0)).or_else(|error| {
            // A limit of files' sizes counts here too.
            tracing::warn!(%error, "workers share no memory with the server: answers go in messages");
            Outbox::create(0, 0)
        })?;
        let requests = RequestRings::create(lines, shards).inspect_err(|error| {
            tracing::warn!(%error, "workers share no memory with the server: requests go in messages");
        });
        let requests = requests.ok().map(Arc::new);
        let code = memory::filled_memfd("maitred-worker", &source::code())?;
        let is_logged = app.output == AppOutput::Log;
        let (output, childs_output) = is_logged.then(output_pipe).transpose()?.unzip();
        let warmup = app.warmup.as_ref().map(|_| packets::pair()).transpose()?;
        // After those of the shards.
        let of_warmup = warmup.iter().map(|(_, workers)| workers.as_fd());
        let replies: Vec<_> = replies.iter().map(|fd| fd.as_fd()).chain(of_warmup).collect();
        // A debugger that the application stops in reads there.
        let terminal = app.dev.then(std::io::stdin).filter(IsTerminal::is_terminal);
        let child = ZygoteSpawn {
            python: &app.python.path,
            bootstrap: source::BOOTSTRAP,
            control: zygotes_control.as_fd(),
            code: code.as_fd(),
            inbox: workers_inbox.as_fd(),
            scoreboard: scoreboard.fd(),
            outbox: outbox.as_fd(),
            requests: requests.as_ref().map(|rings| (rings.memory(), rings.bell())),
            replies: &replies,
            terminal: terminal.as_ref().map(AsFd::as_fd),
            output: childs_output.as_ref().map(AsFd::as_fd),
            env: &environment(app, about.user),
            user: about.user,
            cpus: None,
        }
        .start()?;
        let generation = Generation {
            settings,
            inbox: Some(Arc::new(inbox)),
            workers_inbox,
            scoreboard,
            outbox: Arc::new(outbox),
            requests,
            is_native: false,
            control: Some(Rc::new(control)),
            warmup: warmup.map(|(own, _)| own),
            django: None,
            is_logged,
            has_hooks: !app.hooks.is_empty(),
            hook_threads: Vec::new(),
        };
        generation.tell(&start_message(id, settings, about), None)?;
        Ok(Started { generation, pid: child.pid, pidfd: child.pidfd, output })
    }

    /// Asks the zygote for a worker. Returns the end of its output pipe, if it has one; else it writes where the zygote does.
    pub fn fork(&self, worker: WorkerId, place: u32) -> io::Result<Option<OwnedFd>> {
        let (output, workers_output) = self.is_logged.then(output_pipe).transpose()?.unzip();
        self.tell(&ToZygote::Fork { worker: worker.0, slot: place }, workers_output)?;
        Ok(output)
    }

    /// Tells the zygote what its hooks are to hear, if it has any.
    pub fn tell_hooks(&self, message: &ToZygote) {
        if self.has_hooks
            && let Err(error) = self.tell(message, None)
        {
            tracing::debug!(%error, "a zygote was not told what its hooks are to hear");
        }
    }

    /// The rings from which its workers take: the loop in Python does not.
    pub fn requests(&self) -> Option<&Arc<RequestRings>> {
        self.requests.as_ref().filter(|_| self.is_native)
    }

    /// What the reaped process `pid` left.
    pub fn bury(&self, pid: Pid) -> Estate {
        let slots = self.scoreboard.take(pid);
        let mut unbegun = Vec::new();
        if let Some(rings) = self.requests() {
            let headers = slots.iter().flat_map(|(line, _)| rings.take_of(*line));
            let taken = headers.filter_map(|header| request_header(&header));
            unbegun.extend(taken.map(|(token, shard)| Held { shard, token: token.to_bits() }));
        }
        // It may have been woken for one that it did not get to.
        if self.has_waiting() {
            self.wake();
        }
        let noted = slots.iter().filter(|(_, slot)| slot.token != 0);
        let held = noted.map(|(_, slot)| Held { shard: slot.shard, token: slot.token });
        let held = held.filter(|request| !unbegun.contains(request)).collect();
        Estate { held, unbegun, served: slots.iter().map(|(_, slot)| slot.done).sum() }
    }

    /// Takes requests out of rings and inbox that no worker has taken: their tokens and shards, in order. The messages themselves are
    /// dropped, as the shards still have them.
    pub fn take_back(&self) -> Vec<(Token, u32)> {
        let mut header = [0; HEADER_BYTES];
        let in_rings =
            self.requests().into_iter().flat_map(|rings| std::iter::from_fn(|| rings.take()).take(rings.records()));
        let mut taken: Vec<_> = in_rings.filter_map(|header| request_header(&header)).collect();
        let mut failures = 0;
        while failures < TAKE_BACK_FAILURES_MAX {
            match packets::try_recv_beginning(&self.workers_inbox, &mut header) {
                Ok(Packet::Message(len)) => taken.extend(request_header(&header[..len])),
                Ok(Packet::End) => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    failures += 1;
                    tracing::warn!(%error, "cannot take a request back that no worker took");
                }
            }
        }
        taken
    }

    /// Whether requests wait in rings or inbox that no worker has taken.
    pub fn has_waiting(&self) -> bool {
        self.requests().is_some_and(|rings| rings.has_waiting())
            || rustix::io::ioctl_fionread(&self.workers_inbox).is_ok_and(|bytes| bytes > 0)
    }

    /// Wakes a worker thread that sleeps, if there is one.
    pub fn wake(&self) {
        if let Some(rings) = self.requests() {
            rings.wake();
        }
    }

    fn tell(&self, message: &ToZygote, descriptor: Option<OwnedFd>) -> io::Result<()> {
        let control = self.control.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        let riding: Vec<_> = descriptor.iter().map(|fd| fd.as_fd()).collect();
        packets::try_send(control, &[IoSlice::new(&message.encode())], &riding)
    }
}

fn output_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?)
}

/// That of the server, but for who `user` is and what the application is told.
fn environment(app: &AppConfig, user: Option<&User>) -> Vec<(OsString, OsString)> {
    let mut env: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    let mut set = |name: &str, value: &OsStr| {
        env.retain(|(other, _)| other != name);
        env.push((name.into(), value.into()));
    };
    // Libraries look for files of their user there; root's own would be closed to it.
    if let Some(user) = user {
        set("HOME", user.home.as_os_str());
        set("USER", user.name.as_ref());
        set("LOGNAME", user.name.as_ref());
    }
    if let AppTarget::Django { settings } = &app.wsgi {
        set("DJANGO_SETTINGS_MODULE", settings.as_ref());
    }
    // Some look for it to know whether they are served.
    set("SERVER_SOFTWARE", SERVER_SOFTWARE.as_ref());
    for (name, value) in &app.raw_env {
        set(name, value.as_ref());
    }
    env
}

fn start_message(id: GenerationId, settings: PoolSettings, about: &About<'_>) -> ToZygote {
    let app = about.app;
    ToZygote::Start(Box::new(Start {
        wsgi: match &app.wsgi {
            AppTarget::Named(name) => Some(name.clone()),
            AppTarget::Django { .. } => None,
        },
        chdir: app.chdir.as_path().into(),
        pythonpath: app.pythonpath.iter().map(|path| path.as_path().into()).collect(),
        preload: app.preload_app,
        spare: app.spare_worker && app.preload_app && app.hooks.is_empty() && !app.reload,
        reload: app.reload,
        serve_static: app.dev,
        worker_loop: app.worker_loop.name(),
        threads: app.threads,
        multiprocess: settings.workers > 1,
        server_software: SERVER_SOFTWARE.to_owned(),
        log_level: app.log_level.name(),
        raw_output: app.output == AppOutput::Raw,
        generation: id.0,
        proc_name: about.proc_name.map(str::to_owned),
        program: app.program.as_ref().map(Into::into),
        hooks: app.hooks.iter().map(|(name, place)| (*name, place.into())).collect(),
        workers_before: about.workers_before,
        cfg: cfg(settings.filled, about),
    }))
}

/// What hooks find in `cfg`: all settings for hooks, else what is of use without them.
fn cfg(workers: u32, about: &About<'_>) -> serde_json::Value {
    let app = about.app;
    // Their values are in the environment; they may be longer than a message.
    let env = app.raw_env.iter().map(|(name, _)| name).collect::<std::collections::BTreeSet<_>>();
    let mut cfg = if app.hooks.is_empty() { serde_json::Map::new() } else { gunicorn::values(about.config) };
    cfg.insert("workers".to_owned(), workers.into());
    cfg.insert("env".to_owned(), serde_json::json!(env));
    cfg.into()
}
