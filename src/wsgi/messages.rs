//! The messages between shards and Python workers: one SEQPACKET packet each, [`MESSAGE_BYTES_MAX`] at most.
//!
//! Owns both directions' layout; the worker's side of it is `worker/protocol.py`. Moves no bytes and no descriptors.
//! Called by the pool.
//!
//! Request: a header of 16 bytes, little endian: token (slot u32, serial u32), shard u32, kind u32; then the `marshal` tuple
//! `(body, environ)`. The header is what the head of a scoreboard slot looks like: the worker receives it *into* the
//! scoreboard, so that no request is ever in a worker's hands without a note of it; short ones come through a request ring, which keeps such a note too.
//!
//! Reply: a header of 16 bytes, little endian: token, kind u8, flags u8, status u16, bytes of field lines u32; then the field
//! lines with their closing empty line; then bytes of the body.

use std::fmt;
use std::ops::Range;

use super::marshal;
use super::{Environ, Loss};
use crate::base::bounds::MESSAGE_BYTES_MAX;

/// Bytes of a message's header, in either direction.
pub const HEADER_BYTES: usize = 16;

/// Names one request in one shard. The serial is what tells a slot's users apart.
///
/// A token of all zeroes stands for "none" in the scoreboard: serials start at 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    /// The request's place in its shard's table.
    pub slot: u32,
    /// Never repeated within a slot's memory; not zero.
    pub serial: u32,
}

impl Token {
    /// As it travels in messages.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 8] {
        self.to_bits().to_le_bytes()
    }

    /// The opposite of [`Token::to_bytes`].
    #[must_use]
    pub fn from_bytes(bytes: [u8; 8]) -> Self {
        Self::from_bits(u64::from_le_bytes(bytes))
    }

    /// As the scoreboard holds it.
    #[must_use]
    pub fn to_bits(self) -> u64 {
        u64::from(self.slot) | u64::from(self.serial) << 32
    }

    /// The opposite of [`Token::to_bits`].
    #[must_use]
    pub fn from_bits(bits: u64) -> Self {
        Self { slot: bits as u32, serial: (bits >> 32) as u32 }
    }
}

/// Where a request's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyRef<'a> {
    /// There is none.
    None,
    /// All of it rides along in the message.
    Inline(&'a [u8]),
    /// So many bytes, from offset 0 or in a pipe, in the descriptor that the caller sends with the message (SCM_RIGHTS, unix(7)).
    Spooled(u64),
}

/// The request does not fit one message: spool an inline body, or refuse the head with 431.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageTooLarge;

impl fmt::Display for MessageTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the request does not fit a message of {MESSAGE_BYTES_MAX} bytes")
    }
}

impl std::error::Error for MessageTooLarge {}

/// Appends a request to `out`.
///
/// # Errors
/// When the message would be larger than [`MESSAGE_BYTES_MAX`]; `out` is then as it was.
pub fn encode_request(
    out: &mut Vec<u8>,
    shard: u32,
    token: Token,
    body: BodyRef<'_>,
    environ: &Environ<'_>,
) -> Result<(), MessageTooLarge> {
    let start = out.len();
    debug_assert!(token.serial != 0, "a token of zeroes means none");
    out.extend_from_slice(&token.to_bytes());
    out.extend_from_slice(&u64::from(shard).to_le_bytes());
    marshal::tuple(out, 2);
    match body {
        BodyRef::None => marshal::none(out),
        BodyRef::Inline(bytes) => marshal::bytes(out, bytes),
        BodyRef::Spooled(length) => marshal::unsigned(out, length),
    }
    environ.encode(out);
    if out.len() - start > MESSAGE_BYTES_MAX {
        out.truncate(start);
        return Err(MessageTooLarge);
    }
    Ok(())
}

/// A reply's header, read and checked. The ranges index the message that was parsed, which stays with the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The request that it answers.
    pub token: Token,
    /// Nothing more comes for this token. An [`ReplyKind::Abort`] always is the last.
    pub end: bool,
    /// What it says.
    pub kind: ReplyKind,
}

