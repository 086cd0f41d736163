//! A shard's life: set up, serve, drain, end.

use std::future::poll_fn;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;
use std::{io, thread};

use glommio::{LocalExecutorBuilder, Placement};

use super::accept::ShardListener;
use super::buffered::Buffering;
use super::log::LogCounts;
use super::orders::Orders;
use super::state::{Parts, Phase, Shard, Timeouts};
use crate::base::bounds::{LAST_REQUEST_MS_MAX, MESSAGE_BYTES_MAX, RECV_BUFFER_BYTES, RECV_BUFFERS, REPLY_BUFFERS};
use crate::base::clock::Monotonic;
use crate::base::mail::{Receiver, Sender};
use crate::config::ServerConfig;
use crate::limits::Counts;
use crate::mail::{ShardMail, ShardNews};
use crate::observe::{Readiness, ShardMetrics};
use crate::ring::{PREEMPT_TIMER, Ring, RingConfig};
use crate::static_files::{CacheBounds, Now, StaticFiles};
use crate::sys::privileges::thread_becomes;
use crate::sys::users::User;
use crate::wsgi::pool::Pool;
use crate::wsgi::spool::SpoolFolder;

/// How often a draining shard looks whether it is done.
const DRAIN_LOOK: Duration = Duration::from_millis(100);
/// Where the kernel tells of its CPUs (sysfs(5)).
const CPUS: &str = "/sys/devices/system/cpu/online";
/// How often idle descriptors are looked for.
const TRIM_PAUSE: Duration = Duration::from_secs(15);

/// What a shard is made from.
pub struct ShardSetup {
    /// Its number, from 0.
    pub number: u32,
    /// The CPU to which its thread is pinned; `None` leaves it to the scheduler.
    pub cpu: Option<usize>,
    /// Whom its thread becomes, with all that it starts; `None`: it stays who it is.
    pub user: Option<Arc<User>>,
    /// Its own listeners.
    pub listeners: Vec<ShardListener>,
    /// Where redirects to HTTPS lead.
    pub https_port: u16,
    /// Its end of the socket on which workers answer.
    pub replies: OwnedFd,
    /// From the supervisor.
    pub mail: Receiver<ShardMail>,
    /// To the supervisor.
    pub news: Sender<ShardNews>,
    /// Bounds and timeouts.
    pub server: Arc<ServerConfig>,
    /// What all shards count the connections of each address in, if those are bounded.
    pub per_address: Option<Arc<Counts>>,
    /// Whether requests are served, as the supervisor says.
    pub readiness: Arc<Readiness>,
    /// Requests that may wait for a worker.
    pub queue_max: usize,
    /// Whether those with safe methods are run once more when their worker has died.
    pub retry_safe: bool,
    /// How long they may wait; `None`: for ever.
    pub queue_timeout: Option<Duration>,
    /// … while more come than can be served; `None`: as long as ever.
    pub overload_timeout: Option<Duration>,
    /// Where large request bodies, and responses of slow clients, are spooled.
    pub spool: PathBuf,
    /// Bytes of one response that are kept in memory for a slow client.
    pub response_buffer_bytes: usize,
    /// … and in a file.
    pub response_spool_bytes_max: u64,
}

/// Starts the shard's thread.
///
/// # Errors
/// The thread or its executor could not be started.
pub fn spawn(setup: ShardSetup) -> io::Result<JoinHandle<()>> {
    let name = format!("shard-{}", setup.number);
    thread::Builder::new().name(name).spawn(move || {
        let (number, news) = (setup.number, setup.news.clone());
        let placement = setup.cpu.filter(|_| can_be_placed(number)).map_or(Placement::Unbound, Placement::Fixed);
        watched(number, &news, move || {
            if let Some(user) = &setup.user {
                thread_becomes(user)
                    .map_err(|error| io::Error::other(format!("it cannot become {}: {error}", user.name)))?;
            }
            // Open until the program ends: workers that still answer this shard must not take the server for gone.
            std::mem::forget(setup.replies.try_clone()?);
            LocalExecutorBuilder::new(placement)
                .preempt_timer(PREEMPT_TIMER)
                .io_memory(64 * 1024)
                .make()
                .map_err(|error| io::Error::other(error.to_string()))?
                .run(run(setup))
        });
    })
}

