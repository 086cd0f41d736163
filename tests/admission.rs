//! Which requests get to a worker when not all can: their order, their bound, their time limits, and an overload.

mod support;

use std::fs;
use std::time::{Duration, Instant};

use support::metrics::{page, with_admin};
use support::{Builder, Client, DEADLINE, Gate, Server, wait_until};

/// Says in a file in which order requests have come to it.
const ORDERLY: &str = "\
import os, time
def application(environ, start_response):
    here = os.path.dirname(__file__)
    with open(os.path.join(here, 'order'), 'a') as file:
        file.write(environ['PATH_INFO'] + '\\n')
    while environ['PATH_INFO'] == '/hold' and not os.path.exists(os.path.join(here, 'open')):
        time.sleep(0.005)
    start_response('200 OK', [('Content-Length', '2')])
    return [b'ok']
";

/// One shard and one worker, and routes of each priority.
fn with_priorities(app: &str) -> Builder {
    let builder = with_admin(Builder::app(app).shards(1).app_route(""));
    ["high", "low"].iter().fold(builder, |builder, level| {
        builder.route(&format!("path = \"/{level}\"\napp = true\npriority = \"{level}\""))
    })
}

/// Asks without waiting for the answer. When it returns the shard has the request: so many are unfinished then.
#[track_caller]
fn ask(server: &Server, target: &str, unfinished: u32) -> Client {
    let mut client = server.connect();
    client.request("GET", target, "");
    wait_until("the shard has the request", DEADLINE, || {
        page(server).value("maitred_requests_in_progress", &[]) == f64::from(unfinished)
    });
    client
}

/// Holds the only worker with a request, and the inbox' place behind it with another.
#[track_caller]
fn occupy(server: &Server, gate: &Gate) -> [Client; 2] {
    let held = ask(server, &format!("/hold?{}", gate.query()), 1);
    gate.wait_started();
    [held, ask(server, "/hello", 2)]
}

fn shed(server: &Server, reason: &str) -> f64 {
    page(server).value("maitred_requests_shed_total", &[("reason", reason)])
}

#[track_caller]
fn assert_shed(client: &mut Client) {
    let response = client.response("GET");
    assert_eq!(response.status, 503);
    assert!(response.field("retry-after").is_some_and(|after| after.parse::<u32>().is_ok()));
}

#[test]
fn workers_get_urgent_requests_first_and_equals_in_their_order() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("orderly.py"), ORDERLY).expect("writable");
    let server = with_priorities("orderly").chdir(folder.path()).start();
    let targets = ["/hold", "/first", "/low/1", "/normal/1", "/high/1", "/low/2", "/high/2", "/normal/2"];
    let mut clients = Vec::new();
    for (target, unfinished) in targets.iter().zip(1..) {
        clients.push(ask(&server, target, unfinished));
    }
    fs::write(folder.path().join("open"), "").expect("writable");
    assert!(clients.iter_mut().all(|client| client.response("GET").status == 200));
    let order = fs::read_to_string(folder.path().join("order")).expect("written");
    let expected = ["/hold", "/first", "/high/1", "/high/2", "/normal/1", "/normal/2", "/low/1", "/low/2"];
    assert_eq!(order.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn in_a_full_queue_the_less_urgent_give_way() {
    let server = with_priorities("kitchen").app_key("queue = 2").start();
    let gate = server.gate("held");
    let mut served = Vec::from(occupy(&server, &gate));
    served.push(ask(&server, "/low/1", 3));
    let mut last = ask(&server, "/low/2", 4);
    // One more of the same kind has no place, …
    let mut client = server.connect();
    client.request("GET", "/low/3", "");
    assert_shed(&mut client);
    // … and neither has its body: nobody asks for it.
    let mut client = server.connect();
    client.request("POST", "/low/4", "Content-Length: 1000000\r\nExpect: 100-continue\r\n");
    assert_shed(&mut client);
    // A more urgent one takes the place of the one that came last.
    let mut urgent = server.connect();
    urgent.request("GET", "/high/1", "");
    assert_shed(&mut last);
    // The connection of who was turned away goes on.
    last.request("GET", "/low/5", "");
    assert_shed(&mut last);
    assert_eq!((shed(&server, "full"), shed(&server, "displaced")), (3.0, 1.0));
    gate.open();
    served.push(urgent);
    for client in &mut served {
        assert_ne!(client.response("GET").status, 503);
    }
}

#[test]
fn who_waits_for_queue_timeout_is_turned_away_while_the_worker_goes_on() {
    let log = "access_log = { path = 'access.log', format = '$uri $status $upstream_queue_time', flush = '100ms' }";
    let builder = with_priorities("kitchen").app_key("queue_timeout = '4s'").server_key(log);
    let server = builder.start();
    let gate = server.gate("held");
    let [mut held, mut behind] = occupy(&server, &gate);
    let mut waiting = server.connect();
    waiting.request("GET", "/high", "");
    // In the shard's queue, and before the worker.
    assert_shed(&mut waiting);
    assert_shed(&mut behind);
    // A client that leaves is no one to be turned away.
    drop(ask(&server, "/high", 2));
    wait_until("the request of the client that left is withdrawn", DEADLINE, || {
        page(&server).value("maitred_requests_withdrawn_total", &[]) == 1.0
    });
    assert_eq!(shed(&server, "timeout"), 2.0);
    gate.open();
    assert_eq!(held.response("GET").status, 200);
    let log = server.folder().join("access.log");
    let lines = || fs::read_to_string(&log).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>();
    wait_until("all have their lines", DEADLINE, || lines().len() == 4);
    for line in lines() {
        let words: Vec<_> = line.split(' ').collect();
        let waited: f64 = words[2].parse().expect("seconds");
        match words[..2] {
            ["/high" | "/hello", "503"] => assert!(waited >= 3.5, "{line}"),
            ["/high", "499"] | ["/hold", "200"] => {}
            _ => panic!("{line}"),
        }
    }
}

/// Requests that lie before busy workers never get to the application once their clients have left or their time is up, however many there are.
#[test]
fn what_lies_before_busy_workers_is_taken_back() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("orderly.py"), ORDERLY).expect("writable");
    let builder = with_admin(Builder::app("orderly").shards(1).workers(2).threads(3)).chdir(folder.path());
    let server = builder.app_key("queue_timeout = '1s'").start();
    let mut held: Vec<_> = (1..=6).map(|number| ask(&server, "/hold", number)).collect();
    wait_until("all are in hand", DEADLINE, || {
        fs::read_to_string(folder.path().join("order")).is_ok_and(|order| order.lines().count() == 6)
    });
    drop((7..=10).map(|number| ask(&server, "/left", number)).collect::<Vec<_>>());
    let mut late: Vec<_> = (0..8)
        .map(|_| {
            let mut client = server.connect();
            client.request("GET", "/late", "");
            client
        })
        .collect();
    late.iter_mut().for_each(assert_shed);
    wait_until("those who left are withdrawn", DEADLINE, || {
        page(&server).value("maitred_requests_withdrawn_total", &[]) == 4.0
    });
    assert_eq!(shed(&server, "timeout"), 8.0);
    fs::write(folder.path().join("open"), "").expect("writable");
    assert!(held.iter_mut().all(|client| client.response("GET").status == 200));
    assert_eq!(server.get("/next").status, 200);
    let order = fs::read_to_string(folder.path().join("order")).expect("written");
    assert_eq!(order.matches("/hold").count(), 6, "{order}");
    assert!(order.ends_with("/next\n") && order.lines().count() == 7, "{order}");
}

