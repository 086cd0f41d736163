//! Log files of programs over time: rotated by age, compressed, in lines of text or JSON, and followed meanwhile without a gap.

mod support;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use flate2::read::GzDecoder;
use support::log::Log;
use support::supervisor::{ctl, maitredctl};
use support::{Builder, DEADLINE, Server, wait_until};

fn url(server: &Server) -> String {
    format!("unix://{}", server.folder().join("maitred.sock").display())
}

fn beside(log: &Path, end: &str) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// A log file's text with that of its backups before it.
fn whole(log: &Path) -> String {
    let mut text = String::new();
    for number in (1..=9).rev() {
        let (plain, packed) = (beside(log, &format!(".{number}")), beside(log, &format!(".{number}.gz")));
        if let Ok(file) = File::open(&packed) {
            GzDecoder::new(file).read_to_string(&mut text).expect("a whole file");
        } else if let Ok(kept) = fs::read_to_string(&plain) {
            text += &kept;
        }
    }
    text + &fs::read_to_string(log).unwrap_or_default()
}

/// The numbers that lines begin with follow each other, from the first that is there.
#[track_caller]
fn assert_gapless<'l>(lines: impl Iterator<Item = &'l str>) -> usize {
    let numbers: Vec<usize> =
        lines.map(|line| line.split(' ').next().and_then(|word| word.parse().ok()).expect("a number")).collect();
    let first = *numbers.first().expect("there are lines");
    assert_eq!(numbers, (first..first + numbers.len()).collect::<Vec<_>>());
    first
}

#[test]
fn a_file_is_rotated_by_age_however_small_and_age_counts_across_restarts() {
    let script = "n=1000; while :; do echo $n; n=$((n+1)); sleep 0.05; done";
    let builder = Builder::bare().silent();
    let log = builder.folder().join("aged.log");
    // Old enough, as its file system says: it was made by an earlier run.
    fs::write(&log, "999\n").expect("the test's own folder");
    let born = fs::metadata(&log).and_then(|found| found.created());
    let mut server = builder
        .program(
            "aged",
            &format!("command = \"sh -c '{script}'\"\nstdout_logfile = \"aged.log\"\nstdout_logfile_maxage = \"1s\"\nstdout_logfile_backups = 9"),
        )
        .run();
    wait_until("it was rotated twice", DEADLINE, || beside(&log, ".2").exists());
    assert_eq!(server.stop().code(), Some(0));
    let text = whole(&log);
    assert_eq!(assert_gapless(text.lines()), 999);
    let oldest = (1..=9).rev().map(|number| beside(&log, &format!(".{number}"))).find(|path| path.exists());
    let oldest = fs::read_to_string(oldest.expect("a backup")).expect("text");
    assert!(oldest.starts_with("999\n") && oldest.lines().count() < 40, "a second's lines: {oldest}");
    if let Ok(born) = born {
        let age = fs::metadata(beside(&log, ".1")).and_then(|found| found.created()).expect("a time");
        assert!(age > born);
    }
}

