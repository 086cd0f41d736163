//! Messages of workers: what a reply points to lies within its message, in order and without a gap.

use maitred::wsgi::messages::{HEADER_BYTES, describe_request, encode_lost, encode_requeue, request_header};
use maitred::wsgi::{Loss, Reply, ReplyKind};

pub const TARGET: super::Target = super::Target {
    name: "reply",
    run,
    seeds: &[
        b"\x01\0\0\0\x02\0\0\0\x01\x01\xc8\0\x02\0\0\0\r\nbody",
        b"\x01\0\0\0\x02\0\0\0\x01\0\xc8\0\x0a\0\0\0A: bcd\r\n\r\n",
        b"\x01\0\0\0\x02\0\0\0\x02\0\0\0\0\0\0\0more",
        b"\x01\0\0\0\x02\0\0\0\x03\x01\0\0\0\0\0\0\x08\0\0\0\0\0\0\0\xff\0\0\0\0\0\0\0",
        b"\x01\0\0\0\x02\0\0\0\x07\x01\0\0\0\0\0\0",
        b"\x01\0\0\0\x02\0\0\0\x05\0\x67\0\x0a\0\0\0A: bcd\r\n\r\n",
    ],
    folders: &[],
};

fn run(input: &[u8]) {
    assert_eq!(request_header(input).is_some(), input.len() >= 12);
    let Ok(reply) = Reply::parse(input) else { return };
    assert_eq!(reply.token.to_bytes()[..], input[..8]);
    match &reply.kind {
        ReplyKind::Head { status, fields, body } => {
            assert!((200..=999).contains(status));
            assert!(fields.start == HEADER_BYTES && fields.end == body.start && body.end == input.len());
            assert!(input[fields.clone()].ends_with(b"\r\n"));
        }
        ReplyKind::Lent { status, fields, .. } => {
            assert!((200..=999).contains(status));
            assert!(fields.start == HEADER_BYTES && fields.end + 24 == input.len());
        }
        ReplyKind::Hints(fields) => {
            assert!(!reply.end && fields.start == HEADER_BYTES && fields.end == input.len());
            assert!(input[fields.clone()].ends_with(b"\r\n"));
        }
        ReplyKind::Body(body) => assert!(body.start == HEADER_BYTES && body.end == input.len()),
        ReplyKind::File { offset, count } => {
            assert!(offset.checked_add(*count).is_some_and(|end| i64::try_from(end).is_ok()));
        }
        ReplyKind::Abort
        | ReplyKind::Credit
        | ReplyKind::Release
        | ReplyKind::Wake
        | ReplyKind::Lost(_)
        | ReplyKind::Requeue => {
            assert_eq!(input.len(), HEADER_BYTES);
        }
    }
    assert!(describe_request(input).contains(" "));
    let lost = Reply::parse(&encode_lost(reply.token, Loss::Overdue));
    assert_eq!(lost, Ok(Reply { token: reply.token, end: true, kind: ReplyKind::Lost(Loss::Overdue) }));
    let requeue = Reply::parse(&encode_requeue(reply.token));
    assert_eq!(requeue, Ok(Reply { token: reply.token, end: false, kind: ReplyKind::Requeue }));
}
