//! What children write to their standard output and error, line by line into the log.
//!
//! Owns the read ends of their pipes. A child that floods its pipe is slowed by it; it never costs memory.

use std::os::fd::OwnedFd;
use std::rc::Rc;

use super::logs::LineSplitter;
use super::machine::{GenerationId, WorkerId};
use crate::base::bounds::OUTPUT_BUFFER_BYTES;
use crate::ring::Ring;

/// What the log's events that are lines of children are told by: they are not the server's own messages, and no log level drops them.
pub(crate) const CHILDREN: &str = "children";

/// Logs what a worker writes, with the worker's number.
pub(super) fn log_worker(ring: &Ring, pipe: OwnedFd, worker: WorkerId) {
    let number = worker.0;
    log_lines(ring, pipe, move |line| tracing::info!(target: CHILDREN, worker = number, "{line}"));
}

/// Logs what a zygote writes, with its generation's number.
pub(super) fn log_zygote(ring: &Ring, pipe: OwnedFd, generation: GenerationId) {
    let number = generation.0;
    log_lines(ring, pipe, move |line| tracing::info!(target: CHILDREN, generation = number, "{line}"));
}

fn log_lines(ring: &Ring, pipe: OwnedFd, log: impl Fn(&str) + 'static) {
    let ring = ring.clone();
    glommio::spawn_local(async move {
        let pipe = Rc::new(pipe);
        let mut splitter = LineSplitter::default();
        let mut buffer = Vec::with_capacity(OUTPUT_BUFFER_BYTES);
        loop {
            buffer.clear();
            match ring.read_at(&pipe, buffer, OUTPUT_BUFFER_BYTES, u64::MAX).await {
                Ok(read) if !read.is_empty() => {
                    splitter.push(&read, &log);
                    buffer = read;
                }
                // The end, or a pipe that can't be read any more.
                Ok(_) | Err(_) => break,
            }
        }
        splitter.finish(&log);
    })
    .detach();
}
