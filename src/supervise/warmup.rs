//! The warm-up: one request by which a new generation proves that it serves, before it is given anybody's.
//!
//! Owns what it looks like and how its answer is judged. To the worker it comes from one more shard, whose reply socket is here. Decides nothing
//! about the generation: `machine` does. Called by the loop.

use std::fmt::Write as _;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

use crate::base::bounds::WARMUP_EXCERPT_BYTES;
use crate::config::{Config, HostPattern, WarmupConfig};
use crate::django::Facts;
use crate::http::target::decode_path;
use crate::ring::{BufferGroup, Descriptor, Message, Ring};
use crate::sys::outbox::{Lent, Outbox, Reader};
use crate::sys::packets;
use crate::wsgi::messages::encode_request;
use crate::wsgi::{BodyRef, Environ, Reply, ReplyKind, Token};

/// The only request of its shard.
const TOKEN: Token = Token { slot: 0, serial: 1 };
const USER_AGENT: &str = concat!("maitred/", env!("CARGO_PKG_VERSION"), " (warm-up)");

/// A warm-up request, and what its answer is to be.
#[derive(Debug)]
pub(super) struct Warmup {
    config: WarmupConfig,
    host: String,
    is_tls: bool,
}

impl Warmup {
    /// The one of the configuration, if it has one.
    pub fn new(config: &Config, django: Option<&Facts>) -> Option<Warmup> {
        let warmup = config.app.as_ref()?.warmup.clone()?;
        Some(Warmup { host: host(&warmup, config, django), config: warmup, is_tls: !config.tls.is_empty() })
    }

    /// What is asked, for people.
    pub fn describe(&self) -> String {
        format!("GET {} (Host: {})", self.config.target, self.host)
    }

    /// Puts it into an `inbox`; the answer comes from `shard`'s reply socket.
    pub fn send(&self, inbox: &impl AsFd, shard: u32) -> io::Result<()> {
        let target = &self.config.target;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let path = decode_path(path).expect("the configuration was checked");
        let (scheme, port) = if self.is_tls { ("https", "443") } else { ("http", "80") };
        let (name, port) = match self.host.rsplit_once(':') {
            Some((name, own)) if !own.is_empty() && own.bytes().all(|byte| byte.is_ascii_digit()) => (name, own),
            _ => (self.host.as_str(), port),
        };
        let mut variables: Vec<(&[u8], &[u8])> = vec![(b"HTTP_X_FORWARDED_PROTO", scheme.as_bytes())];
        if self.is_tls {
            variables.push((b"HTTPS", b"on"));
        }
        let fields: [(&[u8], &[u8]); 3] =
            [(b"Host", self.host.as_bytes()), (b"User-Agent", USER_AGENT.as_bytes()), (b"Accept", b"*/*")];
        let environ = Environ {
            method: b"GET",
            target: target.as_bytes(),
            script_name: b"",
            path: &path,
            query: query.as_bytes(),
            protocol: "HTTP/1.1",
            remote_address: "127.0.0.1",
            remote_port: "",
            server_name: name,
            server_port: port,
            scheme,
            content_length: None,
            request_id: b"",
            variables: &variables,
            fields: &fields,
        };
        let mut message = Vec::new();
        encode_request(&mut message, shard, TOKEN, BodyRef::None, &environ).map_err(io::Error::other)?;
        packets::try_send(inbox, &[IoSlice::new(&message)], &[])
    }

    /// Reads what workers say on `replies` for as long as they can say anything, and tells the verdict once, which is `None` for a good one: a worker
    /// whose words nobody reads would take its server for gone.
    pub fn listen(
        self,
        ring: &Ring,
        replies: OwnedFd,
        group: &Rc<BufferGroup>,
        outbox: Arc<Outbox>,
        verdict: impl FnOnce(Option<String>) + 'static,
    ) {
        let replies: Descriptor = Rc::new(replies);
        let mut messages = ring.recv_messages(&replies, group);
        glommio::spawn_local(async move {
            let mut answer = Answer::default();
            let mut verdict = Some(verdict);
            let outbox = Reader::new(outbox);
            while let Ok(Some(message)) = messages.next().await {
                // Its worker has the slot back when this has been heard, wanted or not.
                let lent = lent(&message, &outbox);
                if verdict.is_some()
                    && let Some(found) = answer.hear(&message, lent, &self)
                    && let Some(tell) = verdict.take()
                {
                    tell(found);
                }
            }
        })
        .detach();
    }
}

