//! `[unix_http_server]`, `[inet_http_server]` and `[supervisorctl]`: as `[control]`, and what a client needs to know.
//!
//! Owns the reasons for which a way to the server is not opened: one socket there is, and nothing over TCP without a password.

use super::Converter;
use crate::config::supervisord::ClientConfig;
use crate::config::supervisord::ini::Section;
use crate::config::supervisord::values::Form;
use crate::config::value::{Placed, Value};

impl Converter<'_> {
    pub(super) fn unix_server(&mut self, section: &Section) {
        self.taken.control_place.get_or_insert_with(|| section.place.clone());
        if self.taken.control.holds("socket") {
            return self.whole(section, "there is one control socket, which another section names");
        }
        let meanings = self.meanings.clone();
        match self.shared(section, "file", Form::Text, &meanings) {
            Some(Placed { place, value: Value::Text(text) }) => {
                let path = self.path(text.trim(), &section.name, "file", &place, false);
                self.taken.control.set("socket", Placed { place, value: Value::Text(path) });
            }
            _ => self.lacking(section, "file"),
        }
        for (key, target) in [("chmod", "mode"), ("chown", "owner")] {
            if let Some(placed) = self.shared(section, key, Form::Text, &meanings) {
                self.taken.control.set(target, placed);
            }
        }
        for entry in &section.entries {
            match entry.key.as_str() {
                "file" | "chmod" | "chown" => {}
                "username" | "password" => {
                    self.left(
                        &section.name,
                        entry,
                        "whoever may open the socket may do everything; its mode keeps others out",
                    );
                }
                _ => self.left(&section.name, entry, "supervisord does not know it either"),
            }
        }
    }

    pub(super) fn inet_server(&mut self, section: &Section) {
        self.taken.control_place.get_or_insert_with(|| section.place.clone());
        let meanings = self.meanings.clone();
        let mut text = |key| self.shared(section, key, Form::Text, &meanings);
        let (port, username, password) = (text("port"), text("username"), text("password"));
        let Some(port) = port else { return self.lacking(section, "port") };
        let known = ["username", "password"].map(|key| self.taken.control.value(key).cloned());
        let own = [&username, &password].map(|given| given.as_ref().map(|placed| placed.value.clone()));
        match own {
            [None, None] => {
                return self.whole(
                    section,
                    "without a username and a password nothing is opened: whoever gets through may do everything",
                );
            }
            _ if known.iter().any(Option::is_some) && known != own => {
                return self
                    .whole(section, "there is one name and password for all addresses, which another section has");
            }
            _ => {}
        }
        for (key, placed) in [("username", username), ("password", password)] {
            placed.into_iter().for_each(|placed| self.taken.control.set(key, placed));
        }
        let mut listen = match self.taken.control.value("listen") {
            Some(Value::List(known)) => known.clone(),
            _ => Vec::new(),
        };
        let place = port.place.clone();
        listen.push(port);
        self.taken.control.set("listen", Placed { place, value: Value::List(listen) });
        let is_known = |key: &str| matches!(key, "port" | "username" | "password");
        self.rest(section, |entry| is_known(&entry.key), "supervisord does not know it either");
    }

    /// After all servers: where a client is sent that may be theirs or another's.
    pub(super) fn supervisorctl(&mut self) {
        let Some(section) = self.found.ini.section_named("supervisorctl").cloned() else { return };
        let meanings = self.meanings.clone();
        let mut text = |key| match self.shared(&section, key, Form::Text, &meanings)?.value {
            Value::Text(text) => Some(text),
            _ => None,
        };
        let client = ClientConfig { url: text("serverurl"), username: text("username"), password: text("password") };
        let is_own = client.url.as_deref().is_none_or(|url| self.is_own(url));
        for entry in &section.entries {
            match entry.key.as_str() {
                "serverurl" if !is_own => {
                    self.left(
                        &section.name,
                        entry,
                        "maitred ctl asks the server of [control]; set MAITRED_CONTROL_URL for another",
                    );
                }
                "serverurl" => {}
                // The server's own are known to the client.
                "username" | "password" if is_own => {}
                "username" | "password" => {
                    self.left(&section.name, entry, "set MAITRED_CONTROL_PASSWORD, and --username")
                }
                "prompt" | "history_file" => {
                    self.left(&section.name, entry, "maitred ctl has no prompt: each command is one of the shell's")
                }
                _ => self.left(&section.name, entry, "supervisorctl does not know it either"),
            }
        }
        self.taken.client = client;
    }

    /// Whether a client's URL leads to a server of this file.
    fn is_own(&self, url: &str) -> bool {
        let control = &self.taken.control;
        if let Some(path) = url.strip_prefix("unix://") {
            return matches!(control.value("socket"), Some(Value::Text(socket)) if socket == path);
        }
        let port = |address: &str| address.trim_end_matches('/').rsplit(':').next().unwrap_or_default().to_owned();
        match control.value("listen") {
            Some(Value::List(listen)) => {
                listen.iter().any(|placed| matches!(&placed.value, Value::Text(address) if port(address) == port(url)))
            }
            _ => false,
        }
    }

    /// supervisord refuses a section without it.
    fn lacking(&mut self, section: &Section, key: &str) {
        if section.entries.iter().all(|entry| entry.key != key) {
            self.section_problem(section, format!("has no \"{key}\""));
        }
    }
}
