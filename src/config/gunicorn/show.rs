//! Values in force as Gunicorn writes them, for `--print-config`.
//!
//! Pure: from the checked configuration to text, one function a setting.

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use rustix::process::{getegid, geteuid};

use crate::config::access_log::{LogTarget, SyslogServer};
use crate::config::address::Listen;
use crate::config::certificate::CertificateFiles;
use crate::config::hooks::HookPlace;
use crate::config::tls::ClientAuth;
use crate::config::types::{AppConfig, AppOutput, AppTarget, Config};

fn of_app<T>(config: &Config, show: impl FnOnce(&AppConfig) -> T) -> String
where
    T: Display,
{
    config.app.as_ref().map_or_else(|| "None".to_owned(), |app| show(app).to_string())
}

fn path(path: Option<&Path>) -> String {
    path.map_or_else(|| "None".to_owned(), |path| path.display().to_string())
}

/// As Python prints a list of strings.
fn list(items: impl IntoIterator<Item = impl Display>) -> String {
    let items: Vec<_> = items.into_iter().map(|item| format!("'{item}'")).collect();
    format!("[{}]", items.join(", "))
}

fn truth(is_so: bool) -> &'static str {
    if is_so { "True" } else { "False" }
}

/// Seconds, without a fraction where there is none.
fn seconds(time: Duration) -> String {
    match time.subsec_millis() {
        0 => time.as_secs().to_string(),
        _ => time.as_secs_f64().to_string(),
    }
}

pub fn wsgi_app(config: &Config) -> String {
    of_app(config, |app| match &app.wsgi {
        AppTarget::Named(name) => name.clone(),
        AppTarget::Django { settings } => format!("WSGI_APPLICATION of {settings}"),
    })
}

pub fn bind(config: &Config) -> String {
    list(config.server.listen.iter().map(|listener| match &listener.address {
        Listen::Tcp(address) => address.to_string(),
        Listen::Unix(path) => format!("unix:{}", path.display()),
    }))
}

pub fn backlog(config: &Config) -> String {
    config.server.backlog.to_string()
}

pub fn workers(config: &Config) -> String {
    of_app(config, |app| app.workers)
}

pub fn worker_class(config: &Config) -> String {
    of_app(config, |app| if app.threads > 1 { "gthread" } else { "sync" })
}

pub fn threads(config: &Config) -> String {
    of_app(config, |app| app.threads)
}

pub fn worker_connections(config: &Config) -> String {
    config.server.max_connections.to_string()
}

pub fn timeout(config: &Config) -> String {
    of_app(config, |app| app.timeout.map_or_else(|| "0".to_owned(), seconds))
}

pub fn graceful_timeout(config: &Config) -> String {
    of_app(config, |app| seconds(app.graceful_timeout))
}

pub fn keepalive(config: &Config) -> String {
    seconds(config.server.keepalive_timeout)
}

pub fn limit_request_line(config: &Config) -> String {
    config.server.head_limits.line_bytes.to_string()
}

pub fn limit_request_fields(config: &Config) -> String {
    config.server.head_limits.fields.to_string()
}

pub fn limit_request_field_size(config: &Config) -> String {
    config.server.head_limits.field_bytes.to_string()
}

pub fn reload(config: &Config) -> String {
    of_app(config, |app| truth(app.reload))
}

pub fn reload_extra_files(config: &Config) -> String {
    of_app(config, |app| list(app.reload_extra_files.iter().map(|path| path.display())))
}

pub fn max_requests(config: &Config) -> String {
    of_app(config, |app| app.max_requests.unwrap_or(0))
}

pub fn max_requests_jitter(config: &Config) -> String {
    of_app(config, |app| app.max_requests_jitter)
}

pub fn preload_app(config: &Config) -> String {
    of_app(config, |app| truth(app.preload_app))
}

pub fn chdir(config: &Config) -> String {
    of_app(config, |app| app.chdir.display().to_string())
}

/// Names alone: values may be secret.
pub fn raw_env(config: &Config) -> String {
    of_app(config, |app| list(app.raw_env.iter().map(|(name, _)| format!("{name}=…"))))
}

pub fn pidfile(config: &Config) -> String {
    path(config.server.pidfile.as_deref())
}

/// By its number, as there.
pub fn user(config: &Config) -> String {
    config.server.user.as_ref().map_or_else(|| geteuid().as_raw(), |user| user.uid).to_string()
}

