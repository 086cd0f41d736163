//! Crashes, restarts and changes of the configuration, again and again: nothing may be left behind. A short round in the suite, the whole on request:
//! `cargo test --test programs_soak -- --ignored`.

mod support;

use std::fs;
use std::time::Duration;

use support::supervisor::maitredctl;
use support::{Builder, DEADLINE, Server, process, wait_until};

/// Processes that crash side by side: two starts of one are at least 100 ms apart.
const CRASHING: usize = 50;
/// What the allocator may keep more at the end than after the first round.
const KEPT_KIB_MAX: u64 = 1024;

/// A program that has nothing to do with it.
const CALM: &str = "command = \"sleep 1000\"\nstartsecs = 0";

/// What is there of a server when nothing happens.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    descriptors: usize,
    threads: usize,
    children: Vec<u32>,
}

fn left(pid: u32) -> Left {
    let count = |what: &str| fs::read_dir(format!("/proc/{pid}/{what}")).expect("it runs").count();
    Left { descriptors: count("fd"), threads: count("task"), children: process::children(pid) }
}

/// The config file with and without the programs that crash.
struct Plan {
    calm: String,
    crashing: String,
}

fn plan() -> Plan {
    let calm = format!("[program.calm]\n{CALM}\n");
    let lines = format!(
        "command = \"sh -c 'echo crashing; exit 1'\"\nprocess_name = \"p%(process_num)d\"\nnumprocs = {CRASHING}\nstartsecs = 0\nstdout_logfile = \"crashing.log\"\nstdout_logfile_maxbytes = \"64K\"\nstdout_logfile_backups = 1\nstdout_logfile_compress = true"
    );
    Plan { crashing: format!("{calm}[program.crash]\n{lines}\n"), calm }
}

/// Lets processes crash until so many have been started.
fn crash(server: &Server, url: &str, plan: &Plan, cycles: usize) {
    let file = server.folder().join("maitred.toml");
    let mark = server.log.mark();
    fs::write(&file, &plan.crashing).expect("the test's own folder");
    assert_eq!(maitredctl(url, &["update"]).code, Some(0));
    let started = || server.log.lines_from(mark).iter().filter(|line| line.contains("program started")).count();
    wait_until("they have crashed so often", Duration::from_secs(cycles as u64 / 50 + 60), || {
        std::thread::sleep(Duration::from_millis(100));
        started() >= cycles
    });
    fs::write(&file, &plan.calm).expect("the test's own folder");
    assert_eq!(maitredctl(url, &["update"]).code, Some(0));
}

/// Changes the configuration so often: a program comes, changes and goes.
fn update(server: &Server, url: &str, plan: &Plan, updates: usize) {
    let file = server.folder().join("maitred.toml");
    for number in 0..updates {
        let more = match number % 3 {
            0 => String::new(),
            argument => format!("[program.passing]\ncommand = \"sleep 100{argument}\"\nstartsecs = 0\n"),
        };
        fs::write(&file, plan.calm.clone() + &more).expect("the test's own folder");
        assert_eq!(maitredctl(url, &["update"]).code, Some(0));
    }
    fs::write(&file, &plan.calm).expect("the test's own folder");
    assert_eq!(maitredctl(url, &["update"]).code, Some(0));
}

fn soak(cycles: usize, updates: usize) {
    let plan = plan();
    let mut server = Builder::bare().silent().program("calm", CALM).run();
    let url = format!("unix://{}", server.folder().join("maitred.sock").display());
    let pid = server.pid();
    // What is made once and kept is there after the first round.
    crash(&server, &url, &plan, cycles / 5);
    update(&server, &url, &plan, updates / 5);
    let settled = |left: &Left| left.children.len() == 1;
    wait_until("one program is left", DEADLINE, || settled(&left(pid)));
    let (before, before_kib) = (left(pid), process::resident_kib(pid));
    crash(&server, &url, &plan, cycles);
    update(&server, &url, &plan, updates);
    // A connection and the thread that compresses may be a moment behind.
    wait_until("everything else is gone", DEADLINE, || left(pid) == before);
    let after_kib = process::resident_kib(pid);
    assert!(after_kib <= before_kib + KEPT_KIB_MAX, "from {before_kib} to {after_kib} KiB");
    assert!(!server.log.text().contains("panicked"));
    assert_eq!(server.stop().code(), Some(0));
    eprintln!("{cycles} crashes, {updates} updates: {before_kib} KiB before, {after_kib} KiB after, {before:?}");
}

#[test]
fn crashes_and_updates_leave_nothing_behind() {
    soak(500, 60);
}

#[test]
#[ignore = "minutes: `cargo test --test programs_soak -- --ignored`"]
fn ten_thousand_crashes_and_a_thousand_updates_leave_nothing_behind() {
    soak(10_000, 1_000);
}
