//! Programs from the outside: they start, are started again, are given up, stop in order and leave nothing behind.
//! Their output is in `programs_output.rs`, reloads in `programs_reload.rs`.

mod support;

use std::time::Duration;

use rustix::process::Signal;
use support::supervisor::maitredctl;
use support::{Builder, DEADLINE, Server, process, value_of, wait_until};

/// Programs alone, with no listener.
fn alone() -> Builder {
    Builder::bare().silent()
}

/// The process id in the first line from `mark` on that tells of the program's start.
#[track_caller]
fn started(server: &Server, mark: usize, program: &str) -> u32 {
    let line = server.wait_for_line_from(mark, &format!("program started program={program} "));
    value_of(&line, "pid").and_then(|pid| pid.parse().ok()).expect("the line names the process")
}

/// Numbers of the lines that contain each of `patterns`, which must be there.
#[track_caller]
fn order(server: &Server, patterns: &[&str]) -> Vec<usize> {
    let lines = server.log.lines_from(0);
    let find = |pattern: &&str| lines.iter().position(|line| line.contains(*pattern));
    let found: Vec<_> = patterns.iter().map(find).collect();
    found
        .iter()
        .zip(patterns)
        .map(|(found, pattern)| found.unwrap_or_else(|| panic!("no line with {pattern}")))
        .collect()
}

#[test]
fn programs_alone_are_a_server_without_listeners() {
    let mut server = alone().program("one", "command = \"sleep 1000\"").run();
    assert!(server.log.text().contains("ready: programs alone, nothing listens"));
    let pid = started(&server, 0, "one");
    assert!(process::is_alive(pid));
    server.wait_for_line("program is up program=one");
    let listening = std::fs::read_to_string(format!("/proc/{}/net/tcp", server.pid())).expect("readable");
    let own: Vec<_> = std::fs::read_dir(format!("/proc/{}/fd", server.pid()))
        .expect("ours")
        .flatten()
        .filter_map(|entry| std::fs::read_link(entry.path()).ok())
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.trim_end_matches(']').to_owned()))
        .collect();
    let is_ours = |line: &&str| line.split_whitespace().nth(9).is_some_and(|inode| own.iter().any(|own| own == inode));
    assert_eq!(listening.lines().filter(is_ours).count(), 0, "no TCP socket");
    assert_eq!(server.stop().code(), Some(0));
    assert!(!process::is_alive(pid));
}

#[test]
fn a_program_runs_beside_files_and_an_application() {
    let builder = Builder::app("kitchen:application").program("beside", "command = \"sleep 1000\"");
    let mut server = builder.start();
    started(&server, 0, "beside");
    assert_eq!(server.get("/hello").status, 200);
    assert_eq!(server.stop().code(), Some(0));
    let ends = order(&server, &["program stopped program=beside", "worker exited"]);
    assert_eq!(ends.len(), 2);
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("a.txt"), "files").expect("written");
    let server =
        Builder::bare().static_route("/", folder.path(), "").program("beside", "command = \"sleep 1000\"").start();
    started(&server, 0, "beside");
    assert_eq!(server.get("/a.txt").body, b"files");
}

#[test]
fn a_program_is_told_who_looks_after_it() {
    let script = "sh -c 'echo $SUPERVISOR_ENABLED $SUPERVISOR_GROUP_NAME $SUPERVISOR_PROCESS_NAME $OWN $PORT; pwd; umask; \
                  exec sleep 1000'";
    let lines = format!(
        "command = \"{script}\"\nprocess_name = \"%(program_name)s_%(process_num)02d\"\nnumprocs = 2\n\
         environment = {{ OWN = \"%(process_num)d of %(numprocs)d in %(here)s\", PORT = 8000 }}\ndirectory = \"sub\"\numask = \"027\""
    );
    let builder = alone().program("worker", &lines).section("[group.all]\nprograms = \"worker\"");
    std::fs::create_dir(builder.folder().join("sub")).expect("the test's own folder");
    let here = builder.folder().to_str().expect("UTF-8").to_owned();
    let server = builder.run();
    for number in 0..2 {
        server.wait_for_line(&format!(
            "1 all worker_0{number} {number} of 2 in {here} 8000 program=all:worker_0{number} stream=stdout"
        ));
    }
    server.wait_for_line(&format!("{here}/sub program=all:worker_00"));
    server.wait_for_line("0027 program=all:worker_00");
}

