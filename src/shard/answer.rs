//! Answers of the application on their way to the client.
//!
//! Owns the framing of a response whose parts come from a worker: its head, its length or chunks, and what happens when the
//! worker stops in the middle. Bytes go out of the buffers in which they arrived.

use std::borrow::Cow;
use std::future::poll_fn;
use std::ops::Range;
use std::rc::Rc;
use std::task::Poll;

use super::buffered::{Buffered, together};
use super::connection::{Connection, Next};
use super::detour::Detour;
use super::file;
use super::output::Gone;
use super::packing::{Draft, Form, Preference, Stream};
use super::receiving::Receiving;
use super::snapshot;
use crate::base::bounds::{COPIED_RESPONSE_BYTES_MAX, MESSAGE_BYTES_MAX};
use crate::base::clock::Monotonic;
use crate::http::accel::is_accel;
use crate::http::app::AppFields;
use crate::http::response::{BodyLength, HeadWriter, has_body};
use crate::http::{Fields, HeaderOps, Method, Version, app, chunked};
use crate::response::{FileRange, Response};
use crate::ring::{Chunk, Payload};
use crate::sys::outbox::Lent;
use crate::wsgi::Loss;
use crate::wsgi::pool::{Call, Part};

/// What of a request its response depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub method: Method,
    pub version: Version,
    /// Whether the connection may go on after the response.
    pub keep_alive: bool,
    pub started: Monotonic,
    /// What it says of the form of its answer, where that matters.
    pub preference: Preference,
}

/// Where the body of a response stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// None is sent: there is none, or HEAD asked.
    Nothing,
    /// So many bytes are still due.
    Exact(u64),
    /// In chunks.
    Chunked,
    /// Up to the end of the connection.
    UntilClose,
    /// As its stream of compressed bytes has framed it.
    Framed,
}

/// Room for what a head has beside the application's lines, bytes.
const OWN_LINES_BYTES: usize = 256;
/// What a client is told of an application that did not do its part.
const FAILED: &str = "The application failed.";

/// The first part of a response.
struct Begun {
    status: u16,
    message: Chunk,
    fields: Range<usize>,
    body: Range<usize>,
    end: bool,
}

impl Begun {
    /// Puts a body that lay elsewhere where it mostly lies: behind the head, in the message.
    fn append(&mut self, lent: &Lent) {
        let mut own = self.message[..self.body.end].to_vec();
        lent.append_to(&mut own);
        self.body.end = own.len();
        self.message = Chunk::from(own);
    }
}

/// A response that was decided on.
struct Composed {
    head: Vec<u8>,
    /// The first of its body.
    piece: Chunk,
    progress: Progress,
    stream: Option<Box<Stream>>,
    is_buffered: bool,
}

/// What the client gets in place of a response.
enum Instead {
    /// A 500.
    Failure,
    Detour(Detour),
}

impl Connection {
    /// Waits for the answer to `call` and passes it on.
    pub(super) async fn answer_call(&mut self, mut call: Call, mut facts: Facts) -> Result<Next, Gone> {
        let mut first = self.first_part(&mut call).await?;
        while let Part::Hints { message, fields } = first {
            Box::pin(self.pass_hints(&message[fields], facts.version)).await?;
            first = self.first_part(&mut call).await?;
        }
        snapshot::upstream_began(&self.shard, &mut self.exchange.borrow_mut(), &call);
        facts.keep_alive &= !self.shard.draining.get();
        // What is rare lies in boxes of its own: room for this future is found anew for each request.
        let (status, detail) = match first {
            Part::Head { status, message, fields, body, lent, end } if app::is_final_status(status) => {
                let begun = Begun { status, message, fields, body, end };
                return match lent {
                    None => self.relay(call, facts, begun).await,
                    Some(lent) => Box::pin(self.pass_lent(call, facts, begun, *lent)).await,
                };
            }
            Part::Shed(shed) => (503, shed.detail()),
            Part::Lost(Loss::Overdue) => (504, "The application took too long."),
            Part::Lost(_) => (502, "The application ended while it worked on this request."),
            Part::Head { .. } | Part::Hints { .. } | Part::Body { .. } | Part::File { .. } | Part::Abort => {
                (500, FAILED)
            }
        };
        Box::pin(self.error(facts, status, detail)).await
    }

