//! The machine's vocabulary: what it is told, what it asks for, what it reports. Values only.

use super::recycling::{Recycle, Wear};
use crate::base::bounds::DEVELOPMENT_DRAIN_SECONDS;
use crate::base::clock::Monotonic;
use crate::supervise::backoff;
use crate::sys::memory::SlotView;
use crate::sys::process::{Exit, Pid, Signal};
use std::fmt;
use std::time::Duration;

/// A generation of the worker pool: one zygote, one inbox, one scoreboard, and the workers forked from them. Counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GenerationId(pub u32);

/// A worker process. Counted from 1, never used again in the life of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub u32);

impl fmt::Display for GenerationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What holds for the whole program.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The worker pool; None: a server without an application.
    pub pool: Option<PoolSettings>,
    /// A graceful stop ends after this long, whatever is still going on.
    pub graceful_timeout: Duration,
    /// What a fast stop leaves workers and shards before they are killed.
    pub fast_timeout: Duration,
    /// How long killed processes are waited for before the program exits without them.
    pub reap_timeout: Duration,
}

/// What holds for a generation, fixed when it begins.
#[derive(Clone, Copy, Debug)]
pub struct PoolSettings {
    /// Places for worker processes, at least one.
    pub workers: u32,
    /// Those of them that are to be filled, from the first on, at least one.
    pub filled: u32,
    /// Threads of each, at least one.
    pub threads: u32,
    /// A request may take this long; None: for ever.
    pub timeout: Option<Duration>,
    /// A worker that is idle may leave requests in its inbox for so long; None: for ever.
    pub liveness_timeout: Option<Duration>,
    /// Between SIGABRT (stacks to the log) and SIGKILL.
    pub abort_grace: Duration,
    /// For importing the application, for a fork's answer, and for a forked worker to be ready.
    pub boot_timeout: Duration,
    /// An old generation may drain this long after a reload.
    pub graceful_timeout: Duration,
    /// It replaces the one before worker by worker: never are there more than one beside so many workers as either has.
    pub rolling: bool,
    /// A warm-up request has to be answered, within this; None: there is none.
    pub warmup: Option<Duration>,
    /// The pace of restarts of workers and of zygotes.
    pub backoff: backoff::Policy,
    /// Somebody is at work on the application: a first boot that fails does not end the program, and old generations end soon.
    pub is_development: bool,
    /// When workers are replaced although they are well.
    pub recycle: Recycle,
}

impl PoolSettings {
    /// How long an old generation may drain after a reload. What is still asked of old code while somebody writes new code is mostly a
    /// stream that never ends by itself.
    pub(super) fn drain_timeout(&self) -> Duration {
        match self.is_development {
            true => self.graceful_timeout.min(Duration::from_secs(DEVELOPMENT_DRAIN_SECONDS)),
            false => self.graceful_timeout,
        }
    }
}

/// What happened. The loop reports each thing once, in the order in which it learned of it.
#[derive(Clone, Debug)]
pub enum Event {
    /// The first event.
    Start,
    /// `SpawnZygote` was done.
    ZygoteSpawned {
        /// Whose.
        generation: GenerationId,
        /// The zygote.
        pid: Pid,
    },
    /// `SpawnZygote` could not be done.
    SpawnFailed {
        /// Whose.
        generation: GenerationId,
        /// Why, naming the program.
        error: String,
    },
    /// The zygote has imported the application (or is ready without, when nothing is preloaded).
    Imported {
        /// Whose.
        generation: GenerationId,
    },
    /// The zygote could not import the application.
    ImportFailed {
        /// Whose.
        generation: GenerationId,
        /// Python's traceback.
        traceback: String,
        /// The module is there and has no such application.
        is_missing: bool,
    },
    /// The zygote has forked a worker.
    WorkerForked {
        /// Whose.
        generation: GenerationId,
        /// As asked for by `ForkWorker`.
        worker: WorkerId,
        /// Its process.
        pid: Pid,
    },
    /// The zygote has forked a worker ahead, which waits until it is reported as forked for a place.
    ReserveForked {
        /// Whose.
        generation: GenerationId,
        /// Its process.
        pid: Pid,
    },
    /// `ForkWorker` could not be done.
    ForkFailed {
        /// Whose.
        generation: GenerationId,
        /// As asked for by `ForkWorker`.
        worker: WorkerId,
        /// Why.
        error: String,
    },
    /// A child of any kind was reaped, also ones that the machine does not know.
    ChildExited {
        /// Its process.
        pid: Pid,
        /// How.
        exit: Exit,
        /// Requests that it held, from its scoreboard slots.
        held: Vec<Held>,
        /// Requests that it had finished, from its scoreboard slots.
        served: u64,
    },
    /// `wake_at` has come.
    Tick {
        /// Every slot of every generation's scoreboard that is not empty.
        readings: Vec<Reading>,
    },
    /// The warm-up request of a generation was answered, or can't be any more.
    WarmedUp {
        /// Whose.
        generation: GenerationId,
        /// Why it proves nothing; None: it was answered as is expected.
        failure: Option<String>,
    },
    /// What can be seen of the life of workers beside their readings; comes before a `Tick`.
    Life {
        /// Generations in whose inboxes requests wait.
        waiting: Vec<GenerationId>,
        /// Workers that were asked for a sign and have given none.
        silent: Vec<Pid>,
    },
    /// SIGHUP, once the new configuration was read and found good.
    Reload(PoolSettings),
    /// SIGTERM or SIGINT. The second means a fast stop.
    Terminate,
    /// SIGQUIT: a fast stop.
    Quit,
    /// Every shard now sends new requests to this generation, and none has a request half sent to an older one.
    ShardsSwitched {
        /// The new one.
        generation: GenerationId,
    },
    /// Every shard has stopped accepting and has no connection left.
    ShardsDrained,
    /// A person wants nobody in this slot of the generation that serves: its worker finishes what it has in hand and ends.
    VacateSlot(u32),
    /// … and a worker in it again.
    FillSlot(u32),
    /// So many workers there are to be, of those for whom there are places.
    Scale(u32),
    /// What the generations are made with that are made from now on; none is wished for.
    Settings(PoolSettings),
}

