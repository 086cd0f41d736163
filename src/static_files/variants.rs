//! The compressed forms of a file: siblings that lie beside it, and those that the server makes itself.
//!
//! Owns the choice among them and their place in the cache. A form has no age of its own: it counts for as long as it was made from what the
//! last look at the file saw. The work of compressing is the helper's. Called by `StaticFiles`, after the file itself was found.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::rc::Rc;

use super::cache::{Cache, Entry, Found};
use super::entry::{Facts, Large, Looked, Small};
use super::lru::{Key, Lru};
use super::resolve;
use super::root::StaticRoot;
use super::{Age, Hot, Now};
use crate::base::bounds::{COMPRESSED_BYTES_MAX, COMPRESSED_BYTES_MIN, COMPRESSIONS_MAX};
use crate::compress;
use crate::http::Fields;
use crate::http::date::DateText;
use crate::http::encoding::{Accepted, Coding};
use crate::http::media;
use crate::ring::{Ring, Stat};

/// The forms in which a file can be had beside itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Forms {
    /// Where the file itself is beneath its root; its siblings' names begin with it.
    path: Vec<u8>,
    /// The siblings that are there and not older than the file, by `Coding::index`.
    siblings: [Option<Stat>; 3],
    /// The codings that the server uses itself where there is no sibling, with their levels.
    levels: [Option<u32>; 3],
}

impl Forms {
    /// Looks for the siblings of the file at `path`. None for a file that compressing would not make smaller: nobody is asked to look beside
    /// pictures.
    pub async fn of(
        ring: &Ring,
        root: &StaticRoot,
        directory: &super::root::Opened,
        path: &[u8],
        stat: &Stat,
    ) -> Option<Box<Forms>> {
        let options = &root.options;
        if !(options.precompressed || options.compress.is_some())
            || !media::is_compressible(&media::content_type(path, &options.types))
        {
            return None;
        }
        let mut forms = Box::new(Forms { path: path.to_vec(), ..Forms::default() });
        for coding in Coding::ALL {
            if options.precompressed
                && let Ok((_, sibling)) = resolve::open(ring, root, directory, &forms.name(coding)).await
                && sibling.is_file()
                && sibling.modified_ns >= stat.modified_ns
            {
                forms.siblings[coding.index()] = Some(sibling);
            }
            if (COMPRESSED_BYTES_MIN..=COMPRESSED_BYTES_MAX).contains(&stat.size) {
                forms.levels[coding.index()] =
                    options.compress.as_ref().and_then(|levels| compress::level(levels, coding));
            }
        }
        forms.offered().then_some(forms)
    }

    fn offered(&self) -> bool {
        self.siblings.iter().any(Option::is_some) || self.levels.iter().any(Option::is_some)
    }

    /// Whether there is a sibling, or the server compresses.
    fn offers(&self, coding: Coding) -> bool {
        self.siblings[coding.index()].is_some() || self.levels[coding.index()].is_some()
    }

    fn name(&self, coding: Coding) -> Vec<u8> {
        [&self.path, coding.suffix().as_bytes()].concat()
    }
}

impl Facts {
    /// The coding in which the file is to be sent, if in one at all.
    fn choose(&self, accepted: Accepted) -> Option<Coding> {
        let forms = self.forms.as_deref()?;
        accepted.choose(|coding| forms.offers(coding) && self.useless.get() & 1 << coding.index() == 0)
    }

    /// What a form in `coding` has to be made from.
    fn source(&self, coding: Coding) -> &Stat {
        self.forms.as_ref().and_then(|forms| forms.siblings[coding.index()].as_ref()).unwrap_or(&self.stat)
    }
}

impl Cache {
    /// The coding that a request for the file of `facts` is to be answered in; decided without allocating.
    pub(super) fn wanted(facts: &Facts, fields: Fields<'_>) -> Option<Coding> {
        facts.forms.as_ref()?;
        facts.choose(Accepted::of(fields))
    }

    /// The ready response in `coding`, if it is at hand in `small` and belongs to the file of `facts`.
    pub(super) fn hot_form(
        &self,
        small: &mut Lru<Entry<Small>>,
        root: &StaticRoot,
        path: &[u8],
        coding: Coding,
        facts: &Facts,
        now: &Now<'_>,
    ) -> Option<Hot> {
        let entry = small.get(self.key(root, Some(coding), path))?;
        belongs(&entry.value.facts, &entry.looked, facts, coding, now).then(|| entry.value.hot(&root.policy, now))
    }

