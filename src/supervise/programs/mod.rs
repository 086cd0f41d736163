//! The programs: commands that are kept running.
pub mod machine;
