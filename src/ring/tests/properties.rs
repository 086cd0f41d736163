//! What holds whatever the kernel does and whatever is dropped when: seeded runs over the simulated engine.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::os::fd::AsRawFd;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use crate::ring::core::{Core, Ring};
use crate::ring::simulated::{Faults, Random, Simulated, Tracker, World, tracked};
use crate::ring::{BufferGroup, Descriptor, OpenFlags, Payload};
use crate::sys::region::Region;

/// Runs of each property; `RING_SEED` runs one of them again.
const RUNS: u64 = 300;

struct PrintSeed(u64);

impl Drop for PrintSeed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with seed {0}; again with RING_SEED={0}", self.0);
        }
    }
}

fn seeds(mut body: impl FnMut(u64)) {
    let one = std::env::var("RING_SEED").ok().map(|seed| seed.parse().expect("a number"));
    let seeds = one.map_or(0..RUNS, |seed: u64| seed..seed + 1);
    for seed in seeds {
        let _print = PrintSeed(seed);
        body(seed);
    }
}

/// Misfortunes of every kind, of some likelihood that the seed decides.
fn faults(random: &mut Random) -> Faults {
    let mut dice = |most: usize| if random.chance(50) { random.below(most) } else { 0 };
    Faults {
        partial: dice(100),
        multishot_end: dice(60),
        enobufs: dice(30),
        emfile: dice(30),
        again: dice(50),
        reset: 0,
        late_cancel: dice(100),
        delay: dice(80),
        buffer_with_error: dice(100),
        refuse: dice(50),
    }
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Task<'a> {
    future: Option<Pin<Box<dyn Future<Output = ()> + 'a>>>,
    woken: Arc<Flag>,
}

/// A driver and an executor in one, which notices when all is asleep for good.
struct Executor<'a> {
    core: Rc<Core>,
    world: Rc<RefCell<World>>,
    tasks: Vec<Task<'a>>,
    parked: bool,
    driver: Arc<Flag>,
}

impl<'a> Executor<'a> {
    fn new(ring: &Ring, world: &Rc<RefCell<World>>) -> Self {
        let (core, world) = (ring.core.clone(), world.clone());
        Executor { core, world, tasks: Vec::new(), parked: false, driver: Arc::default() }
    }

    fn spawn(&mut self, future: impl Future<Output = ()> + 'a) {
        let woken = Arc::new(Flag(AtomicBool::new(true)));
        self.tasks.push(Task { future: Some(Box::pin(future)), woken });
    }

    /// One round. Returns whether anything happened.
    fn round(&mut self) -> bool {
        let mut busy = false;
        for task in &mut self.tasks {
            if let Some(future) = &mut task.future
                && task.woken.0.swap(false, Ordering::Relaxed)
            {
                busy = true;
                let waker = Waker::from(task.woken.clone());
                if future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                    task.future = None;
                }
            }
        }
        let kicked = self.driver.0.swap(false, Ordering::Relaxed);
        if self.parked && !kicked && !self.world.borrow().is_ready() {
            return busy;
        }
        self.core.disarm_wakeup();
        self.parked = false;
        if !self.core.turn() && !self.core.arm_wakeup() {
            self.parked = !self.core.poll_kicked(&Waker::from(self.driver.clone()));
        }
        true
    }

    /// Runs until nothing more can happen, feeding the world in between. Fails when a task waits for something that is there.
    fn run(&mut self, mut feed: impl FnMut(&mut World) -> bool, mut drops: impl FnMut() -> bool) {
        const ROUNDS_MAX: usize = 2_000_000;
        for _ in 0..ROUNDS_MAX {
            let fed = feed(&mut self.world.borrow_mut());
            if drops() && !self.tasks.is_empty() {
                let index = self.world.borrow_mut().random.below(self.tasks.len());
                self.tasks[index].future = None;
            }
            if !self.round() && !fed {
                break;
            }
        }
        let left = self.tasks.iter().filter(|task| task.future.is_some()).count();
        assert_eq!(left, 0, "tasks wait for ever");
    }

    /// Drops all tasks, which is enough to end their operations, or closes the ring, which is also enough; and drains it.
    fn finish(&mut self, ring: &Ring) {
        const ROUNDS_MAX: usize = 10_000;
        if self.world.borrow_mut().random.chance(50) {
            ring.close();
        }
        self.tasks.clear();
        for _ in 0..ROUNDS_MAX {
            if ring.in_flight() == 0 {
                break;
            }
            self.round();
        }
        assert_eq!(ring.in_flight(), 0, "the drain ends");
        assert_eq!(self.core.slots.borrow().len(), 0, "every slot is free");
    }
}

