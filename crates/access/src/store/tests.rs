use std::collections::BTreeSet;

use time::Duration as Span;
use time::macros::datetime;

use super::*;
use crate::{AccessRole, CodebookScope};

const NOW: OffsetDateTime = datetime!(2026-11-30 12:00 UTC);

fn new(name: &str, role: AccessRole) -> NewToken {
    NewToken { name: name.to_owned(), role, codebooks: CodebookScope::All, expires_at: None }
}

fn find(store: &TokenStore, secret: &str, now: OffsetDateTime) -> Option<Caller> {
    store.find(&blake3::hash(secret.as_bytes()), now)
}

/// As if the time between two looks at the file had passed.
fn later(store: &TokenStore) {
    *store.looked.lock() -= LOOK_EVERY;
}

#[test]
fn a_token_is_told_once_and_taken_until_it_expires() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.json");
    let store = TokenStore::open(&path).unwrap();
    assert!(store.is_empty() && !path.exists());
    let end = NOW + Span::days(90);
    let scope = CodebookScope::Only(BTreeSet::from(["ward-3".to_owned()]));
    let asked =
        NewToken { codebooks: scope.clone(), expires_at: Some(end), ..new("Dr. Ada", AccessRole::Editor) };
    let issued = store.issue(asked, NOW).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert!(!text.contains(&issued.secret), "only its digest is kept");
    assert!(issued.secret.starts_with("reasonedit_") && issued.secret.len() == 54, "{}", issued.secret);

    // Another process, too.
    for store in [&store, &TokenStore::open(&path).unwrap()] {
        let caller = find(store, &issued.secret, NOW).unwrap();
        assert_eq!(
            (caller.name(), caller.role(), caller.scope()),
            (Some("Dr. Ada"), AccessRole::Editor, &scope)
        );
        assert_eq!((caller.token(), caller.expires_at()), (Some(issued.record.id), Some(end)));
        assert_eq!(find(store, &issued.secret, end), None);
        for wrong in ["", "reasonedit_", &issued.secret[..53], &issued.record.digest] {
            assert_eq!(find(store, wrong, NOW), None, "{wrong}");
        }
    }
    #[cfg(unix)]
    for file in fs::read_dir(folder.path()).unwrap() {
        use std::os::unix::fs::PermissionsExt as _;
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.path());
    }
}

#[test]
fn what_another_process_changes_is_seen_a_second_later() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.json");
    let (service, command) = (TokenStore::open(&path).unwrap(), TokenStore::open(&path).unwrap());
    let first = command.issue(new("first", AccessRole::Reader), NOW).unwrap();
    later(&service);
    assert!(find(&service, &first.secret, NOW).is_some());
    let second = service.issue(new("second", AccessRole::Reader), NOW).unwrap();
    assert_eq!(service.list().len(), 2, "a change begins with what the file holds");
    command.revoke("first", NOW).unwrap();
    later(&service);
    assert_eq!(find(&service, &first.secret, NOW), None);
    assert!(find(&service, &second.secret, NOW).is_some());

    // A damaged file, and one that is gone: what was read last holds.
    for mishap in [|path: &Path| fs::write(path, "{").unwrap(), |path: &Path| fs::remove_file(path).unwrap()]
    {
        mishap(&path);
        later(&service);
        assert_eq!(find(&service, &first.secret, NOW), None);
        assert!(find(&service, &second.secret, NOW).is_some());
        assert!(!service.is_empty());
    }
}

#[test]
fn what_a_killed_process_was_writing_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let store = TokenStore::open(&folder.path().join("tokens.json")).unwrap();
    fs::write(folder.path().join(".tokens-half"), "{").unwrap();
    store.issue(new("a", AccessRole::Reader), NOW).unwrap();
    let mut names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["tokens.json", "tokens.lock"]);
}

#[test]
fn all_of_a_name_or_one_of_an_id_is_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let store = TokenStore::open(&folder.path().join("tokens.json")).unwrap();
    let tokens =
        ["a", "a", "b", "b"].map(|name| store.issue(new(name, AccessRole::Contributor), NOW).unwrap());
    let taken = || tokens.iter().map(|token| find(&store, &token.secret, NOW).is_some()).collect::<Vec<_>>();
    assert_eq!(store.revoke("a", NOW).unwrap().len(), 2);
    assert_eq!(taken(), [false, false, true, true]);
    store.revoke(&tokens[3].record.id.to_string(), NOW).unwrap();
    assert_eq!(taken(), [false, false, true, false]);
    let again = store.revoke("a", NOW + Span::hours(1)).unwrap();
    assert!(again.iter().all(|token| token.revoked_at == Some(NOW)), "when it was first");
    assert!(matches!(store.revoke("c", NOW), Err(AccessError::Unknown(_))));
    assert_eq!(store.list().len(), 4, "they stay on record");
}

