//! Proxies in front of the server: which peers are trusted, and with what.

use std::path::Path;

use ipnet::IpNet;

use super::options::{self, Unit};
use super::read;
use super::section::Reader;
use super::types::RequestIds;
use super::value::Value;
use crate::base::bounds::TRUSTED_PROXIES_MAX;
use crate::http::Trust;
use crate::http::trust::Family;

/// Peers of unix sockets, as nginx has it.
const UNIX: &str = "unix:";
/// Everybody, as gunicorn has it.
const EVERYBODY: &str = "*";

/// Reads what `[server]` says of trusted proxies.
pub(super) fn trusted_proxies(reader: &mut Reader<'_>) -> Trust {
    let trust = reader.value(&options::TRUSTED_PROXIES);
    Trust { family: reader.value(&options::FORWARDED_HEADERS), ..trust }
}

/// Reads where requests have their ids from.
pub(super) fn request_ids(reader: &mut Reader<'_>, trust: &Trust) -> RequestIds {
    let Some((ids, place)) = reader.placed(&options::REQUEST_ID) else { return reader.value(&options::REQUEST_ID) };
    if ids == RequestIds::Trust && trust.is_empty() {
        let message = "\"trust\" trusts nobody as long as \"trusted_proxies\" is empty; name the proxies there";
        reader.problem(place, options::REQUEST_ID.spec.name, message);
    }
    ids
}

/// Reader of `trusted_proxies`.
pub(super) fn peers(value: &Value, unit: Unit, _: &Path) -> Result<Trust, String> {
    let mut trust = Trust::default();
    for text in read::strings(value, unit)? {
        match text {
            UNIX => trust.unix = true,
            EVERYBODY => {
                trust.unix = true;
                trust.networks.extend(["0.0.0.0/0", "::/0"].map(|all| all.parse::<IpNet>().expect("a network")));
            }
            text => trust.networks.push(read::network(text)?),
        }
    }
    trust.networks = read::few(trust.networks, TRUSTED_PROXIES_MAX)?;
    Ok(trust)
}

/// Reader of `forwarded_headers`.
pub(super) fn forwarded_headers(value: &Value, unit: Unit, base: &Path) -> Result<Family, String> {
    match read::text(value, unit, base)?.as_str() {
        "auto" => Ok(Family::Either),
        "x-forwarded" => Ok(Family::XForwarded),
        "forwarded" => Ok(Family::Forwarded),
        _ => Err(read::not(unit, value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_networks_unix_sockets_and_everybody() {
        let read = |texts: &[&str]| {
            let items: Vec<_> = texts.iter().map(|text| format!("{text:?}")).collect();
            let value = crate::config::section::value_of(&format!("[{}]", items.join(", ")));
            peers(&value, options::TRUSTED_PROXIES.spec.unit, Path::new("/"))
        };
        let trust = read(&["10.1.2.3/8", "::1", "unix:"]).expect("peers");
        assert_eq!(trust.networks.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.0/8", "::1/128"]);
        assert!(trust.unix);
        let everybody = read(&["*"]).expect("peers");
        assert!(everybody.unix && everybody.networks.len() == 2);
        for wrong in ["", "localhost", "10.0.0.0/33", "10.0.0.1:80", "[::1]"] {
            assert!(read(&[wrong]).is_err(), "{wrong}");
        }
    }
}
