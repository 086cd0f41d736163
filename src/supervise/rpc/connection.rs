//! One control connection: HTTP requests, one after the other, each answered before the next is read.
//!
//! Owns the bounds on what a client may send and how long it may take. Knows no method: `call` does.

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use memchr::memmem;

use super::Rpc;
use super::auth;
use super::call::{Context, answer};
use crate::base::bounds::{CONTROL_BODY_BYTES_MAX, CONTROL_IDLE_SECONDS, CONTROL_REQUEST_SECONDS, RECV_BUFFER_BYTES};
use crate::base::clock;
use crate::control::{parse_call, write_fault, write_response};
use crate::http::chunked::{Decoder, Event};
use crate::http::head::{self, Head, Parse};
use crate::http::response::{BodyLength, HeadWriter, has_body, write_reject};
use crate::http::{BodyFraming, Method, Reject, Version, date};
use crate::ring::{Deadline, Descriptor, Payload, within};

/// The path of the methods.
const METHODS_PATH: &str = "/RPC2";
/// What stands before the name of a process whose log is to be followed.
const TAIL_PATH: &str = "/logtail/";
/// The path of maitred's own log.
const MAIN_TAIL_PATH: &str = "/mainlogtail";
const TEXT: &str = "text/plain; charset=utf-8";

/// What a head says, as far as it matters after its bytes have gone.
pub(super) struct Asked {
    path: String,
    pub method: Method,
    pub version: Version,
    pub keep_alive: bool,
    framing: BodyFraming,
    waits: bool,
    is_allowed: bool,
}

/// supervisorctl follows logs with an empty Host on a unix socket, which RFC 9112 §3.2 wants where there is no name, and which is refused
/// where sites are told apart by it. In the head at the beginning of `input` it gets a name.
fn name_host(input: &mut Vec<u8>) {
    const EMPTY: &[u8] = b"\r\nHost: \r\n";
    let Some(end) = memmem::find(input, b"\r\n\r\n") else { return };
    if let Some(at) = memmem::find(&input[..end + 2], EMPTY) {
        let value = at + EMPTY.len() - 2;
        input.splice(value..value, *b"localhost");
    }
}

/// The client has gone, or has taken too long.
pub(super) struct Gone;

/// Why a body was not read to its end.
enum Unread {
    Gone,
    TooLarge,
    Refused(Reject),
}

impl Rpc {
    /// Serves a connection until either side has had enough.
    pub(super) async fn serve(&self, socket: OwnedFd, is_guarded: bool) {
        let mut peer = Peer { rpc: self, socket: Rc::new(socket), input: Vec::new(), deadline: self.ring.deadline() };
        // Nobody is kept waiting by somebody who has not said who he is.
        let mut patience = Duration::from_secs(if is_guarded { CONTROL_REQUEST_SECONDS } else { CONTROL_IDLE_SECONDS });
        loop {
            let asked = match peer.head(is_guarded, patience).await {
                Ok(asked) => asked,
                Err(Gone) => break,
            };
            if asked.is_allowed {
                patience = Duration::from_secs(CONTROL_IDLE_SECONDS);
            }
            let goes_on = asked.keep_alive;
            if !peer.exchange(asked).await.is_ok_and(|may_go_on| may_go_on && goes_on) {
                break;
            }
        }
        let _ = rustix::net::shutdown(&peer.socket, rustix::net::Shutdown::Write);
    }
}

/// The client of a connection.
pub(super) struct Peer<'r> {
    pub rpc: &'r Rpc,
    pub socket: Descriptor,
    /// What has arrived and was not used yet.
    input: Vec<u8>,
    deadline: Deadline,
}

