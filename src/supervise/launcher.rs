//! Whoever has started the server and waits to hear that it serves.
//!
//! Owns the pipe over which that is said, once, and what else is done at that moment. Called by the loop.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::sys::inherited::silence_stderr;

/// The other end.
#[derive(Default)]
pub struct Launcher {
    pipe: Option<OwnedFd>,
    is_background: bool,
    is_told: bool,
    at_ready: Option<Box<dyn FnOnce()>>,
}

impl Launcher {
    /// `pipe`: where to say it, if anybody waits. `is_background`: the terminal is to be left alone afterwards. `at_ready`: what else is to be
    /// done first.
    pub fn new(pipe: Option<OwnedFd>, is_background: bool, at_ready: Box<dyn FnOnce()>) -> Launcher {
        Launcher { pipe, is_background, is_told: false, at_ready: Some(at_ready) }
    }

    /// The server serves.
    pub fn ready(&mut self) {
        if let Some(act) = self.at_ready.take() {
            act();
        }
        let Some(pipe) = self.pipe.as_ref().filter(|_| !self.is_told) else { return };
        self.is_told = true;
        if self.is_background
            && let Err(error) = silence_stderr()
        {
            tracing::warn!(%error, "standard error stays open");
        }
        // Whoever waited may have gone.
        let _ = rustix::io::write(pipe, b"1");
    }

    /// The pipe, whose other end is closed when whoever waited has ended.
    pub fn predecessor(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }
}
