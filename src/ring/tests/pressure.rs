//! The real kernel running out of things: buffers, descriptors, queue entries, completions.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::Command;

use super::*;

#[test]
fn running_out_of_provided_buffers_heals() {
    const CONNECTIONS: usize = 8;
    const BYTES: usize = 5_000;
    on_ring(|ring| async move {
        let group = ring.buffer_group(64, 2).expect("a group");
        let (mut peers, mut streams, mut held) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..CONNECTIONS {
            let (ours, mut theirs) = UnixStream::pair().expect("a pair");
            theirs.write_all(&[number as u8; BYTES]).expect("fits");
            peers.push(theirs);
            streams.push(ring.recv(&descriptor(ours), &group));
        }
        // One connection gets both buffers and keeps them; then the others starve.
        held.push(streams[0].next().await.expect("no error").expect("bytes"));
        held.push(streams[0].next().await.expect("no error").expect("bytes"));
        assert!(held.iter().all(Chunk::is_provided));
        let tasks: Vec<_> = streams
            .into_iter()
            .enumerate()
            .map(|(number, mut stream)| {
                glommio::spawn_local(async move {
                    let mut count = 0;
                    while let Some(chunk) = stream.next().await.expect("no error") {
                        assert!(chunk.iter().all(|byte| *byte == number as u8));
                        count += chunk.len();
                    }
                    count
                })
            })
            .collect();
        until(|| group.starved.borrow().len() == CONNECTIONS).await;
        assert_eq!(group.free.get(), 0);
        drop(held);
        drop(peers);
        let mut total = 2 * 64;
        for task in tasks {
            total += task.await;
        }
        assert_eq!(total, CONNECTIONS * BYTES);
        assert_eq!(group.free.get(), 2);
    });
}

#[test]
fn a_ring_that_closes_ends_starved_streams() {
    on_ring(|ring| async move {
        let group = ring.buffer_group(64, 1).expect("a group");
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        theirs.write_all(&[1; 128]).expect("fits");
        let mut stream = ring.recv(&descriptor(ours), &group);
        let held = stream.next().await.expect("no error").expect("bytes");
        assert!(held.is_provided());
        let waiting = glommio::spawn_local(async move { stream.next().await });
        until(|| group.starved.borrow().len() == 1).await;
        ring.close();
        assert_eq!(waiting.await.expect_err("the ring closes").raw_os_error(), Some(libc::ECANCELED));
    });
}

/// The body of the next test: in a process of its own, because the limit is the whole process's.
#[test]
#[ignore = "run by `running_out_of_descriptors_is_reported_and_heals` in a process of its own"]
fn with_one_descriptor_left() {
    on_ring(|ring| async move {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let _clients: Vec<_> = (0..3).map(|_| TcpStream::connect(address).expect("connects")).collect();
        let mut accept = ring.accept(&descriptor(listener));
        let lowest = std::fs::File::open("/dev/null").expect("opens").into_raw_fd();
        // SAFETY: it was opened here, and closing it makes its number the only free one.
        drop(unsafe { OwnedFd::from_raw_fd(lowest) });
        let limit = rustix::process::Rlimit {
            current: Some(lowest as u64 + 1),
            maximum: rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum,
        };
        rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).expect("lower than before");
        for _ in 0..2 {
            let connection = accept.next().await.expect("one descriptor is free");
            let error = accept.next().await.expect_err("no descriptor is free");
            assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
            drop(connection);
        }
        accept.next().await.expect("the last one waits");
    });
}

#[test]
fn running_out_of_descriptors_is_reported_and_heals() {
    let output = Command::new(std::env::current_exe().expect("known"))
        .args(["--exact", "ring::tests::pressure::with_one_descriptor_left", "--ignored", "--test-threads=1"])
        .output()
        .expect("starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
fn a_full_submission_queue_loses_nothing_and_keeps_the_order() {
    const SENDS: u8 = 100;
    let config = RingConfig { entries: 4, completions: 64 };
    on_ring_with(config, |ring| async move {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let socket = descriptor(ours);
        let sends: Vec<_> = (0..SENDS).map(|number| ring.send(&socket, Payload::from(vec![number]))).collect();
        for send in sends {
            assert_eq!(send.await.sent.expect("sent"), 1);
        }
        let mut bytes = [0; SENDS as usize];
        theirs.read_exact(&mut bytes).expect("they are there");
        assert!(bytes.iter().copied().eq(0..SENDS));
    });
}

#[test]
fn an_overflown_completion_queue_loses_nothing() {
    const POLLS: usize = 200;
    let config = RingConfig { entries: 8, completions: 8 };
    on_ring_with(config, |ring| async move {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let socket = descriptor(ours);
        let polls: Vec<_> = (0..POLLS).map(|_| ring.poll(&socket, libc::POLLIN as u32)).collect();
        until(|| ring.in_flight() == POLLS).await;
        ring.poll(&socket, libc::POLLOUT as u32).await.expect("writable");
        // All of them complete at once.
        (&theirs).write_all(b"x").expect("sends");
        for poll in polls {
            assert_eq!(poll.await.expect("readable") & libc::POLLIN as u32, libc::POLLIN as u32);
        }
    });
}

#[test]
fn a_multishot_receive_that_the_kernel_ends_goes_on() {
    const MESSAGES: u8 = 100;
    // The kernel ends a multishot operation when its completion overflows the queue: here after eight.
    let config = RingConfig { entries: 8, completions: 8 };
    on_ring_with(config, |ring| async move {
        let (ours, theirs) = seqpacket();
        let group = ring.buffer_group(256, 128).expect("a group");
        for number in 0..MESSAGES {
            rustix::net::send(&theirs, &[number], rustix::net::SendFlags::empty()).expect("room enough");
        }
        let mut messages = ring.recv_messages(&descriptor(ours), &group);
        for number in 0..MESSAGES {
            assert_eq!(messages.next().await.expect("no error").expect("a message").bytes[..], [number]);
        }
        drop(theirs);
        assert!(messages.next().await.expect("no error").is_none());
    });
}

#[test]
fn nobody_taking_connections_stops_the_accept() {
    use crate::base::bounds::ACCEPTED_WAITING_MAX;
    const CLIENTS: usize = ACCEPTED_WAITING_MAX + 100;
    on_ring(|ring| async move {
        let socket = rustix::net::socket_with(
            rustix::net::AddressFamily::UNIX,
            rustix::net::SocketType::STREAM,
            rustix::net::SocketFlags::CLOEXEC,
            None,
        )
        .expect("a socket");
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        let address = rustix::net::SocketAddrUnix::new(&path).expect("short enough");
        rustix::net::bind(&socket, &address).expect("binds");
        rustix::net::listen(&socket, 1_024).expect("listens");
        let mut accept = ring.accept(&Rc::new(socket));
        let first = UnixStream::connect(&path).expect("connects");
        accept.next().await.expect("a connection");
        let mut clients = vec![first];
        // The accept is armed and has no taker: it stops by itself.
        while ring.in_flight() > 0 {
            clients.push(UnixStream::connect(&path).expect("connects"));
            assert!(clients.len() < 2_000, "it does not stop");
            glommio::timer::sleep(Duration::from_micros(50)).await;
        }
        assert!(clients.len() > ACCEPTED_WAITING_MAX);
        while clients.len() < CLIENTS {
            clients.push(UnixStream::connect(&path).expect("connects"));
        }
        for _ in 1..clients.len() {
            accept.next().await.expect("a connection");
        }
    });
}
