//! One stream of one incarnation of a process, on its way from the pipe: what of it is an event, and what goes on to its ordinary place.
//!
//! Owns the marks of process communication and, for a listener's standard output, the protocol. Called by the task that reads the pipe.

use std::rc::Rc;

use super::bus::Bus;
use super::capture::{Capture, Piece};
use super::payload::{self, Subject};
use crate::config::{EventType, OutputConfig, ProcessConfig};
use crate::supervise::programs::Stream;
use crate::supervise::programs::machine::ProcessId;

/// What of a stream is told to listeners, as it is configured now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::supervise) struct Wishes {
    /// Bytes that are kept of what stands between two marks; 0: marks mean nothing.
    capture_max: usize,
    /// Everything is told.
    is_told: bool,
    /// It is a listener's side of the protocol.
    is_listener: bool,
}

impl Wishes {
    pub fn of(output: &OutputConfig) -> Wishes {
        Wishes {
            capture_max: usize::try_from(output.capture_max_bytes).unwrap_or(usize::MAX),
            is_told: output.has_events,
            is_listener: output.is_listener,
        }
    }
}

/// The stream.
pub(in crate::supervise) struct Spoken {
    bus: Rc<Bus>,
    id: ProcessId,
    process: String,
    group: String,
    pid: i32,
    stream: Stream,
    capture: Capture,
    wishes: Wishes,
}

impl Spoken {
    /// A stream of which nothing was read yet.
    pub fn new(bus: &Rc<Bus>, id: ProcessId, config: &ProcessConfig, pid: i32, stream: Stream) -> Spoken {
        let output = match stream {
            Stream::Out => &config.stdout,
            Stream::Err => &config.stderr,
        };
        Spoken {
            bus: bus.clone(),
            id,
            process: config.name.clone(),
            group: config.group.clone(),
            pid,
            stream,
            capture: Capture::default(),
            wishes: Wishes::of(output),
        }
    }

    /// Takes what was read, and gives back what is to go to the stream's place.
    pub fn hear(&mut self, read: Vec<u8>, wishes: Wishes) -> Vec<u8> {
        self.wishes = wishes;
        if wishes.is_listener {
            self.bus.hear(&self.group, self.id, self.pid, &read);
            return read;
        }
        if wishes.capture_max == 0 {
            let mut rest = self.finish();
            self.tell(&read);
            if rest.is_empty() {
                return read;
            }
            rest.extend(read);
            return rest;
        }
        let mut capture = std::mem::take(&mut self.capture);
        let mut ordinary = Vec::new();
        capture.push(&read, wishes.capture_max, |piece| self.take(piece, &mut ordinary));
        self.capture = capture;
        ordinary
    }

    /// The stream is at its end: gives back what was held.
    pub fn finish(&mut self) -> Vec<u8> {
        let mut capture = std::mem::take(&mut self.capture);
        let mut ordinary = Vec::new();
        capture.finish(|piece| self.take(piece, &mut ordinary));
        ordinary
    }

    fn take(&self, piece: Piece<'_>, ordinary: &mut Vec<u8>) {
        match piece {
            Piece::Ordinary(bytes) => {
                self.tell(bytes);
                ordinary.extend_from_slice(bytes);
            }
            Piece::Between(bytes) => self.tell(bytes),
            Piece::Message(bytes) => {
                let kind = match self.stream {
                    Stream::Out => EventType::ProcessCommunicationStdout,
                    Stream::Err => EventType::ProcessCommunicationStderr,
                };
                self.bus.tell(kind, || payload::message(self.subject(), self.pid, &bytes));
            }
        }
    }

    /// Tells of everything, marks excepted, if that is wanted.
    fn tell(&self, bytes: &[u8]) {
        let kind = match self.stream {
            Stream::Out => EventType::ProcessLogStdout,
            Stream::Err => EventType::ProcessLogStderr,
        };
        if self.wishes.is_told {
            self.bus.tell(kind, || payload::written(self.subject(), self.pid, self.stream, bytes));
        }
    }

    fn subject(&self) -> Subject<'_> {
        Subject { process: &self.process, group: &self.group }
    }
}

impl Drop for Spoken {
    fn drop(&mut self) {
        if self.wishes.is_listener {
            self.bus.silent(&self.group, self.id, self.pid);
        }
    }
}
