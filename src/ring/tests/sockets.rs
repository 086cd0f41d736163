//! Streams of bytes over the real kernel: sends, receives, connects, polls, and their cancellation.

use std::future::{Future, poll_fn};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::pin::Pin;

use super::*;
use crate::sys::region::Region;

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index * 31 + index / 251) as u8).collect()
}

#[test]
fn a_peer_that_sends_to_a_busy_connection_is_held_back_and_loses_nothing() {
    use crate::base::bounds::BACKLOG_BYTES_MAX;
    const BYTES: usize = 10 << 20;
    let (ours, mut theirs) = UnixStream::pair().expect("a pair");
    let peer = std::thread::spawn(move || theirs.write_all(&pattern(BYTES)).expect("all is taken"));
    on_ring(move |ring| async move {
        let group = ring.buffer_group(4096, 8).expect("a group");
        let mut recv = ring.recv(&descriptor(ours), &group);
        let mut received = recv.next().await.expect("no error").expect("bytes").to_vec();
        // The first receive was for once, this one goes on.
        received.extend_from_slice(&recv.next().await.expect("no error").expect("bytes"));
        recv.set_aside();
        // Nobody waits: the backlog fills, and then the kernel stops.
        until(|| ring.in_flight() == 0 && group.starved.borrow().is_empty()).await;
        assert_eq!(group.free.get(), 8);
        let backlog = recv.next().await.expect("no error").expect("bytes");
        assert!(!backlog.is_provided());
        let slack = 64 * 4096; // what one turn of the kernel can bring before the cancellation is in
        assert!((BACKLOG_BYTES_MAX..BACKLOG_BYTES_MAX + slack).contains(&backlog.len()), "{} bytes", backlog.len());
        received.extend_from_slice(&backlog);
        while let Some(chunk) = recv.next().await.expect("no error") {
            received.extend_from_slice(&chunk);
        }
        assert!(received == pattern(BYTES), "all bytes, in order");
    });
    peer.join().expect("no panic");
}

#[test]
fn a_send_waits_for_a_slow_reader_until_all_is_taken() {
    const BYTES: usize = 4 << 20;
    let (ours, mut theirs) = UnixStream::pair().expect("a pair");
    let peer = std::thread::spawn(move || {
        let (mut all, mut piece) = (Vec::new(), [0; 1024]);
        loop {
            match theirs.read(&mut piece).expect("no error") {
                0 => return all,
                count => all.extend_from_slice(&piece[..count]),
            }
            std::thread::yield_now();
        }
    });
    on_ring(move |ring| async move {
        let socket = descriptor(ours);
        let bytes = Rc::new(pattern(BYTES));
        let result = ring.send(&socket, Payload::from(bytes.clone())).await;
        assert_eq!(result.sent.expect("sent"), BYTES);
        let parts = [Payload::Static(b"head"), Payload::Shared(bytes, 0..BYTES / 2), Payload::Static(b"tail")];
        assert_eq!(ring.send_parts(&socket, parts).await.sent.expect("sent"), BYTES / 2 + 8);
    });
    let all = peer.join().expect("no panic");
    let bytes = pattern(BYTES);
    assert!(all == [&bytes[..], b"head", &bytes[..BYTES / 2], b"tail"].concat());
}

#[test]
fn a_try_send_takes_what_fits_and_then_says_so() {
    on_ring(|ring| async move {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let socket = descriptor(ours);
        let mut payload = Payload::from(pattern(16 << 20));
        let whole = payload.len();
        loop {
            let result = ring.try_send(&socket, payload).await;
            let [rest, ..] = result.payloads;
            payload = rest;
            match result.sent {
                Ok(sent) => payload.advance(sent),
                Err(error) => {
                    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
                    break;
                }
            }
        }
        assert!(payload.len() < whole && !payload.is_empty());
        drop(theirs);
    });
}

#[test]
fn a_send_to_a_closed_peer_fails_without_a_signal() {
    on_ring(|ring| async move {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        drop(theirs);
        let result = ring.send(&descriptor(ours), Payload::Static(b"hello")).await;
        assert_eq!(result.sent.expect_err("nobody is there").raw_os_error(), Some(libc::EPIPE));
        assert_eq!(&result.payloads[0][..], b"hello", "the payload comes back");
    });
}

#[test]
fn a_send_dropped_in_flight_keeps_its_bytes_until_the_kernel_lets_go() {
    on_ring(|ring| async move {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let (socket, bytes) = (descriptor(ours), Rc::new(pattern(8 << 20)));
        for parts in [false, true] {
            let payload = Payload::from(bytes.clone());
            let send = if parts {
                ring.send_parts(&socket, [payload, Payload::Static(b"x"), Payload::EMPTY])
            } else {
                ring.send(&socket, payload)
            };
            // The socket is full when this comes back, and the send is waiting.
            until(|| ring.in_flight() == 1).await;
            ring.poll(&descriptor(theirs.try_clone().expect("a clone")), libc::POLLIN as u32).await.expect("bytes");
            drop(send);
            assert_eq!(Rc::strong_count(&bytes), 2, "the slot owns them");
            until(|| ring.in_flight() == 0).await;
            assert_eq!(Rc::strong_count(&bytes), 1);
        }
    });
}

