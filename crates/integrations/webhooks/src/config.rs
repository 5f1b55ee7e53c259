//! Settings: which receivers there are, what each is told, and how long it is tried.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reasonedit_editor::CodebookName;
use reasonedit_http::outbound::{self, Reach};
use reasonedit_integration::LEFT_OUT;
use reasonedit_resilience::Backoff;
use reqwest::Url;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use standardwebhooks::Webhook;
use utoipa::ToSchema;

/// Longest wait that a receiver can ask for.
const MOST_ASKED: Duration = Duration::from_hours(24);
/// What stands before the base64 of a secret (Standard Webhooks).
const PREFIX: &str = "whsec_";
/// Bytes that a secret may have (Standard Webhooks).
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Who is told what happens to codebooks. Durations are milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhooksConfig {
    /// One attempt, look-up and connection included.
    pub timeout_ms: u64,
    /// Wait after a first failure; it doubles with every further one.
    pub retry_first_ms: u64,
    /// Longest wait between attempts, unless the receiver asks for more.
    pub retry_longest_ms: u64,
    /// An event that can't be delivered for this long, counted from the service's start at most, pauses its
    /// codebook at this receiver until somebody resumes it.
    pub give_up_ms: u64,
    /// The receivers, by names of 1 to 64 of `a-z`, `0-9`, `_` and `-`.
    pub endpoints: BTreeMap<String, EndpointConfig>,
}

impl Default for WebhooksConfig {
    fn default() -> Self {
        Self {
            timeout_ms: 10_000,
            retry_first_ms: 5_000,
            retry_longest_ms: 3_600_000,
            give_up_ms: 3 * 24 * 3_600_000,
            endpoints: BTreeMap::new(),
        }
    }
}

/// One receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointConfig {
    /// Where events are posted to: `https`, at a public address, unless `allow_private` is on.
    pub url: String,
    /// What its messages are signed with. It may come from another layer than the rest, but it must come.
    #[serde(default)]
    pub secret: SigningSecret,
    /// The secret before, while receivers change over: messages bear a signature of each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_secret: Option<SigningSecret>,
    /// The events it is told of; empty: all.
    #[serde(default)]
    pub events: Vec<EventKind>,
    /// The codebooks it is told about; empty: all, those to come included.
    #[serde(default)]
    pub codebooks: Vec<CodebookName>,
    /// Whether question, answer, choices and statements are sent too, and not only who made which edit when.
    #[serde(default)]
    pub texts: bool,
    /// Whether it is told of edits that come with an imported archive.
    #[serde(default = "yes")]
    pub imports: bool,
    /// Permits `http` and addresses that are not public: for receivers in the same house.
    #[serde(default)]
    pub allow_private: bool,
}

const fn yes() -> bool {
    true
}

/// What a receiver can be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[schema(as = WebhookEvent)]
pub enum EventKind {
    /// An edit was made, or came with an archive.
    #[serde(rename = "edit.created")]
    EditCreated,
    /// An edit was reverted.
    #[serde(rename = "edit.reverted")]
    EditReverted,
    /// An edit that was reverted is live again.
    #[serde(rename = "edit.restored")]
    EditRestored,
    /// An edit was erased: what a receiver keeps of it is to go, too.
    #[serde(rename = "edit.erased")]
    EditErased,
    /// A codebook's keys were made anew with another selection of layer and weight, or went back to those
    /// before, and are live.
    #[serde(rename = "selection.applied")]
    SelectionApplied,
}

/// What messages are signed with: `whsec_` and the base64 of 24 to 64 random bytes. It is never shown nor
/// written.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SigningSecret(String);

impl SigningSecret {
    /// A secret as it is handed out.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// What signs with it.
    ///
    /// # Errors
    /// What is wrong with the secret, in words that don't tell it.
    pub(super) fn signer(&self) -> Result<Webhook, &'static str> {
        let form = "it needs a secret: `whsec_` and the base64 of 24 to 64 bytes (`openssl rand -base64 32`)";
        let key = self.0.strip_prefix(PREFIX).and_then(|text| STANDARD.decode(text).ok()).ok_or(form)?;
        if !SECRET_BYTES.contains(&key.len()) {
            return Err(form);
        }
        Webhook::from_bytes(key).map_err(|_| form)
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(LEFT_OUT)
    }
}

