//! The options of a static route: their readers, and the step to [`StaticOptions`].
//!
//! Owns what is said about them on a route that serves no files.

use std::path::Path;

use super::options::{self, Opt, Unit};
use super::read::{self, not, string};
use super::section::Reader;
use super::static_options::{Expires, Fallback, StaticOptions};
use super::units;
use super::value::{Placed, Value};
use crate::base::bounds::{STATIC_EXPIRES_SECONDS_MAX, STATIC_FALLBACKS_MAX, STATIC_TYPES_MAX};

/// The options of a route. `serves_files`: otherwise each that is given is a problem.
pub(super) fn static_options(reader: &mut Reader<'_>, serves_files: bool) -> StaticOptions {
    let idle = !serves_files;
    StaticOptions {
        index: value(reader, &options::INDEX, idle),
        listing: value(reader, &options::LISTING, idle),
        fallback: optional(reader, &options::FALLBACK, idle).unwrap_or_default(),
        not_found: optional(reader, &options::NOT_FOUND, idle),
        symlinks: value(reader, &options::SYMLINKS, idle),
        dotfiles: value(reader, &options::DOTFILES, idle),
        precompressed: value(reader, &options::PRECOMPRESSED, idle),
        // Also said of the application's answers, so `compress` reads it.
        compress: None,
        types: value(reader, &options::TYPES, idle),
        nosniff: value(reader, &options::NOSNIFF, idle),
        cache_control: optional(reader, &options::CACHE_CONTROL, idle),
        expires: optional(reader, &options::EXPIRES, idle).flatten(),
        manifest: value(reader, &options::MANIFEST, idle),
    }
}

fn value<T>(reader: &mut Reader<'_>, option: &Opt<T>, idle: bool) -> T {
    match optional(reader, option, idle) {
        Some(value) => value,
        None => reader.value(option),
    }
}

fn optional<T>(reader: &mut Reader<'_>, option: &Opt<T>, idle: bool) -> Option<T> {
    let (value, place) = reader.placed(option)?;
    if idle {
        reader.problem(place, option.spec.name, "has an effect only in a route with \"static\"");
    }
    Some(value)
}

/// Candidates such as `"{path}.html"`, `"/index.html"` and `"@app"`.
pub(super) fn fallback(value: &Value, unit: Unit, _: &Path) -> Result<Vec<Fallback>, String> {
    let texts = read::strings(value, unit)?;
    if texts.len() > STATIC_FALLBACKS_MAX {
        return Err(format!("has more than {STATIC_FALLBACKS_MAX} candidates"));
    }
    if texts.iter().rev().skip(1).any(|text| *text == "@app") {
        return Err("has candidates after \"@app\", which always answers".to_owned());
    }
    texts.into_iter().map(candidate).collect()
}

fn candidate(text: &str) -> Result<Fallback, String> {
    let shown = text.escape_debug();
    match text.split_once("{path}") {
        _ if text == "@app" => Ok(Fallback::App),
        _ if text.contains("$uri") => Err(format!("\"{shown}\": write {{path}} where nginx has $uri")),
        _ if text.starts_with(['@', '=']) => {
            Err(format!("\"{shown}\" is not known; \"@app\" is, and without it the last answer is 404"))
        }
        Some((before, after)) => {
            let before = before.strip_prefix('/').unwrap_or(before);
            plain_path(&format!("/{before}x{after}"), text)?;
            Ok(Fallback::Around { before: before.to_owned(), after: after.to_owned() })
        }
        None => beneath(text).map(Fallback::File),
    }
}

/// A file beneath the route's directory, written with a slash at the front.
pub(super) fn file_beneath(value: &Value, unit: Unit, _: &Path) -> Result<String, String> {
    beneath(string(value, unit)?)
}

fn beneath(text: &str) -> Result<String, String> {
    let Some(relative) = text.strip_prefix('/') else {
        return Err(format!(
            "\"{0}\" must start with \"/\", which stands for the directory, as in \"/{0}\"",
            text.escape_debug()
        ));
    };
    plain_path(text, text)?;
    Ok(relative.to_owned())
}

/// `path` names a file and is in its normal form; `text` is how it was written.
fn plain_path(path: &str, text: &str) -> Result<(), String> {
    let odd = |segment: &str| matches!(segment, "" | "." | "..");
    if path[1..].split('/').any(odd) || path.contains('\0') || path.contains(['{', '}']) {
        return Err(format!("\"{}\" is not the path of a file", text.escape_debug()));
    }
    Ok(())
}

/// A file name, or nothing for `""`.
pub(super) fn manifest(value: &Value, unit: Unit, base: &Path) -> Result<Option<String>, String> {
    match string(value, unit)? {
        "" => Ok(None),
        _ => Ok(read::file_names(value, unit, base)?.pop()),
    }
}

/// `{ ".ext" = "type/subtype" }`: extensions in lower case, without their dot.
pub(super) fn types(value: &Value, unit: Unit, _: &Path) -> Result<Vec<(String, String)>, String> {
    let Value::Table(table) = value else {
        return Err(not(unit, value));
    };
    let entries = table.clone().into_entries();
    if entries.len() > STATIC_TYPES_MAX {
        return Err(format!("has more than {STATIC_TYPES_MAX} entries"));
    }
    let mut types: Vec<(String, String)> = Vec::with_capacity(entries.len());
    for (key, Placed { value, .. }) in entries {
        let extension = key.strip_prefix('.').unwrap_or_default().to_ascii_lowercase();
        if extension.is_empty() || extension.contains(['.', '/', '\0']) {
            let key = key.escape_debug();
            return Err(format!("\"{key}\" is not an extension with its dot, such as \".wasm\""));
        }
        let media = media_type(string(&value, Unit::Text("a content type"))?)?;
        if types.iter().any(|(known, _)| *known == extension) {
            return Err(format!("\".{extension}\" is given twice"));
        }
        types.push((extension, media));
    }
    types.sort();
    Ok(types)
}

