//! A simulated engine: sockets in memory, and a kernel that does everything the real one may do, from a seed.
//!
//! Owns what the peers have sent and what was sent to them. Used by the property tests only.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};
use std::rc::Rc;

use super::engine::{Cqe, Engine, Sqe};

/// SplitMix64: small, and the same everywhere.
pub(super) struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From `0` to `end - 1`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// True `percent` times in a hundred.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// How likely each misfortune is, per cent of the occasions on which it may happen.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Faults {
    pub partial: usize,
    pub multishot_end: usize,
    pub enobufs: usize,
    pub emfile: usize,
    pub again: usize,
    pub reset: usize,
    /// A cancellation finds that the operation has just done something.
    pub late_cancel: usize,
    /// A ready operation is left for later, so that others overtake it.
    pub delay: usize,
    /// A failed receive keeps its buffer, as older kernels do.
    pub buffer_with_error: usize,
    /// The kernel takes no submissions now (EAGAIN).
    pub refuse: usize,
}

/// One socket as its peer sees it.
#[derive(Default)]
pub(super) struct Socket {
    pub incoming: VecDeque<u8>,
    pub eof: bool,
    pub reset: bool,
    pub outgoing: Vec<u8>,
    pub connections: VecDeque<OwnedFd>,
    pub messages: VecDeque<(Vec<u8>, Vec<OwnedFd>)>,
}

struct Running {
    sqe: Sqe,
    key: u64,
    sent: usize,
}

struct Group {
    base: *mut u8,
    size: usize,
    entries: u16,
    free: VecDeque<u16>,
}

pub(super) struct World {
    pub random: Random,
    pub faults: Faults,
    pub sockets: HashMap<RawFd, Socket>,
    /// What openat2 opens.
    pub files: VecDeque<OwnedFd>,
    queue: VecDeque<(Sqe, u64)>,
    queue_max: usize,
    running: Vec<Running>,
    completions: VecDeque<Cqe>,
    completions_max: usize,
    groups: Vec<Group>,
    /// How often each misfortune came, so that a test can see that it tested something.
    pub enobufs: usize,
    pub full: usize,
    pub overflown: usize,
    pub ended: usize,
    pub late: usize,
}

/// The engine; the test keeps the world.
pub(super) struct Simulated(pub Rc<RefCell<World>>);

impl World {
    pub fn new(seed: u64, faults: Faults, queue_max: usize, completions_max: usize) -> Rc<RefCell<World>> {
        Rc::new(RefCell::new(World {
            random: Random(seed),
            faults,
            sockets: HashMap::new(),
            files: VecDeque::new(),
            queue: VecDeque::new(),
            queue_max,
            running: Vec::new(),
            completions: VecDeque::new(),
            completions_max,
            groups: Vec::new(),
            enobufs: 0,
            full: 0,
            overflown: 0,
            ended: 0,
            late: 0,
        }))
    }

    /// Whether the kernel would signal: something can be reaped or go on.
    pub fn is_ready(&self) -> bool {
        !self.completions.is_empty() || self.running.iter().any(|running| self.can_go_on(&running.sqe))
    }

    /// Buffers that are with the kernel, and of how many.
    pub fn free(&self, group: usize) -> (usize, usize) {
        (self.groups[group].free.len(), usize::from(self.groups[group].entries))
    }

    fn can_go_on(&self, sqe: &Sqe) -> bool {
        let socket = |fd: &RawFd| &self.sockets[fd];
        match sqe {
            Sqe::Accept { fd, .. } => !socket(fd).connections.is_empty(),
            Sqe::Recv { fd, .. } | Sqe::RecvInto { fd, .. } => {
                let socket = socket(fd);
                !socket.incoming.is_empty() || socket.eof || socket.reset
            }
            Sqe::RecvMsg { fd, .. } => !socket(fd).messages.is_empty() || socket(fd).eof,
            Sqe::Timeout { .. } | Sqe::Poll { .. } => false, // until they are cancelled
            _ => true,
        }
    }

    fn post(&mut self, key: u64, result: i32, buffer: Option<u16>, more: bool) -> bool {
        let overflows = self.completions.len() >= self.completions_max;
        self.overflown += usize::from(overflows);
        // A multishot operation ends when its completion does not fit into the queue.
        let more = more && !overflows;
        self.completions.push_back(Cqe { key, result, buffer, more });
        more
    }