async fn pause(rounds: usize) {
    let mut left = rounds;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

struct Connection {
    socket: Descriptor,
    sent: Vec<u8>,
    echoes: bool,
    received: RefCell<Vec<u8>>,
    /// The task came to the end of the stream.
    complete: Cell<bool>,
}

/// Receives in one of the ways a connection may, and echoes all of it or just takes it.
async fn echo(ring: &Ring, group: &Rc<BufferGroup>, connection: &Connection, seed: u64) {
    let mut random = Random(seed);
    let mut stream = ring.recv(&connection.socket, group);
    let region = Rc::new(Region::new("maitred-test", 4096).expect("a memfd"));
    region.make_ready(4096).expect("memory");
    loop {
        match random.below(8) {
            0 => stream.set_aside(),
            1 => pause(random.below(50)).await,
            2 => {
                // A handler at work, which also wants to know when its client goes.
                let mut rounds = random.below(50);
                poll_fn(|cx| {
                    rounds = rounds.saturating_sub(1);
                    cx.waker().wake_by_ref();
                    if stream.poll_ended(cx).is_ready() || rounds == 0 { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
            }
            3 => {
                poll_fn(|cx| stream.poll_stopped(cx)).await;
                let mut all: Vec<u8> =
                    std::iter::from_fn(|| stream.arrived()).flat_map(|chunk| chunk.to_vec()).collect();
                let into = stream.receive_into(&region, 0..1 + random.below(4096));
                if random.chance(50) {
                    pause(random.below(20)).await;
                    into.cancel();
                }
                match into.await {
                    Ok(count) => all.extend(region.read(0..count as usize)),
                    Err(error) => {
                        assert!(matches!(error.raw_os_error(), Some(libc::ECONNRESET | libc::ECANCELED)), "{error}");
                    }
                }
                connection.received.borrow_mut().extend_from_slice(&all);
                if connection.echoes {
                    send(ring, &connection.socket, Payload::from(all), &mut random).await;
                }
            }
            _ => {}
        }
        match stream.next().await {
            Ok(Some(chunk)) => {
                connection.received.borrow_mut().extend_from_slice(&chunk);
                if random.chance(20) {
                    pause(random.below(20)).await;
                }
                if connection.echoes {
                    send(ring, &connection.socket, Payload::Received(chunk), &mut random).await;
                }
            }
            Ok(None) => {
                assert!(!stream.is_broken());
                connection.complete.set(true);
                return;
            }
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(libc::ECONNRESET));
                return;
            }
        }
    }
}

async fn send(ring: &Ring, socket: &Descriptor, payload: Payload, random: &mut Random) {
    let len = payload.len();
    if random.chance(50) {
        assert_sent(ring.send(socket, payload).await.sent, len);
    } else if random.chance(50) {
        let parts = [Payload::Static(b""), payload, Payload::EMPTY];
        assert_sent(ring.send_parts(socket, parts).await.sent, len);
    } else {
        let mut payload = payload;
        loop {
            let left = payload.len();
            let result = ring.try_send(socket, payload).await;
            let [rest, ..] = result.payloads;
            payload = rest;
            match result.sent {
                Ok(sent) if sent == left => return,
                Ok(sent) => payload.advance(sent),
                Err(error) if error.raw_os_error() == Some(libc::EPIPE) => return,
                Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EAGAIN)),
            }
            pause(1).await;
        }
    }
}

/// All of it, unless the connection broke.
fn assert_sent(sent: std::io::Result<usize>, len: usize) {
    match sent {
        Ok(sent) => assert!(sent <= len),
        Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EPIPE)),
    }
}

#[derive(Default)]
struct Seen {
    enobufs: usize,
    full: usize,
    overflown: usize,
    ended: usize,
    late: usize,
}

