//! Every setting of the HTTP service, with its default.

use std::sync::Arc;
use std::time::Duration;

use reasonedit_http::bind::BindAddress;
use reasonedit_http::body::COPIES;
use reasonedit_http::client;
use reasonedit_http::prefix::Prefix;
use reasonedit_http::{host, origin};
use reasonedit_integration::{Integration, IntegrationConfig, IntegrationError, LEFT_OUT, ServiceContext};
use reasonedit_jobs::JobLimits;
use reasonedit_oidc::OidcConfig;
use serde::{Deserialize, Serialize};

use crate::integrations::with_integrations;
use crate::memory::CONNECTION_BYTES;
use crate::tls::TlsConfig;

/// The settings, with those of every integration of the list.
macro_rules! server_config {
    ($($(#[$doc:meta])* $key:ident: $config:ty,)*) => {
        /// Settings of the HTTP service. Durations are milliseconds, sizes bytes.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct ServerConfig {
            /// Address and port to listen on; loopback by default, since no tokens are configured by default
            /// either.
            pub bind: BindAddress,
            /// Address and port where probes alone are answered, by plain HTTP and by a thread of its own;
            /// none: where everything is.
            pub health_bind: Option<BindAddress>,
            /// Bearer tokens that may use the service; empty: everyone who reaches it. Health, the contract
            /// and the pages stay open.
            pub auth_tokens: Vec<String>,
            /// Whether others may reach the service though no tokens are asked for: without it the service
            /// listens on loopback alone then.
            pub insecure_no_auth: bool,
            /// Names that the service answers to beside addresses and those of loopback
            /// (`edits.hospital.example`); empty: where tokens are asked for any, else none.
            pub hosts: Vec<String>,
            /// Origins whose pages may call the service: of web pages (`https://labels.example.org`), of
            /// desktop apps and browser extensions (`tauri://localhost`, `app://obsidian.md`,
            /// `chrome-extension://ID`), and `null`, which pages in files send, and sandboxed ones of
            /// anybody; empty: none but its own pages.
            pub cors_origins: Vec<String>,
            /// Addresses (`127.0.0.1`) and networks (`10.0.0.0/8`) of reverse proxies whose
            /// `X-Forwarded-Prefix` and `X-Forwarded-For` are believed; empty: nobody's.
            pub trusted_proxies: Vec<String>,
            /// The certificate that the service shows, where no proxy does.
            pub tls: TlsConfig,
            /// An `OpenID Connect` issuer whose tokens are taken beside the service's own.
            pub oidc: OidcConfig,
            /// Path below which a reverse proxy shows the service, as `/reasonedit`; empty: none. What a
            /// trusted proxy says goes before it.
            pub path_prefix: String,
            /// Hosts that pictures may be fetched from by `{"url": …}`; empty: no URL is fetched. `host`, or
            /// `host:port` when the port is not 443.
            pub allowed_image_hosts: Vec<String>,
            /// What a request may weigh.
            pub limits: LimitsConfig,
            /// How long things may take.
            pub timeouts: TimeoutsConfig,
            $($(#[$doc])* pub $key: $config,)*
        }

        impl ServerConfig {
            /// The first unusable setting of an integration.
            fn check_integrations(&self) -> Result<(), ConfigError> {
                $(self.$key.validate().map_err(|(field, reason)| ConfigError::Unusable { field, reason })?;)*
                Ok(())
            }

            /// The settings as they may be shown: without secrets.
            #[must_use]
            pub fn masked(&self) -> Self {
                let auth_tokens = vec![LEFT_OUT.to_owned(); self.auth_tokens.len()];
                Self { auth_tokens, oidc: self.oidc.masked(LEFT_OUT), $($key: self.$key.masked(),)* ..self.clone() }
            }

            /// The integrations with these settings.
            ///
            /// # Errors
            /// What one needs and can't have.
            pub(crate) fn integrations(
                &self,
                service: &ServiceContext,
            ) -> Result<Vec<Arc<dyn Integration>>, IntegrationError> {
                Ok(vec![$(self.$key.integrate(service)?,)*])
            }
        }

        /// Every integration's part of the contract.
        pub(crate) fn contracts() -> Vec<utoipa::openapi::OpenApi> {
            vec![$(<$config as IntegrationConfig>::contract(),)*]
        }
    };
}

with_integrations!(server_config);

/// What requests may weigh, one and all together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Bytes of one request body; a picture of 20 MiB in base64 and its texts fit.
    pub body_bytes: usize,
    /// Bytes of what requests and connections hold at a time, all together: bodies, pictures that are decoded
    /// (`editor.limits.picture_bytes`), answers, and what is set aside for each connection.
    pub memory_bytes: u64,
    /// Of these the bytes of request bodies and of what is made of them, which is counted as much again, or
    /// as it is where that is more; beyond it requests are refused with 503.
    pub bodies_in_memory_bytes: usize,
    /// Of these the bytes of answers that clients have not taken yet; beyond it requests are refused with
    /// 503.
    pub answers_in_memory_bytes: usize,
    /// Bytes of an archive to import; it is streamed, never held.
    pub import_bytes: u64,
    /// Bytes of an upload of edits; it is kept on disk until the edits are made.
    pub batch_bytes: u64,
    /// Edits of one upload.
    pub batch_lines: u64,
    /// Jobs that wait; beyond it new ones are refused with 429.
    pub jobs_queued: usize,
    /// Ended jobs that are kept, with their results; older ones are forgotten.
    pub jobs_kept: usize,
    /// Bytes of a picture fetched by URL.
    pub fetched_image_bytes: usize,
    /// Requests worked on at a time; beyond it they are refused with 503.
    pub requests: usize,
    /// Archives and batches received or sent at a time; beyond it they are refused with 503.
    pub archives: usize,
    /// Requests of one caller in a minute (a token, a name, or without either an address); beyond it they are
    /// refused with 429. 0: as many as they like.
    pub requests_per_minute: u32,
    /// How much of `requests`, of `archives`, of `jobs_queued` and of `bodies_in_memory_bytes` one caller may
    /// have at a time, in percent; beyond it they are refused, with 429 and 503.
    pub caller_percent: u8,
    /// Connections open at a time; beyond it new ones wait to be accepted.
    pub connections: usize,
    /// Connections of one address; more are refused. A trusted proxy has as many as there are.
    pub connections_per_address: usize,
}

impl LimitsConfig {
    /// Those of jobs. One caller's part of the places is rounded up.
    pub(crate) fn jobs(&self) -> JobLimits {
        let part = self.jobs_queued.saturating_mul(usize::from(self.caller_percent)).div_ceil(100);
        JobLimits { queued: self.jobs_queued, queued_of_caller: part.max(1), kept: self.jobs_kept }
    }

    /// Bytes that are left for requests once every connection has its own.
    pub(crate) fn memory_for_requests(&self) -> u64 {
        self.memory_bytes.saturating_sub((self.connections as u64).saturating_mul(CONNECTION_BYTES))
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            body_bytes: 32 << 20,
            memory_bytes: 2 << 30,
            bodies_in_memory_bytes: 512 << 20,
            answers_in_memory_bytes: 512 << 20,
            import_bytes: 16 << 30,
            batch_bytes: 4 << 30,
            batch_lines: 5000,
            jobs_queued: 16,
            jobs_kept: 200,
            fetched_image_bytes: 20 << 20,
            requests: 256,
            archives: 2,
            requests_per_minute: 0,
            caller_percent: 50,
            connections: 1024,
            connections_per_address: 256,
        }
    }
}

/// How long things may take, in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TimeoutsConfig {
    /// A request from its head to its answer; afterwards 504. A streamed answer must have ended by then too.
    pub request_ms: u64,
    /// An import from its head to its answer, since it may embed every edit anew; and the upload of a batch.
    pub import_ms: u64,
    /// The head of a request, and the handshake before it.
    pub header_ms: u64,
    /// Between two pieces of a request body, afterwards 408; and of an exported archive, afterwards it is cut
    /// off.
    pub body_idle_ms: u64,
    /// An answer from its head until the client has taken its last byte, afterwards the connection is cut
    /// off; pieces of a streamed one have `body_idle_ms` each.
    pub answer_ms: u64,
    /// Fetching a picture by URL, look-up and connection included.
    pub fetch_ms: u64,
    /// Between two signs of life on an event stream.
    pub keep_alive_ms: u64,
    /// Running requests may take this long to end when the service is stopped.
    pub shutdown_grace_ms: u64,
}