    /// Tells the client of fields that will come (RFC 8297 §2), if it knows of interim responses (RFC 9110 §15.2).
    async fn pass_hints(&mut self, block: &[u8], version: Version) -> Result<(), Gone> {
        match app::scan(block) {
            Ok(scanned) if version == Version::Http11 => {
                let mut out = Vec::with_capacity(64 + block.len());
                let mut lines = Vec::with_capacity(block.len());
                app::copy_without(scanned.fields, &mut lines, |name| {
                    app::is_hop_by_hop(name) || is_accel(name) || name.eq_ignore_ascii_case(b"content-length")
                });
                HeadWriter::start(&mut out, 103).lines(&lines).finish();
                self.output.send(Payload::from(out)).await
            }
            Ok(_) => Ok(()),
            Err(fault) => {
                tracing::error!(shard = self.shard.number, ?fault, "the application's early hints are malformed");
                Ok(())
            }
        }
    }

    /// A client that leaves while its request still waits for a worker takes the request with it: one that has only finished
    /// sending can't be told from it, and Nginx does the same.
    async fn first_part(&mut self, call: &mut Call) -> Result<Part, Gone> {
        // Made only for a call that waits in the shard's own queue, which most do not.
        let mut deadline = None;
        poll_fn(|cx| {
            if let Poll::Ready(part) = call.poll_part(cx) {
                return Poll::Ready(Ok(part));
            }
            if let Some(limit) = self.shard.timeouts.get().queue.filter(|_| call.is_queued()) {
                let deadline = deadline.get_or_insert_with(|| {
                    let deadline = self.shard.ring.deadline();
                    deadline.set(limit);
                    deadline
                });
                if deadline.poll(cx).is_ready() {
                    call.time_out();
                    return call.poll_part(cx).map(Ok);
                }
            }
            if self.receiving.recv.poll_ended(cx).is_ready() {
                if call.is_queued() {
                    self.exchange.borrow_mut().left_queue(call.waited());
                    return Poll::Ready(Err(Gone));
                }
                call.client_left();
            }
            Poll::Pending
        })
        .await
    }

    /// Passes a response on whose first part is there.
    async fn relay(&mut self, call: Call, mut facts: Facts, begun: Begun) -> Result<Next, Gone> {
        let end = begun.end;
        let Composed { head, piece, progress, stream, is_buffered } = match self.compose(&mut facts, begun) {
            Ok(composed) => composed,
            Err(Instead::Failure) => return Box::pin(self.error(facts, 500, FAILED)).await,
            Err(Instead::Detour(detour)) => {
                drop(call);
                return Box::pin(self.follow(detour, facts)).await;
            }
        };
        let is_paced = is_buffered && self.output.is_paced();
        let mut relay = Relay { connection: self, call, progress, stream, is_buffered, buffered: None };
        // What keeps to a rate is kept from its first byte on: its worker is not held to the rate.
        let (piece, first) = match is_paced && !end {
            true => (Chunk::from(Vec::new()), Some(Part::Body { bytes: piece, end })),
            false => (piece, None),
        };
        relay.pass(head, piece, end).await?;
        if !end && !Box::pin(relay.rest(first)).await? {
            // Cut off: the client must not take what it has for the whole.
            return Err(Gone);
        }
        let whole =
            matches!(relay.progress, Progress::Exact(0) | Progress::Chunked | Progress::Nothing | Progress::Framed);
        Ok(if facts.keep_alive && whole { Next::Request } else { Next::Close })
    }