/// One run: connections that echo, over a small ring and a small group, with peers that send in pieces.
fn run_echoes(seed: u64, resets: bool, dropping: bool, seen: &mut Seen) {
    let mut random = Random(seed);
    let mut faults = faults(&mut random);
    faults.reset = if resets { random.below(5) } else { 0 };
    let world = World::new(seed, faults, 1 + random.below(16), 2 + random.below(32));
    let ring = Ring::with_engine(Box::new(Simulated(world.clone())));
    let group = ring.buffer_group(64 << random.below(5), 2 << random.below(4)).expect("a group");
    let (mut connections, mut trackers, mut unsent) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..1 + random.below(12) {
        let (fd, tracker) = tracked();
        let len = if random.chance(10) { random.below(300_000) } else { random.below(5_000) };
        let sent: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
        world.borrow_mut().sockets.insert(fd.as_raw_fd(), Default::default());
        unsent.push((fd.as_raw_fd(), sent.clone(), 0));
        let (received, complete) = (RefCell::default(), Cell::new(false));
        connections.push(Connection { socket: Rc::new(fd), sent, echoes: random.chance(70), received, complete });
        trackers.push(tracker);
    }
    {
        let mut executor = Executor::new(&ring, &world);
        for connection in &connections {
            executor.spawn(echo(&ring, &group, connection, random.next()));
        }
        let mut dice = Random(random.next());
        executor.run(
            |world| {
                for (fd, bytes, at) in &mut unsent {
                    let most = if bytes.len() > 10_000 { 40_000 } else { 2_000 };
                    let count = world.random.below(most).min(bytes.len() - *at);
                    let socket = world.sockets.get_mut(fd).expect("known");
                    if !socket.reset {
                        socket.incoming.extend(&bytes[*at..*at + count]);
                    }
                    *at += count;
                    socket.eof = *at == bytes.len();
                }
                unsent.retain(|(_, bytes, at)| *at < bytes.len());
                !unsent.is_empty()
            },
            || dropping && dice.chance(2),
        );
        executor.finish(&ring);
    }
    for connection in &connections {
        let received = connection.received.borrow();
        assert!(connection.sent.starts_with(&received), "what arrives is what was sent, in order");
        let broken = world.borrow().sockets[&connection.socket.as_raw_fd()].reset;
        if connection.complete.get() && !broken {
            assert_eq!(received.len(), connection.sent.len(), "nothing is lost");
            let echo = if connection.echoes { &received[..] } else { &[] };
            assert!(world.borrow().sockets[&connection.socket.as_raw_fd()].outgoing == echo, "the echo is the same");
        } else {
            assert!(dropping || broken, "a connection that nobody disturbs comes to its end");
        }
    }
    drop(connections);
    assert!(trackers.iter().all(Tracker::is_closed), "every socket is closed");
    let (free, entries) = world.borrow().free(0);
    assert_eq!((free, usize::from(group.free.get())), (entries, entries), "every buffer is back");
    let world = world.borrow();
    seen.enobufs += world.enobufs;
    seen.full += world.full;
    seen.overflown += world.overflown;
    seen.ended += world.ended;
    seen.late += world.late;
}

#[test]
fn bytes_arrive_in_order_and_complete() {
    let mut seen = Seen::default();
    seeds(|seed| run_echoes(seed, false, false, &mut seen));
    if std::env::var_os("RING_SEED").is_none() {
        assert!(
            seen.enobufs > 0 && seen.full > 0 && seen.overflown > 0 && seen.ended > 0,
            "each misfortune has happened"
        );
    }
}

#[test]
fn broken_connections_give_a_prefix_and_an_error() {
    seeds(|seed| run_echoes(seed, true, false, &mut Seen::default()));
}

#[test]
fn dropping_futures_at_any_time_leaks_nothing() {
    let mut seen = Seen::default();
    seeds(|seed| run_echoes(seed, seed % 2 == 0, true, &mut seen));
    if std::env::var_os("RING_SEED").is_none() {
        assert!(seen.late > 0, "cancellations came too late, too");
    }
}

