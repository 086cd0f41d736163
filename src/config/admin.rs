//! `[admin]`: from its table to the addresses of the admin listener.

use super::address::Listen;
use super::error::Problem;
use super::options;
use super::section::{Bases, Reader};
use super::value::{Place, Table};

/// The addresses to listen on; none without the section.
pub(super) fn admin(table: Option<(Place, Table)>, bases: Bases<'_>, problems: &mut Vec<Problem>) -> Vec<Listen> {
    let Some((place, table)) = table else { return Vec::new() };
    let mut reader = Reader::new(table, options::ADMIN.name, options::ADMIN.options, bases, problems);
    if !reader.has(&options::ADMIN_LISTEN) {
        reader.problem(place, "", "must say where to \"listen\"");
    }
    let listen = reader.optional(&options::ADMIN_LISTEN).unwrap_or_default();
    reader.finish();
    listen
}