impl Serialize for SigningSecret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(LEFT_OUT)
    }
}

impl<'de> Deserialize<'de> for SigningSecret {
    /// Takes a text; whatever else it is given does not appear in the error.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer) {
            Ok(serde_json::Value::String(text)) => Ok(Self(text)),
            _ => Err(D::Error::custom("a secret is a text")),
        }
    }
}

impl EndpointConfig {
    /// A receiver of all events of all codebooks.
    pub fn new(url: impl Into<String>, secret: SigningSecret) -> Self {
        Self {
            url: url.into(),
            secret,
            old_secret: None,
            events: Vec::new(),
            codebooks: Vec::new(),
            texts: false,
            imports: true,
            allow_private: false,
        }
    }

    /// Where its requests may go.
    pub(super) fn reach(&self) -> Reach {
        if self.allow_private { Reach::Anywhere } else { Reach::Public }
    }

    /// Its address.
    ///
    /// # Errors
    /// Why none can be sent to it.
    pub(super) fn address(&self) -> Result<Url, outbound::Refusal> {
        outbound::check(&self.url, self.reach())
    }

    /// What its messages are signed with, the present secret first.
    ///
    /// # Errors
    /// What is wrong with a secret.
    pub(super) fn signers(&self) -> Result<Vec<Webhook>, &'static str> {
        std::iter::once(&self.secret).chain(&self.old_secret).map(SigningSecret::signer).collect()
    }
}

