//! What the documentation says of the configuration: the reference is what the declarations say, and whole configurations are good ones.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use maitred::config::{Flags, Surroundings, load, reference};

fn write(directory: &Path, name: &str, text: &str) {
    let path = directory.join(name);
    fs::create_dir_all(path.parent().expect("has a parent")).expect("create directory");
    fs::write(path, text).expect("write file");
}

/// The blocks of `language` in the pages for users, with the page's name.
fn blocks(language: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = fs::read_dir(root.join("docs")).expect("there are pages").map(|entry| entry.expect("readable").path());
    let mut found = Vec::new();
    for page in pages.chain([root.join("README.md")]) {
        let text = fs::read_to_string(&page).expect("a page of text");
        let mut rest = text.as_str();
        while let Some((_, block)) = rest.split_once(&format!("```{language}\n")) {
            let (block, after) = block.split_once("```\n").expect("a block ends");
            found.push((page.display().to_string(), block.to_owned()));
            rest = after;
        }
    }
    found
}

#[test]
fn configurations_in_the_documentation_are_good_ones() {
    let found = blocks("toml");
    assert!(found.len() >= 3, "{found:?}");
    let rcgen::CertifiedKey { cert, signing_key: key } =
        rcgen::generate_simple_self_signed(["example.com".to_owned()]).expect("a certificate");
    for (page, block) in found {
        let directory = tempfile::tempdir().expect("temporary directory");
        let root = directory.path().join("root").display().to_string();
        let block = block.replace("\"/etc/", &format!("\"{root}/etc/")).replace("\"/srv/", &format!("\"{root}/srv/"));
        write(directory.path(), "maitred.toml", &block);
        write(directory.path(), "manage.py", "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'mysite.settings')");
        write(
            directory.path(),
            "root/srv/mysite/manage.py",
            "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'mysite.settings')",
        );
        write(directory.path(), "root/etc/ssl/example.pem", &cert.pem());
        for name in ["root/etc/ssl/example.key", "root/etc/ssl/private/example.key"] {
            write(directory.path(), name, &key.serialize_pem());
        }
        let variables = HashMap::from([("PATH".to_owned(), std::env::var_os("PATH").expect("PATH is set"))]);
        let around = Surroundings { directory: directory.path().to_owned(), variables, cpus: 3 };
        if let Err(why) = load(&Flags::default(), &around) {
            panic!("{page}:\n{block}\n{why}");
        }
    }
}

/// `docs/configuration.md` is what the declarations say; with `MAITRED_BLESS` set it is written anew.
#[test]
fn the_reference_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    if std::env::var_os("MAITRED_BLESS").is_some() {
        fs::write(&path, reference()).expect("write the reference");
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(written == reference(), "stale; run MAITRED_BLESS=1 cargo test --test config_documentation");
}
