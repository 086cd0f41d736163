//! Values of `supervisord.conf` as those of `maitred.toml`, and lists of variables as supervisor reads them.
//!
//! Pure. What each form takes is what `supervisor/datatypes.py` takes, no more.

use crate::config::value::{Place, Placed, Value};

/// How an option's text is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Integer,
    Bool,
    /// A truth value or `unexpected`.
    Autorestart,
    /// Numbers between commas.
    Codes,
    /// A number of bytes, or one with KB, MB or GB behind it.
    Bytes,
    /// As it is.
    Text,
    /// Names between commas.
    Names,
}

/// The value that `text`, found at `place`, stands for.
///
/// # Errors
/// A sentence about what is wrong.
pub(super) fn value(form: Form, text: &str, place: &Place) -> Result<Value, String> {
    let wrong = |what: &str| format!("must be {what}, not \"{}\"", text.escape_debug());
    let list = |items: Vec<Value>| {
        Value::List(items.into_iter().map(|value| Placed { place: place.clone(), value }).collect())
    };
    match form {
        Form::Integer => integer(text).map(Value::Integer).ok_or_else(|| wrong("a whole number")),
        Form::Bool => boolean(text).map(Value::Bool).ok_or_else(|| wrong("yes, true, on, 1, no, false, off or 0")),
        Form::Autorestart if text.eq_ignore_ascii_case("unexpected") => Ok(Value::Text("unexpected".to_owned())),
        Form::Autorestart => boolean(text).map(Value::Bool).ok_or_else(|| wrong("true, false or unexpected")),
        Form::Codes if text.is_empty() => Ok(list(Vec::new())),
        Form::Codes => {
            let codes: Option<Vec<_>> = text.split(',').map(|code| integer(code).map(Value::Integer)).collect();
            codes.map(list).ok_or_else(|| wrong("exit codes between commas"))
        }
        Form::Bytes => {
            bytes(text).map(Value::Integer).ok_or_else(|| wrong("a number of bytes, or one with KB, MB or GB"))
        }
        Form::Text => Ok(Value::Text(text.to_owned())),
        Form::Names => Ok(list(text.split(',').map(|name| Value::Text(name.trim().to_owned())).collect())),
    }
}

/// Python's `int`, as far as people write numbers: blanks around, a sign, underscores between digits.
fn integer(text: &str) -> Option<i64> {
    let text = text.trim();
    let (sign, digits) = match text.as_bytes().first()? {
        b'+' | b'-' => text.split_at(1),
        _ => ("", text),
    };
    let is_number = digits.split('_').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    if is_number { format!("{sign}{}", digits.replace('_', "")).parse().ok() } else { None }
}

pub(super) fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" | "on" | "1" => Some(true),
        "no" | "false" | "off" | "0" => Some(false),
        _ => None,
    }
}

fn bytes(text: &str) -> Option<i64> {
    let lower = text.to_ascii_lowercase();
    let units = [("kb", 1 << 10), ("mb", 1 << 20), ("gb", 1 << 30)];
    let (number, unit) =
        units.iter().find_map(|(name, unit)| Some((lower.strip_suffix(name)?, *unit))).unwrap_or((&lower, 1));
    integer(number)?.checked_mul(unit).filter(|bytes| *bytes >= 0)
}

/// Reads `KEY="value",KEY2=value2` by the rules of `shlex.shlex` without POSIX mode, which is what supervisor uses: no escapes, quotation
/// marks within a word are part of it, and those around a value are taken off. A `%(name)s` counts as a part of a word, as it will be replaced.
/// Of two values of one name the last one counts.
///
/// # Errors
/// A sentence about what is wrong.
pub(super) fn variables(text: &str) -> Result<Vec<(String, String)>, String> {
    let tokens = tokens(text)?;
    let mut found: Vec<(String, String)> = Vec::new();
    for entry in tokens.chunks(4) {
        let [name, equals, value, ..] = entry else { return Err(unfinished(text)) };
        if equals != "=" {
            return Err(unfinished(text));
        }
        let value = value.trim_matches(['\'', '"']);
        found.retain(|(known, _)| known != name);
        found.push((name.clone(), value.to_owned()));
    }
    Ok(found)
}

fn unfinished(text: &str) -> String {
    format!("is not of the form NAME=\"value\",NAME2=\"value2\": \"{}\"", text.escape_debug())
}