#[test]
fn a_killed_program_is_started_again() {
    let server = alone().program("crash", "command = \"sleep 1000\"\nstartsecs = 0").run();
    let mut pid = started(&server, 0, "crash");
    for _ in 0..5 {
        let mark = server.log.mark();
        process::signal(pid, Signal::KILL);
        let next = started(&server, mark, "crash");
        assert!(next != pid && !process::is_alive(pid));
        pid = next;
    }
    server.wait_for_line("program exited unexpectedly program=crash exit=\"signal 9 (SIGKILL)\"");
}

#[test]
fn autorestart_goes_by_the_exit_code() {
    // Up at once, ends with the code that it is told.
    let lines = |code: u32, more: &str| format!("command = \"sh -c 'sleep 0.2; exit {code}'\"\nstartsecs = 0\n{more}");
    let server = alone()
        .program("expected", &lines(2, "exitcodes = [0, 2]"))
        .program("unexpected", &lines(1, ""))
        .program("never", &lines(1, "autorestart = false"))
        .program("always", &lines(0, "autorestart = true"))
        .run();
    server.wait_for_line("program exited program=expected exit=\"exit code 2\"");
    server.wait_for_line("program exited unexpectedly program=never exit=\"exit code 1\"");
    for program in ["unexpected", "always"] {
        wait_until("it is started again", DEADLINE, || {
            let lines = server.log.lines_from(0);
            lines.iter().filter(|line| line.contains(&format!("program started program={program} "))).count() >= 3
        });
    }
    let text = server.log.text();
    for program in ["expected", "never"] {
        assert_eq!(text.matches(&format!("program started program={program} ")).count(), 1, "{text}");
    }
}

