//! Where checkpoints come from: a folder, or an id on a hub, kept in the cache that Hugging Face's own tools
//! use.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::LoadOptions;
use super::checkpoint::{Checkpoint, weight_shards};
use super::foreign::foreign_file;
use crate::error::{ModelError, Result};

/// Characters of an organisation's or a model's name on the hub, at most.
const LONGEST_NAME: usize = 96;

/// How far a download is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DownloadProgress {
    /// The file.
    pub file: String,
    /// Bytes of it that are here.
    pub done: u64,
    /// Its size, where the server says it.
    pub total: Option<u64>,
}

/// A hub and the folder its files are kept in.
#[derive(Clone, Debug)]
struct Hub {
    endpoint: String,
    token: Option<String>,
    cache: PathBuf,
}

/// The folder of a source. An existing folder is taken as it is; `organisation/name` is looked up on the hub,
/// whose address, token and cache follow `HF_ENDPOINT`, `HF_TOKEN` and `HF_HOME` as in Hugging Face's tools.
pub(crate) fn resolve(
    source: &str,
    options: &LoadOptions,
    progress: &dyn Fn(DownloadProgress),
) -> Result<Checkpoint> {
    if Path::new(source).is_dir() {
        return Checkpoint::new(source, None);
    }
    if Path::new(source).is_file() {
        let name =
            Path::new(source).file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        let file = || {
            ModelError::load(
                source,
                "it is a file; give the folder that it lies in, with config.json beside it",
            )
        };
        return Err(foreign_file(&name).unwrap_or_else(file));
    }
    if !is_hub_id(source) {
        return Err(ModelError::load(
            source,
            "it is neither a folder nor an id such as Qwen/Qwen3-VL-4B-Instruct",
        ));
    }
    Hub::from_environment()?.checkpoint(source, options, progress)
}