    /// Decides on the head and the framing of a response.
    fn compose(&mut self, facts: &mut Facts, begun: Begun) -> Result<Composed, Instead> {
        let Begun { status, message, fields, body, end } = begun;
        let scanned = match app::scan(&message[fields]) {
            Ok(scanned) => scanned,
            Err(fault) => {
                tracing::error!(shard = self.shard.number, ?fault, "the application's response head is malformed");
                return Err(Instead::Failure);
            }
        };
        if let Some(detour) = self.detour(&scanned, status) {
            return Err(Instead::Detour(detour));
        }
        let page_status = self.held.as_ref().and_then(|held| held.page_status());
        let reason = scanned.reason.filter(|_| page_status.is_none());
        let status = page_status.unwrap_or(status);
        let is_buffered = scanned.content_length.is_some() && !scanned.is_unbuffered;
        let with_body = has_body(facts.method, status);
        let extras = self.extras();
        let headers = extras.as_ref().and_then(|extras| extras.headers.as_ref());
        let mut lines = self.lines(&scanned, status, headers);
        let form = match extras.as_ref().and_then(|extras| extras.compress.as_ref()) {
            Some(config) => {
                let fields = Fields::of_checked(&lines);
                let (method, version, declared) = (facts.method, facts.version, scanned.content_length);
                let (body, is_whole) = (&message[body.clone()], end && with_body);
                let draft = Draft { method, version, status, fields, declared, body, is_whole };
                Form::of(&draft, facts.preference, config, &self.shard.encoders)
            }
            None => Form::AsItIs,
        };
        // A response that is complete, or comes from a file, needs no chunks.
        let known = match &form {
            Form::Whole(_, small) => Some(small.len() as u64),
            Form::Stream(..) | Form::HeadOnly(_) => None,
            Form::AsItIs | Form::Marked { .. } => {
                scanned.content_length.or_else(|| (end && with_body).then_some(body.len() as u64))
            }
        };
        let length = match BodyLength::choose(facts.version, status, known) {
            BodyLength::Chunked | BodyLength::UntilClose if !with_body => BodyLength::None,
            length => length,
        };
        facts.keep_alive &= length != BodyLength::UntilClose;
        let progress = match length {
            _ if !with_body => Progress::Nothing,
            _ if matches!(form, Form::Stream(..)) => Progress::Framed,
            BodyLength::None => Progress::Nothing,
            BodyLength::Exact(bytes) => Progress::Exact(bytes),
            BodyLength::Chunked => Progress::Chunked,
            BodyLength::UntilClose => Progress::UntilClose,
        };
        let copied = if body.len() <= COPIED_RESPONSE_BYTES_MAX { body.len() } else { 0 };
        let mut out = Vec::with_capacity(OWN_LINES_BYTES + lines.len() + copied);
        let mut head = match reason {
            None => HeadWriter::start(&mut out, status),
            Some(reason) => HeadWriter::start_with(&mut out, status, reason),
        };
        if !scanned.has_date {
            head = head.date(&self.shard.date().1);
        }
        if !scanned.has_server && !headers.is_some_and(|headers| headers.replaces("server")) {
            head = head.server();
        }
        head = head.connection(facts.version, facts.keep_alive).lines(&self.echo());
        if scanned.content_length.is_none() || form.is_compressed() {
            head = head.body(length);
        }
        form.rewrite(&mut lines);
        head.lines(&lines).finish();
        self.add_hsts(&mut out);
        self.answered(status, &out, *facts);
        let (stream, piece) = match form {
            Form::Whole(_, small) => (None, Chunk::from(small)),
            form => {
                let mut piece = message;
                piece.truncate(body.end);
                piece.advance(body.start);
                (if let Form::Stream(_, stream) = form { Some(stream) } else { None }, piece)
            }
        };
        Ok(Composed { head: out, piece, progress, stream, is_buffered })
    }

    /// Passes a response on whose body its worker has lent.
    async fn pass_lent(
        &mut self,
        call: Call,
        mut facts: Facts,
        mut begun: Begun,
        mut lent: Lent,
    ) -> Result<Next, Gone> {
        if !self.lends_to(facts.method, begun.status) {
            // Somebody is going to look at it.
            begun.append(&lent);
            drop(lent);
            return self.relay(call, facts, begun).await;
        }
        let (head, bytes) = match self.compose(&mut facts, begun) {
            Ok(Composed { head, progress: Progress::Exact(bytes), .. }) => (head, bytes),
            // A worker says the length of what it lends.
            Ok(_) | Err(Instead::Failure) => return self.error(facts, 500, FAILED).await,
            Err(Instead::Detour(detour)) => {
                drop((call, lent));
                return self.follow(detour, facts).await;
            }
        };
        // No more than was announced (RFC 9112 §6.3).
        lent.truncate(usize::try_from(bytes).unwrap_or(usize::MAX));
        let is_whole = lent.len() as u64 == bytes;
        self.output.send_lent(head, lent).await?;
        Ok(if facts.keep_alive && is_whole { Next::Request } else { Next::Close })
    }

    /// Whether an answer may go to the client out of its worker's memory: as it is, and at once.
    fn lends_to(&self, method: Method, status: u16) -> bool {
        let packs = self.extras().is_some_and(|extras| extras.compress.is_some());
        self.output.is_plain() && !packs && has_body(method, status)
    }

