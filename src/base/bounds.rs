//! Every bound of the program, as a named constant with its unit last in the name.
//!
//! Owns the numbers and nothing else; neighbours are checked against each other at compile time.

/// Provided receive buffers of a shard's sockets: size of one, bytes.
pub const RECV_BUFFER_BYTES: usize = 8 * 1024;
/// Provided receive buffers of a shard's sockets: how many. A power of two (io_uring_register_buf_ring(3)).
pub const RECV_BUFFERS: u16 = 512;
/// Bytes that arrive for a connection while its task is busy are kept up to here; then the kernel is told to stop receiving.
pub const BACKLOG_BYTES_MAX: usize = 64 * 1024;

/// Submission queue entries of a shard's ring.
pub const RING_ENTRIES: u32 = 1024;
/// Completion queue entries of a shard's ring.
pub const RING_COMPLETIONS: u32 = 8 * 1024;

/// Request head: request line and fields together, bytes. Over it: 431.
pub const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Request target, bytes. Over it: 414.
pub const TARGET_BYTES_MAX: usize = 8 * 1024;
/// Fields of a request head. Over it: 431.
pub const FIELDS_MAX: usize = 100;
/// One field line (name, colon, value), bytes. Over it: 431.
pub const FIELD_LINE_BYTES_MAX: usize = 16 * 1024;
/// One chunk-size line with its extensions, bytes. Over it: 400.
pub const CHUNK_LINE_BYTES_MAX: usize = 1024;
/// The trailer section of a chunked body, bytes. Over it: 431.
pub const TRAILER_BYTES_MAX: usize = 8 * 1024;

/// One message between a shard and a worker, bytes (either direction).
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// A request body up to here rides along in the message; a larger one is spooled.
pub const INLINE_BODY_BYTES_MAX: usize = 16 * 1024;
/// A spooled body up to here stays in a memfd; a larger one goes to a file.
pub const MEMFD_BODY_BYTES_MAX: usize = 1024 * 1024;
/// Body bytes of one response that a worker may have sent and the shard not yet passed on.
pub const RESPONSE_WINDOW_BYTES: usize = 256 * 1024;
/// One credit: the body bytes that one byte in a credit pipe stands for.
pub const CREDIT_BYTES: usize = 64 * 1024;
/// Provided buffers for worker replies: how many. A power of two.
pub const REPLY_BUFFERS: u16 = 64;

/// Send and receive buffer of the sockets between shards, supervisor and Python: bytes asked of the kernel, which counts its
/// own overhead too and may give less (socket(7), SO_SNDBUF).
pub const PACKET_SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;
/// Descriptors that ride along with one message.
pub const PACKET_DESCRIPTORS_MAX: usize = 4;
/// Connections that the kernel completes before a shard accepts them; the kernel lowers it to net.core.somaxconn (listen(2)).
pub const LISTEN_BACKLOG: i32 = 4096;
/// A child's descriptors are put at numbers below this one.
pub const CHILD_DESCRIPTOR_MAX: i32 = 256;
/// One line of a worker's or zygote's output, bytes; a longer one is logged in pieces.
pub const OUTPUT_LINE_BYTES_MAX: usize = 8 * 1024;

/// Generations that may drain at a time; a reload waits until one of them is gone.
pub const DRAINING_GENERATIONS_MAX: usize = 2;
/// Workers that may die before any of a new generation is up; then its boot has failed.
pub const BOOT_DEATHS_MAX: u32 = 3;
/// Exits of processes that the supervisor does not know yet (a fork report is still under way), kept for that report.
pub const EARLY_EXITS_MAX: usize = 64;

const _: () = assert!(RECV_BUFFERS.is_power_of_two() && REPLY_BUFFERS.is_power_of_two());
const _: () = assert!(TARGET_BYTES_MAX < HEAD_BYTES_MAX && FIELD_LINE_BYTES_MAX < HEAD_BYTES_MAX);
const _: () =
    assert!(INLINE_BODY_BYTES_MAX < MESSAGE_BYTES_MAX && CREDIT_BYTES <= RESPONSE_WINDOW_BYTES);
const _: () = assert!(MESSAGE_BYTES_MAX * 4 <= PACKET_SOCKET_BUFFER_BYTES);