/// Whether a source can be an id on the hub: `organisation/name`, made of what the hub allows in names, and
/// nothing that looks like a path.
pub fn is_hub_id(source: &str) -> bool {
    let plain = |part: &str| {
        !part.is_empty()
            && part.len() <= LONGEST_NAME
            && !part.starts_with('.')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    source.split_once('/').is_some_and(|(a, b)| plain(a) && plain(b))
}

impl Hub {
    fn from_environment() -> Result<Self> {
        let variable = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
        let cache = match (variable("HF_HUB_CACHE"), variable("HF_HOME"), variable("HOME")) {
            (Some(cache), _, _) => cache.into(),
            (None, Some(home), _) => Path::new(&home).join("hub"),
            (None, None, Some(home)) => Path::new(&home).join(".cache/huggingface/hub"),
            (None, None, None) => {
                return Err(ModelError::load("the hub's cache", "set HF_HOME: there is no home folder"));
            }
        };
        Ok(Self {
            endpoint: variable("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into()),
            token: variable("HF_TOKEN"),
            cache,
        })
    }

    fn checkpoint(
        &self,
        id: &str,
        options: &LoadOptions,
        progress: &dyn Fn(DownloadProgress),
    ) -> Result<Checkpoint> {
        let revision = options.revision.as_deref().unwrap_or("main");
        if !revision.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')) {
            return Err(ModelError::load(id, "the revision is not a branch, tag or commit"));
        }
        let home = self.cache.join(format!("models--{}", id.replace('/', "--")));
        // A commit that is complete needs no network at all; what a branch points at may have moved on.
        let known = std::fs::read_to_string(home.join("refs").join(revision))
            .ok()
            .map(|commit| commit.trim().to_owned())
            .or_else(|| is_commit(revision).then(|| revision.to_owned()));
        if let Some(commit) = known.filter(|c| is_commit(c) && (options.offline || is_commit(revision))) {
            let folder = home.join("snapshots").join(commit);
            if folder.join("config.json").is_file() {
                let checkpoint = Checkpoint::new(folder, Some(id.to_owned()))?;
                if options.offline || checkpoint.weight_files().is_ok() {
                    return Ok(checkpoint);
                }
            }
        }
        if options.offline {
            return Err(ModelError::load(
                id,
                format!("revision {revision} was not downloaded before and offline is set; unset it once"),
            ));
        }
        let listing = self.json(&format!("{}/api/models/{id}/revision/{revision}", self.endpoint))?;
        let commit = listing["sha"].as_str().filter(|c| is_commit(c));
        let commit = commit.ok_or_else(|| ModelError::load(id, "the hub's answer names no commit"))?;
        let folder = home.join("snapshots").join(commit);
        let names: Vec<&str> = listing["siblings"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|s| s["rfilename"].as_str())
            .collect();
        for file in names.iter().filter(|n| is_wanted(n)) {
            self.download(id, commit, file, &folder, progress)?;
        }
        let single = names.contains(&"model.safetensors");
        if !single {
            let index = folder.join("model.safetensors.index.json");
            let index: Value = std::fs::read(&index)
                .ok()
                .and_then(|bytes| serde_json::from_slice(&bytes).ok())
                .ok_or_else(|| ModelError::load(id, "it has no weights in safetensors form"))?;
            for shard in weight_shards(&index)? {
                self.download(id, commit, &shard, &folder, progress)?;
            }
        }
        let refs = home.join("refs");
        write(&refs, |_| Ok(()))?;
        let path = refs.join(revision);
        std::fs::write(&path, commit).map_err(|source| ModelError::read(path, source))?;
        Checkpoint::new(folder, Some(id.to_owned()))
    }

    fn get(&self, url: &str) -> Result<ureq::http::Response<ureq::Body>> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_connect(Some(Duration::from_secs(20)))
            .timeout_recv_response(Some(Duration::from_mins(1)))
            .build()
            .into();
        let mut request = agent.get(url);
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        request.call().map_err(|e| match e {
            ureq::Error::StatusCode(401 | 403) => {
                ModelError::load(url, "the hub refuses it: accept the model's licence there and set HF_TOKEN")
            }
            ureq::Error::StatusCode(404) => {
                ModelError::load(url, "the hub has no such model, revision or file")
            }
            other => ModelError::load(url, format!("download failed: {other}; or give the path of a folder")),
        })
    }

    fn json(&self, url: &str) -> Result<Value> {
        let mut bytes = Vec::new();
        let body = self.get(url)?.into_body();
        body.into_reader()
            .take(16 << 20)
            .read_to_end(&mut bytes)
            .map_err(|e| ModelError::load(url, format!("download failed: {e}")))?;
        serde_json::from_slice(&bytes).map_err(|e| ModelError::load(url, format!("not valid JSON: {e}")))
    }

    /// Downloads a file unless it is there; it appears under its name only when it is whole.
    fn download(
        &self,
        id: &str,
        commit: &str,
        file: &str,
        folder: &Path,
        progress: &dyn Fn(DownloadProgress),
    ) -> Result<()> {
        let path = folder.join(file);
        if path.is_file() {
            return Ok(());
        }
        let url = format!("{}/{id}/resolve/{commit}/{file}", self.endpoint);
        let response = self.get(&url)?;
        let total = response.body().content_length();
        let mut reader = response.into_body().into_reader();
        let parent = path.parent().unwrap_or(folder).to_owned();
        let partial = parent.join(format!(".{}.part-{}", file.replace('/', "-"), std::process::id()));
        write(&parent, |_| {
            let mut out = std::fs::File::create(&partial)?;
            let mut buffer = vec![0u8; 1 << 18];
            let mut done = 0u64;
            loop {
                let count = reader.read(&mut buffer)?;
                if count == 0 {
                    break;
                }
                out.write_all(&buffer[..count])?;
                done += count as u64;
                progress(DownloadProgress { file: file.to_owned(), done, total });
            }
            if total.is_some_and(|t| t != done) {
                return Err(std::io::Error::new(
                    std::io::ErrorKind::UnexpectedEof,
                    "the connection broke off",
                ));
            }
            out.sync_all()?;
            std::fs::rename(&partial, &path)
        })
        .inspect_err(|_| {
            // Best effort: what is left of a failed download is of no use.
            let _ = std::fs::remove_file(&partial);
        })
    }
}

/// Makes a folder and does something in it.
fn write(folder: &Path, f: impl FnOnce(&Path) -> std::io::Result<()>) -> Result<()> {
    std::fs::create_dir_all(folder)
        .and_then(|()| f(folder))
        .map_err(|source| ModelError::read(folder, source))
}

fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.chars().all(|c| c.is_ascii_hexdigit())
}

