//! The receiving half of a connection: bytes for HTTP, decrypted where there is TLS, within a deadline.
//!
//! Owns what has arrived and was not consumed yet. Never looks at what it means. Called by `connection`, and by whoever reads a body.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::body::BodyError;
use super::input::Input;
use super::state::Shard;
use super::tls::Secure;
use crate::base::clock::Millis;
use crate::http::Reject;
use crate::ring::{Chunk, Deadline, Descriptor, RecvStream, TimedOut};

/// The receiving half: what arrives, and how long it may take.
pub(super) struct Receiving {
    pub recv: RecvStream,
    pub input: Input,
    pub deadline: Deadline,
    pub body_timeout: Millis,
    /// Bytes a second of a body; 0: any number.
    pub min_body_rate: u32,
    /// With TLS, the session through which everything comes.
    pub secure: Option<Rc<Secure>>,
}

impl Receiving {
    pub fn new(shard: &Shard, socket: &Descriptor) -> Receiving {
        Receiving {
            recv: shard.ring.recv(socket, &shard.receive),
            input: Input::default(),
            deadline: shard.ring.deadline(),
            body_timeout: shard.timeouts.get().body.into(),
            min_body_rate: u32::try_from(shard.min_body_rate.get()).unwrap_or(u32::MAX),
            secure: None,
        }
    }

    /// Lets go of provided buffers before a wait for something else than input.
    pub fn set_aside(&mut self) {
        self.input.settle();
        self.recv.set_aside();
    }

    /// Ends the socket's own receive, so that bytes can be received past it; what has arrived until then is input.
    pub async fn stopped(&mut self) {
        poll_fn(|cx| self.recv.poll_stopped(cx)).await;
        while let Some(chunk) = self.recv.arrived() {
            self.input.push(chunk);
        }
    }

    /// The next bytes for HTTP, within the deadline.
    pub fn next(&mut self) -> Incoming<'_> {
        Incoming(self)
    }

    /// Waits for more of a body, so long at most; returns how many bytes have come.
    pub async fn more_body(&mut self, patience: Duration) -> Result<usize, BodyError> {
        self.deadline.set(patience);
        match self.next().await {
            Ok(Ok(Some(chunk))) => {
                let bytes = chunk.len();
                self.input.push(chunk);
                Ok(bytes)
            }
            Ok(Ok(None) | Err(_)) => Err(BodyError::Gone),
            Err(_) => Err(BodyError::Refused(Reject::BodyTimeout)),
        }
    }
}

/// See [`Receiving::next`]. Not an `async fn`: it would be several times as large, and idle connections hold one of these each.
pub(super) struct Incoming<'r>(&'r mut Receiving);

impl Future for Incoming<'_> {
    type Output = Result<io::Result<Option<Chunk>>, TimedOut>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Receiving { recv, secure, deadline, .. } = &mut *self.0;
        let next = match secure {
            None => recv.poll_next(cx),
            Some(secure) => secure.poll_next(recv, cx),
        };
        match next {
            Poll::Ready(next) => Poll::Ready(Ok(next)),
            Poll::Pending => deadline.poll(cx).map(|()| Err(TimedOut)),
        }
    }
}