pub fn group(config: &Config) -> String {
    config.server.user.as_ref().map_or_else(|| getegid().as_raw(), |user| user.gid).to_string()
}

pub fn umask(config: &Config) -> String {
    config.server.umask.map_or_else(|| "None".to_owned(), |mask| mask.to_string())
}

pub fn tmp_upload_dir(config: &Config) -> String {
    of_app(config, |app| app.spool_dir.display().to_string())
}

pub fn forwarded_allow_ips(config: &Config) -> String {
    let trust = &config.server.trusted_proxies;
    let networks = trust.networks.iter().map(ToString::to_string);
    networks.chain(trust.unix.then(|| "unix:".to_owned())).collect::<Vec<_>>().join(",")
}

pub fn accesslog(config: &Config) -> String {
    match config.server.access_log.as_ref().map(|log| &log.target) {
        None => "None".to_owned(),
        Some(LogTarget::File(file)) => file.display().to_string(),
        Some(LogTarget::Stdout) => "-".to_owned(),
        Some(LogTarget::Syslog(syslog)) => match &syslog.server {
            SyslogServer::Unix(path) => format!("syslog:server=unix:{}", path.display()),
            SyslogServer::Udp(address) => format!("syslog:server={address}"),
        },
    }
}

/// In the notation in which it is kept.
pub fn access_log_format(config: &Config) -> String {
    config.server.access_log.as_ref().map_or_else(|| "None".to_owned(), |log| log.format_text.clone())
}

pub fn statsd_host(config: &Config) -> String {
    config.server.statsd.as_ref().map_or_else(|| "None".to_owned(), |statsd| statsd.target.to_string())
}

pub fn statsd_prefix(config: &Config) -> String {
    config.server.statsd.as_ref().map_or_else(String::new, |statsd| statsd.prefix.clone())
}

pub fn dogstatsd_tags(config: &Config) -> String {
    config.server.statsd.as_ref().map_or_else(String::new, |statsd| statsd.tags.clone())
}

/// As the one switch that it is there: whether any listener has it.
pub fn proxy_protocol(config: &Config) -> String {
    let is_spoken = config.server.listen.iter().any(|listener| listener.proxy_protocol);
    (if is_spoken { "auto" } else { "off" }).to_owned()
}

/// The first certificate's, which is the one that Gunicorn's settings make.
fn certificate(config: &Config, part: impl Fn(&CertificateFiles) -> &Path) -> String {
    path(config.tls.first().and_then(|entry| entry.certificates.first()).map(part))
}

pub fn certfile(config: &Config) -> String {
    certificate(config, |files| &files.cert)
}

pub fn keyfile(config: &Config) -> String {
    certificate(config, |files| &files.key)
}

pub fn ca_certs(config: &Config) -> String {
    path(config.tls.first().and_then(|entry| entry.policy.client_ca.as_deref()))
}

/// As Python's `ssl` numbers them.
pub fn cert_reqs(config: &Config) -> String {
    let number = match config.tls.first().map(|entry| entry.policy.client_auth) {
        None | Some(ClientAuth::None) => 0,
        Some(ClientAuth::Optional) => 1,
        Some(ClientAuth::Required) => 2,
    };
    number.to_string()
}

/// Where a hook is, by its name.
pub fn hook(config: &Config, name: &str) -> String {
    of_app(config, |app| match app.hooks.iter().find(|(known, _)| *known == name) {
        None => "None".to_owned(),
        Some((_, HookPlace::Module(module, attribute))) => format!("{module}:{attribute}"),
        Some((_, HookPlace::File(file, attribute))) => format!("{}:{attribute}", file.display()),
    })
}

pub fn errorlog(config: &Config) -> String {
    config.server.error_log.as_ref().map_or_else(|| "-".to_owned(), |file| file.display().to_string())
}

pub fn loglevel(config: &Config) -> String {
    config.server.log_level.map_or("info", |level| level.name()).to_owned()
}

pub fn capture_output(config: &Config) -> String {
    of_app(config, |app| truth(app.output == AppOutput::Log).to_owned())
}

pub fn proc_name(config: &Config) -> String {
    config.server.proc_name.clone().unwrap_or_else(|| "None".to_owned())
}

pub fn daemon(config: &Config) -> String {
    truth(config.server.daemon).to_owned()
}

pub fn pythonpath(config: &Config) -> String {
    of_app(config, |app| list(app.pythonpath.iter().map(|path| path.display())))
}