/// A request that a worker held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The shard that asked.
    pub shard: u32,
    /// The shard's name for the request.
    pub token: u64,
}

/// A place for a worker in the generation that serves, as people see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its number, from 0 on.
    pub slot: u32,
    /// What goes on there.
    pub state: PlaceState,
    /// The worker's process, if there is one.
    pub pid: Option<Pid>,
    /// When its worker was begun; None: never.
    pub since: Option<Monotonic>,
    /// When the last worker there ended.
    pub left: Option<Monotonic>,
}

/// What goes on in a place for a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaceState {
    /// Nobody is to be there.
    Vacated,
    /// A worker is being started.
    Starting,
    /// A worker serves.
    Serving,
    /// Its worker was asked to end.
    Leaving,
    /// The next worker comes after a wait.
    Waiting,
    /// No worker comes any more.
    Done,
}

/// One worker thread's scoreboard slot.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// Whose scoreboard.
    pub generation: GenerationId,
    /// The worker's place in it (index / threads).
    pub place: u32,
    /// What it says.
    pub view: SlotView,
    /// The process's resident memory, bytes, if that was looked at.
    pub rss_bytes: Option<u64>,
}

/// What the loop is to do, in this order.
#[derive(Clone, Debug)]
pub enum Action {
    /// Make inbox, scoreboard and control socket, and start a zygote. Answered by `ZygoteSpawned` or `SpawnFailed`.
    SpawnZygote {
        /// The new one.
        generation: GenerationId,
        /// What it is made with (the number of scoreboard slots is (workers + 1) × threads).
        settings: PoolSettings,
    },
    /// Ask the zygote for a worker. Answered by `WorkerForked` or `ForkFailed`.
    ForkWorker {
        /// Whose.
        generation: GenerationId,
        /// The new one.
        worker: WorkerId,
        /// Its place in the scoreboard, from 0 to the number of workers: there is one more than these.
        place: u32,
    },
    /// Send the generation, which has a worker, its warm-up request. Answered by `WarmedUp`.
    WarmUp {
        /// The new one.
        generation: GenerationId,
    },
    /// Tell every shard to send new requests to this generation. Answered by `ShardsSwitched`.
    SwitchShards {
        /// The new one.
        generation: GenerationId,
    },
    /// Let the shards accept connections. Once.
    OpenShards,
    /// Close the inbox's write end: workers finish what is queued and exit.
    CloseInbox {
        /// Whose.
        generation: GenerationId,
    },
    /// Close the control socket: the zygote exits.
    CloseControl {
        /// Whose.
        generation: GenerationId,
    },
    /// Send a signal to a child that was not reaped yet.
    Kill {
        /// To whom.
        pid: Pid,
        /// Which.
        signal: Signal,
    },
    /// Have the thread of a worker let go of a request: note it in the thread's line, and send SIGURG.
    Interrupt {
        /// Whose.
        generation: GenerationId,
        /// The worker.
        pid: Pid,
        /// What takes too long.
        request: Held,
    },
    /// Ask a worker for a sign of life, and to look for work: note that in its first line, and send SIGURG.
    AskForLife {
        /// Whose.
        generation: GenerationId,
        /// The worker.
        pid: Pid,
    },
    /// Tell the shard that nobody need wait for this request any more: its thread does not let go of it.
    GiveUp {
        /// Whose.
        generation: GenerationId,
        /// What takes too long.
        request: Held,
    },
    /// Tell the shards that these requests died with their worker.
    ReportLost {
        /// Whose inbox they went through.
        generation: GenerationId,
        /// The requests.
        held: Vec<Held>,
        /// How the worker ended.
        exit: Exit,
        /// Those for whose sake it was ended: they took too long.
        overdue: Vec<Held>,
    },
    /// No process of this generation is left: release its descriptors. A request that a shard still counts as sent to it has no answer coming.
    GenerationGone {
        /// Which.
        generation: GenerationId,
    },
    /// Stop accepting, answer what is in hand, close. Answered by `ShardsDrained`.
    DrainShards {
        /// When `StopShards` will come.
        deadline: Monotonic,
    },
    /// Close every connection now. Answered by `ShardsDrained`, unless that was said already.
    StopShards,
    /// For the log and for whoever listens to events.
    Report(Report),
    /// Exit with this code. The last action.
    Exit {
        /// 0: asked to stop. 3: no worker could boot, mostly because the application could not be imported. 4: its module has no such
        /// application. 1: anything else.
        code: i32,
    },
}

