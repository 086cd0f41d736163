//! `/logtail/NAME` and `/mainlogtail`: logs as they are written, for as long as the client listens.
//!
//! Owns the framing of an answer without an end. What a stream brings comes from its tap, so that nothing is lost while its file is rotated.

use std::future::{Future, poll_fn};
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::connection::{Asked, Gone, Peer};
use super::files::Log;
use super::processes::Named;
use crate::base::bounds::{CONTROL_IDLE_SECONDS, TAIL_BYTES};
use crate::base::clock;
use crate::http::chunked::{CHUNK_END, LAST_CHUNK, chunk_header};
use crate::http::response::{BodyLength, HeadWriter, has_body};
use crate::http::{Version, date, target};
use crate::supervise::programs::{Follower, Stream};

/// How often the main log is looked at.
const PAUSE: Duration = Duration::from_millis(100);
/// What poll(2) says when the other side has gone.
const GONE: u32 = (libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR) as u32;

/// Where a stream's past is, and who hears what follows.
pub(in crate::supervise) struct Heard {
    pub path: Option<PathBuf>,
    pub recent: Vec<u8>,
    pub follower: Rc<Follower>,
}

impl Peer<'_> {
    /// `/logtail/NAME`, or `/logtail/NAME/stderr`. False: there is no such log, and nothing was answered.
    pub(super) async fn log_tail(&mut self, asked: &Asked, rest: &str) -> Result<bool, Gone> {
        let Some((name, stream)) = read_name(rest) else { return Ok(false) };
        let work = move |supervisor: &mut crate::supervise::run::Supervisor| match supervisor.find(&name) {
            Ok(Named::One(view)) => supervisor.hear(view.unit, stream),
            _ => None,
        };
        let Some(heard) = self.rpc.desk.ask(work).await else { return Ok(false) };
        // Between these two lines nothing can be written: what the file does not have yet, the follower will hear.
        let log = heard.path.as_deref().map(Log::open);
        let past = match log {
            Some(None) => return Ok(false),
            Some(Some(log)) => {
                let start = log.size.saturating_sub(TAIL_BYTES);
                log.read(&self.rpc.ring, start, TAIL_BYTES).await.unwrap_or_default()
            }
            None => heard.recent[heard.recent.len().saturating_sub(TAIL_BYTES as usize)..].to_vec(),
        };
        self.begin(asked).await?;
        if has_body(asked.method, 200) {
            self.chunk(asked, past).await?;
            while let Some(bytes) = self.unless_gone(pin!(heard.follower.next())).await? {
                self.chunk(asked, bytes).await?;
            }
            self.end(asked).await?;
        }
        Ok(true)
    }

    /// `/mainlogtail`.
    pub(super) async fn main_tail(&mut self, asked: &Asked) -> Result<(), Gone> {
        let main_log = self.rpc.main_log.clone();
        let (recent, mut seen) = main_log.since(0);
        self.begin(asked).await?;
        if !has_body(asked.method, 200) {
            return Ok(());
        }
        self.chunk(asked, recent[recent.len().saturating_sub(TAIL_BYTES as usize)..].to_vec()).await?;
        loop {
            let ring = self.rpc.ring.clone();
            self.unless_gone(pin!(ring.sleep(PAUSE))).await?;
            let (bytes, total) = main_log.since(seen);
            seen = total;
            self.chunk(asked, bytes).await?;
        }
    }

    async fn begin(&mut self, asked: &Asked) -> Result<(), Gone> {
        let mut out = Vec::with_capacity(256);
        HeadWriter::start(&mut out, 200)
            .date(&date::format(clock::wall_seconds()))
            .server()
            .connection(asked.version, asked.keep_alive && asked.version == Version::Http11)
            .field("Content-Type", b"text/plain;charset=utf-8")
            .field("X-Accel-Buffering", b"no")
            .body(BodyLength::choose(asked.version, 200, None))
            .finish();
        self.send(out).await
    }

    async fn chunk(&mut self, asked: &Asked, bytes: Vec<u8>) -> Result<(), Gone> {
        if bytes.is_empty() {
            return Ok(());
        }
        // Somebody may have stopped his terminal to read.
        let patience = Duration::from_secs(CONTROL_IDLE_SECONDS);
        if asked.version == Version::Http10 {
            return self.send_within(bytes, patience).await;
        }
        let mut out = chunk_header(bytes.len()).as_bytes().to_vec();
        out.extend_from_slice(&bytes);
        out.extend_from_slice(CHUNK_END);
        self.send_within(out, patience).await
    }

    async fn end(&mut self, asked: &Asked) -> Result<(), Gone> {
        if asked.version == Version::Http10 {
            return Err(Gone);
        }
        self.send(LAST_CHUNK.to_vec()).await
    }

    /// What `future` brings, unless the client goes before.
    async fn unless_gone<F: Future>(&self, mut future: Pin<&mut F>) -> Result<F::Output, Gone> {
        let mut gone = self.rpc.ring.poll(&self.socket, GONE);
        poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            Pin::new(&mut gone).poll(cx).map(|_| Err(Gone))
        })
        .await
    }
}

/// The process and the stream that stand behind `/logtail/`.
fn read_name(rest: &str) -> Option<(String, Stream)> {
    let decoded = String::from_utf8(target::decode_path(rest).ok()?.into_owned()).ok()?;
    let (name, channel) = decoded.split_once('/').unwrap_or((&decoded, "stdout"));
    let stream = match channel {
        "stdout" => Stream::Out,
        "stderr" => Stream::Err,
        _ => return None,
    };
    Some((name.to_owned(), stream))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_named_behind_processes() {
        let read = |rest| read_name(rest).map(|(name, stream)| (name, stream == Stream::Out));
        assert_eq!(read("celery"), Some(("celery".to_owned(), true)));
        assert_eq!(read("all%3Aa/stderr"), Some(("all:a".to_owned(), false)));
        assert_eq!(read("all:a/stdout"), Some(("all:a".to_owned(), true)));
        assert_eq!((read("a/b"), read("a/%zz"), read("%ff")), (None, None, None));
    }
}
