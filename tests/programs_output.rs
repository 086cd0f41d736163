//! What programs write: into maitred's log line by line, into files as it is, rotated by size; floods, full disks, and the last words.

mod support;

use std::fs;
use std::path::Path;

use rustix::process::Signal;
use support::{Builder, DEADLINE, process, value_of, wait_until};

fn alone() -> Builder {
    Builder::bare().silent()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn lines_go_into_the_log_with_program_and_stream() {
    let script =
        "sh -c 'echo to out; echo to err >&2; printf \"escape \\\\033[2J\\\\n\"; printf unfinished; exec sleep 0.3'";
    let command = format!("command = {script:?}\nstartsecs = 0\nautorestart = false");
    let server =
        alone().program("plain", &command).program("joined", &format!("{command}\nredirect_stderr = true")).run();
    server.wait_for_line("to out program=plain stream=stdout");
    server.wait_for_line("to err program=plain stream=stderr");
    server.wait_for_line("to err program=joined stream=stdout");
    server.wait_for_line("escape \\u{1b}[2J program=plain stream=stdout");
    // Once it ends, also what no newline ended.
    server.wait_for_line("unfinished program=plain stream=stdout");
}

#[test]
fn files_get_what_was_written_as_it_is() {
    let script = "sh -c 'printf \"a\\\\000b\\\\033[1m\"; echo err >&2; exec sleep 1000'";
    let lines = format!(
        "command = {script:?}\nstdout_logfile = \"%(program_name)s.out\"\nstderr_logfile = \"%(here)s/%(program_name)s.err\""
    );
    let mut server = alone()
        .program("filed", &lines)
        .program("silent", "command = \"sh -c 'echo nobody hears; exec sleep 1000'\"\nstdout_logfile = \"NONE\"\nstderr_logfile = \"NONE\"")
        .run();
    let (out, err) = (server.folder().join("filed.out"), server.folder().join("filed.err"));
    wait_until("both files are written", DEADLINE, || read(&out).ends_with('m') && read(&err) == "err\n");
    assert_eq!(fs::read(&out).expect("there"), b"a\0b\x1b[1m");
    assert_eq!(server.stop().code(), Some(0));
    assert!(!server.log.text().contains("nobody hears"));
}

#[test]
fn files_are_rotated_by_size_at_whole_lines_with_so_many_backups() {
    // 1,000 lines of 100 bytes.
    let script = "i=1000; while [ $i -le 1999 ]; do printf '%s %095d\\n' $i 0; i=$((i+1)); done; exec sleep 1000";
    let builder = alone();
    fs::write(builder.folder().join("write.sh"), script).expect("the test's own folder");
    let log = builder.folder().join("rotated.log");
    let server = builder
        .program(
            "writer",
            "command = \"sh %(here)s/write.sh\"\nstdout_logfile = \"rotated.log\"\nstdout_logfile_maxbytes = \"8K\"\nstdout_logfile_backups = 3",
        )
        .run();
    let backup = |number: u32| log.with_file_name(format!("rotated.log.{number}"));
    wait_until("the last line is written", DEADLINE, || {
        read(&log).contains("1999 ") || read(&backup(1)).contains("1999 ")
    });
    let mut numbers = Vec::new();
    for file in [backup(3), backup(2), backup(1), log.clone()] {
        let text = read(&file);
        assert!(text.lines().all(|line| line.len() == 100), "whole lines in {}", file.display());
        assert!(text.len() <= 8 * 1024, "{}: {} bytes", file.display(), text.len());
        numbers.extend(text.lines().map(|line| line[..4].parse::<u32>().expect("a number")));
    }
    assert!(!backup(4).exists());
    let first = numbers[0];
    assert_eq!(numbers, (first..=1999).collect::<Vec<_>>(), "no line is missing between the files");
    drop(server);
}

#[test]
fn a_flood_is_held_back_by_its_own_pipe() {
    let server = alone()
        .program("flood", "command = \"yes a line of a flooding program\"")
        .program("filed", "command = \"yes\"\nstdout_logfile = \"flood.log\"\nstdout_logfile_maxbytes = \"1M\"\nstdout_logfile_backups = 1")
        .program("calm", "command = \"sh -c 'while :; do echo still heard; sleep 0.2; done'\"")
        .run();
    server.wait_for_line("a line of a flooding program program=flood");
    wait_until("the file was rotated", DEADLINE, || server.folder().join("flood.log.1").exists());
    let before = process::resident_kib(server.pid());
    let mark = server.log.mark();
    wait_until("the calm one is heard many times", DEADLINE, || {
        server.log.lines_from(mark).iter().filter(|line| line.contains("still heard")).count() >= 10
    });
    // Two seconds and more, in which the two wrote as much as they were let.
    let after = process::resident_kib(server.pid());
    assert!(after < before + 8 * 1024, "from {before} to {after} KiB");
    let lines = server.log.lines_from(mark);
    assert!(lines.iter().filter(|line| line.contains("program=flood")).count() < 100_000);
}

#[test]
fn a_full_disk_costs_the_output_and_nothing_else() {
    let server = alone()
        .program(
            "full",
            "command = \"sh -c 'while :; do echo lost; sleep 0.05; done'\"\nstdout_logfile = \"/dev/full\"",
        )
        .program("other", "command = \"sh -c 'echo heard; exec sleep 1000'\"")
        .run();
    let line = server.wait_for_line("a program's output is lost: its log file can't be written");
    assert!(line.contains("file=/dev/full") && line.contains("No space left"), "{line}");
    server.wait_for_line("heard program=other");
    server.wait_for_line("program is up program=full");
    assert_eq!(server.log.text().matches("output is lost").count(), 1, "said once");
}

#[test]
fn a_log_file_that_was_moved_away_is_opened_anew_on_sigusr1() {
    let server = alone()
        .program(
            "writer",
            "command = \"sh -c 'while :; do echo line; sleep 0.05; done'\"\nstdout_logfile = \"moved.log\"",
        )
        .run();
    let (log, old) = (server.folder().join("moved.log"), server.folder().join("moved.log.old"));
    wait_until("it writes", DEADLINE, || read(&log).contains("line"));
    fs::rename(&log, &old).expect("renamed");
    server.signal(Signal::USR1);
    wait_until("it writes into a new file", DEADLINE, || read(&log).contains("line"));
}

#[test]
fn automatic_files_are_made_privately_and_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = alone()
        .environment("TMPDIR", folder.path().to_str().expect("UTF-8"))
        .program("auto", "command = \"sh -c 'echo automatic; exec sleep 1000'\"\nstdout_logfile = \"AUTO\"")
        .run();
    let found = || fs::read_dir(folder.path()).expect("there").flatten().map(|entry| entry.path()).collect::<Vec<_>>();
    wait_until("it is written", DEADLINE, || found().first().is_some_and(|path| read(path) == "automatic\n"));
    let path = found().remove(0);
    let name = path.file_name().and_then(|name| name.to_str()).expect("UTF-8").to_owned();
    assert!(name.starts_with(&format!("auto-stdout---maitred-{}-", server.pid())), "{name}");
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(path.metadata().expect("there").permissions().mode() & 0o777, 0o600);
    server.stop();
    // The next one removes what the one before has left.
    let next = alone()
        .environment("TMPDIR", folder.path().to_str().expect("UTF-8"))
        .program("other", "command = \"sleep 1000\"")
        .run();
    assert!(!path.exists());
    drop(next);
}

