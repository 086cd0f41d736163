//! The sending half of a connection: one send in flight, its buffers owned by the ring.
//!
//! Owns the order of what is sent. A small response is handed to the kernel and not waited for; the next send waits for it.
//! Never looks at what it sends. Called by `connection` and `answer`.

use std::time::Duration;

use rustix::io::Errno;
use rustix::net::SendFlags;

use crate::ring::{Deadline, Descriptor, Payload, Ring, SendOp, within};

/// The client is gone or too slow: nothing more can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone;

pub(super) struct Output {
    ring: Ring,
    socket: Descriptor,
    /// How long the client may take none of what is sent.
    timeout: Duration,
    /// Made when the first send has to be waited for: an idle connection has none.
    deadline: Option<Deadline>,
    sending: Option<(SendOp, usize)>,
    /// Bytes handed to the kernel; those of a send under way count until it turns out that it failed.
    sent: u64,
}

impl Output {
    pub fn new(ring: &Ring, socket: &Descriptor, timeout: Duration) -> Output {
        Output { ring: ring.clone(), socket: socket.clone(), timeout, deadline: None, sending: None, sent: 0 }
    }

    pub fn socket(&self) -> &Descriptor {
        &self.socket
    }

    /// Bytes handed to the kernel so far.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// So many bytes have gone out by another way than `send`.
    pub fn count(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    /// Waits until all that was sent is with the kernel.
    pub async fn settle(&mut self) -> Result<(), Gone> {
        let Some((mut op, expected)) = self.sending.take() else { return Ok(()) };
        let result = if op.is_done() {
            Ok(op.await)
        } else {
            self.wait_again();
            let result = within(self.deadline(), &mut op).await;
            self.deadline().clear();
            result
        };
        match result {
            Ok(result) if result.sent.as_ref().is_ok_and(|&sent| sent == expected) => Ok(()),
            result => {
                let sent = result.map_or(0, |result| result.sent.unwrap_or(0));
                self.sent -= expected.saturating_sub(sent) as u64;
                Err(Gone)
            }
        }
    }

    /// Whether the next send has to wait for the client to take the one before it.
    pub fn has_to_wait(&self) -> bool {
        self.sending.as_ref().is_some_and(|(op, _)| !op.is_done())
    }

    /// Hands `payload` over, after what was sent before it.
    pub async fn send(&mut self, payload: Payload) -> Result<(), Gone> {
        self.settle().await?;
        let len = payload.len();
        self.count(len);
        self.sending = Some((self.ring.send(&self.socket, payload), len));
        Ok(())
    }

    /// Hands `payload` over and says that more will follow at once, so that both travel together (send(2), `MSG_MORE`).
    pub async fn send_before(&mut self, mut payload: Payload) -> Result<(), Gone> {
        self.settle().await?;
        let flags = SendFlags::MORE | SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        match rustix::net::send(&self.socket, &payload, flags) {
            Ok(taken) => payload.advance(taken),
            Err(Errno::AGAIN | Errno::INTR | Errno::NOBUFS) => {}
            Err(_) => return Err(Gone),
        }
        if !payload.is_empty() {
            self.send(payload).await?;
        }
        Ok(())
    }

    /// Hands `parts` over as one. What lies in a provided buffer does not stay there while a slow client is waited for.
    pub async fn send_parts(&mut self, mut parts: [Payload; 3]) -> Result<(), Gone> {
        if self.has_to_wait() {
            parts = parts.map(Payload::into_owned);
        }
        self.settle().await?;
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let result = self.ring.try_send_parts(&self.socket, parts).await;
        let sent = match result.sent {
            Ok(sent) => sent,
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => 0,
            Err(_) => return Err(Gone),
        };
        self.count(len);
        if sent < len {
            let mut left = sent;
            let rest = result.payloads.map(|mut payload| {
                let taken = left.min(payload.len());
                payload.advance(taken);
                left -= taken;
                payload.into_owned()
            });
            self.sending = Some((self.ring.send_parts(&self.socket, rest), len - sent));
        }
        Ok(())
    }

    /// Gives the client the whole time again to take some of what is sent.
    pub fn wait_again(&mut self) {
        self.deadline.get_or_insert_with(|| self.ring.deadline()).set(self.timeout);
    }

    /// The deadline that `wait_again` has set.
    pub fn deadline(&self) -> &Deadline {
        self.deadline.as_ref().expect("set before it is waited for")
    }
}
