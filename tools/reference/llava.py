"""LLaVA-1.5: CLIP vision tower, two-layer projector, Llama."""

import random

import torch

from .common import pillow_processor, published, resave, write_json
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


SETTINGS = ["do_pad", "size", "crop_size", "image_mean", "image_std"]


def random_checkpoint(seed, out):
    from transformers import LlavaForConditionalGeneration

    rng = random.Random(seed)
    # Padded to a square, or cut.
    pad = seed % 4 > 1

    def write(folder):
        fast = llama_tokenizer(folder, rng, STYLES[seed % 2], ["<image>", "<pad>"], "LlavaProcessor")
        heads, head = rng.choice([(3, 10), (2, 18), (5, 6)])
        patch = rng.choice([5, 6, 7])
        # What is left over at the right and at the bottom is looked at by nobody.
        side = patch * rng.choice([3, 4]) + (seed % 3)
        strategy = "full" if seed % 3 == 0 else "default"
        depth = rng.randint(3, 4)
        # As published: hardly more than what differs from the classes' own values.
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
        write_json(folder / "config.json", config)
        settings = {
            "image_processor_type": "LlavaImageProcessor" if pad else "CLIPImageProcessor",
            "do_resize": True, "do_center_crop": True, "do_rescale": True, "do_normalize": True, "do_convert_rgb": True,
            "size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}, "resample": 3, "rescale_factor": 1 / 255,
            "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711],
            "processor_class": "LlavaProcessor",
        } | ({"do_pad": True} if pad else {})
        write_json(folder / "preprocessor_config.json", settings)
        write_json(folder / "chat_template.json", {"chat_template": TEMPLATE})
        around = {"processor_class": "LlavaProcessor", "image_token": "<image>", "num_additional_image_tokens": 1}
        write_json(folder / "processor_config.json", around | {"patch_size": patch, "vision_feature_select_strategy": strategy})

    with published(write) as folder:
        model, processor = resave(LlavaForConditionalGeneration, folder, seed, out, [2, 1])
    module, name = ("llava", "LlavaImageProcessor") if pad else ("clip", "CLIPImageProcessor")
    outputs(model, processor, pillow_processor(processor.image_processor, module, name, SETTINGS), rng, out)


def outputs(model, processor, image_processor, rng, out):
    tower, language = model.model.vision_tower, model.model.language_model
    # 4.57 has one module more around the tower.
    vision = getattr(tower, "vision_model", tower)
    taps = Taps()
    taps.layers_of(vision.encoder.layers, "vision")
    taps.output_of(model.model.multi_modal_projector, "projector")
    taps.layers_of(language.layers, "language")
    patches = vision.embeddings.num_patches
    tokens = patches + (processor.vision_feature_select_strategy == "full")
    rows = lambda tap: tokens if tap == "projector" else patches + 1
    drawn = pictures(rng, out, image_processor, processor.patch_size, rows)

    def encode(messages, images):
        prompt = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        # Only the size of what is shown matters to the tokens.
        shown = [drawn[j].inputs["pixel_values"][0].clamp(0, 1) for j in images] or None
        steps = dict.fromkeys(["do_resize", "do_center_crop", "do_pad", "do_rescale"], False)
        return list(processor(text=prompt, images=shown, **steps)["input_ids"][0])

    def forward(ids, inputs):
        tokens = torch.tensor([ids])
        return model(input_ids=tokens, attention_mask=torch.ones_like(tokens), use_cache=False, **inputs).logits[0]

    step = pixel_step(image_processor)
    write_outputs(out, "llava", drawn, CONVERSATIONS, taps, encode, forward, step)
