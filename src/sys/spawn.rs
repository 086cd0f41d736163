//! Starts a program with an exact set of inherited descriptors.
//!
//! Not `std::process::Command`: that keeps a pipe of its own across the fork, at a number that nobody knows, and descriptors put at
//! fixed numbers may overwrite it; a failing exec would then go unreported. Here the whole way from fork to exec is in
//! one function that makes only async-signal-safe calls on values prepared before (signal-safety(7)).

use super::affinity::CpuMask;
use super::fork::fork;
use super::process::{Pid, Signal, pidfd, signal, wait_for};
use super::restrict::{Restriction, RestrictionPlan, Restrictions};
use super::signals;
use super::users::User;
use crate::base::bounds::CHILD_DESCRIPTOR_MAX;
use rustix::io::fcntl_dupfd_cloexec;
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What to start, and with what.
#[derive(Debug)]
pub struct Spawn<'a> {
    /// The program: a path, or a name to be found in the directories of `PATH` (of `env`).
    pub program: &'a OsStr,
    /// Its arguments, without the program's own name.
    pub args: &'a [OsString],
    /// Its whole environment.
    pub env: &'a [(OsString, OsString)],
    /// Its working directory; None: this process's.
    pub directory: Option<&'a Path>,
    /// Descriptors it gets, each at its number (0 to [`CHILD_DESCRIPTOR_MAX`], each number once). It gets no others. Number 0
    /// is /dev/null unless given here; 1 and 2 are this process's unless given here.
    pub descriptors: &'a [(BorrowedFd<'a>, RawFd)],
    /// Whether it leads a session of its own, so that a terminal's signals don't reach it.
    pub new_session: bool,
    /// The CPUs it may use; None: those of the calling thread.
    pub cpus: Option<CpuMask>,
    /// Whose process it is to be, with all of that account's groups; None: this process's own. Needs CAP_SETUID and CAP_SETGID.
    pub user: Option<&'a User>,
    /// Its file mode creation mask (umask(2)); None: this process's.
    pub umask: Option<u32>,
    /// Limits under which it runs.
    pub restrictions: Restrictions,
    /// The directory of the control group that it begins in; None: this process's own.
    pub group: Option<&'a Path>,
}

/// A program that was started and whose exec succeeded.
#[derive(Debug)]
pub struct Child {
    /// Its process id; valid until it was reaped.
    pub pid: Pid,
    /// A handle on it, close-on-exec.
    pub pidfd: OwnedFd,
}

impl<'a> Spawn<'a> {
    /// A program without arguments, environment and descriptors, and otherwise as this process is.
    pub fn of(program: &'a OsStr) -> Spawn<'a> {
        Spawn {
            program,
            args: &[],
            env: &[],
            directory: None,
            descriptors: &[],
            new_session: false,
            cpus: None,
            user: None,
            umask: None,
            restrictions: Restrictions::default(),
            group: None,
        }
    }

    /// Starts the program and waits until its exec has succeeded or failed. The error names the program and what could not be
    /// done: change to its directory, become its user, or run it.
    pub fn start(&self) -> io::Result<Child> {
        self.start_unnamed().map_err(|failure| {
            let program = Path::new(self.program).display();
            let error = &failure.error;
            let text = match (failure.step, self.directory, self.user) {
                (Step::Restriction(what), ..) => format!("could not start {program}: {}: {error}", what.text()),
                (Step::Directory, Some(directory), _) => {
                    format!("could not start {program}: its directory {}: {error}", directory.display())
                }
                (Step::User, _, Some(user)) => {
                    format!("could not start {program}: cannot become user {}: {error}", user.name)
                }
                _ => format!("could not start {program}: {error}"),
            };
            io::Error::new(error.kind(), text)
        })
    }

    fn start_unnamed(&self) -> Result<Child, Failure> {
        let plan = Plan::new(self)?;
        let (report, low) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(io::Error::from)?;
        let report_in_child = dup_above(&low, above_targets(self))?;
        // No writer may be left in this process, or a successful exec would never be seen as end-of-file.
        drop(low);
        // SAFETY: the child makes only async-signal-safe calls on memory prepared before the fork (`Plan::exec`), and
        // ends in exec or _exit, so no destructor and no lock of this process is touched in it.
        let forked = unsafe { fork(self.group)? };
        let pid = match forked.pid {
            0 => {
                let (step, error) = plan.exec(forked.is_in_group);
                let words = [step.number(), error];
                // SAFETY: write and _exit are async-signal-safe; the buffer lives on this stack.
                unsafe {
                    libc::write(report_in_child.as_raw_fd(), (&raw const words).cast(), size_of_val(&words));
                    libc::_exit(127)
                }
            }
            pid => Pid::from_raw(pid).expect("fork gives a positive number to the parent"),
        };
        drop(report_in_child);
        let mut words = [0u8; 8];
        match rustix::io::retry_on_intr(|| rustix::io::read(&report, &mut words)).map_err(io::Error::from)? {
            0 => match pidfd(pid) {
                Ok(pidfd) => Ok(Child { pid, pidfd }),
                Err(error) => {
                    // Out of descriptors, most likely. What nobody would look after must not run.
                    signal(pid, Signal::KILL)?;
                    wait_for(pid)?;
                    Err(error.into())
                }
            },
            _ => {
                wait_for(pid)?;
                let [a, b, c, d, rest @ ..] = words;
                let (step, error) = (i32::from_ne_bytes([a, b, c, d]), i32::from_ne_bytes(rest));
                Err(Failure { step: Step::of(step), error: io::Error::from_raw_os_error(error) })
            }
        }
    }
}

/// What a child was doing when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Run,
    Directory,
    User,
    Restriction(Restriction),
}

