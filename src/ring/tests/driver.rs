//! The driver: parking, being kicked, and rings that go while the kernel is at work.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Weak;
use std::time::Instant;

use glommio::timer;

use super::*;
use crate::ring::core::Core;

/// Waits through glommio, not through the ring, so that the ring's driver is parked when it comes back.
async fn parked() {
    timer::sleep(Duration::from_millis(30)).await;
}

#[test]
fn work_that_comes_while_the_driver_is_parked_is_submitted() {
    on_ring(|ring| async move {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let socket = descriptor(ours);
        let group = ring.buffer_group(64, 4).expect("a group");
        for round in 0..3 {
            parked().await;
            assert_eq!(ring.send(&socket, Payload::from(vec![round])).await.sent.expect("sent"), 1);
            let mut byte = [0];
            theirs.read_exact(&mut byte).expect("a byte");
            assert_eq!(byte, [round]);
        }
        parked().await;
        let mut recv = ring.recv(&socket, &group);
        theirs.write_all(b"x").expect("sends");
        assert_eq!(&recv.next().await.expect("no error").expect("bytes")[..], b"x");
    });
}

#[test]
fn events_wake_a_parked_driver() {
    let (ours, mut theirs) = UnixStream::pair().expect("a pair");
    let (to_peer, at_peer) = std::sync::mpsc::channel();
    let peer = std::thread::spawn(move || {
        for byte in at_peer {
            theirs.write_all(&[byte]).expect("sends");
        }
    });
    on_ring(move |ring| async move {
        let group = ring.buffer_group(64, 4).expect("a group");
        let mut recv = ring.recv(&descriptor(ours), &group);
        for byte in 0..200 {
            if byte % 50 == 0 {
                parked().await;
            }
            to_peer.send(byte).expect("it listens");
            assert_eq!(recv.next().await.expect("no error").expect("bytes")[..], [byte]);
        }
    });
    peer.join().expect("no panic");
}

#[test]
fn a_deadline_set_while_the_driver_is_parked_counts_from_then_and_passes() {
    on_ring(|ring| async move {
        for _ in 0..2 {
            timer::sleep(Duration::from_millis(350)).await;
            let start = Instant::now();
            ring.sleep(Duration::from_millis(200)).await;
            assert!(start.elapsed() >= Duration::from_millis(199), "never early: {:?}", start.elapsed());
        }
    });
}

#[test]
fn deadlines_pass_in_order_after_having_been_moved() {
    on_ring(|ring| async move {
        let order = Rc::new(std::cell::RefCell::new(Vec::new()));
        let wait = |name: &'static str, first: u64, then: u64| {
            let (ring, order) = (ring.clone(), order.clone());
            glommio::spawn_local(async move {
                let deadline = ring.deadline();
                deadline.set(Duration::from_millis(first));
                deadline.set(Duration::from_millis(then));
                std::future::poll_fn(|cx| deadline.poll(cx)).await;
                order.borrow_mut().push(name);
            })
        };
        let tasks = [wait("third", 100, 700), wait("first", 60_000, 100), wait("second", 400, 400)];
        for task in tasks {
            task.await;
        }
        assert_eq!(*order.borrow(), ["first", "second", "third"]);
    });
}

#[test]
fn a_busy_ring_does_not_keep_glommio_from_its_timers() {
    on_ring(|ring| async move {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let (ours, theirs) = (descriptor(ours), descriptor(theirs));
        let group = ring.buffer_group(64, 4).expect("a group");
        let stop = Rc::new(std::cell::Cell::new(false));
        let busy = {
            let (ring, stop) = (ring.clone(), stop.clone());
            glommio::spawn_local(async move {
                let mut recv = ring.recv(&theirs, &group);
                while !stop.get() {
                    ring.send(&ours, Payload::Static(b"x")).await.sent.expect("sent");
                    recv.next().await.expect("no error").expect("bytes");
                }
            })
        };
        // Without a visit to the reactor this would never come back.
        timer::sleep(Duration::from_millis(20)).await;
        stop.set(true);
        busy.await;
    });
}

