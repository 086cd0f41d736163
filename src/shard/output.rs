//! The sending half of a connection: one send in flight, its buffers owned by the ring.
//!
//! Owns the order of what is sent, and the judgement whether the client still takes any of it. A small response is handed to the
//! kernel and not waited for; the next send waits for it. With TLS it
//! hands over records instead. Never looks at what it sends. Called by `connection` and `answer`.

use std::rc::Rc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::SendFlags;

use super::pace::Pace;
use super::tls::Secure;
use crate::base::bounds::TLS_SEALED_BYTES_MAX;
use crate::base::clock::Millis;
use crate::ring::{Deadline, Descriptor, Payload, Ring, SendOp, within};
use crate::sys::outbox::Lent;

/// So many times within one timeout it is looked at how far a send has got, so that the timeout is one between two steps of it
/// and not one for the whole.
const LOOKS: u32 = 4;

/// The client is gone or too slow: nothing more can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone;

struct Sending {
    op: SendOp,
    len: usize,
    /// It was asked to end, so as to say how far it has got.
    is_looked_at: bool,
}

impl Sending {
    fn new(op: SendOp, len: usize) -> Sending {
        Sending { op, len, is_looked_at: false }
    }
}

pub(super) struct Output {
    ring: Ring,
    socket: Descriptor,
    /// How long the client may take none of what is sent.
    timeout: Millis,
    /// Made when the first send has to be waited for: an idle connection has none.
    deadline: Option<Deadline>,
    sending: Option<Sending>,
    /// Bytes handed to the kernel, before encryption; those of a send under way count until it turns out that it failed.
    sent: u64,
    /// The rate that the response in hand keeps to, if any.
    pace: Option<Box<Pace>>,
    /// With TLS, the session through which everything goes.
    secure: Option<Rc<Secure>>,
}

impl Output {
    pub fn new(ring: &Ring, socket: &Descriptor, timeout: Duration) -> Output {
        Output {
            ring: ring.clone(),
            socket: socket.clone(),
            timeout: timeout.into(),
            deadline: None,
            sending: None,
            sent: 0,
            pace: None,
            secure: None,
        }
    }

    pub fn socket(&self) -> &Descriptor {
        &self.socket
    }

    /// Encrypts what is sent from now on.
    pub fn secure(&mut self, session: Rc<Secure>) {
        self.secure = Some(session);
    }

    /// Whether what is sent is encrypted, so that a file can't be handed to the kernel as it is.
    pub fn is_secure(&self) -> bool {
        self.secure.is_some()
    }

    /// Hands over bytes that are records already; they carry `plain` bytes of responses.
    pub async fn send_sealed(&mut self, sealed: Vec<u8>, plain: usize) -> Result<(), Gone> {
        self.settle().await?;
        self.count(plain);
        let len = sealed.len();
        self.sending = Some(Sending::new(self.ring.send(&self.socket, Payload::from(sealed)), len));
        Ok(())
    }

    /// Says that nothing more comes, where TLS wants that said (RFC 8446 §6.1).
    pub async fn close(&mut self) -> Result<(), Gone> {
        if let Some(secure) = &self.secure {
            let last = secure.close();
            if !last.is_empty() {
                self.send_sealed(last, 0).await?;
            }
            self.settle().await?;
        }
        Ok(())
    }

