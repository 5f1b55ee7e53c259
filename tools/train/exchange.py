"""Averaging the weights of two trainers that run side by side, each on one core.

Two single-threaded trainers of the same stage on different batches, averaged every few steps, make better use of a busy machine than one trainer
with two threads: neither waits for the other (local updates with gossip averaging). Files are replaced whole, so that a reader never sees half.
"""

import os

import torch


class Exchange:
    """Publishes one trainer's weights in a file and takes in its peer's."""

    def __init__(self, own, peer):
        """``own`` is the file written here, ``peer`` the file that the other trainer writes."""
        self.own, self.peer = own, peer
        self.seen = 0.0

    @torch.no_grad()
    def __call__(self, tensors):
        """Move ``tensors`` (name to tensor, changed in place) to the mean with the peer's newest, if there is a new one; then publish.

        Returns whether the peer's weights were taken in.
        """
        taken = False
        if os.path.exists(self.peer):
            stamp = os.path.getmtime(self.peer)
            if stamp > self.seen:
                self.seen = stamp
                for name, value in torch.load(self.peer, map_location="cpu").items():
                    tensors[name].lerp_(value, 0.5)
                taken = True
        torch.save({k: v.clone() for k, v in tensors.items()}, self.own + ".partial")
        os.replace(self.own + ".partial", self.own)
        return taken
