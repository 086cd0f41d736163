//! Every bound of the program, as a named constant with its unit last in the name.
//!
//! Owns the numbers and nothing else; neighbours are checked against each other at compile time.

/// Provided receive buffers of a shard's sockets: size of one, bytes.
pub const RECV_BUFFER_BYTES: usize = 8 * 1024;
/// Provided receive buffers of a shard's sockets: how many. A power of two (io_uring_register_buf_ring(3)).
pub const RECV_BUFFERS: u16 = 256;
/// Bytes that arrive for a connection while its task is busy are kept up to here; then the kernel is told to stop receiving.
pub const BACKLOG_BYTES_MAX: usize = 64 * 1024;
/// Provided buffers that may wait for one connection's task at once; more is copied aside.
pub const CHUNKS_WAITING_MAX: usize = 8;

/// Connections that were accepted and wait for their shard; then the kernel is told to stop accepting.
pub const ACCEPTED_WAITING_MAX: usize = 256;
/// How often a shard that accepts no more takes what waits in a listener's queue still.
pub const LAST_ACCEPTS_MAX: usize = 16;

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
/// Hops between the peer of a connection and its client over which forwarding fields are followed; the last of them counts as the client.
pub const FORWARDED_HOPS_MAX: usize = 64;
/// Entries of `trusted_proxies`.
pub const TRUSTED_PROXIES_MAX: usize = 1024;
/// A PROXY header at the beginning of a connection, bytes; what may follow its addresses is never longer in practice. Over it: the connection is closed.
pub const PROXY_HEADER_BYTES_MAX: usize = 4 * 1024;
/// One chunk-size line with its extensions, bytes. Over it: 400.
pub const CHUNK_LINE_BYTES_MAX: usize = 1024;
/// All chunk extensions of one body together, bytes. Over it: 400. Keeps a body of one-byte chunks from costing a thousandfold.
pub const CHUNK_EXTENSIONS_BYTES_MAX: usize = 16 * 1024;
/// The trailer section of a chunked body, bytes. Over it: 431.
pub const TRAILER_BYTES_MAX: usize = 8 * 1024;

/// Fields of a response as an application writes them. Over it: the response is refused.
pub const RESPONSE_FIELDS_MAX: usize = 256;

/// Early hints of one response that wait for its client; one more is dropped.
pub const EARLY_HINTS_QUEUED_MAX: usize = 8;

/// One message between a shard and a worker, bytes (either direction).
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// A request body up to here rides along in the message; a larger one is spooled.
pub const INLINE_BODY_BYTES_MAX: usize = 16 * 1024;
/// A spooled body up to here stays in memory; a larger one goes to a file.
pub const MEMORY_BODY_BYTES_MAX: usize = 1024 * 1024;
/// Spooled bodies in memory of one shard, all together; with no room for one more it goes to a file.
pub const MEMORY_BODIES_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Regions for bodies that a shard keeps ready for the next ones; they go when they are of no use.
pub const BODY_REGIONS_KEPT_MAX: usize = 32;
/// Bodies whose answer is out while their worker may still read them: so many of a shard's are remembered, to use their memory again.
pub const BODIES_UNRELEASED_MAX: usize = 256;
/// They are for no longer than this, seconds.
pub const BODIES_UNRELEASED_SECONDS: u64 = 10;
/// What is left of a body is received straight to where it is to lie, if it is no less than this, bytes.
pub const DIRECT_RECEIVE_BYTES_MIN: u64 = 16 * 1024;
/// Responses that one shard keeps in memory for clients that do not take them, all together; what is more goes to files.
pub const BUFFERED_RESPONSES_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Pieces of a response that are kept are put together up to this size, bytes.
pub const BUFFERED_PIECE_BYTES: usize = 16 * 1024;
/// The most that can be allowed of one response in memory, bytes.
pub const RESPONSE_BUFFER_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// The most that can be allowed of one response in its file, bytes: 1 TiB.
pub const RESPONSE_SPOOL_BYTES_MAX: u64 = 1 << 40;
/// Body bytes of one response that a worker may have sent and the shard not yet passed on.
pub const RESPONSE_WINDOW_BYTES: usize = 256 * 1024;
/// One credit: the body bytes that one byte in a credit pipe stands for.
pub const CREDIT_BYTES: usize = 64 * 1024;
/// A body that an application gives away whole goes through its worker's outbox if it has more bytes than this, and else in its message.
pub const OUTBOX_BODY_BYTES_MIN: usize = 16 * 1024;
/// One slot of an outbox, bytes: a larger body goes in messages.
pub const OUTBOX_SLOT_BYTES: usize = 128 * 1024;
/// Slots of a worker thread's outbox; with none of them free a body goes in messages.
pub const OUTBOX_SLOTS: usize = 16;
/// Records of a reply ring, of which each worker thread has one for each shard; a full one sends answers to the shard's reply socket.
pub const REPLY_RECORDS: usize = 31;
/// One record of a reply ring, bytes, four of which are the message's length: a longer message goes to the shard's reply socket.
pub const REPLY_RECORD_BYTES: usize = 1024;
/// Records of a request ring, of which each shard has one for all worker threads; with a full one requests go through the inbox.
pub const REQUEST_RECORDS: usize = 64;
/// One record of a request ring, bytes, sixteen of which are its own: a longer message goes through the inbox.
pub const REQUEST_RECORD_BYTES: usize = 2048;
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

