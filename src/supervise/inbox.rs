//! What happens to the supervisor, in the order in which it was learnt, until the loop takes it.
//!
//! Owns the queue and who waits for it; handles nothing. Filled by the tasks that listen to signals and zygotes; emptied by `run`.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::rc::Rc;
use std::task::Waker;

use super::admin::Question;
use super::control::FromZygote;
use super::machine::{Event, GenerationId};
use super::programs::machine::{Happened, ProcessId};
use super::rpc::Work;
use crate::mail::ShardNews;
use crate::sys::process::Pid;
use crate::sys::signals::Signal;

/// What has happened and was not handled yet.
#[derive(Default)]
pub(super) struct Inbox {
    events: RefCell<VecDeque<Happening>>,
    waker: RefCell<Option<Waker>>,
}

/// Something for the loop.
pub(super) enum Happening {
    /// An action's outcome.
    Event(Event),
    /// maitred got a signal.
    Signal(Signal),
    /// From a shard.
    News(ShardNews),
    /// The flag file of maintenance mode has come or gone.
    Maintenance(bool),
    /// Files that the application is made of have changed, and come to rest.
    FilesChanged(Vec<PathBuf>),
    /// From the zygote of this generation.
    Zygote(GenerationId, FromZygote),
    /// Somebody asks for the metrics.
    Question(Rc<Question>),
    /// Something about one process of a program.
    Program(ProcessId, Happened),
    /// A process that an earlier maitred has left has ended.
    OrphanGone,
    /// This command, which checks a program, has been given all the time that it may take.
    CheckTimedOut(Pid),
    /// A control connection has something to do.
    Work(Work),
    /// Nothing more comes from the zygote of this generation.
    ControlEnded(GenerationId),
    /// The service manager is to hear that the loop goes round.
    WatchdogDue,
    /// The server that is to replace this one serves.
    SuccessorServes,
    /// The server that this one replaces has ended.
    PredecessorGone,
}

impl Inbox {
    /// Adds something, and wakes the loop.
    pub fn push(&self, happening: Happening) {
        self.events.borrow_mut().push_back(happening);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// The oldest thing that was not taken yet.
    pub fn pop(&self) -> Option<Happening> {
        self.events.borrow_mut().pop_front()
    }

    /// Lets the next `push` wake the loop.
    pub fn wake_by(&self, waker: &Waker) {
        *self.waker.borrow_mut() = Some(waker.clone());
    }
}
