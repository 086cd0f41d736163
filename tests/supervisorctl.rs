//! The real supervisorctl against maitred and against supervisord: the same exercise, line by line and exit code by exit code.

mod support;

use support::supervisor::{Supervisord, Told, supervisorctl};
use support::{Builder, Server};

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
fn a_shutdown_ends_the_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut theirs = Supervisord::start(folder.path(), &ini());
    let mut ours = maitred().run();
    let own = url(&ours);
    assert_eq!(supervisorctl(&own, &["shutdown"]), supervisorctl(&theirs.url, &["shutdown"]));
    assert_eq!(theirs.wait(), Some(0));
    assert_eq!(ours.wait_exit(support::DEADLINE).and_then(|status| status.code()), Some(0));
    let after = supervisorctl(&own, &["status"]);
    assert_eq!((after.code, after.text), (Some(4), format!("{own} no such file\n")));
}
