//! Commands that show and follow what processes write.
//!
//! Owns how lines of several streams are put under each other: whole lines only, each behind the name of its process. One thread a stream
//! waits for what comes.

use std::collections::HashSet;
use std::io::{BufRead, IsTerminal, Write, stdin, stdout};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use super::client::{Client, Trouble};
use super::processes::{items, matching, name_of, text};
use super::show;
use super::{GENERIC, Session, Stream};
use crate::base::bounds::RECENT_OUTPUT_BYTES;
use crate::control::{FaultCode, Value};

/// Colours of names, as numbers of ANSI escape sequences.
const COLOURS: [u8; 6] = [36, 33, 32, 35, 34, 31];

impl Stream {
    fn name(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }

    fn method(self) -> &'static str {
        match self {
            Stream::Stdout => "supervisor.readProcessStdoutLog",
            Stream::Stderr => "supervisor.readProcessStderrLog",
        }
    }
}

/// The end of a stream.
fn end_of(client: &Client, name: &str, stream: Stream, bytes: u32) -> Result<String, Trouble> {
    let params = vec![Value::text(name), Value::int(-i64::from(bytes)), Value::Int(0)];
    client.call(stream.method(), params).map(|value| value.as_text().unwrap_or_default().to_owned())
}

/// `tail` without `-f`.
pub(super) fn tail(session: &mut Session, name: &str, stream: Stream, bytes: u32) -> Result<(), Trouble> {
    match end_of(&session.client, name, stream, bytes) {
        Ok(text) if session.json => show::json_line(&[("name", name), ("stream", stream.name()), ("text", &text)]),
        Ok(text) => session.say(text),
        Err(Trouble::Refused(fault)) => {
            let why = match fault.code {
                code if code == FaultCode::NoFile as i32 => "no log file",
                code if code == FaultCode::BadName as i32 => "no such process name",
                _ => "unknown error reading log",
            };
            session.say(format_args!("{name}: ERROR ({why})"));
            session.failed(GENERIC);
        }
        Err(other) => return Err(other),
    }
    Ok(())
}

/// `maintail` without `-f`.
pub(super) fn main_tail(session: &mut Session, bytes: u32) -> Result<(), Trouble> {
    let params = vec![Value::int(-i64::from(bytes)), Value::Int(0)];
    let text = session.client.call("supervisor.readLog", params)?;
    let text = text.as_text().unwrap_or_default();
    if session.json {
        show::json_line(&[("text", text)]);
    } else {
        session.say(text);
    }
    Ok(())
}

/// Writes bytes as they are, at once.
fn write(bytes: &[u8]) {
    let mut out = stdout().lock();
    // Nobody may be reading any more.
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}

/// `tail -f`.
pub(super) fn follow_one(session: &mut Session, name: &str, stream: Stream) -> Result<(), Trouble> {
    session.client.tail(&path(name, stream), write)
}

/// `maintail -f`.
pub(super) fn follow_main(session: &mut Session) -> Result<(), Trouble> {
    session.client.tail("/mainlogtail", write)
}

fn path(name: &str, stream: Stream) -> String {
    let mut encoded = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => {
                encoded.push(char::from(byte))
            }
            _ => encoded += &format!("%{byte:02X}"),
        }
    }
    format!("/logtail/{encoded}/{}", stream.name())
}

/// `logs`.
pub(super) fn several(session: &mut Session, names: &[String], follow: bool) -> Result<(), Trouble> {
    let mut all: Vec<String> = matching(session, names)?.iter().map(name_of).collect();
    let programs = items(session.client.call("supervisor.getAllConfigInfo", Vec::new())?);
    let programs: HashSet<String> = programs.iter().map(name_of).collect();
    let asked = all.len();
    // A program that is no longer configured may run for a while.
    all.retain(|name| programs.contains(name) || !name.contains(":worker_"));
    if all.len() < asked && (all.is_empty() || !names.is_empty()) {
        super::complain(
            "maitred: web workers have no log of their own, they write into the server's: maitred ctl maintail",
        );
        session.failed(GENERIC);
    }
    let streams = [Stream::Stdout, Stream::Stderr];
    let width = all.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let mut printer = Printer { width, json: session.json, colours: !session.json && stdout().is_terminal() };
    if std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        printer.colours = false;
    }
    if !follow {
        for (index, name) in all.iter().enumerate() {
            for stream in streams {
                // A stream that is nowhere kept has no end to show.
                let Ok(text) = end_of(&session.client, name, stream, RECENT_OUTPUT_BYTES as u32) else { continue };
                text.lines().for_each(|line| printer.print(index, name, stream, line));
            }
        }
        return Ok(());
    }
    let (sender, receiver) = channel();
    for (index, name) in all.iter().enumerate() {
        for stream in streams {
            let (client, name, sender) = (session.client.clone(), name.clone(), sender.clone());
            thread::spawn(move || follow_lines(&client, index, &name, stream, &sender));
        }
    }
    drop(sender);
    for (index, stream, line) in receiver {
        printer.print(index, &all[index], stream, &line);
    }
    Ok(())
}

/// Sends whole lines of a stream until it ends.
fn follow_lines(client: &Client, index: usize, name: &str, stream: Stream, to: &Sender<(usize, Stream, String)>) {
    let mut begun: Vec<u8> = Vec::new();
    let ended = client.tail(&path(name, stream), |piece| {
        begun.extend_from_slice(piece);
        while let Some(end) = begun.iter().position(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(&begun[..end]).into_owned();
            begun.drain(..=end);
            let _ = to.send((index, stream, line));
        }
    });
    // Standard error that goes the way of standard output is no stream of its own.
    if ended.is_ok() && !begun.is_empty() {
        let _ = to.send((index, stream, String::from_utf8_lossy(&begun).into_owned()));
    }
}

struct Printer {
    width: usize,
    json: bool,
    colours: bool,
}

impl Printer {
    fn print(&self, index: usize, name: &str, stream: Stream, line: &str) {
        let width = self.width;
        if self.json {
            show::json_line(&[("name", name), ("stream", stream.name()), ("line", line)]);
        } else if self.colours {
            let colour = COLOURS[index % COLOURS.len()];
            write(format!("\x1b[{colour}m{name:<width$} |\x1b[0m {line}\n").as_bytes());
        } else {
            write(format!("{name:<width$} | {line}\n").as_bytes());
        }
    }
}

/// `fg`.
pub(super) fn foreground(session: &mut Session, name: &str) -> Result<(), Trouble> {
    let info = session.client.call("supervisor.getProcessInfo", vec![Value::text(name)])?;
    if text(&info, "statename") != "RUNNING" {
        session.say("ERROR: process not running");
        session.failed(GENERIC);
        return Ok(());
    }
    for stream in [Stream::Stdout, Stream::Stderr] {
        let (client, path) = (session.client.clone(), path(name, stream));
        thread::spawn(move || client.tail(&path, write));
    }
    for line in stdin().lock().lines() {
        let Ok(line) = line else { break };
        session.client.call("supervisor.sendProcessStdin", vec![Value::text(name), Value::Text(line + "\n")])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded_in_paths() {
        assert_eq!(path("all:a b", Stream::Stderr), "/logtail/all:a%20b/stderr");
        assert_eq!(path("ä", Stream::Stdout), "/logtail/%C3%A4/stdout");
    }
}