#[test]
fn an_idle_ring_sleeps() {
    on_ring(|ring| async move {
        let (ours, _theirs) = UnixStream::pair().expect("a pair");
        let group = ring.buffer_group(64, 4).expect("a group");
        let mut recv = ring.recv(&descriptor(ours), &group);
        let waiting = glommio::spawn_local(async move { recv.next().await.is_err() });
        // Deadlines that were dropped or are far away do not wake it either.
        let far = ring.deadline();
        far.set(Duration::from_secs(60));
        for _ in 0..100 {
            ring.deadline().set(Duration::from_millis(200));
        }
        parked().await;
        let before = switches();
        timer::sleep(Duration::from_millis(600)).await;
        let woken = switches() - before;
        assert!(woken <= 3, "woken {woken} times");
        ring.close();
        assert!(waiting.await);
    });
}

/// How often this thread has gone to sleep (getrusage(2), `ru_nvcsw`).
fn switches() -> i64 {
    // SAFETY: all-zero is a valid rusage, and the call fills it in.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage), 0);
        usage.ru_nvcsw
    }
}

/// Starts one of everything that stays in flight. Returns what is at the other end.
async fn start_things(ring: &Ring) -> UnixStream {
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    let socket = descriptor(ours);
    let group = ring.buffer_group(64, 4).expect("a group");
    for _ in 0..3 {
        let mut recv = ring.recv(&socket, &group);
        glommio::spawn_local(async move { recv.next().await.map(drop) }).detach();
    }
    let send = ring.send(&socket, Payload::from(vec![0; 8 << 20]));
    glommio::spawn_local(async move { send.await.sent.map(drop) }).detach();
    let sleeper = ring.clone();
    glommio::spawn_local(async move { sleeper.sleep(Duration::from_secs(60)).await }).detach();
    until(|| ring.in_flight() == 5).await;
    theirs
}

#[test]
fn an_executor_that_ends_with_operations_in_flight_does_no_harm() {
    // Its tasks and the ring refer to each other and are leaked, which is safe; a ring that is closed first is not.
    let mut theirs = on_executor(|| async {
        let (ring, driver) = Ring::new(RingConfig::default()).expect("io_uring is permitted here");
        glommio::spawn_local(driver.run()).detach();
        start_things(&ring).await
    });
    // The kernel has ended what the thread had in flight: nobody receives this any more.
    theirs.write_all(b"into the void").expect("the socket is still open");
    theirs.set_nonblocking(true).expect("can be set");
    let mut bytes = Vec::new();
    let error = theirs.read_to_end(&mut bytes).expect_err("no end, because the socket is leaked");
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    assert!(bytes.len() < 8 << 20, "the send was cut short");
}

#[test]
fn a_ring_dropped_with_operations_in_flight_ends_them() {
    on_executor(|| async {
        let (ring, driver) = Ring::new(RingConfig::default()).expect("io_uring is permitted here");
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let socket = descriptor(ours);
        let group = ring.buffer_group(64, 4).expect("a group");
        let mut recv = ring.recv(&socket, &group);
        assert!(once(|cx| recv.poll_next(cx)).await.is_pending());
        let send = ring.send(&socket, Payload::from(vec![0; 8 << 20]));
        let poll = ring.poll(&socket, libc::POLLIN as u32);
        ring.core.turn();
        assert_eq!(ring.in_flight(), 3);
        let core: Weak<Core> = Rc::downgrade(&ring.core);
        drop((driver, recv, send, poll, socket, ring));
        assert!(core.upgrade().is_none());
        let mut bytes = Vec::new();
        theirs.set_read_timeout(Some(Duration::from_secs(10))).expect("can be set");
        theirs.read_to_end(&mut bytes).expect("the end");
    });
}
