//! Options of `[program.NAME]` that limit it.

use super::{Default, Opt, Spec, Unit};
use crate::base::bounds::{CPUS_MAX, NOFILE_MAX, NPROC_MAX, RSS_BYTES_MAX};
use crate::config::value::Value;
use crate::config::{program_values, read};
use std::path::Path;

pub static PROGRAM_NOFILE: Opt<u32> = Opt {
    spec: Spec::new(
        "nofile",
        Unit::Count { min: 8, max: NOFILE_MAX },
        Default::Described("maitred's own"),
        "Descriptors that each of its processes may have open; more than maitred may have only as root.",
    )
    .elsewhere(&["LimitNOFILE"]),
    read: read::count_u32,
};
pub static PROGRAM_NPROC: Opt<u32> = Opt {
    spec: Spec::new(
        "nproc",
        Unit::Count { min: 1, max: NPROC_MAX },
        Default::Described("maitred's own"),
        "Processes and threads that its user may have, counted over all that this user runs.",
    )
    .elsewhere(&["LimitNPROC"]),
    read: read::count_u32,
};
pub static PROGRAM_NICE: Opt<i32> = Opt {
    spec: Spec::new(
        "nice",
        Unit::Integer { min: -20, max: 19 },
        Default::Described("maitred's own"),
        "Its nice value: a higher one leaves the CPU to others; only root can set a lower one than maitred has.",
    ),
    read: program_values::integer,
};
pub static PROGRAM_OOM_SCORE_ADJ: Opt<i32> = Opt {
    spec: Spec::new(
        "oom_score_adj",
        Unit::Integer { min: -1000, max: 1000 },
        Default::Described("maitred's own"),
        "How readily the kernel ends it when memory is short: 1000 first of all, -1000 never.",
    )
    .elsewhere(&["OOMScoreAdjust"]),
    read: program_values::integer,
};
pub static PROGRAM_NO_NEW_PRIVILEGES: Opt<bool> = Opt {
    spec: Spec::new(
        "no_new_privileges",
        Unit::Bool,
        Default::Toml("false"),
        "Nothing that it runs can gain privileges: `sudo` and other setuid programs don't work in it.",
    )
    .elsewhere(&["NoNewPrivileges"]),
    read: read::boolean,
};
pub static PROGRAM_MEMORY_MAX: Opt<u64> = Opt {
    spec: Spec::new(
        "memory_max",
        Unit::Size { max: RSS_BYTES_MAX },
        Default::Described("none"),
        "Memory of each process with all that it has started; beyond it the kernel ends one of them. Needs a cgroup v2 that is delegated.",
    )
    .elsewhere(&["MemoryMax"]),
    read: read::size,
};
pub static PROGRAM_MEMORY_HIGH: Opt<u64> = Opt {
    spec: Spec::new(
        "memory_high",
        Unit::Size { max: RSS_BYTES_MAX },
        Default::Described("none"),
        "Memory from which on the kernel slows it down and takes some back. Needs a cgroup v2 that is delegated.",
    )
    .elsewhere(&["MemoryHigh"]),
    read: read::size,
};
pub static PROGRAM_CPU: Opt<u64> = Opt {
    spec: Spec::new(
        "cpu",
        Unit::Text("a number of CPUs from 0.01 to 4096"),
        Default::Described("none"),
        "CPU time of each process with all that it has started: 1.5 is one CPU and a half. Needs a cgroup v2 that is delegated.",
    )
    .elsewhere(&["CPUQuota"]),
    read: cpus,
};

/// Thousandths of a CPU.
fn cpus(value: &Value, unit: Unit, _: &Path) -> Result<u64, String> {
    let cpus = match value {
        Value::Integer(number) => *number as f64,
        Value::Float(number) => *number,
        _ => 0.0,
    };
    if (0.01..=CPUS_MAX as f64).contains(&cpus) {
        Ok((cpus * 1000.0).round() as u64)
    } else {
        Err(read::not(unit, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::section::assert_defaults;

    #[test]
    fn every_declared_default_passes_its_own_check() {
        assert_defaults!(PROGRAM_NOFILE PROGRAM_NPROC PROGRAM_NICE PROGRAM_OOM_SCORE_ADJ PROGRAM_NO_NEW_PRIVILEGES PROGRAM_MEMORY_MAX PROGRAM_MEMORY_HIGH PROGRAM_CPU);
    }
}
