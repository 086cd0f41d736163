//! The tree of values that the config file holds, each with the place that it stands in.
//!
//! Owns the step from TOML to that tree; knows no option. Environment variables and flags become values of the same
//! kind, so that one reader and one check serve all of them.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::Problem;

/// Where a value was given.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A line of the config file, counted from 1; 0 = the file as a whole.
    File {
        /// The file's name as it was given.
        name: Arc<str>,
        /// The line.
        line: usize,
    },
    /// An environment variable.
    Variable(&'static str),
    /// A setting of a `gunicorn.conf.py`, which knows no lines.
    Setting {
        /// The file's name as it was given.
        file: Arc<str>,
        /// The setting's name.
        name: &'static str,
    },
    /// An argument in an environment variable that holds some.
    VariableArgument {
        /// The variable.
        variable: &'static str,
        /// The argument.
        name: &'static str,
    },
    /// A command-line argument.
    Argument(&'static str),
    /// Nothing in particular: the lack of something.
    Nowhere,
}

impl Place {
    /// Whether it is in the config file, where relative paths have a start of their own.
    pub fn is_in_file(&self) -> bool {
        matches!(self, Place::File { .. } | Place::Setting { .. })
    }

    /// For "given before (…)".
    pub fn short(&self) -> String {
        match self {
            Place::File { line, .. } => format!("line {line}"),
            Place::Variable(name) | Place::VariableArgument { name, .. } | Place::Argument(name) => (*name).to_owned(),
            Place::Setting { name, .. } => (*name).to_owned(),
            Place::Nowhere => "by default".to_owned(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File { name, line: 0 } => write!(f, "{name}: "),
            Place::File { name, line } => write!(f, "{name}:{line}: "),
            Place::Variable(name) => write!(f, "environment variable {name}: "),
            Place::VariableArgument { variable, name } => write!(f, "environment variable {variable}: {name}: "),
            Place::Argument(name) => write!(f, "{name}: "),
            Place::Setting { file, name } => write!(f, "{file}: {name}: "),
            Place::Nowhere => f.write_str("maitred: "),
        }
    }
}

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed {
    pub place: Place,
    pub value: Value,
}

/// A value before anything is known about what it should be.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    List(Vec<Placed>),
    Table(Table),
    /// A kind that no option takes: a date, a number out of range.
    Other(&'static str),
}

impl Value {
    /// For messages: what the value is.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Text(_) => "a string",
            Value::Integer(_) => "an integer",
            Value::Float(_) => "a float",
            Value::Bool(_) => "a boolean",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
            Value::Other(kind) => kind,
        }
    }

    /// The items of a list; of anything else, itself.
    pub fn each(&self) -> impl Iterator<Item = &Value> {
        let (list, single) = match self {
            Value::List(items) => (items.as_slice(), None),
            other => (&[][..], Some(other)),
        };
        list.iter().map(|item| &item.value).chain(single)
    }
}

/// Keys and values; no key twice.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    entries: Vec<(String, Placed)>,
}

impl Table {
    /// The value of `key`, which the table no longer holds then.
    pub fn take(&mut self, key: &str) -> Option<Placed> {
        let index = self.entries.iter().position(|(name, _)| name == key)?;
        Some(self.entries.swap_remove(index).1)
    }

    /// Whether `key` is there.
    pub fn holds(&self, key: &str) -> bool {
        self.entries.iter().any(|(name, _)| name == key)
    }

    /// Sets `key`, over what was there.
    pub fn set(&mut self, key: &str, value: Placed) {
        self.take(key);
        self.entries.push((key.to_owned(), value));
    }

    /// The value of `key`, if it is there.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.entries.iter().find(|(name, _)| name == key).map(|(_, placed)| &placed.value)
    }

    /// The table that is the value of `key`, if it is one.
    pub fn table(&mut self, key: &str) -> Option<&mut Table> {
        let found = self.entries.iter_mut().find(|(name, _)| name == key);
        match found.map(|(_, placed)| &mut placed.value) {
            Some(Value::Table(table)) => Some(table),
            _ => None,
        }
    }

    /// Keys and values, in the order in which they were set as long as none was taken.
    pub fn entries(&self) -> &[(String, Placed)] {
        &self.entries
    }

    /// Keys and values in no particular order.
    pub fn into_entries(self) -> Vec<(String, Placed)> {
        self.entries
    }
}

/// Reads `text` as TOML. Mistakes of syntax are put into `problems`; what could be read is returned all the same, but is
/// not worth complaining about further.
pub fn parse(file: &Path, text: &str, problems: &mut Vec<Problem>) -> Table {
    let source = Source { name: file.display().to_string().into(), line_starts: line_starts(text) };
    let (table, errors) = DeTable::parse_recoverable(text);
    problems.extend(errors.iter().map(|error| Problem {
        place: source.place(error.span().map_or(text.len(), |span| span.start)),
        key: String::new(),
        message: error.message().to_owned(),
    }));
    source.table(table.into_inner())
}

