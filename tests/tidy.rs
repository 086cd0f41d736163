//! Holds the tree to its own rules: import layers, where `unsafe` may be, headers, file sizes, leftovers, proofs that exist.
//!
//! Owns no rule of its own: they are those of `docs/architecture.md`. Reads files only; run by `cargo test` like any other test.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The modules in layer order, lowest first. A module imports from lower layers only, never from a sibling.
/// `sys` stands above `base`: system calls need the bounds. `observe`, `http` and `limits` stand below `config`: formats of the access log, names,
/// values and redirects of routes, rules and hosts are checked by the code that will write or apply them.
const LAYERS: &[&[&str]] = &[
    &["base"],
    &["sys"],
    &["observe", "http", "limits"],
    &["config", "ring", "control"],
    &["tls", "route", "response", "compress"],
    &["static_files", "wsgi", "cache", "proxy", "acme", "django"],
    &["mail"],
    &["shard", "supervise"],
    &["cli"],
];

/// Where `unsafe` may be written.
const UNSAFE_ALLOWED: &[&str] = &["src/ring/", "src/sys/"];

/// Longest source file, lines.
const LINES_MAX: usize = 650;

/// Words that a finished change does not leave behind; in two parts so that this file holds none of them.
const LEFTOVERS: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("to", "do!("),
    concat!("unimpl", "emented!("),
    concat!("db", "g!("),
    concat!("break", "point()"),
];

/// Beginnings of paths that exist on one machine only; in two parts for the same reason.
const MACHINE_PATHS: &[&str] =
    &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!(".py", "env")];

/// Folders of the tree that are made, not written.
const MADE: &[&str] = &["target", ".git", ".venv", ".venv-peers", "var", "__pycache__", "corpus", "artifacts"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The path as the rules and messages name it: relative to the package, with `/`.
fn name(path: &Path) -> String {
    path.strip_prefix(root()).expect("walked from the root").to_string_lossy().into_owned()
}

/// Every written file below `folder` whose name ends in one of `endings`, with its text.
fn files(folder: &str, endings: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for path in entries.map(|entry| entry.expect("readable folder").path()) {
            let last = path.file_name().expect("an entry has a name").to_string_lossy().into_owned();
            if path.is_dir() {
                if !MADE.contains(&last.as_str()) {
                    folders.push(path);
                }
            } else if endings.iter().any(|ending| last.ends_with(ending)) {
                found.push((name(&path), read(&path)));
            }
        }
    }
    found.sort();
    found
}

