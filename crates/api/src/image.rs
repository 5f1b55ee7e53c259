//! A picture in a request body.

use bytes::Bytes;
use reasonedit_http::base64::{is_base64, is_digest};
use reasonedit_http::multipart::FilePart;
use reasonedit_http::problem::{self, Problem};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

/// A picture: exactly one of the three.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "RawImage")]
pub enum ImageInput {
    /// Base64 or a `data:` URL.
    Data(String),
    /// Id of a picture uploaded before.
    Id(String),
    /// An `https` URL of an allowed host.
    Url(String),
    /// The file part of a form.
    #[serde(skip)]
    Bytes(Bytes),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawImage {
    data: Option<String>,
    id: Option<String>,
    url: Option<String>,
}

impl TryFrom<RawImage> for ImageInput {
    type Error = &'static str;

    fn try_from(raw: RawImage) -> Result<Self, Self::Error> {
        match (raw.data, raw.id, raw.url) {
            (Some(data), None, None) => Ok(Self::Data(data)),
            (None, Some(id), None) => Ok(Self::Id(id)),
            (None, None, Some(url)) => Ok(Self::Url(url)),
            _ => Err("A picture is exactly one of `data`, `id` and `url`."),
        }
    }
}

/// The picture of a form: a file, or what `image` of the JSON body has.
pub const IMAGE_PART: FilePart = FilePart { name: "image", written, stand_in: || json!({"data": ""}) };

/// What the JSON body would have in place of a picture that came as a text: a `data:` URL, base64, an `https`
/// URL or an id. `None` for the bytes of a file.
fn written(bytes: &[u8]) -> problem::Result<Option<Value>> {
    let starts = |start: &str| {
        bytes.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start.as_bytes()))
    };
    let text = || {
        let text = std::str::from_utf8(bytes).map(str::trim);
        text.map_err(|_| Problem::invalid("/image", "The picture is neither a file nor a text in UTF-8."))
    };
    if starts("data:") {
        return Ok(Some(json!({"data": text()?})));
    }
    if starts("https://") || starts("http://") {
        return Ok(Some(json!({"url": text()?})));
    }
    if let Some(id) = std::str::from_utf8(bytes).ok().map(str::trim).filter(|id| is_digest(id)) {
        return Ok(Some(json!({"id": id})));
    }
    Ok(if is_base64(bytes) { Some(json!({"data": text()?})) } else { None })
}

/// A picture: exactly one of `data`, `id` and `url`.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = Image)]
#[allow(dead_code, reason = "describes `ImageInput` in the contract")]
pub enum ImageSchema {
    /// The file itself.
    Data(ImageData),
    /// A picture uploaded before.
    Id(ImageById),
    /// A picture elsewhere.
    Url(ImageByUrl),
}

/// The file itself: JPEG, PNG, WebP, GIF, BMP or TIFF.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageData {
    /// Base64 (padded or not, standard or URL-safe), or a `data:` URL.
    data: String,
}

/// A picture uploaded before.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageById {
    /// BLAKE3 of its bytes in hex.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    id: String,
}

/// A picture elsewhere; off unless the configuration allows its host.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageByUrl {
    /// An `https` URL.
    #[schema(pattern = "^https://")]
    url: String,
}

/// The part of a picture that is asked for: all four or none.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CropParams {
    /// Column of the leftmost pixel of the crop.
    pub x: Option<u32>,
    /// Row of the topmost pixel of the crop.
    pub y: Option<u32>,
    /// Columns of the crop.
    #[param(minimum = 1)]
    pub width: Option<u32>,
    /// Rows of the crop.
    #[param(minimum = 1)]
    pub height: Option<u32>,
    /// Name of a codebook; pictures are shared by all, so any will do.
    #[param(pattern = "^[a-z0-9-]{1,64}$")]
    pub codebook: Option<String>,
}
