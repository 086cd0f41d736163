//! A thread beside the shard for what would hold it up: compressing, reading directories, parsing large files.
//!
//! Owns the thread and the queue before it, both bounded; the thread starts with the first job. It never touches the shard's state: a
//! job takes what it needs with it and brings its result back. Called by `cache` and its neighbours, and by `shard` for
//! passwords, with a thread of its own for them.

use std::cell::OnceCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::thread;

use crossbeam::channel;

use crate::base::bounds::HELPER_JOBS_MAX;
use crate::base::mail::mailbox;
use crate::ring::Ring;
use crate::sys::affinity::run_in_background;

type Job = Box<dyn FnOnce() + Send>;

/// Why a job brought no result: too many wait already, descriptors or threads have run out, or the job panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// The helper of one shard.
#[derive(Debug, Default)]
pub struct Helper {
    jobs: OnceCell<Option<channel::Sender<Job>>>,
}

impl Helper {
    /// What `work` returns. Whoever stops waiting for it does not keep it from being done.
    pub async fn run<T: Send + 'static>(
        &self,
        ring: &Ring,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refused> {
        let (sender, receiver) = mailbox(1).map_err(|_| Refused)?;
        let jobs = self.jobs.get_or_init(start).as_ref().ok_or(Refused)?;
        let job: Job = Box::new(move || {
            // One that nobody waits for any more is lost, as it should be.
            let _ = sender.send(catch_unwind(AssertUnwindSafe(work)));
        });
        jobs.try_send(job).map_err(|_| Refused)?;
        let bell = Rc::new(receiver.fd().try_clone_to_owned().map_err(|_| Refused)?);
        ring.poll(&bell, libc::POLLIN as u32).await.map_err(|_| Refused)?;
        let result = receiver.drain().next();
        result.and_then(Result::ok).ok_or(Refused)
    }
}

/// Starts the thread, which ends with the last sender.
fn start() -> Option<channel::Sender<Job>> {
    let (sender, jobs) = channel::bounded::<Job>(HELPER_JOBS_MAX);
    let thread = thread::Builder::new().name("helper".to_owned()).spawn(move || {
        run_in_background();
        jobs.iter().for_each(|job| job());
    });
    match thread {
        Ok(_) => Some(sender),
        Err(error) => {
            tracing::error!(%error, "no helper thread: nothing is compressed, listed or verified");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::on_a_ring;
    use super::*;

    #[test]
    fn results_come_back_and_panics_do_not_end_the_helper() {
        on_a_ring(|ring| async move {
            let helper = Helper::default();
            assert_eq!(helper.run(&ring, || 6 * 7).await, Ok(42));
            let broken = helper.run(&ring, || panic!("as the test wants it")).await;
            assert_eq!(broken, Err::<(), _>(Refused));
            assert_eq!(
                helper.run(&ring, || thread::current().name().map(str::to_owned)).await,
                Ok(Some("helper".into()))
            );
        });
    }

    #[test]
    fn more_jobs_than_may_wait_are_refused() {
        on_a_ring(|ring| async move {
            let helper = Rc::new(Helper::default());
            let (open, gate) = channel::bounded::<()>(0);
            let (begun, running) = channel::bounded(1);
            let first = glommio::spawn_local({
                let (helper, ring) = (helper.clone(), ring.clone());
                async move {
                    helper
                        .run(&ring, move || {
                            begun.send(()).expect("the test waits");
                            gate.recv().is_err()
                        })
                        .await
                }
            });
            while running.try_recv().is_err() {
                glommio::executor().yield_task_queue_now().await;
            }
            let waiting: Vec<_> = (0..HELPER_JOBS_MAX)
                .map(|number| {
                    let (helper, ring) = (helper.clone(), ring.clone());
                    glommio::spawn_local(async move { helper.run(&ring, move || number).await })
                })
                .collect();
            glommio::executor().yield_task_queue_now().await;
            while helper.jobs.get().expect("started").as_ref().expect("a thread").len() < HELPER_JOBS_MAX {
                glommio::executor().yield_task_queue_now().await;
            }
            assert_eq!(helper.run(&ring, || ()).await, Err(Refused));
            drop(open);
            assert_eq!(first.await, Ok(true));
            for (number, task) in waiting.into_iter().enumerate() {
                assert_eq!(task.await, Ok(number));
            }
        });
    }
}
