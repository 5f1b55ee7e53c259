//! Where is computed, and what weights are held in.

use candle_core::quantized::GgmlDType;
use candle_core::{DType, Device};
use serde::{Deserialize, Serialize};

use crate::error::{NnError, Result};

/// Where a model computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceChoice {
    /// The processor.
    #[default]
    Cpu,
    /// The CUDA device of that number; needs a build with the feature `cuda`.
    Cuda(usize),
}

impl std::str::FromStr for DeviceChoice {
    type Err = String;
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text.split_once(':') {
            None if text == "cpu" => Ok(Self::Cpu),
            None if text == "cuda" => Ok(Self::Cuda(0)),
            Some(("cuda", number)) => number.parse().map(Self::Cuda).map_err(|e| format!("{text:?}: {e}")),
            _ => Err(format!("{text:?} is not a device; say cpu, cuda or cuda:N")),
        }
    }
}

impl TryFrom<String> for DeviceChoice {
    type Error = String;
    fn try_from(text: String) -> std::result::Result<Self, String> {
        text.parse()
    }
}

impl From<DeviceChoice> for String {
    fn from(choice: DeviceChoice) -> Self {
        match choice {
            DeviceChoice::Cpu => "cpu".into(),
            DeviceChoice::Cuda(number) => format!("cuda:{number}"),
        }
    }
}

impl DeviceChoice {
    /// Opens the device.
    ///
    /// # Errors
    /// [`NnError::Load`] for one that isn't there, or that this build can't use.
    pub fn open(self) -> Result<Device> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda(number) => Device::new_cuda(number).map_err(|error| {
                let said = error.to_string();
                // What candle says may go on with a backtrace.
                let said = said.lines().next().unwrap_or_default();
                let advice = if cfg!(feature = "cuda") {
                    "does `nvidia-smi` list that GPU here? model.device = \"cpu\" does without"
                } else {
                    "this program was built for the CPU only; build with `--features cuda`, or leave model.device at \"cpu\""
                };
                NnError::load(format!("cuda:{number}"), format!("{said}: {advice}"))
            }),
        }
    }
}

/// The type that weights are held in. The CPU computes in f32 whatever it holds, other devices in that type,
/// but for sums, norms and softmax, which are in f32 in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightType {
    /// f32 on the CPU, bf16 elsewhere.
    #[default]
    Auto,
    /// Single precision.
    F32,
    /// Brain float.
    Bf16,
    /// Half precision.
    F16,
}

impl WeightType {
    /// The type on a device.
    pub fn on(self, device: &Device) -> DType {
        match self {
            Self::Auto if device.is_cpu() => DType::F32,
            Self::Auto | Self::Bf16 => DType::BF16,
            Self::F32 => DType::F32,
            Self::F16 => DType::F16,
        }
    }
}

/// Blocks that the language model's layers are held in, quantised while they are loaded. The output matrix is
/// then in 8 bits; embeddings, norms and the vision side stay as `LoadOptions::dtype` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockType {
    /// 32 numbers of 8 bits with a scale: 8.5 bits a weight.
    #[serde(rename = "q8_0")]
    Q8_0,
    /// 256 numbers of 4 bits with scales and offsets of groups: 4.5 bits a weight.
    #[serde(rename = "q4_k")]
    Q4K,
}

impl BlockType {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Q8_0, Self::Q4K];

    /// As it is written in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Q8_0 => "q8_0",
            Self::Q4K => "q4_k",
        }
    }

    /// Bits a weight takes, scales included.
    pub fn bits(self) -> f64 {
        match self {
            Self::Q8_0 => 8.5,
            Self::Q4K => 4.5,
        }
    }

    /// The blocks that fit rows of that width: `Q4_K`'s are 256 wide, so that narrower models have `Q4_0`
    /// instead, 32 wide; rows that no block fits stay as they are.
    pub fn of_width(self, width: usize) -> Option<GgmlDType> {
        match self {
            Self::Q8_0 if width.is_multiple_of(32) => Some(GgmlDType::Q8_0),
            Self::Q4K if width.is_multiple_of(256) => Some(GgmlDType::Q4K),
            Self::Q4K if width.is_multiple_of(32) => Some(GgmlDType::Q4_0),
            _ => None,
        }
    }
}

/// What weights are held in and what is computed in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Precision {
    /// Type of activations, norms and biases.
    pub computed: DType,
    /// Type of matrices; where it is not `computed`, a product widens them as it goes (CPU only).
    pub held: DType,
    /// Blocks that the language model's layers are held in instead.
    pub blocks: Option<BlockType>,
}

impl Precision {
    /// What is computed with on a device. The CPU computes in f32 whatever it holds.
    pub fn on(device: &Device, weights: WeightType, blocks: Option<BlockType>) -> Self {
        let held = weights.on(device);
        Self { computed: if device.is_cpu() { DType::F32 } else { held }, held, blocks }
    }
}

impl From<DType> for Precision {
    /// Computed with as it is held.
    fn from(dtype: DType) -> Self {
        Self { computed: dtype, held: dtype, blocks: None }
    }
}

/// As it is written in configurations.
pub fn dtype_name(dtype: DType) -> &'static str {
    match dtype {
        DType::BF16 => "bf16",
        DType::F16 => "f16",
        _ => "f32",
    }
}

/// As it is written in configurations.
pub fn device_name(device: &Device) -> String {
    match device.location() {
        candle_core::DeviceLocation::Cuda { gpu_id } => format!("cuda:{gpu_id}"),
        candle_core::DeviceLocation::Metal { gpu_id } => format!("metal:{gpu_id}"),
        candle_core::DeviceLocation::Cpu => "cpu".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_parsed() {
        assert_eq!("cpu".parse(), Ok(DeviceChoice::Cpu));
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
        assert_eq!("cuda:3".parse(), Ok(DeviceChoice::Cuda(3)));
        for wrong in ["gpu", "cuda:", "cuda:x", "cpu:1", ""] {
            assert!(wrong.parse::<DeviceChoice>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn blocks_fit_the_width_of_rows() {
        assert_eq!(BlockType::Q4K.of_width(2560), Some(GgmlDType::Q4K));
        assert_eq!(BlockType::Q4K.of_width(288), Some(GgmlDType::Q4_0));
        assert_eq!(BlockType::Q8_0.of_width(288), Some(GgmlDType::Q8_0));
        assert_eq!((BlockType::Q8_0.of_width(20), BlockType::Q4K.of_width(20)), (None, None));
    }
}