    /// `found`, or the form of it that the client likes best. What is still to be compressed is begun with, and the client gets what there
    /// is.
    pub(super) async fn negotiate(
        self: &Rc<Self>,
        root: &StaticRoot,
        path: &[u8],
        found: Found,
        fields: Fields<'_>,
        now: &Now<'_>,
    ) -> Found {
        let (Found::Small(Small { facts, .. }) | Found::Large(Large { facts, .. })) = &found else {
            return found;
        };
        let Some(forms) = &facts.forms else { return found };
        let accepted = Accepted::of(fields);
        let Some(coding) = facts.choose(accepted) else { return found };
        let key = self.key(root, Some(coding), path);
        if let Some(form) = self.known_form(key, facts, coding, now) {
            return form;
        }
        if forms.siblings[coding.index()].is_none() {
            self.compress(root, path, coding, &found, now);
        }
        let sibling = accepted.choose(|coding| forms.siblings[coding.index()].is_some());
        match sibling {
            Some(coding) => self.sibling(root, path, facts, coding, now).await.unwrap_or(found),
            None => found,
        }
    }

    fn known_form(&self, key: Key<'_>, facts: &Facts, coding: Coding, now: &Now<'_>) -> Option<Found> {
        if let Some(entry) = self.small.borrow_mut().get(key)
            && belongs(&entry.value.facts, &entry.looked, facts, coding, now)
        {
            return Some(Found::Small(entry.value.clone()));
        }
        let mut large = self.large.borrow_mut();
        let entry = large.get(key)?;
        let counts = belongs(&entry.value.facts, &entry.looked, facts, coding, now) && entry.value.is_current();
        counts.then(|| Found::Large(entry.value.clone()))
    }

    /// The sibling of `facts`' file, read or opened; `None` if it is no longer the one that was looked at.
    async fn sibling(
        &self,
        root: &StaticRoot,
        path: &[u8],
        facts: &Rc<Facts>,
        coding: Coding,
        now: &Now<'_>,
    ) -> Option<Found> {
        let forms = facts.forms.as_ref()?;
        let wanted = facts.source(coding);
        let key = self.key(root, Some(coding), path);
        if let Some(form) = self.known_form(key, facts, coding, now) {
            return Some(form);
        }
        let _pilot = self.board(key.hash).await;
        if let Some(form) = self.known_form(key, facts, coding, now) {
            return Some(form);
        }
        let opened = root.directory(&self.ring, &self.helper, now).await;
        let (file, stat) = resolve::open(&self.ring, root, &opened, &forms.name(coding)).await.ok()?;
        if stat != *wanted {
            return None;
        }
        let form = facts.in_coding(coding, stat, stat.size, "", now);
        let found = if stat.size > self.file_max {
            Found::Large(Large { facts: Rc::new(form), file })
        } else {
            let head = Small::head(&form, &root.policy, now);
            let body_at = head.len();
            let ready = self.read_body(&file, head, stat.size).await.ok()?;
            let whole = (ready.len() - body_at) as u64 == stat.size;
            if !whole || self.ring.stat(&file).await.ok() != Some(stat) {
                return None;
            }
            Found::Small(Small { facts: Rc::new(form), ready: Rc::new(ready), body_at })
        };
        self.remember(key, &found, Looked { checked: now.monotonic, generation: opened.generation });
        Some(found)
    }