#[test]
fn what_can_not_be_started_says_why_and_is_given_up() {
    let builder = alone()
        .program("missing", "command = \"no-such-program\"\nstartretries = 1")
        .program("absent", "command = \"/no/such/program\"\nstartretries = 0")
        .program("forbidden", "command = \"/etc/passwd\"\nstartretries = 0")
        .program("homeless", "command = \"true\"\nstartretries = 0\ndirectory = \"/no/such/place\"")
        .program("early", "command = \"sh -c 'exit 7'\"\nstartretries = 0")
        .program("good", "command = \"sleep 1000\"");
    let mut server = builder.run();
    server.wait_for_line(
        "could not start no-such-program: No such file or directory (os error 2) program=missing retry_in=1s",
    );
    server.wait_for_line("could not start /no/such/program: No such file or directory");
    server.wait_for_line("could not start /etc/passwd: Permission denied");
    server.wait_for_line("could not start true: its directory /no/such/place: No such file or directory");
    server.wait_for_line("before it was up program=early exit=\"exit code 7\"");
    for program in ["missing", "absent", "forbidden", "homeless", "early"] {
        server.wait_for_line(&format!("program given up: too many starts have failed program={program}"));
    }
    assert_eq!(server.log.text().matches("program=missing retry_in").count(), 1);
    started(&server, 0, "good");
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn a_critical_program_ends_the_server_when_it_is_given_up() {
    let mut server = alone()
        .program("critical", "command = \"false\"\nstartretries = 0\non_fatal = \"exit\"")
        .program("other", "command = \"sleep 1000\"")
        .spawn();
    let status = server.wait_exit(DEADLINE).expect("it ends by itself");
    assert_eq!(status.code(), Some(5), "{}", server.log.text());
    assert!(server.log.text().contains("program stopped program=other"));
}

#[test]
fn priorities_order_starts_and_stops() {
    let lines = |priority: i32| format!("command = \"sleep 1000\"\nstartsecs = \"300ms\"\npriority = {priority}");
    let mut server = alone()
        .program("third", &lines(30))
        .program("first", &lines(10))
        .program("second_a", &lines(20))
        .program("second_b", &lines(20))
        .run();
    server.wait_for_line("program is up program=third");
    let at = order(
        &server,
        &[
            "program started program=first",
            "program is up program=first",
            "program started program=second_a",
            "program started program=second_b",
            "program is up program=second_b",
            "program started program=third",
        ],
    );
    assert!(at.is_sorted(), "{}", server.log.text());
    assert_eq!(server.stop().code(), Some(0));
    let at = order(&server, &["stopped program=third", "stopped program=second_a", "stopped program=first"]);
    assert!(at.is_sorted() && at[0] < order(&server, &["stopped program=second_b"])[0], "{}", server.log.text());
}

/// A shell that ignores SIGTERM and has a child that does so too.
const STUBBORN: &str = r#"sh -c 'trap "" TERM; sleep 1000 & echo child $!; while :; do sleep 1000; done'"#;

#[test]
fn what_does_not_stop_is_killed_with_its_children() {
    let lines = format!("command = {STUBBORN:?}\nstopwaitsecs = \"300ms\"");
    let mut server = alone().program("stubborn", &lines).run();
    let pid = started(&server, 0, "stubborn");
    let line = server.wait_for_line("child ");
    let child: u32 = line.split("child ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok()).expect("a pid");
    assert_eq!(server.stop().code(), Some(0));
    assert!(server.log.text().contains("program did not stop in time"), "{}", server.log.text());
    // What was killed may take a moment to end.
    assert!(!process::is_alive(pid) && process::wait_gone(child, DEADLINE));
}

#[test]
fn a_daemon_that_a_program_has_started_ends_with_it() {
    // Forked twice, in a session of its own, deaf to SIGTERM: the classic daemon.
    let script = "import os, signal, sys, time\n\
                  if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        signal.signal(signal.SIGTERM, signal.SIG_IGN)\n        \
                  print('daemon', os.getpid(), flush=True)\n        time.sleep(1000)\n    os._exit(0)\nos.wait()\ntime.sleep(1000)\n";
    let builder = alone();
    std::fs::write(builder.folder().join("daemon.py"), script).expect("the test's own folder");
    let mut server = builder
        .program("maker", "command = \"python3 %(here)s/daemon.py\"\nstopwaitsecs = \"300ms\"")
        .program("crashing", "command = \"python3 %(here)s/daemon.py\"\nstartsecs = 0\nstopwaitsecs = \"300ms\"")
        .run();
    let daemon = |server: &Server, mark: usize, program: &str| -> u32 {
        let mut found = None;
        wait_until("the daemon runs", DEADLINE, || {
            let lines = server.log.lines_from(mark);
            let line =
                lines.iter().find(|line| line.contains("daemon ") && line.contains(&format!("program={program}")));
            found = line.and_then(|line| line.split("daemon ").nth(1)?.split(' ').next()?.parse().ok());
            found.is_some()
        });
        found.expect("it was just found")
    };
    // A crash takes it along before the next start.
    let first = daemon(&server, 0, "crashing");
    let mark = server.log.mark();
    process::signal(started(&server, 0, "crashing"), Signal::KILL);
    server.wait_for_line_from(mark, "program left processes behind: killing them program=crashing");
    let second = daemon(&server, mark, "crashing");
    assert!(!process::is_alive(first) && process::is_alive(second));
    // So does a stop.
    let other = daemon(&server, 0, "maker");
    assert_eq!(server.stop().code(), Some(0), "{}", server.log.text());
    assert!(!process::is_alive(second) && !process::is_alive(other), "{}", server.log.text());
}

#[test]
fn children_of_a_stopped_program_are_asked_before_they_are_killed() {
    // The shell ends at once; its child needs a moment to say goodbye.
    let script =
        r#"sh -c 'sh -c "trap \"echo child says bye; exit 0\" TERM; echo ready; while :; do sleep 0.1; done" & wait'"#;
    let mut server = alone().program("parent", &format!("command = {script:?}")).run();
    server.wait_for_line("ready program=parent");
    assert_eq!(server.stop().code(), Some(0));
    server.wait_for_line("child says bye program=parent");
    assert!(!server.log.text().contains("did not stop in time"), "{}", server.log.text());
}

#[test]
fn a_whole_group_is_asked_with_stopasgroup_and_by_the_signal_that_is_set() {
    let script = r#"sh -c 'trap "echo got INT; exit 0" INT; echo ready; while :; do sleep 0.1; done'"#;
    let lines = format!("command = {script:?}\nstopsignal = \"INT\"\nstopasgroup = true");
    let mut server = alone().program("polite", &lines).run();
    server.wait_for_line("ready program=polite");
    assert_eq!(server.stop().code(), Some(0));
    server.wait_for_line("got INT program=polite");
}

#[test]
fn a_second_signal_waits_for_nobody() {
    let mut server = alone().program("stubborn", &format!("command = {STUBBORN:?}\nstopwaitsecs = 1000")).run();
    server.wait_for_line("child ");
    server.signal(Signal::TERM);
    server.wait_for_line("stopping");
    server.signal(Signal::TERM);
    server.wait_for_line("stopping at once");
    assert_eq!(server.wait_exit(DEADLINE).and_then(|status| status.code()), Some(0), "{}", server.log.text());
}

#[test]
fn programs_are_looked_after_by_pid_1() {
    let container = ["unshare", "--pid", "--fork", "--mount-proc"];
    let tried = std::process::Command::new(container[0]).args(&container[1..]).arg("true").output();
    if !tried.is_ok_and(|output| output.status.success()) {
        return eprintln!("not shown: no right to make a PID namespace");
    }
    let script = r#"sh -c '(sleep 1000 &) ; echo ready; exec sleep 2000'"#;
    let mut server = alone().prefix(&container).program("one", &format!("command = {script:?}")).run();
    server.wait_for_line("ready program=one");
    let main = server.main();
    // The program, and the orphan that it left to maitred.
    wait_until("both are maitred's children", DEADLINE, || process::children(main).len() == 2);
    assert_eq!(server.stop().code(), Some(0), "{}", server.log.text());
}

/// Not as an orphan of a test that has gone wrong: as something that must hold under load.
#[test]
fn many_programs_start_and_stop_without_leaving_anything() {
    let lines = "command = \"sh -c 'sleep 1000 & sleep 1000'\"\nnumprocs = 60\nprocess_name = \"p%(process_num)d\"";
    let mut server = alone().program("many", lines).run();
    wait_until("all are up", 3 * DEADLINE, || server.log.text().matches("program is up").count() == 60);
    let before = std::fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("ours").count();
    assert!(before > 120, "a pipe for each stream");
    server.signal(Signal::TERM);
    assert!(server.wait_exit(Duration::from_secs(60)).is_some_and(|status| status.success()), "{}", server.log.text());
}

#[test]
fn a_stop_of_all_ends_what_waits_to_be_started_again() {
    let crashing = "command = \"false\"\nstartsecs = 0\nautorestart = true\nbackoff = \"exponential\"\nbackoff_first = \"1h\"\nbackoff_max = \"1h\"";
    let server = alone().program("crashing", crashing).run();
    server.wait_for_line("program exited unexpectedly program=crashing");
    let url = format!("unix://{}", server.folder().join("maitred.sock").display());
    let stopped = maitredctl(&url, &["stop", "all"]);
    assert_eq!((stopped.text.as_str(), stopped.code), ("crashing: stopped\n", Some(0)));
    let status = maitredctl(&url, &["status"]).text;
    assert!(status.lines().any(|line| line.starts_with("crashing ") && line.contains("STOPPED")), "{status}");
}
