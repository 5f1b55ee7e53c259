//! Names for files that are not read, so that a refusal can say what came and what to do with it.

use crate::ImagingError;

const AS_PNG: &str = "export the picture as PNG or JPEG";
const RENDER: &str = "render the page or drawing as PNG";
const FRAME: &str = "take one frame out of it and save that as PNG or JPEG";
const DEVELOP: &str = "develop it in a raw converter and export PNG, JPEG or TIFF";
const SCIENCE: &str = "export the plane or slice that is meant as PNG or TIFF";
const UNPACK: &str = "unpack it and send the picture itself";

/// Magic numbers: where they stand, what they are, what the file is called and what to do with it.
const MAGIC: [(usize, &[u8], &str, &str); 53] = [
    (0, b"\x02\0\0\0UL", "a DICOM file", SCIENCE),
    (0, b"\0\0\0\x0CjP  ", "a JPEG 2000 image", AS_PNG),
    (0, b"\xFF\x4F\xFF\x51", "a JPEG 2000 image", AS_PNG),
    (0, b"\0\0\0\x0CJXL ", "a JPEG XL image", AS_PNG),
    (0, b"\xFF\x0A", "a JPEG XL image", AS_PNG),
    (0, b"II\xBC\x01", "a JPEG XR image", AS_PNG),
    (0, b"8BPS", "a Photoshop document", AS_PNG),
    (0, b"\x76\x2F\x31\x01", "an OpenEXR image", AS_PNG),
    (0, b"#?RADIANCE", "a Radiance HDR image", AS_PNG),
    (0, b"#?RGBE", "a Radiance HDR image", AS_PNG),
    (0, b"%!PS", "a PostScript file", RENDER),
    (0, b"\xC5\xD0\xD3\xC6", "an EPS file", RENDER),
    (0, b"\xD7\xCD\xC6\x9A", "a Windows metafile", RENDER),
    (40, b" EMF", "an enhanced metafile", RENDER),
    (0, b"\0\0\x01\0", "an icon file (ICO)", AS_PNG),
    (0, b"\0\0\x02\0", "a cursor file (CUR)", AS_PNG),
    (0, b"icns", "an icon file (ICNS)", AS_PNG),
    (0, b"DDS ", "a DirectDraw surface", AS_PNG),
    (0, b"qoif", "a QOI image", AS_PNG),
    (0, b"farbfeld", "a farbfeld image", AS_PNG),
    (0, b"gimp xcf", "a GIMP document", AS_PNG),
    (0, b"\x8AMNG", "an MNG animation", FRAME),
    (0, b"\x8BJNG", "a JNG image", AS_PNG),
    (0, b"BPG\xFB", "a BPG image", AS_PNG),
    (0, b"FLIF", "a FLIF image", AS_PNG),
    (0, b"AT&TFORM", "a DjVu document", RENDER),
    (0, b"\x0A\x05\x01", "a PCX image", AS_PNG),
    (0, b"\x01\xDA\x01", "an SGI image", AS_PNG),
    (0, b"\x01\xDA\0", "an SGI image", AS_PNG),
    (0, b"\x59\xA6\x6A\x95", "a Sun raster image", AS_PNG),
    (0, b"SIMPLE  =", "a FITS file", SCIENCE),
    (344, b"n+1\0", "a NIfTI volume", SCIENCE),
    (0, b"NRRD0", "an NRRD volume", SCIENCE),
    (0, b"ObjectType = Image", "a MetaImage volume", SCIENCE),
    (0, b"\x89HDF\r\n\x1A\n", "an HDF5 file", SCIENCE),
    (0, b"\x93NUMPY", "a NumPy array", SCIENCE),
    (0, b"FUJIFILMCCD-RAW", "a camera's raw file", DEVELOP),
    (0, b"IIRO", "a camera's raw file", DEVELOP),
    (0, b"IIRS", "a camera's raw file", DEVELOP),
    (0, b"IIU\0", "a camera's raw file", DEVELOP),
    (6, b"HEAPCCDR", "a camera's raw file", DEVELOP),
    (0, b"\x1A\x45\xDF\xA3", "a video", FRAME),
    (8, b"AVI LIST", "a video", FRAME),
    (0, b"\0\0\x01\xBA", "a video", FRAME),
    (0, b"\0\0\x01\xB3", "a video", FRAME),
    (0, b"OggS", "a video or a sound", FRAME),
    (0, b"PK\x03\x04", "an archive (ZIP)", UNPACK),
    (0, b"\x1F\x8B", "a compressed file (gzip)", UNPACK),
    (0, b"Rar!", "an archive (RAR)", UNPACK),
    (0, b"7z\xBC\xAF\x27\x1C", "an archive (7z)", UNPACK),
    (0, b"iVBORw0KGgo", "base64 text", "send the bytes that it stands for"),
    (0, b"/9j/", "base64 text", "send the bytes that it stands for"),
    (0, b"data:image/", "a data URL", "send the bytes that it stands for"),
];

/// What a file that isn't read is, as an error that says so; nothing where its content is unknown, or one of
/// the formats that are read.
///
/// A DICOM file is known by the letters after its preamble, whatever the preamble holds: in files that are to
/// be opened by other programs too, that is the head of a TIFF.
pub(crate) fn named(bytes: &[u8]) -> Option<ImagingError> {
    let at = |offset: usize, magic: &[u8]| bytes.get(offset..).is_some_and(|rest| rest.starts_with(magic));
    let (name, advice) = if at(128, b"DICM") {
        ("a DICOM file", "export the picture as PNG or TIFF, with its window applied")
    } else if at(4, b"ftyp") {
        isobmff(bytes)
    } else if let Some(found) = MAGIC.iter().find(|(offset, magic, ..)| at(*offset, magic)) {
        (found.2, found.3)
    } else {
        text(bytes)?
    };
    Some(ImagingError::NotRead { what: name.to_owned(), advice })
}

