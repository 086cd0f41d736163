//! Resource limits of this process (getrlimit(2)): descriptors and locked memory.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;

/// A limit; None is "unlimited".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What holds now. Descriptors: a count. Memory: bytes.
    pub soft: Option<u64>,
    /// What an unprivileged process may raise `soft` to.
    pub hard: Option<u64>,
}

/// The limit of open descriptors.
pub fn descriptors() -> Limit {
    read(Resource::Nofile)
}

/// The limit of locked memory, bytes; io_uring's rings count towards it on some kernels.
pub fn locked_memory() -> Limit {
    read(Resource::Memlock)
}

/// Raises the limit of open descriptors as far as it goes, and returns it. Children inherit it.
pub fn raise_descriptors() -> io::Result<Limit> {
    raise(Resource::Nofile)
}

/// Raises the limit of locked memory as far as it goes, and returns it.
pub fn raise_locked_memory() -> io::Result<Limit> {
    raise(Resource::Memlock)
}

fn read(resource: Resource) -> Limit {
    let Rlimit { current, maximum } = getrlimit(resource);
    Limit { soft: current, hard: maximum }
}

fn raise(resource: Resource) -> io::Result<Limit> {
    let Limit { soft, hard } = read(resource);
    if soft != hard {
        setrlimit(resource, Rlimit { current: hard, maximum: hard })?;
    }
    Ok(read(resource))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_go_up_to_the_hard_limit() {
        let before = descriptors();
        let after = raise_descriptors().expect("raising to the hard limit is always allowed");
        assert_eq!(after, Limit { soft: before.hard, hard: before.hard });
        assert_eq!(raise_locked_memory().expect("raise").soft, locked_memory().hard);
    }
}
