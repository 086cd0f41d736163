//! Splitting command lines and lists of variables as supervisord does: by the rules of Python's `shlex` in POSIX mode.
//!
//! Pure. Not one of the crates for this: they follow the shell, where `#` begins a comment and a backslash in double quotes counts before
//! `$` too, so that a command taken over from a `supervisord.conf` would run with other arguments.

/// Splits a command line into its arguments (`shlex.split(line)`). No shell: `|`, `>`, `*` and `$` mean nothing.
///
/// # Errors
/// What is unfinished: a quotation or an escape at the end.
pub fn split(line: &str) -> Result<Vec<String>, String> {
    tokens(line, true)
}

/// Reads `KEY="value",KEY2="value2"`. Values with other characters than letters, digits and `_/.+-():` must be quoted.
///
/// # Errors
/// A sentence about what is wrong.
pub fn variables(text: &str) -> Result<Vec<(String, String)>, String> {
    let tokens = tokens(text, false)?;
    let mut found = Vec::new();
    for entry in tokens.chunks(4) {
        match entry {
            [name, equals, value] if equals == "=" => found.push((name.clone(), value.clone())),
            [name, equals, value, comma] if equals == "=" && comma == "," => found.push((name.clone(), value.clone())),
            _ => {
                return Err(format!(
                    "is not of the form NAME=\"value\",NAME2=\"value2\" (at \"{}\"); quote values, or write a table",
                    entry.concat()
                ));
            }
        }
    }
    Ok(found)
}

enum State {
    Between,
    Word,
    Quoted(char),
    /// After a backslash; the state to return to.
    Escaped(Option<char>),
    Comment,
}

/// With `by_space` words end at white space only; without it, at every character that is not one of a word, which is then a
/// token of its own, and `#` begins a comment.
fn tokens(text: &str, by_space: bool) -> Result<Vec<String>, String> {
    let is_word = |c: char| by_space || c.is_alphanumeric() || "_/.+-():".contains(c);
    let is_space = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n');
    let mut found = Vec::new();
    // `Some` once anything of a word was seen, if only a pair of quotes.
    let mut word: Option<String> = None;
    let mut state = State::Between;
    for c in text.chars() {
        state = match state {
            State::Comment if c == '\n' => State::Between,
            State::Comment => State::Comment,
            State::Quoted(quote) if c == quote => State::Word,
            State::Quoted('"') if c == '\\' => State::Escaped(Some('"')),
            State::Quoted(quote) => {
                word.get_or_insert_default().push(c);
                State::Quoted(quote)
            }
            State::Escaped(quote) => {
                let word = word.get_or_insert_default();
                // Within quotes a backslash stands for itself, but for one before it or the quote.
                if quote.is_some_and(|quote| c != '\\' && c != quote) {
                    word.push('\\');
                }
                word.push(c);
                quote.map_or(State::Word, State::Quoted)
            }
            State::Between | State::Word => match c {
                _ if is_space(c) => {
                    found.extend(word.take());
                    State::Between
                }
                '#' if !by_space => {
                    found.extend(word.take());
                    State::Comment
                }
                '\'' | '"' => {
                    word.get_or_insert_default();
                    State::Quoted(c)
                }
                '\\' => State::Escaped(None),
                _ if is_word(c) => {
                    word.get_or_insert_default().push(c);
                    State::Word
                }
                _ => {
                    found.extend(word.take());
                    found.push(c.to_string());
                    State::Between
                }
            },
        };
    }
    match state {
        State::Quoted(quote) => Err(format!("a quotation that begins with {quote} does not end")),
        State::Escaped(_) => Err("nothing follows the backslash at the end".to_owned()),
        State::Between | State::Word | State::Comment => {
            found.extend(word);
            Ok(found)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::original::python;
    use proptest::prelude::*;
    use proptest::strategy::ValueTree;

    #[test]
    fn commands_are_split_without_a_shell() {
        for (line, expected) in [
            ("celery -A mysite worker -l info", &["celery", "-A", "mysite", "worker", "-l", "info"][..]),
            (r#"prog -p "foo bar" 'a "b" c'"#, &["prog", "-p", "foo bar", "a \"b\" c"]),
            (
                r#"bash -c 'foo ; bar | baz > qux' # no comment"#,
                &["bash", "-c", "foo ; bar | baz > qux", "#", "no", "comment"],
            ),
            (r#"echo "\$HOME \"x\" \\" \$Y a\ b """#, &["echo", r#"\$HOME "x" \"#, "$Y", "a b", ""]),
            (r"echo 'a\' b''c", &["echo", r"a\", "bc"]),
            ("  a\t b \n", &["a", "b"]),
            ("", &[]),
        ] {
            assert_eq!(split(line).expect(line), expected, "{line}");
        }
        assert_eq!(split("a 'b").unwrap_err(), "a quotation that begins with ' does not end");
        assert_eq!(split("a \\").unwrap_err(), "nothing follows the backslash at the end");
    }

    #[test]
    fn variables_are_read() {
        let own = |pairs: &[(&str, &str)]| pairs.iter().map(|&(a, b)| (a.to_owned(), b.to_owned())).collect::<Vec<_>>();
        for (text, expected) in [
            ("", own(&[])),
            (r#"KEY="val",KEY2="val2""#, own(&[("KEY", "val"), ("KEY2", "val2")])),
            (r#"A="val:123", B='a,b' ,C=/x/y.z,"#, own(&[("A", "val:123"), ("B", "a,b"), ("C", "/x/y.z")])),
            ("A=1,\n  B=2", own(&[("A", "1"), ("B", "2")])),
        ] {
            assert_eq!(variables(text).expect(text), expected, "{text}");
        }
        for text in ["A", "A=", "A=50%", "A=b@c,D=1", "A=1 B=2", "=1,B=2"] {
            assert!(variables(text).is_err(), "{text}");
        }
    }

    /// The same lines through the original: anything else would make a command that was taken over run differently.
    #[test]
    fn lines_are_split_as_python_does_it() {
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let strategy = proptest::collection::vec("[a \t'\"\\\\#$=,x]{0,14}", 400);
        let lines = strategy.new_tree(&mut runner).expect("lines can be made").current();
        let program = "import json,shlex,sys\ndef split(l):\n try: return shlex.split(l)\n except ValueError: return None\n\
                       print(json.dumps([split(l) for l in json.load(sys.stdin)]))";
        let theirs: Vec<Option<Vec<String>>> = python(program, &lines);
        for (line, theirs) in lines.iter().zip(theirs) {
            assert_eq!(split(line).ok(), theirs, "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_split_or_refused(text in ".{0,40}") {
            let _ = (split(&text), variables(&text));
        }
    }
}