/// Requests after which a worker may be replaced, and the most that may be added to that at random.
pub const WEAR_REQUESTS_MAX: u64 = 1_000_000_000_000;
/// How often requests and memory of workers are looked at that are to be replaced for them, seconds.
pub const WEAR_LOOK_SECONDS: u64 = 1;
/// What is told of the answer to a warm-up that was not the expected one, bytes.
pub const WARMUP_EXCERPT_BYTES: usize = 256;

/// Generations that may drain at a time; a reload waits until one of them is gone.
pub const DRAINING_GENERATIONS_MAX: usize = 2;
/// In development an old generation has so long to finish what it has in hand, seconds.
pub const DEVELOPMENT_DRAIN_SECONDS: u64 = 2;
/// Directories that are watched for changes of the application.
pub const WATCHED_DIRECTORIES_MAX: usize = 16 * 1024;
/// Names of files that are watched for changes of the application.
pub const WATCHED_FILES_MAX: usize = 128 * 1024;
/// Further files that are watched because somebody has named them.
pub const RELOAD_EXTRA_FILES_MAX: usize = 1024;
/// Files are left alone for so long before a change of them is acted upon, milliseconds.
pub const WATCH_QUIET_MS: u64 = 50;
/// Files that never come to rest are acted upon after so long all the same, milliseconds.
pub const WATCH_QUIET_MS_MAX: u64 = 5_000;
/// Workers that may die before any of a new generation is up; then its boot has failed.
pub const BOOT_DEATHS_MAX: u32 = 3;
/// Exits of processes that the supervisor does not know yet (a fork report is still under way), kept for that report: so many, and one for each worker.
pub const EARLY_EXITS_MAX: usize = 64;

