//! The reference of all options, as Markdown: the text of `docs/configuration.md`.

use std::fmt::Write as _;

use super::options::{Default, SECTIONS, Section, Spec};

const INTRODUCTION: &str = "\
# Configuration

<!-- Made from the declarations in src/config/options/; `MAITRED_BLESS=1 cargo test --test config_documentation` writes it anew. -->

`maitred` reads `maitred.toml` in the working directory, or the file that `--config` names. Only a route's
`path` and its action, and a program's `command`, must be given: every other key has a default, and the file may be missing altogether. What
`GUNICORN_CMD_ARGS` says, in the form of flags, wins over the file, `MAITRED_CMD_ARGS` wins over both, and flags win over all.
A flag that is given twice counts as it is given last; `--bind` and `--env` add up, within one of these places.

* Durations are `\"500ms\"`, `\"30s\"`, `\"1m30s\"`, `\"1h\"`, or a number of seconds.
* Sizes are `\"64K\"`, `\"10M\"`, `\"1G\"` (powers of 1024), or a number of bytes.
* Relative paths start at the directory of the config file; those of flags start at the working directory.
* An unknown key is an error. `maitred check` reports everything that is wrong, with file, line and key.
* Three variables of the environment count where neither file nor flag says otherwise: `WEB_CONCURRENCY` is the number of `workers`,
  `PORT` makes the server listen on `0.0.0.0:$PORT`, `FORWARDED_ALLOW_IPS` names `trusted_proxies`.
* `user` and `group` also come as `--user` and `--group`, by name or number. Who can't be become ends the start.
* Every flag of Gunicorn is taken; `maitred serve --help` says which of them have an effect. `--config gunicorn.conf.py` reads a file of
  Gunicorn's, in place of a `maitred.toml`: the log says what was taken from it and what was not. `--print-config` prints what is in force, by
  Gunicorn's names, and `--check-config` tries the application out.
";

/// Renders the reference.
#[must_use]
pub fn reference() -> String {
    let mut text = INTRODUCTION.to_owned();
    for section in SECTIONS {
        render(section, &mut text).expect("a String takes everything");
    }
    text
}

fn render(section: &Section, text: &mut String) -> std::fmt::Result {
    write!(text, "\n## `{}`\n\n{}\n\n", section.header, section.doc)?;
    writeln!(text, "| key | takes | default | meaning |\n| --- | --- | --- | --- |")?;
    for spec in section.options {
        let default = match spec.default {
            Default::Toml(value) => format!("`{value}`"),
            Default::Described(words) => words.to_owned(),
            Default::Required => "must be given".to_owned(),
        };
        writeln!(text, "| `{}` | {} | {default} | {}{} |", spec.name, spec.unit, spec.doc, equivalents(spec))?;
    }
    Ok(())
}

/// What sets it too, and what other programs call it.
fn equivalents(spec: &Spec) -> String {
    let same: Vec<_> = spec.flag.iter().chain(&spec.variable).map(|name| format!("`{name}`")).collect();
    let mut text = String::new();
    if !same.is_empty() {
        text += &format!(" Also: {}.", same.join(", "));
    }
    if !spec.elsewhere.is_empty() {
        let names: Vec<_> = spec.elsewhere.iter().map(|name| format!("`{name}`")).collect();
        text += &format!(" Known elsewhere as {}.", names.join(", "));
    }
    text
}