fn read(path: &PathBuf) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Fails with every finding at once, so that one run shows all there is to mend.
fn assert_none(rule: &str, findings: Vec<String>) {
    assert!(findings.is_empty(), "{rule}:\n  {}", findings.join("\n  "));
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Rust source with comments, strings and character literals blanked; lines stay where they are.
fn code_only(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut kept = vec![b' '; bytes.len()];
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let skipped = if rest.starts_with(b"//") {
            rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())
        } else if rest.starts_with(b"/*") {
            block_comment(rest)
        } else if rest[0] == b'"' {
            quoted(rest)
        } else if rest[0] == b'r' && (at == 0 || !is_word(bytes[at - 1]) || bytes[at - 1] == b'b') {
            raw_string(rest)
        } else if rest[0] == b'\'' {
            char_literal(rest)
        } else {
            0
        };
        if skipped == 0 {
            kept[at] = rest[0];
        }
        at += skipped.max(1);
    }
    for (kept, byte) in kept.iter_mut().zip(bytes) {
        if *byte == b'\n' {
            *kept = b'\n';
        }
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// Length of the block comment that `rest` begins with; they nest.
fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..rest.len().min(at + 2)] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// Length of the string that `rest` begins with.
fn quoted(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != b'"' {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// Length of the raw string that `rest` begins with, 0 if it is no raw string.
fn raw_string(rest: &[u8]) -> usize {
    let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
    if rest.get(1 + hashes) != Some(&b'"') {
        return 0;
    }
    let end = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
    let inside = &rest[2 + hashes..];
    let length = inside.windows(end.len()).position(|window| window == end).unwrap_or(inside.len());
    (2 + hashes + length + end.len()).min(rest.len())
}

/// Length of the character literal that `rest` begins with, 0 for a lifetime.
fn char_literal(rest: &[u8]) -> usize {
    if rest.get(1) == Some(&b'\\') {
        return rest[3..].iter().position(|byte| *byte == b'\'').map_or(rest.len(), |end| end + 4);
    }
    let width = (2..=5).find(|at| rest.get(*at) == Some(&b'\''));
    width
        .filter(|end| std::str::from_utf8(&rest[1..*end]).is_ok_and(|text| text.chars().count() == 1))
        .map_or(0, |end| end + 1)
}

/// The top-level modules that a source text names through `crate::` (paths, `use` and `use crate::{…}`).
fn imports(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        if at > 0 && is_word(code.as_bytes()[at - 1]) {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        let Some(group) = rest.strip_prefix('{') else {
            found.insert(first_word(rest));
            continue;
        };
        let (mut depth, mut begins) = (0, true);
        for (at, byte) in group.bytes().enumerate() {
            match byte {
                b'{' => depth += 1,
                b'}' if depth == 0 => break,
                b'}' => depth -= 1,
                b',' if depth == 0 => begins = true,
                _ if begins && is_word(byte) => {
                    found.insert(first_word(&group[at..]));
                    begins = false;
                }
                _ => {}
            }
        }
    }
    found
}

fn first_word(text: &str) -> String {
    text.bytes().take_while(|byte| is_word(*byte)).map(char::from).collect()
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|modules| modules.contains(&module))
}

/// `src/http/head.rs` and `src/http.rs` belong to `http`.
fn module_of(file: &str) -> &str {
    let inside = file.strip_prefix("src/").expect("a file under src");
    inside.split('/').next().expect("a name").trim_end_matches(".rs")
}

#[test]
fn modules_import_from_lower_layers_only() {
    let mut findings = Vec::new();
    for (file, text) in files("src", &[".rs"]) {
        let module = module_of(&file);
        if module == "lib" || module == "main" {
            continue;
        }
        let Some(own) = layer(module) else {
            findings.push(format!("{file}: module `{module}` is in no layer of tests/tidy.rs"));
            continue;
        };
        let code = code_only(&text);
        for other in imports(&code).iter().filter(|other| *other != module) {
            if layer(other).is_some_and(|layer| layer >= own) {
                findings.push(format!("{file}: `{module}` must not import `{other}`"));
            }
        }
        for other in LAYERS.iter().flat_map(|modules| modules.iter()).filter(|other| **other != module) {
            if code.contains(&format!("super::super::{other}::"))
                && !root().join("src").join(module).join(other).exists()
            {
                findings.push(format!("{file}: name `{other}` through `crate::`, not `super::`"));
            }
        }
    }
    assert_none("imports against the layers", findings);
}

#[test]
fn every_module_has_its_place_in_lib_rs() {
    let lib = code_only(&read(&root().join("src/lib.rs")));
    let declared: Vec<usize> = lib
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub mod ")?.strip_suffix(';'))
        .map(|module| layer(module).unwrap_or_else(|| panic!("`{module}` is in no layer of tests/tidy.rs")))
        .collect();
    assert!(declared.is_sorted(), "src/lib.rs lists its modules in layer order");
}

#[test]
fn unsafe_is_confined() {
    let mut findings = Vec::new();
    for (file, text) in files("src", &[".rs"]) {
        if UNSAFE_ALLOWED.iter().any(|folder| file.starts_with(folder)) {
            continue;
        }
        for (number, line) in code_only(&text).lines().enumerate() {
            if line
                .split(|character: char| !character.is_ascii_alphanumeric() && character != '_')
                .any(|word| word == "unsafe")
            {
                findings.push(format!("{file}:{}", number + 1));
            }
        }
    }
    assert_none("`unsafe` outside src/ring and src/sys", findings);
}

#[test]
fn files_begin_by_saying_what_they_are() {
    let rust =
        ["src", "tests", "fuzz", "benches", "loadtest", "examples"].iter().flat_map(|folder| files(folder, &[".rs"]));
    let mut findings: Vec<String> = rust
        .filter(|(_, text)| !text.starts_with("//! "))
        .map(|(file, _)| format!("{file}: no `//!` header"))
        .collect();
    for (file, text) in files("", &[".py"]) {
        let after_shebang =
            if text.starts_with("#!") { text.split_once('\n').map_or("", |(_, rest)| rest) } else { &text };
        if !after_shebang.starts_with("\"\"\"") {
            findings.push(format!("{file}: no docstring"));
        }
    }
    for (file, text) in files("", &[".c", ".h"]) {
        if !text.starts_with("/* ") {
            findings.push(format!("{file}: no comment at its head"));
        }
    }
    assert_none("files without a header", findings);
}

#[test]
fn files_are_short() {
    let long = files("", &[".rs", ".py", ".c", ".h"]).into_iter().filter_map(|(file, text)| {
        let lines = text.lines().count();
        (lines > LINES_MAX).then(|| format!("{file}: {lines} lines"))
    });
    assert_none("files that want to be two", long.collect());
}

#[test]
fn nothing_is_left_over() {
    let mut findings = Vec::new();
    let endings = [
        ".rs", ".py", ".c", ".h", ".md", ".toml", ".html", ".css", ".js", ".txt", ".conf", ".service", "Makefile",
        "run",
    ];
    for (file, text) in files("", &endings) {
        for (number, line) in text.lines().enumerate() {
            for word in LEFTOVERS.iter().chain(MACHINE_PATHS) {
                let alone = |at: usize| at == 0 || !is_word(line.as_bytes()[at - 1]) || !is_word(word.as_bytes()[0]);
                if line.match_indices(word).any(|(at, _)| alone(at)) {
                    findings.push(format!("{file}:{}: {word}", number + 1));
                }
            }
        }
    }
    assert_none("leftovers", findings);
}

/// Every source that may hold a test, with its text.
fn sources() -> Vec<(String, String)> {
    ["src", "tests", "examples", "loadtest"].iter().flat_map(|folder| files(folder, &[".rs", ".py"])).collect()
}

/// What is wrong with a cell that names proofs: tests, or files of the harness with their arguments.
fn wrong_proofs(proof: &str, sources: &[(String, String)]) -> Vec<String> {
    let names: Vec<&str> = proof.split('`').skip(1).step_by(2).collect();
    if names.is_empty() && proof != "not yet" {
        return vec!["neither a test's name nor 'not yet'".to_owned()];
    }
    let is_missing = |name: &&str| {
        if name.contains('/') {
            return !root().join(name.split(' ').next().expect("a word")).exists();
        }
        let test = name.rsplit("::").next().expect("a word");
        let (rust, python) = (format!("fn {test}("), format!("def {test}("));
        !sources.iter().any(|(_, text)| text.contains(&rust) || text.contains(&python))
    };
    names.into_iter().filter(is_missing).map(|name| format!("no test or file `{name}`")).collect()
}

/// The cells of a table's row; none for its head and for other lines.
fn cells(line: &str) -> Option<Vec<&str>> {
    let row = line.starts_with('|') && !line.starts_with("| ---");
    row.then(|| line.trim().trim_matches('|').split(" | ").map(str::trim).collect())
}

#[test]
fn claimed_proofs_exist() {
    let sources = sources();
    let mut findings = Vec::new();
    let mut rows = 0;
    for (number, line) in read(&root().join("docs/features.md")).lines().enumerate() {
        let Some(cells) = cells(line).filter(|cells| cells[0] != "Feature") else { continue };
        rows += 1;
        let [_, _, proof] = cells[..] else {
            findings.push(format!("line {}: a row has three cells", number + 1));
            continue;
        };
        findings.extend(wrong_proofs(proof, &sources).iter().map(|wrong| format!("line {}: {wrong}", number + 1)));
    }
    assert!(rows > 0, "docs/features.md has rows");
    assert_none("docs/features.md claims proofs that do not exist", findings);
}

/// The constants of `bounds.rs` with their values as people write them.
fn bounds() -> BTreeMap<String, String> {
    let source = read(&root().join("src/base/bounds.rs"));
    let constants = source.lines().filter_map(|line| line.strip_prefix("pub const ")?.strip_suffix(';'));
    constants
        .map(|constant| {
            let (name, rest) = constant.split_once(": ").expect("a constant has a type");
            let (_, value) = rest.split_once(" = ").expect("a constant has a value");
            let number = |text: &str| text.trim().replace('_', "").parse::<u64>().expect("a number");
            let value = match value.split_once("<<") {
                Some((number_, places)) => number(number_) << number(places),
                None => value.split('*').map(number).product(),
            };
            (name.to_owned(), shown(name, value))
        })
        .collect()
}

/// A bound's value in the largest unit that leaves no fraction; the name says what it counts.
fn shown(name: &str, value: u64) -> String {
    let is = |unit: &str| name.split('_').any(|word| word == unit);
    let whole = |units: &[(&str, u64)]| {
        let (unit, size) =
            units.iter().find(|(_, size)| value >= *size && value.is_multiple_of(*size)).expect("one is 1");
        format!("{} {unit}", value / size)
    };
    match () {
        () if is("BYTES") => whole(&[("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)]),
        () if is("MS") => whole(&[("s", 1000), ("ms", 1)]),
        () if is("SECONDS") => format!("{value} s"),
        () => value.to_string(),
    }
}

#[test]
fn every_bound_is_in_the_limits_with_its_value_and_its_proof() {
    let (sources, mut bounds) = (sources(), bounds());
    let constants = bounds.len();
    let mut findings = Vec::new();
    for (number, line) in read(&root().join("docs/limits.md")).lines().enumerate() {
        let Some(cells) = cells(line).filter(|cells| cells[0].starts_with('`')) else { continue };
        if cells.len() == 4 {
            findings
                .extend(wrong_proofs(cells[3], &sources).iter().map(|wrong| format!("line {}: {wrong}", number + 1)));
        }
        let name = cells[0].split('`').nth(1).expect("it begins with one");
        if name.bytes().any(|byte| byte.is_ascii_lowercase()) {
            continue;
        }
        match bounds.remove(name) {
            None => findings.push(format!("line {}: `{name}` is no constant, or stands here twice", number + 1)),
            Some(value) if value != cells[1] => findings.push(format!("line {}: `{name}` is {value}", number + 1)),
            Some(_) => {}
        }
    }
    findings.extend(bounds.iter().map(|(name, value)| format!("`{name}` ({value}) is missing")));
    assert!(constants > 50, "src/base/bounds.rs was read");
    assert_none("docs/limits.md lists every constant of src/base/bounds.rs", findings);
}

/// Modules that a line of Python imports, without relative ones, which belong to the package itself.
fn python_imports(line: &str) -> Vec<&str> {
    let line = line.trim_start();
    let modules = if let Some(rest) = line.strip_prefix("import ") {
        rest.split(',').collect()
    } else if let Some((module, _)) = line.strip_prefix("from ").and_then(|rest| rest.split_once(" import ")) {
        vec![module]
    } else {
        Vec::new()
    };
    let top =
        |module: &str| module.trim().find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(module.trim().len());
    modules.into_iter().map(|module| &module.trim()[..top(module)]).filter(|top| !top.is_empty()).collect()
}

#[test]
fn workers_import_the_standard_library_only() {
    let output = std::process::Command::new("python3")
        .args(["-c", "import sys; print(*sys.stdlib_module_names)"])
        .output()
        .expect("python3 runs");
    let library = String::from_utf8(output.stdout).expect("names are text");
    let library: BTreeSet<&str> = library.split_whitespace().collect();
    assert!(library.contains("sys"), "python3 3.10 or later lists its library");
    let mut findings = Vec::new();
    let mut count = 0;
    for (file, text) in files("src/wsgi/worker", &[".py"]) {
        for (number, line) in text.lines().enumerate() {
            let is_inside = line.starts_with(' ');
            for module in python_imports(line) {
                count += 1;
                // Django is the application's: imported once the application is there. The bootstrap imports the package.
                let allowed = library.contains(module) || is_inside && ["django", "maitred_worker"].contains(&module);
                if !allowed {
                    findings.push(format!("{file}:{}: imports {module}", number + 1));
                }
            }
        }
    }
    assert!(count > 0, "src/wsgi/worker has imports");
    assert_none("workers import the standard library only", findings);
}

#[test]
fn the_release_profile_is_tuned() {
    let manifest: toml::Table = read(&root().join("Cargo.toml")).parse().expect("cargo has read it");
    let release = &manifest["profile"]["release"];
    assert_eq!(release["lto"].as_bool(), Some(true));
    assert_eq!(release["codegen-units"].as_integer(), Some(1));
    assert_eq!(release["panic"].as_str(), Some("unwind"), "a shard catches what a connection's task throws");
}

/// The checks above lean on these; a reader that sees nothing would pass everything.
#[test]
fn the_reader_sees_imports_and_not_strings() {
    let source = "use crate::{http::{head, target}, ring};\n/* crate::a /* crate::b */ crate::c */ let x = \"crate::d\"; // crate::e\n\
                  let y: &'static str = r#\"crate::\"f\"#; let z = 'c'; let w = '\\''; crate::g::h(); mycrate::i";
    let found: Vec<String> = imports(&code_only(source)).into_iter().collect();
    assert_eq!(found, ["g", "http", "ring"]);
    for (line, found) in [
        ("import a.b as c, d", &["a", "d"][..]),
        ("    from e.f import g", &["e"]),
        ("from . import h", &[]),
        ("from .i import j", &[]),
        ("imported = 1", &[]),
    ] {
        assert_eq!(python_imports(line), found);
    }
}
