//! Memory to which other processes write: nothing in the kernel tells of it, so a thread looks at it before it sleeps.
//!
//! Owns what the ring has to be told of such memory, and the task that waits for it. Called by whoever reads that memory.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::Waker;

use super::core::Ring;

/// Memory to which others write, and who wake a thread that sleeps.
pub trait Watched {
    /// The thread is about to sleep. Whoever writes from now on wakes it, by something that completes in its ring.
    fn sleep(&self);
    /// The thread is awake.
    fn wake(&self);
    /// Whether there is something that was not read.
    fn has_news(&self) -> bool;
}

/// What a ring watches.
#[derive(Default)]
pub(super) struct Watch {
    memory: RefCell<Option<Rc<dyn Watched>>>,
    reader: RefCell<Option<Waker>>,
}

impl Watch {
    /// Announces a sleep. `true`: there is news for the reader, do not sleep.
    pub fn sleep(&self) -> bool {
        if let Some(memory) = &*self.memory.borrow() {
            memory.sleep();
        }
        self.look()
    }

    /// The sleep is over. Returns whether there is news for the reader.
    pub fn wake(&self) -> bool {
        if let Some(memory) = &*self.memory.borrow() {
            memory.wake();
        }
        self.look()
    }

    /// Wakes the reader, if it waits and there is something for it. Returns whether it was woken.
    pub fn look(&self) -> bool {
        let has_news = self.memory.borrow().as_ref().is_some_and(|memory| memory.has_news());
        let reader = if has_news { self.reader.borrow_mut().take() } else { None };
        reader.map(Waker::wake).is_some()
    }
}

impl Ring {
    /// Looks at `memory` too from now on, in each turn and before it sleeps.
    pub fn watch(&self, memory: Rc<dyn Watched>) {
        self.core.watch.memory.replace(Some(memory));
    }

    /// Wakes `reader` once when there is something in the memory that is watched.
    pub fn wait_for_news(&self, reader: &Waker) {
        self.core.watch.reader.replace(Some(reader.clone()));
    }
}