    /// Has the helper compress what was found, once, and puts it into the cache. What changed a moment ago may change again and is left
    /// alone; so is everything while as much is under way as may be.
    fn compress(self: &Rc<Self>, root: &StaticRoot, path: &[u8], coding: Coding, found: &Found, now: &Now<'_>) {
        let (Found::Small(Small { facts, .. }) | Found::Large(Large { facts, .. })) = found else { return };
        let level = facts.forms.as_ref().and_then(|forms| forms.levels[coding.index()]);
        let (Some(level), true) = (level, facts.settled) else { return };
        let key = self.key(root, Some(coding), path);
        let mut under_way = self.compressing.borrow_mut();
        if under_way.len() >= COMPRESSIONS_MAX || under_way.contains(&key.hash) {
            return;
        }
        let source = match found {
            Found::Small(small) => Source::Bytes(small.body().to_vec()),
            Found::Large(large) => match large.file.try_clone() {
                Ok(file) => Source::File(file, large.facts.stat),
                Err(_) => return,
            },
            _ => return,
        };
        under_way.insert(key.hash);
        let job = Compression {
            cache: self.clone(),
            policy: root.policy.clone(),
            space: key.root,
            path: path.to_vec(),
            hash: key.hash,
            coding,
            level,
            facts: facts.clone(),
            moment: (now.monotonic, now.wall_seconds, *now.date),
        };
        glommio::spawn_local(job.run(source)).detach();
    }
}

/// Whether `form` is the file's form in `coding` as the last look at the file saw it. Bytes that were read right after a change count for as
/// long as a look does.
fn belongs(form: &Facts, looked: &Looked, file: &Facts, coding: Coding, now: &Now<'_>) -> bool {
    let made_from_it = form.stat == *file.source(coding) && form.hashed == file.hashed;
    made_from_it && (form.settled || now.age(looked.checked) == Age::Fresh)
}

/// What is compressed.
enum Source {
    Bytes(Vec<u8>),
    /// An open file, and what it must be before and after it was read.
    File(OwnedFd, Stat),
}

impl Source {
    /// On the helper's thread.
    fn read(self) -> io::Result<Vec<u8>> {
        let (file, stat) = match self {
            Source::Bytes(bytes) => return Ok(bytes),
            Source::File(file, stat) => (std::fs::File::from(file), stat),
        };
        let mut bytes = vec![0; stat.size as usize];
        file.read_exact_at(&mut bytes, 0)?;
        match Stat::at_hand(&file)? == stat {
            true => Ok(bytes),
            false => Err(io::Error::other("it changed")),
        }
    }
}

/// A file on its way through the helper.
struct Compression {
    cache: Rc<Cache>,
    policy: Rc<super::policy::Policy>,
    space: u32,
    path: Vec<u8>,
    hash: u64,
    coding: Coding,
    level: u32,
    facts: Rc<Facts>,
    moment: (crate::base::clock::Monotonic, u64, DateText),
}

impl Compression {
    async fn run(self, source: Source) {
        let (coding, level) = (self.coding, self.level);
        let work = move || {
            let bytes = source.read()?;
            let small = compress::compress(coding, level, &bytes)?;
            Ok::<_, io::Error>((small.len() < bytes.len()).then(|| (fingerprint(&small), small)))
        };
        let result = self.cache.helper.run(&self.cache.ring, work).await;
        self.cache.compressing.borrow_mut().remove(&self.hash);
        match result {
            Ok(Ok(Some((fingerprint, bytes)))) => self.keep(fingerprint, &bytes),
            Ok(Ok(None)) => self.facts.useless.set(self.facts.useless.get() | 1 << coding.index()),
            // Tried again with the next request: the file has changed, or there is too much to do.
            Ok(Err(_)) | Err(_) => {}
        }
    }

    fn keep(&self, fingerprint: u64, bytes: &[u8]) {
        let (monotonic, wall_seconds, date) = self.moment;
        let now = Now { monotonic, wall_seconds, date: &date };
        let tag = format!("-{fingerprint:x}");
        let form = self.facts.in_coding(self.coding, self.facts.stat, bytes.len() as u64, &tag, &now);
        let mut ready = Small::head(&form, &self.policy, &now);
        let body_at = ready.len();
        ready.extend_from_slice(bytes);
        let key = Key { hash: self.hash, root: self.space, path: &self.path };
        let small = Small { facts: Rc::new(form), ready: Rc::new(ready), body_at };
        self.cache.remember(key, &Found::Small(small), Looked { checked: monotonic, generation: 0 });
    }
}

/// A part of the tag of what the server has compressed itself: another release may compress to other bytes.
fn fingerprint(bytes: &[u8]) -> u64 {
    use std::hash::Hasher;
    #[expect(deprecated, reason = "the same in every process, which a tag has to be")]
    let mut hasher = std::hash::SipHasher::new();
    hasher.write(bytes);
    hasher.finish()
}
