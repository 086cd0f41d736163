//! A configuration that was taken over, as the text of a `maitred.toml`.
//!
//! Owns the form of that text: sections in the order of the original, keys as they came, values that TOML reads back as they are.

use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};

use super::Taken;
use crate::config::error::Problem;
use crate::config::value::{Table, Value};

/// Programs whose work is maitred's own, and what stands for it.
const ITSELF: &[(&str, &str)] = &[
    (
        "gunicorn",
        "serves an application, as [app] does: its flags and its gunicorn.conf.py are taken as they are by `maitred serve`",
    ),
    ("uwsgi", "serves an application, as [app] does"),
    ("granian", "serves an application, as [app] does"),
    ("waitress-serve", "serves an application, as [app] does"),
    ("nginx", "serves files and speaks TLS, as [[route]] and [[tls]] do"),
];

/// A `supervisord.conf` that was read; displays as `maitred.toml`.
#[derive(Debug)]
pub struct Import {
    file: PathBuf,
    taken: Taken,
}

impl Import {
    pub(super) fn new(file: &Path, taken: Taken) -> Import {
        Import { file: file.to_owned(), taken }
    }

    /// Lines that are not carried over, each with its place and the reason.
    pub fn left(&self) -> impl Iterator<Item = &Problem> {
        self.taken.left.iter()
    }

    /// Programs that do what maitred does itself, each with what it does. They are carried over all the same.
    pub fn replaceable(&self) -> impl Iterator<Item = (&str, &'static str)> {
        self.taken.programs.iter().filter_map(|named| {
            let Some(Value::Text(command)) = named.table.value("command") else { return None };
            let mut words = command.split_whitespace().map(|word| word.rsplit('/').next().unwrap_or(word));
            let first = words.next()?;
            let is_python = first.starts_with("python");
            let program = if is_python { words.find(|word| !word.starts_with('-'))? } else { first };
            let (_, what) = ITSELF.iter().find(|(name, _)| *name == program)?;
            Some((named.name.as_str(), *what))
        })
    }
}

impl fmt::Display for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# Made from {} by `maitred import`.", self.file.display().to_string().escape_debug())?;
        section(f, "server", &self.taken.server)?;
        section(f, "supervisor", &self.taken.supervisor)?;
        section(f, "control", &self.taken.control)?;
        for (kind, tables) in
            [("group", &self.taken.groups), ("program", &self.taken.programs), ("eventlistener", &self.taken.listeners)]
        {
            for named in tables {
                write!(f, "\n[{kind}.{}]\n", shown(&named.name))?;
                keys(f, &named.table)?;
            }
        }
        Ok(())
    }
}

fn section(f: &mut fmt::Formatter<'_>, name: &str, table: &Table) -> fmt::Result {
    if table.entries().is_empty() {
        return Ok(());
    }
    write!(f, "\n[{name}]\n")?;
    keys(f, table)
}

fn keys(f: &mut fmt::Formatter<'_>, table: &Table) -> fmt::Result {
    for (key, placed) in table.entries() {
        writeln!(f, "{} = {}", shown(key), written(&placed.value))?;
    }
    Ok(())
}

/// A value as TOML has it, on one line.
fn written(value: &Value) -> String {
    match value {
        Value::Text(text) => quoted(text),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::List(items) => {
            let items: Vec<_> = items.iter().map(|item| written(&item.value)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Table(table) => {
            let pairs = table.entries().iter();
            let pairs: Vec<_> =
                pairs.map(|(key, placed)| format!("{} = {}", shown(key), written(&placed.value))).collect();
            if pairs.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", pairs.join(", ")) }
        }
        Value::Other(kind) => quoted(kind),
    }
}

/// A key as it is, or quoted where it must be.
fn shown(key: &str) -> String {
    let is_bare = !key.is_empty() && key.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_');
    if is_bare { key.to_owned() } else { quoted(key) }
}

/// A basic string; one without escapes where it has no apostrophe.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| !c.is_control() && c != '\'';
    if text.contains(['"', '\\']) && text.chars().all(is_plain) {
        return format!("'{text}'");
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => write!(out, "\\u{:04X}", u32::from(c)).expect("a String takes everything"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::value::parse;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn strings_are_read_back_as_they_were(text in "\\PC{0,10}[\"'\\\\\n\t\r\u{7f}a]{0,6}") {
            let mut problems = Vec::new();
            let mut table = parse(Path::new("x"), &format!("x = {}", quoted(&text)), &mut problems);
            prop_assert!(problems.is_empty(), "{:?}", problems);
            prop_assert_eq!(table.take("x").map(|placed| placed.value), Some(Value::Text(text)));
        }
    }
}