/// The config file, bytes.
pub const CONFIG_FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Files that a supervisord.conf may include.
pub const INCLUDED_FILES_MAX: usize = 1000;
/// Bytes between the marks of process communication that are kept of a program's stream.
pub const CAPTURE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Processes of all programs together.
pub const PROCESSES_MAX: u64 = 10_000;
/// Where the numbers of a program's processes may start.
pub const PROCESS_NUMBER_MAX: u64 = 1_000_000;
/// Retries of a start.
pub const START_RETRIES_MAX: u64 = 1_000_000_000;
/// Size at which a program's log file is rotated, bytes: 1 TiB.
pub const LOG_FILE_BYTES_MAX: u64 = 1 << 40;
/// How often the memory of a program with `max_rss` is looked at, seconds.
pub const RSS_LOOK_SECONDS: u64 = 5;
/// Memory that a program may be allowed, bytes: 1 PiB.
pub const RSS_BYTES_MAX: u64 = 1 << 50;
/// Descriptors that a program may be limited to; the kernel's own bound (fs.nr_open) is mostly the same.
pub const NOFILE_MAX: u64 = 1 << 20;
/// Processes that a program may be limited to: the kernel's highest process id.
pub const NPROC_MAX: u64 = 1 << 22;
/// CPUs that a program may be limited to.
pub const CPUS_MAX: u64 = 4096;
/// How long a process that an earlier maitred has left, of a program that is no longer there, may take to stop, seconds.
pub const ORPHAN_SECONDS: u64 = 10;
/// Failed checks in a row that may be allowed.
pub const CHECK_FAILURES_MAX: u64 = 1000;
/// Bytes of the answer to a check that are looked at.
pub const CHECK_ANSWER_BYTES_MAX: usize = 512;
/// A log file is rotated at no smaller size, bytes.
pub const LOG_FILE_BYTES_MIN: u64 = 4 * 1024;
/// Rotated log files of a program's stream that are kept.
pub const LOG_BACKUPS_MAX: u64 = 1000;
/// Least age at which a program's log file is rotated, milliseconds.
pub const LOG_AGE_MIN_MS: u64 = 1000;
/// Greatest age at which a program's log file is rotated, milliseconds: 366 days.
pub const LOG_AGE_MAX_MS: u64 = 366 * 24 * 60 * 60 * 1000;
/// A certificate, key or OCSP file, bytes.
pub const TLS_FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Certificates of one file.
pub const CERTIFICATES_MAX: usize = 1024;
/// A ClientHello in which a name is looked for, bytes.
pub const CLIENT_HELLO_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a TLS record, or of a handshake message in several records, that wait for the rest: the longest message, and a receive's
/// worth more.
pub const TLS_PENDING_BYTES_MAX: usize = 192 * 1024;
/// Parts of a response up to here together are copied into one TLS record; larger ones are encrypted as they are.
pub const TLS_ONE_RECORD_BYTES_MAX: usize = 16 * 1024;
/// Bytes that are encrypted at a time, before other connections of the shard get their turn.
pub const TLS_SEALED_BYTES_MAX: usize = 256 * 1024;
/// Bytes of a file that are read, and encrypted or copied, at a time.
pub const COPIED_SLICE_BYTES: usize = 64 * 1024;
/// What a TLS session may have to say beside responses before it is given up, bytes.
pub const TLS_WAITING_BYTES_MAX: usize = 16 * 1024;
/// Certificate files are looked at for changes so often, seconds.
pub const TLS_LOOK_SECONDS: u64 = 2;
/// Entries of `[[tls]]`.
pub const TLS_ENTRIES_MAX: usize = 4096;
/// Certificates of one entry: one for each kind of key.
pub const TLS_ENTRY_CERTIFICATES_MAX: usize = 8;
/// Names of one certificate that the server gets by itself; what Let's Encrypt takes.
pub const ACME_NAMES_MAX: usize = 100;
/// Bytes of a host name (RFC 1035 §2.3.4).
pub const HOST_BYTES_MAX: usize = 253;
/// Addresses in an ACME account.
pub const ACME_EMAILS_MAX: usize = 10;
/// An ACME directory's URL, or the identifier of a key, bytes.
pub const ACME_URL_BYTES_MAX: usize = 2048;
/// An answer of an ACME server, bytes.
pub const ACME_ANSWER_BYTES_MAX: u64 = 1024 * 1024;
/// What is read of the files beside certificates: the account, a key that binds it, the state of attempts, bytes.
pub const ACME_FILE_BYTES_MAX: u64 = 64 * 1024;
/// One request to an ACME server may take so long, seconds.
pub const ACME_REQUEST_SECONDS: u64 = 30;
/// From the first request for a certificate to the end of the attempt, seconds; a request may still run over it.
pub const ACME_ATTEMPT_SECONDS: u64 = 300;
/// Between two questions for the state of an order, seconds at most.
pub const ACME_POLL_SECONDS_MAX: u64 = 30;
/// Shards may take so long to take over challenges, seconds.
pub const ACME_PUBLISH_SECONDS: u64 = 10;
/// The longest wait after a failure, whatever the authority asks for, seconds: a week. Let's Encrypt's longest limits are as long.
pub const ACME_WAIT_SECONDS_MAX: u64 = 7 * 24 * 3600;
/// The longest wait that comes from failures alone, seconds: a day.
pub const ACME_BACKOFF_SECONDS_MAX: u64 = 24 * 3600;
/// While an authority can't be reached, it is left alone for so long at most, seconds.
pub const ACME_PAUSE_SECONDS_MAX: u64 = 3600;
/// Certificates and clock are looked at so often, seconds: a clock that jumps is noticed then.
pub const ACME_LOOK_SECONDS: u64 = 60;
/// What is logged of an authority's explanation, characters.
pub const ACME_MESSAGE_CHARS_MAX: usize = 500;
/// Listen addresses.
pub const LISTENERS_MAX: u64 = 64;
/// Routes of the configuration.
pub const ROUTES_MAX: usize = 4096;
/// Routes of the configuration that are found by a regular expression.
pub const ROUTE_REGEXES_MAX: usize = 256;
/// A route's regular expression as it is written, bytes.
pub const REGEX_BYTES_MAX: usize = 1024;
/// Longest call of an application factory, bytes: it goes to workers in a control message, beside the rest.
pub const WSGI_CALL_BYTES_MAX: usize = 4096;
/// A route's regular expression as a program, bytes.
pub const REGEX_PROGRAM_BYTES_MAX: usize = 256 * 1024;
/// What one regular expression may remember of its work, bytes.
pub const REGEX_CACHE_BYTES_MAX: usize = 256 * 1024;
/// The target of a redirect as it is written, bytes.
pub const TEMPLATE_BYTES_MAX: usize = 2048;
/// The fixed text of a route, bytes.
pub const FIXED_RESPONSE_BYTES_MAX: usize = 64 * 1024;
/// The page that a route has for an error, bytes.
pub const ERROR_PAGE_BYTES_MAX: u64 = 256 * 1024;
/// Redirects within the server that one request may go through, as in nginx.
pub const INTERNAL_REDIRECTS_MAX: usize = 10;
/// The name of a charset that an application orders, bytes.
pub const CHARSET_BYTES_MAX: usize = 64;
/// Networks, and paths, that maintenance mode lets through.
pub const MAINTENANCE_EXCEPTIONS_MAX: usize = 256;
/// Directories whose files an application may name, per route.
pub const SENDFILE_ROOTS_MAX: usize = 16;
/// What a route adds to the fields of its responses, bytes.
pub const HEADER_LINES_BYTES_MAX: usize = 8 * 1024;
/// Shards.
pub const SHARDS_MAX: u64 = 1024;
/// Connections of one shard.
pub const CONNECTIONS_MAX: u64 = 1024 * 1024;
/// Length of a listener's accept queue; the kernel clamps it to net.core.somaxconn.
pub const LISTEN_BACKLOG_MAX: u64 = 65_535;
/// Worker processes.
pub const WORKERS_MAX: u64 = 1024;
/// Threads of one worker.
pub const WORKER_THREADS_MAX: u64 = 1024;
/// Requests of one shard that wait for a worker.
pub const QUEUE_MAX: u64 = 1024 * 1024;
/// Shortest timeout that can be configured, milliseconds; the deadline wheel is not finer.
pub const TIMEOUT_MIN_MS: u64 = 100;
/// Longest timeout that can be configured, milliseconds: a day.
pub const TIMEOUT_MAX_MS: u64 = 24 * 60 * 60 * 1000;
/// Largest request body that can be allowed, bytes: 1 TiB.
pub const BODY_BYTES_MAX: u64 = 1 << 40;

