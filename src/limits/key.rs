//! Keys of the tables: 64 bits of a keyed hash in place of whatever is limited.
//!
//! Owns the secret of the hash, a new one for every table, so that nobody outside can make keys that meet in one place. Two keys are taken for one
//! with a probability of 2⁻⁶³ each pair.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

/// A table's hash.
#[derive(Clone, Debug, Default)]
pub struct Keys(RandomState);

/// Bytes of an IPv6 address that tell clients apart: one client has a /64 to itself (RFC 6177, RFC 7421).
const PREFIX_BYTES: usize = 8;

impl Keys {
    /// The key of what these parts say together; never 0.
    pub fn of(&self, parts: &[&[u8]]) -> u64 {
        self.0.hash_one(parts) | 1
    }

    /// The key of a client by its address: an IPv4 address, or the /64 in which an IPv6 address lies.
    pub fn of_address(&self, address: IpAddr) -> u64 {
        self.of(&[Keys::part_of(address).as_slice()])
    }

    /// What of an address tells clients apart.
    pub fn part_of(address: IpAddr) -> Vec<u8> {
        match address.to_canonical() {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets()[..PREFIX_BYTES].to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_client_is_its_prefix_and_an_ipv4_client_its_address() {
        let keys = Keys::default();
        let of = |text: &str| keys.of_address(text.parse().expect("an address"));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }

    #[test]
    fn parts_do_not_run_together_and_tables_differ() {
        let keys = Keys::default();
        assert_ne!(keys.of(&[b"ab", b"c"]), keys.of(&[b"a", b"bc"]));
        assert_ne!(keys.of(&[b"a"]), Keys::default().of(&[b"a"]));
        assert_ne!(keys.of(&[]), 0);
    }
}
