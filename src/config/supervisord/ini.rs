//! The form of `supervisord.conf`: what Python's `RawConfigParser` makes of a file when supervisor 4.3 has set it up.
//!
//! Pure: text in, sections out. Own code and none of the crates for INI files: a value that one of them cuts elsewhere (inline comments,
//! continuation lines, `:` beside `=`) would make a program run with other arguments.

use std::sync::Arc;

use crate::config::error::Problem;
use crate::config::value::Place;

/// The section whose values hold in all others.
const DEFAULTS: &str = "DEFAULT";

/// What the files that were read so far hold; a later file adds to an earlier one and replaces its values.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Ini {
    /// In the order in which they were first met; no name twice.
    pub sections: Vec<Section>,
    /// The values of `[DEFAULT]`.
    pub defaults: Vec<Entry>,
}

/// A section with its own values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// What stands between the brackets.
    pub name: String,
    /// Where it was first met.
    pub place: Place,
    /// No key twice.
    pub entries: Vec<Entry>,
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// In lower case.
    pub key: String,
    /// Lines joined by line feeds, without comments and outer blanks.
    pub value: String,
    /// Where the key stands.
    pub place: Place,
}

impl Ini {
    /// Adds what `text` says. `name` is the file's for messages.
    ///
    /// # Errors
    /// Every line that is neither section, value nor comment. What was read is of no use then.
    pub fn read(&mut self, name: &Arc<str>, text: &str) -> Result<(), Vec<Problem>> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n").replace('\r', "\n");
        let mut problems = Vec::new();
        // The section that is being filled, and the value that may go on; `usize::MAX` is `[DEFAULT]`.
        let mut section: Option<usize> = None;
        let mut open: Option<Open> = None;
        let mut indent = 0;
        for (index, line) in text.split('\n').enumerate() {
            let place = Place::File { name: Arc::clone(name), line: index + 1 };
            let comment = comment_start(line);
            let value = line[..comment.unwrap_or(line.len())].trim_matches(is_space);
            if value.is_empty() {
                if let (None, Some(open)) = (comment, &mut open) {
                    open.lines.push(String::new());
                }
                continue;
            }
            let own_indent = line.chars().position(|c| !is_space(c)).unwrap_or(0);
            if let Some(open) = open.as_mut().filter(|_| own_indent > indent) {
                open.lines.push(value.to_owned());
                continue;
            }
            indent = own_indent;
            if let Some(header) = header(value) {
                self.close(section, open.take());
                section = Some(self.section(header, &place));
                continue;
            }
            let message = match (section, key_and_value(value)) {
                (None, _) => "stands before any [section]",
                (Some(_), Some((key, value))) if !key.is_empty() => {
                    self.close(section, open.take());
                    open = Some(Open { key: key.to_lowercase(), place, lines: vec![value.to_owned()] });
                    continue;
                }
                (Some(_), _) => "is neither a [section] nor \"key=value\" nor a comment",
            };
            problems.push(Problem { place, key: String::new(), message: message.to_owned() });
            if section.is_none() {
                // Everything up to the first section would be said to be wrong.
                break;
            }
        }
        self.close(section, open);
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// The section of that name, if there is one.
    pub fn section_named(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    fn section(&mut self, name: &str, place: &Place) -> usize {
        if name == DEFAULTS {
            return usize::MAX;
        }
        let known = self.sections.iter().position(|section| section.name == name);
        known.unwrap_or_else(|| {
            self.sections.push(Section { name: name.to_owned(), place: place.clone(), entries: Vec::new() });
            self.sections.len() - 1
        })
    }

    fn close(&mut self, section: Option<usize>, open: Option<Open>) {
        let (Some(section), Some(open)) = (section, open) else { return };
        let entries = match self.sections.get_mut(section) {
            Some(section) => &mut section.entries,
            None => &mut self.defaults,
        };
        let value = open.lines.join("\n").trim_end_matches(is_space).to_owned();
        let entry = Entry { key: open.key, value, place: open.place };
        match entries.iter_mut().find(|known| known.key == entry.key) {
            Some(known) => *known = entry,
            None => entries.push(entry),
        }
    }
}

/// A value whose end was not met yet.
struct Open {
    key: String,
    place: Place,
    lines: Vec<String>,
}

/// Python's `str.isspace`, which has four separators more than Unicode's White_Space.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// Where the comment of a line begins: at `;` or `#` after a blank, or at the beginning of the line. Looks at the first of each kind, then at
/// the second of each and so on, as the original does: `a;b #c ;d` ends before `#c`, however many of the other kind come before.
fn comment_start(line: &str) -> Option<usize> {
    if line.trim_start_matches(is_space).starts_with([';', '#']) {
        return Some(0);
    }
    let mut found = [(';', line.find(';')), ('#', line.find('#'))];
    while found.iter().any(|(_, at)| at.is_some()) {
        let begins = |at: &usize| line[..*at].chars().next_back().is_none_or(is_space);
        let start = found.iter().filter_map(|(_, at)| *at).filter(begins).min();
        if start.is_some() {
            return start;
        }
        for (prefix, at) in &mut found {
            *at = at.and_then(|at| Some(at + 1 + line[at + 1..].find(*prefix)?));
        }
    }
    None
}

/// The name between the brackets; what follows the last one is nobody's.
fn header(line: &str) -> Option<&str> {
    let inner = line.strip_prefix('[')?;
    inner.rfind(']').map(|end| &inner[..end]).filter(|name| !name.is_empty())
}

fn key_and_value(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once(['=', ':'])?;
    Some((key.trim_end_matches(is_space), value.trim_start_matches(is_space)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::original::python;
    use proptest::prelude::*;
    use proptest::strategy::ValueTree;

    fn read(text: &str) -> Result<Ini, Vec<Problem>> {
        let mut ini = Ini::default();
        ini.read(&"x.conf".into(), text).map(|()| ini)
    }

    /// Sections with their keys and values.
    type Plain = Vec<(String, Vec<(String, String)>)>;

    fn plain(ini: &Ini) -> Plain {
        let pairs = |entries: &[Entry]| entries.iter().map(|e| (e.key.clone(), e.value.clone())).collect::<Vec<_>>();
        let sections = ini.sections.iter().map(|section| (section.name.clone(), pairs(&section.entries)));
        std::iter::once((DEFAULTS.to_owned(), pairs(&ini.defaults))).chain(sections).collect()
    }

    #[test]
    fn values_end_where_python_s_parser_ends_them() {
        let ini = read(
            "; a comment\n[program:a] ; another\nCommand = sh -c 'a;b' ; gone\nurl: http://x/#y # gone\nlong=one\n  two ; gone\n\n  # gone\n  \
             three\nempty=\n[a]b]\nx=1\nx=2",
        );
        let ini = ini.expect("it is well formed");
        let own = |pairs: &[(&str, &str)]| pairs.iter().map(|&(a, b)| (a.to_owned(), b.to_owned())).collect::<Vec<_>>();
        let program =
            own(&[("command", "sh -c 'a;b'"), ("url", "http://x/#y"), ("long", "one\ntwo\n\nthree"), ("empty", "")]);
        let expected = [
            ("DEFAULT".to_owned(), own(&[])),
            ("program:a".to_owned(), program),
            ("a]b".to_owned(), own(&[("x", "2")])),
        ];
        assert_eq!(plain(&ini), expected);
        assert_eq!(ini.sections[0].entries[2].place, Place::File { name: "x.conf".into(), line: 5 });
    }

    #[test]
    fn what_is_no_line_of_such_a_file_is_named() {
        for (text, line, part) in [
            ("x=1\n[a]", 1, "before any [section]"),
            ("[a]\nx=1\nnonsense\n", 3, "neither a [section]"),
            ("[a]\n=1", 2, "neither a [section]"),
            ("[]\n", 1, "before any [section]"),
        ] {
            let problems = read(text).expect_err(text);
            assert_eq!(problems[0].place, Place::File { name: "x.conf".into(), line }, "{text}");
            assert!(problems[0].message.contains(part), "{text}: {problems:?}");
        }
    }

    /// The same texts through the original, set up as supervisor 4.3 does (`UnhosedConfigParser`).
    #[test]
    fn files_are_read_as_python_does_it() {
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let line = prop_oneof![
            "\\[[ab\\] ;]{1,3}\\] ?;?",
            "[ \t]{0,2}[abA] ?[=:] ?[ab;#=:% \t]{0,6}",
            "[ \t]{0,3}[ab;# \t]{0,6}",
            Just("[DEFAULT]".to_owned()),
            Just("\u{1f} \u{2003}\u{e9}=x\u{85}".to_owned()),
        ];
        let text = proptest::collection::vec((line, prop_oneof![Just("\n"), Just("\r\n"), Just("\r")]), 1..9).prop_map(
            |lines| {
                std::iter::once("[a]\n".to_owned())
                    .chain(lines.into_iter().map(|(line, end)| line + end))
                    .collect::<String>()
            },
        );
        let strategy = proptest::collection::vec(text, 500);
        let texts = strategy.new_tree(&mut runner).expect("texts can be made").current();
        let program = "import configparser,io,json,sys\ndef read(t):\n p=configparser.RawConfigParser(inline_comment_prefixes=(';','#'),strict=False)\n \
                       try: p.read_file(io.TextIOWrapper(io.BytesIO(t.encode()),'utf-8'))\n except configparser.Error: return None\n \
                       return [['DEFAULT',list(p.defaults().items())]]+[[s,list(p._sections[s].items())] for s in p.sections()]\n\
                       print(json.dumps([read(t) for t in json.load(sys.stdin)]))";
        let theirs: Vec<Option<Plain>> = python(program, &texts);
        let good = theirs.iter().flatten().count();
        assert!(good > 50 && good < 450, "texts of both kinds: {good}");
        for (text, theirs) in texts.iter().zip(theirs) {
            assert_eq!(read(text).ok().map(|ini| plain(&ini)), theirs, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,80}") {
            let _ = read(&text);
        }
    }
}
