//! A directory whose files are served, followed when a deploy puts another one in its place.
//!
//! Owns the directory's descriptor. It never reads a file. Opened at start by the routes, looked at by `StaticFiles`.

use std::cell::{Cell, RefCell};
use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{AtFlags, Mode, OFlags};

use super::flight::{Flight, Pilot};
use super::helper::Helper;
use super::manifest::Manifest;
use super::policy::Policy;
use super::{Age, Now};
use crate::config::StaticOptions;
use crate::http::HeaderOps;
use crate::ring::{Descriptor, OpenFlags, Ring};

/// How the path of a root itself is opened again: it is the configuration's, so it may lead anywhere.
const REOPEN: OpenFlags = OpenFlags { flags: libc::O_PATH | libc::O_DIRECTORY, mode: 0, resolve: 0 };

/// A directory whose files are served; of one shard.
#[derive(Debug)]
pub struct StaticRoot {
    pub(super) id: u32,
    pub(super) options: StaticOptions,
    pub(super) policy: Rc<Policy>,
    /// The ready 404 that all roots share is right for this one.
    pub(super) plain_errors: bool,
    path: PathBuf,
    opened: RefCell<Opened>,
    looking: RefCell<Option<Rc<Flight>>>,
    manifest: RefCell<Manifest>,
    /// The path led nowhere at the last look.
    lost: Cell<bool>,
}

/// Device and inode.
type Identity = ((u32, u32), u64);

/// The directory as of the last look.
#[derive(Clone, Debug)]
pub(super) struct Opened {
    pub directory: Descriptor,
    /// Counts the directories that stood at the path: what was learnt beneath an earlier one doesn't count any more.
    pub generation: u32,
    identity: Identity,
    checked: Option<crate::base::clock::Monotonic>,
}

impl StaticRoot {
    /// Opens the directory at `path`, relative to the current one. Blocks: for the start only.
    ///
    /// # Errors
    /// As open(2), with the path in the message.
    pub fn open(path: &Path, options: StaticOptions) -> io::Result<StaticRoot> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name =
            |error: io::Error| io::Error::new(error.kind(), format!("static directory {}: {error}", path.display()));
        let absolute = std::path::absolute(path).map_err(name)?;
        let directory = rustix::fs::open(&absolute, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|error| name(error.into()))?;
        let stat = rustix::fs::statx(&directory, "", AtFlags::EMPTY_PATH, rustix::fs::StatxFlags::INO)
            .map_err(|error| name(error.into()))?;
        let opened = Opened {
            directory: Rc::new(directory),
            generation: 0,
            identity: ((stat.stx_dev_major, stat.stx_dev_minor), stat.stx_ino),
            checked: None,
        };
        Ok(StaticRoot {
            // Only told apart by it: the order of counting doesn't matter.
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            policy: Rc::new(Policy::of(&options)),
            plain_errors: true,
            options,
            path: absolute,
            opened: RefCell::new(opened),
            looking: RefCell::new(None),
            manifest: RefCell::default(),
            lost: Cell::new(false),
        })
    }

    /// As the files of a route that changes the fields of its responses, or has pages of its own for errors.
    #[must_use]
    pub fn of_route(mut self, headers: Option<HeaderOps>, has_pages: bool) -> StaticRoot {
        self.plain_errors = headers.is_none() && !has_pages;
        self.policy = Rc::new(Policy::of(&self.options).with_headers(headers));
        self
    }

    /// How a path beneath the directory is opened.
    pub(super) fn open_flags(&self) -> OpenFlags {
        match self.options.symlinks {
            true => OpenFlags::READ_BENEATH,
            false => OpenFlags::READ_BENEATH_PLAIN,
        }
    }

    /// Whether the name of the file at `path` changes with its content.
    pub(super) fn is_hashed(&self, path: &[u8]) -> bool {
        self.manifest.borrow().names(path)
    }

    /// The generation, if the directory was looked at within the last second.
    pub(super) fn fresh_generation(&self, now: &Now<'_>) -> Option<u32> {
        let opened = self.opened.borrow();
        (opened.age(now) == Age::Fresh).then_some(opened.generation)
    }

    /// The directory, looked at again if the last look was more than a second ago.
    pub(super) async fn directory(&self, ring: &Ring, helper: &Helper, now: &Now<'_>) -> Opened {
        let opened = self.opened.borrow().clone();
        let age = opened.age(now);
        if age == Age::Fresh {
            return opened;
        }
        let under_way = self.looking.borrow().clone();
        match under_way {
            Some(_) if age == Age::Usable => return opened,
            Some(flight) => flight.landed().await,
            None => {
                let flight = Rc::new(Flight::default());
                *self.looking.borrow_mut() = Some(flight.clone());
                let _pilot = Pilot::new(flight, || drop(self.looking.take()));
                self.look(ring, helper, now).await;
            }
        }
        self.opened.borrow().clone()
    }

    async fn look(&self, ring: &Ring, helper: &Helper, now: &Now<'_>) {
        let found = self.reopen(ring).await;
        self.take(found, now);
        let (known, opened) = (self.manifest.borrow().clone(), self.opened.borrow().clone());
        if let Some(manifest) = known.look(ring, helper, self, &opened).await {
            self.manifest.replace(manifest);
        }
    }

    fn take(&self, found: io::Result<(Descriptor, Identity)>, now: &Now<'_>) {
        let mut opened = self.opened.borrow_mut();
        opened.checked = Some(now.monotonic);
        match found {
            Ok((directory, identity)) => {
                self.lost.set(false);
                if identity != opened.identity {
                    opened.directory = directory;
                    opened.identity = identity;
                    opened.generation = opened.generation.wrapping_add(1);
                }
            }
            // What is still there is served until something new stands at the path.
            Err(error) => {
                if !self.lost.replace(true) {
                    tracing::warn!(directory = %self.path.display(), %error, "static directory can't be opened again");
                }
            }
        }
    }

    async fn reopen(&self, ring: &Ring) -> io::Result<(Descriptor, Identity)> {
        let path = CString::new(self.path.as_os_str().as_bytes())?;
        let before = self.opened.borrow().directory.clone();
        let directory: Rc<OwnedFd> = Rc::new(ring.open_beneath(&before, path, REOPEN).await?);
        let stat = ring.stat(&directory).await?;
        Ok((directory, (stat.device, stat.inode)))
    }
}

impl Opened {
    fn age(&self, now: &Now<'_>) -> Age {
        self.checked.map_or(Age::Old, |checked| now.age(checked))
    }
}