    /// The field lines of an answer, as the application has written them but for what is the server's to say.
    fn lines<'f>(&self, scanned: &AppFields<'f>, status: u16, headers: Option<&HeaderOps>) -> Cow<'f, [u8]> {
        let is_length_wrong = scanned.content_length.is_some() && status == 204;
        let has_ops = headers.is_some() || self.held.is_some();
        if !(has_ops || is_length_wrong || scanned.has_orders || scanned.has_hop_by_hop) {
            return Cow::Borrowed(scanned.fields.as_bytes());
        }
        let mut lines = Vec::with_capacity(256);
        app::copy_without(scanned.fields, &mut lines, |name| {
            app::is_hop_by_hop(name)
                || is_accel(name)
                || (status == 204 && name.eq_ignore_ascii_case(b"content-length"))
        });
        if let Some(held) = &self.held {
            held.finish(status, &mut lines);
        }
        if let Some(headers) = headers {
            headers.apply(status, &mut lines);
        }
        Cow::Owned(lines)
    }

    /// An answer of the server's own in place of the application's.
    pub(super) async fn error(&mut self, facts: Facts, status: u16, detail: &str) -> Result<Next, Gone> {
        self.answer_own(Response::error(status, detail), facts).await
    }
}

/// A response whose head has been decided on.
struct Relay<'c> {
    connection: &'c mut Connection,
    call: Call,
    progress: Progress,
    /// What compresses the body, if anything does.
    stream: Option<Box<Stream>>,
    /// The worker need not wait for a client that is slow to take the response.
    is_buffered: bool,
    /// Made when the client has first been seen to be slow.
    buffered: Option<Box<Buffered>>,
}

impl Progress {
    /// What of a piece belongs to the body: more than was announced is cut off, as it would be taken for the next response
    /// (RFC 9112 §6.3).
    fn cut(&mut self, piece: &mut Chunk) {
        match self {
            Progress::Nothing => piece.truncate(0),
            Progress::Exact(left) => {
                piece.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= piece.len() as u64;
            }
            Progress::Chunked | Progress::UntilClose | Progress::Framed => {}
        }
    }
}

