//! Refused requests: the first few of each caller or address within a minute have lines of their own, the
//! others are counted, so that a flood of wrong tokens fills no disk.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use crate::record::{AuditCaller, AuditEvent, AuditRecord};

/// How long they are counted together.
const WINDOW: Duration = Duration::from_mins(1);
/// Lines of one caller or address in that time.
const EACH: u32 = 10;
/// Lines of all together.
const ALL: u32 = 300;
/// Callers and addresses that are counted apart; those beyond are counted as one.
const APART: usize = 200;

/// Who is counted as one.
type Who = (Option<AuditCaller>, Option<IpAddr>);

#[derive(Debug)]
pub(crate) struct Refusals {
    since: Instant,
    written: HashMap<Who, u32>,
    all: u32,
    counted: BTreeMap<Who, (u64, AuditRecord)>,
    /// Those of more callers and addresses than are counted apart.
    others: u64,
}

impl Default for Refusals {
    fn default() -> Self {
        Self { since: Instant::now(), written: HashMap::new(), all: 0, counted: BTreeMap::new(), others: 0 }
    }
}

impl Refusals {
    /// A request was refused: its line, if it has one of its own.
    pub(crate) fn add(&mut self, record: AuditRecord) -> Option<AuditRecord> {
        if self.due().is_none() && self.since.elapsed() >= WINDOW {
            *self = Self::default();
        }
        let who = (record.caller.clone(), record.address.map(network));
        if self.all < ALL {
            let written = self.written.entry(who.clone()).or_default();
            if *written < EACH {
                *written += 1;
                self.all += 1;
                return Some(record);
            }
        }
        if let Some((count, _)) = self.counted.get_mut(&who) {
            *count += 1;
        } else if self.counted.len() < APART {
            self.counted.insert(who, (1, record));
        } else {
            self.others += 1;
        }
        None
    }

    /// When the next lines are due; never, where nothing is counted.
    pub(crate) fn due(&self) -> Option<Instant> {
        (!self.counted.is_empty() || self.others > 0).then(|| self.since + WINDOW)
    }

    /// Those that are due.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<AuditRecord> {
        if self.due().is_some_and(|due| due <= now) { self.take(now, false) } else { Vec::new() }
    }

    /// The lines of what was counted, once their time is over.
    pub(crate) fn take(&mut self, now: Instant, at_once: bool) -> Vec<AuditRecord> {
        if now.duration_since(self.since) < WINDOW && !at_once {
            return Vec::new();
        }
        let ended = std::mem::replace(self, Self { since: now, ..Self::default() });
        let told = ended.counted.into_values().map(|(count, first)| AuditRecord {
            event: AuditEvent::Refusals,
            count: Some(count),
            // They may have been of several routes.
            method: None,
            route: None,
            request_id: None,
            codebook: None,
            ..first
        });
        let others = (ended.others > 0).then(|| AuditRecord {
            event: AuditEvent::Refusals,
            count: Some(ended.others),
            detail: Some("of more callers and addresses than are counted apart".to_owned()),
            ..AuditRecord::default()
        });
        told.chain(others).collect()
    }
}

/// The address, of IPv6 its network of 64 bits: whoever has one has all of it.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) if address.to_ipv4_mapped().is_none() => {
            let mut segments = address.segments();
            segments[4..].fill(0);
            Ipv6Addr::from(segments).into()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(address: IpAddr) -> AuditRecord {
        let caller = Some(AuditCaller::Anonymous);
        AuditRecord { address: Some(address), caller, status: Some(401), ..AuditRecord::default() }
    }

    #[test]
    fn a_flood_of_one_address_is_a_few_lines_and_a_count() {
        let mut refusals = Refusals::default();
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let lines = (0..1000).filter_map(|_| refusals.add(from(address))).count();
        assert_eq!(lines, EACH as usize);
        let other: IpAddr = "192.0.2.2".parse().unwrap();
        assert!(refusals.add(from(other)).is_some(), "others are told of one by one");
        let begun = refusals.since;
        assert_eq!(refusals.due(), Some(begun + WINDOW));
        assert!(refusals.take(begun + WINDOW / 2, false).is_empty());
        let told = refusals.take(begun + WINDOW, false);
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].event, told[0].count), (AuditEvent::Refusals, Some(990)));
        assert_eq!((told[0].address, told[0].status), (Some(address), Some(401)));
        assert_eq!(refusals.due(), None);
        assert!(refusals.add(from(address)).is_some(), "it begins anew");
    }

    #[test]
    fn a_flood_of_many_addresses_is_bounded_too() {
        let mut refusals = Refusals::default();
        let mut lines = 0;
        for n in 0..5000u32 {
            lines += usize::from(refusals.add(from(IpAddr::from(n.to_be_bytes()))).is_some());
        }
        assert_eq!(lines, ALL as usize);
        let told = refusals.take(Instant::now(), true);
        assert_eq!(told.len(), APART + 1);
        let counted: u64 = told.iter().filter_map(|record| record.count).sum();
        assert_eq!(counted + lines as u64, 5000, "none is left out");
        // Addresses of one network are one.
        let host = |n: u16| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, n]);
        let lines = (0..100).filter_map(|n| refusals.add(from(host(n)))).count();
        assert_eq!(lines, EACH as usize);
    }
}
