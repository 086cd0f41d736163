//! The real supervisorctl against maitred and against supervisord: the same exercise, line by line and exit code by exit code.

mod support;

use std::io::Write;
use std::process::{Child, Stdio};

use support::log::Log;
use support::supervisor::{Supervisord, Told, command, ctl, supervisorctl};
use support::{Builder, DEADLINE, Server, wait_until};

/// The same programs for both: those of supervisord, as maitred.toml has them.
const PROGRAMS: &[(&str, &str)] = &[
    ("cat", "command = cat\nstartsecs = 0"),
    ("late", "command = sleep 1000\nautostart = false\npriority = 5"),
    ("missing", "command = no-such-program-anywhere\nautostart = false\nstartretries = 0"),
    ("quick", "command = sh -c 'exit 3'\nautostart = false\nstartretries = 0"),
    ("short", "command = sleep 0.05\nautostart = false\nstartsecs = 0\nautorestart = false"),
    ("two", "command = sleep 1000\nnumprocs = 2\nprocess_name = %(program_name)s_%(process_num)02d\nstartsecs = 0"),
];

fn ini() -> String {
    PROGRAMS.iter().map(|(name, lines)| format!("[program:{name}]\n{lines}\n\n")).collect()
}

/// A line of supervisord's file as one of maitred's.
fn toml_line(line: &str) -> String {
    let (key, value) = line.split_once(" = ").expect("a line is an assignment");
    let is_plain = value == "true" || value == "false" || value.parse::<u64>().is_ok();
    if is_plain { line.to_owned() } else { format!("{key} = {value:?}") }
}

fn maitred() -> Builder {
    PROGRAMS.iter().fold(Builder::bare().silent(), |builder, (name, lines)| {
        let lines: Vec<String> = lines.lines().map(toml_line).collect();
        builder.program(name, &lines.join("\n"))
    })
}

fn url(server: &Server) -> String {
    format!("unix://{}", server.folder().join("maitred.sock").display())
}

/// Without what differs from run to run: process ids, times, folders.
fn plain(told: Told) -> Told {
    let mut text = String::new();
    for line in told.text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let mut plain = Vec::new();
        for (index, word) in words.iter().enumerate() {
            let follows = |before: &str| index > 0 && words[index - 1] == before;
            let is_time =
                word.contains(':') && word.trim_end_matches([',', ')']).chars().all(|c| c.is_ascii_digit() || c == ':');
            plain.push(if follows("pid") || is_time || (index == 0 && word.parse::<u32>().is_ok()) {
                "*"
            } else {
                word
            });
        }
        text += &plain.join(" ");
        text.push('\n');
    }
    Told { text, code: told.code }
}

fn sorted(told: Told) -> Told {
    let mut lines: Vec<&str> = told.text.lines().collect();
    lines.sort_unstable();
    Told { text: lines.join("\n"), code: told.code }
}

/// Runs both through the same commands and compares what they say.
#[track_caller]
fn same(commands: &[&[&str]]) {
    let folder = tempfile::tempdir().expect("a folder");
    let theirs = Supervisord::start(folder.path(), &ini());
    let ours = maitred().run();
    let own = url(&ours);
    for command in commands {
        let [expected, found] = [&theirs.url, &own].map(|url| {
            let told = plain(supervisorctl(url, command));
            // Of several that stop together, the one that has stopped first comes first.
            let is_raced = command[0] != "status" && command.iter().any(|word| *word == "all" || word.ends_with(":*"));
            if is_raced { sorted(told) } else { told }
        });
        assert_eq!(found, expected, "{command:?}\n{}", ours.log.text());
    }
}

#[test]
fn processes_are_started_stopped_and_shown() {
    same(&[
        &["status"],
        &["status", "cat"],
        &["status", "two:*", "nobody", "nobody:*"],
        &["start", "late"],
        &["start", "late"],
        &["status"],
        &["stop", "late"],
        &["stop", "late"],
        &["start", "missing"],
        &["start", "quick"],
        &["status", "missing", "quick"],
        &["start", "nobody", "nobody:*"],
        &["start", "short"],
        &["stop", "two:*"],
        &["status", "two:*"],
        &["start", "two:two_00", "cat"],
        &["restart", "two:*"],
        &["stop", "all"],
        &["start", "two:*", "cat"],
        &["start"],
        &["stop"],
        &["restart"],
        &["stop", "nobody", "nobody:x", "nobody:*"],
    ]);
}

#[test]
fn processes_are_signalled_and_asked_for_their_ids() {
    same(&[
        &["signal", "USR9", "cat"],
        &["signal", "CONT", "cat", "late", "nobody", "two:*", "nobody:*"],
        &["signal", "18", "all"],
        &["signal", "CONT"],
        &["pid"],
        &["pid", "cat", "late", "nobody"],
        &["pid", "all"],
        &["version"],
        &["version", "x"],
    ]);
}

#[test]
fn the_configuration_is_shown_and_groups_come_and_go() {
    same(&[
        &["avail"],
        &["reread"],
        &["update"],
        &["remove", "cat"],
        &["stop", "cat"],
        &["remove", "cat", "nobody"],
        &["status"],
        &["avail"],
        &["reread"],
        &["add", "cat"],
        &["add", "cat", "nobody"],
        &["status", "cat"],
        &["update", "cat", "nobody"],
    ]);
}