#[test]
fn automatic_files_are_made_where_they_should_be() {
    let builder = alone();
    let logs = builder.folder().join("logs");
    fs::create_dir(&logs).expect("the test's own folder");
    let _server = builder
        .section("[supervisor]\nchildlogdir = \"logs\"\nenvironment = { STAGE = \"live %(host_node_name)s\" }")
        .program("auto", "command = \"sh -c 'echo $STAGE; exec sleep 1000'\"\nstdout_logfile = \"AUTO\"")
        .run();
    let written =
        || fs::read_dir(&logs).expect("there").flatten().any(|entry| read(&entry.path()).starts_with("live "));
    wait_until("it is written there", DEADLINE, written);
}

#[test]
fn the_last_words_before_a_stop_are_heard() {
    let script = "sh -c 'trap \"echo last words; exit 0\" TERM; echo ready; while :; do sleep 0.05; done'";
    let mut server = alone().program("polite", &format!("command = {script:?}")).run();
    let pid = value_of(&server.wait_for_line("program started program=polite"), "pid").map(str::to_owned);
    assert!(pid.is_some());
    server.wait_for_line("ready program=polite");
    assert_eq!(server.stop().code(), Some(0));
    server.wait_for_line("last words program=polite");
}

#[test]
fn lines_go_to_syslog_with_the_name_of_the_process() {
    let builder = alone();
    let path = builder.folder().join("log.sock");
    let daemon = std::os::unix::net::UnixDatagram::bind(&path).expect("the test's own folder");
    daemon.set_read_timeout(Some(DEADLINE)).expect("a time");
    let script = "sh -c 'echo to syslog; printf unfinished; exec sleep 0.2'";
    let syslog = format!("server=unix:{},severity=notice", path.display());
    let server = builder
        .program(
            "told",
            &format!("command = {script:?}\nstartsecs = 0\nautorestart = false\nstdout_logfile = \"NONE\"\nstdout_syslog = {syslog:?}"),
        )
        .run();
    for expected in ["told: to syslog", "told: unfinished"] {
        let mut buffer = [0; 1024];
        let length = daemon.recv(&mut buffer).expect("a message");
        let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
        assert!(message.starts_with("<13>") && message.ends_with(expected), "{message}");
    }
    server.wait_for_line("program exited program=told");
    assert!(!server.log.text().contains("to syslog"));
}
