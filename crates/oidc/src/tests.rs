//! A small issuer on a socket of this machine; one of other people's making is asked by `tools/oidc`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use reasonedit_access::{AccessRole, BearerVerifier as _, Credential, Verified};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::net::TcpListener;

use crate::{Oidc, OidcConfig};

/// A key of the issuer's.
enum Key {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl Key {
    fn ec() -> Self {
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        Self::Ec(EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &SystemRandom::new()).unwrap())
    }

    fn ed() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed(Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap())
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Ec(_) => "ES256",
            Self::Ed(_) => "EdDSA",
        }
    }

    fn jwk(&self, id: &str) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Ec(key) => {
                let point = key.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-256", "use": "sig", "kid": id, "alg": "ES256",
                    "x": text(&point[1..33]), "y": text(&point[33..])})
            }
            Self::Ed(key) => {
                json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "x": text(key.public_key().as_ref())})
            }
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Ec(key) => key.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec(),
            Self::Ed(key) => key.sign(message).as_ref().to_vec(),
        }
    }

    fn token(&self, id: &str, claims: &Value) -> String {
        let header = json!({"alg": self.algorithm(), "typ": "at+jwt", "kid": id});
        let text = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", text(&header), text(claims));
        let signed = URL_SAFE_NO_PAD.encode(self.sign(message.as_bytes()));
        format!("{message}.{signed}")
    }
}

/// What the issuer shows, and how often it was asked.
struct Issuer {
    url: String,
    keys: Arc<Mutex<Vec<Value>>>,
    asked: Arc<AtomicUsize>,
    serving: tokio::task::JoinHandle<()>,
}

impl Issuer {
    async fn start(keys: Vec<Value>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let keys = Arc::new(Mutex::new(keys));
        let asked = Arc::new(AtomicUsize::new(0));
        let (issuer, shown, counted) = (url.clone(), Arc::clone(&keys), Arc::clone(&asked));
        let discovery = json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys")});
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(async move || Json(discovery)))
            .route(
                "/keys",
                get(async move || {
                    counted.fetch_add(1, Ordering::Relaxed);
                    let keys = shown.lock().clone();
                    Json(json!({ "keys": keys }))
                }),
            );
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, keys, asked, serving }
    }

    fn config(&self) -> OidcConfig {
        OidcConfig { issuer: self.url.clone(), audience: "reasonedit".to_owned(), ..OidcConfig::default() }
    }

    fn claims(&self) -> Value {
        let now = OffsetDateTime::now_utc().unix_timestamp();
        json!({"iss": self.url, "aud": ["reasonedit", "other"], "sub": "1", "preferred_username": "ada",
            "roles": ["contributor"], "iat": now, "exp": now + 300})
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims[name] = value;
    claims
}

#[tokio::test]
async fn a_token_of_the_issuer_says_who_asks() {
    for key in [Key::ec(), Key::ed()] {
        let issuer = Issuer::start(vec![Key::ec().jwk("other"), key.jwk("k")]).await;
        let oidc = Oidc::new(issuer.config()).unwrap();
        let claims = issuer.claims();
        let Verified::Caller(caller) = oidc.verify(&key.token("k", &claims)).await else { panic!() };
        assert_eq!((caller.name(), caller.role()), (Some("ada"), AccessRole::Contributor));
        let issued = Credential::Issued(issuer.config().issuer.as_str().into());
        assert_eq!(*caller.credential(), issued, "which the audit trail names");
        assert_eq!(caller.expires_at().unwrap().unix_timestamp(), claims["exp"].as_i64().unwrap());
        let none = key.token("k", &with(&claims, "roles", json!(["visitor"])));
        assert_eq!(oidc.verify(&none).await, Verified::NoRole);
        assert_eq!(issuer.asked(), 1, "keys are kept");
    }
}

#[tokio::test]
async fn what_the_issuer_did_not_sign_for_us_and_for_now_is_nobodys() {
    let key = Key::ec();
    let issuer = Issuer::start(vec![key.jwk("k")]).await;
    let oidc = Oidc::new(issuer.config()).unwrap();
    let (good, now) = (issuer.claims(), OffsetDateTime::now_utc().unix_timestamp());
    for (what, claims) in [
        ("another audience", with(&good, "aud", json!("other"))),
        ("no audience", with(&good, "aud", json!(null))),
        ("another issuer", with(&good, "iss", json!("https://elsewhere.example"))),
        ("over", with(&good, "exp", json!(now - 120))),
        ("no end", with(&good, "exp", json!(null))),
        ("yet to come", with(&good, "nbf", json!(now + 300))),
    ] {
        assert_eq!(oidc.verify(&key.token("k", &claims)).await, Verified::Unknown, "{what}");
    }
    let whole = key.token("k", &good);
    let (signed, signature) = whole.rsplit_once('.').unwrap();
    let text = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let (body, none) = (text(&good), text(&json!({"alg": "none", "kid": "k"})));
    let symmetric = text(&json!({"alg": "HS256", "kid": "k"}));
    for bad in [
        Key::ec().token("k", &good),
        format!("{signed}."),
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode([0; 64])),
        format!("{}.{signature}", signed.replace('.', "")),
        format!("{none}.{body}."),
        format!("{none}.{body}.{signature}"),
        format!("{symmetric}.{body}.{signature}"),
        format!(
            "{}.{}.{signature}",
            signed.split_once('.').unwrap().0,
            text(&with(&good, "sub", json!("2")))
        ),
        String::new(),
        "..".to_owned(),
        "a".repeat(20_000),
        "reasonedit_AAAA".to_owned(),
    ] {
        assert_eq!(oidc.verify(&bad).await, Verified::Unknown, "{bad}");
    }
    assert!(matches!(oidc.verify(&whole).await, Verified::Caller(_)));
}

