//! The files whose names change with their content, as Django's ManifestStaticFilesStorage writes them down.
//!
//! Owns the names. The manifest is read through the ring and parsed by the helper. One that can't be read leaves what was known. Called by
//! `root`, when it looks at its directory.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use serde::Deserialize;

use super::helper::Helper;
use super::resolve;
use super::root::{Opened, StaticRoot};
use crate::base::bounds::MANIFEST_BYTES_MAX;
use crate::ring::{Descriptor, Ring, Stat};

/// What a manifest says, as of the last look.
#[derive(Clone, Debug, Default)]
pub(super) struct Manifest {
    /// The file that was read; `None`: there was none.
    stat: Option<Stat>,
    names: Rc<HashSet<Vec<u8>>>,
}

/// The part of `staticfiles.json` that counts: from the name that a template has to the name that is served.
#[derive(Deserialize)]
struct Paths {
    paths: HashMap<String, String>,
}

impl Manifest {
    /// Whether the file at `path` beneath the root never changes under this name.
    pub fn names(&self, path: &[u8]) -> bool {
        self.names.contains(path)
    }

    /// What the manifest says now; `None`: the same as `self`.
    pub async fn look(&self, ring: &Ring, helper: &Helper, root: &StaticRoot, opened: &Opened) -> Option<Manifest> {
        let name = root.options.manifest.as_deref()?;
        let Ok((file, stat)) = resolve::open(ring, root, opened, name.as_bytes()).await else {
            return self.stat.is_some().then(Manifest::default);
        };
        if self.stat == Some(stat) || !stat.is_file() {
            return None;
        }
        let refused = |reason: &str| {
            tracing::warn!(manifest = name, reason, "hashed names are those of before");
            Some(Manifest { stat: Some(stat), names: self.names.clone() })
        };
        if stat.size > MANIFEST_BYTES_MAX {
            return refused("it is too large");
        }
        let Some(text) = read(ring, &file, &stat).await else {
            // Being written: the next look comes soon.
            return None;
        };
        match helper.run(ring, move || parse(&text)).await {
            Ok(Ok(names)) => Some(Manifest { stat: Some(stat), names: Rc::new(names) }),
            Ok(Err(error)) => refused(&error.to_string()),
            Err(_) => None,
        }
    }
}

/// The whole file, if it is the same before and after.
async fn read(ring: &Ring, file: &Descriptor, stat: &Stat) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(stat.size as usize + 1);
    loop {
        let start = text.len();
        text = ring.read_at(file, text, stat.size as usize + 1 - start, start as u64).await.ok()?;
        if text.len() == start || text.len() as u64 > stat.size {
            break;
        }
    }
    (text.len() as u64 == stat.size && ring.stat(file).await.ok()? == *stat).then_some(text)
}

/// The names that are served in another's place.
fn parse(text: &[u8]) -> serde_json::Result<HashSet<Vec<u8>>> {
    let Paths { paths } = serde_json::from_slice(text)?;
    Ok(paths.into_iter().filter(|(from, to)| from != to).map(|(_, to)| to.into_bytes()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_manifest() {
        let text =
            br#"{"paths": {"a.css": "a.55e7cbb9ba48.css", "raw.txt": "raw.txt"}, "version": "1.1", "hash": "ab"}"#;
        let names = parse(text).unwrap();
        assert!(names.contains(&b"a.55e7cbb9ba48.css"[..]) && names.len() == 1);
        for wrong in [&b""[..], b"[]", b"{}", b"{\"paths\": [1]}", b"\xff"] {
            assert!(parse(wrong).is_err(), "{}", String::from_utf8_lossy(wrong));
        }
    }
}
