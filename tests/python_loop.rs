//! The WSGI suites once more, with workers that run the loop in Python (`worker_loop = "python"`, see `support::builder`).

// Each suite brings the same helpers along.
#![allow(clippy::duplicate_mod)]

#[path = "wsgi.rs"]
mod wsgi;
#[path = "wsgi_pool.rs"]
mod wsgi_pool;
#[path = "wsgi_streams.rs"]
mod wsgi_streams;