/// Whether glommio can find the CPUs, to place a thread on one: it looks in sysfs, which a bare chroot does not have.
fn can_be_placed(shard: u32) -> bool {
    let is_there = std::path::Path::new(CPUS).exists();
    if !is_there {
        tracing::warn!(shard, "{CPUS} is missing, so the shard is not pinned to a CPU; mount sysfs on /sys");
    }
    is_there
}

/// Runs a shard's life and tells the supervisor how it ended, also when a task of it panics that is no connection's.
fn watched(shard: u32, news: &Sender<ShardNews>, life: impl FnOnce() -> io::Result<()>) {
    let failure = match catch_unwind(AssertUnwindSafe(life)) {
        Ok(result) => result.err().map(|error| error.to_string()),
        Err(panic) => Some(format!("it panicked: {}", super::panic::message(&*panic))),
    };
    let last = match failure {
        None => ShardNews::Stopped { shard },
        Some(error) => {
            tracing::error!(shard, error, "the shard cannot run");
            ShardNews::Failed { shard }
        }
    };
    // A supervisor that is gone needs no news.
    let _ = news.send(last);
}

async fn run(setup: ShardSetup) -> io::Result<()> {
    let (ring, driver) = Ring::new(RingConfig::default())?;
    let driver = glommio::spawn_local(driver.run());
    let result = serve(&ring, setup).await;
    ring.close();
    driver.await;
    result
}

async fn serve(ring: &Ring, setup: ShardSetup) -> io::Result<()> {
    let receive = ring.buffer_group(RECV_BUFFER_BYTES, RECV_BUFFERS)?;
    // Room for a message and for what the kernel puts before it.
    let replies = ring.buffer_group(MESSAGE_BYTES_MAX + 4096, REPLY_BUFFERS)?;
    let spool = rustix::fs::open(
        &setup.spool,
        rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )
    .map_err(|error| io::Error::other(format!("spool_dir {}: {error}", setup.spool.display())))?;
    let spool = Rc::new(SpoolFolder::new(ring, spool));
    let buffering = Buffering::new(ring, &spool, setup.response_buffer_bytes, setup.response_spool_bytes_max);
    let server = &setup.server;
    let pool = Pool::new(ring.clone(), setup.number);
    pool.set_queue_limits(setup.queue_max, setup.queue_timeout, setup.overload_timeout);
    pool.set_retry_safe(setup.retry_safe);
    let shard = Rc::new(Shard::new(Parts {
        number: setup.number,
        ring: ring.clone(),
        receive,
        timeouts: Timeouts::of(server, setup.queue_timeout),
        connections_max: server.max_connections,
        per_address: setup.per_address.zip(server.max_connections_per_address),
        min_body_rate: server.min_body_rate,
        head_limits: server.head_limits,
        pool,
        statics: StaticFiles::new(ring.clone(), CacheBounds::default()),
        spool,
        buffering: Rc::new(buffering),
        seed: seed(),
        secret: seed(),
        request_ids: server.request_ids,
        request_id_echo: server.request_id_echo,
        handshakes_max: server.max_handshakes,
        https_port: setup.https_port,
        shards: server.shards as u64,
        readiness: setup.readiness,
    }));
    let log_task = glommio::spawn_local({
        let shard = shard.clone();
        async move { shard.log.run().await }
    });
    let replies_task = glommio::spawn_local({
        let shard = shard.clone();
        let socket = Rc::new(setup.replies);
        async move {
            // The supervisor holds the other end too: an end is an empty message of a stranger, or the kernel had no memory.
            loop {
                let mut messages = shard.ring.recv_messages(&socket, &replies);
                let ended = loop {
                    let next = poll_fn(|cx: &mut Context<'_>| {
                        if !shard.pool.poll_rings(cx) {
                            return Poll::Pending;
                        }
                        messages.poll_next(cx)
                    });
                    match next.await {
                        Ok(Some(message)) => shard.pool.receive(message),
                        Ok(None) => break None,
                        Err(error) => break Some(error),
                    }
                };
                if ended.as_ref().is_some_and(|error| error.raw_os_error() == Some(libc::ECANCELED)) {
                    return;
                }
                // An end without an error is the supervisor's own: the server stops, or has not got up.
                if let Some(error) = ended.filter(|_| !shard.draining.get()) {
                    tracing::error!(shard = shard.number, %error, "the replies of workers were interrupted");
                }
                shard.ring.sleep(DRAIN_LOOK).await;
            }
        }
    });
    let trim_task = glommio::spawn_local(trim(shard.clone()));
    let mut orders = Orders::new(&shard, setup.listeners, setup.mail, setup.news)?;
    let limit = orders.until_drain().await?;
    drain(&shard, &mut orders, limit).await;
    shard.log.close().await;
    drop((replies_task, trim_task, log_task));
    report(shard.number, &shard.metrics.borrow(), shard.log.counts());
    Ok(())
}

