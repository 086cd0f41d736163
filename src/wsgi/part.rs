//! The parts of an answer, as they come from a worker, and those that wait to be passed on.
//!
//! Owns what a reply means for its call, and that many small pieces do not become many parts. Called by `pool`.

use std::collections::VecDeque;
use std::ops::Range;
use std::os::fd::OwnedFd;

use super::Loss;
use super::messages::ReplyKind;
use crate::base::bounds::{EARLY_HINTS_QUEUED_MAX, MESSAGE_BYTES_MAX};
use crate::observe::Shed;
use crate::ring::Chunk;
use crate::sys::outbox::Lent;

/// A part of the answer to a call.
#[derive(Debug)]
pub enum Part {
    /// The response begins: `message[fields]` are its field lines with the empty line at the end, `message[body]` its first
    /// bytes.
    Head {
        /// Status code, 200 – 999.
        status: u16,
        /// The whole message.
        message: Chunk,
        /// Where the field lines are.
        fields: Range<usize>,
        /// Where the first bytes of the body are.
        body: Range<usize>,
        /// The whole body, if it does not lie in the message. In a box because it is rare, and parts should be small.
        lent: Option<Box<Lent>>,
        /// Nothing follows.
        end: bool,
    },
    /// Fields that the client may be told before the response begins.
    Hints {
        /// The whole message.
        message: Chunk,
        /// Where the field lines are, with the empty line at the end.
        fields: Range<usize>,
    },
    /// More of the body.
    Body {
        /// The bytes; may be empty at the end.
        bytes: Chunk,
        /// Nothing follows.
        end: bool,
    },
    /// More of the body, in a file.
    File {
        /// The file.
        file: OwnedFd,
        /// Where it begins, bytes.
        offset: u64,
        /// How many bytes.
        count: u64,
        /// Nothing follows.
        end: bool,
    },
    /// The application failed in mid-response. Nothing follows.
    Abort,
    /// The worker died, of this. Nothing follows.
    Lost(Loss),
    /// No worker was given the request. Nothing follows.
    Shed(Shed),
}

/// Puts `part` behind the others; hints that are too many are dropped. Pieces of a body that wait are put together, up to the size of one message: the
/// window of a response bounds its bytes, and so it bounds their number too.
pub(super) fn queue_part(parts: &mut VecDeque<Part>, part: Part) {
    if let (Some(Part::Body { bytes: last, end: last_end }), Part::Body { bytes, end }) = (parts.back_mut(), &part)
        && last.len() + bytes.len() <= MESSAGE_BYTES_MAX
    {
        last.append(bytes);
        *last_end = *end;
        return;
    }
    if matches!(part, Part::Hints { .. }) && parts.len() >= EARLY_HINTS_QUEUED_MAX {
        // An application's loop would fill the memory: they are hints.
        return;
    }
    parts.push_back(part);
}

/// What a reply of this kind says, if it is a part of an answer.
pub(super) fn part(
    kind: ReplyKind,
    mut message: Chunk,
    descriptor: Option<OwnedFd>,
    lent: Option<Lent>,
    end: bool,
) -> Option<Part> {
    Some(match kind {
        ReplyKind::Head { status, fields, body } => Part::Head { status, message, fields, body, lent: None, end },
        ReplyKind::Lent { status, fields, .. } => match lent.map(Box::new) {
            lent @ Some(_) => Part::Head { status, message, body: fields.end..fields.end, fields, lent, end },
            // There is no such place: our own worker's fault, or a stranger's.
            None => Part::Abort,
        },
        ReplyKind::Hints(fields) => Part::Hints { message, fields },
        ReplyKind::Body(range) => {
            message.truncate(range.end);
            message.advance(range.start);
            Part::Body { bytes: message, end }
        }
        ReplyKind::File { offset, count } => match descriptor {
            Some(file) => Part::File { file, offset, count, end },
            // The kernel could not install the descriptor (EMFILE): the response can't be completed.
            None => Part::Abort,
        },
        ReplyKind::Abort => Part::Abort,
        ReplyKind::Lost(loss) => Part::Lost(loss),
        ReplyKind::Requeue | ReplyKind::Credit | ReplyKind::Release | ReplyKind::Wake => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_that_wait_are_few() {
        let mut parts = VecDeque::new();
        for _ in 0..100 {
            queue_part(&mut parts, Part::Hints { message: Chunk::from(vec![0]), fields: 0..1 });
        }
        assert_eq!(parts.len(), EARLY_HINTS_QUEUED_MAX);
        queue_part(&mut parts, Part::Abort);
        assert!(matches!(parts.back(), Some(Part::Abort)));
    }

    #[test]
    fn many_small_pieces_that_wait_are_few_parts() {
        let mut parts = VecDeque::new();
        for number in 0..100_000u32 {
            let bytes = Chunk::from(vec![number as u8]);
            queue_part(&mut parts, Part::Body { bytes, end: number == 99_999 });
        }
        assert_eq!(parts.len(), 2);
        queue_part(&mut parts, Part::Abort);
        let mut all = Vec::new();
        for (number, part) in parts.into_iter().enumerate() {
            match part {
                Part::Body { bytes, end } => {
                    assert_eq!(end, number == 1);
                    all.extend_from_slice(&bytes);
                }
                other => assert!(matches!(other, Part::Abort) && number == 2),
            }
        }
        assert!(all.len() == 100_000 && all.iter().enumerate().all(|(at, &byte)| byte == at as u8));
    }
}