/// Files of a listing that a model needs; weights in shards are taken from their index instead.
fn is_wanted(file: &str) -> bool {
    file == "model.safetensors"
        || file == "1_Pooling/config.json"
        || file == "spiece.model"
        || file == "qformer_tokenizer/tokenizer.json"
        || (!file.contains(['/', '\\'])
            && !file.starts_with('.')
            && Path::new(file).extension().is_some_and(|e| e == "jinja" || e == "json"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;
    use std::sync::{Arc, Mutex};

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    /// A hub of a few files on this machine; returns its address and the log of requests.
    fn serve(files: HashMap<String, Vec<u8>>) -> (String, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let log = Arc::new(Mutex::new(Vec::new()));
        let seen = log.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let request = lines.next().unwrap().unwrap();
                while !lines.next().unwrap().unwrap().is_empty() {}
                let path = request.split(' ').nth(1).unwrap().to_owned();
                seen.lock().unwrap().push(path.clone());
                let (status, body) = match files.get(&path) {
                    Some(body) => ("200 OK", body.clone()),
                    None => ("404 Not Found", Vec::new()),
                };
                let head = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                stream.write_all(head.as_bytes()).unwrap();
                stream.write_all(&body).unwrap();
            }
        });
        (address, log)
    }

    fn files() -> HashMap<String, Vec<u8>> {
        let listing = format!(
            r#"{{"sha": "{COMMIT}", "siblings": [{{"rfilename": "config.json"}}, {{"rfilename": "../evil.json"}},
            {{"rfilename": "pytorch_model.bin"}}, {{"rfilename": "model.safetensors.index.json"}},
            {{"rfilename": "a-1.safetensors"}}, {{"rfilename": "a-2.safetensors"}}]}}"#
        );
        let index = r#"{"weight_map": {"x": "a-1.safetensors", "y": "a-2.safetensors"}}"#;
        let at = |file: &str| format!("/org/model/resolve/{COMMIT}/{file}");
        HashMap::from([
            ("/api/models/org/model/revision/main".into(), listing.into_bytes()),
            (at("config.json"), b"{}".to_vec()),
            (at("model.safetensors.index.json"), index.into()),
            (at("a-1.safetensors"), vec![1; 300_000]),
            (at("a-2.safetensors"), vec![2; 10]),
        ])
    }

    #[test]
    fn downloads_once_and_serves_offline_afterwards() {
        let cache = tempfile::tempdir().unwrap();
        let (endpoint, log) = serve(files());
        let hub = Hub { endpoint, token: None, cache: cache.path().into() };
        let offline = LoadOptions { offline: true, ..LoadOptions::default() };
        let error = hub.checkpoint("org/model", &offline, &|_| {}).unwrap_err().to_string();
        assert!(error.contains("offline"), "{error}");
        assert!(log.lock().unwrap().is_empty());

        let seen = Mutex::new(Vec::new());
        let online = LoadOptions::default();
        let checkpoint = hub
            .checkpoint("org/model", &online, &|p| seen.lock().unwrap().push((p.file, p.done, p.total)))
            .unwrap();
        assert_eq!(checkpoint.name, "org/model");
        assert_eq!(checkpoint.weight_files().unwrap().len(), 2);
        assert!(seen.lock().unwrap().contains(&("a-1.safetensors".into(), 300_000, Some(300_000))));
        assert!(!log.lock().unwrap().iter().any(|path| path.contains("evil") || path.contains("pytorch")));

        let requests = log.lock().unwrap().len();
        hub.checkpoint("org/model", &offline, &|_| {}).unwrap();
        let pinned = LoadOptions { revision: Some(COMMIT.into()), ..LoadOptions::default() };
        hub.checkpoint("org/model", &pinned, &|_| {}).unwrap();
        assert_eq!(log.lock().unwrap().len(), requests, "a pinned commit that is here needs no network");
    }

    #[test]
    fn missing_models_and_odd_ids_are_errors() {
        let cache = tempfile::tempdir().unwrap();
        let (endpoint, _) = serve(files());
        let hub = Hub { endpoint, token: None, cache: cache.path().into() };
        let error = hub.checkpoint("org/other", &LoadOptions::default(), &|_| {}).unwrap_err().to_string();
        assert!(error.contains("no such model"), "{error}");
        let odd = LoadOptions { revision: Some("../x".into()), ..LoadOptions::default() };
        assert!(hub.checkpoint("org/model", &odd, &|_| {}).is_err());
        for id in ["model", "a/b/c", "../up", "a/..", "", "a b/c"] {
            assert!(!is_hub_id(id), "{id}");
            assert!(resolve(id, &LoadOptions::default(), &|_| {}).is_err());
        }
        assert!(is_hub_id("Qwen/Qwen3-VL-4B-Instruct"));
    }
}