/// Lines of the diagnostic log that wait to be written; further ones are lost.
pub const LOG_LINES_MAX: usize = 16 * 1024;

/// Listening sockets that are taken over from systemd or from a server that is being replaced.
pub const INHERITED_DESCRIPTORS_MAX: usize = 4096;
/// What stands before the names of statsd's metrics, and the tags behind them, bytes each.
pub const STATSD_BYTES_MAX: usize = 256;
/// A name for processes, bytes.
pub const PROC_NAME_BYTES_MAX: usize = 64;

/// One line of the access log, bytes; values that are longer are cut.
pub const ACCESS_LINE_BYTES_MAX: usize = 64 * 1024;
/// Connections of the admin listener.
pub const ADMIN_CONNECTIONS_MAX: usize = 32;
/// Provided receive buffers of the admin listener: how many. A power of two.
pub const ADMIN_BUFFERS: u16 = 16;
/// How long a client of the admin listener may take for a request, for its answer, and between requests, milliseconds.
pub const ADMIN_TIMEOUT_MS: u64 = 30_000;
/// How long the metrics wait for a shard, milliseconds.
pub const SCRAPE_MS_MAX: u64 = 1_000;
/// A request id that is taken over from outside, bytes.
pub const REQUEST_ID_BYTES_MAX: usize = 128;
/// Lines that a shard may gather before it writes them, bytes.
pub const ACCESS_BUFFER_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Rotated files of an access log that may be kept.
pub const ACCESS_ROTATED_FILES_MAX: u64 = 1000;
/// Size at which an access log may be rotated, bytes: 1 TiB.
pub const ACCESS_ROTATE_BYTES_MAX: u64 = 1 << 40;
/// What a shard that ends waits for its last lines to be written, milliseconds.
pub const ACCESS_FLUSH_MS_MAX: u64 = 2_000;
/// Lines that were dropped are told of in the diagnostic log at most this often, seconds.
pub const ACCESS_WARNING_SECONDS: u64 = 10;
/// One message to syslog, bytes; a longer line is cut.
pub const SYSLOG_BYTES_MAX: usize = 8 * 1024;
/// A format of the access log, bytes.
pub const ACCESS_FORMAT_BYTES_MAX: usize = 3 * 1024;

