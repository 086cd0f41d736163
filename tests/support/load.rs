//! Clients that ask all the time while a test does something, and take nothing but 200 for an answer.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::Server;

/// Ends the clients, also when the test has failed in between.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Has clients ask for `target`, two on lasting connections and one on new ones, until `act` returns. How many requests were answered, all of
/// them with 200; any other answer, and a connection that breaks, fails the test.
#[track_caller]
pub fn while_loaded(server: &Server, target: &str, act: impl FnOnce()) -> usize {
    let (stop, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let stopping = Stop(&stop);
        for keeps in [true, true, false] {
            let (stop, served) = (&stop, &served);
            scope.spawn(move || {
                let mut client = server.connect();
                while !stop.load(Ordering::Relaxed) {
                    let response = client.get(target);
                    // The scope's end reports a panic of this thread.
                    assert_eq!(response.status, 200);
                    served.fetch_add(1, Ordering::Relaxed);
                    if !keeps || response.closes() {
                        client = server.connect();
                    }
                }
            });
        }
        act();
        drop(stopping);
    });
    served.load(Ordering::Relaxed)
}
