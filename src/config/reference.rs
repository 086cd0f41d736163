//! The reference of all options, as Markdown: the text of `docs/configuration.md`.

use std::fmt::Write as _;

use super::options::{Default, SECTIONS, Section, Spec};

const INTRODUCTION: &str = "\
# Configuration

<!-- Made from the declarations in src/config/options/; `MAITRED_BLESS=1 cargo test --test config` writes it anew. -->

`maitred` reads `maitred.toml` in the working directory, or the file that `--config` names. Only a route's
`path` and its action, and a program's `command`, must be given: every other key has a default, and the file may be missing altogether. The
environment wins over the file, and flags win over both.

* Durations are `\"500ms\"`, `\"30s\"`, `\"1m30s\"`, `\"1h\"`, or a number of seconds.
* Sizes are `\"64K\"`, `\"10M\"`, `\"1G\"` (powers of 1024), or a number of bytes.
* Relative paths start at the directory of the config file; those of flags start at the working directory.
* An unknown key is an error. `maitred check` reports everything that is wrong, with file, line and key.
* `WEB_CONCURRENCY` sets `workers`. `PORT` makes the server listen on `0.0.0.0:$PORT` when neither file nor flag says
  where to listen.
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
