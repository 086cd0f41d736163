//! Flow control of one response: how much more its worker may send.
//!
//! Owns the write end of the credit pipe that the worker gives away once its response has grown past the window. A byte in the
//! pipe stands for [`CREDIT_BYTES`]; closing the pipe tells the worker that the client is gone. Called by `pool`.

use std::os::fd::OwnedFd;

use crate::base::bounds::CREDIT_BYTES;

/// What has been passed on and what the worker was told of it.
#[derive(Debug, Default)]
pub(super) struct Credit {
    passed_bytes: u64,
    granted: u64,
    pipe: Option<OwnedFd>,
}

impl Credit {
    /// The worker waits for credit on this pipe from now on.
    pub fn open(&mut self, pipe: OwnedFd) {
        // A pipe that can't be made non-blocking is not used: a shard never blocks. The worker sees the end of it.
        if rustix::fs::fcntl_setfl(&pipe, rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::WRONLY).is_ok() {
            self.pipe = Some(pipe);
            self.grant();
        }
    }

    /// `count` more bytes have been passed on.
    pub fn pass(&mut self, count: usize) {
        self.passed_bytes += count as u64;
        if self.pipe.is_some() {
            self.grant();
        }
    }

    fn grant(&mut self) {
        let Some(pipe) = &self.pipe else { return };
        let due = self.passed_bytes / CREDIT_BYTES as u64 - self.granted;
        const ONES: [u8; 64] = [b'.'; 64];
        // A worker that is gone (EPIPE) or a full pipe is made up for by a later grant, or by the end of the call.
        if due > 0
            && let Ok(written) = rustix::io::write(pipe, &ONES[..(due as usize).min(ONES.len())])
        {
            self.granted += written as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_passed_on_before_the_pipe_came_is_granted_at_once() {
        let (read, write) = std::io::pipe().expect("a pipe");
        let mut credit = Credit::default();
        credit.pass(3 * CREDIT_BYTES + 1);
        credit.open(write.into());
        credit.pass(CREDIT_BYTES - 1);
        drop(credit);
        let mut all = Vec::new();
        std::io::Read::read_to_end(&mut { read }, &mut all).expect("reads");
        assert_eq!(all.len(), 4);
    }
}