#[test]
fn logs_are_shown_and_emptied() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = "echo to stdout; echo to stderr >&2; while read line; do echo got $line; done";
    let lines = |here: &std::path::Path| {
        let here = here.display();
        format!("stdout_logfile = {here}/talk.out\nstderr_logfile = {here}/talk.err\nstartsecs = 0")
    };
    let ini = format!(
        "[program:mute]\ncommand = sleep 1000\nstdout_logfile = NONE\nstderr_logfile = NONE\nstartsecs = 0\n\n[program:talk]\ncommand = sh -c '{script}'\n{}\n",
        lines(folder.path())
    );
    let theirs = Supervisord::start(folder.path(), &ini);
    let builder = Builder::bare().silent();
    let own_lines: Vec<String> = lines(builder.folder()).lines().map(toml_line).collect();
    let talk = format!("command = \"sh -c '{script}'\"\n{}", own_lines.join("\n"));
    let ours = builder
        .program(
            "mute",
            "command = \"sleep 1000\"\nstdout_logfile = \"NONE\"\nstderr_logfile = \"NONE\"\nstartsecs = 0",
        )
        .program("talk", &talk)
        .run();
    let own = url(&ours);
    for url in [&theirs.url, &own] {
        wait_until("the first words", DEADLINE, || {
            supervisorctl(url, &["tail", "talk"]).text == "to stdout\n\n"
                && supervisorctl(url, &["tail", "talk", "stderr"]).text == "to stderr\n\n"
        });
    }
    let commands: &[&[&str]] = &[
        &["tail", "talk"],
        &["tail", "-4", "talk", "stderr"],
        &["tail", "-4", "talk", "nowhere"],
        &["tail", "nobody"],
        &["tail"],
        &["tail", "talk:*"],
        &["clear", "talk", "nobody"],
        &["tail", "talk"],
        &["clear", "all"],
        &["clear"],
        &["maintail", "-x"],
        &["fg"],
        &["fg", "nobody"],
    ];
    for command in commands {
        assert_eq!(plain(supervisorctl(&own, command)), plain(supervisorctl(&theirs.url, command)), "{command:?}");
    }
    let main = supervisorctl(&own, &["maintail"]);
    assert!(main.code == Some(0) && main.text.contains("program started program=talk"), "{main:?}");
    // What is typed reaches the program, and what the program answers is seen.
    for url in [&theirs.url, &own] {
        let mut child = command(url, &["fg", "talk"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("supervisorctl runs");
        let seen = Log::new(child.stdout.take().expect("it is piped"));
        assert!(seen.wait_from(0, "==> Press Ctrl-C to exit <==", DEADLINE).is_some(), "{}", seen.text());
        let mut stdin = child.stdin.take().expect("it is piped");
        stdin.write_all(b"hello there\n").expect("it is read");
        assert!(seen.wait_from(0, "got hello there", DEADLINE).is_some(), "{url}: {}", seen.text());
        drop(stdin);
        assert!(seen.wait_from(0, "Exiting foreground", DEADLINE).is_some(), "{}", seen.text());
        end(&mut child);
    }
}

/// Ends a supervisorctl that would go on.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

#[test]
fn logs_are_followed() {
    let script = "while read line; do echo got $line; done";
    let program = |more: &str| format!("command = \"sh -c '{script}'\"\nstartsecs = 0\n{more}");
    let server = Builder::bare()
        .silent()
        .program(
            "filed",
            &program("stdout_logfile = \"filed.log\"\nstdout_logfile_maxbytes = \"64K\"\nstdout_logfile_backups = 2"),
        )
        .program("logged", &program(""))
        .run();
    let own = url(&server);
    for name in ["filed", "logged"] {
        // A call for each line, as supervisorctl's fg makes one: the server's own command is quicker.
        let write = |line: &str| {
            let mut child = ctl(&own, &["fg", name]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("runs");
            child.stdin.take().expect("piped").write_all(format!("{line}\n").as_bytes()).expect("read");
            assert!(child.wait().expect("ends").success());
        };
        write("before");
        wait_until("the first line", DEADLINE, || supervisorctl(&own, &["tail", name]).text.contains("got before"));
        let mut child =
            command(&own, &["tail", "-f", name]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("runs");
        let seen = Log::new(child.stdout.take().expect("it is piped"));
        assert!(seen.wait_from(0, "got before", DEADLINE).is_some(), "{}", seen.text());
        for number in 0..5 {
            write(&format!("{number} {}", "x".repeat(900)));
            assert!(seen.wait_from(0, &format!("got {number} x"), DEADLINE).is_some(), "{name}: {}", seen.text());
        }
        end(&mut child);
    }
    let mut child =
        command(&own, &["maintail", "-f"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("runs");
    let seen = Log::new(child.stdout.take().expect("it is piped"));
    assert!(seen.wait_from(0, "program=logged", DEADLINE).is_some(), "{}", seen.text());
    assert_eq!(supervisorctl(&own, &["stop", "filed"]).code, Some(0));
    assert!(seen.wait_from(0, "program stopped program=filed", DEADLINE).is_some(), "{}", seen.text());
    end(&mut child);
}

#[test]
fn a_shutdown_ends_the_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut theirs = Supervisord::start(folder.path(), &ini());
    let mut ours = maitred().run();
    let own = url(&ours);
    assert_eq!(supervisorctl(&own, &["shutdown"]), supervisorctl(&theirs.url, &["shutdown"]));
    assert_eq!(theirs.wait(), Some(0));
    assert_eq!(ours.wait_exit(DEADLINE).and_then(|status| status.code()), Some(0));
    let after = supervisorctl(&own, &["status"]);
    assert_eq!((after.code, after.text), (Some(4), format!("{own} no such file\n")));
}
