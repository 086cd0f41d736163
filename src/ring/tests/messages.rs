//! Whole messages with descriptors over SEQPACKET sockets.

use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use super::*;
use crate::ring::simulated::tracked;

#[test]
fn a_descriptor_rides_along_with_its_message() {
    on_ring(|ring| async move {
        let (ours, theirs) = seqpacket();
        let (ours, theirs) = (descriptor(ours), descriptor(theirs));
        let group = ring.buffer_group(1024, 8).expect("a group");
        let mut messages = ring.recv_messages(&theirs, &group);
        let (read, write) = std::io::pipe().expect("a pipe");
        for (bytes, fd) in [("first", None), ("second", Some(OwnedFd::from(write))), ("third", None)] {
            let result = ring.send_message(&ours, Payload::from(bytes.as_bytes().to_vec()), fd).await;
            assert_eq!(result.sent.expect("sent"), bytes.len());
        }
        for (bytes, rides) in [("first", false), ("second", true), ("third", false)] {
            let message = messages.next().await.expect("no error").expect("a message");
            assert_eq!(&message.bytes[..], bytes.as_bytes());
            assert!(!message.truncated);
            assert_eq!(message.descriptor.is_some(), rides);
            if let Some(fd) = message.descriptor {
                let flags = rustix::io::fcntl_getfd(&fd).expect("open");
                assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
                std::fs::File::from(fd).write_all(b"through the pipe").expect("writes");
            }
        }
        let mut text = String::new();
        { read }.read_to_string(&mut text).expect("reads to the end: every copy of the write end is closed");
        assert_eq!(text, "through the pipe");
        drop(ours);
        assert!(messages.next().await.expect("no error").is_none());
    });
}

#[test]
fn a_message_that_does_not_fit_is_flagged() {
    on_ring(|ring| async move {
        let (ours, theirs) = seqpacket();
        let group = ring.buffer_group(256, 8).expect("a group");
        let mut messages = ring.recv_messages(&descriptor(theirs), &group);
        let ours = descriptor(ours);
        for (len, truncated) in [(1000, true), (256 - 80, false), (256 - 79, true), (1, false)] {
            ring.send_message(&ours, Payload::from(vec![7; len]), None).await.sent.expect("sent");
            let message = messages.next().await.expect("no error").expect("a message");
            assert_eq!(message.truncated, truncated, "{len} bytes");
            assert!(message.bytes[..] == vec![7; len.min(256 - 80)]);
        }
    });
}

#[test]
fn surplus_descriptors_and_those_of_messages_that_nobody_takes_are_closed() {
    on_ring(|ring| async move {
        let (ours, theirs) = seqpacket();
        let group = ring.buffer_group(1024, 8).expect("a group");
        let mut messages = ring.recv_messages(&descriptor(theirs), &group);
        let mut trackers = Vec::new();
        for count in [3, 20, 2] {
            let fds: Vec<OwnedFd> = (0..count)
                .map(|_| {
                    let (fd, tracker) = tracked();
                    trackers.push(tracker);
                    fd
                })
                .collect();
            let borrowed: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
            let mut space = [MaybeUninit::uninit(); 256];
            let mut control = SendAncillaryBuffer::new(&mut space);
            assert!(control.push(SendAncillaryMessage::ScmRights(&borrowed)));
            sendmsg(&ours, &[IoSlice::new(b"x")], &mut control, SendFlags::empty()).expect("sent");
        }
        let message = messages.next().await.expect("no error").expect("a message");
        assert!(!message.truncated && message.descriptor.is_some());
        assert!(!trackers[0].is_closed() && trackers[1].is_closed() && trackers[2].is_closed(), "the first is kept");
        drop(message);
        assert!(trackers[0].is_closed());
        let message = messages.next().await.expect("no error").expect("a message");
        assert!(message.truncated, "descriptors were cut off (MSG_CTRUNC)");
        drop(message);
        until(|| group.free.get() == 7).await;
        drop(messages);
        until(|| ring.in_flight() == 0).await;
        assert!(trackers.iter().all(crate::ring::simulated::Tracker::is_closed));
        assert_eq!(group.free.get(), 8);
    });
}

#[test]
fn a_full_socket_gives_the_message_and_its_descriptor_back() {
    on_ring(|ring| async move {
        let (ours, theirs) = seqpacket();
        let ours = descriptor(ours);
        loop {
            let (fd, tracker) = tracked();
            let result = ring.send_message(&ours, Payload::from(vec![1; 4096]), Some(fd)).await;
            match result.sent {
                Ok(sent) => assert_eq!(sent, 4096),
                Err(error) => {
                    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
                    assert_eq!(result.payloads[0].len(), 4096);
                    assert!(!tracker.is_closed());
                    drop(result.descriptor.expect("it comes back"));
                    assert!(tracker.is_closed());
                    break;
                }
            }
        }
        drop(theirs);
    });
}
