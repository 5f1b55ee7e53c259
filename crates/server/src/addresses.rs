//! How many connections come from one address, so that none of them takes all there are.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;
use reasonedit_http::client::Proxies;

/// Open connections by address.
#[derive(Clone, Debug)]
pub(crate) struct AddressShares {
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
    most: usize,
    proxies: Proxies,
}

/// A connection of an address, until it is dropped.
#[derive(Debug)]
pub(crate) struct AddressPlace {
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
    /// `None` for a proxy's, which stands for many.
    address: Option<IpAddr>,
}

impl AddressShares {
    /// So many for each address; as many as they like for these proxies.
    pub(crate) fn new(most: usize, proxies: Proxies) -> Self {
        Self { open: Arc::default(), most, proxies }
    }

    /// A place for a connection from there, unless the address has all of its own.
    pub(crate) fn take(&self, peer: IpAddr) -> Option<AddressPlace> {
        let address = (!self.proxies.trust(peer)).then(|| counted(peer));
        if let Some(address) = address {
            let mut open = self.open.lock();
            let count = open.entry(address).or_default();
            if *count >= self.most {
                return None;
            }
            *count += 1;
        }
        Some(AddressPlace { open: Arc::clone(&self.open), address })
    }
}

impl Drop for AddressPlace {
    fn drop(&mut self) {
        let Some(address) = self.address else { return };
        if let Entry::Occupied(mut count) = self.open.lock().entry(address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// What is counted as one address: of IPv6 the network of 64 bits, which is what one machine is given.
fn counted(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares() -> AddressShares {
        AddressShares::new(2, Proxies::new(&["10.0.0.0/8".to_owned()]))
    }

    fn of(address: &str) -> IpAddr {
        address.parse().unwrap()
    }

    #[test]
    fn an_address_has_its_share_and_gets_it_back() {
        let shares = shares();
        let first = shares.take(of("192.0.2.1")).unwrap();
        let second = shares.take(of("::ffff:192.0.2.1")).unwrap();
        assert!(shares.take(of("192.0.2.1")).is_none());
        assert!(shares.take(of("192.0.2.2")).is_some(), "others have their own");
        drop(first);
        assert!(shares.take(of("192.0.2.1")).is_some());
        drop(second);
        assert!(shares.open.lock().is_empty(), "nothing is remembered of who has gone");
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let shares = shares();
        let _held = [shares.take(of("2001:db8::1")).unwrap(), shares.take(of("2001:db8::2")).unwrap()];
        assert!(shares.take(of("2001:db8::3")).is_none());
        assert!(shares.take(of("2001:db8:0:1::3")).is_some());
    }

    #[test]
    fn a_trusted_proxy_stands_for_many() {
        let shares = shares();
        let held: Vec<_> = (0..10).filter_map(|_| shares.take(of("10.1.2.3"))).collect();
        assert_eq!(held.len(), 10);
    }
}
