//! The control socket: supervisord's XML-RPC interface and its tails of logs, on connections of their own.
//!
//! Owns listeners and connections, few and bounded. `connection` speaks HTTP, `call` knows the methods; whatever concerns processes is done by
//! the supervisor's loop, which is asked at the `desk`: a call that waits for a process holds up nobody else.

mod auth;
mod call;
mod connection;
mod desk;
mod files;
mod info;
mod methods;
mod processes;
mod settings;
mod site;
mod system;
mod tail;
mod view;

use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

pub(super) use call::IDENTIFICATION;
pub(super) use desk::{Changes, Desk, Work};
pub(super) use processes::{Deed, Named, Outcome};
pub(super) use settings::{Configured, Difference, difference};
pub(super) use tail::Heard;
pub(super) use view::{Unit, View, split_name};

use crate::base::bounds::CONTROL_CONNECTIONS_MAX;
use crate::base::mail::Sender;
use crate::config::Credentials;
use crate::mail::ShardMail;
use crate::ring::Ring;
use crate::supervise::doors::{Door, Doors};
use crate::supervise::main_log::MainLog;

/// Where control connections come from.
#[derive(Default)]
pub struct ControlSockets {
    /// The unix sockets: whoever may connect may do everything.
    pub trusted: Vec<OwnedFd>,
    /// TCP sockets: clients have to say who they are.
    pub guarded: Vec<OwnedFd>,
    /// Who may come over TCP.
    pub credentials: Option<Credentials>,
    /// Where programs find the control socket, as supervisord's clients write it.
    pub url: Option<String>,
}

/// Whether maitred is on its way to its end, in supervisord's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    Running,
    Restarting,
    Shutdown,
}

impl Mood {
    /// supervisord's number and name.
    pub fn told(self) -> (i32, &'static str) {
        match self {
            Mood::Running => (1, "RUNNING"),
            Mood::Restarting => (0, "RESTARTING"),
            Mood::Shutdown => (-1, "SHUTDOWN"),
        }
    }
}

/// The side of maitred that answers.
pub(super) struct Rpc {
    ring: Ring,
    desk: Desk,
    credentials: Option<Credentials>,
    main_log: Arc<MainLog>,
    shards: Vec<Sender<ShardMail>>,
}

impl Rpc {
    /// Serves the sockets for as long as `doors` are there.
    pub fn start(
        ring: &Ring,
        desk: Desk,
        sockets: ControlSockets,
        main_log: Arc<MainLog>,
        shards: Vec<Sender<ShardMail>>,
        doors: &mut Doors,
    ) {
        let ControlSockets { trusted, guarded, credentials, .. } = sockets;
        let rpc = Rc::new(Rpc { ring: ring.clone(), desk, credentials, main_log, shards });
        let guarded = guarded.into_iter().map(|socket| (socket, true));
        let connections: Rc<Cell<usize>> = Rc::default();
        for (listener, is_guarded) in trusted.into_iter().map(|socket| (socket, false)).chain(guarded) {
            let name = "control connections";
            let (connections, connections_max) = (connections.clone(), CONTROL_CONNECTIONS_MAX);
            let rpc = rpc.clone();
            doors.open(ring, Door { listener, connections, connections_max, name }, move |socket| {
                let rpc = rpc.clone();
                async move { rpc.serve(socket, is_guarded).await }
            });
        }
    }
}
