//! The feedback page as a browser gets it; what it does is walked through by a real one (`tools/page`).

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::{Request, header};

use crate::common::{bare, get, send};

/// Names of the page's files that a text refers to: `assets/x.js`, `"./x.js"`.
fn named(text: &str) -> impl Iterator<Item = &str> {
    text.split('"').filter_map(|piece| piece.strip_prefix("assets/").or_else(|| piece.strip_prefix("./")))
}

#[tokio::test]
async fn the_page_and_all_that_it_names_is_served_within_150_kilobytes() {
    let (router, _) = bare(|config| config.auth_tokens = vec!["secret".to_owned()]);
    let mut left = vec!["/".to_owned()];
    let mut seen = BTreeSet::new();
    let mut bytes = 0;
    while let Some(path) = left.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let plain = get(&router, &path).await;
        assert_eq!(plain.code(), 200, "{path}");
        let policy = plain.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(plain.header("x-content-type-options"), "nosniff");
        left.extend(named(&plain.text()).map(|name| format!("/assets/{name}")));

        let compressed = Request::get(&path).header(header::ACCEPT_ENCODING, "gzip").body(Body::empty());
        bytes += send(&router, compressed.unwrap()).await.body.len();
    }
    assert!(seen.len() > 15, "{seen:?}");
    assert!(bytes < 150_000, "{bytes} bytes");
    let scripts = seen.iter().filter(|path| path.rsplit('.').next() == Some("js")).count();
    let listed = get(&router, "/").await.text().matches("modulepreload").count();
    assert_eq!(listed + 1, scripts, "what is loaded later is named early");
}

#[tokio::test]
async fn its_files_are_fetched_again_only_when_they_changed() {
    let (router, _) = bare(|_| {});
    for path in ["/", "/assets/main.js"] {
        let first = get(&router, path).await;
        assert_eq!(first.header("cache-control"), "no-cache");
        let tag = first.header("etag");
        let again =
            |tag: &str| Request::get(path).header(header::IF_NONE_MATCH, tag).body(Body::empty()).unwrap();
        let unchanged = send(&router, again(&format!("\"other\", W/{tag}"))).await;
        assert_eq!((unchanged.code(), unchanged.body.len(), unchanged.header("etag")), (304, 0, tag));
        assert_eq!(send(&router, again("\"other\"")).await.code(), 200);
    }
}

#[tokio::test]
async fn what_it_has_not_is_not_there() {
    let (router, _) = bare(|_| {});
    for path in
        ["/assets/index.html", "/assets/", "/assets/..%2F..%2FCargo.toml", "/assets/main.js/x", "/assets/%FF"]
    {
        get(&router, path).await.problem(404);
    }
}
