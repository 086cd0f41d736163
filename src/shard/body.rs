//! The body of a request, piece by piece.
//!
//! Owns where in the body the connection is. Called by `application` (which spools it) and by `connection` (which skips it).

use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use super::receiving::Receiving;
use crate::base::bounds::BODY_SKIPPED_BYTES_MAX;
use crate::base::clock::Monotonic;
use crate::http::chunked::{Decoder, Event};
use crate::http::{BodyFraming, Reject};
use crate::ring::{Chunk, TimedOut, within};
use crate::sys::body_pipe::BodyPipe;
use crate::sys::region::Region;

/// So many times within the time that a client may pause it is looked at how much has come.
const LOOKS: u32 = 4;

/// Why a body could not be read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyError {
    /// The client broke the rules or was too slow: it is told and the connection ends.
    Refused(Reject),
    /// The connection ended in the middle.
    Gone,
}

impl From<Reject> for BodyError {
    fn from(reject: Reject) -> BodyError {
        BodyError::Refused(reject)
    }
}

/// A body that is being read.
pub(super) struct Body {
    left: Left,
    arrival: Arrival,
}

/// What is left of a body.
enum Left {
    Length(u64),
    Chunked { decoder: Decoder, bytes: u64 },
}

/// How a body has arrived so far.
struct Arrival {
    /// When it was first waited for.
    begun: Option<Monotonic>,
    /// What has come since.
    bytes: u64,
    /// What its socket's low-water mark is.
    low_water: i32,
}

impl Default for Arrival {
    fn default() -> Arrival {
        Arrival { begun: None, bytes: 0, low_water: 1 }
    }
}

impl Arrival {
    /// Waits for more, no longer than a client may pause and than its rate allows: whoever has sent so many bytes may have taken the time that these
    /// take at the least rate, and one pause more.
    async fn more(&mut self, from: &mut Receiving) -> Result<(), BodyError> {
        let patience = self.patience(from);
        self.bytes += from.more_body(patience).await? as u64;
        Ok(())
    }

    fn patience(&mut self, from: &Receiving) -> Duration {
        let now = Monotonic::now_coarse();
        let begun = *self.begun.get_or_insert(now);
        patience(from.body_timeout.into(), u64::from(from.min_body_rate), self.bytes, now.since(begun))
    }
}

impl Arrival {
    /// The same for bytes that go to `range` of `region`, as many as come before it is time to look.
    async fn fill(&mut self, from: &mut Receiving, region: &Rc<Region>, range: Range<usize>) -> Result<u64, BodyError> {
        let mut looks_in_vain = 0;
        loop {
            let mut receipt = from.recv.receive_into(region, range.clone());
            from.deadline.set(self.patience(from) / LOOKS);
            let (result, is_looked_at) = match within(&from.deadline, &mut receipt).await {
                Ok(result) => (result, false),
                Err(TimedOut) => {
                    receipt.cancel();
                    (receipt.await, true)
                }
            };
            from.deadline.clear();
            match result.map_err(|error| error.raw_os_error()) {
                Ok(0) => return Err(BodyError::Gone),
                Ok(count) => {
                    self.bytes += u64::from(count);
                    return Ok(u64::from(count));
                }
                Err(Some(libc::ECANCELED)) if is_looked_at => {
                    looks_in_vain += 1;
                    if looks_in_vain >= LOOKS {
                        return Err(BodyError::Refused(Reject::BodyTimeout));
                    }
                }
                // The kernel was woken very often for nothing.
                Err(Some(libc::EAGAIN | libc::EINTR)) => {}
                Err(_) => return Err(BodyError::Gone),
            }
        }
    }
}

impl Arrival {
    /// The same for bytes that go into `pipe` as they are, `count` at most: those that have come, else as many as the socket has room for, or those that
    /// have come by the time to look. `None`: they have to go elsewhere from here on.
    async fn pass(&mut self, from: &mut Receiving, pipe: &BodyPipe, count: usize) -> Result<Option<u64>, BodyError> {
        // Before anything is moved: that tells the client how much more it may send, for which a larger mark has made room. One that sends small pieces and was
        // not told so would stop at what it knows of, and wait for its timer.
        self.set_low_water(from, i32::try_from(count).unwrap_or(i32::MAX));
        let (mut is_woken, mut looks_in_vain) = (false, 0);
        loop {
            match from.recv.move_into(pipe, count) {
                // Woken for nothing it was by the end of the stream, which a receive tells.
                Some(0) if !is_woken => {}
                None | Some(0) => return Ok(None),
                Some(moved) => {
                    self.bytes += moved as u64;
                    return Ok(Some(moved as u64));
                }
            }
            let mut arrival = from.recv.arrival();
            from.deadline.set(self.patience(from) / LOOKS);
            let result = within(&from.deadline, &mut arrival).await;
            from.deadline.clear();
            match result {
                Ok(Ok(_)) => is_woken = true,
                Ok(Err(_)) => return Err(BodyError::Gone),
                Err(TimedOut) => {
                    looks_in_vain += 1;
                    if looks_in_vain >= LOOKS {
                        return Err(BodyError::Refused(Reject::BodyTimeout));
                    }
                }
            }
        }
    }

    fn set_low_water(&mut self, from: &Receiving, bytes: i32) {
        if std::mem::replace(&mut self.low_water, bytes) != bytes {
            from.recv.set_low_water(bytes);
        }
    }
}

