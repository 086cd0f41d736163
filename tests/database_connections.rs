//! Database connections that were opened before workers are forked: closed by who has opened them, never used or ended by a worker.

mod support;

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex};

use rustix::process::Signal;
use support::{Builder, DEADLINE, Server, process, python, wait_until};

/// What was said on each connection, a line a step: `open 12`, `query 12`, `terminate 12`; and whether everybody has closed it.
type Transcripts = Arc<Mutex<Vec<(Vec<String>, bool)>>>;

/// Listens on a port of its own for as long as the test runs.
fn recorder() -> (u16, Transcripts) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let transcripts = Transcripts::default();
    let kept = transcripts.clone();
    std::thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            let mut all = kept.lock().expect("no panic");
            let index = all.len();
            all.push((Vec::new(), false));
            let kept = kept.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(connection).lines().map_while(Result::ok) {
                    kept.lock().expect("no panic")[index].0.push(line);
                }
                kept.lock().expect("no panic")[index].1 = true;
            });
        }
    });
    (port, transcripts)
}

/// The project with its two hooks, and two workers.
fn server(engine: &str, variables: &[(&str, &str)]) -> Server {
    let python = python::with_django();
    let builder = Builder::app("connected:application").python(&python).workers(2);
    let database = builder.folder().join("asked.sqlite3").display().to_string();
    let hooks = "[app.hooks]\npre_fork = \"connected:pre_fork\"\npost_fork = \"connected:post_fork\"\n";
    let builder = builder.section(hooks).environment("ENGINE", engine).environment("DATABASE", &database);
    variables.iter().fold(builder, |builder, (name, value)| builder.environment(name, value)).start()
}

fn pid_of(line: &str) -> u32 {
    line.split(' ').next_back().and_then(|pid| pid.parse().ok()).expect("a line ends with a process id")
}

/// Serves, replaces a worker and stops; returns what was said, and the zygote.
fn life(stubborn: &str) -> (Vec<Vec<String>>, u32) {
    let (port, transcripts) = recorder();
    let mut server = server("recording", &[("RECORDER", &port.to_string()), ("STUBBORN", stubborn)]);
    let zygote = server.zygote();
    let first = server.get("/");
    assert_eq!(first.status, 200, "{}", server.log.text());
    // Its replacement is forked by a zygote in whose hook the database was asked once more.
    let worker: u32 = first.text().split(' ').next().and_then(|pid| pid.parse().ok()).expect("a process id");
    process::signal(worker, Signal::KILL);
    server.wait_for_line(&format!("pid={worker} generation=1 exit="));
    server.wait_workers(2);
    for _ in 0..4 {
        let answer = server.get("/");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    server.stop();
    wait_until("all connections end", DEADLINE, || {
        transcripts.lock().expect("no panic").iter().all(|(_, ended)| *ended)
    });
    let said = transcripts.lock().expect("no panic").iter().map(|(lines, _)| lines.clone()).collect();
    (said, zygote)
}

#[test]
fn what_was_opened_before_the_fork_is_closed_by_who_has_opened_it() {
    let (transcripts, zygote) = life("0");
    let (of_zygote, of_workers): (Vec<_>, Vec<_>) = transcripts.iter().partition(|lines| pid_of(&lines[0]) == zygote);
    // At the import, and before each of three forks.
    assert!(of_zygote.len() >= 4 && !of_workers.is_empty(), "{zygote}: {transcripts:#?}");
    for lines in &transcripts {
        assert!(lines.iter().all(|line| pid_of(line) == pid_of(&lines[0])), "somebody else's connection: {lines:?}");
    }
    for lines in of_zygote {
        assert!(lines.last().is_some_and(|line| line.starts_with("terminate ")), "not closed: {lines:?}");
    }
}

#[test]
fn a_connection_that_can_not_be_closed_is_left_alone_by_workers() {
    let (transcripts, zygote) = life("1");
    let of_zygote: Vec<_> = transcripts.iter().filter(|lines| pid_of(&lines[0]) == zygote).collect();
    assert_eq!(of_zygote.len(), 1, "{transcripts:#?}");
    assert!(transcripts.len() > 1, "workers have their own: {transcripts:#?}");
    for lines in &transcripts {
        assert!(lines.iter().all(|line| pid_of(line) == pid_of(&lines[0])), "somebody else's connection: {lines:?}");
    }
}

#[test]
fn sqlite_files_are_not_inherited() {
    let server = server("django.db.backends.sqlite3", &[]);
    assert_eq!(server.get("/inherited").text(), "[]");
    let count = |text: &str| text.split(' ').next_back().and_then(|count| count.parse::<u32>().ok()).expect("a count");
    // One at the import, two before forks.
    let before = count(server.get("/").text());
    assert!(before >= 3, "{before}");
    assert_eq!(count(server.get("/").text()), before + 1);
}
