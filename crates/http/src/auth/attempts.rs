//! Wrong tokens by who sent them: after some, nothing of that client is looked at for a while, but for tokens
//! of its own that were right before, so that one who guesses keeps nobody else behind the same address out.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Wrong tokens of a client within [`WINDOW`] after which it has to wait.
const MOST: u32 = 10;
/// How long wrong tokens are remembered, and how long a client has to wait then.
const WINDOW: Duration = Duration::from_mins(1);
/// Clients that are remembered at a time; of more, those of before are forgotten.
const CLIENTS: usize = 10_000;
/// Tokens that are remembered of a client.
const TOKENS: usize = 16;

/// What is known of a client.
#[derive(Debug)]
struct Client {
    wrong: u32,
    since: Instant,
    /// Right ones, and when they were last.
    right: BTreeMap<[u8; 32], Instant>,
}

/// Wrong tokens of late.
#[derive(Debug, Default)]
pub(super) struct Attempts(Mutex<HashMap<IpAddr, Client>>);

impl Attempts {
    /// How long a client has to wait before this token is looked at.
    pub(super) fn wait(&self, client: IpAddr, token: &blake3::Hash, now: Instant) -> Option<Duration> {
        let known = self.0.lock();
        let known = known.get(&client).filter(|known| known.wrong >= MOST)?;
        let left = WINDOW.checked_sub(now.duration_since(known.since)).filter(|left| !left.is_zero())?;
        (!known.right.contains_key(token.as_bytes())).then_some(left)
    }

    /// A right token came.
    pub(super) fn right(&self, client: IpAddr, token: &blake3::Hash, now: Instant) {
        let mut clients = self.0.lock();
        let known = entry(&mut clients, client, now);
        if known.right.len() >= TOKENS && !known.right.contains_key(token.as_bytes()) {
            let oldest = known.right.iter().min_by_key(|(_, last)| **last).map(|(token, _)| *token);
            oldest.and_then(|token| known.right.remove(&token));
        }
        known.right.insert(*token.as_bytes(), now);
    }

    /// A wrong token came; how many that makes of late.
    pub(super) fn wrong(&self, client: IpAddr, now: Instant) -> u32 {
        let mut clients = self.0.lock();
        let known = entry(&mut clients, client, now);
        if now.duration_since(known.since) >= WINDOW {
            (known.wrong, known.since) = (0, now);
        }
        known.wrong += 1;
        // The wait begins with the last that was looked at.
        if known.wrong == MOST {
            known.since = now;
        }
        known.wrong
    }
}

fn entry(clients: &mut HashMap<IpAddr, Client>, client: IpAddr, now: Instant) -> &mut Client {
    if clients.len() >= CLIENTS && !clients.contains_key(&client) {
        clients.retain(|_, known| known.wrong > 0 && now.duration_since(known.since) < WINDOW);
        if clients.len() >= CLIENTS {
            clients.clear();
        }
    }
    clients.entry(client).or_insert_with(|| Client { wrong: 0, since: now, right: BTreeMap::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_some_wrong_tokens_a_client_waits_and_those_beside_it_do_not() {
        let (attempts, begin) = (Attempts::default(), Instant::now());
        let [one, other]: [IpAddr; 2] = ["192.0.2.1", "192.0.2.2"].map(|ip| ip.parse().unwrap());
        let [right, guess] = [blake3::hash(b"right"), blake3::hash(b"guess")];
        attempts.right(one, &right, begin);
        for count in 1..=MOST {
            assert_eq!(attempts.wait(one, &guess, begin), None);
            assert_eq!(attempts.wrong(one, begin), count);
        }
        let later = begin + WINDOW / 2;
        assert_eq!(attempts.wait(one, &guess, later), Some(WINDOW / 2));
        assert_eq!(attempts.wait(one, &right, later), None, "it was right before");
        assert_eq!(attempts.wait(other, &guess, later), None);
        assert_eq!(attempts.wait(one, &guess, begin + WINDOW), None);
        assert_eq!(attempts.wrong(one, begin + WINDOW), 1, "it begins anew");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for n in 0..3 * CLIENTS as u32 {
            attempts.wrong(IpAddr::from(n.to_be_bytes()), now);
        }
        assert!(attempts.0.lock().len() <= CLIENTS);
        let client = IpAddr::from([192, 0, 2, 1]);
        for n in 0..3 * TOKENS {
            attempts.right(client, &blake3::hash(&n.to_be_bytes()), now + Duration::from_millis(n as u64));
        }
        assert!(attempts.0.lock()[&client].right.len() <= TOKENS);
    }
}