impl Default for TimeoutsConfig {
    fn default() -> Self {
        Self {
            request_ms: 120_000,
            import_ms: 3_600_000,
            header_ms: 15_000,
            body_idle_ms: 20_000,
            answer_ms: 120_000,
            fetch_ms: 10_000,
            keep_alive_ms: 15_000,
            shutdown_grace_ms: 30_000,
        }
    }
}

impl TimeoutsConfig {
    pub(crate) fn request(&self) -> Duration {
        Duration::from_millis(self.request_ms)
    }

    pub(crate) fn import(&self) -> Duration {
        Duration::from_millis(self.import_ms)
    }

    pub(crate) fn header(&self) -> Duration {
        Duration::from_millis(self.header_ms)
    }

    pub(crate) fn body_idle(&self) -> Duration {
        Duration::from_millis(self.body_idle_ms)
    }

    pub(crate) fn answer(&self) -> Duration {
        Duration::from_millis(self.answer_ms)
    }

    pub(crate) fn fetch(&self) -> Duration {
        Duration::from_millis(self.fetch_ms)
    }

    pub(crate) fn keep_alive(&self) -> Duration {
        Duration::from_millis(self.keep_alive_ms)
    }

    pub(crate) fn shutdown_grace(&self) -> Duration {
        Duration::from_millis(self.shutdown_grace_ms)
    }
}

