//! Resource limits of the process (getrlimit(2)).

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limits for descriptors and locked memory to the hard ones, which needs no privilege. A refusal is no
/// error: the checks that follow tell what the limit is.
pub fn raise() {
    for resource in [Resource::Nofile, Resource::Memlock] {
        let limit = getrlimit(resource);
        if limit.current != limit.maximum {
            let _ = setrlimit(resource, Rlimit { current: limit.maximum, ..limit });
        }
    }
}

/// Descriptors that may be open; `None` = no limit.
pub fn descriptors() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Bytes that may be locked in memory; `None` = no limit.
pub fn locked_bytes() -> Option<u64> {
    getrlimit(Resource::Memlock).current
}
