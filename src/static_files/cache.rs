//! What a shard knows of its files, and the looks at them.
//!
//! Owns the three maps (ready responses, open descriptors, paths that lead nowhere) and the freshness of what is in them. It never decides a
//! status. Called by `StaticFiles`.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::absence::Absence;
use super::entry::{Facts, Large, Looked, Small};
use super::flight::{Flight, Pilot};
use super::helper::Helper;
use super::lru::{ByHash, Key, Lru, Seed};
use super::resolve::{Failure, Resolved, resolve};
use super::root::{Opened, StaticRoot};
use super::variants::Forms;
use super::{Age, CacheBounds, Hot, Now};
use crate::base::bounds;
use crate::http::Fields;
use crate::http::encoding::Coding;
use crate::ring::{Descriptor, Ring, Stat};

/// Attempts to read a small file that others are writing.
const READ_ATTEMPTS_MAX: u32 = 2;

/// What a path leads to.
#[derive(Clone, Debug)]
pub(super) enum Found {
    Small(Small),
    Large(Large),
    /// A file that changed while it was read.
    Unstable(Large),
    /// A directory that was asked for without a slash at the end.
    Directory,
    /// A directory to be listed.
    Listing(Descriptor),
    Failed(Failure),
}

/// A value and how much it counts.
pub(super) struct Entry<T> {
    pub value: T,
    pub looked: Looked,
}

impl<T> Entry<T> {
    /// `generation`: of the root's directory now.
    fn age(&self, generation: u32, now: &Now<'_>) -> Age {
        match now.age(self.looked.checked) {
            Age::Fresh if self.looked.generation != generation => Age::Usable,
            age => age,
        }
    }
}

pub(super) struct Cache {
    pub(super) ring: Ring,
    seed: Seed,
    pub(super) file_max: u64,
    pub(super) small: RefCell<Lru<Entry<Small>>>,
    pub(super) large: RefCell<Lru<Entry<Large>>>,
    missing: RefCell<Lru<Entry<Failure>>>,
    /// What a plain request for a file that isn't there is answered with.
    absence: RefCell<Absence>,
    /// Looks under way, by the hash of their path: a collision only waits for nothing.
    flights: RefCell<ByHash<Rc<Flight>>>,
    pub(super) helper: Helper,
    /// What the helper compresses, by the hash of its key.
    pub(super) compressing: RefCell<HashSet<u64>>,
    /// Requests for which what was known sufficed, and those for which it did not.
    pub looks: Cell<(u64, u64)>,
}

impl Cache {
    pub fn new(ring: Ring, bounds: CacheBounds) -> Cache {
        Cache {
            ring,
            seed: Seed::new(),
            file_max: bounds.file_max as u64,
            small: RefCell::new(Lru::new(bounds.bytes, bounds.entries)),
            large: RefCell::new(Lru::new(usize::MAX, bounds::STATIC_DESCRIPTORS_MAX)),
            missing: RefCell::new(Lru::new(bounds::STATIC_MISSES_BYTES_MAX, bounds::STATIC_MISSES_MAX)),
            absence: RefCell::default(),
            flights: RefCell::default(),
            looks: Cell::default(),
            helper: Helper::default(),
            compressing: RefCell::default(),
        }
    }