#[test]
fn a_receive_dropped_while_data_arrives_gives_its_buffers_and_its_socket_back() {
    const ROUNDS: usize = 200;
    on_ring(|ring| async move {
        let group = ring.buffer_group(64, 4).expect("a group");
        for round in 0..ROUNDS {
            let (ours, mut theirs) = UnixStream::pair().expect("a pair");
            let mut recv = ring.recv(&descriptor(ours), &group);
            assert!(once(|cx| recv.poll_next(cx)).await.is_pending());
            theirs.write_all(&pattern(round * 5)).expect("fits");
            if round % 3 > 0 {
                glommio::executor().yield_task_queue_now().await;
            }
            theirs.write_all(&pattern(round)).expect("fits");
            drop(recv);
            until(|| ring.in_flight() == 0).await;
            assert_eq!(group.free.get(), 4);
            // Unread bytes make it a reset; either way it is closed.
            theirs.set_nonblocking(true).expect("can be set");
            let ended = theirs.read(&mut [0; 1]);
            assert!(
                matches!(&ended, Ok(0)) || ended.is_err_and(|error| error.raw_os_error() == Some(libc::ECONNRESET))
            );
        }
        assert_eq!(ring.core.slots.borrow().len(), 0);
    });
}

#[test]
fn a_stopped_stream_leaves_the_socket_to_a_receive_into_memory_and_goes_on_after_it() {
    on_ring(|ring| async move {
        let group = ring.buffer_group(64, 4).expect("a group");
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let ours = descriptor(ours);
        let mut recv = ring.recv(&ours, &group);
        let region = Rc::new(Region::new("maitred-test", 1 << 20).expect("a memfd"));
        region.make_ready(1000).expect("memory");
        let all = pattern(5000);
        theirs.write_all(&all[..10]).expect("fits");
        assert_eq!(&recv.next().await.expect("no error").expect("no end")[..], &all[..10]);
        // The kernel has a multishot receive for it now.
        assert!(once(|cx| recv.poll_next(cx)).await.is_pending());
        poll_fn(|cx| recv.poll_stopped(cx)).await;
        assert!(recv.arrived().is_none());
        let mut into = recv.receive_into(&region, 200..1000);
        theirs.write_all(&all[10..210]).expect("fits");
        assert!(once(|cx| Pin::new(&mut into).poll(cx)).await.is_pending());
        theirs.write_all(&all[210..900]).expect("fits");
        assert_eq!(into.await.expect("no error"), 800);
        assert_eq!(region.read(200..1000), &all[10..810]);
        // One that is cut short tells what it has.
        let into = recv.receive_into(&region, 0..1000);
        theirs.write_all(&all[900..901]).expect("fits");
        into.cancel();
        let count = into.await.expect("no error") as usize;
        assert_eq!(region.read(0..count), &all[810..810 + count]);
        theirs.write_all(&all[901..]).expect("fits");
        drop(theirs);
        let mut rest = region.read(0..count);
        while let Some(chunk) = recv.next().await.expect("no error") {
            rest.extend_from_slice(&chunk);
        }
        assert_eq!(rest, &all[810..]);
    });
}

#[test]
fn a_reset_is_reported_after_the_bytes_and_repeated() {
    on_ring(|ring| async move {
        let group = ring.buffer_group(4096, 4).expect("a group");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connects");
        let (server, _) = listener.accept().expect("a connection");
        let mut recv = ring.recv(&descriptor(server), &group);
        (&client).write_all(b"bytes").expect("sends");
        assert_eq!(&recv.next().await.expect("no error").expect("bytes")[..], b"bytes");
        rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO)).expect("can be set");
        drop(client);
        for _ in 0..2 {
            assert_eq!(recv.next().await.expect_err("a reset").raw_os_error(), Some(libc::ECONNRESET));
        }
        assert_eq!(group.free.get(), 4);
    });
}

#[test]
fn the_end_of_a_connection_is_noticed_while_its_bytes_are_left_alone() {
    on_ring(|ring| async move {
        let group = ring.buffer_group(64, 4).expect("a group");
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let mut recv = ring.recv(&descriptor(ours), &group);
        theirs.write_all(&pattern(1_000)).expect("fits");
        theirs.shutdown(std::net::Shutdown::Write).expect("open");
        std::future::poll_fn(|cx| recv.poll_ended(cx)).await;
        assert_eq!(group.free.get(), 4, "a busy connection holds no buffer");
        let chunk = recv.next().await.expect("no error").expect("bytes");
        assert!(chunk[..] == pattern(1_000));
        assert!(recv.next().await.expect("no error").is_none());
        assert!(recv.next().await.expect("no error").is_none(), "again and again");
    });
}

#[test]
fn connects_or_says_why_not() {
    on_ring(|ring| async move {
        let tcp = || {
            use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
            descriptor(
                socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).expect("a socket"),
            )
        };
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        ring.connect(&tcp(), &address).await.expect("connects");
        // A port that is bound but does not listen: nobody else can take it meanwhile.
        let bound = tcp();
        rustix::net::bind(&bound, &std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address: std::net::SocketAddr =
            rustix::net::getsockname(&bound).expect("bound").try_into().expect("an internet address");
        let error = ring.connect(&tcp(), &address).await.expect_err("nobody listens");
        assert_eq!(error.raw_os_error(), Some(libc::ECONNREFUSED));
    });
}

#[test]
fn poll_waits_for_readiness() {
    on_ring(|ring| async move {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let socket = descriptor(ours);
        let readable = ring.poll(&socket, libc::POLLIN as u32);
        let writable = ring.poll(&socket, libc::POLLOUT as u32).await.expect("writable");
        assert_eq!(writable & libc::POLLOUT as u32, libc::POLLOUT as u32);
        assert!(!readable.is_done());
        theirs.write_all(b"x").expect("sends");
        assert_eq!(readable.await.expect("readable") & libc::POLLIN as u32, libc::POLLIN as u32);
    });
}