#[tokio::test]
async fn unknown_keys_are_looked_for_but_not_at_the_pace_of_whoever_sends_them() {
    let (first, second) = (Key::ec(), Key::ec());
    let issuer = Issuer::start(vec![first.jwk("1")]).await;
    let oidc = Arc::new(Oidc::new(issuer.config()).unwrap());
    let claims = issuer.claims();
    // At once, so that they wait for the first look-up.
    let asking: Vec<_> = (0..8)
        .map(|_| {
            let (oidc, token) = (Arc::clone(&oidc), first.token("1", &claims));
            tokio::spawn(async move { oidc.verify(&token).await })
        })
        .collect();
    for answer in asking {
        assert!(matches!(answer.await.unwrap(), Verified::Caller(_)));
    }
    assert_eq!(issuer.asked(), 1);
    issuer.keys.lock().push(second.jwk("2"));
    for number in 0..20 {
        let token = second.token(&format!("made up {number}"), &claims);
        assert_eq!(oidc.verify(&token).await, Verified::Unknown);
    }
    assert_eq!(issuer.asked(), 1, "within a minute of the last look-up");
    // A minute later, the new key is found.
    oidc.forget_look_up();
    assert!(matches!(oidc.verify(&second.token("2", &claims)).await, Verified::Caller(_)));
    assert_eq!(issuer.asked(), 2);

    // While the issuer is gone, what was read holds.
    issuer.serving.abort();
    oidc.forget_look_up();
    assert_eq!(oidc.verify(&second.token("3", &claims)).await, Verified::Unknown);
    assert!(matches!(oidc.verify(&first.token("1", &claims)).await, Verified::Caller(_)));
}

#[tokio::test]
async fn an_issuer_that_was_never_reached_is_told_apart_from_a_wrong_token() {
    let key = Key::ec();
    let issuer = Issuer::start(vec![key.jwk("k")]).await;
    let claims = issuer.claims();
    issuer.serving.abort();
    let _ = issuer.serving.await;
    let config =
        OidcConfig { issuer: issuer.url, audience: "reasonedit".to_owned(), ..OidcConfig::default() };
    let oidc = Oidc::new(config).unwrap();
    assert_eq!(oidc.verify(&key.token("k", &claims)).await, Verified::Unavailable);
    assert_eq!(oidc.verify("no token").await, Verified::Unknown);
}

#[test]
fn settings_that_can_not_be_used_are_named() {
    let good = OidcConfig {
        issuer: "https://login.example/realms/main".to_owned(),
        audience: "reasonedit".to_owned(),
        ..OidcConfig::default()
    };
    assert_eq!(good.validate(), Ok(()));
    assert_eq!(OidcConfig::default().validate(), Ok(()), "none");
    for (bad, field) in [
        (OidcConfig { issuer: "login.example".to_owned(), ..good.clone() }, "oidc.issuer"),
        (OidcConfig { issuer: "http://login.example".to_owned(), ..good.clone() }, "oidc.issuer"),
        (OidcConfig { audience: String::new(), ..good.clone() }, "oidc.audience"),
        (OidcConfig { role_claim: String::new(), ..good.clone() }, "oidc.role_claim"),
        (OidcConfig { name_claim: String::new(), ..good.clone() }, "oidc.name_claim"),
    ] {
        assert_eq!(bad.validate().unwrap_err().0, field);
    }
    for loopback in ["http://localhost:8081", "http://127.0.0.1/x", "http://[::1]:1/x"] {
        assert_eq!(
            OidcConfig { issuer: loopback.to_owned(), ..good.clone() }.validate(),
            Ok(()),
            "{loopback}"
        );
    }
    let ca = OidcConfig { ca: "/not/there.pem".into(), ..good };
    assert!(Oidc::new(ca).unwrap_err().to_string().contains("/not/there.pem"));
}
