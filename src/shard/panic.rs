//! A bug in one connection's task ends that connection, not the shard.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;

/// Runs `future`; `Err` with the panic's message if it panics. What it shared with other tasks is behind `Cell`s and `RefCell`s
/// whose guards are released while unwinding.
pub(super) async fn contained<F: Future>(future: F) -> Result<F::Output, String> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => std::task::Poll::Ready(Err(message(&*panic))),
    })
    .await
}

/// What a panic said.
pub(super) fn message(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a message".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// Polls until the future is done: how often, and what came of it.
    fn run<F: Future>(future: F) -> (usize, Result<F::Output, String>) {
        let mut future = pin!(contained(future));
        let mut cx = Context::from_waker(Waker::noop());
        for polls in 1..10 {
            if let Poll::Ready(outcome) = future.as_mut().poll(&mut cx) {
                return (polls, outcome);
            }
        }
        panic!("still pending after 9 polls");
    }

    /// Pending at the first poll; at the second, what `end` returns.
    async fn later<T>(end: impl FnOnce() -> T) -> T {
        let mut polled = false;
        poll_fn(|_| if std::mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending }).await;
        end()
    }

    #[test]
    fn a_panic_is_contained_and_named() {
        let number = 7;
        assert_eq!(run(async { number }), (1, Ok(7)));
        assert_eq!(run(later(|| number)), (2, Ok(7)));
        assert_eq!(run(async { panic!("plain") }), (1, Err::<(), _>("plain".to_owned())));
        assert_eq!(run(async { panic!("number {number}") }), (1, Err::<(), _>("number 7".to_owned())));
        assert_eq!(run(later(|| panic!("late {number}"))), (2, Err::<(), _>("late 7".to_owned())));
        let other = run(async { std::panic::panic_any(number) });
        assert_eq!(other, (1, Err::<(), _>("a panic without a message".to_owned())));
    }
}