/// The host that the site is likely to answer to.
fn host(warmup: &WarmupConfig, config: &Config, django: Option<&Facts>) -> String {
    // `.example.com` is that name and those below it, `*` is all.
    let of_django = || {
        let names = django.and_then(|facts| facts.allowed_hosts.as_deref()).unwrap_or_default();
        names.iter().map(|name| name.trim_start_matches('.')).find(|name| !name.is_empty() && !name.contains('*'))
    };
    let of_server = || config.server.allowed_hosts.first_name();
    let of_tls = || {
        config.tls.iter().flat_map(|entry| &entry.names).find_map(|name| match name {
            HostPattern::Exact(name) => Some(name.as_str()),
            HostPattern::Any | HostPattern::Suffix(_) => None,
        })
    };
    let chosen = warmup.host.as_deref().or_else(of_django).or_else(of_server).or_else(of_tls);
    chosen.unwrap_or("localhost").to_owned()
}

/// What a message lends.
fn lent(message: &Message, outbox: &Rc<Reader>) -> Option<Lent> {
    match Reply::parse(&message.bytes).ok()?.kind {
        ReplyKind::Lent { offset, count, .. } => outbox.lent(offset, count),
        _ => None,
    }
}

/// What was heard of an answer.
#[derive(Debug, Default)]
struct Answer {
    status: Option<u16>,
    /// The beginning of the body.
    excerpt: Vec<u8>,
}

