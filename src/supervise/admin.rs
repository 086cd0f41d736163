//! The admin listener: health, readiness and metrics, on connections of their own.
//!
//! Owns those connections, few and short. Runs on the supervisor's executor, so that it answers however busy or stuck shards and workers are; a
//! shard that does not answer in time is missing from the metrics, and they say so. It decides nothing and changes nothing.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use super::acme::Counts;
use super::certificates::Certificates;
use super::doors::{Door, Doors};
use crate::base::bounds::{ADMIN_BUFFERS, ADMIN_CONNECTIONS_MAX, ADMIN_TIMEOUT_MS, RECV_BUFFER_BYTES, SCRAPE_MS_MAX};
use crate::base::clock;
use crate::base::mail::{Sender, mailbox};
use crate::http::head::{self, Head, Parse};
use crate::http::response::{BodyLength, HeadWriter, has_body, write_reject};
use crate::http::{BodyFraming, Method, date};
use crate::mail::ShardMail;
use crate::observe::{ProcessFacts, Readiness, Snapshot, State, WorkerFacts, certificates, page};
use crate::ring::{BufferGroup, Descriptor, Payload, Ring, within};
use crate::sys::limits;

/// The content type of the text format, version 0.0.4.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
const TEXT_TYPE: &str = "text/plain; charset=utf-8";
/// What may be done with the pages.
const ALLOW: &[u8] = b"GET, HEAD";
/// What the pages are made from.
pub(super) struct Admin {
    ring: Ring,
    shards: Vec<Sender<ShardMail>>,
    receive: Rc<BufferGroup>,
    readiness: Arc<Readiness>,
    ask: Box<dyn Fn(Rc<Question>)>,
    started: u64,
    certificates: Option<Rc<Certificates>>,
    attempts: Arc<Counts>,
}

/// A question to the supervisor's loop, which alone knows the workers.
#[derive(Default)]
pub(super) struct Question {
    answer: Cell<Option<WorkerFacts>>,
    waker: RefCell<Option<Waker>>,
}

impl Question {
    /// Answers it.
    pub fn answer(&self, facts: WorkerFacts) {
        self.answer.set(Some(facts));
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Waits for it.
    pub(super) async fn answered(&self) -> WorkerFacts {
        poll_fn(|cx| match self.answer.get() {
            Some(facts) => Poll::Ready(facts),
            None => {
                *self.waker.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            }
        })
        .await
    }
}

impl Admin {
    /// Nothing listens yet. `ask` passes a question on to the supervisor's loop.
    ///
    /// # Errors
    /// No memory for its buffers.
    pub fn new(
        ring: &Ring,
        shards: Vec<Sender<ShardMail>>,
        readiness: Arc<Readiness>,
        ask: Box<dyn Fn(Rc<Question>)>,
        (certificates, attempts): (Option<Rc<Certificates>>, Arc<Counts>),
    ) -> std::io::Result<Rc<Admin>> {
        Ok(Rc::new(Admin {
            ring: ring.clone(),
            shards,
            receive: ring.buffer_group(RECV_BUFFER_BYTES, ADMIN_BUFFERS)?,
            readiness,
            ask,
            started: clock::wall_seconds(),
            certificates,
            attempts,
        }))
    }

    /// Serves `listeners` for as long as `doors` are there.
    pub fn listen(self: &Rc<Admin>, listeners: Vec<OwnedFd>, doors: &mut Doors) {
        let connections: Rc<Cell<usize>> = Rc::default();
        for listener in listeners {
            let name = "connections of the admin listener";
            let (connections, connections_max) = (connections.clone(), ADMIN_CONNECTIONS_MAX);
            let admin = self.clone();
            doors.open(&self.ring, Door { listener, connections, connections_max, name }, move |socket| {
                let admin = admin.clone();
                async move { admin.serve(&Rc::new(socket)).await }
            });
        }
    }