fn tokens(text: &str) -> Result<Vec<String>, String> {
    // `wordchars` of shlex with what supervisor adds; outside of POSIX mode they are ASCII only.
    let is_word = |c: char| c.is_ascii_alphanumeric() || "_/.+-():".contains(c);
    let is_space = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n');
    let mut found = Vec::new();
    let mut word = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let expansion = expansion(rest);
        if expansion > 0 {
            word.push_str(&rest[..expansion]);
            rest = &rest[expansion..];
            continue;
        }
        rest = &rest[c.len_utf8()..];
        if c == '#' {
            // A comment does not end a word: it goes on in the next line.
            rest = rest.find('\n').map_or("", |end| &rest[end + 1..]);
        } else if is_space(c) {
            found.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
        } else if matches!(c, '\'' | '"') && word.is_empty() {
            // A quotation is a token with its marks; what follows it begins another one.
            let end = rest.find(c).ok_or_else(|| format!("a quotation that begins with {c} does not end"))?;
            found.push(format!("{c}{}{c}", &rest[..end]));
            rest = &rest[end + 1..];
        } else if is_word(c) || matches!(c, '\'' | '"') {
            word.push(c);
        } else {
            found.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
            found.push(c.to_string());
        }
    }
    found.extend((!word.is_empty()).then_some(word));
    Ok(found)
}

/// The length of a `%(name)s` at the beginning of `text`; 0: there is none.
fn expansion(text: &str) -> usize {
    let inner = text.strip_prefix("%(").and_then(|inner| inner.split_once(')'));
    let Some((name, format)) = inner else { return 0 };
    let flags = format.find(|c: char| !"-+ 0#".contains(c) && !c.is_ascii_digit()).unwrap_or(format.len());
    match format[flags..].chars().next() {
        Some(kind) if kind.is_ascii_alphabetic() => 2 + name.len() + 1 + flags + 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::original::python;
    use proptest::prelude::*;
    use proptest::strategy::ValueTree;

    fn read(form: Form, text: &str) -> Option<Value> {
        value(form, text, &Place::Nowhere).ok()
    }

    #[test]
    fn numbers_truths_and_sizes_are_read() {
        for (form, text, expected) in [
            (Form::Integer, " -1_000 ", Some(Value::Integer(-1000))),
            (Form::Integer, "1__0", None),
            (Form::Integer, "0x10", None),
            (Form::Integer, "", None),
            (Form::Bool, "Yes", Some(Value::Bool(true))),
            (Form::Bool, "off", Some(Value::Bool(false))),
            (Form::Bool, "y", None),
            (Form::Autorestart, "UNEXPECTED", Some(Value::Text("unexpected".to_owned()))),
            (Form::Autorestart, "1", Some(Value::Bool(true))),
            (Form::Autorestart, "always", None),
            (Form::Bytes, "50MB", Some(Value::Integer(50 << 20))),
            (Form::Bytes, "2 kb", Some(Value::Integer(2048))),
            (Form::Bytes, "0", Some(Value::Integer(0))),
            (Form::Bytes, "1M", None),
            (Form::Bytes, "99999999999GB", None),
            (Form::Codes, "0,x", None),
        ] {
            assert_eq!(read(form, text), expected, "{form:?} {text:?}");
        }
    }

    #[test]
    fn variables_keep_what_will_be_replaced() {
        let own = |pairs: &[(&str, &str)]| pairs.iter().map(|&(a, b)| (a.to_owned(), b.to_owned())).collect::<Vec<_>>();
        assert_eq!(
            variables("A=%(ENV_HOME)s/x,B=\"%(process_num)02d, or\",A='y'"),
            Ok(own(&[("B", "%(process_num)02d, or"), ("A", "y")]))
        );
        assert_eq!(variables("A=1,\n B=2,"), Ok(own(&[("A", "1"), ("B", "2")])));
        assert_eq!(variables(""), Ok(own(&[])));
        for wrong in ["A", "A=", "A=\"x", "A=1 B=2"] {
            assert!(variables(wrong).is_err(), "{wrong}");
        }
    }

    /// The same lists through the original (`dict_of_key_value_pairs`).
    #[test]
    fn variables_are_read_as_supervisor_does_it() {
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let strategy =
            proptest::collection::vec("(A=|B=)[ab'\"\\\\#,= \n.:]{0,8}(,[AB]=[ab\"' \u{e9}]{1,6}){0,2}", 500);
        let lists = strategy.new_tree(&mut runner).expect("lists can be made").current();
        let program = "import json,shlex,sys\ndef read(t):\n l=shlex.shlex(t); l.wordchars+='/.+-():'\n try: t=list(l)\n except ValueError: return None\n \
                       d={}\n for i in range(0,len(t),4):\n  e=t[i:i+3]\n  if len(e)!=3 or e[1]!='=': return None\n  d[e[0]]=e[2].strip('\\'\"')\n \
                       return sorted(d.items())\nprint(json.dumps([read(t) for t in json.load(sys.stdin)]))";
        let theirs: Vec<Option<Vec<(String, String)>>> = python(program, &lists);
        let good = theirs.iter().flatten().count();
        assert!(good > 50 && good < 450, "lists of both kinds: {good}");
        for (list, theirs) in lists.iter().zip(theirs) {
            let ours = variables(list).ok().map(|mut pairs| {
                pairs.sort();
                pairs
            });
            assert_eq!(ours, theirs, "{list:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}") {
            let _ = variables(&text);
            for form in [Form::Integer, Form::Bool, Form::Autorestart, Form::Codes, Form::Bytes, Form::Names] {
                let _ = read(form, &text);
            }
        }
    }
}