impl Step {
    fn number(self) -> i32 {
        match self {
            Step::Run => 0,
            Step::Directory => 1,
            Step::User => 2,
            Step::Restriction(what) => what as i32,
        }
    }

    fn of(number: i32) -> Step {
        match number {
            1 => Step::Directory,
            2 => Step::User,
            _ => Restriction::of(number).map_or(Step::Run, Step::Restriction),
        }
    }
}

struct Failure {
    step: Step,
    error: io::Error,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure { step: Step::Run, error }
    }
}

/// Everything that the child needs, ready before the fork.
struct Plan {
    programs: Vec<CString>,
    directory: Option<CString>,
    /// Keeps alive what `argv` and `envp` point to.
    _strings: Vec<CString>,
    argv: Vec<*const libc::c_char>,
    envp: Vec<*const libc::c_char>,
    /// Copies above all targets, so that no copy is overwritten by another's target.
    moves: Vec<(OwnedFd, RawFd)>,
    new_session: bool,
    cpus: Option<CpuMask>,
    user: Option<Ids>,
    umask: Option<u32>,
    restrictions: RestrictionPlan,
}

/// A user as the kernel knows it.
struct Ids {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
}

impl Ids {
    /// In the child. Groups first: they can't be changed any more once the user has been (credentials(7)). The calls are made
    /// directly, as the C library's would first ask every thread of a process that has only one here.
    fn assume(&self) -> Result<(), i32> {
        // SAFETY: the calls are async-signal-safe; the list of groups was made before the fork and is as long as is said.
        let done = unsafe {
            libc::syscall(libc::SYS_setgroups, self.groups.len(), self.groups.as_ptr()) == 0
                && libc::syscall(libc::SYS_setresgid, self.gid, self.gid, self.gid) == 0
                && libc::syscall(libc::SYS_setresuid, self.uid, self.uid, self.uid) == 0
        };
        if done { Ok(()) } else { Err(errno()) }
    }
}

