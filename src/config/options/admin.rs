//! Options of `[admin]`: where health and metrics are asked for.

use super::{Default, Opt, Section, Spec, Unit};
use crate::config::address::Listen;
use crate::config::read;
use crate::config::value::Value;
use std::path::Path;

pub static ADMIN: Section = Section {
    name: "admin",
    header: "[admin]",
    doc: "A listener of its own, served apart from the site's requests, with `/healthz` (200 as long as the server runs), `/readyz` (503 \
          until a worker is ready, while none is left, and from the beginning of a stop) and `/metrics` (Prometheus' text format). It asks for no \
          password: listen where only those can come who may know.",
    options: &[&ADMIN_LISTEN.spec],
};

pub static ADMIN_LISTEN: Opt<Vec<Listen>> = Opt {
    spec: Spec::new(
        "listen",
        Unit::Texts("an address or a list of addresses"),
        Default::Required,
        "Address to listen on, such as \"127.0.0.1:9000\" or \"unix:/run/site-admin.sock\".",
    ),
    read: addresses,
};

fn addresses(value: &Value, unit: Unit, base: &Path) -> Result<Vec<Listen>, String> {
    let address = |value: &Value| Listen::parse(&read::text(value, unit, base)?, base);
    match value {
        Value::List(items) if items.is_empty() => Err("must have an address".to_owned()),
        Value::List(items) => items.iter().map(|item| address(&item.value)).collect(),
        other => Ok(vec![address(other)?]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::section::assert_defaults;

    #[test]
    fn every_declared_default_passes_its_own_check() {
        assert_defaults!(ADMIN_LISTEN);
    }
}
