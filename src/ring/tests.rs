//! The ring against the real kernel, and against a simulated one (`properties.rs`).

mod accepts;
mod driver;
mod files;
mod messages;
mod pressure;
mod properties;
mod sockets;
mod watched;
mod zero_copy;

use std::net::{TcpListener, TcpStream};
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use glommio::{LocalExecutorBuilder, Placement};

use super::*;

/// Runs `body` on an executor with a ring, then closes the ring and sees it drained.
fn on_ring<F, T>(body: impl FnOnce(Ring) -> F + Send + 'static) -> T
where
    F: Future<Output = T> + 'static,
    T: Send + 'static,
{
    on_ring_with(RingConfig::default(), body)
}

fn on_ring_with<F, T>(config: RingConfig, body: impl FnOnce(Ring) -> F + Send + 'static) -> T
where
    F: Future<Output = T> + 'static,
    T: Send + 'static,
{
    on_executor(move || async move {
        let (ring, driver) = Ring::new(config).expect("io_uring is permitted here");
        let driver = glommio::spawn_local(driver.run());
        let output = body(ring.clone()).await;
        ring.close();
        driver.await;
        assert_eq!(ring.in_flight(), 0);
        output
    })
}

fn on_executor<F, T>(body: impl FnOnce() -> F + Send + 'static) -> T
where
    F: Future<Output = T> + 'static,
    T: Send + 'static,
{
    LocalExecutorBuilder::new(Placement::Unbound)
        .preempt_timer(PREEMPT_TIMER)
        .spawn(body)
        .expect("an executor")
        .join()
        .expect("no panic on the executor")
}

/// Lets the other tasks run, and glommio's reactor, until `condition` holds.
async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        glommio::timer::sleep(Duration::from_micros(50)).await;
    }
}

/// Polls once and says what came of it.
async fn once<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
    std::future::poll_fn(|cx| Poll::Ready(poll(cx))).await
}

fn descriptor(socket: impl Into<OwnedFd>) -> Descriptor {
    Rc::new(socket.into())
}

fn seqpacket() -> (OwnedFd, OwnedFd) {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).expect("a pair")
}

#[test]
fn accepts_receives_and_sends() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let client = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let mut stream = TcpStream::connect(address).expect("connects");
        stream.write_all(b"ping").expect("sends");
        let mut answer = [0; 9];
        stream.read_exact(&mut answer).expect("an answer");
        answer
    });
    on_ring(move |ring| async move {
        let group = ring.buffer_group(4096, 8).expect("a group");
        let mut accept = ring.accept(&Rc::new(OwnedFd::from(listener)));
        let socket = Rc::new(accept.next().await.expect("a connection"));
        let mut recv = ring.recv(&socket, &group);
        let chunk = recv.next().await.expect("bytes").expect("not the end");
        assert_eq!(&chunk[..], b"ping");
        assert!(chunk.is_provided());
        let parts = [Payload::Static(b"pong "), Payload::Received(chunk), Payload::EMPTY];
        assert_eq!(ring.send_parts(&socket, parts).await.sent.expect("sent"), 9);
        assert!(recv.next().await.expect("the end").is_none());
    });
    assert_eq!(&client.join().expect("no panic"), b"pong ping");
}

#[test]
fn a_deadline_ends_a_wait() {
    on_ring(|ring| async move {
        let (ours, _theirs) = std::os::unix::net::UnixStream::pair().expect("a pair");
        let group = ring.buffer_group(4096, 8).expect("a group");
        let mut recv = ring.recv(&Rc::new(OwnedFd::from(ours)), &group);
        let deadline = ring.deadline();
        deadline.set(Duration::from_millis(150));
        assert_eq!(within(&deadline, recv.next()).await.err(), Some(TimedOut));
    });
}
