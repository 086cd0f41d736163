//! `%(name)s` in the options of programs: Python's formatting of strings, as far as supervisord's users have it.
//!
//! Pure: the names and their values are given.

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    Text(String),
    Number(u64),
}

/// Names and what they stand for; later ones win.
#[derive(Clone, Debug, Default)]
pub struct Meanings(Vec<(String, Meaning)>);

impl Meanings {
    pub fn text(&mut self, name: &str, text: &str) {
        self.0.push((name.to_owned(), Meaning::Text(text.to_owned())));
    }

    pub fn number(&mut self, name: &str, number: u64) {
        self.0.push((name.to_owned(), Meaning::Number(number)));
    }

    fn of(&self, name: &str) -> Option<&Meaning> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, meaning)| meaning)
    }
}

/// Widest that a number or text is padded to.
const WIDTH_MAX: usize = 64;

/// `text` with every `%(name)s` (and `d`, with flags and width as in `%(process_num)02d`) replaced, and `%%` as `%`.
///
/// # Errors
/// A sentence about what is wrong.
pub fn expand(text: &str, meanings: &Meanings) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        let named = rest.strip_prefix('(').and_then(|inner| inner.split_once(')'));
        let Some((name, after)) = named else {
            let shown: String = rest.chars().take(8).collect();
            return Err(format!("\"%{shown}\" is no expansion such as %(program_name)s; write %% for a percent sign"));
        };
        let meaning = meanings.of(name).ok_or_else(|| unknown(name, meanings))?;
        rest = format_one(name, meaning, after, &mut out)?;
    }
    out.push_str(rest);
    Ok(out)
}

fn unknown(name: &str, meanings: &Meanings) -> String {
    if let Some(variable) = name.strip_prefix("ENV_") {
        return format!("%({name})s: the environment has no variable {variable}");
    }
    let known: Vec<&str> =
        meanings.0.iter().map(|(name, _)| name.as_str()).filter(|name| !name.starts_with("ENV_")).collect();
    format!("%({name})s is unknown; there are {} and ENV_ with a variable's name", known.join(", "))
}

/// Appends one value, formatted by what stands at the beginning of `format`; returns what follows.
fn format_one<'t>(name: &str, meaning: &Meaning, format: &'t str, out: &mut String) -> Result<&'t str, String> {
    let flags = format.find(|c| !"-+ 0#".contains(c)).unwrap_or(format.len());
    let (flags, rest) = format.split_at(flags);
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, rest) = rest.split_at(digits);
    let width = if digits.is_empty() { 0 } else { digits.parse().unwrap_or(usize::MAX) };
    if width > WIDTH_MAX {
        return Err(format!("%({name}): a width of {digits} is more than {WIDTH_MAX}"));
    }
    let mut characters = rest.chars();
    let conversion = characters.next();
    let text = match (conversion, meaning) {
        (Some('s'), Meaning::Text(text)) => text.clone(),
        (Some('s' | 'd' | 'i' | 'u'), Meaning::Number(number)) => number.to_string(),
        (Some('x'), Meaning::Number(number)) => format!("{number:x}"),
        (Some('X'), Meaning::Number(number)) => format!("{number:X}"),
        (Some('o'), Meaning::Number(number)) => format!("{number:o}"),
        (Some(c @ ('d' | 'i' | 'u' | 'x' | 'X' | 'o')), Meaning::Text(_)) => {
            return Err(format!("%({name}){c}: its value is no number; write %({name})s"));
        }
        _ => return Err(format!("%({name}) must be followed by s or d, as in %({name})s")),
    };
    let missing = width.saturating_sub(text.chars().count());
    let is_number = matches!(meaning, Meaning::Number(_)) && conversion != Some('s');
    if flags.contains('-') {
        out.push_str(&text);
        out.extend(std::iter::repeat_n(' ', missing));
    } else {
        let filler = if flags.contains('0') && is_number { '0' } else { ' ' };
        out.extend(std::iter::repeat_n(filler, missing));
        out.push_str(&text);
    }
    Ok(characters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn meanings() -> Meanings {
        let mut meanings = Meanings::default();
        meanings.text("program_name", "celery");
        meanings.number("process_num", 7);
        meanings.text("ENV_HOME", "/srv");
        meanings
    }

    #[test]
    fn names_are_replaced_and_formatted() {
        for (text, expected) in [
            ("plain", "plain"),
            ("%(program_name)s_%(process_num)02d", "celery_07"),
            ("80%(process_num)02d%%", "8007%"),
            ("%(process_num)s|%(process_num)3d|%(process_num)-3d|%(process_num)x", "7|  7|7  |7"),
            ("%(program_name)8s|%(program_name)-8s|%(program_name)08s", "  celery|celery  |  celery"),
            ("%(ENV_HOME)s/x", "/srv/x"),
        ] {
            assert_eq!(expand(text, &meanings()).expect(text), expected, "{text}");
        }
    }

    #[test]
    fn what_can_not_be_expanded_is_named() {
        for (text, part) in [
            ("date +%Y", "write %% for a percent sign"),
            ("100%", "write %% for a percent sign"),
            ("%(nope)s", "%(nope)s is unknown; there are program_name, process_num and ENV_"),
            ("%(ENV_NOPE)s", "has no variable NOPE"),
            ("%(program_name)d", "is no number"),
            ("%(program_name)", "must be followed by s or d"),
            ("%(program_name)q", "must be followed by s or d"),
            ("%(process_num)99999999999999999999d", "is more than 64"),
        ] {
            let message = expand(text, &meanings()).expect_err(text);
            assert!(message.contains(part), "{text}: {message}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_expanded_or_refused(text in "[%(a-z_)0-9s-]{0,30}") {
            let _ = expand(&text, &meanings());
        }
    }
}
