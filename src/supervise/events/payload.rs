//! Events as listeners read them: supervisord's payloads, and the header before each.
//!
//! Pure formatting. Sizes are counted in characters, as supervisord counts them and Python's listeners read them.

use crate::config::EventType;
use crate::supervise::programs::Stream;
use crate::supervise::programs::machine::State;
use crate::supervise::rpc::IDENTIFICATION;

/// Which process an event tells of.
#[derive(Clone, Copy, Debug)]
pub(in crate::supervise) struct Subject<'a> {
    pub process: &'a str,
    pub group: &'a str,
}

/// What of a process is told with its state, as far as the state has it.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::supervise) struct Details {
    /// The process that has begun, or has ended; 0: there was none.
    pub pid: i32,
    /// Failed starts in a row.
    pub tries: u32,
    /// Its end by itself was one of the expected ways.
    pub is_expected: bool,
}

/// The event of a process that is in `state` now.
pub(super) fn state_event(state: State) -> EventType {
    match state {
        State::Stopped => EventType::ProcessStateStopped,
        State::Starting => EventType::ProcessStateStarting,
        State::Running => EventType::ProcessStateRunning,
        State::Backoff => EventType::ProcessStateBackoff,
        State::Stopping => EventType::ProcessStateStopping,
        State::Exited => EventType::ProcessStateExited,
        State::Fatal => EventType::ProcessStateFatal,
        State::Unknown => EventType::ProcessStateUnknown,
    }
}

/// … and what it says.
pub(super) fn state(subject: Subject<'_>, from: State, to: State, details: Details) -> String {
    let Details { pid, tries, is_expected } = details;
    let more = match to {
        State::Starting | State::Backoff => format!(" tries:{tries}"),
        State::Running | State::Stopping | State::Stopped => format!(" pid:{pid}"),
        State::Exited => format!(" expected:{} pid:{pid}", u8::from(is_expected)),
        State::Fatal | State::Unknown => String::new(),
    };
    format!("processname:{} groupname:{} from_state:{from}{more}", subject.process, subject.group)
}

/// What a process has written.
pub(super) fn written(subject: Subject<'_>, pid: i32, stream: Stream, bytes: &[u8]) -> String {
    let (Subject { process, group }, channel) = (subject, stream.name());
    format!("processname:{process} groupname:{group} pid:{pid} channel:{channel}\n{}", text(bytes))
}

/// What a process has written between the marks.
pub(super) fn message(subject: Subject<'_>, pid: i32, bytes: &[u8]) -> String {
    let Subject { process, group } = subject;
    format!("processname:{process} groupname:{group} pid:{pid}\n{}", text(bytes))
}

/// What a client has sent.
pub(super) fn remote(kind: &str, data: &str) -> String {
    format!("type:{kind}\n{data}")
}

/// A group has come or gone.
pub(super) fn group(name: &str) -> String {
    format!("groupname:{name}\n")
}

/// A period has begun, seconds since 1970.
pub(super) fn tick(when: u64) -> String {
    format!("when:{when}")
}

/// An event as it is sent to a listener: header and payload.
pub(super) fn envelope(kind: EventType, serial: u64, pool: &str, pool_serial: u64, payload: &str) -> String {
    let (server, name, length) = (IDENTIFICATION, kind.name(), payload.chars().count());
    format!(
        "ver:3.0 server:{server} serial:{serial} pool:{pool} poolserial:{pool_serial} eventname:{name} len:{length}\n{payload}"
    )
}

/// Bytes as text. What is not UTF-8 is written as Python's repr() writes bytes, with a word before it.
fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => format!("Undecodable: {}", repr(bytes)),
    }
}

fn repr(bytes: &[u8]) -> String {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') { '"' } else { '\'' };
    let mut written = format!("b{quote}");
    for &byte in bytes {
        match byte {
            b'\\' => written.push_str("\\\\"),
            b'\t' => written.push_str("\\t"),
            b'\n' => written.push_str("\\n"),
            b'\r' => written.push_str("\\r"),
            b' '..=b'~' if char::from(byte) == quote => written.extend(['\\', quote]),
            b' '..=b'~' => written.push(char::from(byte)),
            _ => written.push_str(&format!("\\x{byte:02x}")),
        }
    }
    written.push(quote);
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBJECT: Subject<'_> = Subject { process: "cat_00", group: "cat" };

    #[test]
    fn states_come_with_what_belongs_to_them() {
        let details = Details { pid: 7, tries: 2, is_expected: true };
        for (to, more) in [
            (State::Starting, " tries:2"),
            (State::Backoff, " tries:2"),
            (State::Running, " pid:7"),
            (State::Stopping, " pid:7"),
            (State::Stopped, " pid:7"),
            (State::Exited, " expected:1 pid:7"),
            (State::Fatal, ""),
            (State::Unknown, ""),
        ] {
            let expected = format!("processname:cat_00 groupname:cat from_state:BACKOFF{more}");
            assert_eq!(state(SUBJECT, State::Backoff, to, details), expected);
            assert_eq!(state_event(to).name(), format!("PROCESS_STATE_{to}"));
        }
    }

    #[test]
    fn a_header_counts_characters() {
        let text = envelope(EventType::RemoteCommunication, 3, "pool", 1, &remote("k", "\u{e9}"));
        let header = "ver:3.0 server:maitred serial:3 pool:pool poolserial:1 eventname:REMOTE_COMMUNICATION len:8";
        assert_eq!(text, format!("{header}\ntype:k\n\u{e9}"));
    }

    #[test]
    fn what_is_no_text_is_written_as_python_does_it() {
        let bytes = |bytes: &[u8]| message(SUBJECT, 1, bytes).split_once('\n').map(|(_, data)| data.to_owned());
        assert_eq!(bytes(b"caf\xc3\xa9").as_deref(), Some("caf\u{e9}"));
        assert_eq!(bytes(b"\xff\x00\t\r\n\\ '\x7f").as_deref(), Some(r#"Undecodable: b"\xff\x00\t\r\n\\ '\x7f""#));
        assert_eq!(bytes(b"\xff'\"").as_deref(), Some(r#"Undecodable: b'\xff\'"'"#));
        assert_eq!(written(SUBJECT, 1, Stream::Err, b"x"), "processname:cat_00 groupname:cat pid:1 channel:stderr\nx");
    }
}