#[test]
fn uses_are_told_at_once_and_written_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.json");
    let store = TokenStore::open(&path).unwrap();
    let token = store.issue(new("a", AccessRole::Reader), NOW).unwrap();
    let last = |store: &TokenStore| store.list()[0].last_used_at;
    assert_eq!(last(&store), None);
    find(&store, &token.secret, NOW + Span::hours(1));
    find(&store, "another", NOW + Span::hours(2));
    assert_eq!(last(&store), Some(NOW + Span::hours(1)));
    assert_eq!(last(&TokenStore::open(&path).unwrap()), None);
    store.write_uses().unwrap();
    assert_eq!(last(&TokenStore::open(&path).unwrap()), Some(NOW + Span::hours(1)));
    assert!(store.uses.lock().is_empty());
}

#[test]
fn what_no_token_can_have_is_refused_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.json");
    let store = TokenStore::open(&path).unwrap();
    let only = |names: &[&str]| CodebookScope::Only(names.iter().map(|&name| name.to_owned()).collect());
    let good = || new("a", AccessRole::Reader);
    for (bad, at) in [
        (NewToken { name: String::new(), ..good() }, "name"),
        (NewToken { name: " a".to_owned(), ..good() }, "name"),
        (NewToken { name: "a\nb".to_owned(), ..good() }, "name"),
        (NewToken { name: "a\u{202e}b".to_owned(), ..good() }, "name"),
        (NewToken { name: "label-studio:7".to_owned(), ..good() }, "name"),
        (NewToken { name: "a".repeat(101), ..good() }, "name"),
        (NewToken { role: AccessRole::Admin, codebooks: only(&["a"]), ..good() }, "codebooks"),
        (NewToken { codebooks: only(&[]), ..good() }, "codebooks"),
        (NewToken { expires_at: Some(NOW), ..good() }, "expires_at"),
    ] {
        let told = format!("{bad:?}");
        assert!(
            matches!(store.issue(bad, NOW), Err(AccessError::Invalid { field, .. }) if field == at),
            "{told}"
        );
    }
    assert!(!path.exists() && store.is_empty());
}

#[test]
fn a_file_that_is_none_of_tokens_lets_nobody_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.json");
    for text in ["", "[]", "{\"version\":2,\"tokens\":[]}", "{\"version\":1,\"tokens\":[{}]}"] {
        fs::write(&path, text).unwrap();
        assert!(matches!(TokenStore::open(&path), Err(AccessError::Malformed { .. })), "{text}");
    }
}

#[test]
fn what_says_that_tokens_were_given_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (path, lock) = (folder.path().join("tokens.json"), folder.path().join("tokens.lock"));
    drop(TokenStore::open(&path).unwrap());
    assert!(!lock.exists(), "none were given");
    let token = TokenStore::open(&path).unwrap().issue(new("a", AccessRole::Reader), NOW).unwrap();
    let mark = fs::read(&lock).unwrap();
    for harm in [|lock: &Path| fs::remove_file(lock).unwrap(), |lock: &Path| fs::write(lock, b"").unwrap()] {
        harm(&lock);
        let store = TokenStore::open(&path).unwrap();
        assert_eq!(fs::read(&lock).unwrap(), mark);
        assert!(find(&store, &token.secret, NOW).is_some());
    }
    // Where it can't be made the tokens hold all the same.
    fs::remove_file(&lock).unwrap();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(folder.path().join("away/lock"), &lock).unwrap();
        assert!(find(&TokenStore::open(&path).unwrap(), &token.secret, NOW).is_some());
        assert!(!lock.exists());
        fs::remove_file(&lock).unwrap();
    }
    drop(TokenStore::open(&path).unwrap());
    fs::remove_file(&path).unwrap();
    assert!(matches!(TokenStore::open(&path), Err(AccessError::Gone { .. })), "it is missed");
}