/// A file of the ISO base media format, by the brands that it names.
fn isobmff(bytes: &[u8]) -> (&'static str, &'static str) {
    let length = bytes.iter().take(4).fold(0usize, |sum, &byte| sum << 8 | usize::from(byte));
    let brands = &bytes[8..bytes.len().min(length.clamp(12, 256))];
    let has = |names: &[&[u8]]| brands.chunks_exact(4).any(|brand| names.contains(&brand));
    if has(&[b"avif", b"avis"]) {
        ("an AVIF image", AS_PNG)
    } else if has(&[b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"]) {
        (
            "a HEIC image, as phones take them",
            "export it as JPEG or PNG (on an iPhone: Settings, Camera, Formats, Most Compatible)",
        )
    } else if has(&[b"crx "]) {
        ("a camera's raw file", DEVELOP)
    } else if has(&[b"jp2 ", b"jpx ", b"jph "]) {
        ("a JPEG 2000 image", AS_PNG)
    } else {
        ("a video", FRAME)
    }
}

/// What begins as text.
fn text(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    let head = &bytes[..bytes.len().min(1024)];
    if head.windows(5).any(|part| part == b"%PDF-") {
        return Some(("a PDF document", RENDER));
    }
    if let [b'P', b'1'..=b'7', b' ' | b'\n' | b'\r' | b'\t', ..] = head {
        return Some(("a Netpbm image", AS_PNG));
    }
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let head = head.trim_start_matches('\u{FEFF}').trim_start();
    if !head.starts_with('<') {
        return None;
    }
    if head.contains("<svg") || head.contains("<!doctype svg") {
        Some(("an SVG drawing", RENDER))
    } else if head.contains("<html") || head.starts_with("<!doctype html") {
        Some(("a web page", "send the picture itself and not the page that shows it"))
    } else if head.starts_with("<?xml") {
        Some(("an XML document", AS_PNG))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_not_read_are_called_by_their_name() {
        let mut dicom = b"II*\0\x08\0\0\0".to_vec();
        dicom.resize(128, 0);
        dicom.extend_from_slice(b"DICM\x02\0\0\0UL");
        let nifti = [vec![0u8; 344], b"n+1\0".to_vec()].concat();
        let emf = [&b"\x01\0\0\0\x6C\0\0\0"[..], &[0; 32], b" EMF"].concat();
        for (bytes, name) in [
            (&dicom[..], "a DICOM file"),
            (b"\x02\0\0\0UL\x04\0", "a DICOM file"),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC image, as phones take them"),
            (b"\0\0\0\x1Cftypmif1\0\0\0\0mif1avifmiaf", "an AVIF image"),
            (b"\0\0\0\x18ftypavif\0\0\0\0avifmif1", "an AVIF image"),
            (b"\0\0\0\x14ftypisom\0\0\x02\0isom", "a video"),
            (b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom", "a camera's raw file"),
            (b"\0\0\0\x14ftyp", "a video"),
            (b"\0\0\0\0ftyp", "a video"),
            (b"\0\0\0\x0CjP  \r\n\x87\n", "a JPEG 2000 image"),
            (b"\xFF\x4F\xFF\x51\0\x29", "a JPEG 2000 image"),
            (b"\xFF\x0A\xFA\x7F", "a JPEG XL image"),
            (b"8BPS\0\x01", "a Photoshop document"),
            (b"\x76\x2F\x31\x01\x02\0\0\0", "an OpenEXR image"),
            (b"%PDF-1.7\n", "a PDF document"),
            (b"\r\n%PDF-1.4", "a PDF document"),
            (b"%!PS-Adobe-3.0 EPSF", "a PostScript file"),
            (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
            (b"\xEF\xBB\xBF<?xml version='1.0'?>\n<!-- a -->\n<svg>", "an SVG drawing"),
            (b"<!DOCTYPE html><p>", "a web page"),
            (b"<?xml version='1.0'?><a/>", "an XML document"),
            (b"\0\0\x01\0\x01\0\x10\x10", "an icon file (ICO)"),
            (b"P5\n2 2\n255\n", "a Netpbm image"),
            (b"qoif\0\0\0\x01", "a QOI image"),
            (b"PK\x03\x04\x14\0", "an archive (ZIP)"),
            (b"\x1F\x8B\x08", "a compressed file (gzip)"),
            (b"\x1A\x45\xDF\xA3\x01", "a video"),
            (b"RIFF\x10\0\0\0AVI LIST", "a video"),
            (b"FUJIFILMCCD-RAW 0201", "a camera's raw file"),
            (b"iVBORw0KGgoAAAANSUhEUg", "base64 text"),
            (&nifti, "a NIfTI volume"),
            (&emf, "an enhanced metafile"),
        ] {
            match named(bytes) {
                Some(ImagingError::NotRead { what, .. }) => assert_eq!(what, name),
                other => panic!("{name}: {other:?}"),
            }
        }
        for bytes in
            [&b"hello"[..], b"<", b"{}", b"\xFF\xD8\xFF\xE0", b"\x89PNG\r\n\x1A\n", b"GIF89a", b"P", b"BM"]
        {
            assert_eq!(named(bytes), None);
        }
    }
}
