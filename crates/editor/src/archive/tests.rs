use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use reasonedit_archive::{EDITS, MANIFEST, append};
use reasonedit_inference::EngineHandle;
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

use super::*;
use crate::testing::{self, edit, engine, open};
use crate::{EditorConfig, OnMismatch};

const LIMIT: u64 = 64 << 20;
const EDITS_MADE: u64 = 3;

/// An editor to import into, and an archive with what is in it.
struct Scene {
    folder: TempDir,
    engine: EngineHandle,
    editor: Editor,
    tar: Vec<u8>,
    entries: Vec<(String, Vec<u8>)>,
    /// What the archive's codebook is.
    canonical: Vec<u8>,
}

impl Scene {
    async fn new() -> Self {
        let (source, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let engine = engine("mpnet-1");
        let editor = open(source.path(), &engine, testing::config()).await.unwrap();
        for seed in 0..EDITS_MADE {
            edit(&editor, seed).await;
        }
        let tar = exported(&editor, &CodebookName::default()).await;
        let (entries, canonical) = (entries(&tar), testing::book(&editor).snapshot().canonical());
        assert_eq!(entries.len(), 2 + EDITS_MADE as usize);
        let editor = open(folder.path(), &engine, testing::config()).await.unwrap();
        Self { folder, engine, editor, tar, entries, canonical }
    }

    async fn import(&self, codebook: &str, bytes: Vec<u8>) -> Result<ImportSummary, EditorError> {
        let (name, input) = (codebook.parse().unwrap(), Cursor::new(bytes));
        self.editor.import(&name, input, ImportOptions::new(LIMIT), CallContext::default()).await
    }

    /// The archive with one of its entries changed.
    fn changed(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut entries = self.entries.clone();
        change(&mut entries.iter_mut().find(|(own, _)| own == name).unwrap().1);
        packed(&entries)
    }

    /// The archive with the lines of its edits changed.
    fn with_lines(&self, change: impl FnOnce(&mut Vec<serde_json::Value>)) -> Vec<u8> {
        self.changed(EDITS, |bytes| {
            let lines = String::from_utf8(bytes.clone()).unwrap();
            let mut lines = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            change(&mut lines);
            *bytes = lines.iter().flat_map(|line| (line.to_string() + "\n").into_bytes()).collect();
        })
    }

    fn images(&self) -> Vec<String> {
        files(&self.folder.path().join("images"))
    }
}

fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_dir() {
            found.extend(files(&entry.path()));
            // Folders of the store stay; what is staged does not.
            if entry.file_name().len() == 2 {
                continue;
            }
        }
        found.push(entry.file_name().to_string_lossy().into_owned());
    }
    found.sort();
    found
}

async fn exported(editor: &Editor, name: &CodebookName) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().unwrap();
    editor.export(name, file.reopen().unwrap()).await.unwrap();
    std::fs::read(file.path()).unwrap()
}

fn entries(tar: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(tar);
    let read = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (entry.path().unwrap().to_string_lossy().into_owned(), bytes)
    };
    archive.entries().unwrap().map(read).collect()
}

/// One entry, under a name that no tool would write perhaps.
fn raw(tar: &mut Builder<Vec<u8>>, name: &str, kind: EntryType, size: u64, bytes: &[u8]) {
    let mut header = Header::new_gnu();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    tar.append(&header, bytes).unwrap();
}

fn packed_with(build: impl FnOnce(&mut Builder<Vec<u8>>)) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    build(&mut tar);
    tar.into_inner().unwrap()
}

fn packed(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    packed_with(|tar| append_all(tar, entries))
}

