//! The lines of the server's stderr, collected by a thread of their own so that the pipe never fills.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// All lines so far; waits for more.
pub struct Log {
    shared: Arc<Shared>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<String>,
    ended: bool,
}

impl Log {
    /// Reads `pipe` until its end.
    pub fn new(pipe: impl Read + Send + 'static) -> Log {
        let shared = Arc::new(Shared::default());
        let writer = Arc::clone(&shared);
        let reader = std::thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while matches!(pipe.read_until(b'\n', &mut line), Ok(n) if n > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                writer.state.lock().expect("no reader panics").lines.push(text);
                writer.changed.notify_all();
                line.clear();
            }
            writer.state.lock().expect("no reader panics").ended = true;
            writer.changed.notify_all();
        });
        Log { shared, reader: Some(reader) }
    }

    /// How many lines there are: later waits can start here.
    pub fn mark(&self) -> usize {
        self.shared.state.lock().expect("no reader panics").lines.len()
    }

    /// A copy of the lines from `mark` on.
    pub fn lines_from(&self, mark: usize) -> Vec<String> {
        self.shared.state.lock().expect("no reader panics").lines[mark..].to_vec()
    }

    /// Everything in one string, for messages and searches.
    pub fn text(&self) -> String {
        self.lines_from(0).join("\n")
    }

    /// The first line from `mark` on that contains `pattern`, or none within `limit` or before the pipe ended.
    pub fn wait_from(&self, mark: usize, pattern: &str, limit: Duration) -> Option<String> {
        let deadline = Instant::now() + limit;
        let mut seen = mark;
        let mut state = self.shared.state.lock().expect("no reader panics");
        loop {
            if let Some(line) = state.lines[seen..].iter().find(|l| l.contains(pattern)) {
                return Some(line.clone());
            }
            seen = state.lines.len();
            let left = deadline.saturating_duration_since(Instant::now());
            if state.ended || left.is_zero() {
                return None;
            }
            state = self.shared.changed.wait_timeout(state, left).expect("no reader panics").0;
        }
    }

    /// Waits until every holder of the pipe's write end is gone, so that nothing is missing from the lines.
    pub fn wait_end(&mut self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let mut state = self.shared.state.lock().expect("no reader panics");
        while !state.ended {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.shared.changed.wait_timeout(state, left).expect("no reader panics").0;
        }
        drop(state);
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reader only collects lines");
        }
        true
    }
}
