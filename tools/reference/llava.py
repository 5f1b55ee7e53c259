"""LLaVA-1.5: CLIP vision tower, two-layer projector, Llama."""

import json
import random

import torch
from safetensors.torch import save_file

from .common import randomise, write_json
from .harness import CONVERSATIONS, Taps, write_outputs
from .llama import STYLES, llama_config, llama_tokenizer, pictures, pixel_step

# As published with llava-hf/llava-1.5-7b-hf.
TEMPLATE = (
    "{% for message in messages %}{% if message['role'] != 'system' %}{{ message['role'].upper() + ': '}}{% endif %}"
    "{# Render all images first #}{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}"
    "{{ '<image>\n' }}{% endfor %}{# Render all text next #}{% if message['role'] != 'assistant' %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ content['text'] + ' '}}{% endfor %}"
    "{% else %}{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{% generation %}{{ content['text'] + ' '}}{% endgeneration %}{% endfor %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


def published_name(name):
    """Name of a parameter in the published files."""
    for now, then in [
        ("lm_head.", "language_model.lm_head."),
        ("model.language_model.", "language_model.model."),
        ("model.vision_tower.", "vision_tower.vision_model."),
        ("model.multi_modal_projector.", "multi_modal_projector."),
    ]:
        if name.startswith(now):
            return then + name.removeprefix(now)
    raise ValueError(name)


def random_checkpoint(seed, out):
    from transformers import LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
    from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil

    rng = random.Random(seed)
    fast = llama_tokenizer(out, rng, STYLES[seed % 2], ["<image>", "<pad>"])
    heads, head = rng.choice([(3, 10), (2, 18), (5, 6)])
    patch = rng.choice([5, 6, 7])
    # What is left over at the right and at the bottom is looked at by nobody.
    side = patch * rng.choice([3, 4]) + (seed % 3)
    strategy = "full" if seed % 3 == 0 else "default"
    depth = rng.randint(3, 4)
    config = {
        "architectures": ["LlavaForConditionalGeneration"],
        "model_type": "llava",
        "image_token_index": fast.convert_tokens_to_ids("<image>"),
        "pad_token_id": fast.pad_token_id,
        "projector_hidden_act": "gelu",
        "vision_feature_layer": -1 if seed % 3 == 0 else -2,
        "vision_feature_select_strategy": strategy,
        "tie_word_embeddings": False,
        "text_config": llama_config(rng, len(fast) + rng.randint(0, 8)),
        "vision_config": {
            "model_type": "clip_vision_model",
            "hidden_size": heads * head,
            "intermediate_size": rng.choice([32, 50]),
            "num_hidden_layers": depth,
            "num_attention_heads": heads,
            "image_size": side,
            "patch_size": patch,
            "projection_dim": 20,
            "vocab_size": 100,
        },
    }
    write_json(out / "config.json", config)
    write_json(out / "generation_config.json", {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": fast.pad_token_id})
    pad = seed % 2 == 0
    mean, std = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
    settings = {
        "image_processor_type": "LlavaImageProcessor" if pad else "CLIPImageProcessor",
        "do_resize": True, "do_center_crop": True, "do_rescale": True, "do_normalize": True, "do_convert_rgb": True,
        "size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side},
        "resample": 3, "rescale_factor": 1 / 255, "image_mean": mean, "image_std": std,
    } | ({"do_pad": True} if pad else {})
    names = ["do_pad", "size", "crop_size", "image_mean", "image_std"]
    image_processor = (LlavaImageProcessorPil if pad else CLIPImageProcessorPil)(**{k: settings[k] for k in names if k in settings})
    extra = {"patch_size": patch, "vision_feature_select_strategy": strategy, "num_additional_image_tokens": 1}
    around = {"processor_class": "LlavaProcessor", "image_token": "<image>"} | extra
    if seed % 3 == 0:
        # As transformers 5 saves it; the others as published.
        (out / "chat_template.jinja").write_text(TEMPLATE)
        write_json(out / "processor_config.json", around | {"image_processor": settings})
    else:
        write_json(out / "chat_template.json", {"chat_template": TEMPLATE})
        write_json(out / "preprocessor_config.json", settings)
        write_json(out / "processor_config.json", around)
    processor = LlavaProcessor(image_processor=image_processor, tokenizer=fast, chat_template=TEMPLATE, **extra)
    torch_config = LlavaConfig(**json.loads(json.dumps(config)))
    torch_config._attn_implementation = "eager"
    model = randomise(LlavaForConditionalGeneration(torch_config).float(), seed)
    tensors = {published_name(n): p.detach().bfloat16().contiguous() for n, p in model.named_parameters()}
    if seed % 3 == 0:
        tensors = {n.replace("vision_tower.vision_model.", "vision_tower."): p for n, p in tensors.items()}
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    # The names are those that transformers reads.
    _, info = LlavaForConditionalGeneration.from_pretrained(out, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"], info
    outputs(model, processor, rng, out)


def outputs(model, processor, rng, out):
    vision, language = model.model.vision_tower, model.model.language_model
    taps = Taps()
    taps.layers_of(vision.encoder.layers, "vision")
    taps.output_of(model.model.multi_modal_projector, "projector")
    taps.layers_of(language.layers, "language")
    patches = vision.embeddings.num_patches
    tokens = patches + (processor.vision_feature_select_strategy == "full")
    drawn = pictures(rng, out, processor.image_processor, processor.patch_size, lambda tap: tokens if tap == "projector" else patches + 1)

    def encode(messages, images):
        prompt = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        # Only the size of what is shown matters to the tokens.
        shown = [drawn[j].inputs["pixel_values"][0].clamp(0, 1) for j in images] or None
        steps = dict.fromkeys(["do_resize", "do_center_crop", "do_pad", "do_rescale"], False)
        return list(processor(text=prompt, images=shown, **steps)["input_ids"][0])

    def forward(ids, inputs):
        tokens = torch.tensor([ids])
        return model(input_ids=tokens, attention_mask=torch.ones_like(tokens), use_cache=False, **inputs).logits[0]

    step = pixel_step(processor.image_processor)
    write_outputs(out, "llava", drawn, CONVERSATIONS, taps, encode, forward, step)
