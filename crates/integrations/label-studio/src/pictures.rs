//! Pictures of tasks: those that lie in Label Studio, from the configured address alone; others by the rules
//! of every picture by URL.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use reasonedit_api::image::ImageInput;
use reasonedit_api::sent;
use reasonedit_editor::ImageSource;
use reasonedit_http::fetch::Fetcher;
use reasonedit_http::outbound::{self, Reach};
use reasonedit_http::problem::{Problem, ProblemKind, Result};
use reqwest::{Client, Response, StatusCode, Url, header};
use serde::Deserialize;

use super::config::{LabelStudioConfig, base_of};
use super::token::{ApiToken, CurrentAccessToken};

/// Where Label Studio keeps pictures: uploads and local files, exports of a storage, and files of cloud
/// storages that it passes on. A task can't make this service ask for anything else with the operator's
/// token.
const PATHS: &[&str] = &["data/", "storage-data/", "tasks/"];
/// Most bytes of an answer that holds a token.
const TOKEN_BYTES: usize = 64 << 10;

/// Reads pictures of tasks.
#[derive(Clone, Debug)]
pub(super) struct Pictures {
    /// The configured address and a client that follows no redirect; `None`: none is configured.
    own: Option<(Url, Client)>,
    /// The configured token.
    token: Option<ApiToken>,
    access: Arc<CurrentAccessToken>,
    max_bytes: usize,
    fetcher: Fetcher,
}

/// What setup told of a project that its pictures may need.
#[derive(Clone, Debug, Default)]
pub(super) struct PictureOrigin {
    /// The name that Label Studio gives itself: what begins with it lies at the configured address.
    pub(super) hostname: Option<String>,
    pub(super) token: Option<ApiToken>,
}

/// Where a picture is.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// In Label Studio.
    Own(Url),
    /// A `data:` URL.
    Data,
    /// Anywhere else.
    Elsewhere,
}

impl Pictures {
    /// Reads at most `max_bytes` of a picture, each within `timeout`.
    ///
    /// # Errors
    /// What the TLS library says when it can't be set up.
    pub(super) fn new(
        config: &LabelStudioConfig,
        fetcher: Fetcher,
        max_bytes: usize,
        timeout: Duration,
    ) -> reqwest::Result<Self> {
        let base = config.url.as_deref().and_then(base_of);
        // The operator wrote this address down.
        let client = || outbound::client(Reach::Anywhere, timeout);
        let own = base.map(|base| Ok::<_, reqwest::Error>((base, client()?))).transpose()?;
        let token = config.token.as_deref().and_then(ApiToken::new);
        Ok(Self { own, token, access: Arc::default(), max_bytes, fetcher })
    }

    /// Whether an address of Label Studio is configured.
    pub(super) fn reach_label_studio(&self) -> bool {
        self.own.is_some()
    }

    /// Whether a token is needed from setup.
    pub(super) fn want_token(&self) -> bool {
        self.own.is_some() && self.token.is_none()
    }

    /// The picture that a task names.
    ///
    /// # Errors
    /// 422 where it can't be one or may not be fetched, 413 when it is too large, 502 when Label Studio can't
    /// be asked or refuses, 503 when no memory is left for it, 504 when it takes too long.
    pub(super) async fn get(&self, value: &str, origin: &PictureOrigin) -> Result<ImageSource> {
        match self.place(value.trim(), origin.hostname.as_deref())? {
            Place::Data => sent(ImageInput::Data(value.trim().to_owned()), &self.fetcher).await,
            Place::Elsewhere => sent(ImageInput::Url(value.trim().to_owned()), &self.fetcher).await,
            Place::Own(url) => {
                let Some((base, client)) = &self.own else {
                    return Err(Problem::internal(&"a place without an address"));
                };
                let token = self.token.as_ref().or(origin.token.as_ref());
                Ok(ImageSource::from(self.fetch(base, client, url, token).await?))
            }
        }
    }