fn append_all(tar: &mut Builder<Vec<u8>>, entries: &[(String, Vec<u8>)]) {
    for (name, bytes) in entries {
        append(tar, name, bytes).unwrap();
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

/// As `zstd --long=LOG` compresses what comes from a pipe.
fn zstd_long(bytes: &[u8], log: u32) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.window_log(log).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn archives_packed_again_by_other_tools_are_read() {
    let scene = Scene::new().await;
    let entries = &scene.entries;
    let mut sorted = entries.clone();
    sorted.sort();
    let below = |folder: &str| -> Vec<(String, Vec<u8>)> {
        entries.iter().map(|(name, bytes)| (format!("{folder}{name}"), bytes.clone())).collect()
    };
    let middle = scene.tar.len() / 2;
    let variants: Vec<(&str, Vec<u8>)> = vec![
        ("as-exported", scene.tar.clone()),
        ("by-name", packed(&sorted)),
        ("backwards", packed(&sorted.iter().rev().cloned().collect::<Vec<_>>())),
        (
            "dots-and-folders",
            packed_with(|tar| {
                for folder in ["./", "./images/"] {
                    raw(tar, folder, EntryType::Directory, 0, &[]);
                }
                append_all(tar, &below("./"));
            }),
        ),
        ("below-a-folder", packed(&below("backup/2026-11-29/"))),
        ("below-a-long-folder", packed(&below(&format!("{}/", "long".repeat(60))))),
        (
            "packed-by-macos",
            packed_with(|tar| {
                raw(tar, "book/.DS_Store", EntryType::Regular, 3, b"ds\0");
                raw(tar, "__MACOSX/book/._manifest.json", EntryType::Regular, 2, b"\0\x05");
                for (name, bytes) in below("book/") {
                    let (folder, file) = name.rsplit_once('/').unwrap();
                    append(tar, &format!("{folder}/._{file}"), b"\0\x05\x16\x07").unwrap();
                    append(tar, &name, &bytes).unwrap();
                }
            }),
        ),
        (
            "posix",
            packed_with(|tar| {
                raw(tar, "pax_global_header", EntryType::XGlobalHeader, 13, b"13 comment=x\n");
                for (name, bytes) in entries {
                    let attributes = [("mtime", b"1.5".as_slice()), ("path", name.as_bytes())];
                    tar.append_pax_extensions(attributes).unwrap();
                    raw(tar, "shortened", EntryType::Regular, bytes.len() as u64, bytes);
                }
            }),
        ),
        (
            "with-a-picture-twice",
            packed_with(|tar| {
                append_all(tar, entries);
                append(tar, &entries[1].0, &entries[1].1).unwrap();
            }),
        ),
        ("byte-order-mark", scene.changed(MANIFEST, |bytes| drop(bytes.splice(0..0, *b"\xef\xbb\xbf")))),
        ("line-ends", scene.changed(EDITS, |bytes| *bytes = bytes.join_lines(b"\r\n\r\n"))),
        ("gzip", gzip(&scene.tar)),
        ("gzip-in-parts", [gzip(&scene.tar[..middle]), gzip(&scene.tar[middle..])].concat()),
        ("zstd", zstd(&scene.tar)),
        ("zstd-19", zstd::encode_all(&*scene.tar, 19).unwrap()),
        ("zstd-with-the-largest-window", zstd_long(&scene.tar, 23)),
        ("zstd-in-parts", [zstd(&scene.tar[..middle]), zstd(&scene.tar[middle..])].concat()),
    ];
    for (name, bytes) in variants {
        let summary = scene.import(name, bytes).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((summary.edits, summary.images), (EDITS_MADE as usize, EDITS_MADE as usize), "{name}");
        let book = scene.editor.library().get(&name.parse().unwrap()).unwrap();
        assert_eq!(book.snapshot().canonical(), scene.canonical, "{name}");
    }
    assert_eq!(scene.images().len(), EDITS_MADE as usize, "nothing else is kept");
}

trait JoinLines {
    fn join_lines(&self, end: &[u8]) -> Vec<u8>;
}

impl JoinLines for Vec<u8> {
    fn join_lines(&self, end: &[u8]) -> Vec<u8> {
        self.split(|b| *b == b'\n').collect::<Vec<_>>().join(end)
    }
}

#[tokio::test]
async fn what_is_no_archive_of_ours_is_named_and_leaves_nothing() {
    let scene = Scene::new().await;
    let entries = &scene.entries;
    let image = entries[1].0.as_str();
    let and = |build: &dyn Fn(&mut Builder<Vec<u8>>)| {
        packed_with(|tar| {
            append_all(tar, entries);
            build(tar);
        })
    };
    let file = |name: &str| and(&|tar| raw(tar, name, EntryType::Regular, 1, b"x"));
    let special = |kind: EntryType| and(&|tar| raw(tar, "images/thing", kind, 0, &[]));
    let without = |name: &str| -> Vec<u8> {
        packed(&entries.iter().filter(|(own, _)| own != name).cloned().collect::<Vec<_>>())
    };
    let key =
        |key: &str| scene.with_lines(|lines| lines[1]["members"][0]["key_f32"] = serde_json::json!(key));
    let short_key = STANDARD.encode([0u8; 8]);
    let cut_at = |text: &[u8]| {
        let at = scene.tar.windows(text.len()).position(|window| window == text).unwrap();
        scene.tar[..at].to_vec()
    };
    let zipped = gzip(&scene.tar);
    let mut damaged = zipped.clone();
    // The first block is of a type that there is not.
    damaged[10] = 0b111;
    let mut checksum = zipped.clone();
    let at = checksum.len() - 6;
    checksum[at] ^= 1;
    let bomb = {
        let mut header = Header::new_gnu();
        header.set_path(EDITS).unwrap();
        header.set_size(1 << 40);
        header.set_cksum();
        let zeros = std::io::repeat(0).take(LIMIT + 4096);
        let mut encoder = flate2::read::GzEncoder::new(
            Cursor::new(header.as_bytes().to_vec()).chain(zeros),
            flate2::Compression::fast(),
        );
        let mut bytes = Vec::new();
        encoder.read_to_end(&mut bytes).unwrap();
        assert!(bytes.len() < 1 << 20);
        bytes
    };
    let long =
        |kind: EntryType, size: usize| and(&|tar| raw(tar, "long", kind, size as u64, &vec![b'a'; size]));
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", Vec::new(), "empty"),
        ("text", b"this is not a tar".repeat(100), "not a tar"),
        ("short", b"no".to_vec(), "not a tar"),
        ("zip", b"PK\x03\x04 and more".to_vec(), "a zip file; send a tar"),
        ("xz", b"\xfd7zXZ\0 and more".to_vec(), "compressed with xz"),
        ("gzip of text", gzip(b"this is not a tar"), "not a tar"),
        ("damaged gzip", damaged, "damaged"),
        ("gzip with a wrong checksum", checksum, "compression is damaged"),
        ("gzip cut short", zipped[..zipped.len() - 3].to_vec(), "cut short"),
        ("gzip cut in half", zipped[..zipped.len() / 2].to_vec(), "cut short"),
        ("zstd cut short", zstd(&scene.tar)[..500].to_vec(), "cut short"),
        ("zstd with a long window", zstd_long(&scene.tar, 24), "a window of more than 8 MiB"),
        (
            "zstd with a long window later",
            [zstd(&scene.tar[..1024]), zstd_long(&scene.tar[1024..], 27)].concat(),
            "without `--long`",
        ),
        ("bomb", bomb, "more than"),
        ("cut in a picture", cut_at(b"IEND"), "cut short in `images/"),
        ("cut in the edits", cut_at(b"What is specimen 1?"), "cut short in `edits.jsonl`"),
        ("no manifest", without(MANIFEST), "no `manifest.json`"),
        ("no edits", without(EDITS), "no `edits.jsonl`"),
        ("no picture", without(image), "a picture that the archive does not hold"),
        (
            "manifest twice",
            and(&|tar| append(tar, MANIFEST, &entries[0].1).unwrap()),
            "`manifest.json` is there twice",
        ),
        ("edits twice", and(&|tar| append(tar, EDITS, b"").unwrap()), "`edits.jsonl` is there twice"),
        (
            "no json",
            scene.changed(MANIFEST, |bytes| bytes.truncate(20)),
            "`manifest.json` is not the manifest",
        ),
        ("other format", scene.changed(MANIFEST, |b| b[10] = b'7'), "its format is 7"),
        (
            "long manifest",
            scene.changed(MANIFEST, |b| b.resize(2 << 20, b' ')),
            "`manifest.json` is larger than",
        ),
        ("other bytes", scene.changed(image, |bytes| bytes[40] ^= 1), "does not have the bytes of its name"),
        (
            "no picture in it",
            {
                let text = b"no picture".to_vec();
                and(&|tar| append(tar, &format!("images/{}", ImageId::of(&text)), &text).unwrap())
            },
            "not a picture",
        ),
        ("other file", file("notes.txt"), "`notes.txt` does not belong there"),
        ("other name", file("images/cat.png"), "`images/cat.png` has a name that is not that of a picture"),
        ("other folder", file("elsewhere/edits.jsonl"), "`elsewhere/edits.jsonl` lies in another folder"),
        ("out", file("images/../../../etc/passwd"), "leads out"),
        ("root", file("/etc/passwd"), "not relative"),
        ("backslash", file("images\\x"), "not relative"),
        ("terminal", file("a\x1b[31m`b"), "`a?[31m?b`"),
        ("symbolic link", special(EntryType::Symlink), "`images/thing`"),
        ("link to it", and(&|tar| raw(tar, image, EntryType::Link, 0, &[])), "a hard link, not a plain file"),
        ("sparse", and(&|tar| raw(tar, image, EntryType::GNUSparse, 0, &[])), "a sparse file"),
        ("device", and(&|tar| raw(tar, image, EntryType::Char, 0, &[])), "a device"),
        ("unknown kind", and(&|tar| raw(tar, image, EntryType::new(b'Z'), 0, &[])), "something else"),
        ("long name", long(EntryType::GNULongName, 100_000), "a name that is too long"),
        ("long attributes", long(EntryType::XHeader, 2 << 20), "attributes that are too long"),
        ("attributes of nothing", long(EntryType::XHeader, 100), "damaged"),
        (
            "sparse by attributes",
            and(&|tar| {
                tar.append_pax_extensions([("GNU.sparse.major", b"1".as_slice())]).unwrap();
            }),
            "a sparse file",
        ),
        (
            "two sizes",
            and(&|tar| {
                tar.append_pax_extensions([("size", b"1".as_slice())]).unwrap();
            }),
            "larger than any",
        ),
        (
            "endless",
            packed_with(|tar| raw(tar, EDITS, EntryType::Regular, u64::MAX >> 1, b"{}")),
            "cut short",
        ),
        (
            "line of nonsense",
            scene.with_lines(|lines| lines[1] = serde_json::json!(["no edit"])),
            "line 2 of `edits.jsonl` is not an edit",
        ),
        (
            "line of brackets",
            scene.with_lines(|lines| {
                lines[1]["edit"]["metadata"] = serde_json::json!({"a": vec![serde_json::json!({}); 80_000]});
            }),
            "line 2 of `edits.jsonl` is too long",
        ),
        (
            "line twice",
            scene.with_lines(|lines| lines[2] = lines[0].clone()),
            "line 3 of `edits.jsonl` is an edit that came before",
        ),
        ("one line fewer", scene.with_lines(|lines| drop(lines.pop())), "promises 3 edits and it holds 2"),
        ("no key", key("?"), "line 2 of `edits.jsonl` has a key that is not base64"),
        ("part of a number", key("AAAA"), "cut short"),
        ("no number", key(&STANDARD.encode(f32::NAN.to_le_bytes())), "not a number"),
        ("short key", key(&short_key), "line 2 of `edits.jsonl` can't be stored"),
        (
            "members of another",
            scene.with_lines(|lines| lines[1]["members"] = lines[0]["members"].clone()),
            "line 2 of `edits.jsonl` has entries of another edit",
        ),
        (
            "other size",
            scene.with_lines(|lines| lines[1]["edit"]["image"]["width"] = serde_json::json!(49)),
            "a picture of another size",
        ),
        (
            "outside",
            scene.with_lines(|lines| {
                lines[1]["edit"]["reasoning"][0]["evidence"][0]["width"] = serde_json::json!(400);
            }),
            "evidence outside",
        ),
    ];
    for (name, bytes, reason) in cases {
        let error = match scene.import("target", bytes).await {
            Err(error) => error.to_string(),
            Ok(summary) => panic!("{name}: {summary:?}"),
        };
        assert!(error.contains(reason), "{name}: {error}");
        assert!(error.starts_with("the archive can't be imported: "), "{name}: {error}");
        assert_eq!(scene.images(), Vec::<String>::new(), "{name}: nothing is kept");
        assert_eq!(scene.editor.codebook(&"target".parse().unwrap()).await.unwrap().edits, 0, "{name}");
    }
    scene.import("target", scene.tar.clone()).await.unwrap();
}

#[tokio::test]
async fn what_was_reverted_does_not_come_back_and_holds_the_others_back() {
    let scene = Scene::new().await;
    scene.import("target", scene.tar.clone()).await.unwrap();
    let name: CodebookName = "target".parse().unwrap();
    let book = scene.editor.library().get(&name).unwrap();
    let ids: Vec<_> = book.snapshot().edits().map(|edit| edit.id).collect();
    scene.editor.revert(&name, ids[1]).await.unwrap();
    let error = scene.import("target", scene.tar.clone()).await.unwrap_err();
    assert!(matches!(error, EditorError::Codebook(CodebookError::Conflict(_))), "{error}");
    assert!(error.to_string().contains(&ids[1].to_string()), "{error}");
    assert_eq!(book.stats().edits, 2);
}

/// Keeps what an import comes to, as rows; the process dies before the keys of so many edits are kept.
#[derive(Default)]
struct Keeping {
    rows: Mutex<BTreeMap<EditId, Vec<Vec<u8>>>>,
    lives: AtomicUsize,
    pictures: AtomicUsize,
    dead: tokio::sync::Notify,
    /// How far it is, and of how many.
    told: Mutex<Option<(usize, usize)>>,
    commits: Mutex<Vec<(Vec<EditId>, ImportSummary)>>,
}

impl ImportWatch for Keeping {
    fn picture(&self) {
        self.pictures.fetch_add(1, Ordering::SeqCst);
    }

    fn progress(&self, done: usize, total: usize) {
        *self.told.lock() = Some((done, total));
    }

    fn kept(&self, edit: EditId) -> BoxFuture<'_, Vec<KeptMembers>> {
        let rows = self.rows.lock().get(&edit).cloned().unwrap_or_default();
        Box::pin(async move { rows.iter().map(|row| serde_json::from_slice(row).unwrap()).collect() })
    }

    fn keep(&self, edit: EditId, keys: Vec<KeptMembers>) -> BoxFuture<'_, Result<(), EditorError>> {
        let lives = self.lives.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if lives.is_err() {
            self.dead.notify_one();
            return Box::pin(std::future::pending());
        }
        let rows = keys.iter().map(|keys| serde_json::to_vec(keys).unwrap()).collect();
        self.rows.lock().insert(edit, rows);
        Box::pin(async { Ok(()) })
    }

    fn commits(&self, edits: Vec<EditId>, summary: ImportSummary) -> BoxFuture<'_, Result<(), EditorError>> {
        self.commits.lock().push((edits, summary));
        Box::pin(async { Ok(()) })
    }
}

