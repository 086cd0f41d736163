//! What ended the worker that held a request: said by the supervisor in its notice, told to the client and the log by the shard.
//!
//! Owns the 16 bits in which it travels. Made by the supervisor, read by [`super::messages`].

use std::fmt;

use crate::sys::process::Exit;

/// Why a request has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Its worker exited with this code.
    Code(u8),
    /// A signal ended its worker.
    Signal(u8),
    /// Probably the kernel ended its worker, as memory was short.
    OutOfMemory,
    /// It took longer than `timeout`, so its worker was ended.
    Overdue,
    /// Its generation of workers is gone without a word on it.
    Unknown,
}

impl Loss {
    const SIGNAL: u16 = 0x100;
    const OVERDUE: u16 = 0x200;
    const UNKNOWN: u16 = 0x300;
    const OUT_OF_MEMORY: u16 = 0x400;

    /// As it stands in a notice.
    pub(super) fn to_bits(self) -> u16 {
        match self {
            Loss::Code(code) => u16::from(code),
            Loss::Signal(signal) => Self::SIGNAL | u16::from(signal),
            Loss::OutOfMemory => Self::OUT_OF_MEMORY,
            Loss::Overdue => Self::OVERDUE,
            Loss::Unknown => Self::UNKNOWN,
        }
    }

    /// The opposite of [`Loss::to_bits`]; what it never writes is [`Loss::Unknown`].
    pub(super) fn from_bits(bits: u16) -> Loss {
        let [low, high] = bits.to_le_bytes();
        match high {
            0 => Loss::Code(low),
            1 => Loss::Signal(low),
            2 => Loss::Overdue,
            4 => Loss::OutOfMemory,
            _ => Loss::Unknown,
        }
    }
}

impl From<Exit> for Loss {
    fn from(exit: Exit) -> Loss {
        match exit {
            Exit::Code(code) => Loss::Code(code as u8),
            Exit::Signal { signal, .. } => Loss::Signal(signal as u8),
            Exit::OutOfMemory => Loss::OutOfMemory,
            Exit::Unknown => Loss::Unknown,
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Loss::Code(code) => Exit::Code(i32::from(code)).fmt(f),
            Loss::Signal(signal) => Exit::Signal { signal: i32::from(signal), core_dumped: false }.fmt(f),
            Loss::OutOfMemory => Exit::OutOfMemory.fmt(f),
            Loss::Overdue => f.write_str("timeout"),
            Loss::Unknown => f.write_str("unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_comes_back_as_it_was_sent() {
        for loss in [Loss::Code(0), Loss::Code(255), Loss::Signal(9), Loss::OutOfMemory, Loss::Overdue, Loss::Unknown] {
            assert_eq!(Loss::from_bits(loss.to_bits()), loss);
        }
        assert_eq!(Loss::from_bits(u16::MAX), Loss::Unknown);
        assert_eq!(Loss::from(Exit::Signal { signal: 9, core_dumped: true }).to_string(), "signal 9 (SIGKILL)");
        assert_eq!(Loss::from(Exit::Code(3)).to_string(), "exit code 3");
    }
}
