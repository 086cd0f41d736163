//! Accepting on a socket on which others accept too, over the real kernel: nobody who connects is left in its queue.
//!
//! The kernel wakes the first of those that accept. What these tests rest on: a ring whose thread is busy is woken all the same, and what
//! is cancelled then has not looked.

use std::sync::mpsc;
use std::time::Instant;

use super::*;

/// Longer than any of this takes on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(20);

/// Two rings that accept on one socket. The first is woken for whoever connects while its thread is busy, then it does `first`, which
/// returns how many it has. Returns that number, and how many connections the second has accepted when there are `expected` in all;
/// `looks`: it is told when the first is done.
fn who_accepts<F>(
    expected: usize,
    looks: bool,
    first: impl FnOnce(AcceptStream) -> F + Send + 'static,
) -> (usize, usize)
where
    F: Future<Output = usize> + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let other = listener.try_clone().expect("a descriptor");
    let (accepts, is_accepting) = mpsc::channel();
    let (busy, is_busy) = mpsc::channel();
    let (connected, is_connected) = mpsc::channel();
    let (counted, count) = mpsc::channel();
    let one = std::thread::spawn({
        let accepts = accepts.clone();
        move || {
            on_ring(move |ring| async move {
                let mut accept = ring.accept(&descriptor(listener));
                // Begins, and goes on when the kernel has seen it.
                assert!(once(|cx| accept.poll_next(cx)).await.is_pending());
                ring.sleep(Duration::from_millis(150)).await;
                accepts.send(()).expect("awaited");
                is_busy.recv().expect("said");
                // A thread that does something else.
                is_connected.recv().expect("said");
                let taken = first(accept).await;
                counted.send(taken).expect("awaited");
            });
        }
    });
    is_accepting.recv().expect("the first accepts");
    let (taken, other_taken) = mpsc::channel();
    let (end, has_ended) = mpsc::channel();
    let two = std::thread::spawn(move || {
        on_ring(move |ring| async move {
            let mut accept = ring.accept(&descriptor(other));
            let mut kept = Vec::new();
            assert!(once(|cx| accept.poll_next(cx)).await.is_pending());
            ring.sleep(Duration::from_millis(150)).await;
            accepts.send(()).expect("awaited");
            loop {
                match has_ended.try_recv() {
                    Ok(()) => accept.pause(),
                    Err(mpsc::TryRecvError::Empty) => {}
                    Err(mpsc::TryRecvError::Disconnected) => break,
                }
                let deadline = ring.deadline();
                deadline.set(Duration::from_millis(100));
                if let Ok(socket) = within(&deadline, Box::pin(accept.next())).await {
                    kept.push(socket.expect("a connection"));
                    taken.send(()).expect("awaited");
                }
            }
        });
    });
    is_accepting.recv().expect("the second accepts");
    busy.send(()).expect("awaited");
    let _clients: Vec<_> = (0..expected).map(|_| TcpStream::connect(address).expect("connects")).collect();
    connected.send(()).expect("awaited");
    let by_first = count.recv().expect("said");
    if looks {
        end.send(()).expect("awaited");
    }
    let (mut by_second, begun) = (0, Instant::now());
    while by_first + by_second < expected && begun.elapsed() < DEADLINE {
        by_second += other_taken.recv_timeout(Duration::from_millis(100)).iter().count();
    }
    drop(end);
    one.join().expect("no panic");
    two.join().expect("no panic");
    (by_first, by_second)
}

#[test]
fn who_ends_its_accepts_takes_those_for_whom_it_was_woken() {
    let (by_first, by_second) = who_accepts(3, false, |mut accept| async move { accept.finish().await.len() });
    assert_eq!(by_first + by_second, 3, "{by_first} by the one that ends, {by_second} by the one that goes on");
}

#[test]
fn who_goes_on_looks_when_another_did_not() {
    let only_stops = |mut accept: AcceptStream| async move {
        accept.pause();
        std::future::poll_fn(|cx| accept.poll_stopped(cx)).await.len()
    };
    assert_eq!(who_accepts(3, true, only_stops), (0, 3), "the second was told to look");
}

#[test]
fn a_paused_accept_goes_on_with_what_waits() {
    on_ring(|ring| async move {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let mut accept = ring.accept(&descriptor(listener));
        assert!(once(|cx| accept.poll_next(cx)).await.is_pending());
        accept.pause();
        until(|| ring.in_flight() == 0).await;
        assert!(!accept.has_backlog());
        let _clients = [(); 2].map(|()| TcpStream::connect(address).expect("connects"));
        assert!(accept.has_backlog(), "nobody takes them");
        drop(accept.next().await.expect("the first"));
        drop(accept.next().await.expect("the second"));
        // One that waits is not ended by it: it begins anew.
        assert!(once(|cx| accept.poll_next(cx)).await.is_pending());
        accept.pause();
        let client = std::thread::spawn(move || TcpStream::connect(address).expect("connects"));
        drop(accept.next().await.expect("the third"));
        drop(client.join().expect("no panic"));
        assert!(accept.finish().await.is_empty());
        assert_eq!(ring.in_flight(), 0);
    });
}