impl Answer {
    /// Takes in a message. The verdict, once there is one: `None` in it is a good one, else a sentence.
    fn hear(&mut self, message: &Message, lent: Option<Lent>, warmup: &Warmup) -> Option<Option<String>> {
        let reply = Reply::parse(&message.bytes).ok().filter(|reply| reply.token == TOKEN)?;
        let mut is_over = reply.end;
        match reply.kind {
            ReplyKind::Head { status, body, .. } => {
                self.status = Some(status);
                self.keep(&message.bytes[body]);
            }
            ReplyKind::Lent { status, .. } => {
                self.status = Some(status);
                if let Some(mut lent) = lent {
                    lent.truncate(WARMUP_EXCERPT_BYTES);
                    let mut beginning = Vec::new();
                    lent.append_to(&mut beginning);
                    self.keep(&beginning);
                }
            }
            ReplyKind::Body(range) => self.keep(&message.bytes[range]),
            // It is long, and whoever asks for credit gets none: enough was seen.
            ReplyKind::Credit => is_over = self.status.is_some(),
            ReplyKind::Abort => return Some(Some(self.tell(warmup, "it broke off"))),
            ReplyKind::Lost(_) => return Some(Some(self.tell(warmup, "it took longer than `timeout`"))),
            ReplyKind::File { .. }
            | ReplyKind::Hints(_)
            | ReplyKind::Requeue
            | ReplyKind::Release
            | ReplyKind::Wake => {}
        }
        let status = self.status.filter(|_| is_over)?;
        let is_expected = warmup.config.statuses.iter().any(|pattern| pattern.holds(status));
        Some((!is_expected).then(|| self.tell(warmup, "another status is expected (warmup_status)")))
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = WARMUP_EXCERPT_BYTES.saturating_sub(self.excerpt.len());
        self.excerpt.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn tell(&self, warmup: &Warmup, what: &str) -> String {
        let mut text = format!("the warm-up request {} was answered", warmup.describe());
        if let Some(status) = self.status {
            let _ = write!(text, " with {status}");
        }
        let _ = write!(text, ": {what}");
        if !self.excerpt.is_empty() {
            let _ =
                write!(text, "; the answer begins with \"{}\"", String::from_utf8_lossy(&self.excerpt).escape_debug());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::StatusPattern;
    use crate::ring::Chunk;
    use std::time::Duration;

    fn warmup() -> Warmup {
        let statuses = vec![StatusPattern::Class(2), StatusPattern::Class(3)];
        let timeout = Duration::from_secs(1);
        let config = WarmupConfig { target: "/healthz?deep".to_owned(), host: None, statuses, timeout };
        Warmup { config, host: "example.com".to_owned(), is_tls: false }
    }

    /// A reply of this kind, by the layout of the protocol.
    fn reply(token: Token, kind: u8, end: bool, status: u16, body: &[u8]) -> Message {
        let fields: &[u8] = if kind == 1 { b"\r\n" } else { b"" };
        let mut bytes = token.to_bytes().to_vec();
        bytes.extend([kind, u8::from(end)]);
        bytes.extend(status.to_le_bytes());
        bytes.extend((fields.len() as u32).to_le_bytes());
        bytes.extend([fields, body].concat());
        Message { bytes: Chunk::from(bytes), descriptor: None, truncated: false }
    }

    #[test]
    fn an_answer_counts_when_it_is_there_in_full() {
        let mut answer = Answer::default();
        assert_eq!(answer.hear(&reply(TOKEN, 1, false, 200, b"o"), None, &warmup()), None);
        assert_eq!(answer.hear(&reply(TOKEN, 2, false, 0, b"k"), None, &warmup()), None);
        assert_eq!(answer.hear(&reply(TOKEN, 2, true, 0, b""), None, &warmup()), Some(None));
        let mut answer = Answer::default();
        assert_eq!(answer.hear(&reply(TOKEN, 1, false, 200, b"half"), None, &warmup()), None);
        let broken = answer.hear(&reply(TOKEN, 4, true, 0, b""), None, &warmup()).flatten().expect("a failure");
        assert!(broken.contains("with 200: it broke off") && broken.contains("\"half\""), "{broken}");
        // A long one is not read to its end.
        let mut answer = Answer::default();
        assert_eq!(answer.hear(&reply(TOKEN, 6, false, 0, b""), None, &warmup()), None);
        assert_eq!(answer.hear(&reply(TOKEN, 1, false, 302, b""), None, &warmup()), None);
        assert_eq!(answer.hear(&reply(TOKEN, 6, false, 0, b""), None, &warmup()), Some(None));
    }

    #[test]
    fn a_lent_answer_is_heard_and_its_slot_given_back() {
        use std::os::unix::fs::FileExt;
        let shared = Arc::new(Outbox::create(1, 0).expect("a memfd"));
        let worker = std::fs::File::from(shared.as_fd().try_clone_to_owned().expect("dup"));
        let outbox = Reader::new(shared);
        for (status, is_good) in [(200, true), (500, false)] {
            worker.write_all_at(&[1], 0).expect("a bit");
            worker.write_all_at(b"<h1>large", 4096).expect("a slot");
            let place: Vec<u8> = [1_u64, 4096, 9].iter().flat_map(|word| word.to_le_bytes()).collect();
            let mut bytes = reply(TOKEN, 10, true, status, &place).bytes.to_vec();
            bytes[12..16].copy_from_slice(&2_u32.to_le_bytes());
            bytes.splice(16..16, *b"\r\n");
            let message = Message { bytes: Chunk::from(bytes), descriptor: None, truncated: false };
            let verdict = Answer::default().hear(&message, lent(&message, &outbox), &warmup()).expect("a verdict");
            assert_eq!(verdict.is_none(), is_good);
            assert!(verdict.is_none_or(|told| told.contains("<h1>large")));
            let mut word = [9];
            worker.read_exact_at(&mut word, 0).expect("a word");
            assert_eq!(word, [0]);
        }
    }

    #[test]
    fn another_status_is_told_with_the_beginning_of_the_answer() {
        let body = [&b"<h1>\x1b[2J"[..], &[b'x'; 10_000]].concat();
        let told =
            Answer::default().hear(&reply(TOKEN, 1, true, 500, &body), None, &warmup()).flatten().expect("a failure");
        let begin = "the warm-up request GET /healthz?deep (Host: example.com) was answered with 500: another status is expected";
        assert!(told.starts_with(begin), "{told}");
        assert!(told.contains("begins with \"<h1>\\u{1b}[2Jxxx") && told.len() < 1000, "{told}");
    }

    #[test]
    fn what_is_said_of_another_request_is_no_answer() {
        let other = Token { slot: 1, serial: 1 };
        assert_eq!(Answer::default().hear(&reply(other, 1, true, 500, b""), None, &warmup()), None);
        let nonsense = Message { bytes: Chunk::from(b"short".to_vec()), descriptor: None, truncated: false };
        assert_eq!(Answer::default().hear(&nonsense, None, &warmup()), None);
    }
}
