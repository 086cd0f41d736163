//! The number of workers follows the load: more when requests wait, fewer when there is nothing to do, and what somebody asks for in between.

mod support;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use support::metrics::{page, with_admin};
use support::supervisor::maitredctl;
use support::{Builder, DEADLINE, Server, wait_until};

fn scaled(keys: &[&str]) -> Server {
    let builder = with_admin(Builder::app("kitchen").app_key("overload_timeout = 0"));
    keys.iter().fold(builder, |builder, key| builder.app_key(key)).start()
}

fn number(server: &Server, metric: &str) -> u32 {
    page(server).value(metric, &[]) as u32
}

#[track_caller]
fn wait_workers(server: &Server, count: u32) {
    wait_until(&format!("{count} workers are there, and wanted"), 3 * DEADLINE, || {
        number(server, "maitred_workers_wanted") == count && number(server, "maitred_workers") == count
    });
}

#[test]
fn load_brings_workers_and_idleness_takes_them_away_without_a_failure() {
    let server = scaled(&["workers_max = 3", "scale_wait = '100ms'", "scale_idle = '2s'"]);
    assert_eq!(number(&server, "maitred_workers_wanted"), 1);
    let (is_flooded, is_over, failures) = (AtomicBool::new(true), AtomicBool::new(false), AtomicU32::new(0));
    let ask = |until: &AtomicBool, while_set: bool, target: &str, pause: Duration| {
        let mut client = server.connect();
        while until.load(Ordering::Relaxed) == while_set {
            if client.get(target).status != 200 {
                failures.fetch_add(1, Ordering::Relaxed);
            }
            std::thread::sleep(pause);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..24 {
            // Each keeps a worker for 50 ms: one worker leaves the others waiting for more than a second.
            scope.spawn(|| ask(&is_flooded, true, "/slow?s=0.05", Duration::ZERO));
        }
        // Somebody is always there, also while workers go.
        scope.spawn(|| ask(&is_over, false, "/hello", Duration::from_millis(20)));
        let ends_all = EndsAll(&is_flooded, &is_over);
        wait_workers(&server, 3);
        is_flooded.store(false, Ordering::Relaxed);
        wait_workers(&server, 1);
        drop(ends_all);
    });
    assert_eq!(failures.into_inner(), 0);
    let text = server.log.text();
    for part in ["from=1 to=", "to=3", "requests waited ", "from=2 to=1", "one fewer would have been enough for "] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert_eq!(number(&server, "maitred_generation"), 1, "no other generation was made");
    assert_eq!(page(&server).value("maitred_requests_lost_total", &[]), 0.0);
}

/// Ends the clients whatever becomes of the test.
struct EndsAll<'a>(&'a AtomicBool, &'a AtomicBool);

impl Drop for EndsAll<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
        self.1.store(true, Ordering::Relaxed);
    }
}

#[test]
fn whoever_asks_for_a_number_gets_it_within_the_bounds() {
    let server = scaled(&["workers_min = 1", "workers_max = 3", "scale_idle = '1h'"]);
    let url = format!("unix://{}", server.folder().join("maitred.sock").display());
    server.wait_workers(1);
    assert_eq!(maitredctl(&url, &["scale", "web", "2"]).text, "web: scaled to 2\n");
    wait_workers(&server, 2);
    server.signal(Signal::TTIN);
    wait_workers(&server, 3);
    let mark = server.log.mark();
    server.signal(Signal::TTIN);
    server.wait_for_line_from(mark, "4 is not between workers_min and workers_max, 1 and 3");
    let told = maitredctl(&url, &["scale", "web", "4"]);
    assert!(told.code != Some(0) && told.text.contains("not between workers_min and workers_max"), "{told:?}");
    server.signal(Signal::TTOU);
    wait_workers(&server, 2);
    assert_eq!(number(&server, "maitred_generation"), 1);
    assert!(maitredctl(&url, &["status"]).text.contains("2 (from 1 to 3, by load) with 1 threads each"));
    // What was asked for outlives a reload.
    server.signal(Signal::HUP);
    wait_until("the second generation serves", DEADLINE, || number(&server, "maitred_generation") == 2);
    wait_workers(&server, 2);
    assert_eq!(server.get("/hello").status, 200);
}
