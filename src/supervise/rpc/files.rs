//! Methods that read and empty logs.
//!
//! Owns supervisord's arithmetic of offsets. Files are read through the ring, so many bytes at a time at most.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{Mode, OFlags};

use super::call::{Context, Params};
use super::processes::{Named, find, told};
use super::view::{Unit, View};
use crate::base::bounds::CONTROL_LOG_BYTES_MAX;
use crate::control::{Fault, FaultCode, Value};
use crate::ring::{Descriptor, Ring};
use crate::supervise::programs::Stream;

/// Does a method of these.
pub(super) async fn answer(context: &Context<'_>, method: &str, params: &Params) -> Result<Value, Fault> {
    match method {
        "readLog" | "readMainLog" => {
            let bytes = context.main_log.recent();
            let (start, length) = span(params.int(0)?, params.int(1)?, bytes.len() as u64)?;
            Ok(text(part(&bytes, start, length)))
        }
        "clearLog" => {
            context.main_log.clear();
            Ok(Value::Bool(true))
        }
        "clearProcessLog" | "clearProcessLogs" => {
            let name = params.text(0)?;
            let view = one(context, &name).await?;
            clear(context, view.unit, &name).await.map(|()| Value::Bool(true))
        }
        "clearAllProcessLogs" => {
            let mut results = Vec::new();
            for view in context.desk.ask(|supervisor| supervisor.views()).await {
                results.push(match clear(context, view.unit, &view.full_name()).await {
                    Ok(()) => told(&view, FaultCode::Success as i32, "OK"),
                    Err(fault) => told(&view, fault.code, &fault.text),
                });
            }
            Ok(Value::Array(results))
        }
        "readProcessLog" | "readProcessStdoutLog" => read(context, params, Stream::Out).await,
        "readProcessStderrLog" => read(context, params, Stream::Err).await,
        "tailProcessLog" | "tailProcessStdoutLog" => tail(context, params, Stream::Out).await,
        _ => tail(context, params, Stream::Err).await,
    }
}

async fn one(context: &Context<'_>, name: &str) -> Result<View, Fault> {
    match find(context.desk, name).await? {
        Named::One(view) => Ok(view),
        Named::Group(_) => Err(Fault::of(FaultCode::BadName, Some(name))),
    }
}

async fn clear(context: &Context<'_>, unit: Unit, name: &str) -> Result<(), Fault> {
    let name = name.to_owned();
    context.desk.ask(move |supervisor| supervisor.clear_logs(unit, &name)).await
}

/// A stream's past.
enum Past {
    File(PathBuf),
    /// It goes into no file: its end, and how many bytes there were of it in all.
    Kept(Vec<u8>, u64),
    Nothing,
}

async fn past(context: &Context<'_>, params: &Params, stream: Stream) -> Result<Past, Fault> {
    let view = one(context, &params.text(0)?).await?;
    let path = match stream {
        Stream::Out => view.stdout_logfile,
        Stream::Err => view.stderr_logfile,
    };
    if !path.is_empty() {
        return Ok(Past::File(PathBuf::from(path)));
    }
    let kept = context.desk.ask(move |supervisor| supervisor.recent(view.unit, stream)).await;
    Ok(kept.map_or(Past::Nothing, |(bytes, total)| Past::Kept(bytes, total)))
}

/// A part of `bytes`, as far as it is there.
fn part(bytes: &[u8], start: u64, length: u64) -> Vec<u8> {
    let start = usize::try_from(start).unwrap_or(usize::MAX).min(bytes.len());
    let end = start.saturating_add(usize::try_from(length).unwrap_or(usize::MAX)).min(bytes.len());
    bytes[start..end].to_vec()
}

async fn read(context: &Context<'_>, params: &Params, stream: Stream) -> Result<Value, Fault> {
    let (offset, length) = (params.int(1)?, params.int(2)?);
    let path = match past(context, params, stream).await? {
        Past::File(path) => path,
        Past::Nothing => return Err(Fault::of(FaultCode::NoFile, None)),
        Past::Kept(bytes, total) => {
            let gone = total - bytes.len() as u64;
            let (start, length) = span(offset, length, total)?;
            return Ok(text(part(&bytes, start.saturating_sub(gone), length)));
        }
    };
    let Some(log) = Log::open(&path) else {
        return Err(Fault::of(FaultCode::NoFile, Some(&path.to_string_lossy())));
    };
    let (start, length) = span(offset, length, log.size)?;
    log.read(context.ring, start, length).await.map(text).map_err(|_| Fault::of(FaultCode::Failed, None))
}