impl Peer<'_> {
    /// Reads a head. What is wrong with it is answered here.
    async fn head(&mut self, is_guarded: bool, patience: Duration) -> Result<Asked, Gone> {
        self.deadline.set(patience);
        loop {
            name_host(&mut self.input);
            match head::parse(&self.input) {
                Ok(Parse::Complete { head, len }) => {
                    let asked = self.asked(&head, is_guarded);
                    self.input.drain(..len);
                    return Ok(asked);
                }
                Ok(Parse::Partial) => {
                    let was_idle = self.input.is_empty();
                    self.receive().await?;
                    if was_idle {
                        self.deadline.set(Duration::from_secs(CONTROL_REQUEST_SECONDS));
                    }
                }
                Err(reject) => {
                    let is_head = self.input.starts_with(b"HEAD ");
                    self.refuse(reject, is_head).await?;
                    return Err(Gone);
                }
            }
        }
    }

    fn asked(&self, head: &Head<'_>, is_guarded: bool) -> Asked {
        let is_allowed = match &self.rpc.credentials {
            _ if !is_guarded => true,
            Some(credentials) => auth::is_allowed(head.fields.only("authorization"), credentials),
            None => false,
        };
        Asked {
            path: head.target.path_query().map_or("", |target| target.path).to_owned(),
            method: head.method,
            version: head.version,
            keep_alive: head.keep_alive,
            framing: head.framing,
            waits: head.expect_continue,
            is_allowed,
        }
    }

    /// Reads the rest of a request and answers it. Whether another one may follow.
    async fn exchange(&mut self, asked: Asked) -> Result<bool, Gone> {
        if !asked.is_allowed {
            let realm: &[(&str, &[u8])] = &[("WWW-Authenticate", b"Basic realm=\"default\"")];
            self.respond(&asked, 401, TEXT, realm, b"the control socket asks for a name and a password\n").await?;
            return Ok(false);
        }
        let body = match self.body(&asked).await {
            Ok(body) => body,
            Err(Unread::Gone) => return Err(Gone),
            Err(Unread::TooLarge) => {
                let text = format!("a call has at most {CONTROL_BODY_BYTES_MAX} bytes\n");
                self.respond(&asked, 413, TEXT, &[], text.as_bytes()).await?;
                return Ok(false);
            }
            Err(Unread::Refused(reject)) => {
                self.refuse(reject, false).await?;
                return Ok(false);
            }
        };
        let path = asked.path.as_str();
        let is_read = matches!(asked.method, Method::Get | Method::Head);
        if is_read && path == MAIN_TAIL_PATH {
            return self.main_tail(&asked).await.map(|()| true);
        }
        if is_read && let Some(rest) = path.strip_prefix(TAIL_PATH) {
            let is_found = self.log_tail(&asked, rest).await?;
            if !is_found {
                self.respond(&asked, 404, TEXT, &[], b"there is no such log\n").await?;
            }
            return Ok(true);
        }
        match (path, asked.method) {
            (METHODS_PATH, Method::Post) => self.call(&asked, &body).await?,
            (METHODS_PATH, _) => {
                self.respond(&asked, 405, TEXT, &[("Allow", b"POST")], b"methods are called with POST\n").await?;
            }
            _ => self.respond(&asked, 404, TEXT, &[], b"there are /RPC2, /logtail/NAME and /mainlogtail\n").await?,
        }
        Ok(true)
    }

    async fn call(&mut self, asked: &Asked, body: &[u8]) -> Result<(), Gone> {
        let call = match parse_call(body) {
            Ok(call) => call,
            Err(malformed) => {
                let text = format!("that is no XML-RPC call: {}\n", malformed.0);
                return self.respond(asked, 400, TEXT, &[], text.as_bytes()).await;
            }
        };
        let context = Context {
            ring: &self.rpc.ring,
            desk: &self.rpc.desk,
            main_log: &self.rpc.main_log,
            shards: &self.rpc.shards,
        };
        let document = match answer(&context, call).await {
            Ok(value) => write_response(&value),
            Err(fault) => write_fault(&fault),
        };
        self.respond(asked, 200, "text/xml", &[], document.as_bytes()).await
    }

    async fn body(&mut self, asked: &Asked) -> Result<Vec<u8>, Unread> {
        let max = CONTROL_BODY_BYTES_MAX as usize;
        if matches!(asked.framing, BodyFraming::Length(length) if length > CONTROL_BODY_BYTES_MAX) {
            return Err(Unread::TooLarge);
        }
        self.deadline.set(Duration::from_secs(CONTROL_REQUEST_SECONDS));
        if asked.waits {
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()).await.map_err(|Gone| Unread::Gone)?;
        }
        match asked.framing {
            BodyFraming::None => Ok(Vec::new()),
            BodyFraming::Length(length) => {
                let length = length as usize;
                while self.input.len() < length {
                    self.receive().await.map_err(|Gone| Unread::Gone)?;
                }
                Ok(self.input.drain(..length).collect())
            }
            BodyFraming::Chunked => {
                let mut decoder = Decoder::new();
                let mut body = Vec::new();
                loop {
                    let step = decoder.decode(&self.input).map_err(Unread::Refused)?;
                    let event = step.event;
                    if let Event::Data(range) = event.clone() {
                        body.extend_from_slice(&self.input[range]);
                    }
                    self.input.drain(..step.consumed);
                    if body.len() > max {
                        return Err(Unread::TooLarge);
                    }
                    match event {
                        Event::End => return Ok(body),
                        Event::NeedMore => self.receive().await.map_err(|Gone| Unread::Gone)?,
                        Event::Data(_) => {}
                    }
                }
            }
        }
    }

    /// Adds to the input what arrives next. Nothing is held for a connection on which nothing does.
    async fn receive(&mut self) -> Result<(), Gone> {
        let readable = within(&self.deadline, self.rpc.ring.poll(&self.socket, libc::POLLIN as u32)).await;
        if !readable.is_ok_and(|result| result.is_ok()) {
            return Err(Gone);
        }
        match self.rpc.ring.read_at(&self.socket, Vec::new(), RECV_BUFFER_BYTES, u64::MAX).await {
            Ok(bytes) if !bytes.is_empty() => {
                self.input.extend_from_slice(&bytes);
                Ok(())
            }
            Ok(_) | Err(_) => Err(Gone),
        }
    }

    async fn refuse(&mut self, reject: Reject, is_head: bool) -> Result<(), Gone> {
        let mut out = Vec::new();
        write_reject(&mut out, reject, &date::format(clock::wall_seconds()), is_head);
        self.send(out).await
    }

    async fn respond(
        &mut self,
        asked: &Asked,
        status: u16,
        kind: &str,
        fields: &[(&str, &[u8])],
        body: &[u8],
    ) -> Result<(), Gone> {
        let mut out = Vec::with_capacity(256 + body.len());
        let mut writer = HeadWriter::start(&mut out, status)
            .date(&date::format(clock::wall_seconds()))
            .server()
            .connection(asked.version, asked.keep_alive)
            .field("Content-Type", kind.as_bytes());
        for (name, value) in fields {
            writer = writer.field(name, value);
        }
        writer.body(BodyLength::Exact(body.len() as u64)).finish();
        if has_body(asked.method, status) {
            out.extend_from_slice(body);
        }
        self.send(out).await
    }

    pub(super) async fn send(&mut self, bytes: Vec<u8>) -> Result<(), Gone> {
        self.send_within(bytes, Duration::from_secs(CONTROL_REQUEST_SECONDS)).await
    }

    pub(super) async fn send_within(&mut self, bytes: Vec<u8>, patience: Duration) -> Result<(), Gone> {
        let len = bytes.len();
        self.deadline.set(patience);
        let mut send = self.rpc.ring.send(&self.socket, Payload::from(bytes));
        let sent = within(&self.deadline, &mut send).await;
        let is_sent = sent.is_ok_and(|result| result.sent.is_ok_and(|sent| sent == len));
        if is_sent { Ok(()) } else { Err(Gone) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_host_gets_a_name_in_a_head_only() {
        let named = |text: &str| {
            let mut input = text.as_bytes().to_vec();
            name_host(&mut input);
            String::from_utf8(input).expect("text")
        };
        assert_eq!(
            named("GET / HTTP/1.1\r\nHost: \r\nA: b\r\n\r\n"),
            "GET / HTTP/1.1\r\nHost: localhost\r\nA: b\r\n\r\n"
        );
        for same in ["GET / HTTP/1.1\r\nHost: x\r\n\r\n\r\nHost: \r\n", "GET / HTTP/1.1\r\nHost: \r\n", ""] {
            assert_eq!(named(same), same);
        }
    }
}