    /// Bytes handed to the kernel so far.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// So many bytes have gone out by another way than `send`.
    pub fn count(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    /// Waits until all that was sent is with the kernel. May be dropped and called again.
    pub async fn settle(&mut self) -> Result<(), Gone> {
        self.release();
        if self.sending.is_none() {
            return Ok(());
        }
        // Boxed because it is rare: what this future may hold every idle connection holds.
        Box::pin(self.wait()).await
    }

    async fn wait(&mut self) -> Result<(), Gone> {
        let mut looks_in_vain = 0;
        while let Some(sending) = &mut self.sending {
            let result = if sending.op.is_done() {
                (&mut sending.op).await
            } else {
                let deadline = self.deadline.get_or_insert_with(|| self.ring.deadline());
                deadline.set(Duration::from(self.timeout) / LOOKS);
                let result = within(deadline, &mut sending.op).await;
                deadline.clear();
                match result {
                    Ok(result) => result,
                    Err(_) => {
                        sending.is_looked_at = true;
                        sending.op.cancel();
                        (&mut sending.op).await
                    }
                }
            };
            let Sending { len, is_looked_at, .. } = *sending;
            self.sending = None;
            let sent = match result.sent {
                Ok(sent) => sent,
                Err(error) if error.raw_os_error() == Some(libc::ECANCELED) && is_looked_at => 0,
                // A send that was retried very often (io_uring gives up waiting for room after 128 times).
                Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => 0,
                Err(_) => {
                    self.sent = self.sent.saturating_sub(len as u64);
                    return Err(Gone);
                }
            };
            if sent == len {
                return Ok(());
            }
            looks_in_vain = if sent > 0 { 0 } else { looks_in_vain + u32::from(is_looked_at) };
            if looks_in_vain == LOOKS {
                self.sent = self.sent.saturating_sub((len - sent) as u64);
                return Err(Gone);
            }
            self.resume(result.payloads, sent, len);
        }
        Ok(())
    }

    /// Gives back what the last send holds if it has ended well; what has not is left to the next one to find.
    pub fn release(&mut self) {
        if self.sending.as_ref().is_some_and(|sending| sending.op.has_sent(sending.len)) {
            self.sending = None;
        }
    }

    /// Sends no more than so many bytes a second from now on, after the first `after`; 0: as fast as the client takes them.
    pub fn set_rate(&mut self, bytes_per_second: u64, after: u64) {
        self.pace = (bytes_per_second > 0).then(|| Box::new(Pace::new(bytes_per_second, after, self.ring.now())));
    }

    /// Whether bytes go to the kernel as they are and as fast as it takes them.
    pub fn is_plain(&self) -> bool {
        self.pace.is_none() && self.secure.is_none()
    }

    /// Whether the rate of what is sent is bounded.
    pub fn is_paced(&self) -> bool {
        self.pace.is_some()
    }

    /// How many of `wanted` bytes may be sent now; waits for the first.
    pub async fn granted(&mut self, wanted: u64) -> u64 {
        loop {
            let Some(pace) = &mut self.pace else { return wanted };
            match pace.take(wanted, self.ring.now()) {
                Ok(bytes) => return bytes,
                Err(wait) => self.ring.sleep(wait).await,
            }
        }
    }

    /// So many of the granted bytes were not sent.
    pub fn give_back(&mut self, bytes: u64) {
        if let Some(pace) = &mut self.pace {
            pace.give_back(bytes);
        }
    }

    /// Sends `payload` in pieces, each when it may go.
    async fn send_paced(&mut self, mut payload: Payload) -> Result<(), Gone> {
        while !payload.is_empty() {
            let count = self.granted(payload.len() as u64).await as usize;
            let piece = Payload::from(payload[..count].to_vec());
            payload.advance(count);
            self.send_at_once(piece).await?;
        }
        Ok(())
    }

    /// Whether the next send has to wait for the client to take the one before it.
    pub fn has_to_wait(&self) -> bool {
        self.in_flight() > 0
    }

    /// Bytes that the kernel has not taken yet, or has not said so.
    pub fn in_flight(&self) -> usize {
        self.sending.as_ref().filter(|sending| !sending.op.is_done()).map_or(0, |sending| sending.len)
    }

    /// Hands `payload` over, after what was sent before it.
    pub async fn send(&mut self, payload: Payload) -> Result<(), Gone> {
        match self.pace {
            None => self.send_at_once(payload).await,
            Some(_) => Box::pin(self.send_paced(payload)).await,
        }
    }

    async fn send_at_once(&mut self, mut payload: Payload) -> Result<(), Gone> {
        if let Some(secure) = self.secure.clone() {
            loop {
                let count = payload.len().min(TLS_SEALED_BYTES_MAX);
                let sealed = secure.seal(&[&payload[..count]])?;
                payload.advance(count);
                self.send_sealed(sealed, count).await?;
                if payload.is_empty() {
                    return Ok(());
                }
            }
        }
        self.settle().await?;
        self.begin(payload);
        Ok(())
    }

    /// Hands `payload` over without waiting, if there is nothing to wait for; else gives it back.
    pub fn begin_now(&mut self, payload: Payload) -> Result<(), Payload> {
        self.release();
        if self.sending.is_some() || !self.is_plain() {
            return Err(payload);
        }
        self.begin(payload);
        Ok(())
    }

    /// Sends `payload` at once, to travel with the end of the connection in one packet: whoever calls this closes the socket next. What
    /// can't be sent so is given back.
    pub fn send_last(&mut self, mut payload: Payload) -> Result<(), Payload> {
        self.release();
        if self.sending.is_some() || !self.is_plain() {
            return Err(payload);
        }
        // What is wrong with the connection the next send finds, too.
        let taken = self.send_some(&payload).unwrap_or(0);
        payload.advance(taken);
        if payload.is_empty() { Ok(()) } else { Err(payload) }
    }

    /// Hands over what of `bytes` the kernel takes without waiting, and says that more will follow at once (send(2), `MSG_MORE`).
    fn send_some(&mut self, bytes: &[u8]) -> Result<usize, Gone> {
        let flags = SendFlags::MORE | SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        match rustix::net::send(&self.socket, bytes, flags) {
            Ok(taken) => {
                self.count(taken);
                Ok(taken)
            }
            Err(Errno::AGAIN | Errno::INTR | Errno::NOBUFS) => Ok(0),
            Err(_) => Err(Gone),
        }
    }

    /// Hands `payload` over; what was sent before it must be settled.
    fn begin(&mut self, payload: Payload) {
        debug_assert!(self.sending.is_none(), "one send at a time");
        let len = payload.len();
        self.count(len);
        self.sending = Some(Sending::new(self.ring.send(&self.socket, payload), len));
    }

    /// Hands `payload` over and says that more will follow at once, so that both travel together.
    pub async fn send_before(&mut self, mut payload: Payload) -> Result<(), Gone> {
        if !self.is_plain() {
            return self.send(payload).await;
        }
        self.settle().await?;
        let taken = self.send_some(&payload)?;
        payload.advance(taken);
        if !payload.is_empty() {
            self.send(payload).await?;
        }
        Ok(())
    }

    /// Hands `parts` over as one. What lies in a provided buffer does not stay there while a slow client is waited for.
    pub async fn send_parts(&mut self, mut parts: [Payload; 3]) -> Result<(), Gone> {
        if self.is_paced() {
            for part in parts {
                self.send(part).await?;
            }
            return Ok(());
        }
        if let Some(secure) = &self.secure {
            let plain = parts.iter().map(|part| part.len()).sum();
            let sealed = secure.seal(&[&parts[0], &parts[1], &parts[2]])?;
            drop(parts);
            return self.send_sealed(sealed, plain).await;
        }
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
            self.resume(result.payloads, sent, len);
        }
        Ok(())
    }