/// Settings that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A setting with a value that makes no sense.
    #[error("server.{field}: {reason}")]
    Unusable {
        /// The setting, as in the configuration file below `server`.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl ServerConfig {
    /// Checks what types alone can't.
    ///
    /// # Errors
    /// [`ConfigError::Unusable`] names the first unusable setting: an empty token, an origin or host that is
    /// none, a limit of zero.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let unusable = |field, reason: String| Err(ConfigError::Unusable { field, reason });
        if self.auth_tokens.iter().any(|t| t.is_empty() || !t.bytes().all(|b| b.is_ascii_graphic())) {
            return unusable("auth_tokens", "a token must be visible ASCII without spaces".to_owned());
        }
        if let Some(reason) = self.hosts.iter().find_map(|name| host::fault(name)) {
            return unusable("hosts", reason);
        }
        if let Some(reason) = self.cors_origins.iter().find_map(|origin| origin::fault(origin)) {
            return unusable("cors_origins", reason);
        }
        for proxy in &self.trusted_proxies {
            if let Err(reason) = client::network(proxy) {
                return unusable("trusted_proxies", format!("`{proxy}`: {reason}"));
            }
        }
        if let Err((field, reason)) = self.oidc.validate() {
            return unusable(field, reason);
        }
        if let Some((field, reason)) = self.tls.fault() {
            return unusable(field, reason);
        }
        if let Err(reason) = self.path_prefix.parse::<Prefix>() {
            let reason = format!("`{}` is not a path such as /reasonedit: {reason}", self.path_prefix);
            return unusable("path_prefix", reason);
        }
        for host in &self.allowed_image_hosts {
            let parsed = reqwest::Url::parse(&format!("https://{host}/")).ok();
            if parsed.is_none_or(|url| url.host_str().is_none() || url.path() != "/" || host.contains('@')) {
                return unusable("allowed_image_hosts", format!("`{host}` is not a host name"));
            }
        }
        let limits = [
            ("limits.body_bytes", self.limits.body_bytes as u64),
            ("limits.import_bytes", self.limits.import_bytes),
            ("limits.batch_bytes", self.limits.batch_bytes),
            ("limits.batch_lines", self.limits.batch_lines),
            ("limits.jobs_queued", self.limits.jobs_queued as u64),
            ("limits.jobs_kept", self.limits.jobs_kept as u64),
            ("limits.fetched_image_bytes", self.limits.fetched_image_bytes as u64),
            ("limits.requests", self.limits.requests as u64),
            ("limits.archives", self.limits.archives as u64),
            ("limits.connections", self.limits.connections as u64),
            ("limits.connections_per_address", self.limits.connections_per_address as u64),
            ("timeouts.request_ms", self.timeouts.request_ms),
            ("timeouts.import_ms", self.timeouts.import_ms),
            ("timeouts.header_ms", self.timeouts.header_ms),
            ("timeouts.body_idle_ms", self.timeouts.body_idle_ms),
            ("timeouts.answer_ms", self.timeouts.answer_ms),
            ("timeouts.fetch_ms", self.timeouts.fetch_ms),
            ("timeouts.keep_alive_ms", self.timeouts.keep_alive_ms),
        ];
        for (field, value) in limits {
            if value == 0 {
                return unusable(field, "must be above zero".to_owned());
            }
        }
        let limits = &self.limits;
        if !(1..=100).contains(&limits.caller_percent) {
            return unusable("limits.caller_percent", "must be 1 to 100".to_owned());
        }
        let largest = limits.body_bytes.max(limits.fetched_image_bytes) as u64;
        let body = largest.saturating_mul(COPIES);
        if (limits.bodies_in_memory_bytes as u64) < body {
            let reason = format!(
                "must hold at least one body or fetched picture and what is made of it, {body} bytes"
            );
            return unusable("limits.bodies_in_memory_bytes", reason);
        }
        if (limits.answers_in_memory_bytes as u64) < limits.fetched_image_bytes as u64 {
            return unusable("limits.answers_in_memory_bytes", "must hold at least one picture".to_owned());
        }
        let largest = (limits.bodies_in_memory_bytes as u64).max(limits.answers_in_memory_bytes as u64);
        if limits.memory_for_requests() < largest {
            let connections = (limits.connections as u64).saturating_mul(CONNECTION_BYTES);
            let reason = format!(
                "must hold limits.bodies_in_memory_bytes and limits.answers_in_memory_bytes each, beside \
                 {connections} bytes for limits.connections"
            );
            return unusable("limits.memory_bytes", reason);
        }
        self.check_integrations()
    }
}

#[cfg(test)]
mod tests;
