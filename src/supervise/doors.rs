//! Accepting on the supervisor's own listeners: the control sockets and the admin listener.
//!
//! Owns the tasks that accept, and their end when a new server has the same sockets: who has been woken for a client serves it, since the
//! kernel wakes nobody else. Never looks at what connects. Called by `rpc` and `admin`, which serve it, and by the loop.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::base::clock::Monotonic;
use crate::ring::{AcceptStream, Ring};

/// How long to wait before accepting again when descriptors or connections have run out.
const PAUSE: Duration = Duration::from_millis(100);

/// That it is not possible is said once in so long.
const COMPLAINT_PAUSE: Duration = Duration::from_secs(10);

/// The listeners of the supervisor that are open. They close with it.
#[derive(Default)]
pub(super) struct Doors {
    closing: Rc<Closing>,
    tasks: Vec<glommio::Task<()>>,
}

#[derive(Default)]
struct Closing {
    is_said: Cell<bool>,
    wakers: RefCell<Vec<Waker>>,
}

impl Closing {
    fn poll(&self, cx: &Context<'_>) -> bool {
        if !self.is_said.get() {
            let mut wakers = self.wakers.borrow_mut();
            wakers.retain(|waker| !waker.will_wake(cx.waker()));
            wakers.push(cx.waker().clone());
        }
        self.is_said.get()
    }
}

/// A listener, how many of its connections there may be at a time, together with those of others who have the same count, and what it is called
/// in the log.
pub(super) struct Door {
    pub listener: OwnedFd,
    pub connections: Rc<Cell<usize>>,
    pub connections_max: usize,
    pub name: &'static str,
}

impl Doors {
    /// Has `serve` serve each connection in a task of its own.
    pub fn open<F: Future<Output = ()> + 'static>(
        &mut self,
        ring: &Ring,
        door: Door,
        serve: impl Fn(OwnedFd) -> F + 'static,
    ) {
        let (ring, closing) = (ring.clone(), self.closing.clone());
        self.tasks.push(glommio::spawn_local(async move {
            let connections = door.connections;
            let begin = |socket| {
                let (serving, connections) = (serve(socket), connections.clone());
                connections.set(connections.get() + 1);
                glommio::spawn_local(async move {
                    serving.await;
                    connections.set(connections.get() - 1);
                })
                .detach();
            };
            let mut incoming = ring.accept(&Rc::new(door.listener));
            let mut complained: Option<Monotonic> = None;
            loop {
                while connections.get() >= door.connections_max && !closing.is_said.get() {
                    ring.sleep(PAUSE).await;
                }
                match poll_fn(|cx| next(&mut incoming, &closing, cx)).await {
                    Some(Ok(socket)) => begin(socket),
                    Some(Err(error)) if error.raw_os_error() == Some(libc::ECANCELED) => return,
                    Some(Err(error)) => {
                        let now = ring.now();
                        if complained.is_none_or(|last| now.since(last) >= COMPLAINT_PAUSE) {
                            complained = Some(now);
                            tracing::error!(%error, "cannot accept {}", door.name);
                        }
                        ring.sleep(PAUSE).await;
                    }
                    None => {
                        incoming.finish().await.into_iter().for_each(begin);
                        return;
                    }
                }
            }
        }));
    }

    /// Leaves the listeners to a new server. Who is in is served to the end, and whoever waits there by now.
    pub fn close(&self) {
        self.closing.is_said.set(true);
        self.closing.wakers.take().into_iter().for_each(Waker::wake);
    }
}

/// The next connection; `None`: no more are to be taken.
fn next(
    incoming: &mut AcceptStream,
    closing: &Closing,
    cx: &mut Context<'_>,
) -> Poll<Option<std::io::Result<OwnedFd>>> {
    if closing.poll(cx) { Poll::Ready(None) } else { incoming.poll_next(cx).map(Some) }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use glommio::{LocalExecutorBuilder, Placement};

    use super::*;
    use crate::ring::{PREEMPT_TIMER, RingConfig};

    #[test]
    fn who_waits_when_the_doors_close_is_served_and_nobody_after() {
        let body = || async {
            let config = RingConfig { entries: 64, completions: 256 };
            let (ring, driver) = Ring::new(config).expect("io_uring is permitted");
            let driver = glommio::spawn_local(driver.run());
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            let address = listener.local_addr().expect("bound");
            let others = listener.try_clone().expect("a descriptor");
            let (served, connections) = (Rc::new(Cell::new(0)), Rc::default());
            let door = Door { listener: listener.into(), connections, connections_max: 8, name: "connections" };
            let mut doors = Doors::default();
            let count = served.clone();
            doors.open(&ring, door, move |socket| {
                count.set(count.get() + 1);
                async move { drop(socket) }
            });
            let connect = || TcpStream::connect(address).expect("connects");
            let first = connect();
            while served.get() < 1 {
                ring.sleep(Duration::from_millis(5)).await;
            }
            // This thread has been woken for them, and has not looked yet.
            let _clients = [first, connect(), connect()];
            doors.close();
            for task in doors.tasks {
                task.await;
            }
            assert_eq!(served.get(), 3);
            let _last = connect();
            others.accept().expect("left to the others");
            ring.close();
            driver.await;
        };
        let executor = LocalExecutorBuilder::new(Placement::Unbound).preempt_timer(PREEMPT_TIMER).spawn(body);
        executor.expect("an executor").join().expect("no panic on the executor");
    }
}