/// One run: connections are accepted, messages with descriptors received and files opened by tasks that are dropped.
fn run_descriptors(seed: u64) {
    let mut random = Random(seed);
    let world = World::new(seed, faults(&mut random), 1 + random.below(16), 2 + random.below(32));
    let ring = Ring::with_engine(Box::new(Simulated(world.clone())));
    let group = ring.buffer_group(256, 2 << random.below(3)).expect("a group");
    let mut trackers = Vec::new();
    let track = |trackers: &mut Vec<Tracker>| {
        let (fd, tracker) = tracked();
        trackers.push(tracker);
        fd
    };
    let listener = Rc::new(track(&mut trackers));
    let messages = Rc::new(track(&mut trackers));
    let (mut connections_left, mut messages_left, files) = (random.below(1_000), random.below(60), random.below(20));
    let (accepted, received, expected) = (Cell::new(0), Cell::new(0), messages_left);
    let dropping = random.chance(70);
    let connections_expected = connections_left;
    let (seed_a, seed_b) = (random.next(), random.next());
    {
        let mut world = world.borrow_mut();
        world.sockets.insert(listener.as_raw_fd(), Default::default());
        world.sockets.insert(messages.as_raw_fd(), Default::default());
        world.files.extend((0..files).map(|_| track(&mut trackers)));
    }
    {
        let mut executor = Executor::new(&ring, &world);
        executor.spawn(async {
            let mut random = Random(seed_a);
            let greedy = random.chance(50);
            let mut accept = if greedy { ring.accept(&listener) } else { ring.accept_in_turn(&listener) };
            while accepted.get() < connections_expected {
                match accept.next().await {
                    Ok(_connection) => accepted.set(accepted.get() + 1),
                    Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EMFILE)),
                }
                if random.chance(5) {
                    pause(random.below(100)).await;
                }
            }
        });
        executor.spawn(async {
            let mut random = Random(seed_b);
            let mut stream = ring.recv_messages(&messages, &group);
            while let Some(message) = stream.next().await.expect("no error") {
                let count = received.get();
                assert_eq!(message.bytes[..], [count as u8; 100][..1 + count % 100]);
                assert_eq!(message.descriptor.is_some(), count % 3 > 0);
                assert!(!message.truncated);
                received.set(count + 1);
                pause(random.below(20)).await;
            }
            assert_eq!(received.get(), expected);
        });
        let directory: Descriptor = listener.clone();
        for _ in 0..files {
            let (ring, directory) = (&ring, directory.clone());
            let mut patience = random.below(6);
            executor.spawn(async move {
                let mut open = pin!(ring.open_beneath(&directory, c"x".into(), OpenFlags::READ_BENEATH));
                poll_fn(|cx| match open.as_mut().poll(cx) {
                    Poll::Ready(Err(error)) => panic!("there is a file for each: {error}"),
                    Poll::Ready(Ok(_file)) => Poll::Ready(()),
                    Poll::Pending if patience == 0 => Poll::Ready(()), // and drops it
                    Poll::Pending => {
                        patience -= 1;
                        cx.waker().wake_by_ref();
                        Poll::Pending
                    }
                })
                .await;
            });
        }
        let mut dice = Random(random.next());
        executor.run(
            |world| {
                if connections_left > 0 {
                    for _ in 0..(1 + world.random.below(50)).min(connections_left) {
                        connections_left -= 1;
                        let fd = track(&mut trackers);
                        world.sockets.get_mut(&listener.as_raw_fd()).expect("known").connections.push_back(fd);
                    }
                }
                let socket = world.sockets.get_mut(&messages.as_raw_fd()).expect("known");
                if messages_left > 0 {
                    let count = expected - messages_left;
                    messages_left -= 1;
                    let descriptors = (0..count % 3).map(|_| track(&mut trackers)).collect();
                    socket.messages.push_back((vec![count as u8; 1 + count % 100], descriptors));
                }
                socket.eof = messages_left == 0;
                connections_left + messages_left > 0
            },
            || dropping && dice.chance(1),
        );
        executor.finish(&ring);
    }
    if !dropping {
        assert_eq!((accepted.get(), received.get()), (connections_expected, expected));
    }
    // What the peers hold and nobody took is not the ring's.
    world.borrow_mut().sockets.clear();
    world.borrow_mut().files.clear();
    drop((listener, messages));
    for tracker in &trackers {
        assert!(tracker.is_closed(), "descriptor beside {} is closed", tracker.raw());
    }
    let (free, entries) = world.borrow().free(0);
    assert_eq!(free, entries, "every buffer is back");
}

#[test]
fn every_descriptor_is_closed() {
    seeds(run_descriptors);
}

