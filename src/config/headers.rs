//! `headers` of a route: from its table to [`HeaderOps`].
//!
//! Owns the two forms: names with values, which are set, and `set`, `add` and `remove` by name.

use super::error::Problem;
use super::section::shown;
use super::value::{Place, Placed, Table, Value};
use crate::base::bounds::HEADER_LINES_BYTES_MAX;
use crate::http::HeaderOps;

/// Reads the table `key`; `None` if it changes nothing. What is wrong is put into `problems`.
pub fn headers(placed: Placed, key: &str, problems: &mut Vec<Problem>) -> Option<HeaderOps> {
    let place = placed.place.clone();
    let mut problem = |place: Place, name: &str, message: String| {
        let dot = if name.is_empty() { "" } else { "." };
        let name = if name.is_empty() { String::new() } else { shown(name) };
        problems.push(Problem { place, key: format!("{key}{dot}{name}"), message });
    };
    let Value::Table(mut table) = placed.value else {
        let what = "must be a table of field names and values, as in { \"X-Frame-Options\" = \"DENY\" }";
        problem(place, "", what.to_owned());
        return None;
    };
    let always = match table.take("always") {
        None => true,
        Some(Placed { value: Value::Bool(flag), .. }) => flag,
        Some(other) => {
            problem(other.place, "always", format!("must be true or false, not {}", other.value.kind()));
            true
        }
    };
    let mut ops = HeaderOps::new(always);
    let (set, add, remove) = (sub_table(&mut table, "set"), sub_table(&mut table, "add"), table.take("remove"));
    for name in remove.into_iter().flat_map(items) {
        let removed = text(&name.value).and_then(|text| ops.remove(text));
        if let Err(message) = removed {
            problem(name.place, "remove", message);
        }
    }
    // In the order of the file: the order of the lines on the wire.
    for (name, value) in in_order(set).into_iter().chain(in_order(table)) {
        if let Err(message) = text(&value.value).and_then(|text| ops.set(&name, text)) {
            problem(value.place, &name, message);
        }
    }
    for (name, value) in in_order(add) {
        for item in items(value) {
            if let Err(message) = text(&item.value).and_then(|text| ops.add(&name, text)) {
                problem(item.place, &name, message);
            }
        }
    }
    if ops.len() > HEADER_LINES_BYTES_MAX {
        problem(place, "", format!("must not add more than {HEADER_LINES_BYTES_MAX} bytes to a response"));
    }
    (!ops.is_empty()).then_some(ops)
}

/// The table under `key`, taken out; a field may have that name, with a string as its value.
fn sub_table(table: &mut Table, key: &str) -> Table {
    match table.take(key) {
        Some(Placed { value: Value::Table(inner), .. }) => inner,
        Some(other) => {
            table.set(key, other);
            Table::default()
        }
        None => Table::default(),
    }
}

fn in_order(table: Table) -> Vec<(String, Placed)> {
    let mut entries = table.into_entries();
    entries.sort_by(|a, b| (&a.1.place, &a.0).cmp(&(&b.1.place, &b.0)));
    entries
}

/// The items of a list, or the one value.
fn items(placed: Placed) -> Vec<Placed> {
    match placed.value {
        Value::List(items) => items,
        _ => vec![placed],
    }
}

fn text(value: &Value) -> Result<&str, String> {
    match value {
        Value::Text(text) => Ok(text),
        other => Err(format!("must be a string, not {}", other.kind())),
    }
}
