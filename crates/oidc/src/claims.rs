//! What claims mean.

use std::collections::BTreeSet;

use reasonedit_access::{AccessRole, Caller, CodebookScope, Credential};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::OidcConfig;

/// Longest name that is taken, in characters.
const NAME_CHARS: usize = 100;

/// The claims of a token that was checked.
pub(crate) type Claims = Map<String, Value>;

/// Who shows a token with these claims; `None` where they give no role, or no name that an author can have.
pub(crate) fn caller(claims: &Claims, config: &OidcConfig) -> Option<Caller> {
    let role = texts(claims, &config.role_claim)
        .into_iter()
        .filter_map(|value| config.roles.get(value).copied().or_else(|| value.parse().ok()))
        .max()?;
    let scope = match config.codebooks_claim.as_str() {
        "" => CodebookScope::All,
        // Who looks after the service looks after all codebooks.
        _ if role == AccessRole::Admin => CodebookScope::All,
        claim => {
            CodebookScope::Only(texts(claims, claim).into_iter().map(str::to_owned).collect::<BTreeSet<_>>())
        }
    };
    let named = |claim: &str| find(claims, claim).and_then(Value::as_str).map(str::trim);
    let name = named(&config.name_claim).filter(|name| !name.is_empty()).or_else(|| named("sub"))?;
    if name.is_empty() || name.chars().count() > NAME_CHARS || name.chars().any(char::is_control) {
        return None;
    }
    let end = claims.get("exp").and_then(Value::as_f64)?;
    let end = OffsetDateTime::from_unix_timestamp(end as i64).ok()?;
    let issued = Credential::Issued(config.issuer.as_str().into());
    Some(Caller::named(name.to_owned(), role, scope).until(end).showing(issued))
}

/// A claim by its name, or by names with dots between that lead into objects. The whole name goes first:
/// names may be URLs.
fn find<'a>(claims: &'a Claims, path: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(path) {
        return Some(value);
    }
    let (head, rest) = path.split_once('.')?;
    find(claims.get(head)?.as_object()?, rest)
}

/// The texts of a claim: one, some with spaces between (as OAuth's `scope`), or a list.
fn texts<'a>(claims: &'a Claims, path: &str) -> Vec<&'a str> {
    match find(claims, path) {
        Some(Value::String(text)) => text.split_ascii_whitespace().collect(),
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(claims: Value, change: impl FnOnce(&mut OidcConfig)) -> Option<Caller> {
        let mut config = OidcConfig::default();
        change(&mut config);
        let Value::Object(mut claims) = claims else { panic!("no object") };
        claims.insert("exp".to_owned(), json!(4_000_000_000_u64));
        caller(&claims, &config)
    }

    #[test]
    fn the_greatest_role_counts_by_itself_or_by_the_table() {
        let role = |claims, config: fn(&mut OidcConfig)| of(claims, config).map(|caller| caller.role());
        assert_eq!(
            role(json!({"sub": "1", "roles": ["reader", "editor", "x"]}), |_| {}),
            Some(AccessRole::Editor)
        );
        assert_eq!(
            role(json!({"sub": "1", "roles": "contributor openid"}), |_| {}),
            Some(AccessRole::Contributor)
        );
        for none in [json!({"sub": "1"}), json!({"sub": "1", "roles": []}), json!({"sub": "1", "roles": 7})] {
            assert_eq!(role(none, |_| {}), None);
        }
        let keycloak = json!({"sub": "1", "realm_access": {"roles": ["radiologist", "offline_access"]}});
        let table = |config: &mut OidcConfig| {
            config.role_claim = "realm_access.roles".to_owned();
            config.roles = [("radiologist".to_owned(), AccessRole::Contributor)].into();
        };
        assert_eq!(role(keycloak, table), Some(AccessRole::Contributor));
        let url = json!({"sub": "1", "https://example.org/roles": ["admin"]});
        let named = |config: &mut OidcConfig| config.role_claim = "https://example.org/roles".to_owned();
        assert_eq!(role(url, named), Some(AccessRole::Admin));
        // A table may give the name of a role another meaning.
        let less = |config: &mut OidcConfig| config.roles = [("admin".to_owned(), AccessRole::Reader)].into();
        assert_eq!(role(json!({"sub": "1", "roles": ["admin"]}), less), Some(AccessRole::Reader));
    }

    #[test]
    fn names_and_codebooks_are_those_of_the_claims() {
        let name = |claims| of(claims, |_| {}).and_then(|caller| caller.name().map(str::to_owned));
        let with = |value: Value| json!({"sub": "s-1", "roles": "reader", "preferred_username": value});
        assert_eq!(name(with(json!("ada"))), Some("ada".to_owned()));
        assert_eq!(name(with(json!(" "))), Some("s-1".to_owned()));
        assert_eq!(name(json!({"sub": "s-1", "roles": "reader"})), Some("s-1".to_owned()));
        assert_eq!(name(json!({"roles": "reader"})), None);
        assert_eq!(name(with(json!("a\nb"))), None);
        assert_eq!(name(with(json!("a".repeat(101)))), None);

        let wards = |config: &mut OidcConfig| config.codebooks_claim = "wards".to_owned();
        let scope = |claims| of(claims, wards).map(|caller| caller.scope().clone());
        let only =
            |names: &[&str]| Some(CodebookScope::Only(names.iter().map(|&name| name.to_owned()).collect()));
        assert_eq!(scope(json!({"sub": "1", "roles": "editor", "wards": ["a", "b"]})), only(&["a", "b"]));
        assert_eq!(scope(json!({"sub": "1", "roles": "editor"})), only(&[]), "none, not all");
        assert_eq!(scope(json!({"sub": "1", "roles": "admin"})), Some(CodebookScope::All));
    }
}