/// An import that makes keys anew and dies again and again makes each edit's once, and comes to what it would
/// have come to at once; what was made otherwise is made again.
#[tokio::test]
async fn keys_that_were_kept_are_not_made_again() {
    let scene = Scene::new().await;
    let (watch, work) = (Arc::new(Keeping::default()), Ulid::new());
    let with = |lambda: f64| {
        let mut config: EditorConfig = testing::config();
        config.embedding.lambda = lambda;
        config.embedding.on_mismatch = OnMismatch::Reembed;
        config
    };
    let import = async |editor: &Editor| {
        let options = ImportOptions { watch: watch.clone(), work: Some(work), ..ImportOptions::new(LIMIT) };
        let input = Cursor::new(scene.tar.clone());
        let name = CodebookName::default();
        let import = editor.import(&name, input, options, CallContext::default());
        tokio::select! {
            summary = import => Some(summary.unwrap()),
            () = watch.dead.notified() => None,
        }
    };
    let folder = tempfile::tempdir().unwrap();
    for kept in 1..=2 {
        let editor = open(folder.path(), &scene.engine, with(2.0)).await.unwrap();
        watch.lives.store(1, Ordering::SeqCst);
        assert_eq!(import(&editor).await, None);
        assert_eq!((watch.rows.lock().len(), watch.commits.lock().len()), (kept, 0));
        assert_eq!(watch.pictures.load(Ordering::SeqCst), EDITS_MADE as usize, "each is checked once");
        assert_eq!(editor.codebook(&CodebookName::default()).await.unwrap().edits, 0);
    }
    // Kept for another weight they are of no use here.
    let other = tempfile::tempdir().unwrap();
    let editor = open(other.path(), &scene.engine, with(3.0)).await.unwrap();
    let rows = watch.rows.lock().clone();
    watch.lives.store(EDITS_MADE as usize, Ordering::SeqCst);
    assert_eq!(import(&editor).await.unwrap().reembedded, EDITS_MADE as usize);
    assert_eq!(watch.lives.load(Ordering::SeqCst), 0);
    testing::assert_made_anew(&editor).await;
    *watch.rows.lock() = rows;
    watch.commits.lock().clear();

    let editor = open(folder.path(), &scene.engine, with(2.0)).await.unwrap();
    watch.lives.store(EDITS_MADE as usize, Ordering::SeqCst);
    let summary = import(&editor).await.unwrap();
    assert_eq!(watch.lives.load(Ordering::SeqCst), 2, "the keys of one edit alone were left to be made");
    let made = EDITS_MADE as usize;
    assert_eq!(summary, ImportSummary { edits: made, images: made, skipped: 0, reembedded: made });
    testing::assert_made_anew(&editor).await;
    assert_eq!(watch.pictures.load(Ordering::SeqCst), 2 * made, "once in each folder");
    assert!(files(&folder.path().join("images")).len() > made);
    editor.end_import(work).await.unwrap();
    assert_eq!(files(&folder.path().join("images")).len(), made, "nothing lies beside them");
    let (ids, told) = watch.commits.lock().pop().unwrap();
    assert_eq!((ids.len(), told), (made, summary));
}