/// How long to wait for a body of which so many `bytes` have come in the time `spent`. `rate`: bytes per second, 0 for none.
fn patience(pause: Duration, rate: u64, bytes: u64, spent: Duration) -> Duration {
    if rate == 0 {
        return pause;
    }
    let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate);
    let earned = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
    pause.saturating_add(earned).saturating_sub(spent).min(pause)
}

impl Body {
    pub fn new(framing: BodyFraming) -> Body {
        let left = match framing {
            BodyFraming::None => Left::Length(0),
            BodyFraming::Length(bytes) => Left::Length(bytes),
            BodyFraming::Chunked => Left::Chunked { decoder: Decoder::new(), bytes: 0 },
        };
        Body { left, arrival: Arrival::default() }
    }

    /// The next piece, never empty; `None` once the body is complete. `bytes_max` bounds a body whose length was not announced.
    pub async fn next(&mut self, from: &mut Receiving, bytes_max: u64) -> Result<Option<Chunk>, BodyError> {
        loop {
            match &mut self.left {
                Left::Length(0) => return Ok(None),
                Left::Length(left) => {
                    let Some(mut chunk) = from.input.take() else {
                        self.arrival.more(from).await?;
                        continue;
                    };
                    if chunk.len() as u64 > *left {
                        let rest = chunk[*left as usize..].to_vec();
                        chunk.truncate(*left as usize);
                        from.input.push(Chunk::from(rest));
                    }
                    *left -= chunk.len() as u64;
                    return Ok(Some(chunk));
                }
                Left::Chunked { decoder, bytes } => {
                    if decoder.is_done() {
                        return Ok(None);
                    }
                    if from.input.is_empty() {
                        self.arrival.more(from).await?;
                        continue;
                    }
                    let step = decoder.decode(from.input.bytes())?;
                    let piece = match step.event {
                        Event::Data(range) => {
                            *bytes += range.len() as u64;
                            if *bytes > bytes_max {
                                return Err(Reject::BodyTooLarge.into());
                            }
                            Some(Chunk::from(from.input.bytes()[range].to_vec()))
                        }
                        Event::NeedMore | Event::End => None,
                    };
                    from.input.consume(step.consumed);
                    if piece.is_some() {
                        return Ok(piece);
                    }
                }
            }
        }
    }

    /// Bytes that are left of a body whose length was announced.
    pub fn left(&self) -> Option<u64> {
        match self.left {
            Left::Length(left) => Some(left),
            Left::Chunked { .. } => None,
        }
    }

    /// Has the kernel put the next bytes into `range` of `region`. Returns how many have come, which may be fewer. The connection's own receive must be
    /// stopped, and a body of an announced length must have so much left.
    pub async fn fill(
        &mut self,
        from: &mut Receiving,
        region: &Rc<Region>,
        range: Range<usize>,
    ) -> Result<u64, BodyError> {
        let Left::Length(left) = &mut self.left else { unreachable!("the caller knows the length") };
        debug_assert!(
            from.input.is_empty() && *left >= range.len() as u64,
            "nothing is overtaken, nothing is taken that is not the body's"
        );
        let count = self.arrival.fill(from, region, range).await?;
        *left -= count;
        Ok(count)
    }

    /// The same for bytes that go into `pipe` as they are, at most all that are left. `None`: they have to go elsewhere from here on.
    pub async fn pass(&mut self, from: &mut Receiving, pipe: &BodyPipe) -> Result<Option<u64>, BodyError> {
        let Left::Length(left) = &mut self.left else { unreachable!("the caller knows the length") };
        debug_assert!(from.input.is_empty(), "nothing is overtaken");
        let moved = self.arrival.pass(from, pipe, usize::try_from(*left).unwrap_or(usize::MAX)).await;
        *left -= moved.ok().flatten().unwrap_or(0);
        // Also for whoever waits for the end of a connection that is refused.
        if !matches!(moved, Ok(Some(_))) || *left == 0 {
            self.arrival.set_low_water(from, 1);
        }
        moved
    }

    /// Reads what is left and throws it away, if it is little. `false`: it is too much, the connection has to end.
    pub async fn skip(mut self, from: &mut Receiving) -> Result<bool, BodyError> {
        if matches!(self.left, Left::Length(left) if left > BODY_SKIPPED_BYTES_MAX) {
            return Ok(false);
        }
        match async {
            while self.next(from, BODY_SKIPPED_BYTES_MAX).await?.is_some() {}
            Ok(())
        }
        .await
        {
            Ok(()) => Ok(true),
            Err(BodyError::Refused(Reject::BodyTooLarge)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_is_a_pause_and_ends_for_those_that_are_too_slow() {
        let seconds = Duration::from_secs;
        for (rate, bytes, spent, expected) in [
            (100, 0, 0, 30),
            (100, 0, 29, 1),
            (100, 0, 30, 0),
            (100, 1_000, 30, 10),
            (100, 1_000, 10, 30),
            (100, 1_000, 41, 0),
            (100, u64::MAX, 86_400, 30),
            (0, 0, 86_400, 30),
        ] {
            assert_eq!(patience(seconds(30), rate, bytes, seconds(spent)), seconds(expected), "{rate} {bytes} {spent}");
        }
    }
}