/// A connection that is closed by the server reads on for so long, so that its last response arrives: milliseconds.
pub const LINGER_MS_MAX: u64 = 2_000;
/// … and so many bytes.
pub const LINGER_BYTES_MAX: usize = 256 * 1024;
/// A connection that was accepted before the server's end began has so long to send its first request: milliseconds.
pub const LAST_REQUEST_MS_MAX: u64 = 1_000;
/// The body of a request that nobody wants is read over up to here; past it the connection ends instead.
pub const BODY_SKIPPED_BYTES_MAX: u64 = 1024 * 1024;
/// A response body up to here is copied behind its head: cheaper than a second part, and its buffer is free at once.
pub const COPIED_RESPONSE_BYTES_MAX: usize = 4 * 1024;
/// Bytes of a file that are sent before other connections of the shard get their turn.
pub const SENDFILE_SLICE_BYTES: usize = 256 * 1024;
/// Files of at least so many bytes are copied for receivers on the same machine; smaller ones stay in the processor's caches by themselves.
pub const LOCAL_COPY_BYTES_MIN: u64 = 16 * 1024 * 1024;
/// Distance of the samples by which a slice is judged to be in the page cache.
pub const PAGE_CACHE_STRIDE_BYTES: usize = 64 * 1024;

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
/// Candidates of a static route's `fallback`.
pub const STATIC_FALLBACKS_MAX: usize = 16;
/// Entries of a directory that are listed.
pub const LISTING_ENTRIES_MAX: usize = 10_000;
/// A manifest of hashed names (`staticfiles.json`), bytes.
pub const MANIFEST_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Entries of a static route's `types`.
pub const STATIC_TYPES_MAX: usize = 1024;
/// Longest `expires` of a static route, seconds: ten years.
pub const STATIC_EXPIRES_SECONDS_MAX: u64 = 10 * 365 * 86_400;
/// Ranges of one request that are answered; a Range field with more is ignored, as nginx's max_ranges does.
pub const RANGES_MAX: usize = 16;
/// A file, or a response, under so many bytes is not compressed: it would not fit into fewer packets.
pub const COMPRESSED_BYTES_MIN: u64 = 256;
/// The largest static file that is compressed on the fly, bytes.
pub const COMPRESSED_BYTES_MAX: u64 = 2 * 1024 * 1024;
/// The largest `min_length` of responses that are compressed on their way, bytes.
pub const COMPRESSED_LENGTH_MIN_MAX: u64 = 1024 * 1024;
/// Types of content in a list of those that are compressed.
pub const COMPRESSED_TYPES_MAX: usize = 256;
/// Bytes of a response that are compressed before other tasks of the shard have their turn.
pub const COMPRESSED_SLICE_BYTES: usize = 32 * 1024;
/// Bytes that the encoders of a shard's streams may hold together; further streams are sent as they are.
pub const STREAM_ENCODERS_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Jobs that wait for the helper thread of a shard; further ones are refused.
pub const HELPER_JOBS_MAX: usize = 64;
/// Files that a shard has its helper thread compress at the same time; others are sent as they are.
pub const COMPRESSIONS_MAX: usize = 32;
/// Members of an Accept-Encoding field that are looked at; further ones are ignored.
pub const ACCEPT_ENCODING_MEMBERS_MAX: usize = 32;

