//! Memory to which others write, beside what the kernel completes.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::*;

/// A counter that another thread moves on.
#[derive(Default)]
struct Memory {
    sleeps: AtomicBool,
    written: AtomicU32,
    read: AtomicU32,
}

impl Watched for Arc<Memory> {
    fn sleep(&self) {
        self.sleeps.store(true, Ordering::SeqCst);
    }

    fn wake(&self) {
        self.sleeps.store(false, Ordering::SeqCst);
    }

    fn has_news(&self) -> bool {
        self.written.load(Ordering::SeqCst) != self.read.load(Ordering::SeqCst)
    }
}

#[test]
fn what_others_write_is_read_whether_the_thread_sleeps_or_not() {
    const MESSAGES: u32 = 2_000;
    let memory = Arc::new(Memory::default());
    let (ours, theirs) = seqpacket();
    let writer = std::thread::spawn({
        let memory = memory.clone();
        move || {
            let mut wakes = 0;
            for number in 1..=MESSAGES {
                // So long that the thread dozes, or has parked, and at times not at all.
                let pause = [0, 0, 50, 200, 8_000][number as usize % if number % 50 == 0 { 5 } else { 4 }];
                std::thread::sleep(Duration::from_micros(pause));
                memory.written.store(number, Ordering::SeqCst);
                if memory.sleeps.load(Ordering::SeqCst) {
                    wakes += 1;
                    rustix::net::send(&theirs, b"wake", rustix::net::SendFlags::empty()).expect("there is room");
                }
            }
            (wakes, theirs)
        }
    });
    on_ring({
        let memory = memory.clone();
        move |ring| async move {
            ring.watch(Rc::new(memory.clone()));
            let group = ring.buffer_group(1024, 64).expect("a group");
            let mut messages = ring.recv_messages(&descriptor(ours), &group);
            while memory.read.load(Ordering::SeqCst) < MESSAGES {
                poll_fn(|cx| {
                    ring.wait_for_news(cx.waker());
                    while let Poll::Ready(message) = messages.poll_next(cx) {
                        assert_eq!(&message.expect("no error").expect("not the end").bytes[..], b"wake");
                    }
                    match memory.has_news() {
                        true => Poll::Ready(()),
                        false => Poll::Pending,
                    }
                })
                .await;
                memory.read.store(memory.written.load(Ordering::SeqCst), Ordering::SeqCst);
            }
        }
    });
    let (wakes, _socket) = writer.join().expect("no panic");
    assert!(wakes > 0 && wakes <= MESSAGES, "{wakes}");
}

#[test]
fn news_wake_their_reader_once_and_nobody_who_does_not_wait() {
    let memory = Arc::new(Memory::default());
    on_ring(move |ring| async move {
        ring.watch(Rc::new(memory.clone()));
        memory.written.store(1, Ordering::SeqCst);
        // Nobody waits: the ring goes on with its other work, and sleeps.
        ring.sleep(Duration::from_millis(20)).await;
        assert!(memory.has_news());
        let mut polls = 0;
        poll_fn(|cx| {
            polls += 1;
            ring.wait_for_news(cx.waker());
            if polls > 1 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        assert_eq!(polls, 2);
    });
}