    /// Ends or goes on, as the dice have it.
    fn post_more(&mut self, key: u64, result: i32, buffer: Option<u16>) -> bool {
        let more = !self.random.chance(self.faults.multishot_end);
        self.ended += usize::from(!more);
        self.post(key, result, buffer, more)
    }

    fn post_error(&mut self, running: &Running, error: i32) {
        let buffer = match running.sqe {
            Sqe::Recv { group, .. } if self.random.chance(self.faults.buffer_with_error) => {
                self.groups[usize::from(group)].free.pop_front()
            }
            _ => None,
        };
        self.post(running.key, -error, buffer, false);
    }

    /// Fills a buffer of `group`; `None` without one.
    fn fill(&mut self, group: u16, bytes: &[u8]) -> Option<u16> {
        let group = &mut self.groups[usize::from(group)];
        let buffer = group.free.pop_front()?;
        assert!(bytes.len() <= group.size);
        // SAFETY: the buffer is with this kernel, and its group's memory lives as long as the ring.
        unsafe {
            group.base.add(usize::from(buffer) * group.size).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len())
        };
        Some(buffer)
    }

    /// Lets one operation go on. Returns whether it is still running.
    fn step(&mut self, running: &mut Running) -> bool {
        let key = running.key;
        match running.sqe {
            Sqe::Accept { fd, multishot } => {
                if self.random.chance(self.faults.emfile) {
                    self.post_error(running, libc::EMFILE);
                    return false;
                }
                let Some(connection) = self.sockets.get_mut(&fd).expect("known").connections.pop_front() else {
                    return true;
                };
                match multishot {
                    true => self.post_more(key, connection.into_raw_fd(), None),
                    false => self.post(key, connection.into_raw_fd(), None, false),
                }
            }
            Sqe::Recv { fd, group, multishot } => self.step_recv(running, fd, group, multishot),
            Sqe::RecvInto { fd, ptr, len } => self.step_recv_into(running, fd, ptr, len as usize),
            Sqe::RecvMsg { fd, group, msg } => self.step_message(running, fd, group, msg),
            Sqe::Send { fd, ptr, len, flags } => {
                // SAFETY: the slot owns the bytes until the completion, which is what this tests.
                let bytes = unsafe { std::slice::from_raw_parts(ptr, len as usize) };
                self.step_send(running, fd, bytes, flags)
            }
            Sqe::SendMsg { fd, msg, flags } => {
                let mut bytes = Vec::new();
                // SAFETY: as above, for the header, the vectors and what they point to.
                unsafe {
                    for vector in std::slice::from_raw_parts((*msg).msg_iov, (*msg).msg_iovlen) {
                        bytes.extend_from_slice(std::slice::from_raw_parts(vector.iov_base.cast(), vector.iov_len));
                    }
                }
                self.step_send(running, fd, &bytes, flags as i32)
            }
            Sqe::OpenAt2 { .. } => {
                let result = self.files.pop_front().map_or(-libc::ENOENT, IntoRawFd::into_raw_fd);
                self.post(key, result, None, false);
                false
            }
            Sqe::Poll { .. } | Sqe::Timeout { .. } => true,
            other => unreachable!("the property tests do not use {other:?}"),
        }
    }

    fn step_recv(&mut self, running: &Running, fd: RawFd, group: u16, multishot: bool) -> bool {
        let socket = self.sockets.get_mut(&fd).expect("known");
        if socket.incoming.is_empty() {
            if socket.reset {
                self.post_error(running, libc::ECONNRESET);
                return false;
            } else if socket.eof {
                let buffer =
                    if self.random.chance(50) { self.groups[usize::from(group)].free.pop_front() } else { None };
                self.post(running.key, 0, buffer, false);
                return false;
            }
            return true;
        }
        if self.groups[usize::from(group)].free.is_empty() || self.random.chance(self.faults.enobufs) {
            self.enobufs += 1;
            self.post(running.key, -libc::ENOBUFS, None, false);
            return false;
        }
        let mut count = socket.incoming.len().min(self.groups[usize::from(group)].size);
        if self.random.chance(self.faults.partial) {
            count = 1 + self.random.below(count);
        }
        let bytes: Vec<u8> = self.sockets.get_mut(&fd).expect("known").incoming.drain(..count).collect();
        let buffer = self.fill(group, &bytes);
        if multishot {
            self.post_more(running.key, count as i32, buffer)
        } else {
            self.post(running.key, count as i32, buffer, false);
            false
        }
    }

    /// `sent` counts what has come: `MSG_WAITALL` waits for the rest.
    fn step_recv_into(&mut self, running: &mut Running, fd: RawFd, ptr: *mut u8, len: usize) -> bool {
        let socket = self.sockets.get_mut(&fd).expect("known");
        let mut count = socket.incoming.len().min(len - running.sent);
        if count > 0 && self.random.chance(self.faults.partial) {
            count = 1 + self.random.below(count);
        }
        let bytes: Vec<u8> = socket.incoming.drain(..count).collect();
        let (is_over, is_reset) = (count == 0, socket.reset);
        // SAFETY: the slot owns the region until the completion, which is what this tests.
        unsafe { ptr.add(running.sent).copy_from_nonoverlapping(bytes.as_ptr(), count) };
        running.sent += count;
        if running.sent == len || is_over {
            let failed = is_reset && running.sent == 0;
            self.post(running.key, if failed { -libc::ECONNRESET } else { running.sent as i32 }, None, false);
            return false;
        }
        true
    }

    fn step_message(&mut self, running: &Running, fd: RawFd, group: u16, msg: *const libc::msghdr) -> bool {
        if self.groups[usize::from(group)].free.is_empty() {
            self.enobufs += 1;
            self.post(running.key, -libc::ENOBUFS, None, false);
            return false;
        }
        // SAFETY: the stream's slot owns the header.
        let room = unsafe { (*msg).msg_controllen };
        let message = self.sockets.get_mut(&fd).expect("known").messages.pop_front();
        let ends = message.is_none();
        let (bytes, descriptors) = message.unwrap_or_default();
        let mut control = Vec::new();
        if !descriptors.is_empty() {
            control.extend_from_slice(&(16 + 4 * descriptors.len()).to_ne_bytes());
            control.extend_from_slice(&libc::SOL_SOCKET.to_ne_bytes());
            control.extend_from_slice(&libc::SCM_RIGHTS.to_ne_bytes());
            for descriptor in descriptors {
                control.extend_from_slice(&descriptor.into_raw_fd().to_ne_bytes());
            }
        }
        assert!(control.len() <= room, "the tests send no more descriptors than fit");
        let mut buffer: Vec<u8> = Vec::new();
        for word in [0, control.len() as u32, bytes.len() as u32, 0] {
            buffer.extend_from_slice(&word.to_ne_bytes());
        }
        control.resize(room, 0);
        buffer.extend_from_slice(&control);
        buffer.extend_from_slice(&bytes);
        let filled = self.fill(group, &buffer);
        if ends {
            self.post(running.key, buffer.len() as i32, filled, false)
        } else {
            self.post_more(running.key, buffer.len() as i32, filled)
        }
    }

    fn step_send(&mut self, running: &mut Running, fd: RawFd, bytes: &[u8], flags: i32) -> bool {
        let socket = self.sockets.get_mut(&fd).expect("known");
        if socket.reset {
            let result = if running.sent > 0 { running.sent as i32 } else { -libc::EPIPE };
            self.post(running.key, result, None, false);
            return false;
        }
        let rest = &bytes[running.sent..];
        let count =
            if self.random.chance(self.faults.partial) { self.random.below(rest.len() + 1) } else { rest.len() };
        let waits = flags & libc::MSG_DONTWAIT == 0;
        if !waits && self.random.chance(self.faults.again) {
            self.post(running.key, -libc::EAGAIN, None, false);
            return false;
        }
        self.sockets.get_mut(&fd).expect("known").outgoing.extend_from_slice(&rest[..count]);
        running.sent += count;
        if waits && running.sent < bytes.len() {
            return true;
        }
        let result = if running.sent == 0 && !bytes.is_empty() { -libc::EAGAIN } else { running.sent as i32 };
        self.post(running.key, result, None, false);
        false
    }

    fn cancel(&mut self, index: usize) {
        let mut running = self.running.swap_remove(index);
        if self.random.chance(self.faults.late_cancel) && self.can_go_on(&running.sqe) {
            self.late += 1;
            if !self.step(&mut running) {
                return;
            }
        }
        if running.sent > 0 {
            self.post(running.key, running.sent as i32, None, false);
        } else {
            self.post_error(&running, libc::ECANCELED);
        }
    }

    fn submit(&mut self, sqe: Sqe, key: u64) {
        match sqe {
            Sqe::Cancel { target } => {
                match self.running.iter().position(|running| running.key == target) {
                    Some(index) => self.cancel(index),
                    None => self.late += 1,
                }
                self.post(key, 0, None, false);
            }
            Sqe::CancelAll => {
                while !self.running.is_empty() {
                    self.cancel(self.running.len() - 1);
                }
                self.post(key, 0, None, false);
            }
            _ => {
                assert!(self.running.iter().all(|running| running.key != key), "a slot has one operation at a time");
                self.running.push(Running { sqe, key, sent: 0 });
            }
        }
    }

    fn enter(&mut self) -> bool {
        if !self.queue.is_empty() && self.random.chance(self.faults.refuse) {
            return false;
        }
        while let Some((sqe, key)) = self.queue.pop_front() {
            self.submit(sqe, key);
        }
        // In whatever order: one after the other from a random place on.
        let mut index = if self.running.is_empty() { 0 } else { self.random.below(self.running.len()) };
        for _ in 0..self.running.len() {
            if self.running.is_empty() {
                break;
            }
            index %= self.running.len();
            if !self.can_go_on(&self.running[index].sqe) || self.random.chance(self.faults.delay) {
                index += 1;
                continue;
            }
            let mut running = self.running.swap_remove(index);
            let resets = matches!(running.sqe, Sqe::Recv { .. }) && self.random.chance(self.faults.reset);
            if resets && let Sqe::Recv { fd, .. } = running.sqe {
                let socket = self.sockets.get_mut(&fd).expect("known");
                socket.incoming.clear();
                socket.reset = true;
            }
            if self.step(&mut running) {
                self.running.push(running);
            }
        }
        true
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.running.is_empty(), "a ring goes only when the kernel has let go of everything");
        }
    }
}

