//! What the markers of a JPEG say: its process, and whether its pixels are whole.

use crate::ImagingError;

/// Bytes of entropy-coded data that stand in for what may be missing. None is 0xFF, the others differ in
/// every bit pattern that a code can begin with.
const FILLERS: [u8; 3] = [0x00, 0x55, 0xAA];
/// How many of them.
const FILLER_LENGTH: usize = 4096;

/// The header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Second byte of the marker: 0xC0 for a baseline frame.
    marker: u8,
    precision: u8,
    height: u16,
    width: u16,
    components: u8,
    /// Greatest sampling factors, horizontal and vertical.
    sampling: (u8, u8),
}

/// One piece of a JPEG.
enum Segment<'a> {
    /// A marker and what its segment holds after the length.
    Marker(u8, &'a [u8]),
    /// Entropy-coded data, as offsets into the file.
    Scan(usize, usize),
}

/// Goes through the segments up to the end marker, or to where the file stops being one.
struct Segments<'a> {
    bytes: &'a [u8],
    at: usize,
    in_scan: bool,
}

impl<'a> Segments<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 2, in_scan: false }
    }

    /// Where the marker begins that ends the entropy-coded data at the present place.
    fn scan_end(&self) -> usize {
        let mut at = self.at;
        while let Some(found) =
            self.bytes.get(at..).and_then(|rest| rest.iter().position(|&byte| byte == 0xFF))
        {
            at += found;
            match self.bytes.get(at + 1) {
                Some(0x00 | 0xD0..=0xD7) => at += 2,
                Some(0xFF) => at += 1,
                _ => return at,
            }
        }
        self.bytes.len()
    }
}

impl<'a> Iterator for Segments<'a> {
    type Item = Segment<'a>;

    fn next(&mut self) -> Option<Segment<'a>> {
        if self.in_scan {
            self.in_scan = false;
            let (from, to) = (self.at, self.scan_end());
            self.at = to;
            return Some(Segment::Scan(from, to));
        }
        loop {
            let rest = self.bytes.get(self.at..)?;
            let fill = rest.iter().take_while(|&&byte| byte == 0xFF).count();
            let marker = *rest.get(fill).filter(|_| fill > 0)?;
            self.at += fill + 1;
            match marker {
                0x00 | 0xD9 => return None,
                0x01 | 0xD0..=0xD8 => {}
                _ => {
                    let head = self.bytes.get(self.at..self.at + 2)?;
                    let length = usize::from(u16::from_be_bytes([head[0], head[1]]));
                    let body = self.bytes.get(self.at + 2..self.at + length)?;
                    self.at += length;
                    self.in_scan = marker == 0xDA;
                    return Some(Segment::Marker(marker, body));
                }
            }
        }
    }
}

/// The first frame header.
fn frame(bytes: &[u8]) -> Option<Frame> {
    Segments::new(bytes).find_map(|segment| match segment {
        Segment::Marker(marker @ (0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF | 0xF7), body) => {
            let [precision, high, low, left, right, components, rest @ ..] = body else { return None };
            let factors = rest.iter().skip(1).step_by(3).take(usize::from(*components));
            let sampling =
                factors.fold((1, 1), |(across, down), &both| (across.max(both >> 4), down.max(both & 15)));
            Some(Frame {
                marker,
                precision: *precision,
                height: u16::from_be_bytes([*high, *low]),
                width: u16::from_be_bytes([*left, *right]),
                components: *components,
                sampling,
            })
        }
        _ => None,
    })
}

/// Whether it is of a process and of colours that every reader takes alike: baseline or progressive, 8 bits,
/// grey or YCbCr.
pub(crate) fn is_common(bytes: &[u8]) -> bool {
    frame(bytes).is_some_and(|frame| {
        matches!(frame, Frame { marker: 0xC0..=0xC2, precision: 8, height: 1.., components: 1 | 3, .. })
    })
}

/// What programs keep beside the pixels: EXIF, XMP, profiles.
pub(crate) fn application_data(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    Segments::new(bytes).filter_map(|segment| match segment {
        Segment::Marker(0xE0..=0xEF, body) => Some(body),
        _ => None,
    })
}