/// Requests that each worker thread may have before it, the one in hand among them, when they take long.
pub const PIPELINE_DEPTH_MIN: usize = 2;
/// … and when they are answered so fast that a thread would have to sleep and wake for each.
pub const PIPELINE_DEPTH_MAX: usize = 16;
/// Provided buffers for the messages of zygotes: how many. A power of two.
pub const CONTROL_BUFFERS: u16 = 4;
/// What is read of a child's output at a time, bytes.
pub const OUTPUT_BUFFER_BYTES: usize = 8 * 1024;
/// A thread whose request has taken too long has so long to let go of it, milliseconds; then its process is ended.
pub const INTERRUPT_GRACE_MS: u64 = 2_000;
/// A worker that is ended because a request took too long has so long to write down its stacks, milliseconds.
pub const ABORT_GRACE_MS: u64 = 1_000;
/// What a fast stop leaves workers and shards before they are ended, seconds.
pub const FAST_STOP_SECONDS: u64 = 2;
/// How long ended processes are waited for before the program exits without them, seconds.
pub const REAP_SECONDS: u64 = 5;
/// The least time between two starts of a program's process, milliseconds.
pub const RESTART_SPACING_MS: u64 = 100;
/// While what starts earlier fails so often, what starts later waits for it.
pub const START_FAILURES_AWAITED: u32 = 3;
/// Processes of one program that are looked for when all of them are to be ended.
pub const TREE_PROCESSES_MAX: usize = 10_000;
/// Lines of one stream of a program that go into the log in a second; then its pipe is left alone until the next.
pub const OUTPUT_LINES_PER_SECOND_MAX: u32 = 2_000;
/// Bytes of one stream of a program that go into a file in a second; then its pipe is left alone for a while.
pub const OUTPUT_BYTES_PER_SECOND_MAX: u64 = 32 * 1024 * 1024;
/// … besides so many at once, after a calm, bytes.
pub const OUTPUT_BURST_BYTES_MAX: u64 = 1024 * 1024;
/// What is read at a time of a stream whose lines go into the log, bytes: each may be a line.
pub const OUTPUT_LINES_BUFFER_BYTES: usize = 2 * 1024;
/// What waits to be read from its standard input by a program, bytes.
pub const PROGRAM_INPUT_BYTES_MAX: usize = 1024 * 1024;
/// Events that may wait for one pool of listeners, as it is configured.
pub const EVENT_BUFFER_MAX: u64 = 100_000;
/// … and their payloads, bytes; one event may be larger.
pub const EVENTS_WAITING_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Events that were dropped are named in the log, so many a second.
pub const EVENTS_DROPPED_LINES_PER_SECOND_MAX: u32 = 20;
/// The line with which an event listener begins a result, bytes.
pub const RESULT_LINE_BYTES_MAX: usize = 1024;
/// What is kept of a program's stream that goes into no file, for those who ask for its end, bytes.
pub const RECENT_OUTPUT_BYTES: usize = 16 * 1024;
/// What waits for somebody who follows a program's stream, bytes; older ones are left out then.
pub const FOLLOWER_BYTES_MAX: usize = 256 * 1024;
/// What is kept of maitred's own log for those who ask for its end, bytes.
pub const MAIN_LOG_BYTES: usize = 256 * 1024;
/// With so much of its past the tail of a log begins, bytes.
pub const TAIL_BYTES: u64 = 1024;
/// After a stop the last words of programs are waited for so long, milliseconds.
pub const OUTPUT_FINISH_MS: u64 = 500;
/// What is read of a rotated log file at a time while it is compressed, bytes.
pub const PACKING_BUFFER_BYTES: usize = 64 * 1024;
/// A log file that can't be opened is tried again after so long, seconds.
pub const LOG_REOPEN_SECONDS: u64 = 5;
/// Body of a control request, bytes. Over it: 413.
pub const CONTROL_BODY_BYTES_MAX: u64 = 1024 * 1024;
/// Depth of a value in a control call.
pub const CONTROL_DEPTH_MAX: usize = 16;
/// Values in a control call.
pub const CONTROL_VALUES_MAX: usize = 10_000;
/// Connections to the control socket; further ones wait.
pub const CONTROL_CONNECTIONS_MAX: usize = 64;
/// A control connection on which nothing comes for so long is closed, seconds: people leave an interactive client open.
pub const CONTROL_IDLE_SECONDS: u64 = 1_800;
/// A control request that has begun must have arrived after so long, and its answer must have been taken, seconds.
pub const CONTROL_REQUEST_SECONDS: u64 = 60;
/// Answer of a server that `maitred ctl` still reads, bytes.
pub const CONTROL_ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Bytes of a log that one control call may read.
pub const CONTROL_LOG_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Letters that a mailbox between supervisor and shard holds.
pub const MAILBOX_CAPACITY: usize = 64;