impl Engine for Simulated {
    fn push(&mut self, sqe: Sqe, key: u64) -> bool {
        let mut world = self.0.borrow_mut();
        if world.queue.len() >= world.queue_max {
            world.full += 1;
            return false;
        }
        world.queue.push_back((sqe, key));
        true
    }

    fn enter(&mut self) -> io::Result<bool> {
        Ok(self.0.borrow_mut().enter())
    }

    fn reap(&mut self, out: &mut Vec<Cqe>, max: usize) -> bool {
        let mut world = self.0.borrow_mut();
        // Not always all: the kernel may be posting while it is being reaped.
        let count = world.completions.len().min(max).min(world.completions_max);
        let count = if count > 0 && world.random.chance(30) { 1 + world.random.below(count) } else { count };
        out.extend(world.completions.drain(..count));
        false
    }

    fn arm_wakeup(&mut self) -> bool {
        self.0.borrow().is_ready()
    }

    fn disarm_wakeup(&mut self) {}

    fn add_group(&mut self, group: u16, base: *mut u8, size: usize, entries: u16) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        assert_eq!(usize::from(group), world.groups.len());
        world.groups.push(Group { base, size, entries, free: (0..entries).collect() });
        Ok(())
    }

    fn recycle(&mut self, group: u16, buffer: u16) {
        let free = &mut self.0.borrow_mut().groups[usize::from(group)].free;
        assert!(!free.contains(&buffer), "a buffer goes back once");
        free.push_back(buffer);
    }

    fn has_completions(&mut self) -> bool {
        true
    }

    fn doze(&mut self, _want: u32, _limit: std::time::Duration) -> io::Result<()> {
        self.wait()
    }

    fn wait(&mut self) -> io::Result<()> {
        self.0.borrow_mut().enter();
        Ok(())
    }
}

/// A descriptor whose closing can be seen: the write end of a pipe, and the read end that tells.
pub(super) fn tracked() -> (OwnedFd, Tracker) {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC | rustix::pipe::PipeFlags::NONBLOCK)
        .expect("descriptors enough");
    (write, Tracker(read))
}

/// Tells whether the descriptor made with it has been closed.
pub(super) struct Tracker(OwnedFd);

impl Tracker {
    pub fn is_closed(&self) -> bool {
        // Nothing is ever written: end of file when no write end is open, EAGAIN before.
        matches!(rustix::io::read(&self.0, &mut [0; 1]), Ok(0))
    }

    pub fn raw(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
