//! What is written to programs' standard inputs: by control clients, and to event listeners.
//!
//! Owns the write ends of their pipes, one a process. Writing waits for nobody: what the pipe does not take is kept, so much at most, and a
//! task carries it on as the program reads.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::fs::{OFlags, fcntl_setfl};

use super::machine::ProcessId;
use crate::base::bounds::PROGRAM_INPUT_BYTES_MAX;
use crate::ring::{Descriptor, Ring};

/// The standard inputs of all processes that run.
pub(super) struct Inputs {
    ring: Ring,
    pipes: RefCell<HashMap<ProcessId, Rc<Input>>>,
}

/// One process's standard input.
struct Input {
    pipe: Descriptor,
    waiting: RefCell<VecDeque<u8>>,
    /// A task carries on what waits.
    is_carried: Cell<bool>,
    is_closed: Cell<bool>,
}

/// Why nothing can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::supervise) enum Refused {
    /// There is no process.
    NotRunning,
    /// The process has closed its end.
    Closed,
    /// It has not read what was written before.
    Full,
}

impl Inputs {
    pub fn new(ring: &Ring) -> Inputs {
        Inputs { ring: ring.clone(), pipes: RefCell::default() }
    }

    /// The write end of a process's standard input; one that it had before is closed.
    pub fn open(&self, id: ProcessId, pipe: OwnedFd) {
        // A pipe that can't be made so would only be slower to notice that it is full.
        let _ = fcntl_setfl(&pipe, OFlags::NONBLOCK);
        let input = Input {
            pipe: Rc::new(pipe),
            waiting: RefCell::default(),
            is_carried: Cell::new(false),
            is_closed: Cell::new(false),
        };
        self.pipes.borrow_mut().insert(id, Rc::new(input));
    }

    /// Its process has ended.
    pub fn close(&self, id: ProcessId) {
        if let Some(input) = self.pipes.borrow_mut().remove(&id) {
            input.is_closed.set(true);
        }
    }

    /// Writes all of `bytes`, now or later, or nothing. What is larger than the bound can be written when nothing else waits.
    pub fn write(&self, id: ProcessId, bytes: &[u8]) -> Result<(), Refused> {
        let input = self.pipes.borrow().get(&id).cloned().ok_or(Refused::NotRunning)?;
        if input.is_closed.get() {
            return Err(Refused::Closed);
        }
        let waiting = input.waiting.borrow().len();
        if waiting > 0 && waiting + bytes.len() > PROGRAM_INPUT_BYTES_MAX {
            return Err(Refused::Full);
        }
        input.waiting.borrow_mut().extend(bytes);
        input.push()?;
        if !input.waiting.borrow().is_empty() && !input.is_carried.replace(true) {
            let ring = self.ring.clone();
            glommio::spawn_local(async move {
                while !input.waiting.borrow().is_empty() && !input.is_closed.get() {
                    let writable = ring.poll(&input.pipe, libc::POLLOUT as u32).await;
                    if writable.is_err() || input.push().is_err() {
                        break;
                    }
                }
                input.is_carried.set(false);
            })
            .detach();
        }
        Ok(())
    }
}

impl Input {
    /// Writes what the pipe takes.
    fn push(&self) -> Result<(), Refused> {
        let mut waiting = self.waiting.borrow_mut();
        while !waiting.is_empty() {
            match rustix::io::write(&self.pipe, waiting.as_slices().0) {
                Ok(written) => {
                    waiting.drain(..written);
                }
                Err(error) if io::Error::from(error).kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => {
                    waiting.clear();
                    self.is_closed.set(true);
                    return Err(Refused::Closed);
                }
            }
        }
        Ok(())
    }
}