impl Relay<'_> {
    /// Passes on `first` and the parts that follow. `false`: the worker stopped before the end.
    async fn rest(&mut self, mut first: Option<Part>) -> Result<bool, Gone> {
        loop {
            let mut part = match first.take() {
                Some(part) => part,
                None => self.next_part().await?,
            };
            let output = &self.connection.output;
            if self.is_buffered && (output.has_to_wait() || output.is_paced()) {
                match Box::pin(self.buffer(part)).await? {
                    Some(next) => part = next,
                    None => continue,
                }
            }
            match part {
                Part::Body { bytes, end } => {
                    self.pass(Vec::new(), bytes, end).await?;
                    if end {
                        return Ok(self.is_whole());
                    }
                }
                Part::File { file, offset, count, end } => {
                    match self.stream {
                        None => self.pass_file(Rc::new(file), offset, count, end).await?,
                        Some(_) => self.pass_file_packed(Rc::new(file), offset, count, end).await?,
                    }
                    if end {
                        return Ok(self.is_whole());
                    }
                }
                // Too late for them.
                Part::Hints { .. } => {}
                Part::Abort | Part::Lost(_) | Part::Shed(_) | Part::Head { .. } => return Ok(false),
            }
        }
    }

    /// Whether the worker has said all that it had announced.
    fn is_whole(&self) -> bool {
        match &self.stream {
            Some(stream) => stream.is_whole(),
            None => !matches!(self.progress, Progress::Exact(1..)),
        }
    }

    async fn next_part(&mut self) -> Result<Part, Gone> {
        let Relay { connection, call, .. } = self;
        let part = next_part(call, &mut connection.receiving).await?;
        connection.exchange.borrow_mut().upstream_ended(connection.shard.ring.now());
        Ok(part)
    }

    /// Keeps `part` and what follows as long as the client does not take it at once. Returns the part with which the rest goes on:
    /// `None` if all was taken and the worker has more to say.
    async fn buffer(&mut self, part: Part) -> Result<Option<Part>, Gone> {
        let Relay { connection, call, progress, stream, buffered, .. } = self;
        let Connection { shard, receiving, output, exchange, .. } = &mut **connection;
        let buffered = &**buffered.get_or_insert_with(|| Box::new(Buffered::new(&shard.buffering)));
        buffered.begin(output.in_flight());
        let fill = async {
            let mut part = part;
            loop {
                match part {
                    Part::Body { mut bytes, end } => {
                        let produced = bytes.len();
                        match stream {
                            Some(stream) => bytes = Chunk::from(stream.pack(&bytes, end).await?),
                            None => progress.cut(&mut bytes),
                        }
                        buffered.put(bytes).await;
                        call.passed_on(produced);
                        if end {
                            return Ok(Part::Body { bytes: Chunk::from(Vec::new()), end });
                        }
                    }
                    other => return Ok(other),
                }
                buffered.set_waiting(true);
                part = next_part(call, receiving).await?;
                exchange.borrow_mut().upstream_ended(shard.ring.now());
                buffered.set_waiting(false);
            }
        };
        together(buffered, fill, buffered.drain(output)).await
    }

    /// Sends `before` as it is, then `piece` as a piece of the body, then what ends the body.
    async fn pass(&mut self, mut before: Vec<u8>, mut piece: Chunk, end: bool) -> Result<(), Gone> {
        let produced = piece.len();
        match &mut self.stream {
            Some(stream) => piece = Chunk::from(Box::pin(stream.pack(&piece, end)).await?),
            None => self.progress.cut(&mut piece),
        }
        let mut after: &'static [u8] = &[];
        if self.progress == Progress::Chunked {
            if !piece.is_empty() {
                before.extend_from_slice(chunked::chunk_header(piece.len()).as_bytes());
                after = if end { b"\r\n0\r\n\r\n" } else { chunked::CHUNK_END };
            } else if end {
                after = chunked::LAST_CHUNK;
            }
        }
        if piece.len() <= COPIED_RESPONSE_BYTES_MAX {
            before.extend_from_slice(&piece);
            before.extend_from_slice(after);
            drop(piece);
            let output = &mut self.connection.output;
            // As a rule there is nothing to wait for.
            if !before.is_empty()
                && let Err(payload) = output.begin_now(Payload::from(before))
            {
                Box::pin(output.send(payload)).await?;
            }
        } else {
            let parts = [Payload::from(before), Payload::from(piece), Payload::Static(after)];
            Box::pin(self.connection.output.send_parts(parts)).await?;
        }
        self.call.passed_on(produced);
        Ok(())
    }

    /// Sends a piece of the body that lies in a file.
    async fn pass_file(
        &mut self,
        file: crate::ring::Descriptor,
        offset: u64,
        count: u64,
        end: bool,
    ) -> Result<(), Gone> {
        let count = match &mut self.progress {
            Progress::Nothing => 0,
            Progress::Exact(left) => {
                let count = count.min(*left);
                *left -= count;
                count
            }
            Progress::Chunked | Progress::UntilClose | Progress::Framed => count,
        };
        let output = &mut self.connection.output;
        let chunked = self.progress == Progress::Chunked;
        if chunked && count > 0 {
            let size = usize::try_from(count).map_err(|_| Gone)?;
            output.send(Payload::from(chunked::chunk_header(size).as_bytes().to_vec())).await?;
        }
        let file = FileRange { file, range: offset..offset + count, as_of: None };
        file::send(&self.connection.shard.ring, output, file).await?;
        if chunked {
            let after: &'static [u8] = match (count > 0, end) {
                (true, true) => b"\r\n0\r\n\r\n",
                (true, false) => chunked::CHUNK_END,
                (false, true) => chunked::LAST_CHUNK,
                (false, false) => return Ok(()),
            };
            output.send(Payload::Static(after)).await?;
        }
        Ok(())
    }

    /// The same for a body that is compressed: its bytes are read, which sendfile(2) would not need.
    async fn pass_file_packed(
        &mut self,
        file: crate::ring::Descriptor,
        offset: u64,
        count: u64,
        end: bool,
    ) -> Result<(), Gone> {
        let ring = self.connection.shard.ring.clone();
        let (mut at, until) = (offset, offset.saturating_add(count));
        while at < until {
            let wanted = (until - at).min(MESSAGE_BYTES_MAX as u64) as usize;
            let bytes = ring.read_at(&file, Vec::new(), wanted, at).await.map_err(|_| Gone)?;
            if bytes.is_empty() {
                // The file has become shorter than what was announced.
                return Err(Gone);
            }
            at += bytes.len() as u64;
            self.pass(Vec::new(), Chunk::from(bytes), end && at == until).await?;
        }
        // Nothing, if the end was said with the last bytes.
        self.pass(Vec::new(), Chunk::from(Vec::new()), end).await
    }
}

/// The next part; meanwhile what was sent before may fail, and a client that broke the connection is not waited for.
async fn next_part(call: &mut Call, receiving: &mut Receiving) -> Result<Part, Gone> {
    poll_fn(|cx| {
        if let Poll::Ready(part) = call.poll_part(cx) {
            return Poll::Ready(Ok(part));
        }
        if receiving.recv.poll_ended(cx).is_ready() && receiving.recv.is_broken() {
            return Poll::Ready(Err(Gone));
        }
        Poll::Pending
    })
    .await
}