/// Whether `text` is meant as one of our config files: it has the head of a table, or it can be read and holds nothing but tables. A
/// `gunicorn.conf.py` of plain assignments can be read as TOML too, but its values stand in no table.
#[must_use]
pub fn is_toml(text: &str) -> bool {
    let is_table = |(_, placed): &(String, Placed)| match &placed.value {
        Value::Table(_) => true,
        Value::List(items) => items.iter().all(|item| matches!(item.value, Value::Table(_))),
        _ => false,
    };
    let mut problems = Vec::new();
    text.lines().any(|line| line.starts_with('['))
        || (parse(Path::new(""), text, &mut problems).entries().iter().all(is_table) && problems.is_empty())
}

struct Source {
    name: Arc<str>,
    /// Offset of each line's first byte.
    line_starts: Vec<usize>,
}

fn line_starts(text: &str) -> Vec<usize> {
    let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
    std::iter::once(0).chain(breaks.map(|(at, _)| at + 1)).collect()
}

impl Source {
    fn place(&self, offset: usize) -> Place {
        let line = self.line_starts.partition_point(|start| *start <= offset);
        Place::File { name: Arc::clone(&self.name), line }
    }

    /// A key's value is reported at the line of the key, where the eye looks for it.
    fn table(&self, table: DeTable<'_>) -> Table {
        let entry = |(key, value): (Spanned<_>, Spanned<DeValue<'_>>)| {
            let place = self.place(key.span().start);
            let key: std::borrow::Cow<'_, str> = key.into_inner();
            (key.into_owned(), Placed { place, value: self.value(value.into_inner()) })
        };
        Table { entries: table.into_iter().map(entry).collect() }
    }

    fn value(&self, value: DeValue<'_>) -> Value {
        match value {
            DeValue::String(text) => Value::Text(text.into_owned()),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Value::Integer(number),
                Err(_) => Value::Other("an integer out of range"),
            },
            DeValue::Float(number) => match number.as_str().parse::<f64>() {
                Ok(number) if number.is_finite() => Value::Float(number),
                _ => Value::Other("a float out of range"),
            },
            DeValue::Boolean(flag) => Value::Bool(flag),
            DeValue::Datetime(_) => Value::Other("a date"),
            DeValue::Array(list) => {
                let item = |item: Spanned<DeValue<'_>>| {
                    let place = self.place(item.span().start);
                    Placed { place, value: self.value(item.into_inner()) }
                };
                Value::List(list.into_iter().map(item).collect())
            }
            DeValue::Table(table) => Value::Table(self.table(table)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(place: &Place) -> usize {
        match place {
            Place::File { line, .. } => *line,
            _ => 0,
        }
    }

    #[test]
    fn every_value_knows_its_line() {
        let text = "a = 1\n\n[b]\nc = [\n  'x',\n  { d = 1_000 },\n]\n[[e]]\nf = 0x10\n[[e]]\nf = 1.5\n";
        let mut problems = Vec::new();
        let mut table = parse(Path::new("f.toml"), text, &mut problems);
        assert!(problems.is_empty());
        let a = table.take("a").expect("a is there");
        assert_eq!((line(&a.place), a.value), (1, Value::Integer(1)));
        let Some(Value::Table(mut b)) = table.take("b").map(|placed| placed.value) else { panic!("b is a table") };
        let c = b.take("c").expect("c is there");
        assert_eq!(line(&c.place), 4);
        let Value::List(items) = c.value else { panic!("c is a list") };
        assert_eq!(items.iter().map(|item| line(&item.place)).collect::<Vec<_>>(), [5, 6]);
        let Value::Table(d) = &items[1].value else { panic!("the second item is a table") };
        assert_eq!(d.entries[0].1.value, Value::Integer(1000));
        let Some(Value::List(e)) = table.take("e").map(|placed| placed.value) else { panic!("e is a list") };
        let Value::Table(f) = &e[0].value else { panic!("its items are tables") };
        assert_eq!(f.entries[0].1.value, Value::Integer(16));
        assert_eq!(e.iter().map(|item| line(&item.place)).collect::<Vec<_>>(), [8, 10]);
    }

    #[test]
    fn a_config_file_is_told_from_one_in_python() {
        for ours in
            ["", "# nothing\n", "[server]\nlisten = \n", "server.listen = \":80\"", "server = { listen = \":80\" }"]
        {
            assert!(is_toml(ours), "{ours}");
        }
        for theirs in
            ["workers = 2\n", "bind = \"0.0.0.0:80\"\n", "import os\n", "bind = [\n  'a',\n]\n", "workers = 1 + 1"]
        {
            assert!(!is_toml(theirs), "{theirs}");
        }
    }

    #[test]
    fn a_slip_of_syntax_is_reported_with_its_line() {
        let mut problems = Vec::new();
        parse(Path::new("f.toml"), "a = 1\nb = \nc = 'x\n", &mut problems);
        assert_eq!(problems.iter().map(|problem| line(&problem.place)).collect::<Vec<_>>(), [2, 3]);
    }
}