/// Refuses the processes of the JPEG standards that no decoder here reads, by their names.
///
/// # Errors
/// [`ImagingError::NotRead`].
pub(crate) fn check_process(bytes: &[u8]) -> Result<(), ImagingError> {
    let Some(frame) = frame(bytes) else { return Ok(()) };
    let what = match frame {
        Frame { marker: 0xC9 | 0xCA, .. } => "with arithmetic coding".to_owned(),
        Frame { marker: 0xCB, .. } => "of the lossless process with arithmetic coding".to_owned(),
        Frame { marker: 0xC3, precision: 2..=16, components: 1, .. }
        | Frame { marker: 0xC3, precision: 8, components: 3, .. } => return Ok(()),
        Frame { marker: 0xC3, precision, .. } => {
            format!("of the lossless process with {precision} bits in colour")
        }
        Frame { marker: 0xC5..=0xC7 | 0xCD..=0xCF, .. } => "of the hierarchical process".to_owned(),
        Frame { marker: 0xF7, .. } => "of the JPEG-LS standard".to_owned(),
        Frame { precision, .. } if precision != 8 => format!("with {precision} bits per sample"),
        Frame { height: 0, .. } => "whose height is only told after its pixels".to_owned(),
        Frame { components, .. } if !matches!(components, 1 | 3 | 4) => {
            format!("with {components} components")
        }
        _ => return Ok(()),
    };
    Err(ImagingError::NotRead {
        what: format!("a JPEG {what}"),
        advice: "save it as an ordinary (baseline or progressive) JPEG, or as PNG",
    })
}

/// The frame of a JPEG of the lossless process, as scanners and DICOM have it: bits per sample, width,
/// height, channels.
pub(crate) fn lossless_frame(bytes: &[u8]) -> Option<(u32, u32, u32, usize)> {
    let frame = frame(bytes).filter(|frame| frame.marker == 0xC3)?;
    Some((frame.precision.into(), frame.width.into(), frame.height.into(), frame.components.into()))
}

/// Whether the segments run on to the end marker.
pub(crate) fn is_complete(bytes: &[u8]) -> bool {
    let mut rest = bytes.get(2..).unwrap_or_default();
    while let Some(at) = rest.iter().position(|&byte| byte == 0xFF) {
        rest = &rest[at + 1..];
        match rest {
            [0xD9, ..] => return true,
            // Fill byte: the marker's code is still to come.
            [0xFF, ..] => {}
            // Stuffed byte of entropy-coded data, or a marker without a segment.
            [0x00 | 0x01 | 0xD0..=0xD8, after @ ..] => rest = after,
            [_, high, low, ..] => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                match rest.get(1 + length..) {
                    Some(after) => rest = after,
                    None => return false,
                }
            }
            _ => return false,
        }
    }
    false
}

/// A file without end marker, ended in different ways. Its pixels are whole if all of them decode to the same
/// ones: what stands after the last block is never looked at, and what stands in the place of a missing one
/// changes it.
///
/// Nothing where a scan or a restart interval is missing, which those endings wouldn't show.
pub(crate) fn endings(bytes: &[u8]) -> Option<impl Iterator<Item = Vec<u8>>> {
    let frame = frame(bytes)?;
    let mut interval = 0u16;
    let mut last = None;
    let mut scans = 0;
    // For each component: the coefficients whose last bit has come.
    let mut whole = [0u64; 256];
    let mut seen = Vec::new();
    for segment in Segments::new(bytes) {
        match segment {
            Segment::Marker(0xDD, [high, low, ..]) => interval = u16::from_be_bytes([*high, *low]),
            Segment::Marker(0xDA, [count, rest @ ..]) => {
                let (components, rest) = rest.split_at_checked(2 * usize::from(*count))?;
                let [first, end, approximation, ..] = *rest else { return None };
                for component in components.iter().step_by(2) {
                    if !seen.contains(component) {
                        seen.push(*component);
                    }
                    if frame.marker != 0xC2 {
                        whole[usize::from(*component)] = u64::MAX;
                    } else if approximation % 16 == 0 && first <= end && end < 64 {
                        whole[usize::from(*component)] |= (u64::MAX >> (63 - (end - first))) << first;
                    }
                }
            }
            Segment::Scan(from, to) => {
                last = Some((from, to));
                scans += 1;
            }
            Segment::Marker(..) => {}
        }
    }
    let (from, to) = last?;
    if seen.len() != usize::from(frame.components)
        || seen.iter().any(|&component| whole[usize::from(component)] != u64::MAX)
    {
        return None;
    }
    if interval != 0 {
        // Without the marker that begins it, an interval is not asked for by the decoder.
        let blocks = |side: u16, factor: u8| u64::from(side).div_ceil(8 * u64::from(factor));
        let units = if frame.components == 1 {
            blocks(frame.width, 1) * blocks(frame.height, 1)
        } else {
            blocks(frame.width, frame.sampling.0) * blocks(frame.height, frame.sampling.1)
        };
        let restarts =
            bytes[from..to].windows(2).filter(|pair| matches!(pair, [0xFF, 0xD0..=0xD7])).count() as u64;
        if scans != 1 || restarts + 1 != units.div_ceil(u64::from(interval)) {
            return None;
        }
    }
    let head = bytes[..to].to_vec();
    Some(FILLERS.into_iter().map(move |filler| {
        let mut ended = head.clone();
        ended.resize(head.len() + FILLER_LENGTH, filler);
        ended.extend_from_slice(&[0xFF, 0xD9]);
        ended
    }))
}
