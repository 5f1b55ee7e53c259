"""Muon for matrices (patch embedding too) and AdamW for the rest."""

import torch

MOMENTUM = 0.95
DECAY = 0.02
VISION_SHARE = 0.5  # learning rate of the vision tower in the joint stage
PATCH_SHARE = 0.5
LARGE = 512  # matrices with both sides above this are orthogonalised in blocks of rows: the cost grows with the cube
BLOCKS = 4


def orthogonalise(matrix, dtype):
    """Newton-Schulz iteration (5 steps, in ``dtype``) towards the nearest orthogonal matrix; works on a batch of matrices."""
    x = matrix.to(dtype)
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / (x.float().norm(dim=(-2, -1), keepdim=True) + 1e-7).to(dtype)
    a, b, c = 3.4445, -4.7750, 2.0315
    for _ in range(5):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.mT if tall else x).float()


class MuonAdam:
    """Both optimisers over one model; ``stage`` is vision, language or joint and decides which matrices move."""

    def __init__(self, model, heads, stage, muon_rate, adam_rate, dtype):
        """``heads`` are extra parameters (throw-away heads) for AdamW; rates are the greatest learning rates."""
        self.stage = stage
        self.dtype = dtype
        self.muon_rate, self.adam_rate = muon_rate, adam_rate
        self.patch = model.model.visual.patch_embed.proj.weight
        self.groups = {}
        self.momentum = {}
        others = []
        for name, p in model.named_parameters():
            vision = "visual" in name
            if (stage == "language" and vision) or (stage == "vision" and not vision):
                continue
            if p is self.patch:
                self.momentum[name] = torch.zeros(p.shape[0], p[0, :, 0].numel())
                self.patch_name = name
            elif p.ndim == 2 and "embed" not in name:
                self.groups.setdefault((tuple(p.shape), "qkv" in name, vision), []).append((name, p))
                self.momentum[name] = torch.zeros_like(p)
            else:
                others.append(p)
        self.small = others + list(heads)
        self.adam = torch.optim.AdamW(self.small, lr=adam_rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True)

    @torch.no_grad()
    def step(self, factor):
        """One update with all rates times ``factor``; gradients are cleared."""
        torch.nn.utils.clip_grad_norm_(self.small, 1.0)
        for group in self.adam.param_groups:
            group["lr"] = self.adam_rate * factor
        self.adam.step()
        rate = self.muon_rate * factor
        vision_rate = rate * (VISION_SHARE if self.stage == "joint" else 1.0)
        if self.stage != "language" and self.patch.grad is not None:
            self._step_patch(vision_rate)
        for (shape, qkv, vision), members in self.groups.items():
            members = [(name, p) for name, p in members if p.grad is not None]
            if not members:
                continue
            updates = []
            for name, p in members:
                momentum = self.momentum[name].lerp_(p.grad, 1 - MOMENTUM)
                updates.append(p.grad.lerp(momentum, MOMENTUM))
            stacked = torch.stack(updates)
            parts = 3 if qkv else BLOCKS if min(shape) > LARGE else 1
            if parts > 1:
                blocks = stacked.view(len(members) * parts, shape[0] // parts, shape[1])
                stacked = orthogonalise(blocks, self.dtype).view(len(members), *shape)
                scale = 1.0
            else:
                stacked = orthogonalise(stacked, self.dtype)
                scale = max(1.0, shape[0] / shape[1]) ** 0.5
            step = vision_rate if vision else rate
            for (_, p), update in zip(members, stacked):
                p.mul_(1 - step * DECAY)
                p.add_(update, alpha=-step * scale)
        self.adam.zero_grad()
        for members in self.groups.values():
            for _, p in members:
                p.grad = None
        self.patch.grad = None

    def _step_patch(self, rate):
        """The patch embedding as one matrix; both temporal halves move alike."""
        grad = self.patch.grad.mean(2).reshape(self.patch.shape[0], -1)
        momentum = self.momentum[self.patch_name].lerp_(grad, 1 - MOMENTUM)
        update = orthogonalise(grad.lerp(momentum, MOMENTUM), self.dtype)
        shape = self.patch.shape
        update = update.view(shape[0], shape[1], 1, shape[3], shape[4]).expand_as(self.patch)
        self.patch.add_(update, alpha=-rate * PATCH_SHARE)

    def state(self):
        """Everything needed to resume."""
        return {"momentum": self.momentum, "adam": self.adam.state_dict()}

    def load(self, state):
        """Resume from `state` of the same stage."""
        for name, value in state["momentum"].items():
            self.momentum[name].copy_(value)
        self.adam.load_state_dict(state["adam"])
