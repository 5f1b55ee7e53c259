use reasonedit_jobs::{Spool, SpooledUpload};
use reasonedit_keyring::Keyring;

use super::*;

const LIMITS: SourceLimits = SourceLimits { item_bytes: 200, lines: 3 };

/// An upload, and the folder that it lies in.
struct Kept {
    upload: SpooledUpload,
    _folder: tempfile::TempDir,
}

fn file(bytes: &[u8]) -> Kept {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path(), Keyring::ephemeral().unwrap()).unwrap();
    let received = async {
        let mut upload = spool.receive().await.unwrap();
        upload.write(bytes).await.unwrap();
        upload.finish().await.unwrap()
    };
    let upload = tokio::runtime::Runtime::new().unwrap().block_on(received);
    Kept { upload, _folder: folder }
}

fn check(bytes: &[u8], format: Format) -> Result<u64, u16> {
    Source::check(&file(bytes).upload.file(), format, LIMITS).map_err(|problem| problem.status().as_u16())
}

fn lines(bytes: &[u8]) -> Vec<(u64, String)> {
    let file = file(bytes);
    let mut source = Source::open(&file.upload.file(), Format::Lines, 200).unwrap();
    std::iter::from_fn(|| source.next_line().unwrap())
        .map(|line| (line.number, String::from_utf8_lossy(&line.bytes).into_owned()))
        .collect()
}

#[test]
fn lines_keep_their_numbers() {
    let wanted = |lines: &[(u64, &str)]| -> Vec<(u64, String)> {
        lines.iter().map(|(number, text)| (*number, (*text).to_owned())).collect()
    };
    assert_eq!(lines(b"{}\n[]\n"), wanted(&[(1, "{}"), (2, "[]")]));
    assert_eq!(lines(b"\n  \r\n{}\r\n\n[]"), wanted(&[(3, "{}\r"), (5, "[]")]));
    assert_eq!(lines(b"\n\n"), []);
    assert_eq!(lines(b"\xef\xbb\xbf{}\n[]"), wanted(&[(1, "\u{feff}{}"), (2, "[]")]));
    assert_eq!(lines(b"\xef\xbb\xbf\r\n{}"), wanted(&[(2, "{}")]));
    assert_eq!(check(b"\xff\xfe{\0}\0\n\0", Format::Lines), Err(400));
    assert_eq!(check(b"{\0}\0\n\0", Format::Lines), Err(400));
    assert_eq!(check(b"\x1f\x8b\x08\0", Format::Lines), Err(400));
}

#[test]
fn uploads_are_bounded() {
    assert_eq!(check(b"1\n\n2\n3", Format::Lines), Ok(3));
    assert_eq!(check(b"1\n2\n3\n4", Format::Lines), Err(413));
    assert_eq!(check(b" \n\n", Format::Lines), Err(422));
    assert_eq!(check(b"", Format::Lines), Err(422));
    assert_eq!(check(&[b'x'; 200], Format::Lines), Ok(1));
    assert_eq!(check(&[b'x'; 201], Format::Lines), Err(413));
    let mut ended = vec![b'x'; 200];
    ended.extend(b"\ny\n");
    assert_eq!(check(&ended, Format::Lines), Ok(2));
}

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        tar.append_data(&mut header, path, *bytes).unwrap();
    }
    tar.into_inner().unwrap()
}

#[test]
fn records_find_their_pictures_wherever_they_lie() {
    let record =
        br#"{"uid": "r1", "image": "images/a.png", "question": "q", "answer": "a", "reasoning": ["s", "t"],
            "evidence": [[{"x": 1, "y": 2, "width": 3, "height": 4}], []], "contrast": []}"#
            .map(|byte| if byte == b'\n' { b' ' } else { byte });
    for folder in ["", "./", "world/"] {
        let (records, picture) = (format!("{folder}edits.jsonl"), format!("{folder}images/a.png"));
        for files in
            [[(&*records, &record[..]), (&*picture, b"png")], [(&*picture, b"png"), (&*records, &record[..])]]
        {
            let file = file(&tar(&files));
            let mut source = Source::open(&file.upload.file(), Format::Records, 1000).unwrap();
            let line = source.next_line().unwrap().unwrap();
            let Parsed::Request(request) = source.parse(&line.bytes).unwrap() else { panic!("a body") };
            assert!(
                matches!(&request.image, ImageSource::Bytes(bytes) if bytes.bytes() == "png"),
                "{folder}"
            );
            assert_eq!(request.reasoning[0].evidence.len(), 1);
            assert!(request.reasoning[1].evidence.is_empty());
            assert_eq!(request.metadata, json!({"uid": "r1"}));
            assert_eq!(source.next_line().unwrap(), None);
        }
    }
}

#[test]
fn archives_that_are_none_are_refused() {
    assert_eq!(check(b"not a tar, only text", Format::Records), Err(422));
    assert_eq!(check(&tar(&[("images/a.png", b"x")]), Format::Records), Err(422));
    assert_eq!(check(&tar(&[("edits.jsonl", b"\n")]), Format::Records), Err(422));
    let whole = tar(&[("edits.jsonl", b"{}\n"), ("images/a.png", b"x")]);
    assert_eq!(check(&whole, Format::Records), Ok(1));
    let file = file(&whole);
    let mut source = Source::open(&file.upload.file(), Format::Records, 100).unwrap();
    for path in ["images/b.png", "../edits.jsonl", "/etc/passwd"] {
        let line = json!({"image": path, "question": "q", "answer": "a"}).to_string();
        let Err(problem) = source.parse(line.as_bytes()) else { panic!("{path} was found") };
        assert_eq!(problem.body().errors[0].pointer, "/image");
    }
}
