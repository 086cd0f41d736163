//! Options of `[control]`: where the server is asked and told things while it runs.

use super::{Default, Opt, Section, Spec, Unit};
use crate::config::address::Listen;
use crate::config::control::{self, SocketChoice};
use crate::config::owner::{Owner, owner};
use crate::config::{program_values, read};

pub static CONTROL: Section = Section {
    name: "control",
    header: "[control]",
    doc: "Where `maitred ctl` and Supervisor's clients (`supervisorctl -s unix:///PATH`) reach the running server: XML-RPC over HTTP, \
          methods, names and faults as supervisord has them. Whoever may connect may do everything that the server may, so the socket is \
          its user's alone.",
    options: &[
        &CONTROL_SOCKET.spec,
        &CONTROL_MODE.spec,
        &CONTROL_OWNER.spec,
        &CONTROL_LISTEN.spec,
        &CONTROL_USERNAME.spec,
        &CONTROL_PASSWORD.spec,
    ],
};

pub static CONTROL_SOCKET: Opt<SocketChoice> = Opt {
    spec: Spec::new(
        "socket",
        Unit::Text("a path or \"off\""),
        Default::Described(
            "`maitred.sock` in `$RUNTIME_DIRECTORY`, else in `$XDG_RUNTIME_DIR`, else in `/run` for root and in \
             `/tmp/maitred-UID` for others; none if another server has that one",
        ),
        "Path of the socket; \"off\" is no socket.",
    )
    .elsewhere(&["file"]),
    read: control::socket,
};
pub static CONTROL_MODE: Opt<u32> = Opt {
    spec: Spec::new(
        "mode",
        Unit::Text("a string of octal digits up to \"777\""),
        Default::Toml("\"700\""),
        "Permissions of the socket.",
    )
    .elsewhere(&["chmod"]),
    read: program_values::octal,
};
pub static CONTROL_OWNER: Opt<Owner> = Opt {
    spec: Spec::new(
        "owner",
        Unit::Text("a user, a user and a group as in \"www-data:adm\", or a group as in \":adm\""),
        Default::Described("the server's user and group"),
        "Whose the socket is.",
    )
    .elsewhere(&["chown"]),
    read: owner,
};
pub static CONTROL_LISTEN: Opt<Vec<Listen>> = Opt {
    spec: Spec::new(
        "listen",
        Unit::Texts("an address or a list of addresses"),
        Default::Described("none"),
        "TCP addresses to listen on beside the socket, such as \"127.0.0.1:9001\"; needs `username` and `password`. What goes over them \
         is not encrypted.",
    ),
    read: control::listen,
};
pub static CONTROL_USERNAME: Opt<String> = Opt {
    spec: Spec::new("username", Unit::Text("a name"), Default::Described("none"), "Who may come over `listen`."),
    read: read::text,
};
pub static CONTROL_PASSWORD: Opt<String> = Opt {
    spec: Spec::new(
        "password",
        Unit::Text("a password"),
        Default::Described("none"),
        "The password, or `{SHA}` and the hexadecimal SHA-1 of it.",
    ),
    read: read::text,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::section::assert_defaults;

    #[test]
    fn every_declared_default_passes_its_own_check() {
        assert_defaults!(CONTROL_SOCKET CONTROL_MODE CONTROL_OWNER CONTROL_LISTEN CONTROL_USERNAME CONTROL_PASSWORD);
    }
}