impl Plan {
    fn new(spawn: &Spawn<'_>) -> io::Result<Plan> {
        let above = above_targets(spawn);
        let mut moves = Vec::with_capacity(spawn.descriptors.len() + 1);
        for (source, target) in spawn.descriptors {
            let taken = moves.iter().any(|(_, other)| other == target);
            if taken || !(0..CHILD_DESCRIPTOR_MAX).contains(target) {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("descriptor number {target}")));
            }
            moves.push((dup_above(source, above)?, *target));
        }
        if !moves.iter().any(|(_, target)| *target == 0) {
            moves.push((dup_above(std::fs::File::open("/dev/null")?, above)?, 0));
        }
        let mut strings = vec![c_string(spawn.program)?];
        for argument in spawn.args {
            strings.push(c_string(argument)?);
        }
        let variables_from = strings.len();
        for (name, value) in spawn.env {
            let mut variable = name.clone();
            variable.push("=");
            variable.push(value);
            strings.push(c_string(&variable)?);
        }
        let pointers = |strings: &[CString]| {
            strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect::<Vec<_>>()
        };
        Ok(Plan {
            programs: candidates(spawn)?,
            directory: spawn.directory.map(|path| c_string(path.as_os_str())).transpose()?,
            argv: pointers(&strings[..variables_from]),
            envp: pointers(&strings[variables_from..]),
            _strings: strings,
            moves,
            new_session: spawn.new_session,
            cpus: spawn.cpus,
            // Nothing to change where it is this process's own user already: that needs no privilege then.
            user: spawn.user.filter(|user| rustix::process::geteuid().as_raw() != user.uid).map(|user| Ids {
                uid: user.uid,
                gid: user.gid,
                groups: user.groups.clone(),
            }),
            umask: spawn.umask,
            restrictions: RestrictionPlan::new(&spawn.restrictions, spawn.group)?,
        })
    }

    /// In the child. Returns only when something failed: what, and its errno.
    fn exec(&self, is_in_group: bool) -> (Step, i32) {
        if let Err(error) = self.settle() {
            return (Step::Run, error);
        }
        // As long as it has the privileges that this may need.
        if let Err((what, error)) = self.restrictions.apply(is_in_group) {
            return (Step::Restriction(what), error);
        }
        if let Some(Err(error)) = self.user.as_ref().map(Ids::assume) {
            return (Step::User, error);
        }
        // As the user that it is now: where that one may not go, the program does not run.
        if let Some(directory) = &self.directory
            // SAFETY: chdir is async-signal-safe; the string lives as long as the plan.
            && unsafe { libc::chdir(directory.as_ptr()) } != 0
        {
            return (Step::Directory, errno());
        }
        (Step::Run, self.run())
    }

    /// Descriptors, session, CPUs, mask and signals.
    fn settle(&self) -> Result<(), i32> {
        // SAFETY: every function called is async-signal-safe; descriptors are valid numbers.
        unsafe {
            if libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) != 0 {
                return Err(errno());
            }
            for (copy, target) in &self.moves {
                if libc::dup2(copy.as_raw_fd(), *target) < 0 {
                    return Err(errno());
                }
            }
            if self.new_session && libc::setsid() < 0 {
                return Err(errno());
            }
            if let Some(cpus) = &self.cpus {
                // A CPU may have gone away since start; that is no reason not to run.
                let _ = cpus.apply();
            }
            if let Some(umask) = self.umask {
                libc::umask(umask);
            }
        }
        signals::reset_in_child()
    }

    /// Becomes the program; returns only when that failed, with its errno.
    fn run(&self) -> i32 {
        // SAFETY: execve is async-signal-safe; every pointer was made from a CString, or a list of them ended by a null pointer,
        // that the plan keeps alive.
        unsafe {
            let mut failure = libc::ENOENT;
            for program in &self.programs {
                libc::execve(program.as_ptr(), self.argv.as_ptr(), self.envp.as_ptr());
                match errno() {
                    // As execvp(3): a directory without the program is passed over, one where it may not be run is remembered.
                    libc::ENOENT | libc::ENOTDIR => {}
                    libc::EACCES => failure = libc::EACCES,
                    error => return error,
                }
            }
            failure
        }
    }
}

/// The paths to try: the program itself when it has a slash, else it in each directory of PATH (execvp(3)).
fn candidates(spawn: &Spawn<'_>) -> io::Result<Vec<CString>> {
    if spawn.program.as_bytes().contains(&b'/') {
        return Ok(vec![c_string(spawn.program)?]);
    }
    let default = OsString::from("/usr/local/bin:/usr/bin:/bin");
    let path = spawn.env.iter().rev().find(|(name, _)| name == "PATH").map_or(&default, |(_, value)| value);
    let directories = std::env::split_paths(path);
    directories.map(|directory: PathBuf| c_string(directory.join(spawn.program).as_os_str())).collect()
}

/// The first number that no descriptor of the child is put at.
fn above_targets(spawn: &Spawn<'_>) -> RawFd {
    spawn.descriptors.iter().map(|(_, target)| target + 1).max().unwrap_or(0).max(3)
}

fn dup_above(fd: impl AsFd, first: RawFd) -> io::Result<OwnedFd> {
    Ok(fcntl_dupfd_cloexec(fd, first)?)
}

fn c_string(text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, format!("a zero byte in {}", text.display())))
}

fn errno() -> i32 {
    // SAFETY: the address of the calling thread's errno is always valid.
    unsafe { *libc::__errno_location() }
}

#[cfg(test)]
mod tests {
    use super::super::process::Exit;
    use super::*;
    use std::io::Read;

    fn variables() -> Vec<(OsString, OsString)> {
        vec![("PATH".into(), "/usr/bin:/bin".into()), ("GREETING".into(), "hello".into())]
    }

