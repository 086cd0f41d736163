//! What is compressed on its way: the option of a route and of `[server]`, and which levels go where.
//!
//! Owns the inheritance (what a route does not say `[server]` says for it) and the bounds: a file is compressed once, an answer of the application each
//! time, while its shard has others to serve. The choice among codings is `http::encoding`'s, that among responses `http::compressible`'s.

use std::path::Path;

use super::options::{self, Unit};
use super::read::{self, not};
use super::section::Reader;
use super::static_options::Levels;
use super::types::Action;
use super::value::{Place, Placed, Value};
use crate::base::bounds::{COMPRESSED_LENGTH_MIN_MAX, COMPRESSED_TYPES_MAX};
use crate::http::compressible::{Rules, Types};

/// How responses are compressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompressConfig {
    /// How hard each coding works; none: it is not used.
    pub levels: Levels,
    /// Which responses are meant.
    pub rules: Rules,
}

/// The highest levels for what is compressed each time anew: beyond them a page costs milliseconds for a few bytes.
const LEVELS_ON_THE_FLY: Levels = Levels { gzip: Some(7), brotli: Some(6), zstd: Some(9) };

/// `true`, `false`, a list of codings, or a table of levels and rules.
pub(super) fn compress(value: &Value, unit: Unit, _: &Path) -> Result<Option<CompressConfig>, String> {
    let usual = CompressConfig { levels: Levels::USUAL, rules: Rules::default() };
    match value {
        Value::Bool(true) => Ok(Some(usual)),
        Value::Bool(false) => Ok(None),
        Value::List(_) => {
            let mut levels = Levels::NONE;
            for name in read::strings(value, unit)? {
                match name {
                    "gzip" => levels.gzip = Levels::USUAL.gzip,
                    "brotli" | "br" => levels.brotli = Levels::USUAL.brotli,
                    "zstd" => levels.zstd = Levels::USUAL.zstd,
                    _ => return Err(unknown(name)),
                }
            }
            some(CompressConfig { levels, ..usual })
        }
        Value::Table(table) => {
            let mut found = CompressConfig { levels: Levels::NONE, ..usual };
            for (key, Placed { value, .. }) in table.clone().into_entries() {
                let level = |max: u64, min: u64| {
                    let number = read::count_u32(&value, Unit::Count { min, max }, Path::new("/"));
                    number.map(Some).map_err(|message| format!("{key} {message}"))
                };
                match &*key {
                    "gzip" => found.levels.gzip = level(9, 1)?,
                    "brotli" | "br" => found.levels.brotli = level(11, 0)?,
                    "zstd" => found.levels.zstd = level(19, 1)?,
                    "min_length" => found.rules.length_min = length_min(&value)?,
                    "types" => found.rules.types = types(&value)?,
                    _ => return Err(unknown(&key)),
                }
            }
            // Rules alone: the levels are the usual ones.
            let has_rules = found.rules != Rules::default();
            if found.levels == Levels::NONE && has_rules {
                found.levels = Levels::USUAL;
            }
            some(found)
        }
        _ => Err(not(unit, value)),
    }
}

fn some(found: CompressConfig) -> Result<Option<CompressConfig>, String> {
    match found.levels {
        Levels::NONE => Err("names no coding; leave it out instead".to_owned()),
        _ => Ok(Some(found)),
    }
}

fn unknown(name: &str) -> String {
    format!("has levels for gzip, brotli and zstd, \"min_length\" and \"types\", not \"{}\"", name.escape_debug())
}

fn length_min(value: &Value) -> Result<u64, String> {
    let unit = Unit::Size { max: COMPRESSED_LENGTH_MIN_MAX };
    read::size(value, unit, Path::new("/")).map_err(|message| format!("min_length {message}"))
}

/// `text/html`, `text/*` or `*`.
fn types(value: &Value) -> Result<Types, String> {
    let texts =
        read::strings(value, Unit::Texts("a list of content types")).map_err(|message| format!("types {message}"))?;
    if texts.len() > COMPRESSED_TYPES_MAX {
        return Err(format!("types has more than {COMPRESSED_TYPES_MAX} entries"));
    }
    let is_token = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&byte))
    };
    let mut types = Vec::with_capacity(texts.len());
    for text in texts {
        let is_type = |(kind, subtype): (&str, &str)| is_token(kind) && (subtype == "*" || is_token(subtype));
        if text != "*" && !text.split_once('/').is_some_and(is_type) {
            let text = text.escape_debug();
            return Err(format!("types: \"{text}\" is not a content type, such as \"text/html\", \"text/*\" or \"*\""));
        }
        types.push(text.to_ascii_lowercase());
    }
    Ok(Types::Only(types))
}

/// Reads `compress` of `[server]`.
pub(super) fn of_server(reader: &mut Reader<'_>) -> Option<CompressConfig> {
    let (found, place) = reader.placed(&options::SERVER_COMPRESS)?;
    let found = found?;
    check_levels(reader, &found.levels, place);
    Some(found)
}

