//! A vision tower in front of a decoder: what most vision-language models are.

use std::fmt;
use std::sync::Arc;

use reasonedit_nn::blocks::decoder::Decoder;
use reasonedit_nn::blocks::decoder::differentiable::{Cut, DifferentiableSuffix, HiddenStates};
use reasonedit_nn::layer_suffix::LayerSuffix;
use reasonedit_nn::sequence::{ImageFeatures, PixelInput, Sequence, SequenceOutput};
use reasonedit_nn::taps::{PooledTaps, TapInfo, TapName};

use crate::architecture::{Architecture, Parts};
use crate::error::Result;
use crate::model::{ImagePreprocessor, ModelInfo, VisionLanguageModel};
use reasonedit_prompt::PromptTokenizer;

/// Pixels to image tokens, whatever lies between.
pub(crate) trait PictureTower: fmt::Debug + Send + Sync {
    /// Its taps, in forward order.
    fn taps(&self) -> Vec<TapInfo>;

    /// See [`VisionLanguageModel::encode_images`].
    fn encode(&self, images: &[&PixelInput], taps: &[TapName]) -> Result<Vec<Arc<ImageFeatures>>>;

    /// For towers that make a picture's tokens of picture and instruction where a sequence is run: the batch
    /// with these tokens in the place of both, and the taps that are read on the way, by sequence. `None`:
    /// the batch as it is.
    fn instruct(&self, batch: &[Sequence], taps: &[TapName]) -> Result<Option<InstructedBatch>> {
        let _ = (batch, taps);
        Ok(None)
    }
}

/// Sequences without instructions, and the taps of each.
pub(crate) type InstructedBatch = (Vec<Sequence>, Vec<PooledTaps>);

/// A vision-language model of a tower whose tokens stand in the decoder's sequence.
#[derive(Debug)]
pub(crate) struct Composed<P> {
    info: ModelInfo,
    tower: Box<dyn PictureTower>,
    decoder: Decoder,
    preprocessor: Arc<P>,
    tokenizer: Arc<PromptTokenizer>,
}

impl<P: ImagePreprocessor + 'static> Composed<P> {
    /// Puts the parts together; `max_positions` and the vocabulary are the decoder's.
    pub(crate) fn new(
        parts: &Parts<'_>,
        architecture: &Architecture,
        tower: impl PictureTower + 'static,
        decoder: Decoder,
        preprocessor: P,
        tokenizer: PromptTokenizer,
    ) -> Result<Self> {
        let taps = tower.taps().into_iter().chain(decoder.taps()).collect();
        let info = parts.info(architecture, taps, decoder.max_positions(), decoder.vocabulary())?;
        Ok(Self {
            info,
            tower: Box::new(tower),
            decoder,
            preprocessor: Arc::new(preprocessor),
            tokenizer: Arc::new(tokenizer),
        })
    }
}

impl<P: ImagePreprocessor + 'static> VisionLanguageModel for Composed<P> {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn preprocessor(&self) -> Arc<dyn ImagePreprocessor> {
        self.preprocessor.clone()
    }

    fn tokenizer(&self) -> Arc<PromptTokenizer> {
        self.tokenizer.clone()
    }

    fn encode_images(&self, images: &[&PixelInput], taps: &[TapName]) -> Result<Vec<Arc<ImageFeatures>>> {
        self.tower.encode(images, taps)
    }

    fn run(&self, batch: &[Sequence], taps: &[TapName]) -> Result<Vec<SequenceOutput>> {
        let Some((batch, seen)) = self.tower.instruct(batch, taps)? else {
            return Ok(self.decoder.run(batch, taps)?);
        };
        let mut outputs = self.decoder.run(&batch, taps)?;
        for (output, seen) in outputs.iter_mut().zip(seen) {
            output.taps.extend(seen);
        }
        Ok(outputs)
    }

    fn hidden_states(&self, batch: &[Sequence], cut: Cut) -> Result<Vec<HiddenStates>> {
        match self.tower.instruct(batch, &[])? {
            Some((batch, _)) => Ok(self.decoder.hidden_states(&batch, cut)?),
            None => Ok(self.decoder.hidden_states(batch, cut)?),
        }
    }

    fn differentiable(&self, cut: Cut) -> Result<DifferentiableSuffix> {
        Ok(self.decoder.differentiable(cut)?)
    }

    fn forward_from_layer(&self, layer: usize, sequence: &Sequence) -> Result<Box<dyn LayerSuffix + '_>> {
        Ok(Box::new(self.decoder.forward_from_layer(layer, sequence)?))
    }
}
