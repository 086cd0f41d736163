//! What zero-copy sends cost beside sends that copy: the measurement behind the ring's having none.
//!
//! `cargo test --release --lib zero_copy -- --ignored --nocapture` prints it.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

use io_uring::{IoUring, cqueue, opcode, squeue, types};

/// Bytes that each way of sending moves.
const TOTAL_BYTES: usize = 2 << 30;

/// Processor time of the whole process, so that the receiver's share is in it.
fn cpu() -> Duration {
    let usage = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(usage.tv_sec as u64, usage.tv_nsec as u32)
}

/// Sends [`TOTAL_BYTES`] in pieces of `size` and returns µs of processor time a piece, and how often the kernel said that it
/// copied all the same.
fn run(size: usize, zero_copy: bool) -> (f64, u64) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let socket = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
    let (mut other, _) = listener.accept().expect("it connected");
    let reader = std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 20];
        while other.read(&mut buffer).is_ok_and(|count| count > 0) {}
    });
    let mut ring: IoUring<squeue::Entry, cqueue::Entry> =
        IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(64).expect("io_uring is permitted here");
    let buffer = vec![b'x'; size];
    let pieces = TOTAL_BYTES / size;
    let before = cpu();
    let mut copied = 0;
    for _ in 0..pieces {
        let mut sent = 0;
        while sent < size {
            let (at, left) = (buffer[sent..].as_ptr(), (size - sent) as u32);
            let fd = types::Fd(socket.as_raw_fd());
            let entry = if zero_copy {
                // IORING_SEND_ZC_REPORT_USAGE
                opcode::SendZc::new(fd, at, left).zc_flags(1 << 3).build()
            } else {
                opcode::Send::new(fd, at, left).build()
            };
            // SAFETY: `buffer` outlives the loop below, which waits for every completion of the entry.
            unsafe { ring.submission().push(&entry) }.expect("one entry at a time");
            let mut more = true;
            while more {
                ring.submit_and_wait(1).expect("the ring works");
                for completion in ring.completion() {
                    more = cqueue::more(completion.flags());
                    if cqueue::notif(completion.flags()) {
                        copied += u64::from(completion.result() as u32 & (1 << 31) != 0);
                    } else {
                        sent += usize::try_from(completion.result()).expect("the peer reads");
                    }
                }
            }
        }
    }
    let spent = cpu() - before;
    drop(socket);
    reader.join().expect("the reader ends with the stream");
    (spent.as_secs_f64() * 1e6 / pieces as f64, copied)
}

#[test]
#[ignore = "a measurement"]
fn zero_copy_sends_beside_copying_ones() {
    println!("| bytes a send | copying, µs | zero-copy, µs | ratio | copied all the same |");
    println!("| --- | --- | --- | --- | --- |");
    for size in [4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20] {
        let mut rounds: Vec<_> = (0..3).map(|_| (run(size, false), run(size, true))).collect();
        rounds.sort_by(|a, b| (a.1.0 / a.0.0).total_cmp(&(b.1.0 / b.0.0)));
        let ((plain, _), (zero, copied)) = rounds[1];
        println!("| {size} | {plain:.1} | {zero:.1} | {:.2} | {copied} of {} |", zero / plain, TOTAL_BYTES / size);
    }
}