/// What a reply says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplyKind {
    /// The response begins.
    Head {
        /// 200 – 999.
        status: u16,
        /// Field lines, each with CR LF, and the closing CR LF.
        fields: Range<usize>,
        /// The first bytes of the body; may be empty.
        body: Range<usize>,
    },
    /// The whole response, whose body lies in the outbox of `generation`.
    Lent {
        /// 200 – 999.
        status: u16,
        /// Field lines, each with CR LF, and the closing CR LF.
        fields: Range<usize>,
        /// Whose outbox.
        generation: u32,
        /// Where in the outbox, bytes.
        offset: u64,
        /// How many bytes.
        count: u64,
    },
    /// More of the body; may be empty together with `end`.
    Body(Range<usize>),
    /// Early hints (RFC 8297): field lines with the closing empty line, to be sent before the response begins.
    Hints(Range<usize>),
    /// More of the body, in the descriptor that came along.
    File {
        /// Where in the file, bytes.
        offset: u64,
        /// How many bytes.
        count: u64,
    },
    /// The application failed after the head had been sent, or gave up because the client is gone.
    Abort,
    /// The write end of the response's credit pipe came along.
    Credit,
    /// The body of this request, which came in a descriptor, is not read any more. After the end.
    Release,
    /// There is something in the reply rings. Names no request.
    Wake,
    /// From the supervisor: the worker that held this request died, of this.
    Lost(Loss),
    /// From the supervisor: no worker had taken this request, and none of its generation will.
    Requeue,
}

mod code {
    pub(super) const HEAD: u8 = 1;
    pub(super) const BODY: u8 = 2;
    pub(super) const FILE: u8 = 3;
    pub(super) const ABORT: u8 = 4;
    pub(super) const HINTS: u8 = 5;
    pub(super) const CREDIT: u8 = 6;
    pub(super) const LOST: u8 = 7;
    pub(super) const REQUEUE: u8 = 8;
    pub(super) const RELEASE: u8 = 9;
    pub(super) const LENT: u8 = 10;
    pub(super) const WAKE: u8 = 11;
    pub(super) const FLAG_END: u8 = 1;
}

/// Why a reply could not be understood: always our own worker's fault, or that of a stranger who writes to its socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// Shorter than a header, or than its kind's content.
    Short,
    /// More bytes than its kind's content.
    Long,
    /// No such kind.
    Kind(u8),
    /// Unknown flags.
    Flags(u8),
    /// Not a final status code.
    Status(u16),
    /// The field lines reach beyond the message, do not end in an empty line, or are not due in this kind.
    Fields,
    /// Offset and count of a file reach beyond 2⁶³ bytes.
    FileRange,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => write!(f, "the reply is cut short"),
            Self::Long => write!(f, "the reply has bytes that its kind does not have"),
            Self::Kind(kind) => write!(f, "there is no reply of kind {kind}"),
            Self::Flags(flags) => write!(f, "the reply has unknown flags {flags:#04x}"),
            Self::Status(status) => write!(f, "{status} is not a final status code"),
            Self::Fields => write!(f, "the reply's field lines are malformed"),
            Self::FileRange => write!(f, "the reply's file range is out of bounds"),
        }
    }
}

impl std::error::Error for ProtocolError {}

impl Reply {
    /// Reads one message of a reply socket.
    ///
    /// Field lines are delimited here, not parsed: their content is the application's and is checked by the caller.
    ///
    /// # Errors
    /// See [`ProtocolError`]; the message is then to be dropped.
    pub fn parse(message: &[u8]) -> Result<Self, ProtocolError> {
        let (header, content) = message.split_first_chunk::<HEADER_BYTES>().ok_or(ProtocolError::Short)?;
        let [t0, t1, t2, t3, t4, t5, t6, t7, kind, flags, s0, s1, f0, f1, f2, f3] = *header;
        // Something always follows hints.
        let allowed = if kind == code::HINTS { 0 } else { code::FLAG_END };
        if flags & !allowed != 0 {
            return Err(ProtocolError::Flags(flags));
        }
        let status = u16::from_le_bytes([s0, s1]);
        let fields_length = u32::from_le_bytes([f0, f1, f2, f3]) as usize;
        if !matches!(kind, code::HEAD | code::LENT | code::HINTS) && fields_length != 0 {
            return Err(ProtocolError::Fields);
        }
        let kind = match kind {
            code::HEAD => parse_head(status, fields_length, content)?,
            code::LENT => parse_lent(status, fields_length, content)?,
            code::BODY => ReplyKind::Body(HEADER_BYTES..message.len()),
            code::FILE => parse_file(content)?,
            code::HINTS => parse_hints(fields_length, content)?,
            code::ABORT => empty(content, ReplyKind::Abort)?,
            code::CREDIT => empty(content, ReplyKind::Credit)?,
            code::RELEASE => empty(content, ReplyKind::Release)?,
            code::WAKE => empty(content, ReplyKind::Wake)?,
            code::LOST => empty(content, ReplyKind::Lost(Loss::from_bits(status)))?,
            code::REQUEUE => empty(content, ReplyKind::Requeue)?,
            unknown => return Err(ProtocolError::Kind(unknown)),
        };
        Ok(Self { token: Token::from_bytes([t0, t1, t2, t3, t4, t5, t6, t7]), end: flags & code::FLAG_END != 0, kind })
    }
}

