//! The end of maitred's own log, for those who ask for it over the control socket.
//!
//! Owns the last bytes of it. The thread that writes the log adds them and control connections read them, each under a lock that is held while
//! bytes are copied and no longer; no shard comes near.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::base::bounds::MAIN_LOG_BYTES;

/// The last bytes of the log.
#[derive(Debug, Default)]
pub struct MainLog {
    kept: Mutex<Kept>,
    reopenings: AtomicU32,
}

#[derive(Debug, Default)]
struct Kept {
    bytes: VecDeque<u8>,
    /// Bytes so far.
    total: u64,
}

impl MainLog {
    /// So much was written.
    pub fn write(&self, bytes: &[u8]) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = &bytes[bytes.len().saturating_sub(MAIN_LOG_BYTES)..];
        let over = (kept.bytes.len() + fits.len()).saturating_sub(MAIN_LOG_BYTES);
        kept.bytes.drain(..over);
        kept.bytes.extend(fits);
        kept.total += bytes.len() as u64;
    }

    /// The file that the log goes to is to be opened anew, before its next line.
    pub fn reopen(&self) {
        self.reopenings.fetch_add(1, Ordering::Relaxed);
    }

    /// How often that was wished for.
    pub fn reopenings(&self) -> u32 {
        self.reopenings.load(Ordering::Relaxed)
    }

    /// Everything that is kept.
    pub fn recent(&self) -> Vec<u8> {
        self.since(0).0
    }

    /// What was written since there were `seen` bytes, as far as it is kept, and how many there are now.
    pub fn since(&self, seen: u64) -> (Vec<u8>, u64) {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let new = kept.total.saturating_sub(seen).min(kept.bytes.len() as u64) as usize;
        (kept.bytes.range(kept.bytes.len() - new..).copied().collect(), kept.total)
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).bytes = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_log_is_kept() {
        let log = MainLog::default();
        log.write(b"one\n");
        let (_, seen) = log.since(0);
        log.write(b"two\n");
        assert_eq!(log.since(seen), (b"two\n".to_vec(), 8));
        assert_eq!(log.recent(), b"one\ntwo\n");
        log.write(&vec![b'x'; MAIN_LOG_BYTES]);
        assert_eq!(log.since(seen).0.len(), MAIN_LOG_BYTES);
        log.clear();
        assert_eq!(log.recent(), b"");
    }
}