async fn tail(context: &Context<'_>, params: &Params, stream: Stream) -> Result<Value, Fault> {
    let (offset, length) = (params.int(1)?, params.int(2)?);
    let none = || Ok(Value::Array(vec![Value::text(""), Value::Int(0), Value::Bool(false)]));
    let path = match past(context, params, stream).await? {
        Past::File(path) => path,
        Past::Nothing => return none(),
        Past::Kept(bytes, total) => {
            let gone = total - bytes.len() as u64;
            let (start, length, overflow) = last(offset, length, total);
            let part = part(&bytes, start.saturating_sub(gone), length);
            return Ok(Value::Array(vec![text(part), number(total), Value::Bool(overflow)]));
        }
    };
    let Some(log) = Log::open(&path) else { return none() };
    let (start, length, overflow) = last(offset, length, log.size);
    let read = log.read(context.ring, start, length).await;
    Ok(match read {
        Ok(bytes) => Value::Array(vec![text(bytes), number(log.size), Value::Bool(overflow)]),
        Err(_) => Value::Array(vec![Value::text(""), Value::int(offset), Value::Bool(false)]),
    })
}

/// Where to read from and how much, for `readProcessLog`.
pub(super) fn span(offset: i64, length: i64, size: u64) -> Result<(u64, u64), Fault> {
    let bad = || Fault::of(FaultCode::BadArguments, None);
    match (u64::try_from(offset), u64::try_from(length)) {
        // From the end.
        (Err(_), _) if length != 0 => Err(bad()),
        (Err(_), _) => Ok((size.saturating_sub(offset.unsigned_abs()), offset.unsigned_abs())),
        (Ok(_), Err(_)) => Err(bad()),
        (Ok(offset), Ok(0)) => Ok((offset, u64::MAX)),
        (Ok(offset), Ok(length)) => Ok((offset, length)),
    }
}

/// Where to read from, how much, and whether the log has overflown what was asked for, for `tailProcessLog`.
pub(super) fn last(offset: i64, length: i64, size: u64) -> (u64, u64, bool) {
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    let (mut offset, mut length) = (offset, length);
    let overflow = size > offset.saturating_add(length);
    if overflow {
        offset = size - 1;
    }
    if offset.saturating_add(length) > size {
        if offset > size - 1 {
            length = 0;
        }
        offset = size.saturating_sub(length);
    }
    (u64::try_from(offset).unwrap_or(0), u64::try_from(length).unwrap_or(0), overflow)
}

pub(super) fn number(number: u64) -> Value {
    Value::int(i64::try_from(number).unwrap_or(i64::MAX))
}

/// Bytes as text; what is no UTF-8 shows as such.
pub(super) fn text(bytes: Vec<u8>) -> Value {
    Value::Text(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// A log file, open.
pub(super) struct Log {
    file: Descriptor,
    /// Bytes, when it was opened.
    pub size: u64,
}

impl Log {
    /// Opens it; `None` if it is not there or is no plain file.
    pub fn open(path: &Path) -> Option<Log> {
        // What is no plain file is not waited for.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = rustix::fs::open(path, flags, Mode::empty()).ok()?;
        let found = rustix::fs::fstat(&file).ok()?;
        let is_file = rustix::fs::FileType::from_raw_mode(found.st_mode) == rustix::fs::FileType::RegularFile;
        is_file.then(|| Log { file: Rc::new(file), size: u64::try_from(found.st_size).unwrap_or(0) })
    }

    /// Reads up to `length` bytes from `start` on; what is too much is left out.
    pub async fn read(&self, ring: &Ring, start: u64, length: u64) -> std::io::Result<Vec<u8>> {
        let length = length.min(self.size.saturating_sub(start)).min(CONTROL_LOG_BYTES_MAX);
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < length {
            let left = (length - bytes.len() as u64) as usize;
            let before = bytes.len() as u64;
            let part = ring.read_at(&self.file, Vec::new(), left.min(64 * 1024), start + before).await?;
            if part.is_empty() {
                break;
            }
            bytes.extend_from_slice(&part);
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_count_from_the_beginning_or_the_end() {
        assert_eq!(span(-4, 0, 10), Ok((6, 4)));
        assert_eq!(span(-40, 0, 10), Ok((0, 40)));
        assert_eq!(span(2, 3, 10), Ok((2, 3)));
        assert_eq!(span(2, 0, 10), Ok((2, u64::MAX)));
        assert_eq!(span(-4, 1, 10).map_err(|fault| fault.code), Err(3));
        assert_eq!(span(4, -1, 10).map_err(|fault| fault.code), Err(3));
        assert_eq!(span(i64::MIN, 0, 10), Ok((0, 1 << 63)));
    }

    #[test]
    fn a_tail_is_the_end_of_the_log() {
        assert_eq!(last(0, 4, 10), (6, 4, true));
        assert_eq!(last(0, 10, 10), (0, 10, false));
        assert_eq!(last(0, 20, 10), (0, 20, false));
        assert_eq!(last(10, 4, 10), (10, 0, false));
        assert_eq!(last(0, 4, 0), (0, 0, false));
        assert_eq!(last(-5, 2, 10), (8, 2, true));
        let _ = (last(i64::MAX, i64::MAX, 5), last(i64::MIN, i64::MIN, 5), last(0, i64::MIN, u64::MAX));
    }
}
