//! Starts the zygote of a generation: the command line and the descriptor numbers that the Python side expects.
//!
//! Makes no decision and keeps nothing: the loop owns the descriptors and the child.

use crate::sys::affinity::CpuMask;
use crate::sys::restrict::Restrictions;
use crate::sys::spawn::{Child, Spawn};
use crate::sys::users::User;
use std::ffi::OsString;
use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::path::Path;

const CONTROL: RawFd = 3;
const CODE: RawFd = 4;
const INBOX: RawFd = 5;
const SCOREBOARD: RawFd = 6;
const OUTBOX: RawFd = 7;
const REQUESTS: RawFd = 8;
const BELL: RawFd = 9;
const FIRST_REPLIES: RawFd = 10;

/// What a zygote is started with. Every descriptor is its end, not the server's.
#[derive(Debug)]
pub struct ZygoteSpawn<'a> {
    /// The interpreter: a path, or a name on `PATH`.
    pub python: &'a Path,
    /// Python source for `-c`, which loads the worker from `code`.
    pub bootstrap: &'a str,
    /// SOCK_SEQPACKET: control messages.
    pub control: BorrowedFd<'a>,
    /// memfd: the worker's Python sources.
    pub code: BorrowedFd<'a>,
    /// SOCK_SEQPACKET: requests.
    pub inbox: BorrowedFd<'a>,
    /// memfd: one line per worker thread.
    pub scoreboard: BorrowedFd<'a>,
    /// memfd: slots for what workers lend.
    pub outbox: BorrowedFd<'a>,
    /// memfd: requests, and an eventfd: whoever sleeps for want of them is woken. `None`: they all come through the inbox.
    pub requests: Option<(BorrowedFd<'a>, BorrowedFd<'a>)>,
    /// SOCK_SEQPACKET, one per shard in their order: replies.
    pub replies: &'a [BorrowedFd<'a>],
    /// Terminal: its standard input; `None`: it has none.
    pub terminal: Option<BorrowedFd<'a>>,
    /// Pipe: its standard output and standard error; `None`: they are the server's own.
    pub output: Option<BorrowedFd<'a>>,
    /// Its whole environment.
    pub env: &'a [(OsString, OsString)],
    /// Whose process it is; `None`: the server's own.
    pub user: Option<&'a User>,
    /// The CPUs it may use: those of the program before any thread was pinned.
    pub cpus: Option<CpuMask>,
}

impl ZygoteSpawn<'_> {
    /// Starts it in a session of its own. The error names the interpreter.
    pub fn start(&self) -> io::Result<Child> {
        let mut descriptors = vec![
            (self.control, CONTROL),
            (self.code, CODE),
            (self.inbox, INBOX),
            (self.scoreboard, SCOREBOARD),
            (self.outbox, OUTBOX),
        ];
        descriptors.extend(self.terminal.map(|terminal| (terminal, 0)));
        descriptors.extend(self.output.iter().flat_map(|output| [(*output, 1), (*output, 2)]));
        descriptors.extend(self.requests.iter().flat_map(|(memory, bell)| [(*memory, REQUESTS), (*bell, BELL)]));
        descriptors.extend(self.replies.iter().copied().zip(FIRST_REPLIES..));
        let spawn = Spawn {
            program: self.python.as_os_str(),
            args: &self.arguments(),
            env: self.env,
            directory: None,
            descriptors: &descriptors,
            new_session: true,
            cpus: self.cpus,
            user: self.user,
            umask: None,
            restrictions: Restrictions::default(),
            group: None,
        };
        spawn.start()
    }

    fn arguments(&self) -> Vec<OsString> {
        let replies: Vec<String> =
            (FIRST_REPLIES..).take(self.replies.len()).map(|number| number.to_string()).collect();
        let mut arguments: Vec<OsString> = vec![
            "-c".into(),
            self.bootstrap.into(),
            format!("control={CONTROL}").into(),
            format!("code={CODE}").into(),
            format!("inbox={INBOX}").into(),
            format!("scoreboard={SCOREBOARD}").into(),
            format!("outbox={OUTBOX}").into(),
            format!("replies={}", replies.join(",")).into(),
        ];
        if self.requests.is_some() {
            arguments.extend([format!("requests={REQUESTS}").into(), format!("bell={BELL}").into()]);
        }
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::packets::{Packet, pair, recv};
    use crate::sys::process::{Exit, wait_for};
    use std::os::fd::AsFd;

    #[test]
    fn an_interpreter_finds_its_descriptors_by_its_arguments() {
        let (control, control_in_child) = pair().expect("pair");
        let (replies, replies_in_child) = pair().expect("pair");
        let null = std::fs::File::options().read(true).write(true).open("/dev/null").expect("null");
        let env: Vec<(OsString, OsString)> = std::env::vars_os().collect();
        let bootstrap = "import socket, sys\n\
            numbers = dict(a.split('=') for a in sys.argv[1:])\n\
            socket.socket(fileno=int(numbers['control'])).send(' '.join(sys.argv[1:]).encode())\n\
            [socket.socket(fileno=int(n)).send(n.encode()) for n in numbers['replies'].split(',')]\n";
        let spawn = ZygoteSpawn {
            python: Path::new("python3"),
            bootstrap,
            control: control_in_child.as_fd(),
            code: null.as_fd(),
            inbox: null.as_fd(),
            scoreboard: null.as_fd(),
            outbox: null.as_fd(),
            requests: Some((null.as_fd(), null.as_fd())),
            replies: &[replies_in_child.as_fd(), replies_in_child.as_fd()],
            terminal: None,
            output: Some(null.as_fd()),
            env: &env,
            user: None,
            cpus: None,
        };
        let child = spawn.start().expect("python3");
        drop((control_in_child, replies_in_child));
        let mut received = Vec::new();
        for socket in [&control, &replies, &replies, &control] {
            let mut buffer = [0; 256];
            match recv(socket, &mut buffer, &mut Vec::new()).expect("recv") {
                Packet::Message(length) => received.push(String::from_utf8_lossy(&buffer[..length]).into_owned()),
                Packet::End => received.push("end".to_string()),
            }
        }
        assert_eq!(
            received,
            ["control=3 code=4 inbox=5 scoreboard=6 outbox=7 replies=10,11 requests=8 bell=9", "10", "11", "end"]
        );
        assert_eq!(wait_for(child.pid).expect("wait"), Exit::Code(0));
    }
}
