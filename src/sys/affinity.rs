//! CPUs: which ones this process may use, and the mask that children get back.
//!
//! A shard's thread is pinned to one CPU, and children inherit the mask of the thread that forks them. So the
//! original mask is taken at start, before any pinning, and `spawn` gives it to every child.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::io;

/// How much a background thread stands behind others (nice(2)).
const BACKGROUND_NICE: i32 = 10;

/// A set of CPUs (sched_setaffinity(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuMask(CpuSet);

/// The numbers of the CPUs that the calling thread may use; never empty where the kernel answers at all.
pub fn usable_cpus() -> Vec<usize> {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    cores.into_iter().map(|core| core.id).collect()
}

/// Lets the calling thread run where the main thread may, which is never pinned, and behind those that serve: it was made by a thread that is
/// pinned, and is to work when there is nothing else to do (sched_setaffinity(2), setpriority(2)). What is not permitted stays as it is.
pub fn run_in_background() {
    if let Ok(main) = sched_getaffinity(Some(rustix::process::getpid())) {
        let _ = sched_setaffinity(None, &main);
    }
    let _ = rustix::process::setpriority_process(None, BACKGROUND_NICE);
}

impl CpuMask {
    /// The calling thread's mask.
    pub fn current() -> io::Result<CpuMask> {
        Ok(CpuMask(sched_getaffinity(None)?))
    }

    /// A mask of one CPU; None when the number is too large for a mask (1024 CPUs).
    pub fn single(cpu: usize) -> Option<CpuMask> {
        let mut set = CpuSet::new();
        (cpu < CpuSet::MAX_CPU).then(|| {
            set.set(cpu);
            CpuMask(set)
        })
    }

    /// How many CPUs are in the mask.
    pub fn count(&self) -> usize {
        self.0.count() as usize
    }

    /// Gives the mask to the calling thread. Async-signal-safe.
    pub fn apply(&self) -> io::Result<()> {
        Ok(sched_setaffinity(None, &self.0)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_background_thread_is_not_pinned() {
        std::thread::spawn(|| {
            let main = sched_getaffinity(Some(rustix::process::getpid())).expect("mask");
            CpuMask::single(usable_cpus()[0]).expect("a CPU number").apply().expect("pin");
            run_in_background();
            assert_eq!(CpuMask::current().expect("mask"), CpuMask(main));
            assert!(rustix::process::getpriority_process(None).expect("nice") >= BACKGROUND_NICE);
        })
        .join()
        .expect("no panic");
    }

    #[test]
    fn a_pinned_thread_gets_its_mask_back() {
        let original = CpuMask::current().expect("mask");
        let cpus = usable_cpus();
        assert_eq!(cpus.len(), original.count());
        let one = CpuMask::single(cpus[0]).expect("a CPU number");
        one.apply().expect("pin");
        assert_eq!(usable_cpus(), [cpus[0]]);
        original.apply().expect("unpin");
        assert_eq!(CpuMask::current().expect("mask"), original);
        assert_eq!(CpuMask::single(usize::MAX), None);
    }
}