#[test]
fn rotated_files_are_compressed_and_nothing_is_lost_for_readers_and_followers() {
    let builder = Builder::bare().silent();
    // 400 lines of 500 bytes, a few at a time: some 50 rotations.
    let script = "n=1000; while [ $n -lt 1400 ]; do printf '%s %0494d\\n' $n 0; n=$((n+1)); [ $((n%4)) = 0 ] && sleep 0.02; done; exec sleep 1000";
    fs::write(builder.folder().join("write.sh"), format!("read start\n{script}")).expect("the test's own folder");
    let log = builder.folder().join("packed.log");
    // There is something to follow from the beginning.
    fs::write(&log, format!("999 {:0495}\n", 0)).expect("the test's own folder");
    let server = builder
        .program(
            "packed",
            "command = \"sh %(here)s/write.sh\"\nstdout_logfile = \"packed.log\"\nstdout_logfile_maxbytes = \"4K\"\nstdout_logfile_backups = 9\nstdout_logfile_compress = true",
        )
        .run();
    let own = url(&server);
    server.wait_for_line("program is up program=packed");
    let mut child =
        ctl(&own, &["tail", "-f", "packed"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("runs");
    let seen = Log::new(child.stdout.take().expect("it is piped"));
    assert!(seen.wait_from(0, "999 ", DEADLINE).is_some(), "{}", seen.text());
    let mut start = ctl(&own, &["fg", "packed"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("runs");
    start.stdin.take().expect("piped").write_all(b"go\n").expect("read");
    assert!(start.wait().expect("it ends").success());
    // Readers see whole lines, whatever happens to the file.
    let mut reads = 0;
    while seen.wait_from(0, "1399 ", std::time::Duration::from_millis(1)).is_none() {
        let told = maitredctl(&own, &["tail", "-3000", "packed"]);
        let lines = told.text.lines().filter(|line| line.len() == 499);
        let numbers: Vec<usize> = lines.map(|line| line[..4].parse().expect("a number")).collect();
        assert!(numbers.is_sorted_by(|a, b| a + 1 == *b), "{numbers:?}");
        reads += 1;
        assert!(reads < 10_000, "{}", seen.text());
    }
    assert!(seen.wait_from(0, "1399 ", DEADLINE).is_some(), "{}", seen.text());
    child.kill().expect("it runs");
    child.wait().expect("it has ended");
    assert_eq!(assert_gapless(seen.lines_from(0).iter().map(String::as_str)), 999, "a follower hears every line");
    assert_eq!(seen.lines_from(0).len(), 401);
    wait_until("all backups are compressed", DEADLINE, || {
        (1..=9).all(|number| {
            beside(&log, &format!(".{number}.gz")).exists() && !beside(&log, &format!(".{number}")).exists()
        })
    });
    assert!(!beside(&log, ".gz.part").exists());
    let text = whole(&log);
    assert_gapless(text.lines());
    assert!(text.contains("1399 ") && text.lines().all(|line| line.len() == 499), "whole lines only");
    assert!(!server.log.text().contains("can't be"), "{}", server.log.text());
}

#[test]
fn a_crash_while_a_file_is_compressed_leaves_no_half_file() {
    let builder = Builder::bare().silent();
    let log = builder.folder().join("crashed.log");
    // As a maitred has left them that was killed: one half compressed, one just before the other form goes.
    fs::write(beside(&log, ".1"), "whole\n").expect("the test's own folder");
    fs::write(beside(&log, ".gz.part"), b"\x1f\x8b\x08half").expect("the test's own folder");
    let _server = builder
        .program(
            "crashed",
            "command = \"sleep 1000\"\nstdout_logfile = \"crashed.log\"\nstdout_logfile_compress = true",
        )
        .run();
    wait_until("it is compressed", DEADLINE, || !beside(&log, ".1").exists());
    assert!(!beside(&log, ".gz.part").exists());
    assert_eq!(whole(&log), "whole\n");
}

#[test]
fn lines_go_into_files_with_time_program_and_stream_as_text_or_json() {
    let script = "sh -c 'echo to out; echo to err >&2; printf \"\\\\033[2J\\\"quoted\\\"\\\\n\"; printf unfinished; exec sleep 0.2'";
    let command = format!("command = {script:?}\nstartsecs = 0\nautorestart = false");
    let builder = Builder::bare().silent();
    let (out, folder) = (builder.folder().join("stdout"), builder.folder().to_owned());
    // A shell stands between, since the harness throws standard output away.
    let shell = ["sh", "-c", &format!("exec \"$@\" >> {}", out.display()), "sh"];
    let server = builder
        .prefix(&shell)
        .program("json", &format!("{command}\nredirect_stderr = true\nstdout_logfile = \"json.log\"\nstdout_logfile_format = \"json\""))
        .program("text", &format!("{command}\nstdout_logfile = \"/dev/stdout\"\nstdout_logfile_maxbytes = 0\nstdout_logfile_format = \"text\"\nstderr_logfile = \"text.log\"\nstderr_logfile_format = \"text\""))
        .run();
    for name in ["json", "text"] {
        server.wait_for_line(&format!("program exited program={name}"));
    }
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    wait_until("all was written", DEADLINE, || {
        read(&folder.join("json.log")).lines().count() == 4 && read(&out).lines().count() == 3
    });
    let records: Vec<serde_json::Value> =
        read(&folder.join("json.log")).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let mut messages: Vec<&str> = records.iter().map(|record| record["message"].as_str().expect("text")).collect();
    messages.sort_unstable();
    assert_eq!(messages, ["\u{1b}[2J\"quoted\"", "to err", "to out", "unfinished"]);
    for record in &records {
        assert_eq!((&record["program"], &record["stream"]), (&"json".into(), &"stdout".into()));
        assert_eq!(record["time"].as_str().map(str::len), Some("2026-11-24T10:00:00.123Z".len()));
    }
    let plain = |path: &Path| read(path).lines().map(|line| line[25..].to_owned()).collect::<Vec<_>>();
    assert_eq!(plain(&out), ["text stdout to out", "text stdout \\u{1b}[2J\"quoted\"", "text stdout unfinished"]);
    assert_eq!(plain(&folder.join("text.log")), ["text stderr to err"]);
}