/// A content type (RFC 9110 §8.3.1); text without a charset is UTF-8.
fn media_type(text: &str) -> Result<String, String> {
    let essence = text.split(';').next().unwrap_or_default().trim_end();
    let token = |part: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&byte);
        !part.is_empty() && part.bytes().all(allowed)
    };
    let is_type = essence.split_once('/').is_some_and(|(kind, subtype)| token(kind) && token(subtype));
    if !is_type || !text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') || text.trim() != text {
        return Err(format!("\"{}\" is not a content type, such as \"text/css\"", text.escape_debug()));
    }
    let is_text = essence.len() > 5 && essence[..5].eq_ignore_ascii_case("text/");
    Ok(if is_text && text == essence { format!("{text}; charset=utf-8") } else { text.to_owned() })
}

/// A duration, or one of nginx's words; `None` for `"off"`.
pub(super) fn expires(value: &Value, unit: Unit, _: &Path) -> Result<Option<Expires>, String> {
    let seconds = match value {
        Value::Text(text) if text == "off" => return Ok(None),
        Value::Text(text) if text == "max" => return Ok(Some(Expires::Max)),
        Value::Text(text) if text == "epoch" => return Ok(Some(Expires::Epoch)),
        Value::Text(text) => units::duration_ms(text).map(|ms| ms / 1000),
        Value::Integer(seconds) => u64::try_from(*seconds).ok(),
        _ => None,
    };
    match seconds.filter(|seconds| *seconds <= STATIC_EXPIRES_SECONDS_MAX) {
        Some(seconds) => Ok(Some(Expires::After(std::time::Duration::from_secs(seconds)))),
        None => Err(not(unit, value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::value::parse;

    fn read<T>(option: &Opt<T>, text: &str) -> Result<T, String> {
        let mut table = parse(Path::new("test"), &format!("it = {text}"), &mut Vec::new());
        (option.read)(&table.take("it").expect("valid TOML").value, option.spec.unit, Path::new("/"))
    }

    #[test]
    fn types_by_extension() {
        let types = read(&options::TYPES, r#"{ ".Foo" = "text/x-foo", ".b" = "image/b", ".c" = "text/c; charset=x" }"#);
        let wanted = [("b", "image/b"), ("c", "text/c; charset=x"), ("foo", "text/x-foo; charset=utf-8")];
        assert_eq!(types.unwrap(), wanted.map(|(extension, media)| (extension.to_owned(), media.to_owned())));
        for wrong in [
            r#"{ foo = "text/x-foo" }"#,
            r#"{ "." = "text/x-foo" }"#,
            r#"{ ".a.b" = "text/x-foo" }"#,
            r#"{ ".a" = "text" }"#,
            r#"{ ".a" = "text/html\n" }"#,
            r#"{ ".a" = "text/" }"#,
            r#"{ ".a" = 1 }"#,
            r#"{ ".a" = "a/b", ".A" = "a/c" }"#,
            r#""text/html""#,
        ] {
            assert!(read(&options::TYPES, wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn fallbacks() {
        let around = |before: &str, after: &str| Fallback::Around { before: before.into(), after: after.into() };
        let file = |name: &str| Fallback::File(name.into());
        for (text, expected) in [
            (r#"["{path}.html", "@app"]"#, vec![around("", ".html"), Fallback::App]),
            (
                r#"["/pages/{path}/index.html", "/index.html"]"#,
                vec![around("pages/", "/index.html"), file("index.html")],
            ),
            (r#""/a/b.html""#, vec![file("a/b.html")]),
            ("[]", vec![]),
        ] {
            assert_eq!(read(&options::FALLBACK, text).unwrap(), expected, "{text}");
        }
        for wrong in [
            r#"["@app", "/x"]"#,
            r#""index.html""#,
            r#""$uri.html""#,
            r#""=404""#,
            r#""@other""#,
            r#""/../x""#,
            r#""{path}/../x""#,
            r#""/a//b""#,
            r#""/a/""#,
            r#""{path}{path}""#,
            r#""{file}""#,
            r#""/""#,
            r#""""#,
            "1",
        ] {
            assert!(read(&options::FALLBACK, wrong).is_err(), "{wrong}");
        }
        assert!(read(&options::FALLBACK, &format!("[{}]", [r#""/a","#; STATIC_FALLBACKS_MAX + 1].concat())).is_err());
        assert_eq!(read(&options::NOT_FOUND, r#""/404.html""#).unwrap(), "404.html");
        assert!(read(&options::NOT_FOUND, r#""404.html""#).is_err());
        assert_eq!(read(&options::MANIFEST, r#""x.json""#).unwrap().as_deref(), Some("x.json"));
        assert_eq!(read(&options::MANIFEST, r#""""#).unwrap(), None);
        assert!(read(&options::MANIFEST, r#""a/b""#).is_err());
    }

    #[test]
    fn expiry_in_nginx_words() {
        use std::time::Duration;
        for (text, expected) in [
            ("\"30d\"", Some(Expires::After(Duration::from_secs(30 * 86_400)))),
            ("0", Some(Expires::After(Duration::ZERO))),
            ("\"max\"", Some(Expires::Max)),
            ("\"epoch\"", Some(Expires::Epoch)),
            ("\"off\"", None),
        ] {
            assert_eq!(read(&options::EXPIRES, text).unwrap(), expected, "{text}");
        }
        for wrong in ["\"soon\"", "-1", "true", "\"100000d\""] {
            assert!(read(&options::EXPIRES, wrong).is_err(), "{wrong}");
        }
    }
}