    /// One connection: requests without bodies, one after the other.
    async fn serve(&self, socket: &Descriptor) {
        let mut recv = self.ring.recv(socket, &self.receive);
        let deadline = self.ring.deadline();
        deadline.set(Duration::from_millis(ADMIN_TIMEOUT_MS));
        let mut input = Vec::new();
        loop {
            let (response, consumed, goes_on) = match head::parse(&input) {
                Ok(Parse::Complete { head, len }) => {
                    let goes_on = head.keep_alive && head.framing == BodyFraming::None;
                    (self.answer(&head, goes_on).await, len, goes_on)
                }
                Ok(Parse::Partial) => match within(&deadline, recv.next()).await {
                    Ok(Ok(Some(chunk))) => {
                        input.extend_from_slice(&chunk);
                        continue;
                    }
                    _ => return,
                },
                Err(reject) => {
                    let mut out = Vec::new();
                    // As far as the method can be told: the answer to HEAD has no body.
                    let is_head = input.starts_with(b"HEAD ");
                    write_reject(&mut out, reject, &date::format(clock::wall_seconds()), is_head);
                    (out, input.len(), false)
                }
            };
            input.drain(..consumed);
            let len = response.len();
            let mut send = self.ring.send(socket, Payload::from(response));
            deadline.set(Duration::from_millis(ADMIN_TIMEOUT_MS));
            let sent = within(&deadline, &mut send).await;
            if !goes_on || !sent.is_ok_and(|result| result.sent.is_ok_and(|sent| sent == len)) {
                let _ = rustix::net::shutdown(socket, rustix::net::Shutdown::Write);
                return;
            }
            deadline.set(Duration::from_millis(ADMIN_TIMEOUT_MS));
        }
    }

    async fn answer(&self, head: &Head<'_>, goes_on: bool) -> Vec<u8> {
        let path = head.target.path_query().map_or("", |target| target.path);
        let is_read = matches!(head.method, Method::Get | Method::Head);
        let (status, kind, text) = match (path, is_read) {
            ("/healthz" | "/readyz" | "/metrics", false) => (405, TEXT_TYPE, "only GET and HEAD\n".to_owned()),
            ("/healthz", true) => (200, TEXT_TYPE, "ok\n".to_owned()),
            ("/readyz", true) => {
                let state = self.readiness.state();
                (state.status(), TEXT_TYPE, format!("{}\n", state.text()))
            }
            ("/metrics", true) => (200, METRICS_TYPE, self.metrics().await),
            _ => (404, TEXT_TYPE, "there are /healthz, /readyz and /metrics\n".to_owned()),
        };
        let mut out = Vec::with_capacity(512 + text.len());
        let mut writer = HeadWriter::start(&mut out, status)
            .date(&date::format(clock::wall_seconds()))
            .server()
            .connection(head.version, goes_on)
            .field("Content-Type", kind.as_bytes())
            .field("Cache-Control", b"no-store");
        if status == 405 {
            writer = writer.field("Allow", ALLOW);
        }
        writer.body(BodyLength::Exact(text.len() as u64)).finish();
        if has_body(head.method, status) {
            out.extend_from_slice(text.as_bytes());
        }
        out
    }

    async fn metrics(&self) -> String {
        let question = Rc::new(Question::default());
        (self.ask)(question.clone());
        let snapshots = snapshots(&self.ring, &self.shards).await;
        let mut workers = question.answered().await;
        workers.is_ready = self.readiness.state() == State::Ready;
        let page = page(self.shards.len(), &snapshots, &workers, &process(self.started));
        let facts = self.certificates.as_ref().map(|found| found.facts(self.attempts.read()));
        page + &certificates(&facts.unwrap_or_default())
    }
}

/// Asks every shard, and waits for what comes in time.
pub(super) async fn snapshots(ring: &Ring, shards: &[Sender<ShardMail>]) -> Vec<Box<Snapshot>> {
    let Ok((to, from)) = mailbox::<Box<Snapshot>>(shards.len().max(1)) else { return Vec::new() };
    let asked = shards.iter().filter(|shard| shard.send(ShardMail::Snapshot { to: to.clone() }).is_ok());
    let asked = asked.count();
    let Ok(bell) = from.fd().try_clone_to_owned() else { return Vec::new() };
    let bell: Descriptor = Rc::new(bell);
    let deadline = ring.deadline();
    deadline.set(Duration::from_millis(SCRAPE_MS_MAX));
    let mut snapshots: Vec<Box<Snapshot>> = Vec::new();
    while snapshots.len() < asked {
        if within(&deadline, ring.poll(&bell, libc::POLLIN as u32)).await.is_err() {
            break;
        }
        snapshots.extend(from.drain());
    }
    snapshots.sort_by_key(|snapshot| snapshot.shard);
    snapshots
}

/// What /proc says of this process; what can't be read is 0.
fn process(started: u64) -> ProcessFacts {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.trim_start_matches(':').trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kib.unwrap_or(0) * 1024
    };
    let descriptors = std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count().saturating_sub(1));
    ProcessFacts {
        cpu: clock::process_cpu(),
        resident_bytes: bytes("VmRSS"),
        virtual_bytes: bytes("VmSize"),
        descriptors: descriptors as u64,
        descriptors_max: limits::descriptors().soft.unwrap_or(0),
        started,
    }
}