/// Rate limits of one route.
pub const RATE_LIMITS_MAX: usize = 8;
/// Requests of a rate's one period.
pub const RATE_COUNT_MAX: u64 = 1_000_000_000;
/// Requests that may come ahead of a rate.
pub const RATE_BURST_MAX: u64 = 1_000_000;
/// In what time a rate limit forgets a key at the latest, seconds: 30 days.
pub const RATE_WINDOW_SECONDS_MAX: u64 = 30 * 86_400;
/// Keys that one limit's table has room for; each takes 16 bytes.
pub const LIMIT_KEYS_MAX: u64 = 16 * 1024 * 1024;
/// … and no fewer than so many.
pub const LIMIT_KEYS_MIN: u64 = 64;
/// A refused or delayed request of one limit is told of in the diagnostic log at most this often, seconds; the line says how many there were.
pub const LIMIT_WARNING_SECONDS: u64 = 1;
/// Requests in progress that can be allowed of one route.
pub const ROUTE_CONNECTIONS_MAX: u64 = 1024 * 1024 * 1024;
/// Rules of one route by which clients are let in or kept out.
pub const ACCESS_RULES_MAX: usize = 4096;
/// Entries of `allowed_hosts`.
pub const ALLOWED_HOSTS_MAX: usize = 4096;
/// A file of users and passwords, bytes.
pub const HTPASSWD_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Users of one such file.
pub const HTPASSWD_USERS_MAX: usize = 32 * 1024;
/// A password that a client sends, bytes; a longer one is wrong.
pub const PASSWORD_BYTES_MAX: usize = 1024;
/// The dearest bcrypt hash that is verified: 2¹⁶ rounds.
pub const BCRYPT_COST_MAX: u32 = 16;
/// The dearest argon2 hash that is verified: its memory, KiB.
pub const ARGON2_KIB_MAX: u32 = 256 * 1024;
/// … and its passes.
pub const ARGON2_PASSES_MAX: u32 = 16;
/// Credentials that a shard remembers to be right.
pub const VERIFIED_CREDENTIALS_MAX: usize = 1024;
/// Credentials that one shard has verified at the same time; one more is answered with 503.
pub const VERIFICATIONS_MAX: usize = 16;
/// Files of users are looked at for changes so often, seconds.
pub const HTPASSWD_LOOK_SECONDS: u64 = 2;

const _: () = assert!(RECV_BUFFERS.is_power_of_two() && REPLY_BUFFERS.is_power_of_two());
const _: () = assert!(TARGET_BYTES_MAX < HEAD_BYTES_MAX && FIELD_LINE_BYTES_MAX < HEAD_BYTES_MAX);
const _: () = assert!(METHOD_BYTES_MAX < TARGET_BYTES_MAX && CHUNK_LINE_BYTES_MAX <= CHUNK_EXTENSIONS_BYTES_MAX);
const _: () = assert!(INLINE_BODY_BYTES_MAX < MESSAGE_BYTES_MAX && CREDIT_BYTES <= RESPONSE_WINDOW_BYTES);
const _: () = assert!(RING_COMPLETIONS >= RING_ENTRIES && CHUNKS_WAITING_MAX * 4 <= RECV_BUFFERS as usize);
const _: () = assert!(MESSAGE_BYTES_MAX * 4 <= PACKET_SOCKET_BUFFER_BYTES);
const _: () = assert!(TIMEOUT_MIN_MS < TIMEOUT_MAX_MS && LOG_AGE_MIN_MS < LOG_AGE_MAX_MS);
const _: () = assert!(STATIC_FILE_BYTES_MAX < STATIC_CACHE_BYTES_MAX && STATIC_FRESH_MS < STATIC_STALE_MS_MAX);
const _: () = assert!(VERIFICATIONS_MAX <= HELPER_JOBS_MAX && LIMIT_KEYS_MIN < LIMIT_KEYS_MAX);
