"""The demo model (Qwen3-VL architecture, 8.0 M parameters) and a forward pass made for training on a CPU.

`build_model` makes the transformers model whose parameters are trained. `FastForward` computes the same function over those parameters
with one compiled shape: every picture is padded to 20 merged cells (80 patches), every row to one length, attention is written out,
matrices multiply in bf16 and the residual stream stays in f32. ``check_forward.py`` proves the equality with transformers.
"""

import torch
import torch.nn.functional as F

MAX_CELLS = 20
PATCHES_PER_CELL = 4
PATCH_VALUES = 3 * 14 * 14
PREFIX = 3  # <|im_start|> user <|vision_start|>
TEXT_START = PREFIX + MAX_CELLS + 1  # first slot after <|vision_end|>
GRID_SIDE = 8  # learned position embeddings per side
ATTRIBUTE_SIZES = (6, 8, 2, 3, 2, 2)  # shape, color, size, texture, edge, rim
NOT_JUDGED = -100
MIDDLE = 3  # language layer after which words are compared with the picture (see truth.py)
HIDDEN = 256


def build_model(vocabulary):
    """A randomly initialised `Qwen3VLForConditionalGeneration` of the demo size with ``vocabulary`` tokens."""
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [12, 10, 10], "mrope_interleaved": True}
    config = Qwen3VLConfig(
        text_config={
            "vocab_size": vocabulary,
            "hidden_size": HIDDEN,
            "intermediate_size": 704,
            "num_hidden_layers": 6,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 64,
            "max_position_embeddings": 2048,
            "rms_norm_eps": 1e-6,
            "rope_parameters": rope,
            "tie_word_embeddings": True,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
        vision_config={
            "depth": 4,
            "hidden_size": 192,
            "intermediate_size": 512,
            "num_heads": 3,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "out_hidden_size": HIDDEN,
            "num_position_embeddings": GRID_SIDE**2,
            "deepstack_visual_indexes": [1],
        },
        image_token_id=5,
        video_token_id=6,
        vision_start_token_id=3,
        vision_end_token_id=4,
        tie_word_embeddings=True,
    )
    return Qwen3VLForConditionalGeneration(config)


def prepare_start(model):
    """Initial values that make training from scratch quick: equal temporal halves, silent deepstack, small residual branches."""
    with torch.no_grad():
        patch = model.model.visual.patch_embed.proj.weight
        patch.copy_(patch.mean(2, keepdim=True).expand_as(patch))
        for merger in model.model.visual.deepstack_merger_list:
            merger.linear_fc2.weight.zero_()
            merger.linear_fc2.bias.zero_()
        for layer in model.model.language_model.layers:
            layer.self_attn.o_proj.weight.mul_(0.15)
            layer.mlp.down_proj.weight.mul_(0.15)
    prepare_copying(model.model.language_model)


@torch.no_grad()
def prepare_copying(tower, seed=5):
    """Start the language model with an induction circuit (Olsson et al. 2022): what followed this token before is likely to follow again.

    It appears late when learned from so few rows, and everything here depends on it: answers are read from the context. Layer 0 gets heads that attend to the token
    one and two places before and write a projection of it; two later layers get a head that looks for tokens whose predecessor's projection matches the
    present token, and copies them. Elsewhere one key head a layer starts with equal queries and keys, so that it finds like tokens (mimetic
    initialisation, Trockman and Kolter 2023). All of it is trained on from there.
    """
    generator = torch.Generator().manual_seed(seed)

    def frame(rows):
        """Random orthonormal rows (rows, HIDDEN)."""
        return torch.linalg.qr(torch.randn(HIDDEN, rows, generator=generator))[0].T

    width = tower.config.head_dim
    half = width // 2
    group = tower.config.num_attention_heads // tower.config.num_key_value_heads
    fast = torch.arange(3)  # rotary frequencies that tell neighbouring places apart
    slow = torch.arange(half // 2, half)  # those that hardly turn over a row: content is compared there
    angle = tower.config.rope_parameters["rope_theta"] ** (-fast / half)
    content = torch.cat([slow, slow + half])

    # embeddings that are not drowned by what the first layers add
    tower.embed_tokens.weight.mul_(3)
    # what all tokens have in common: the one thing a head that looks at places can ask for
    common = frame(1)[0]
    tower.embed_tokens.weight.add_(common * tower.embed_tokens.weight.std() * 4)
    first = tower.layers[0].self_attn
    sees = frame(len(content))
    writes = [frame(len(content)) for _ in range(group)]
    first.k_proj.weight[:width].mul_(0.3)
    first.k_proj.weight[fast] += common
    first.q_proj.weight[: group * width].mul_(0.3)
    for head in range(group):
        back = head + 1
        start = head * width
        first.q_proj.weight[start + fast] += common * torch.cos(angle * back)[:, None]
        first.q_proj.weight[start + half + fast] -= common * torch.sin(angle * back)[:, None]
        first.o_proj.weight[:, start + content] = 0.2 * writes[head].T
    first.v_proj.weight[content] = sees
    sharp = torch.cat([fast, fast + half])
    first.q_norm.weight[sharp] = 2.0

    for number, layer in enumerate(tower.layers[1:], 1):
        attention = layer.self_attn
        # the second key head: like finds like
        like = frame(len(content)) * 0.5
        attention.k_proj.weight[width + content] += like
        for head in range(group, 2 * group):
            attention.q_proj.weight[head * width + content] += like
        if number not in (1, 3):
            continue
        attention.k_proj.weight[:width].mul_(0.3)
        attention.k_proj.weight[content] = writes[0]
        attention.q_proj.weight[: group * width].mul_(0.3)
        copies = frame(width)
        attention.v_proj.weight[:width] = copies
        for head in range(group):
            attention.q_proj.weight[head * width + content] = sees
            attention.o_proj.weight[:, head * width : (head + 1) * width] = copies.T
        attention.q_norm.weight[content] = 2.0


def patches_to_pixels(views, dtype):
    """Stored patches (views, 47040) u8 to normalised pixels (views, 80, 588): value / 127.5 - 1."""
    u8 = views if torch.is_tensor(views) else torch.from_numpy(views.copy())
    return (u8.view(-1, MAX_CELLS * PATCHES_PER_CELL, PATCH_VALUES).float() * (1 / 127.5) - 1).to(dtype)


def grid_list():
    """All grids (rows, columns) in merged cells with at most 20 cells, in a fixed order."""
    return [(h, w) for h in range(1, MAX_CELLS + 1) for w in range(1, MAX_CELLS // h + 1)]


def patch_coordinates(gh, gw):
    """Row and column of every patch of a gh x gw cell grid in the processor's order (cell by cell, 2 x 2 inside): (4*gh*gw, 2)."""
    out = []
    for cell in range(gh * gw):
        row, column = divmod(cell, gw)
        out += [(row * 2 + a, column * 2 + b) for a in range(2) for b in range(2)]
    return torch.tensor(out)


def interpolation_weights(size, side=GRID_SIDE):
    """Bilinear weights (size, side) from ``side`` learned positions to ``size`` patches, end points aligned (as transformers)."""
    place = torch.linspace(0, side - 1, size)
    low = place.floor().long()
    high = (low + 1).clamp(max=side - 1)
    part = place - low
    weights = torch.zeros(size, side)
    rows = torch.arange(size)
    weights[rows, low] += 1 - part
    weights[rows, high] += part
    return weights


def rotate(x, cos, sin):
    """Rotary embedding of the last axis (halves layout)."""
    half = x.shape[-1] // 2
    return x * cos + torch.cat((-x[..., half:], x[..., :half]), -1) * sin


def attend(q, k, v, mask, dtype, group=1):
    """Softmax attention with an additive f32 mask (batch, 1, asking, length).

    ``k`` and ``v`` are (batch, heads, length, width); ``q`` is (batch, heads, group * asking, width): the ``group`` query heads that share a
    key head one after the other, which saves copying the keys.
    """
    scores = (q @ k.transpose(-1, -2)).float() * (q.shape[-1] ** -0.5)
    if group > 1:
        batch, heads, many, length = scores.shape
        scores = scores.view(batch, heads, group, many // group, length) + mask[:, :, None]
        return torch.softmax(scores, -1).to(dtype).view(batch, heads, many, length) @ v
    return torch.softmax(scores + mask, -1).to(dtype) @ v


def pick(x, slots):
    """Rows of ``x`` (batch, length, width) at ``slots`` (batch, n): (batch, n, width)."""
    return torch.gather(x, 1, slots[..., None].expand(-1, -1, x.shape[-1]))


def tree_mask(context, branch, valid):
    """Ancestor-only additive mask (rows, 1, length, length).

    ``context`` and ``branch`` number the tree's nodes (0: above it, context -1: padding); a token sees earlier tokens of the root, of its
    own context and of its own branch. ``valid`` (rows, length) is false for image slots that the picture does not fill.
    """
    index = torch.arange(context.shape[1])
    same = context[:, :, None] == context[:, None, :]
    ancestor = (branch[:, None, :] == 0) | (branch[:, :, None] == branch[:, None, :])
    seen = ((context[:, None, :] == 0) | (same & ancestor)) & (index[:, None] >= index[None, :])
    seen = (seen & valid[:, None, :]) | (index[:, None] == index[None, :])
    return torch.where(seen, 0.0, -1e4)[:, None]


class FastForward:
    """The model's function over padded pictures and packed rows; holds tables per grid, no parameters of its own."""

    def __init__(self, model, dtype=torch.bfloat16):
        """Precompute rotary tables, position interpolation and masks for every grid of at most 20 cells."""
        self.model = model
        self.dtype = dtype
        grids = grid_list()
        self.grid_index = {g: i for i, g in enumerate(grids)}
        patches = MAX_CELLS * PATCHES_PER_CELL
        frequencies = model.model.visual.rotary_pos_emb.inv_freq.float()
        width = frequencies.numel() * 4
        self.patch_cos = torch.ones(len(grids), patches, width)
        self.patch_sin = torch.zeros(len(grids), patches, width)
        self.position_weights = torch.zeros(len(grids), patches, GRID_SIDE**2)
        self.cell_valid = torch.zeros(len(grids), MAX_CELLS, dtype=torch.bool)
        self.cell_positions = torch.zeros(len(grids), 3, MAX_CELLS, dtype=torch.long)
        self.extent = torch.zeros(len(grids), dtype=torch.long)
        for i, (gh, gw) in enumerate(grids):
            n = gh * gw
            at = patch_coordinates(gh, gw)
            angle = at[..., None].float() * frequencies
            angle = torch.cat([angle[:, 0], angle[:, 1]], -1)
            angle = torch.cat([angle, angle], -1)
            self.patch_cos[i, : n * 4], self.patch_sin[i, : n * 4] = angle.cos(), angle.sin()
            down, across = interpolation_weights(gh * 2), interpolation_weights(gw * 2)
            self.position_weights[i, : n * 4] = (down[at[:, 0], :, None] * across[at[:, 1], None, :]).reshape(n * 4, -1)
            self.cell_valid[i, :n] = True
            cells = torch.arange(n)
            self.cell_positions[i, 1, :n] = cells // gw
            self.cell_positions[i, 2, :n] = cells % gw
            self.extent[i] = max(gh, gw)
        self.patch_mask = torch.where(self.cell_valid.repeat_interleave(PATCHES_PER_CELL, 1), 0.0, -1e4)[:, None, None]

    def indices(self, grids):
        """Grid numbers (views,) of ``grids`` (views, 2) u8."""
        return torch.tensor([self.grid_index[(int(h), int(w))] for h, w in grids])

    def rotary(self, offsets, grid):
        """Cosine and sine (rows, length, 64) of the text positions.

        ``offsets`` (rows, length) counts text tokens from the slot after <|vision_end|>; ``grid`` (rows,) numbers each row's grid.
        """
        rows, length = offsets.shape
        extent = self.extent[grid]
        position = torch.zeros(3, rows, length, dtype=torch.long)
        position[:, :, :PREFIX] = torch.arange(PREFIX)
        position[:, :, PREFIX : TEXT_START - 1] = PREFIX + self.cell_positions[grid].transpose(0, 1)
        position[:, :, TEXT_START - 1] = PREFIX + extent
        position[:, :, TEXT_START:] = (PREFIX + 1 + extent)[:, None] + offsets[:, TEXT_START:].long()
        return self.model.model.language_model.rotary_emb(torch.zeros(1), position)

    def linear(self, x, layer):
        """``layer`` applied in the working type."""
        bias = None if layer.bias is None else layer.bias.to(self.dtype)
        return F.linear(x.to(self.dtype), layer.weight.to(self.dtype), bias)

    @staticmethod
    def layer_norm(x, norm):
        """Layer normalisation in f32."""
        return F.layer_norm(x.float(), norm.normalized_shape, norm.weight, norm.bias, 1e-6)

    @staticmethod
    def rms_norm(x, norm):
        """Root-mean-square normalisation in f32."""
        x = x.float()
        return norm.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))

    def merge(self, x, merger, norm_first):
        """Join the four patches of each cell: (views, 80, 192) to (views, 20, 256)."""
        views = x.shape[0]
        if norm_first:
            x = self.layer_norm(x, merger.norm).reshape(views, MAX_CELLS, -1)
        else:
            x = self.layer_norm(x.reshape(views, MAX_CELLS, -1), merger.norm)
        hidden = F.gelu(self.linear(x, merger.linear_fc1).float())
        return self.linear(hidden, merger.linear_fc2).float()

    def vision(self, pixels, weights, cos, sin, mask):
        """Pixels (views, 80, 588) with their grids' tables to cell vectors (views, 20, 256) and deepstack vectors."""
        tower = self.model.model.visual
        views, patches, _ = pixels.shape
        heads = tower.config.num_heads
        width = tower.config.hidden_size
        kernel = tower.patch_embed.proj.weight.sum(2).reshape(width, -1)
        x = F.linear(pixels.to(self.dtype), kernel.to(self.dtype), tower.patch_embed.proj.bias.to(self.dtype)).float()
        x = x + weights @ tower.pos_embed.weight
        cos, sin = cos[:, None], sin[:, None]
        deep = []
        indexes = list(tower.config.deepstack_visual_indexes)
        for i, block in enumerate(tower.blocks):
            qkv = self.linear(self.layer_norm(x, block.norm1), block.attn.qkv)
            q, k, v = qkv.view(views, patches, 3, heads, -1).permute(2, 0, 3, 1, 4)
            q = rotate(q.float(), cos, sin).to(self.dtype)
            k = rotate(k.float(), cos, sin).to(self.dtype)
            out = attend(q, k, v, mask, self.dtype).transpose(1, 2).reshape(views, patches, width)
            x = x + self.linear(out, block.attn.proj).float()
            hidden = self.linear(self.layer_norm(x, block.norm2), block.mlp.linear_fc1).float()
            x = x + self.linear(F.gelu(hidden, approximate="tanh"), block.mlp.linear_fc2).float()
            if i in indexes:
                deep.append(self.merge(x, tower.deepstack_merger_list[indexes.index(i)], norm_first=False))
        return self.merge(x, tower.merger, norm_first=True), deep

    def vision_tables(self, grid):
        """The per-picture inputs of `vision` for grid numbers ``grid`` (views,)."""
        return self.position_weights[grid], self.patch_cos[grid], self.patch_sin[grid], self.patch_mask[grid]

    def language(self, ids, cells, deep, cos, sin, mask, slots=None, middle=None):
        """Last hidden state (rows, length, 256) of packed rows with cell vectors ``cells`` (rows, 20, 256) in the image slots.

        With ``slots`` (rows, n) only those slots' last hidden states are computed in the last layer: (rows, n, 256). With ``middle`` (rows, m) the
        hidden states of those slots after layer `MIDDLE` come along, normalised: a pair with (rows, m, 256).
        """
        tower = self.model.model.language_model
        rows, length = ids.shape
        config = tower.config
        width, heads, shared = config.head_dim, config.num_attention_heads, config.num_key_value_heads
        end = TEXT_START - 1
        x = tower.embed_tokens(ids)
        x = torch.cat([x[:, :PREFIX], cells, x[:, end:]], 1)
        cos, sin = cos[:, None], sin[:, None]
        group = heads // shared
        for i, layer in enumerate(tower.layers):
            attention = layer.self_attn
            h = self.rms_norm(x, layer.input_layernorm).to(self.dtype)
            k = self.rms_norm(self.linear(h, attention.k_proj).view(rows, length, shared, width), attention.k_norm)
            v = self.linear(h, attention.v_proj).view(rows, length, shared, width).transpose(1, 2)
            k = rotate(k.transpose(1, 2), cos, sin).to(self.dtype)
            asking = length
            if slots is not None and i == len(tower.layers) - 1:
                asking = slots.shape[1]
                x, h = pick(x, slots), pick(h, slots)
                cos, sin = pick(cos[:, 0], slots)[:, None], pick(sin[:, 0], slots)[:, None]
                mask = pick(mask[:, 0], slots)[:, None]
            q = self.rms_norm(self.linear(h, attention.q_proj).view(rows, asking, heads, width), attention.q_norm)
            q = rotate(q.transpose(1, 2), cos, sin).to(self.dtype).reshape(rows, shared, group * asking, width)
            out = attend(q, k, v, mask, self.dtype, group).view(rows, heads, asking, width)
            out = out.transpose(1, 2).reshape(rows, asking, heads * width)
            x = x + self.linear(out, attention.o_proj).float()
            h = self.rms_norm(x, layer.post_attention_layernorm).to(self.dtype)
            gate = F.silu(self.linear(h, layer.mlp.gate_proj).float())
            x = x + self.linear(gate * self.linear(h, layer.mlp.up_proj).float(), layer.mlp.down_proj).float()
            if i < len(deep):
                x = torch.cat([x[:, :PREFIX], x[:, PREFIX:end] + deep[i], x[:, end:]], 1)
            if i == MIDDLE and middle is not None:
                between = pick(x, middle)
                between = between * torch.rsqrt(between.pow(2).mean(-1, keepdim=True) + 1e-6)
        x = self.rms_norm(x, tower.norm)
        return x if middle is None else (x, between)

    def logits(self, hidden):
        """Next-token scores of hidden states (n, 256): (n, vocabulary) f32."""
        return F.linear(hidden.to(self.dtype), self.model.lm_head.weight.to(self.dtype)).float()

    def row_valid(self, grid, length):
        """Which slots of a row are real keys as far as the image is concerned: (rows, length) bool."""
        valid = torch.ones(grid.shape[0], length, dtype=torch.bool)
        valid[:, PREFIX : TEXT_START - 1] = self.cell_valid[grid]
        return valid


def attribute_codes():
    """Fixed random codes, one table (values + 1, 256) per attribute; stage V aims at their sums, stage L reads them as pictures."""
    generator = torch.Generator().manual_seed(77)
    return [torch.randn(n + 1, HIDDEN, generator=generator) * 0.15 for n in ATTRIBUTE_SIZES]


def code_cells(codes, labels):
    """Sum of the codes of cell labels (…, 20, 6): (…, 20, 256); labels not judged count as background."""
    known = labels.clamp(min=0).long()
    return sum(codes[j][known[..., j]] for j in range(len(ATTRIBUTE_SIZES)))