    /// Sends `head` and, out of its worker's memory, the body behind it: at once what the socket has room for, the rest copied. For an output that is
    /// [plain](Output::is_plain).
    pub async fn send_lent(&mut self, head: Vec<u8>, lent: Lent) -> Result<(), Gone> {
        self.release();
        if self.sending.is_some() {
            return self.send_parts([Payload::from(head), Payload::from(lent), Payload::EMPTY]).await;
        }
        debug_assert!(self.is_plain(), "nobody has to look at it");
        let sent = match lent.send_behind(&head, &*self.socket) {
            Ok(sent) => sent,
            Err(error) => match error.raw_os_error() {
                Some(libc::EAGAIN | libc::EINTR | libc::ENOBUFS) => 0,
                _ => return Err(Gone),
            },
        };
        let len = head.len() + lent.len();
        self.count(len);
        if sent < len {
            self.resume([Payload::from(head), Payload::from(lent), Payload::EMPTY], sent, len);
        }
        Ok(())
    }

    /// Sends what is left of `payloads` after the first `sent` of `len` bytes.
    fn resume(&mut self, payloads: [Payload; 3], sent: usize, len: usize) {
        let mut left = sent;
        let rest = payloads.map(|mut payload| {
            let taken = left.min(payload.len());
            payload.advance(taken);
            left -= taken;
            payload.into_owned()
        });
        self.sending = Some(Sending::new(self.ring.send_parts(&self.socket, rest), len - sent));
    }

