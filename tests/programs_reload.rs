//! SIGHUP and programs: only what differs in the configuration is touched.

mod support;

use std::fs;

use rustix::process::Signal;
use support::{Builder, DEADLINE, Server, process, value_of, wait_until};

/// Writes the config file anew and asks for a reload.
fn reload(server: &Server, text: &str) {
    fs::write(server.folder().join("maitred.toml"), text).expect("the test's own folder");
    server.signal(Signal::HUP);
}

#[track_caller]
fn started(server: &Server, mark: usize, program: &str) -> u32 {
    let line = server.wait_for_line_from(mark, &format!("program started program={program} "));
    value_of(&line, "pid").and_then(|pid| pid.parse().ok()).expect("the line names the process")
}

fn program(name: &str, lines: &str) -> String {
    format!("[program.{name}]\n{lines}\n")
}

const SLEEP: &str = "command = \"sleep 1000\"";

#[test]
fn a_reload_touches_only_the_difference() {
    let server = Builder::bare()
        .silent()
        .section(&program("same", SLEEP))
        .section(&program("changed", SLEEP))
        .section(&program("gone", SLEEP))
        .section(&program("adjusted", SLEEP))
        .run();
    let before = ["same", "changed", "gone", "adjusted"].map(|name| started(&server, 0, name));
    let mark = server.log.mark();
    let next = program("same", SLEEP)
        + &program("changed", "command = \"sleep 2000\"")
        + &program("adjusted", &format!("{SLEEP}\nstopwaitsecs = 3\nautorestart = true\nstopsignal = \"KILL\""))
        + &program("new", SLEEP);
    reload(&server, &next);
    started(&server, mark, "new");
    let changed = started(&server, mark, "changed");
    wait_until("the removed one is gone", DEADLINE, || !process::is_alive(before[2]));
    assert_ne!(changed, before[1]);
    assert!(!process::is_alive(before[1]));
    assert!(process::is_alive(before[0]) && process::is_alive(before[3]));
    let text = server.log.lines_from(mark).join("\n");
    assert!(!text.contains("program=same") && !text.contains("program=adjusted"), "{text}");
    // What was adjusted holds from now on.
    let mark = server.log.mark();
    reload(&server, &program("same", SLEEP));
    server.wait_for_line_from(mark, "program stopped program=adjusted exit=\"signal 9 (SIGKILL)\"");
    assert!(process::is_alive(before[0]));
}

#[test]
fn a_broken_configuration_changes_nothing() {
    let server = Builder::bare().silent().section(&program("one", SLEEP)).run();
    let pid = started(&server, 0, "one");
    let mark = server.log.mark();
    reload(&server, "[program.one]\ncomand = \"sleep 2000\"\n");
    server.wait_for_line_from(mark, "did you mean \"command\"?");
    server.wait_for_line_from(mark, "reload refused: the configuration is unusable");
    assert!(process::is_alive(pid));
}

#[test]
fn programs_come_and_go_beside_an_application() {
    let server = Builder::app("kitchen:application").section(&program("old", SLEEP)).start();
    let old = started(&server, 0, "old");
    let text = fs::read_to_string(server.folder().join("maitred.toml")).expect("it was started with it");
    let mark = server.log.mark();
    reload(&server, &text.replace("[program.old]", "[program.new]"));
    started(&server, mark, "new");
    wait_until("the old one is gone", DEADLINE, || !process::is_alive(old));
    assert_eq!(server.get("/hello").status, 200);
}

#[test]
fn a_log_file_is_changed_without_a_new_process() {
    let script = "command = \"sh -c 'while :; do echo line; sleep 0.05; done'\"";
    let server =
        Builder::bare().silent().section(&program("writer", &format!("{script}\nstdout_logfile = \"a.log\""))).run();
    let pid = started(&server, 0, "writer");
    let (a, b) = (server.folder().join("a.log"), server.folder().join("b.log"));
    wait_until("it writes", DEADLINE, || a.exists());
    reload(&server, &program("writer", &format!("{script}\nstdout_logfile = \"b.log\"")));
    wait_until("it writes elsewhere", DEADLINE, || b.metadata().is_ok_and(|meta| meta.len() > 0));
    let mark = server.log.mark();
    reload(&server, &program("writer", script));
    server.wait_for_line_from(mark, "line program=writer stream=stdout");
    assert!(process::is_alive(pid));
}

#[test]
fn a_storm_of_reloads_leaves_one_process_each() {
    let server = Builder::bare().silent().section(&program("one", SLEEP)).run();
    started(&server, 0, "one");
    for round in 0..30 {
        reload(&server, &program("one", &format!("command = \"sleep {}\"", 1000 + round % 2)));
        if round % 3 == 0 {
            reload(&server, &program("other", SLEEP));
        }
    }
    let mark = server.log.mark();
    reload(&server, &program("last", "command = \"sleep 5000\""));
    started(&server, mark, "last");
    wait_until("only the last one is left", DEADLINE, || process::children(server.pid()).len() == 1);
    let descriptors = fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("ours").count();
    assert!(descriptors < 60, "{descriptors} descriptors");
}
