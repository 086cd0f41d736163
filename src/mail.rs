//! What the supervisor and the shards tell each other: the letters that go through `base::mail`.
//!
//! Owns their vocabulary only. Stands below `shard` and `supervise`, neither of which knows the other.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use crate::base::mail::Sender;
use crate::config::{AccessLogConfig, Config, ErrorPages, MaintenanceConfig, RouteConfig};
use crate::http::Trust;
use crate::limits::Shared;
use crate::observe::Snapshot;
use crate::tls::{Challenges, Directory};
use crate::wsgi::pool::Gate;
use crate::wsgi::share::Share;

/// From the supervisor to a shard.
#[derive(Debug)]
pub enum ShardMail {
    /// Serve these routes from now on, and show these pages where a request could not be read so far as to have a route.
    Routes(Arc<Vec<RouteConfig>>, Arc<ErrorPages>),
    /// Take over what of this can change while a shard runs.
    Config(Arc<Config>),
    /// Count in these tables, and know these users and hosts, for the routes that come next too.
    Limits(Arc<Shared>),
    /// Close the site for all whom these rules don't let through; `None`: open it.
    Maintenance(Option<Arc<MaintenanceConfig>>),
    /// In development: the application could not be imported, and this says why; `None`: it could.
    Broken(Option<Arc<str>>),
    /// Believe these peers on whom they forward for.
    Trust(Arc<Trust>),
    /// Show these certificates to clients that connect from now on.
    Certificates(Arc<Directory>),
    /// Answer these challenges of a certificate authority, and no others.
    Challenges {
        /// `None`: it looks for nothing any more.
        challenges: Option<Arc<Challenges>>,
        /// Whom to tell that it is done.
        done: Sender<()>,
    },
    /// Begin to accept connections.
    Accept,
    /// Look whether connections wait to be accepted: another who accepted on the same sockets may have been woken for them.
    Look,
    /// Send requests to this generation from now on; answered by [`ShardNews::Switched`].
    Gate(Gate),
    /// This is the share of this generation from now on: it has more workers, or fewer.
    Share {
        /// The generation.
        generation: u32,
        /// What it may have before it.
        share: Share,
    },
    /// No worker of this generation is left: what it had not answered is lost.
    Gone {
        /// The generation.
        generation: u32,
    },
    /// Say how things stand.
    Snapshot {
        /// To whom.
        to: Sender<Box<Snapshot>>,
    },
    /// Write the access log there from now on.
    AccessLog {
        /// What lines look like, and which are written.
        config: Arc<AccessLogConfig>,
        /// A file opened for appending, or a socket.
        sink: OwnedFd,
    },
    /// Stop accepting, finish what is in hand, end; answered by [`ShardNews::Stopped`].
    Drain {
        /// How long that may take; what is left then is cut off.
        limit: Duration,
        /// The sockets go on in another server, or in the next life of this one: who waits in their queues waits for that.
        goes_on: bool,
    },
}

/// From a shard to the supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardNews {
    /// The shard could not be set up; what was wrong is in the log.
    Failed {
        /// Its number.
        shard: u32,
    },
    /// The shard accepts connections.
    Accepting {
        /// Its number.
        shard: u32,
    },
    /// Nothing goes to an earlier generation any more.
    Switched {
        /// Its number.
        shard: u32,
        /// The generation to which it sends now.
        generation: u32,
    },
    /// The shard has ended.
    Stopped {
        /// Its number.
        shard: u32,
    },
}