/// Finishes what is in hand, then cuts off what takes longer than `limit`, or longer than a later letter allows.
async fn drain(shard: &Rc<Shard>, orders: &mut Orders, limit: Duration) {
    shard.draining.set(true);
    shard.end_idle(usize::MAX);
    // Their requests are on their way, unless they are connections that browsers keep in stock.
    let first_requests = shard.ring.deadline();
    first_requests.set(Duration::from_millis(LAST_REQUEST_MS_MAX).min(limit));
    let deadline = shard.ring.deadline();
    deadline.set(limit);
    while !shard.connections.borrow().is_empty() && !deadline.has_passed() {
        orders.wait(DRAIN_LOOK).await;
        if let Some(limit) = orders.carry_out() {
            deadline.set(limit);
        }
        if first_requests.has_passed() {
            shard.end_in(Phase::New, usize::MAX);
        }
    }
    let left = shard.connections.borrow().len();
    if left > 0 {
        tracing::warn!(shard = shard.number, connections = left, "cut off what did not finish in time");
    }
    shard.pool.close();
}

/// Closes the descriptors of large files that nobody asks for any more, and gives back memory that was for bodies of requests.
async fn trim(shard: Rc<Shard>) {
    loop {
        shard.ring.sleep(TRIM_PAUSE).await;
        let (wall_seconds, date) = shard.date();
        shard.pool.trim();
        shard.spool.trim();
        shard.statics.trim(&Now { monotonic: Monotonic::now(), wall_seconds, date: &date });
    }
}

/// Random bytes; where the kernel has none yet, which it has since long before anything is served, the time has to do.
fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    if rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::NONBLOCK).is_err() {
        seed[..8].copy_from_slice(&Monotonic::now().as_nanos().to_le_bytes());
        seed[8..12].copy_from_slice(&std::process::id().to_le_bytes());
    }
    seed
}

fn report(shard: u32, metrics: &ShardMetrics, log: LogCounts) {
    let latency = metrics.latency();
    tracing::info!(
        shard,
        connections = metrics.connections,
        requests = metrics.requests,
        refused = metrics.refused_in_all(),
        panics = metrics.panics,
        log_lines = log.lines,
        log_dropped = log.dropped,
        p50_us = latency.quantile_us(0.5),
        p99_us = latency.quantile_us(0.99),
        "shard stopped"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::mail::mailbox;

    #[test]
    fn a_panic_of_any_task_is_told_to_the_supervisor() {
        let (news, told) = mailbox(8).expect("a mailbox");
        let life = || {
            let executor = LocalExecutorBuilder::new(Placement::Unbound).preempt_timer(PREEMPT_TIMER).make();
            executor.expect("an executor").run(async {
                let (ring, driver) = Ring::new(RingConfig { entries: 64, completions: 256 })?;
                let driver = glommio::spawn_local(driver.run());
                glommio::spawn_local(async { panic!("in a task of the shard's own") }).detach();
                ring.sleep(Duration::from_secs(60)).await;
                ring.close();
                driver.await;
                Ok(())
            })
        };
        let thread = std::thread::spawn(move || {
            watched(3, &news, life);
            watched(4, &news, || Ok(()));
            watched(5, &news, || Err(io::ErrorKind::OutOfMemory.into()));
        });
        thread.join().expect("the thread goes on");
        let told: Vec<_> = told.drain().collect();
        let expected =
            [ShardNews::Failed { shard: 3 }, ShardNews::Stopped { shard: 4 }, ShardNews::Failed { shard: 5 }];
        assert_eq!(told, expected);
    }
}
