//! The body of a request, piece by piece.
//!
//! Owns where in the body the connection is. Called by `application` (which spools it) and by `connection` (which skips it).

use super::connection::Receiving;
use crate::base::bounds::BODY_SKIPPED_BYTES_MAX;
use crate::http::chunked::{Decoder, Event};
use crate::http::{BodyFraming, Reject};
use crate::ring::Chunk;

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

/// What is left of a body.
pub(super) enum Body {
    Length(u64),
    Chunked { decoder: Decoder, bytes: u64 },
}

impl Body {
    pub fn new(framing: BodyFraming) -> Body {
        match framing {
            BodyFraming::None => Body::Length(0),
            BodyFraming::Length(bytes) => Body::Length(bytes),
            BodyFraming::Chunked => Body::Chunked { decoder: Decoder::new(), bytes: 0 },
        }
    }

    /// The next piece, never empty; `None` once the body is complete. `bytes_max` bounds a body whose length was not announced.
    pub async fn next(&mut self, from: &mut Receiving, bytes_max: u64) -> Result<Option<Chunk>, BodyError> {
        loop {
            match self {
                Body::Length(0) => return Ok(None),
                Body::Length(left) => {
                    let Some(mut chunk) = from.input.take() else {
                        from.more_body().await?;
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
                Body::Chunked { decoder, bytes } => {
                    if decoder.is_done() {
                        return Ok(None);
                    }
                    if from.input.is_empty() {
                        from.more_body().await?;
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

    /// Reads what is left and throws it away, if it is little. `false`: it is too much, the connection has to end.
    pub async fn skip(mut self, from: &mut Receiving) -> Result<bool, BodyError> {
        if matches!(self, Body::Length(left) if left > BODY_SKIPPED_BYTES_MAX) {
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
