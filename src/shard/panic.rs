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

fn message(panic: &(dyn Any + Send)) -> String {
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

    fn finish<F: Future>(future: F) -> F::Output {
        let mut future = pin!(future);
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
                return output;
            }
        }
    }

    #[test]
    fn a_panic_is_contained_and_named() {
        assert_eq!(finish(contained(async { 7 })), Ok(7));
        assert_eq!(finish(contained(async { panic!("plain") })).err().as_deref(), Some("plain"));
        let number = 3;
        let later = async move {
            let mut polled = false;
            poll_fn(|_| match std::mem::replace(&mut polled, true) {
                false => Poll::<()>::Pending,
                true => panic!("at poll {number}"),
            })
            .await
        };
        assert_eq!(finish(contained(later)).err().as_deref(), Some("at poll 3"));
    }
}