#[test]
fn a_ring_dropped_in_mid_flight_waits_for_the_kernel() {
    seeds(|seed| {
        let mut random = Random(seed);
        let world = World::new(seed, faults(&mut random), 4, 8);
        let ring = Ring::with_engine(Box::new(Simulated(world.clone())));
        let group = ring.buffer_group(64, 4).expect("a group");
        let (fd, tracker) = tracked();
        world.borrow_mut().sockets.insert(fd.as_raw_fd(), Default::default());
        let socket = Rc::new(fd);
        let mut streams = Vec::new();
        let mut ops = Vec::new();
        for _ in 0..5 {
            let mut stream = ring.recv(&socket, &group);
            assert!(stream.poll_next(&mut Context::from_waker(Waker::noop())).is_pending());
            streams.push(stream);
            ops.push(ring.poll(&socket, libc::POLLOUT as u32));
            ops.push(ring.poll(&socket, libc::POLLIN as u32));
        }
        for _ in 0..random.below(4) {
            ring.core.turn();
        }
        drop(socket);
        assert!(!tracker.is_closed(), "the operations hold it");
        drop((streams, ops, ring));
        assert!(tracker.is_closed(), "and let go of it");
        // The world checks, when it goes, that nothing runs any more.
    });
}

#[test]
fn what_starts_after_the_ring_was_closed_is_cancelled_too() {
    let world = World::new(1, Faults::default(), 4, 8);
    let ring = Ring::with_engine(Box::new(Simulated(world)));
    let socket = Rc::new(tracked().0);
    let early = ring.poll(&socket, libc::POLLIN as u32);
    ring.core.turn();
    ring.close();
    ring.core.turn();
    assert!(early.is_done());
    let mut op = pin!(ring.poll(&socket, libc::POLLIN as u32));
    ring.core.turn();
    ring.core.turn();
    let Poll::Ready(result) = op.as_mut().poll(&mut Context::from_waker(Waker::noop())) else { panic!("it is over") };
    assert_eq!(result.expect_err("cancelled").raw_os_error(), Some(libc::ECANCELED));
}

#[test]
fn a_reader_that_waits_while_its_pause_is_on_the_way_is_woken() {
    use crate::base::bounds::BACKLOG_BYTES_MAX;
    let world = World::new(1, Faults::default(), 64, 256);
    let ring = Ring::with_engine(Box::new(Simulated(world.clone())));
    let group = ring.buffer_group(16 * 1024, 4).expect("a group");
    let socket = Rc::new(tracked().0);
    world.borrow_mut().sockets.insert(socket.as_raw_fd(), Default::default());
    let woken = Arc::new(Flag::default());
    let waker = Waker::from(woken.clone());
    let mut cx = Context::from_waker(&waker);
    let mut stream = ring.recv(&socket, &group);
    assert!(stream.poll_next(&mut cx).is_pending());
    let feed =
        |len| world.borrow_mut().sockets.get_mut(&socket.as_raw_fd()).expect("known").incoming.extend(vec![7; len]);
    feed(1);
    while !ring.core.turn() {}
    // The first receive was for once, the next goes on.
    assert!(matches!(stream.poll_next(&mut cx), Poll::Ready(Ok(Some(chunk))) if chunk[..] == [7]));
    assert_eq!(ring.in_flight(), 0);
    assert!(stream.poll_next(&mut cx).is_pending());
    woken.0.store(false, Ordering::Relaxed);
    stream.set_aside();
    feed(BACKLOG_BYTES_MAX);
    while ring.core.turn() || world.borrow().is_ready() {}
    let Poll::Ready(Ok(Some(chunk))) = stream.poll_next(&mut cx) else { panic!("the backlog is there") };
    assert_eq!(chunk.len(), BACKLOG_BYTES_MAX);
    // The cancellation is in the queue; the reader waits again before it takes effect.
    assert!(stream.poll_next(&mut cx).is_pending());
    while !woken.0.load(Ordering::Relaxed) {
        assert!(ring.in_flight() > 0, "paused, and nobody was told");
        ring.core.turn();
    }
    feed(1);
    assert!(stream.poll_next(&mut cx).is_pending());
    while !ring.core.turn() {}
    assert!(matches!(stream.poll_next(&mut cx), Poll::Ready(Ok(Some(chunk))) if chunk[..] == [7]));
}
