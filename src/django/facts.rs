//! The settings that a Django project has told.
//!
//! Owns their form on the way from Python; what is not there was not set, or could not be told.

use std::path::PathBuf;

use serde::Deserialize;

/// What a Django project says of itself.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub struct Facts {
    /// Django's version.
    pub version: String,
    /// `STATIC_URL`.
    pub static_url: Option<String>,
    /// `STATIC_ROOT`, absolute.
    pub static_root: Option<PathBuf>,
    /// All that follows was told.
    pub complete: bool,
    /// What there is at `STATIC_ROOT`.
    pub static_root_state: Option<DirectoryState>,
    /// `django.contrib.staticfiles` is installed.
    pub staticfiles: bool,
    /// WhiteNoise's middleware is there.
    pub whitenoise: bool,
    /// `MEDIA_URL`.
    pub media_url: Option<String>,
    /// `MEDIA_ROOT`, absolute.
    pub media_root: Option<PathBuf>,
    /// `DEBUG`.
    pub debug: bool,
    /// `ALLOWED_HOSTS`.
    pub allowed_hosts: Option<Vec<String>>,
    /// `CSRF_TRUSTED_ORIGINS`.
    pub csrf_trusted_origins: Option<Vec<String>>,
    /// `SECURE_SSL_REDIRECT`, with the middleware that does it.
    pub ssl_redirect: bool,
    /// `SECURE_SSL_HOST`.
    pub ssl_host: Option<String>,
    /// `SECURE_HSTS_SECONDS`, with the middleware that says it.
    pub hsts_seconds: Option<u64>,
    /// `SECURE_PROXY_SSL_HEADER`: the key of the environ and its value.
    pub proxy_ssl_header: Option<Vec<String>>,
    /// `USE_X_FORWARDED_HOST`.
    pub use_x_forwarded_host: bool,
    /// `SESSION_COOKIE_SECURE`; `None` without sessions.
    pub session_cookie_secure: Option<bool>,
    /// `CSRF_COOKIE_SECURE`; `None` without such a cookie.
    pub csrf_cookie_secure: Option<bool>,
    /// `DATABASES`, without what leads there.
    pub databases: Vec<Database>,
    /// `DATA_UPLOAD_MAX_MEMORY_SIZE`, bytes, if the project says it itself.
    pub data_upload_bytes_max: Option<u64>,
    /// `SENDFILE_BACKEND` of django-sendfile2.
    pub sendfile_backend: Option<String>,
    /// `SENDFILE_URL`.
    pub sendfile_url: Option<String>,
    /// `SENDFILE_ROOT`, absolute.
    pub sendfile_root: Option<PathBuf>,
    /// Those of `SILENCED_SYSTEM_CHECKS` that are ours.
    pub silenced: Vec<String>,
}

/// What there is at a directory's path.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum DirectoryState {
    /// No directory.
    Missing,
    /// One with nothing in it.
    Empty,
    /// One with something in it, or one that can't be looked into.
    Filled,
}

/// One of `DATABASES`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub struct Database {
    /// Its name in `DATABASES`.
    pub alias: String,
    /// `ENGINE`.
    pub engine: String,
    /// The engine is SQLite.
    pub is_sqlite: bool,
    /// It is in the memory of the process.
    pub in_memory: bool,
    /// SQLite's write-ahead log is asked for.
    pub wal: bool,
    /// `CONN_MAX_AGE` is not 0.
    pub persists: bool,
}