    fn place(&self, value: &str, hostname: Option<&str>) -> Result<Place> {
        if value.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("data:")) {
            return Ok(Place::Data);
        }
        let of_host =
            |host: &str| value.strip_prefix(host.trim_end_matches('/')).filter(|rest| rest.starts_with('/'));
        let relative = if value.starts_with('/') && !value.starts_with("//") {
            Some(value)
        } else {
            hostname.filter(|host| !host.is_empty()).and_then(of_host)
        };
        let Some((base, _)) = &self.own else {
            return match relative {
                None if is_web(value) => Ok(Place::Elsewhere),
                None => Err(unreadable()),
                Some(_) => Err(refused(
                    "The picture lies in Label Studio, and `server.label_studio.url` does not say where that is.",
                )),
            };
        };
        let url = match relative {
            // Below the address's own path, which Label Studio puts in front of some and not of others.
            Some(path) => {
                let path = path.strip_prefix(base.path()).unwrap_or(path.trim_start_matches('/'));
                base.join(&format!("./{path}")).map_err(|_| unreadable())?
            }
            None if is_web(value) => Url::parse(value).map_err(|_| unreadable())?,
            None => return Err(unreadable()),
        };
        if url.origin() != base.origin() {
            return Ok(Place::Elsewhere);
        }
        // Dots are resolved by now.
        let path = url.path().strip_prefix(base.path()).unwrap_or_default();
        let plain = url.username().is_empty() && url.password().is_none();
        if plain && PATHS.iter().any(|allowed| path.starts_with(allowed)) {
            Ok(Place::Own(url))
        } else {
            Err(refused("Label Studio keeps no pictures at this address."))
        }
    }

    async fn fetch(&self, base: &Url, client: &Client, url: Url, token: Option<&ApiToken>) -> Result<Bytes> {
        let refreshed = token.is_some_and(ApiToken::is_refresh);
        let mut response = self.ask(base, client, url.clone(), token).await?;
        // An access token may have been taken back before its time.
        if refreshed && response.status() == StatusCode::UNAUTHORIZED {
            self.access.forget();
            response = self.ask(base, client, url, token).await?;
        }
        match response.status() {
            StatusCode::OK => {
                let permit = self.fetcher.reserve(self.max_bytes)?;
                Ok(permit.hold(collect(response, self.max_bytes).await?))
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(unreached("Label Studio refuses the token; `server.label_studio.token` names another."))
            }
            StatusCode::NOT_FOUND | StatusCode::GONE => Err(refused("Label Studio has no such picture.")),
            status if status.is_redirection() => Err(refused(
                "Label Studio sends the picture's reader elsewhere, which is not followed: let its storage pass files on.",
            )),
            status if status.is_client_error() => {
                Err(refused(format!("Label Studio answered {}.", status.as_u16())))
            }
            status => Err(unreached(format!("Label Studio answered {}.", status.as_u16()))),
        }
    }

    async fn ask(&self, base: &Url, client: &Client, url: Url, token: Option<&ApiToken>) -> Result<Response> {
        // Label Studio answers 406 to who would only take pictures.
        let mut request = client.get(url).header(header::ACCEPT, "*/*");
        if let Some(token) = token {
            let value = if token.is_refresh() {
                format!("Bearer {}", self.bearer(base, client, token).await?.expose())
            } else {
                format!("Token {}", token.expose())
            };
            let mut value =
                header::HeaderValue::try_from(value).map_err(|_| unreached("The token can't be sent."))?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        request.send().await.map_err(|error| failed(&error))
    }

    /// The access token that a personal access token is exchanged for.
    async fn bearer(&self, base: &Url, client: &Client, refresh: &ApiToken) -> Result<ApiToken> {
        #[derive(Deserialize)]
        struct Refreshed {
            access: String,
        }
        if let Some(access) = self.access.get(refresh, Instant::now()) {
            return Ok(access);
        }
        let url = base.join("./api/token/refresh/").map_err(|error| Problem::internal(&error))?;
        let body = serde_json::json!({"refresh": refresh.expose()}).to_string();
        let asked = client.post(url).header(header::CONTENT_TYPE, "application/json").body(body).send().await;
        let response = asked.map_err(|error| failed(&error))?;
        if !response.status().is_success() {
            return Err(unreached(format!(
                "Label Studio does not exchange the personal access token: it answered {}.",
                response.status().as_u16()
            )));
        }
        let bytes = collect(response, TOKEN_BYTES).await?;
        let access =
            serde_json::from_slice::<Refreshed>(&bytes).ok().and_then(|answer| ApiToken::new(&answer.access));
        let access = access.ok_or_else(|| unreached("Label Studio's answer holds no access token."))?;
        self.access.keep(refresh, &access, Instant::now());
        Ok(access)
    }
}

