//! Lines of a program as a file gets them, with time, process and stream. Pure: lines in, bytes out.
//!
//! Called by whoever carries a stream into a file whose `…_logfile_format` is not `raw`.

use std::fmt::Write as _;

use serde::Serialize;

use crate::base::calendar;
use crate::config::OutputFormat;
use crate::supervise::logs::shown;

/// Whose line it is, and when it was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin<'a> {
    /// Milliseconds since 1970-01-01 UTC.
    pub unix_ms: u64,
    /// The process's full name.
    pub program: &'a str,
    /// `stdout` or `stderr`.
    pub stream: &'a str,
}

/// The keys of a line in JSON, in this order.
#[derive(Serialize)]
struct Record<'a> {
    time: &'a str,
    program: &'a str,
    stream: &'a str,
    message: &'a str,
}

/// Adds one line to `out`. Control characters are escaped in either form; bytes that are no UTF-8 show as `\xff` in text, and
/// as U+FFFD in JSON.
pub(super) fn write(out: &mut Vec<u8>, format: OutputFormat, origin: Origin<'_>, line: &[u8]) {
    let mut time = String::new();
    calendar::timestamp(origin.unix_ms, &mut time).expect("a String takes everything");
    let Origin { program, stream, .. } = origin;
    match format {
        OutputFormat::Raw => out.extend_from_slice(line),
        OutputFormat::Text => {
            let _ = write!(time, " {program} {stream} {}", shown(line));
            out.extend_from_slice(time.as_bytes());
        }
        OutputFormat::Json => {
            let message = String::from_utf8_lossy(line);
            let record = Record { time: &time, program, stream, message: &message };
            serde_json::to_writer(&mut *out, &record).expect("strings are JSON, and a Vec takes everything");
        }
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(format: OutputFormat, line: &[u8]) -> String {
        let origin = Origin { unix_ms: 1_795_514_400_123, program: "web:a", stream: "stderr" };
        let mut out = Vec::new();
        write(&mut out, format, origin, line);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_line_has_time_process_and_stream_and_no_line_can_forge_another() {
        assert_eq!(line(OutputFormat::Text, b"hello"), "2026-11-24T10:00:00.123Z web:a stderr hello\n");
        assert_eq!(line(OutputFormat::Text, b"\x1b[2J\xff"), "2026-11-24T10:00:00.123Z web:a stderr \\u{1b}[2J\\xff\n");
        assert_eq!(
            line(OutputFormat::Json, b"say \"hi\"\t\x1b\xff"),
            "{\"time\":\"2026-11-24T10:00:00.123Z\",\"program\":\"web:a\",\"stream\":\"stderr\",\"message\":\"say \\\"hi\\\"\\t\\u001b\u{fffd}\"}\n"
        );
        assert_eq!(line(OutputFormat::Raw, b"as it is"), "as it is\n");
    }
}