/// Reads `compress` of a route that does `action`, with what `server` says where it says nothing; puts the levels for files where they belong.
/// Returns what holds for the application's answers.
pub(super) fn of_route(
    reader: &mut Reader<'_>,
    action: Option<&mut Action>,
    server: Option<&CompressConfig>,
) -> Option<CompressConfig> {
    let own = reader.placed(&options::COMPRESS);
    let server = server.cloned();
    match (action, own) {
        (Some(Action::Static(files)), own) => {
            if let Some((Some(own), place)) = &own
                && own.rules != Rules::default()
            {
                let message = "of files \"min_length\" and \"types\" can't be chosen: text and the like is compressed, from 256 bytes on";
                reader.problem(place.clone(), options::COMPRESS.spec.name, message);
            }
            let found = own.map_or(server.clone(), |(own, _)| own);
            files.options.compress = found.map(|found| found.levels);
            // What the application answers in a file's place it does not compress unless everybody's answers are.
            server
        }
        (Some(Action::App), Some((own, place))) => {
            if let Some(own) = &own {
                check_levels(reader, &own.levels, place);
            }
            own
        }
        (Some(Action::App), None) => server,
        (Some(_), Some((_, place))) => {
            let message = "has an effect only in a route with \"static\" or \"app\"";
            reader.problem(place, options::COMPRESS.spec.name, message);
            None
        }
        (_, _) => None,
    }
}

fn check_levels(reader: &mut Reader<'_>, levels: &Levels, place: Place) {
    let max = LEVELS_ON_THE_FLY;
    for (name, level, max) in
        [("gzip", levels.gzip, max.gzip), ("brotli", levels.brotli, max.brotli), ("zstd", levels.zstd, max.zstd)]
    {
        if let (Some(level), Some(max)) = (level, max)
            && level > max
        {
            let message = format!(
                "{name} goes up to {max} for the application's answers, which are compressed each time, not to {level}"
            );
            reader.problem(place.clone(), options::COMPRESS.spec.name, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::bounds::COMPRESSED_BYTES_MIN;
    use crate::config::section::value_of;

    fn read(text: &str) -> Result<Option<CompressConfig>, String> {
        compress(&value_of(text), options::COMPRESS.spec.unit, Path::new("/"))
    }

    #[test]
    fn levels_by_coding() {
        let levels = |gzip, brotli, zstd| Some(Levels { gzip, brotli, zstd });
        for (text, expected) in [
            ("true", levels(Some(6), Some(5), Some(3))),
            ("false", None),
            ("{ gzip = 9, brotli = 0, zstd = 19 }", levels(Some(9), Some(0), Some(19))),
            ("{ zstd = 1 }", levels(None, None, Some(1))),
            ("[\"zstd\", \"gzip\"]", levels(Some(6), None, Some(3))),
            ("{ min_length = 1000 }", levels(Some(6), Some(5), Some(3))),
        ] {
            assert_eq!(read(text).unwrap().map(|found| found.levels), expected, "{text}");
        }
        for wrong in [
            "{}",
            "[]",
            "6",
            "\"gzip\"",
            "{ gzip = 0 }",
            "{ brotli = 12 }",
            "{ zstd = 20 }",
            "{ deflate = 6 }",
            "{ gzip = true }",
            "[\"deflate\"]",
            "[6]",
            "{ gzip = 6, types = [\"text\"] }",
            "{ gzip = 6, types = [\"text/\"] }",
            "{ gzip = 6, types = [\"*/*x\"] }",
            "{ gzip = 6, min_length = -1 }",
            "{ gzip = 6, min_length = \"1G\" }",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rules_are_bounded() {
        let with_types = |count: usize| format!("{{ gzip = 6, types = [{}] }}", "\"a/b\", ".repeat(count));
        assert!(read(&with_types(COMPRESSED_TYPES_MAX)).is_ok());
        assert!(read(&with_types(COMPRESSED_TYPES_MAX + 1)).unwrap_err().contains("more than 256"));
        let with_length = |bytes: u64| format!("{{ gzip = 6, min_length = {bytes} }}");
        assert!(read(&with_length(COMPRESSED_LENGTH_MIN_MAX)).is_ok());
        assert!(read(&with_length(COMPRESSED_LENGTH_MIN_MAX + 1)).is_err());
    }

    #[test]
    fn rules_beside_levels() {
        let found =
            read("{ gzip = 4, min_length = \"1K\", types = [\"Text/*\", \"application/json\"] }").unwrap().unwrap();
        let types = Types::Only(vec!["text/*".to_owned(), "application/json".to_owned()]);
        assert_eq!(found.rules, Rules { length_min: 1024, types });
        assert_eq!(read("{ gzip = 4 }").unwrap().unwrap().rules.length_min, COMPRESSED_BYTES_MIN);
    }
}