/// The body, counted as it arrives.
async fn collect(mut response: Response, max_bytes: usize) -> Result<BytesMut> {
    let too_large = || {
        Problem::new(
            ProblemKind::TooLarge,
            format!("The picture is larger than the {max_bytes} bytes allowed."),
        )
    };
    if response.content_length().is_some_and(|length| length > max_bytes as u64) {
        return Err(too_large());
    }
    let mut bytes = BytesMut::new();
    while let Some(piece) = response.chunk().await.map_err(|error| failed(&error))? {
        if bytes.len() + piece.len() > max_bytes {
            return Err(too_large());
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

fn is_web(value: &str) -> bool {
    let starts =
        |scheme: &str| value.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    starts("http://") || starts("https://")
}

fn refused(detail: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Invalid, detail)
}

fn unreadable() -> Problem {
    refused("The task names no picture that can be read: a path of Label Studio, an http(s) or a data: URL.")
}

fn unreached(detail: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Upstream, detail)
}

fn failed(error: &reqwest::Error) -> Problem {
    if error.is_timeout() {
        return Problem::new(
            ProblemKind::DeadlineExceeded,
            "Label Studio took too long to send the picture.",
        );
    }
    // Its text holds the URL.
    tracing::debug!(
        connect = error.is_connect(),
        body = error.is_body(),
        "a picture could not be read from Label Studio"
    );
    unreached("Label Studio can't be reached at `server.label_studio.url`.")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pictures(url: Option<&str>) -> Pictures {
        let config = LabelStudioConfig { url: url.map(str::to_owned), ..LabelStudioConfig::default() };
        let fetcher = Fetcher::new(&[], 20 << 20, Duration::from_secs(10)).unwrap();
        Pictures::new(&config, fetcher, 20 << 20, Duration::from_secs(10)).unwrap()
    }

    fn own(base: &str, value: &str, hostname: Option<&str>) -> Option<String> {
        match pictures(Some(base)).place(value, hostname) {
            Ok(Place::Own(url)) => Some(url.into()),
            _ => None,
        }
    }

    #[test]
    fn pictures_of_label_studio_are_asked_for_at_the_configured_address() {
        let base = "http://127.0.0.1:8080";
        for (value, asked) in [
            ("/data/upload/1/a.png", "http://127.0.0.1:8080/data/upload/1/a.png"),
            ("/data/local-files/?d=x/a%20b.png", "http://127.0.0.1:8080/data/local-files/?d=x/a%20b.png"),
            ("http://127.0.0.1:8080/data/upload/a.png", "http://127.0.0.1:8080/data/upload/a.png"),
            ("/tasks/5/resolve/?fileuri=czM6", "http://127.0.0.1:8080/tasks/5/resolve/?fileuri=czM6"),
        ] {
            assert_eq!(own(base, value, None).as_deref(), Some(asked), "{value}");
        }
        // A name of its own that is not the address that it is reached at.
        let seen = own(base, "https://studio.example/data/upload/a.png", Some("https://studio.example/"));
        assert_eq!(seen.as_deref(), Some("http://127.0.0.1:8080/data/upload/a.png"));
        // Below a path.
        for value in ["/data/upload/a.png", "/studio/data/upload/a.png"] {
            let asked = own("https://labels.example/studio", value, None);
            assert_eq!(asked.as_deref(), Some("https://labels.example/studio/data/upload/a.png"), "{value}");
        }
    }

    #[test]
    fn nothing_else_of_label_studio_is_asked_for() {
        for value in [
            "/api/users",
            "/data/../api/users",
            "/data/%2e%2e/api/users",
            "/data/upload/../../logout",
            "/",
            "http://127.0.0.1:8080/api/projects/1/export",
            "http://me:secret@127.0.0.1:8080/data/upload/a.png",
            "\\\\evil.example\\data",
        ] {
            assert_eq!(own("http://127.0.0.1:8080", value, None), None, "{value}");
            assert!(pictures(Some("http://127.0.0.1:8080")).place(value, None).is_err(), "{value}");
        }
        assert_eq!(
            own("http://127.0.0.1:8080/studio", "http://127.0.0.1:8080/data/upload/a.png", None),
            None
        );
    }

    #[test]
    fn elsewhere_is_elsewhere() {
        for base in [None, Some("http://127.0.0.1:8080")] {
            let pictures = pictures(base);
            assert_eq!(pictures.place("data:image/png;base64,AAAA", None).unwrap(), Place::Data);
            for value in [
                "https://images.example/a.png",
                "http://127.0.0.1:9999/data/upload/a.png",
                "https://127.0.0.1:8080/data/a.png",
            ] {
                assert_eq!(pictures.place(value, None).unwrap(), Place::Elsewhere, "{value}");
            }
            for value in [
                "",
                "s3://bucket/a.png",
                "file:///etc/passwd",
                "upload/a.png",
                "//evil.example/data/a.png",
                "ftp://a/b",
            ] {
                assert!(pictures.place(value, None).is_err(), "{value}");
            }
        }
        assert!(
            pictures(None)
                .place("/data/upload/a.png", None)
                .unwrap_err()
                .body()
                .detail
                .contains("server.label_studio.url")
        );
    }

    proptest! {
        #[test]
        fn no_value_leads_away_from_label_studio(value in "[/.%2ehtps:@\\\\a-d?#]{0,40}", host in "(https?://)?[a-c./]{0,12}") {
            let hostname = Some(host.as_str());
            if let Ok(Place::Own(url)) = pictures(Some("http://10.0.0.1:8080/x")).place(&value, hostname) {
                prop_assert_eq!(url.origin().ascii_serialization(), "http://10.0.0.1:8080");
                prop_assert!(PATHS.iter().any(|path| url.path()["/x/".len()..].starts_with(path)));
            }
        }
    }
}