    /// Gives the client the whole time again to take some of what is sent.
    pub fn wait_again(&mut self) {
        self.deadline.get_or_insert_with(|| self.ring.deadline()).set(self.timeout.into());
    }

    /// The deadline that `wait_again` has set.
    pub fn deadline(&self) -> &Deadline {
        self.deadline.as_ref().expect("set before it is waited for")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;
    use std::rc::Rc;

    use glommio::{LocalExecutorBuilder, Placement};

    use super::*;
    use crate::ring::{PREEMPT_TIMER, RingConfig};

    const TIMEOUT: Duration = Duration::from_millis(800);
    const BYTES: usize = 1024 * 1024;

    /// One large send to a client that does `read`; what became of it.
    fn sent_to(read: impl FnOnce(UnixStream) + Send + 'static) -> Result<(), Gone> {
        let (client, server) = UnixStream::pair().expect("a pair");
        let reader = std::thread::spawn(move || read(client));
        let body = move || async move {
            let (ring, driver) =
                Ring::new(RingConfig { entries: 64, completions: 256 }).expect("io_uring is permitted");
            let driver = glommio::spawn_local(driver.run());
            let mut output = Output::new(&ring, &Rc::new(server.into()), TIMEOUT);
            let result = match output.send(Payload::from(vec![7; BYTES])).await {
                Ok(()) => output.settle().await,
                Err(Gone) => Err(Gone),
            };
            drop(output);
            ring.close();
            driver.await;
            result
        };
        let executor = LocalExecutorBuilder::new(Placement::Unbound).preempt_timer(PREEMPT_TIMER).spawn(body);
        let result = executor.expect("an executor").join().expect("no panic on the executor");
        reader.join().expect("no panic in the client");
        result
    }

    #[test]
    fn the_timeout_is_one_between_two_steps_of_a_send() {
        let steady = |mut client: UnixStream| {
            let (mut some, mut total) = ([0; 16 * 1024], 0);
            while total < BYTES {
                total += client.read(&mut some).expect("the server goes on");
                // 64 times and more: several timeouts in all.
                std::thread::sleep(Duration::from_millis(40));
            }
            assert_eq!(total, BYTES);
        };
        assert_eq!(sent_to(steady), Ok(()));
    }

    #[test]
    fn a_client_that_takes_nothing_is_given_up() {
        let stuck = |mut client: UnixStream| {
            let mut all = Vec::new();
            client.read_exact(&mut [0; 1024]).expect("something comes");
            // Nothing more is read until the server has given up.
            let events = rustix::event::PollFlags::RDHUP;
            rustix::event::poll(&mut [rustix::event::PollFd::new(&client, events)], None).expect("the server closes");
            client.read_to_end(&mut all).expect("what was sent before");
            assert!(all.len() < BYTES);
        };
        assert_eq!(sent_to(stuck), Err(Gone));
    }
}