/// Keys are made anew here, which takes its time: whoever gives up meanwhile leaves nothing.
#[tokio::test]
async fn an_import_that_is_given_up_leaves_nothing() {
    let scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    let mut config: EditorConfig = testing::config();
    config.embedding.lambda = 2.0;
    config.embedding.on_mismatch = OnMismatch::Reembed;
    let editor = open(folder.path(), &scene.engine, config).await.unwrap();
    let name = CodebookName::default();
    let watch = Arc::new(Keeping { lives: AtomicUsize::new(usize::MAX), ..Keeping::default() });
    let options = ImportOptions { watch: watch.clone(), ..ImportOptions::new(LIMIT) };
    let import = editor.import(&name, Cursor::new(scene.tar.clone()), options, CallContext::default());
    let told = || *watch.told.lock();
    {
        let mut import = std::pin::pin!(import);
        let mut beside = tokio::time::interval(std::time::Duration::from_micros(200));
        while told().is_none_or(|(done, _)| done == 0) {
            tokio::select! {
                _ = &mut import => panic!("it was to be given up"),
                _ = beside.tick() => {}
            }
        }
        assert_eq!(told().unwrap().1, EDITS_MADE as usize);
    }
    // What runs on the blocking pool holds the staged pictures a moment longer.
    let images = folder.path().join("images");
    for _ in 0..500 {
        if files(&images).is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(files(&images), Vec::<String>::new());
    assert_eq!(editor.codebook(&name).await.unwrap().edits, 0);
    let whole = editor.import(
        &name,
        Cursor::new(scene.tar.clone()),
        ImportOptions::new(LIMIT),
        CallContext::default(),
    );
    let whole = whole.await.unwrap();
    assert_eq!((whole.edits, whole.reembedded), (EDITS_MADE as usize, EDITS_MADE as usize));
    testing::assert_made_anew(&editor).await;
}

#[tokio::test]
async fn pictures_of_an_import_that_was_killed_are_gone_when_the_folder_is_opened() {
    let scene = Scene::new().await;
    let made = edit(&scene.editor, 0).await.record.image.id;
    let mut staged = scene.editor.core.pictures().store().stage().unwrap();
    let orphan = staged.put(b"of an import").unwrap();
    staged.install().unwrap();
    std::mem::forget(staged);
    let Scene { folder, engine, editor, .. } = scene;
    drop(editor);
    // Under the name that another process would have given it.
    let images = folder.path().join("images");
    let entries = std::fs::read_dir(&images).unwrap().flatten().map(|entry| entry.path());
    let left = entries.filter(|path| path.to_string_lossy().contains("/.staged-"));
    left.for_each(|path| std::fs::rename(path, images.join(".staged-of-another")).unwrap());
    let again = open(folder.path(), &engine, testing::config()).await.unwrap();
    let store = again.core.pictures().store();
    assert!(store.contains(made) && !store.contains(orphan));
    assert_eq!(files(&images), [made.to_string()]);
}
