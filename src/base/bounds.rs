//! Every bound of the program, as a named constant with its unit last in the name.
//!
//! Owns the numbers and nothing else; neighbours are checked against each other at compile time.

/// Provided receive buffers of a shard's sockets: size of one, bytes.
pub const RECV_BUFFER_BYTES: usize = 8 * 1024;
/// Provided receive buffers of a shard's sockets: how many. A power of two (io_uring_register_buf_ring(3)).
pub const RECV_BUFFERS: u16 = 512;
/// Bytes that arrive for a connection while its task is busy are kept up to here; then the kernel is told to stop receiving.
pub const BACKLOG_BYTES_MAX: usize = 64 * 1024;
/// Provided buffers that may wait for one connection's task at once; more is copied aside.
pub const CHUNKS_WAITING_MAX: usize = 8;

/// Submission queue entries of a shard's ring.
pub const RING_ENTRIES: u32 = 1024;
/// Completion queue entries of a shard's ring.
pub const RING_COMPLETIONS: u32 = 8 * 1024;

/// Request head: request line and fields together, bytes. Over it: 431.
pub const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Request method, bytes. Over it: 501.
pub const METHOD_BYTES_MAX: usize = 32;
/// Request target, bytes. Over it: 414.
pub const TARGET_BYTES_MAX: usize = 8 * 1024;
/// Fields of a request head. Over it: 431.
pub const FIELDS_MAX: usize = 100;
/// One field line (name, colon, value), bytes. Over it: 431.
pub const FIELD_LINE_BYTES_MAX: usize = 16 * 1024;
/// One chunk-size line with its extensions, bytes. Over it: 400.
pub const CHUNK_LINE_BYTES_MAX: usize = 1024;
/// All chunk extensions of one body together, bytes. Over it: 400. Keeps a body of one-byte chunks from costing a thousandfold.
pub const CHUNK_EXTENSIONS_BYTES_MAX: usize = 16 * 1024;
/// The trailer section of a chunked body, bytes. Over it: 431.
pub const TRAILER_BYTES_MAX: usize = 8 * 1024;

/// Fields of a response as an application writes them. Over it: the response is refused.
pub const RESPONSE_FIELDS_MAX: usize = 256;

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

/// A static file up to here is kept whole in the shard's cache, bytes; a larger one is sent from its descriptor.
pub const STATIC_FILE_BYTES_MAX: usize = 64 * 1024;
/// Ready responses of static files in a shard's cache, bytes.
pub const STATIC_CACHE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Ready responses of static files in a shard's cache: how many.
pub const STATIC_CACHE_ENTRIES_MAX: usize = 10_000;
/// Descriptors of large static files that a shard keeps open.
pub const STATIC_DESCRIPTORS_MAX: usize = 128;
/// A descriptor of a large static file that nobody asked for is closed after so long, seconds.
pub const STATIC_DESCRIPTOR_IDLE_SECONDS: u64 = 10;
/// Paths that a shard remembers to lead to no file: how many.
pub const STATIC_MISSES_MAX: usize = 1024;
/// Paths that a shard remembers to lead to no file, bytes.
pub const STATIC_MISSES_BYTES_MAX: usize = 256 * 1024;
/// What is known of a static file counts for so long before the file is looked at again, milliseconds.
pub const STATIC_FRESH_MS: u64 = 1000;
/// While one request looks at a static file again, others are still answered from what was known up to so long ago, milliseconds.
pub const STATIC_STALE_MS_MAX: u64 = 2000;

const _: () = assert!(RECV_BUFFERS.is_power_of_two() && REPLY_BUFFERS.is_power_of_two());
const _: () = assert!(TARGET_BYTES_MAX < HEAD_BYTES_MAX && FIELD_LINE_BYTES_MAX < HEAD_BYTES_MAX);
const _: () = assert!(METHOD_BYTES_MAX < TARGET_BYTES_MAX && CHUNK_LINE_BYTES_MAX <= CHUNK_EXTENSIONS_BYTES_MAX);
const _: () = assert!(INLINE_BODY_BYTES_MAX < MESSAGE_BYTES_MAX && CREDIT_BYTES <= RESPONSE_WINDOW_BYTES);
const _: () = assert!(RING_COMPLETIONS >= RING_ENTRIES && CHUNKS_WAITING_MAX * 4 <= RECV_BUFFERS as usize);
const _: () = assert!(STATIC_FILE_BYTES_MAX < STATIC_CACHE_BYTES_MAX && STATIC_FRESH_MS < STATIC_STALE_MS_MAX);