    /// The key of the file at `path`, or of its form in `coding`.
    pub(super) fn key<'p>(&self, root: &StaticRoot, coding: Option<Coding>, path: &'p [u8]) -> Key<'p> {
        self.seed.key(root.id << 2 | coding.map_or(0, |coding| coding.index() as u32 + 1), path)
    }

    pub fn hot(&self, root: &StaticRoot, path: &[u8], fields: Fields<'_>, now: &Now<'_>) -> Option<Hot> {
        let generation = root.fresh_generation(now)?;
        // An encoded path may look like another's decoded one; what isn't normal is no key and isn't found.
        if memchr::memchr(b'%', path).is_some() {
            return None;
        }
        let path = path.strip_prefix(b"/").unwrap_or(path);
        let key = self.key(root, None, path);
        let mut small = self.small.borrow_mut();
        if let Some(entry) = small.get(key) {
            if entry.age(generation, now) != Age::Fresh {
                return None;
            }
            let Some(coding) = Cache::wanted(&entry.value.facts, fields) else {
                return Some(entry.value.hot(&root.policy, now));
            };
            let facts = entry.value.facts.clone();
            return self.hot_form(&mut small, root, path, coding, &facts, now);
        }
        // A large file may have a small form.
        if let Some(entry) = self.large.borrow_mut().get(key) {
            let coding = Cache::wanted(&entry.value.facts, fields)?;
            let fresh = entry.age(generation, now) == Age::Fresh;
            return fresh.then(|| self.hot_form(&mut small, root, path, coding, &entry.value.facts, now))?;
        }
        if !root.plain_errors || !root.options.fallback.is_empty() || root.options.not_found.is_some() {
            return None;
        }
        let mut missing = self.missing.borrow_mut();
        let entry = missing.get(key)?;
        let ready = entry.value == Failure::Missing && entry.age(generation, now) == Age::Fresh;
        ready.then(|| self.absence.borrow_mut().hot(now))
    }

    /// What the normal path `path` leads to, as of at most a second ago, or two while somebody looks.
    pub async fn find(&self, root: &StaticRoot, path: &[u8], now: &Now<'_>) -> Found {
        let opened = root.directory(&self.ring, &self.helper, now).await;
        let key = self.key(root, None, path);
        let mut known = self.known(key, opened.generation, now);
        if let Some((found, Age::Fresh)) = known {
            self.hit();
            return found;
        }
        let (hits, misses) = self.looks.get();
        self.looks.set((hits, misses + 1));
        let under_way = self.flights.borrow().get(&key.hash).cloned();
        if let Some(flight) = under_way {
            if let Some((found, Age::Usable)) = known {
                return found;
            }
            flight.landed().await;
            known = self.known(key, opened.generation, now);
            if let Some((found, Age::Fresh)) = known {
                return found;
            }
        }
        let _pilot = self.take_off(key.hash);
        self.look(root, &opened, key, now).await
    }

    /// Waits for a look under way at `hash`, if there is one, and begins another. For who has looked whether it is still needed.
    pub(super) async fn board(&self, hash: u64) -> Pilot<impl FnMut()> {
        let under_way = self.flights.borrow().get(&hash).cloned();
        if let Some(flight) = under_way {
            flight.landed().await;
        }
        self.take_off(hash)
    }

    /// Lets others wait for a look. After a wait there may be another one by now: both look.
    fn take_off(&self, hash: u64) -> Pilot<impl FnMut()> {
        let flight = Rc::new(Flight::default());
        self.flights.borrow_mut().insert(hash, flight.clone());
        Pilot::new(flight.clone(), move || {
            let mut flights = self.flights.borrow_mut();
            if flights.get(&hash).is_some_and(|current| Rc::ptr_eq(current, &flight)) {
                flights.remove(&hash);
            }
        })
    }

    /// What was known sufficed.
    pub fn hit(&self) {
        let (hits, misses) = self.looks.get();
        self.looks.set((hits + 1, misses));
    }

    pub fn trim(&self, now: &Now<'_>) {
        const IDLE: Duration = Duration::from_secs(bounds::STATIC_DESCRIPTOR_IDLE_SECONDS);
        self.large.borrow_mut().trim(|entry| now.monotonic.since(entry.looked.checked) >= IDLE);
    }

    pub fn size(&self) -> (usize, usize) {
        self.small.borrow().size()
    }

    #[cfg(test)]
    pub fn open_files(&self) -> usize {
        self.large.borrow().size().0
    }

    #[cfg(test)]
    pub fn is_idle(&self) -> bool {
        self.flights.borrow().is_empty()
    }

    fn known(&self, key: Key<'_>, generation: u32, now: &Now<'_>) -> Option<(Found, Age)> {
        if let Some(entry) = self.small.borrow_mut().get(key) {
            return Some((Found::Small(entry.value.clone()), entry.age(generation, now)));
        }
        if let Some(entry) = self.large.borrow_mut().get(key) {
            // Its bytes are read when they are sent: a tag that no longer fits them must not go out before them.
            let age = if entry.value.is_current() { entry.age(generation, now) } else { Age::Old };
            return Some((Found::Large(entry.value.clone()), age));
        }
        let mut missing = self.missing.borrow_mut();
        let entry = missing.get(key)?;
        Some((Found::Failed(entry.value), entry.age(generation, now)))
    }

    /// Looks at the file and remembers what it saw.
    async fn look(&self, root: &StaticRoot, opened: &Opened, key: Key<'_>, now: &Now<'_>) -> Found {
        self.trim(now);
        let looked = Looked { checked: now.monotonic, generation: opened.generation };
        let resolved = resolve(&self.ring, root, opened, key.path).await;
        let forms = match &resolved {
            Resolved::File { stat, path, .. } => Forms::of(&self.ring, root, opened, path, stat).await,
            Resolved::Directory | Resolved::Listing(_) | Resolved::Failed(_) => None,
        };
        if let Resolved::File { stat, path, .. } = &resolved
            && let Some(found) = self.confirm(key, stat, &forms, root.is_hashed(path), looked)
        {
            return found;
        }
        let found = match resolved {
            Resolved::Failed(failure) => Found::Failed(failure),
            Resolved::Directory => Found::Directory,
            Resolved::Listing(directory) => Found::Listing(directory),
            Resolved::File { file, stat, path } if stat.size > self.file_max => {
                let facts = Facts::new(&path, &root.options.types, stat, now).with(forms, root.is_hashed(&path));
                Found::Large(Large { facts: Rc::new(facts), file })
            }
            Resolved::File { file, stat, path } => match self.read(root, file, stat, &path, forms, now).await {
                Ok(found) => found,
                Err(error) => Found::Failed(Failure::of(&error, &path, root.options.symlinks)),
            },
        };
        self.remember(key, &found, looked);
        found
    }

    /// What is known at `key`, if the file is still the one that `stat` describes. Bytes that were read right after a change are read again.
    fn confirm(
        &self,
        key: Key<'_>,
        stat: &Stat,
        forms: &Option<Box<Forms>>,
        hashed: bool,
        looked: Looked,
    ) -> Option<Found> {
        let same = |facts: &Facts| facts.stat == *stat && facts.forms == *forms && facts.hashed == hashed;
        if let Some(entry) = self.small.borrow_mut().get(key)
            && same(&entry.value.facts)
            && entry.value.facts.settled
        {
            entry.looked = looked;
            return Some(Found::Small(entry.value.clone()));
        }
        let mut large = self.large.borrow_mut();
        let entry = large.get(key).filter(|entry| same(&entry.value.facts))?;
        entry.looked = looked;
        Some(Found::Large(entry.value.clone()))
    }

    /// Puts `found` where it belongs, and removes what was there before.
    pub(super) fn remember(&self, key: Key<'_>, found: &Found, looked: Looked) {
        self.small.borrow_mut().remove(key);
        self.large.borrow_mut().remove(key);
        self.missing.borrow_mut().remove(key);
        match found {
            Found::Small(small) => {
                let bytes = small.ready.len();
                self.small.borrow_mut().insert(key, Entry { value: small.clone(), looked }, bytes);
            }
            Found::Large(large) => self.large.borrow_mut().insert(key, Entry { value: large.clone(), looked }, 0),
            Found::Failed(failure @ (Failure::Missing | Failure::NoIndex | Failure::Forbidden)) => {
                self.missing.borrow_mut().insert(key, Entry { value: *failure, looked }, 0);
            }
            Found::Failed(Failure::Exhausted | Failure::Broken)
            | Found::Directory
            | Found::Listing(_)
            | Found::Unstable(_) => {}
        }
    }

    /// Reads a small file into a ready response. What was read counts only if the file is the same before and after.
    async fn read(
        &self,
        root: &StaticRoot,
        file: Descriptor,
        stat: Stat,
        path: &[u8],
        mut forms: Option<Box<Forms>>,
        now: &Now<'_>,
    ) -> io::Result<Found> {
        let mut before = stat;
        for _ in 0..READ_ATTEMPTS_MAX {
            if before.size > self.file_max {
                break;
            }
            // What was found beside the file as it was then says nothing of what it has become since.
            let forms = if before == stat { forms.take() } else { None };
            let facts = Facts::new(path, &root.options.types, before, now).with(forms, root.is_hashed(path));
            let head = Small::head(&facts, &root.policy, now);
            let body_at = head.len();
            let ready = self.read_body(&file, head, before.size).await?;
            let after = self.ring.stat(&file).await?;
            if after == before && (ready.len() - body_at) as u64 == before.size {
                return Ok(Found::Small(Small { facts: Rc::new(facts), ready: Rc::new(ready), body_at }));
            }
            before = after;
        }
        Ok(Found::Unstable(Large { facts: Rc::new(Facts::new(path, &root.options.types, before, now)), file }))
    }

    /// Appends `size` bytes of the file to `buffer`, fewer only at the file's end.
    pub(super) async fn read_body(&self, file: &Descriptor, mut buffer: Vec<u8>, size: u64) -> io::Result<Vec<u8>> {
        let mut offset = 0;
        while offset < size {
            let start = buffer.len();
            buffer = self.ring.read_at(file, buffer, (size - offset) as usize, offset).await?;
            if buffer.len() == start {
                break;
            }
            offset += (buffer.len() - start) as u64;
        }
        Ok(buffer)
    }
}
