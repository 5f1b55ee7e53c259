//! TLS with certificates that are made here, asked by a client that trusts nobody else.

use std::path::Path;
use std::time::{Duration, Instant};

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use reasonedit_server::{Server, ServerConfig, ServerError, TlsConfig};
use reqwest::{Certificate, Client, Version};
use tokio::sync::oneshot;

fn certificate() -> CertifiedKey<KeyPair> {
    generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap()
}

fn write(folder: &Path, certificate: &CertifiedKey<KeyPair>) -> TlsConfig {
    let config = TlsConfig { certificate: folder.join("cert.pem"), key: folder.join("key.pem") };
    std::fs::write(&config.certificate, certificate.cert.pem()).unwrap();
    std::fs::write(&config.key, certificate.signing_key.serialize_pem()).unwrap();
    config
}

/// A client that trusts this certificate alone, on a connection of its own.
fn client(certificate: &CertifiedKey<KeyPair>) -> Client {
    let root = Certificate::from_pem(certificate.cert.pem().as_bytes()).unwrap();
    Client::builder().tls_built_in_root_certs(false).add_root_certificate(root).build().unwrap()
}

fn config(tls: TlsConfig) -> ServerConfig {
    ServerConfig { bind: "127.0.0.1:0".parse().unwrap(), tls, ..ServerConfig::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_shown_and_a_renewed_one_takes_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (certificate(), certificate());
    let (server, _slot) = Server::new(config(write(folder.path(), &first))).unwrap();
    let listener = server.bind().await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(server.serve(listener, async { drop(stopped.await) }));
    let url = format!("https://localhost:{port}/health/live");

    let kept = client(&first);
    let answer = kept.get(&url).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, Version::HTTP_2));
    let older = Client::builder()
        .http1_only()
        .add_root_certificate(Certificate::from_pem(first.cert.pem().as_bytes()).unwrap());
    assert_eq!(older.build().unwrap().get(&url).send().await.unwrap().version(), Version::HTTP_11);
    assert!(client(&second).get(&url).send().await.is_err(), "of someone else");
    let plain = reqwest::get(format!("http://localhost:{port}/health/live")).await;
    assert!(plain.is_err(), "no answer without TLS");

    // A damaged one changes nothing.
    std::fs::write(folder.path().join("cert.pem"), "-----BEGIN CERTIFICATE-----\n").unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(client(&first).get(&url).send().await.is_ok());

    write(folder.path(), &second);
    let begun = Instant::now();
    while client(&second).get(&url).send().await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it is never shown");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(client(&first).get(&url).send().await.is_err(), "the first is shown no more");
    assert_eq!(kept.get(&url).send().await.unwrap().status().as_u16(), 200, "connections of before live on");
    drop((kept, stop));
    assert!(serving.await.unwrap(), "it drains");
}

#[test]
fn what_can_not_be_shown_keeps_the_service_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let whole = write(folder.path(), &certificate());
    let refused = |tls: TlsConfig| Server::new(config(tls)).err().map(|error| (error.to_string(), error));
    assert!(refused(whole.clone()).is_none());
    for half in
        [TlsConfig { key: "".into(), ..whole.clone() }, TlsConfig { certificate: "".into(), ..whole.clone() }]
    {
        let (told, error) = refused(half).unwrap();
        assert!(matches!(error, ServerError::Config(_)) && told.contains("go together"), "{told}");
    }
    std::fs::write(folder.path().join("empty.pem"), "").unwrap();
    let other = folder.path().join("other");
    std::fs::create_dir(&other).unwrap();
    let strange = write(&other, &certificate());
    for (tls, names) in [
        (TlsConfig { certificate: folder.path().join("none.pem"), ..whole.clone() }, "none.pem"),
        (TlsConfig { certificate: folder.path().join("empty.pem"), ..whole.clone() }, "empty.pem"),
        (TlsConfig { key: folder.path().join("empty.pem"), ..whole.clone() }, "empty.pem"),
        (TlsConfig { key: strange.key, ..whole.clone() }, "key.pem"),
    ] {
        let (told, error) = refused(tls).unwrap();
        assert!(matches!(error, ServerError::Tls(_)) && told.contains(names), "{told}");
    }
}