impl WebhooksConfig {
    /// Checks what types alone can't; the name of the unusable setting below `server`, and why.
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        let times = [
            ("webhooks.timeout_ms", self.timeout_ms),
            ("webhooks.retry_first_ms", self.retry_first_ms),
            ("webhooks.retry_longest_ms", self.retry_longest_ms),
            ("webhooks.give_up_ms", self.give_up_ms),
        ];
        if let Some((field, _)) = times.iter().find(|(_, value)| *value == 0) {
            return Err((field, "must be above zero".to_owned()));
        }
        for (name, endpoint) in &self.endpoints {
            let named = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c);
            if !(1..=64).contains(&name.len()) || !name.chars().all(named) {
                return Err((
                    "webhooks.endpoints",
                    format!("`{name}` is not a name of 1 to 64 of a-z, 0-9, _ and -"),
                ));
            }
            let unusable = |reason: String| Err(("webhooks.endpoints", format!("`{name}`: {reason}")));
            if let Err(refusal) = endpoint.address() {
                return unusable(format!(
                    "its url: {refusal} `allow_private` permits http and local addresses."
                ));
            }
            if let Err(reason) = endpoint.signers() {
                return unusable(reason.to_owned());
            }
        }
        Ok(())
    }

    pub(super) fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    /// When a failed delivery is tried again: doubling from the first wait to the longest, its second half at
    /// random; never less than the receiver asked for, up to a day.
    pub(super) fn backoff(&self) -> Backoff {
        let milliseconds = Duration::from_millis;
        Backoff::doubling(milliseconds(self.retry_first_ms), milliseconds(self.retry_longest_ms))
            .with_jitter()
            .at_most_asked(MOST_ASKED)
    }

    pub(super) fn give_up(&self) -> Duration {
        Duration::from_millis(self.give_up_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

    fn with(change: impl FnOnce(&mut EndpointConfig)) -> WebhooksConfig {
        let mut endpoint = EndpointConfig::new("https://hooks.example.org/in", SigningSecret::new(SECRET));
        change(&mut endpoint);
        WebhooksConfig { endpoints: [("audit".to_owned(), endpoint)].into(), ..WebhooksConfig::default() }
    }

    #[test]
    fn waits_double_within_bounds_and_a_receiver_is_given_the_time_it_asks_for() {
        let backoff = WebhooksConfig::default().backoff();
        assert_eq!(backoff.wait_by(1, None, 0), Duration::from_millis(2500));
        assert_eq!(backoff.wait_by(1, None, u64::MAX), Duration::from_millis(4999));
        assert_eq!(backoff.wait_by(200, None, 0), Duration::from_mins(30));
        assert_eq!(backoff.wait(1, Some(Duration::from_hours(2))), Duration::from_hours(2));
        assert_eq!(backoff.wait(1, Some(Duration::from_hours(200))), Duration::from_hours(24));
    }

    #[test]
    fn a_receiver_needs_an_address_and_a_secret() {
        assert_eq!(with(|_| {}).check(), Ok(()));
        assert_eq!(with(|e| e.old_secret = Some(SigningSecret::new(SECRET))).check(), Ok(()));
        let reason = |config: WebhooksConfig| config.check().unwrap_err().1;
        for url in
            ["http://hooks.example.org/", "https://127.0.0.1/", "hooks", "https://a:b@hooks.example.org/"]
        {
            assert!(reason(with(|e| url.clone_into(&mut e.url))).contains("its url"), "{url}");
        }
        let local = |e: &mut EndpointConfig| {
            "http://127.0.0.1:9/".clone_into(&mut e.url);
            e.allow_private = true;
        };
        assert_eq!(with(local).check(), Ok(()));
        for secret in ["", "whsec_", "hunter2", "whsec_!!", &SECRET[6..], "whsec_AAAA"] {
            let told = reason(with(|e| e.secret = SigningSecret::new(secret)));
            assert!(told.contains("whsec_") && (secret.len() < 7 || !told.contains(secret)), "{told}");
        }
        let long = "x".repeat(65);
        for name in ["", "Audit", "a b", "a.b", &long] {
            let mut config = with(|_| {});
            let endpoint = config.endpoints.remove("audit").unwrap();
            config.endpoints.insert(name.to_owned(), endpoint);
            assert!(config.check().is_err(), "{name}");
        }
        assert_eq!(
            WebhooksConfig { give_up_ms: 0, ..with(|_| {}) }.check().unwrap_err().0,
            "webhooks.give_up_ms"
        );
    }

    #[test]
    fn a_secret_is_never_shown() {
        let config = with(|e| e.old_secret = Some(SigningSecret::new(SECRET)));
        for shown in [format!("{config:?}"), serde_json::to_string(&config).unwrap()] {
            assert!(!shown.contains(&SECRET[6..]), "{shown}");
            assert_eq!(shown.matches(LEFT_OUT).count(), 2, "{shown}");
        }
        for wrong in ["73123456", "true", "[\"73123456\"]", "{\"a\": \"73123456\"}", "null"] {
            let error = serde_json::from_str::<SigningSecret>(wrong).unwrap_err().to_string();
            assert!(error.contains("a secret is a text") && !error.contains("73123456"), "{error}");
        }
    }

    #[test]
    fn little_has_to_be_said() {
        let text = format!(r#"{{"url": "https://hooks.example.org/in", "secret": "{SECRET}"}}"#);
        let read: EndpointConfig = serde_json::from_str(&text).unwrap();
        assert_eq!(read, EndpointConfig::new("https://hooks.example.org/in", SigningSecret::new(SECRET)));
        let bare: EndpointConfig =
            serde_json::from_str(r#"{"url": "https://hooks.example.org/in"}"#).unwrap();
        assert!(bare.signers().is_err(), "no secret is no receiver");
        let more =
            text.replace('}', r#", "events": ["edit.reverted"], "codebooks": ["ward-3"], "imports": false}"#);
        let read: EndpointConfig = serde_json::from_str(&more).unwrap();
        assert_eq!((read.events, read.imports), (vec![EventKind::EditReverted], false));
        assert!(serde_json::from_str::<EndpointConfig>(&text.replace('}', r#", "event": []}"#)).is_err());
    }
}