fn parse_head(status: u16, fields_length: usize, content: &[u8]) -> Result<ReplyKind, ProtocolError> {
    if !(200..=999).contains(&status) {
        return Err(ProtocolError::Status(status));
    }
    check_fields(content.get(..fields_length))?;
    let body = HEADER_BYTES + fields_length;
    Ok(ReplyKind::Head { status, fields: HEADER_BYTES..body, body: body..HEADER_BYTES + content.len() })
}

fn parse_lent(status: u16, fields_length: usize, content: &[u8]) -> Result<ReplyKind, ProtocolError> {
    let Some((_, place)) = content.split_at_checked(fields_length) else { return Err(ProtocolError::Fields) };
    let (words, rest) = place.as_chunks::<8>();
    let [generation, offset, count] = words else { return Err(ProtocolError::Short) };
    let ReplyKind::Head { status, fields, .. } = parse_head(status, fields_length, content)? else {
        unreachable!("a head gives a head")
    };
    let generation = u32::try_from(u64::from_le_bytes(*generation)).map_err(|_| ProtocolError::FileRange)?;
    let (offset, count) = (u64::from_le_bytes(*offset), u64::from_le_bytes(*count));
    empty(rest, ReplyKind::Lent { status, fields, generation, offset, count })
}

fn parse_hints(fields_length: usize, content: &[u8]) -> Result<ReplyKind, ProtocolError> {
    check_fields(content.get(..fields_length))?;
    empty(&content[fields_length..], ReplyKind::Hints(HEADER_BYTES..HEADER_BYTES + fields_length))
}

fn check_fields(fields: Option<&[u8]>) -> Result<(), ProtocolError> {
    let ends_well = |fields: &[u8]| fields == b"\r\n" || fields.ends_with(b"\r\n\r\n");
    if fields.is_some_and(ends_well) { Ok(()) } else { Err(ProtocolError::Fields) }
}

fn parse_file(content: &[u8]) -> Result<ReplyKind, ProtocolError> {
    let (offset, rest) = content.split_first_chunk::<8>().ok_or(ProtocolError::Short)?;
    let (count, rest) = rest.split_first_chunk::<8>().ok_or(ProtocolError::Short)?;
    let (offset, count) = (u64::from_le_bytes(*offset), u64::from_le_bytes(*count));
    match offset.checked_add(count) {
        Some(end) if end <= i64::MAX as u64 => empty(rest, ReplyKind::File { offset, count }),
        _ => Err(ProtocolError::FileRange),
    }
}

fn empty(content: &[u8], kind: ReplyKind) -> Result<ReplyKind, ProtocolError> {
    if content.is_empty() { Ok(kind) } else { Err(ProtocolError::Long) }
}

/// The message by which the supervisor tells a shard that the worker which held `token` died, and of what.
#[must_use]
pub fn encode_lost(token: Token, loss: Loss) -> [u8; HEADER_BYTES] {
    let mut message = [0; HEADER_BYTES];
    message[..8].copy_from_slice(&token.to_bytes());
    message[8] = code::LOST;
    message[9] = code::FLAG_END;
    message[10..12].copy_from_slice(&loss.to_bits().to_le_bytes());
    message
}

/// Whether it is such a message.
#[must_use]
pub fn is_lost(message: &[u8]) -> bool {
    message.get(8) == Some(&code::LOST)
}

/// The message by which the supervisor gives `token` back to its shard: it was in the inbox of a generation that takes no more.
#[must_use]
pub fn encode_requeue(token: Token) -> [u8; HEADER_BYTES] {
    let mut message = [0; HEADER_BYTES];
    message[..8].copy_from_slice(&token.to_bytes());
    message[8] = code::REQUEUE;
    message
}

/// Method and target of a request's message, for a person to read.
#[must_use]
pub fn describe_request(message: &[u8]) -> String {
    let environ = message.get(HEADER_BYTES..).and_then(marshal::Reader::of_request);
    let (mut method, mut target) = (String::new(), String::new());
    for (key, value) in environ.into_iter().flatten() {
        match key {
            b"REQUEST_METHOD" => method = String::from_utf8_lossy(value).into_owned(),
            b"RAW_URI" => {
                target = String::from_utf8_lossy(value).into_owned();
                break;
            }
            _ => {}
        }
    }
    format!("{method} {target}")
}

/// Token and shard of a request's message.
#[must_use]
pub fn request_header(message: &[u8]) -> Option<(Token, u32)> {
    let (token, rest) = message.split_first_chunk::<8>()?;
    let (shard, _) = rest.split_first_chunk::<4>()?;
    Some((Token::from_bytes(*token), u32::from_le_bytes(*shard)))
}

#[cfg(test)]
#[path = "messages_tests.rs"]
mod tests;