/// Its time is up while it lies before the worker, where it got when another client had left.
#[test]
fn who_leaves_shortly_before_its_time_is_up_leaves_nothing_behind() {
    let server = with_priorities("kitchen").app_key("queue_timeout = '1s'").start();
    let in_progress = || page(&server).value("maitred_requests_in_progress", &[]);
    for milliseconds in [400, 450, 500] {
        let gate = server.gate(&format!("held{milliseconds}"));
        let [mut held, lying] = occupy(&server, &gate);
        let begun = Instant::now();
        let queued = ask(&server, "/hello", 3);
        drop(lying);
        wait_until("the place is another's", DEADLINE, || in_progress() == 2.0);
        std::thread::sleep(Duration::from_millis(500 + milliseconds).saturating_sub(begun.elapsed()));
        drop(queued);
        wait_until("nobody waits any more", DEADLINE, || in_progress() == 1.0);
        gate.open();
        assert_eq!(held.response("GET").status, 200);
        wait_until("all is over", DEADLINE, || in_progress() == 0.0);
    }
}

#[test]
fn in_an_overload_nobody_who_is_served_has_waited_long() {
    let folder = tempfile::tempdir().expect("a folder");
    let slow = "import time\ndef application(environ, start_response):\n    time.sleep(0.02)\n    \
                start_response('200 OK', [('Content-Length', '2')])\n    return [b'ok']\n";
    fs::write(folder.path().join("slow.py"), slow).expect("writable");
    let server = with_priorities("slow").chdir(folder.path()).app_key("overload_timeout = '200ms'").start();
    // Each waits for its answer, and all together for more than a second, which is nothing that a pause would mend.
    let end = Instant::now() + 3 * DEADLINE;
    let is_told = || server.log.text().contains("overload: more requests come than the workers can serve");
    std::thread::scope(|scope| {
        let flood = || {
            let mut client = server.connect();
            while Instant::now() < end && !is_told() {
                let status = client.get("/page").status;
                assert!(status == 200 || status == 503, "{status}");
                if status == 503 {
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
        };
        for _ in 0..64 {
            scope.spawn(flood);
        }
    });
    assert!(is_told(), "nothing was said of an overload");
    wait_until("some were turned away", DEADLINE, || shed(&server, "overload") > 0.0);
    assert_eq!(shed(&server, "full"), 0.0);
    // Who comes when it is over is served, and that is told too.
    assert_eq!(server.get("/page").status, 200);
    server.wait_for_line("the overload is over");
    assert_eq!(page(&server).value("maitred_shards_overloaded", &[]), 0.0);
}
