//! Options of `[app.hooks]`: callables of the user's that are called where the server's life has a corner.

use super::{Default, Opt, Section, Spec, Unit};
use crate::config::hooks::{HookPlace, hook};
use crate::config::read;
use crate::config::value::Value;

/// Read by `config::hooks`: a table of its own.
pub static HOOKS: Opt<Value> = Opt {
    spec: Spec::new(
        "hooks",
        Unit::Described("a table"),
        Default::Described("none"),
        "Server hooks, see `[app.hooks]`.",
    ),
    read: read::raw,
};

pub static HOOKS_TABLE: Section = Section {
    name: "app.hooks",
    header: "[app.hooks]",
    doc: "Server hooks, by Gunicorn's names and with its arguments: callables as `\"module:callable\"` or `\"file.py:callable\"`. Those of the server \
          run in the process that imports the application and forks the workers, the others in the workers; none runs in the server itself. They \
          get objects with the attributes of Gunicorn's that hooks use, see [wsgi.md](wsgi.md#server-hooks). A reload takes changes over. It also \
          replaces the process in which the hooks of the server run, and with it ends what they have begun there, such as threads.",
    options: &[
        &ON_STARTING.spec,
        &ON_RELOAD.spec,
        &WHEN_READY.spec,
        &PRE_FORK.spec,
        &POST_FORK.spec,
        &POST_WORKER_INIT.spec,
        &WORKER_INT.spec,
        &WORKER_ABORT.spec,
        &PRE_REQUEST.spec,
        &POST_REQUEST.spec,
        &CHILD_EXIT.spec,
        &WORKER_EXIT.spec,
        &NWORKERS_CHANGED.spec,
        &ON_EXIT.spec,
    ],
};

const fn callable(name: &'static str, doc: &'static str) -> Opt<HookPlace> {
    Opt { spec: Spec::new(name, Unit::Described("a callable"), Default::Described("none"), doc), read: hook }
}

pub static ON_STARTING: Opt<HookPlace> = callable(
    "on_starting",
    "`(server)`: before the application is imported, at the start. If it raises, the server does not start.",
);
pub static ON_RELOAD: Opt<HookPlace> = callable("on_reload", "`(server)`: the same at a reload.");
pub static WHEN_READY: Opt<HookPlace> = callable("when_ready", "`(server)`: once the server serves, not at reloads.");
pub static PRE_FORK: Opt<HookPlace> = callable("pre_fork", "`(server, worker)`: before a worker is forked.");
pub static POST_FORK: Opt<HookPlace> =
    callable("post_fork", "`(server, worker)`: first of all in the worker. If it raises, the worker ends.");
pub static POST_WORKER_INIT: Opt<HookPlace> =
    callable("post_worker_init", "`(worker)`: in the worker, with the application. If it raises, the worker ends.");
pub static WORKER_INT: Opt<HookPlace> =
    callable("worker_int", "`(worker)`: in the worker, when the server gets SIGINT or stops at once.");
pub static WORKER_ABORT: Opt<HookPlace> = callable(
    "worker_abort",
    "`(worker)`: in the worker, once for each request that takes longer than `timeout`, before it is interrupted; and when the worker is ended because \
     it gives no sign of life. As far as it still runs Python code.",
);
pub static PRE_REQUEST: Opt<HookPlace> = callable(
    "pre_request",
    "`(worker, request)`: before the application gets a request. With it or `post_request` workers run the loop in Python.",
);
pub static POST_REQUEST: Opt<HookPlace> = callable(
    "post_request",
    "`(worker, request, environ, response)`, or the first two or three of them: when a response was said in full.",
);
pub static CHILD_EXIT: Opt<HookPlace> = callable("child_exit", "`(server, worker)`: when a worker has ended.");
pub static WORKER_EXIT: Opt<HookPlace> = callable("worker_exit", "`(server, worker)`: in the worker, before it ends.");
pub static NWORKERS_CHANGED: Opt<HookPlace> = callable(
    "nworkers_changed",
    "`(server, new, old)`: when another number of workers is to run; at the start `old` is None.",
);
pub static ON_EXIT: Opt<HookPlace> =
    callable("on_exit", "`(server)`: at the end, when the workers have ended; it has two seconds.");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::section::assert_defaults;

    #[test]
    fn every_declared_default_passes_its_own_check() {
        assert_defaults!(HOOKS ON_STARTING ON_RELOAD WHEN_READY PRE_FORK POST_FORK POST_WORKER_INIT WORKER_INT WORKER_ABORT);
        assert_defaults!(PRE_REQUEST POST_REQUEST CHILD_EXIT WORKER_EXIT NWORKERS_CHANGED ON_EXIT);
    }
}
