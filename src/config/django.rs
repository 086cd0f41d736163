//! Finding a Django project's settings module without running Python.
//!
//! Reads `manage.py` as text and never imports it: the worker does that later, in its own process.

use std::fs;
use std::path::Path;

use super::read::is_module;

/// The variable of the environment that names the settings module.
pub const VARIABLE: &str = "DJANGO_SETTINGS_MODULE";
/// What is in the directory of every project.
pub const MANAGE_PY: &str = "manage.py";
/// A `manage.py` is a few hundred bytes; what is longer than this, bytes, is something else.
const MANAGE_PY_BYTES_MAX: u64 = 1024 * 1024;

/// The settings module of the project in `directory`; `variable` is the value of `DJANGO_SETTINGS_MODULE` and wins, as
/// it does in Django. `None` if there is no project.
///
/// # Errors
/// A sentence, if there is a project but its settings module cannot be told.
pub fn settings(directory: &Path, variable: Option<&str>) -> Result<Option<String>, String> {
    if let Some(name) = variable.filter(|name| !name.is_empty()) {
        return match is_module(name) {
            true => Ok(Some(name.to_owned())),
            false => Err(format!("{VARIABLE} is \"{}\", which is not the name of a module", name.escape_debug())),
        };
    }
    if !is_project(directory) {
        return Ok(None);
    }
    let file = directory.join(MANAGE_PY);
    let bytes = fs::read(&file).map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    match in_text(&String::from_utf8_lossy(&bytes)) {
        Some(name) => Ok(Some(name)),
        None => Err(format!(
            "{} does not name its settings module in the usual way; set {VARIABLE} or name the application, as in \
             `maitred serve mysite.wsgi`",
            file.display()
        )),
    }
}

/// Whether a `manage.py` is in `directory`.
pub fn is_project(directory: &Path) -> bool {
    let meta = directory.join(MANAGE_PY).metadata();
    meta.is_ok_and(|meta| meta.is_file() && meta.len() <= MANAGE_PY_BYTES_MAX)
}

/// The settings module that `manage.py` sets: `os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")`, over
/// any number of lines, or an assignment to `os.environ["DJANGO_SETTINGS_MODULE"]`.
fn in_text(text: &str) -> Option<String> {
    let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let code = code.join("\n");
    code.match_indices(VARIABLE).find_map(|(at, name)| {
        let rest = code[at + name.len()..].strip_prefix(['"', '\''])?.trim_start();
        let rest = match rest.strip_prefix(',') {
            Some(rest) => rest,
            None => rest.strip_prefix(']')?.trim_start().strip_prefix('=')?,
        };
        let rest = rest.trim_start();
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let (module, _) = rest[1..].split_once(quote)?;
        is_module(module).then(|| module.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_module_is_read_from_the_text() {
        for (text, expected) in [
            ("os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'mysite.settings')", Some("mysite.settings")),
            ("os.environ.setdefault(\"DJANGO_SETTINGS_MODULE\",\"a.b.c\")", Some("a.b.c")),
            ("os.environ.setdefault(\n    \"DJANGO_SETTINGS_MODULE\",\n    \"a\",\n)", Some("a")),
            ("os.environ['DJANGO_SETTINGS_MODULE'] = 'a.b'", Some("a.b")),
            ("# 'DJANGO_SETTINGS_MODULE', 'old'\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'new')", Some("new")),
            ("setdefault('DJANGO_SETTINGS_MODULE', name)", None),
            ("'''sets DJANGO_SETTINGS_MODULE, 'x' '''", None),
            ("os.environ['DJANGO_SETTINGS_MODULE'] == 'a.b'", None),
            ("setdefault('DJANGO_SETTINGS_MODULE', 'not a module')", None),
            ("setdefault('DJANGO_SETTINGS_MODULE', 'é", None),
            ("", None),
        ] {
            assert_eq!(in_text(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn the_variable_wins_over_the_file() {
        let dir = tempfile::tempdir().expect("temporary directory");
        assert_eq!(settings(dir.path(), None), Ok(None));
        assert_eq!(settings(dir.path(), Some("a.b")), Ok(Some("a.b".to_owned())));
        fs::write(dir.path().join("manage.py"), "setdefault('DJANGO_SETTINGS_MODULE', 'c.d')").expect("write");
        assert_eq!(settings(dir.path(), None), Ok(Some("c.d".to_owned())));
        assert_eq!(settings(dir.path(), Some("")), Ok(Some("c.d".to_owned())));
        assert_eq!(settings(dir.path(), Some("a.b")), Ok(Some("a.b".to_owned())));
        assert!(settings(dir.path(), Some("a b")).is_err());
        fs::write(dir.path().join("manage.py"), "print()").expect("write");
        let message = settings(dir.path(), None).expect_err("the file names none");
        assert!(message.contains("manage.py"), "{message}");
    }
}