/// Why a worker was signalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillReason {
    /// A request took longer than the timeout, and its thread did not let go of it.
    RequestTimeout(Held),
    /// It is idle, and takes no requests though some wait, even when it is told to look.
    NotAlive,
    /// It was not ready in time after its fork.
    BootTimeout,
    /// It makes room for a worker of the next generation.
    Rolled,
    /// Its generation has not answered the warm-up request.
    WarmupTimeout,
    /// It outlived SIGABRT.
    AbortIgnored,
    /// A person wants it to end, when it has finished what it has in hand.
    Asked,
    /// Its replacement is up: it is to end, when it has finished what it has in hand.
    Worn(Wear),
    /// It was asked to end and did not.
    AskIgnored,
    /// Its generation has ended: it drained too long, its boot failed, or the program stops.
    GenerationEnded,
}

/// What is worth telling a person.
#[derive(Clone, Debug)]
pub enum Report {
    /// A zygote is being started.
    Booting {
        /// Whose.
        generation: GenerationId,
    },
    /// The new generation has its first worker and takes over.
    TakesOver {
        /// Which.
        generation: GenerationId,
    },
    /// The generation never served.
    BootFailed {
        /// Which.
        generation: GenerationId,
        /// A traceback, or a sentence.
        reason: String,
        /// What follows.
        outcome: BootOutcome,
    },
    /// A reload has to wait for an earlier one, or for old generations to drain.
    ReloadWaits,
    /// The zygote of a serving generation died; a new generation will be started.
    ZygoteExited {
        /// Whose.
        generation: GenerationId,
        /// The zygote.
        pid: Pid,
        /// How.
        exit: Exit,
        /// The wait before the new one.
        restart_in: Duration,
    },
    /// A worker process exists.
    WorkerStarted {
        /// Which.
        worker: WorkerId,
        /// Its process.
        pid: Pid,
        /// Whose.
        generation: GenerationId,
    },
    /// A request takes longer than the timeout: its thread is to let go of it.
    RequestOverdue {
        /// Whose.
        worker: WorkerId,
        /// Its process.
        pid: Pid,
        /// The request.
        request: Held,
        /// How long the worker has had it.
        age: Duration,
    },
    /// A worker is to be replaced; its replacement comes first.
    WorkerWorn {
        /// Which.
        worker: WorkerId,
        /// Its process.
        pid: Pid,
        /// Whose.
        generation: GenerationId,
        /// Why.
        wear: Wear,
    },
    /// A worker is being ended.
    WorkerSignalled {
        /// Which.
        worker: WorkerId,
        /// Its process.
        pid: Pid,
        /// SIGABRT or SIGKILL.
        signal: Signal,
        /// Why.
        reason: KillReason,
    },
    /// A worker was reaped.
    WorkerExited {
        /// Which.
        worker: WorkerId,
        /// Its process.
        pid: Pid,
        /// Whose.
        generation: GenerationId,
        /// How.
        exit: Exit,
        /// Requests that died with it.
        lost: usize,
        /// The wait before its successor; None: it gets none.
        restart_in: Option<Duration>,
    },
    /// The zygote could not fork.
    ForkFailed {
        /// Whose.
        generation: GenerationId,
        /// Which worker there is not.
        worker: WorkerId,
        /// Why.
        error: String,
    },
    /// An old generation is gone.
    Drained {
        /// Which.
        generation: GenerationId,
    },
    /// The program stops.
    Stopping {
        /// Without waiting for requests.
        fast: bool,
    },
    /// The program exits while these many generations have processes that did not end when killed.
    LeftBehind {
        /// How many.
        generations: usize,
    },
}

/// What follows a failed boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootOutcome {
    /// It was the first: the program ends.
    Exit,
    /// The generation before goes on.
    KeepOld,
    /// The generation before goes on without a zygote; another boot follows.
    Retry(Duration),
    /// There is none before it: the next reload is waited for.
    Wait,
}