    /// Runs a shell script with its output and `more` descriptors, and returns what it wrote and its exit.
    fn run(script: &str, more: &[(BorrowedFd<'_>, RawFd)], cpus: Option<CpuMask>) -> (String, Exit) {
        let (output, output_in_child) = std::io::pipe().expect("pipe");
        let mut descriptors = vec![(output_in_child.as_fd(), 1)];
        descriptors.extend_from_slice(more);
        let spawn = Spawn {
            program: OsStr::new("sh"),
            args: &["-c".into(), script.into()],
            env: &variables(),
            directory: Some(Path::new("/")),
            descriptors: &descriptors,
            new_session: true,
            cpus,
            user: None,
            umask: None,
            restrictions: Restrictions::default(),
            group: None,
        };
        let child = spawn.start().expect("start");
        drop(output_in_child);
        let mut text = String::new();
        { output }.read_to_string(&mut text).expect("read");
        (text, wait_for(child.pid).expect("wait"))
    }

    #[test]
    fn a_child_gets_exactly_what_it_is_given() {
        let (one, two) =
            (std::fs::File::open("/etc/passwd").expect("file"), std::fs::File::open("/dev/zero").expect("file"));
        // Not close-on-exec, as a careless library might leave it.
        let stray = rustix::io::dup(&one).expect("dup");
        // Sources whose numbers are each other's targets must not overwrite one another.
        let (low, high) = (one.as_raw_fd(), two.as_raw_fd());
        let given = [(one.as_fd(), high), (two.as_fd(), low)];
        let script = "echo $GREETING; pwd; exec ls -l /proc/self/fd";
        let (text, exit) = run(script, &given, None);
        drop(stray);
        assert_eq!(exit, Exit::Code(0));
        let mut lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.drain(..2).collect::<Vec<_>>(), ["hello", "/"]);
        // 1 and 2 are the output, and `ls` itself holds the directory that it lists.
        let mut lines: Vec<String> = lines
            .iter()
            .filter_map(|line| line.split_once(" -> "))
            .filter_map(|(left, file)| Some((left.rsplit_once(' ')?.1, file)))
            .filter(|(number, file)| !["1", "2"].contains(number) && !file.starts_with("/proc/"))
            .map(|(number, file)| format!("{number} {file}"))
            .collect();
        let mut expected = vec!["0 /dev/null".to_string(), format!("{high} /etc/passwd"), format!("{low} /dev/zero")];
        expected.sort();
        lines.sort();
        assert_eq!(lines, expected);
    }

    #[test]
    fn signals_session_and_cpus_are_reset() {
        std::thread::spawn(|| {
            let original = CpuMask::current().expect("mask");
            signals::block().expect("mask");
            CpuMask::single(super::super::affinity::usable_cpus()[0]).expect("cpu").apply().expect("pin");
            let script = "grep -E '^(SigBlk|SigIgn)' /proc/self/status; nproc; kill -TERM $$; sleep 1000";
            let (text, exit) = run(script, &[], Some(original));
            let lines: Vec<&str> = text.lines().collect();
            assert_eq!(lines[0], "SigBlk:\t0000000000000000");
            let ignored = lines[1].strip_prefix("SigIgn:\t").expect("SigIgn");
            let ignored = u64::from_str_radix(ignored, 16).expect("a mask");
            for number in [libc::SIGPIPE, libc::SIGXFSZ] {
                assert_eq!(ignored & (1 << (number - 1)), 0, "signal {number} has its default action again");
            }
            assert_eq!(lines[2], original.count().to_string());
            assert_eq!(exit, Exit::Signal { signal: 15, core_dumped: false });
        })
        .join()
        .expect("thread");
    }

    #[test]
    fn a_failing_exec_names_the_program() {
        let stdin = std::io::stdin();
        for (program, kind) in [
            ("no-such-program", io::ErrorKind::NotFound),
            ("/no/such/program", io::ErrorKind::NotFound),
            ("/etc/passwd", io::ErrorKind::PermissionDenied),
        ] {
            let spawn = Spawn {
                env: &variables(),
                // Would overwrite a low-numbered error pipe.
                descriptors: &[(stdin.as_fd(), 3), (stdin.as_fd(), 4), (stdin.as_fd(), 5)],
                ..Spawn::of(OsStr::new(program))
            };
            let error = spawn.start().expect_err(program);
            assert_eq!(error.kind(), kind);
            assert!(error.to_string().contains(program), "{error}");
        }
    }

    #[test]
    fn a_descriptor_number_is_given_once() {
        let null = std::fs::File::open("/dev/null").expect("file");
        for descriptors in
            [[(null.as_fd(), 3), (null.as_fd(), 3)], [(null.as_fd(), 3), (null.as_fd(), CHILD_DESCRIPTOR_MAX)]]
        {
            let spawn = Spawn { descriptors: &descriptors, ..Spawn::of(OsStr::new("true")) };
            assert_eq!(spawn.start().expect_err("refused").kind(), io::ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn a_directory_that_is_not_there_and_a_user_that_can_not_be_become_are_named() {
        let stranger =
            User { name: "stranger".into(), uid: 12_345, gid: 12_345, groups: vec![12_345], home: "/".into() };
        let plain = Spawn {
            program: OsStr::new("true"),
            args: &[],
            env: &variables(),
            directory: Some(Path::new("/no/such/directory")),
            descriptors: &[],
            new_session: true,
            cpus: None,
            user: None,
            umask: None,
            restrictions: Restrictions::default(),
            group: None,
        };
        let error = plain.start().expect_err("no directory").to_string();
        assert!(error.starts_with("could not start true: its directory /no/such/directory: No such file"), "{error}");
        let as_stranger = Spawn { directory: Some(Path::new("/")), user: Some(&stranger), ..plain };
        match as_stranger.start() {
            // Root may.
            Ok(child) => assert_eq!(wait_for(child.pid).expect("wait"), Exit::Code(0)),
            Err(error) => {
                let error = error.to_string();
                assert!(error.starts_with("could not start true: cannot become user stranger:"), "{error}");
            }
        }
    }

    #[test]
    fn user_groups_and_mask_are_set() {
        if !rustix::process::geteuid().is_root() {
            return eprintln!("not shown: only root may become another user");
        }
        let user =
            User { name: "stranger".into(), uid: 12_345, gid: 12_346, groups: vec![12_347, 12_348], home: "/".into() };
        let (output, output_in_child) = std::io::pipe().expect("pipe");
        let script = "grep -E '^(Uid|Gid|Groups):' /proc/self/status; umask";
        let spawn = Spawn {
            program: OsStr::new("sh"),
            args: &["-c".into(), script.into()],
            env: &variables(),
            directory: None,
            descriptors: &[(output_in_child.as_fd(), 1)],
            new_session: true,
            cpus: None,
            user: Some(&user),
            umask: Some(0o027),
            restrictions: Restrictions::default(),
            group: None,
        };
        let child = spawn.start().expect("root may");
        drop(output_in_child);
        let mut text = String::new();
        { output }.read_to_string(&mut text).expect("read");
        assert_eq!(wait_for(child.pid).expect("wait"), Exit::Code(0));
        let words: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words[0], ["Uid:", "12345", "12345", "12345", "12345"]);
        assert_eq!(words[1], ["Gid:", "12346", "12346", "12346", "12346"]);
        assert_eq!(words[2], ["Groups:", "12347", "12348"]);
        assert_eq!(words[3], ["0027"]);
    }

    #[test]
    fn restrictions_hold_in_the_child_and_what_can_not_be_set_is_named() {
        let (output, output_in_child) = std::io::pipe().expect("pipe");
        let script = "ulimit -n; ulimit -Hn; nice; cat /proc/self/oom_score_adj; grep NoNewPrivs /proc/self/status";
        let restrictions = Restrictions {
            nofile: Some(57),
            nproc: None,
            nice: Some(3),
            oom_score_adj: Some(500),
            no_new_privileges: true,
        };
        let spawn = Spawn {
            program: OsStr::new("sh"),
            args: &["-c".into(), script.into()],
            env: &variables(),
            directory: None,
            descriptors: &[(output_in_child.as_fd(), 1)],
            new_session: true,
            cpus: None,
            user: None,
            umask: None,
            restrictions,
            group: None,
        };
        let child = spawn.start().expect("all of this is allowed");
        let no_group = Spawn { group: Some(Path::new("/no/such/group")), ..spawn };
        let error = no_group.start().expect_err("no group").to_string();
        assert!(error.starts_with("could not start sh: cannot join its control group: No such file"), "{error}");
        drop(output_in_child);
        let mut text = String::new();
        { output }.read_to_string(&mut text).expect("read");
        assert_eq!(wait_for(child.pid).expect("wait"), Exit::Code(0));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines, ["57", "57", "3", "500", "NoNewPrivs:\t1"]);
    }
}
